"""Tests of the chart: what it renders, what it refuses, what its scripts do, and what an API server says to it."""
