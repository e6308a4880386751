"""Figures of one fault, what they must hold, and how they read. Pure: no clock, no cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.workload.checker import Gap, Verdict, longest_gap
from tests.workload.history import Op, Result


@dataclass(frozen=True)
class Event:
    """Something that happened: `at` is an instant of the monotonic clock."""

    at: float
    text: str
    by: str = ""  # who said so, where several say the same: only the first is shown


@dataclass(frozen=True)
class Bound:
    """The longest outage that is allowed, and where it comes from."""

    down_after_s: float
    margin_s: float

    @property
    def seconds(self) -> float:
        """The bound."""
        return self.down_after_s + self.margin_s

    def __str__(self) -> str:
        return f"at most {self.seconds:.1f} s: down-after {self.down_after_s:g} s + {self.margin_s:g} s"


@dataclass(frozen=True)
class Figures:
    """All that is said about one fault. Outage and counts are those of the living Contex pods alone."""

    title: str
    gap: Gap
    slowest: str  # the Contex pod whose writer saw `gap`
    counts: Mapping[Result, int]
    verdict: Verdict  # of all writes, those through a dead Contex pod included
    master_before: str
    master_after: str
    green_after_s: float | None  # None: it was not waited for
    bound: Bound | None
    green_note: str = ""
    dead: Mapping[str, Mapping[Result, int]] = field(default_factory=dict)  # by Contex pod on the dead node
    read_from: Sequence[str] = ()

    def broken(self) -> list[str]:
        """What did not hold, one sentence each; empty is good."""
        found = []
        if self.bound is not None and self.gap.seconds > self.bound.seconds:
            found.append(f"the outage was {self.gap.seconds:.2f} s ({self.bound})")
        verdict = self.verdict
        if verdict.lost:
            found.append(f"{len(verdict.lost)} acknowledged writes are lost")
        if verdict.resurrected:
            found.append(f"{len(verdict.resurrected)} refused writes are there")
        if verdict.duplicated or verdict.unexpected:
            found.append(
                f"{len(verdict.duplicated) + len(verdict.unexpected)} writes are there that nobody made"
            )
        found += [f"{node} differs from the master ({d})" for node, d in sorted(verdict.diverged.items())]
        found += [f"two masters took writes for {o.seconds:.2f} s" for o in verdict.two_masters]
        return [f"{self.title}: {sentence}" for sentence in found]

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each figure, in reading order."""
        lost = len(self.verdict.lost)
        rows = [
            ("outage", f"{self.gap.seconds:.2f} s" + (f"   ({self.bound})" if self.bound else "")),
            ("writes acknowledged", f"{self.counts[Result.OK]:,}"),
            ("       failed", f"{self.counts[Result.FAILED]:,}"),
            ("       unknown", f"{self.counts[Result.UNKNOWN]:,}"),
            ("       lost", f"{lost:,}   (looked for on {', '.join(self.read_from)})"),
            ("master", f"{self.master_before} -> {self.master_after}"),
        ]
        green = self.green_note if self.green_after_s is None else f"after {self.green_after_s:.1f} s"
        rows.append(("everything green", green))
        for pod, counts in sorted(self.dead.items()):
            said = ", ".join(f"{counts[result]:,} {name}" for result, name in _NAMES.items())
            rows.append(("not counted", f"{pod}, on the dead node: {said}"))
        return rows


_NAMES = {Result.OK: "acknowledged", Result.FAILED: "failed", Result.UNKNOWN: "unknown"}


def count(ops: Sequence[Op]) -> dict[Result, int]:
    """How many operations ended how."""
    return {result: sum(op.result is result for op in ops) for result in Result}


def slowest_gap(histories: Mapping[str, Sequence[Op]]) -> tuple[str, Gap]:
    """The writer with the longest gap of its own, and that gap. Raises ValueError when nobody wrote."""
    gaps = {name: longest_gap(ops) for name, ops in histories.items() if ops}
    if not gaps:
        raise ValueError("no write was tried: there is nothing to measure")
    name = max(gaps, key=lambda name: gaps[name].seconds)
    return name, gaps[name]


def timeline(events: Sequence[Event], *, since: float) -> list[str]:
    """One line for each event, in order of time.

    Left out: what came before `since` by more than a second, and what somebody else (`by`) had said already.
    """
    lines: list[str] = []
    said: set[str] = set()
    for event in sorted((e for e in events if e.at >= since - 1.0), key=lambda e: e.at):
        if event.by and event.text in said:
            continue
        said.add(event.text)
        by = f" ({event.by})" if event.by else ""
        lines.append(f"{event.at - since:+8.2f} s  {event.text}{by}")
    return lines


def busy_note(load: float, *, cores: int) -> str | None:
    """A sentence when the machine has more to do than it can, for times then say little; None otherwise."""
    if load <= 1.5 * cores:
        return None
    return f"This machine is busy (load {load:.0f} on {cores} cores): every time below is longer for it."


def table(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Two aligned columns."""
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}   {value}" for name, value in rows]
