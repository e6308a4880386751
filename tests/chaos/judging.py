"""The checks after a round (facts, section 6). Pure: history, data, what was done -> what is violated, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.bounds import Done, Window, beyond
from tests.workload.checker import Verdict
from tests.workload.history import Op


@dataclass(frozen=True)
class Findings:
    """What is known when a round is over. `marks` are the rounds whose marks every node should hold, by node."""

    verdict: Verdict | None  # None: the data did not settle
    allowed: Sequence[Window]
    done: Sequence[Done]
    not_green: Sequence[str]  # after the time that was given; nothing = green
    marks_expected: frozenset[int]
    marks: Mapping[str, frozenset[int]] = field(default_factory=dict)
    silent: Sequence[str] = ()  # clients that got no acknowledgement any more


def violations(found: Findings) -> list[str]:
    """Everything that must not be, one sentence each; nothing = the round is clean."""
    bad = [f"not green without help: {reason}" for reason in found.not_green]
    bad += [f"the client {client} is served no more" for client in found.silent]
    if found.verdict is None:
        return [*bad, "the nodes did not settle, so what they hold could not be compared"]
    bad += _of_the_data(found.verdict, found.allowed)
    for overlap in found.verdict.two_masters:
        if not _is_excused(overlap.since, overlap.until, found.allowed):
            bad.append(
                f"two masters acknowledged at once: {overlap}, {overlap.seconds:.2f} s, {overlap.acked} writes"
            )
    for node, marks in found.marks.items():
        missing = found.marks_expected - marks
        if missing:
            bad.append(f"{node} has lost the marks of the earlier rounds {sorted(missing)}")
    return bad


def _of_the_data(verdict: Verdict, allowed: Sequence[Window]) -> list[str]:
    bad = []
    inexcusable = beyond(verdict.lost, allowed)
    if inexcusable:
        bad.append(
            f"{len(inexcusable)} acknowledged writes lost ({len(verdict.lost)} in all): {_some(inexcusable)}"
        )
    if verdict.resurrected:
        bad.append(f"{len(verdict.resurrected)} refused writes are there: {_some(verdict.resurrected)}")
    if verdict.duplicated:
        bad.append(f"{len(verdict.duplicated)} writes are there twice: {', '.join(verdict.duplicated[:3])}")
    if verdict.unexpected:
        bad.append(f"{len(verdict.unexpected)} values that nobody wrote: {', '.join(verdict.unexpected[:3])}")
    bad += [f"{node} differs from the master: {how}" for node, how in sorted(verdict.diverged.items())]
    return bad


def _is_excused(since: float, until: float, allowed: Sequence[Window]) -> bool:
    """An overlap is excused where one window holds all of it: a master that nobody fences (`available`)."""
    return any(
        window.since <= since and until <= window.until and "fences" in window.why for window in allowed
    )


def _some(ops: Sequence[Op]) -> str:
    first = ops[:3]
    text = ", ".join(
        f"{op.value} (acknowledged at {op.completed:.3f} by {(op.node or '?')[:8]})" for op in first
    )
    return text + (" …" if len(ops) > 3 else "")
