"""The checker: what was promised (history) against what is there (data of each node). Pure functions.

    lost         acknowledged, and absent from the master
    resurrected  certainly not executed, and present
    duplicated   present more than once
    unexpected   present, and never tried by anybody
    diverged     a node holds something else than the master, or in another order

It proves durability of a set of writes, not linearizability: Sentinel does not promise the latter. A
verdict about the data holds only for data that was read after the writers had ended and the replicas had
caught up.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.workload.history import Op, Result

# A master that is replaced and comes back as master needs two moves; below this two processes took turns.
SHORTEST_TERM_S: Final = 1.0


@dataclass(frozen=True)
class Gap:
    """The longest time without an acknowledged write: seconds, and between which instants."""

    seconds: float
    since: float
    until: float


@dataclass(frozen=True)
class Overlap:
    """Two processes that acknowledged writes in turns: both accepted between `since` and `until`."""

    nodes: tuple[str, str]
    since: float
    until: float
    acked: int  # acknowledgements of both in that time

    @property
    def seconds(self) -> float:
        """How long both accepted, at least."""
        return self.until - self.since

    def __str__(self) -> str:
        return " and ".join(self.nodes)


@dataclass(frozen=True)
class Divergence:
    """How one node's data differ from the master's."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    is_reordered: bool  # the same values in another order

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.is_reordered)

    def __str__(self) -> str:
        order = ", other order" if self.is_reordered else ""
        return f"{len(self.missing)} missing, {len(self.extra)} extra{order}"


@dataclass(frozen=True)
class Verdict:
    """What the checker found. `is_clean` is the one question that most tests ask."""

    acked: int
    failed: int
    unknown: int
    unknown_present: int  # of the unknown ones: executed after all
    lost: tuple[Op, ...]
    resurrected: tuple[Op, ...]
    duplicated: tuple[str, ...]
    unexpected: tuple[str, ...]
    diverged: Mapping[str, Divergence]  # only nodes that differ
    two_masters: tuple[Overlap, ...]

    @property
    def is_clean(self) -> bool:
        """Nothing lost, resurrected, duplicated, unexpected or diverged, and never two masters."""
        found = (
            self.lost,
            self.resurrected,
            self.duplicated,
            self.unexpected,
            self.diverged,
            self.two_masters,
        )
        return not any(found)

    def sentence(self) -> str:
        """All findings in one line."""
        parts = [f"{self.acked} acknowledged, {self.failed} failed, {self.unknown} unknown"]
        parts.append(f"{len(self.lost)} lost{_span(self.lost)}")
        for count, name in (
            (len(self.resurrected), "resurrected"),
            (len(self.duplicated), "duplicated"),
            (len(self.unexpected), "unexpected"),
        ):
            if count:
                parts.append(f"{count} {name}")
        for node, difference in sorted(self.diverged.items()):
            parts.append(f"{node} differs from the master ({difference})")
        for overlap in self.two_masters:
            parts.append(f"two masters for {overlap.seconds:.2f} s, {overlap.acked} writes ({overlap})")
        return "; ".join(parts)


def check(history: Iterable[Op], *, data: Mapping[str, Sequence[str]], master: str) -> Verdict:
    """Judge a whole run.

    `data` maps each node's name to the values that it holds, in its order; `master` is one of the names.
    Raises ValueError when the master's data are missing or two operations share a value (the history is
    then no history).
    """
    ops = list(history)
    if master not in data:
        raise ValueError(
            f"the data of the master {master!r} are missing; there are only those of {sorted(data)}"
        )
    by_value = {op.value: op for op in ops}
    if len(by_value) != len(ops):
        twice = [value for value, count in Counter(op.value for op in ops).items() if count > 1]
        raise ValueError(f"values must be unique, these were tried more than once: {twice[:5]}")
    counts = Counter(data[master])
    unknown = [op for op in ops if op.result is Result.UNKNOWN]
    return Verdict(
        acked=sum(op.is_acked for op in ops),
        failed=sum(op.result is Result.FAILED for op in ops),
        unknown=len(unknown),
        unknown_present=sum(op.value in counts for op in unknown),
        lost=tuple(op for op in ops if op.is_acked and op.value not in counts),
        resurrected=tuple(op for op in ops if op.result is Result.FAILED and op.value in counts),
        duplicated=tuple(value for value, count in counts.items() if count > 1),
        unexpected=tuple(value for value in counts if value not in by_value),
        diverged=divergences(data, master=master),
        two_masters=two_masters(ops),
    )


