"""The words of a metric, and what one look at a resource leaves behind. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..model import Observed
from ..spec import Spec
from ..topology import Topology

RESOURCE: Final = (
    "contexredis_namespace",
    "contexredis",
)  # the labels of everything that is said of a resource
POD: Final = "redis_pod"

Point = tuple[tuple[str, ...], float]  # values of a definition's own labels, value


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one reconcile saw. `spec` is the one that the pods run with; `status` as it is in the API by now."""

    spec: Spec
    observed: Observed
    topology: Topology
    status: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One metric: `labels` beside RESOURCE, and its points in a look. What is unknown has no point."""

    name: str
    help: str
    points: Callable[[Look], Iterable[Point]]
    labels: tuple[str, ...] = ()
    is_counter: bool = False


def single(value: Callable[[Look], float | None]) -> Callable[[Look], Iterable[Point]]:
    """The points of a metric without labels of its own."""

    def points(look: Look) -> Iterable[Point]:
        found = value(look)
        return [] if found is None else [((), found)]

    return points


def states(words: Iterable[str], present: str | None) -> Iterable[Point]:
    """One point for each word, 1 for the present one, so that a change of state ends no series."""
    return [((word,), float(word == present)) for word in words]
