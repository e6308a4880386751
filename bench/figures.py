"""From histories to figures. Pure functions."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.workload.checker import Gap, longest_gap
from tests.workload.history import Op, Result


@dataclass(frozen=True)
class Summary:
    """Of `n` numbers. With n <= 20 the p95 is the maximum (nearest rank)."""

    n: int
    median: float
    p95: float
    max: float


def percentile(numbers: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest number that `share` (0 to 1) of all do not exceed. It is always
    one that was measured. Raises ValueError when there is none."""
    if not numbers:
        raise ValueError("there is no percentile of nothing")
    rank = max(math.ceil(share * len(numbers)), 1)
    return sorted(numbers)[rank - 1]


def summary(numbers: Sequence[float]) -> Summary:
    """Median (the mean of the middle two), p95 and maximum. Raises ValueError when there is nothing."""
    if not numbers:
        raise ValueError("there is no summary of nothing")
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Summary(n=len(ordered), median=median, p95=percentile(ordered, 0.95), max=ordered[-1])


def outage(history: Iterable[Op], *, at: float, until: float) -> Gap:
    """The gap that a fault at the instant `at` made, for one client: the longest time between two acknowledged
    writes from the last one before it up to `until`.

    The fault falls into a gap that had begun before it, and that whole gap is the client's: an outage is counted
    from the last write that was acknowledged. Raises ValueError when nothing was acknowledged before the fault.
    """
    ops = list(history)
    before = [op.completed for op in ops if op.is_acked and op.completed <= at]
    if not before:
        raise ValueError(
            "no write was acknowledged before the fault, so no outage can be told from a late start"
        )
    return longest_gap(ops, since=max(before), until=until)


def is_back(history: Iterable[Op], *, after: float, count: int) -> bool:
    """Whether `count` writes that were begun at or after an instant are acknowledged."""
    return sum(op.is_acked and op.invoked >= after for op in history) >= count


def errors_by_kind(history: Iterable[Op], *, since: float, until: float) -> dict[str, int]:
    """How many writes failed how, most frequent first: Redis' error word (READONLY, NOREPLICAS …), CONNECT with
    what the network said, or "no answer" with it, for a write whose fate the client cannot know."""
    counts = Counter(
        _kind(op) for op in history if not op.is_acked and since <= op.completed and op.invoked <= until
    )
    return dict(counts.most_common())


def _kind(op: Op) -> str:
    reason = op.reason or ""
    if op.result is Result.UNKNOWN:
        return f"no answer ({_word(reason)})"
    code, _, rest = reason.partition(": ")
    return f"{code} ({_word(rest)})" if code == "CONNECT" else code


_ERRNO = re.compile(r"\bE?rr(?:or|no) (\d+)\b", re.IGNORECASE)
_WORDS = ("refused", "timed out", "timeout", "reset", "closed", "unreachable", "no master")


def _word(reason: str) -> str:
    """An error in a word or two: what the kernel calls it where it gave a number, else what the text says."""
    number = _ERRNO.search(reason)
    if number:
        return os.strerror(int(number[1])).lower()
    text = reason.lower()
    return next((word for word in _WORDS if word in text), reason.partition(":")[0].strip() or "unknown")