def divergences(data: Mapping[str, Sequence[str]], *, master: str) -> dict[str, Divergence]:
    """Every other node that does not hold exactly what the master holds, in the master's order."""
    reference = data[master]
    found: dict[str, Divergence] = {}
    for node, values in data.items():
        if node == master:
            continue
        missing = tuple((Counter(reference) - Counter(values)).elements())
        extra = tuple((Counter(values) - Counter(reference)).elements())
        difference = Divergence(
            missing=missing,
            extra=extra,
            is_reordered=not missing and not extra and list(values) != list(reference),
        )
        if difference:
            found[node] = difference
    return found


def longest_gap(history: Iterable[Op], *, since: float | None = None, until: float | None = None) -> Gap:
    """The longest time without an acknowledged write, by the instants at which clients got their answers.

    The run's edges count: writes that never came back make a gap up to `until` (default: when the last
    operation completed), and the first one begins at `since` (default: when the first operation was
    invoked). For an outage hand over the operations of those clients that were to be served. Raises
    ValueError for an empty history.
    """
    ops = list(history)
    if not ops:
        raise ValueError("an empty history has no gap: no client wrote")
    start = min(op.invoked for op in ops) if since is None else since
    end = max(op.completed for op in ops) if until is None else until
    if start > end:
        raise ValueError(f"the time to look at ends ({end:.3f}) before it begins ({start:.3f})")
    acks = sorted(op.completed for op in ops if op.is_acked and start <= op.completed <= end)
    edges = [start, *acks, end]
    # Of equally long gaps the first one.
    return max(
        (Gap(seconds=b - a, since=a, until=b) for a, b in pairwise(edges)),
        key=lambda gap: (gap.seconds, -gap.since),
    )


def two_masters(history: Iterable[Op], *, shortest_term_s: float = SHORTEST_TERM_S) -> tuple[Overlap, ...]:
    """Pairs of processes that acknowledged writes at the same time, as far as the history proves it.

    Proof: A answered, then a write that was invoked later was answered by B, then one that was invoked
    later still by A again, and B's turn in between lasted less than `shortest_term_s` (a master that lost
    its place and won it back in two real moves is no offender). Clients must write often enough on both
    sides to show it; a history without run ids shows nothing.
    """
    acks = sorted(
        (op for op in history if op.is_acked and op.node is not None),
        key=lambda op: (op.completed, op.invoked),
    )
    nodes = sorted({op.node for op in acks if op.node is not None})
    found = []
    for i, first in enumerate(nodes):
        for second in nodes[i + 1 :]:
            overlap = _turns(
                [op for op in acks if op.node in (first, second)], shortest_term_s=shortest_term_s
            )
            if overlap is not None:
                found.append(overlap)
    return tuple(found)


def _turns(acks: Sequence[Op], *, shortest_term_s: float) -> Overlap | None:
    """The time in which two processes took turns, from the first proof of it to the last."""
    proofs = [
        (before.completed, after.invoked)
        for before, after in _sandwiches(acks)
        if after.invoked - before.completed < shortest_term_s
    ]
    if not proofs:
        return None
    since, until = min(p[0] for p in proofs), max(p[1] for p in proofs)
    nodes = sorted({op.node for op in acks if op.node is not None})
    return Overlap(
        nodes=(nodes[0], nodes[1]),
        since=since,
        until=until,
        acked=sum(since <= op.completed and op.invoked <= until for op in acks),
    )


def _sandwiches(acks: Sequence[Op]) -> Iterator[tuple[Op, Op]]:
    """For each answer: the nearest answers of the other process strictly before and strictly after it, if
    any.

    Strictly: before had returned when it was invoked, and after was invoked when it had returned.
    """
    by_node: dict[str | None, tuple[list[Op], list[Op]]] = {}
    for node in {op.node for op in acks}:
        own = [op for op in acks if op.node == node]
        by_node[node] = (sorted(own, key=_completed), sorted(own, key=_invoked))
    for middle in acks:
        for node, (by_completion, by_invocation) in by_node.items():
            if node == middle.node:
                continue
            before = bisect_left(by_completion, middle.invoked, key=_completed) - 1
            after = bisect_right(by_invocation, middle.completed, key=_invoked)
            if before >= 0 and after < len(by_invocation):
                yield by_completion[before], by_invocation[after]


def _completed(op: Op) -> float:
    return op.completed


def _invoked(op: Op) -> float:
    return op.invoked


def _span(lost: Sequence[Op]) -> str:
    """Over which time the lost writes were acknowledged, as text."""
    if not lost:
        return ""
    times = [op.completed for op in lost]
    return f" (acknowledged over {max(times) - min(times):.2f} s)"
