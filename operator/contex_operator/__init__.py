"""The Contex Redis operator: keeps Redis with Sentinel for Contex as its ContexRedis resource describes it."""

__version__ = "0.1.0"
