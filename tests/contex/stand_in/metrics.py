"""The metrics that Contex' documentation names, as contex_redis exports them, in a registry of their own."""

from __future__ import annotations

from contex_redis import Metrics as RedisMetrics
from prometheus_client import CollectorRegistry, generate_latest


class Metrics:
    """One instance for each running service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.of_redis = RedisMetrics(self._registry)

    def render(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self._registry)
