"""What a check is, what it finds, and the list of all checks.

A check is a pure function from the facts to findings; its id, which people quote, is given where it is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ..facts import Facts


class Row(StrEnum):
    """The six rows of the documentation's troubleshooting, and what stands in none of them."""

    CONNECTION = "Connection Failures"
    FAILOVER = "Failover Not Working"
    SPLIT_BRAIN = "Split Brain"
    SLOW = "Slow Failover"
    POOL = "Connection Pool Exhausted"
    AUTH = "Authentication Failures"
    USUAL = "Usual Suspects"


class Severity(StrEnum):
    ERROR = "error"  # something does not work
    WARNING = "warning"  # it works, and will not when the next thing happens
    NOTE = "note"  # worth knowing; no fault


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is amiss, what proves it, and the command that mends it. No secret is in any of the three."""

    finding: str
    proof: str
    cure: str
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A Found with the id and the row of the check that found it."""

    id: str
    row: Row
    severity: Severity
    finding: str
    proof: str
    cure: str


Look = Callable[[Facts], Iterator[Found]]


@dataclass(frozen=True, kw_only=True)
class Check:
    id: str
    row: Row
    about: str  # the question, in one line
    look: Look


CHECKS: Final[dict[str, Check]] = {}


def check(id: str, row: Row) -> Callable[[Look], Look]:
    """Register a check; its docstring's first line is the question that it answers."""

    def register(look: Look) -> Look:
        if id in CHECKS:
            raise ValueError(f"there are two checks {id}")
        about = (look.__doc__ or "").strip().split("\n", 1)[0]
        CHECKS[id] = Check(id=id, row=row, about=about, look=look)
        return look

    return register
