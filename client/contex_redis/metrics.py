"""The three metrics that Contex' documentation names.

Contex as published declares two of them itself and never sets them. Declaring a name twice is an error in
prometheus_client, so a collector that is there already is used as it is: it comes alive.
"""

from __future__ import annotations

import weakref
from typing import Any, Final, cast

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from .errors import kind_of

CONNECTIONS: Final = "contex_redis_connections"
DURATION: Final = "contex_redis_operation_duration_seconds"
ERRORS: Final = "contex_redis_connection_errors"
# A hiccup of a failover is seconds; a command on the same network is a tenth of a millisecond.
_BUCKETS: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)


class Metrics:
    """One instance for each registry; several clients may share it."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._connections = _collector(
            registry,
            Gauge,
            CONNECTIONS,
            "Connections to Redis in use, of at most REDIS_MAX_CONNECTIONS.",
            ["pool"],
        )
        self._duration = _collector(
            registry,
            Histogram,
            DURATION,
            "Time of a command or pipeline, repeats included.",
            ["command"],
            buckets=_BUCKETS,
        )
        self._errors = _collector(
            registry, Counter, ERRORS, "Attempts that found no connection, no answer or no master.", ["kind"]
        )
        self._of_command: dict[str, Any] = {}

    def observe(self, command: str, seconds: float) -> None:
        """Record one command."""
        child = self._of_command.get(command)
        if child is None:
            child = self._of_command[command] = _child(self._duration, command)
        child.observe(seconds)

    def count_error(self, error: BaseException) -> None:
        """Count a failed attempt by its kind."""
        _child(self._errors, kind_of(error)).inc()

    def watch(self, pool: Any, *, name: str) -> None:
        """Show how many connections of `pool` are in use, as long as it lives."""
        seen = weakref.ref(pool)

        def in_use() -> float:
            living = seen()
            return 0.0 if living is None else float(len(living._in_use_connections))

        _child(self._connections, name).set_function(in_use)


def _collector(
    registry: CollectorRegistry, kind: type, name: str, text: str, labels: list[str], **more: Any
) -> Any:
    try:
        return kind(name, text, labels, registry=registry, **more)
    except ValueError:
        found = cast("dict[str, Any]", registry._names_to_collectors).get(name)
        if not isinstance(found, kind):
            raise
        return found


def _child(collector: Any, value: str) -> Any:
    """The series for `value`, whatever the one who declared the collector calls its label."""
    names = collector._labelnames
    return collector.labels(*[value, *[""] * (len(names) - 1)]) if names else collector
