"""The laboratory: a real three-node Kubernetes on one Linux machine, with faults that can be done to it.

Run as `python -m lab …` or used as `from lab import Lab`; the standard library is all it needs.
"""

from lab.cluster import Lab
from lab.errors import LabError

__all__ = ["Lab", "LabError"]
