"""What can be amiss: each check is a pure function from the facts to findings, with an id that people can quote."""

from __future__ import annotations

from ..facts import Facts
from . import connection, failover, members, operator, passwords, pool  # noqa: F401 - they register their checks
from .finding import CHECKS, Check, Finding, Found, Row, Severity

__all__ = ["CHECKS", "Check", "Finding", "Found", "Row", "Severity", "examine", "is_healthy"]

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
_ROWS = list(Row)


def examine(facts: Facts) -> tuple[Finding, ...]:
    """All findings, errors first, in the order of the documentation's rows."""
    found = [
        Finding(
            id=check.id,
            row=check.row,
            severity=one.severity,
            finding=one.finding,
            proof=one.proof,
            cure=one.cure,
        )
        for check in CHECKS.values()
        for one in check.look(facts)
    ]
    return tuple(sorted(found, key=lambda one: (_ORDER[one.severity], _ROWS.index(one.row))))


def is_healthy(findings: tuple[Finding, ...]) -> bool:
    """Nothing is amiss: notes may stand there."""
    return all(one.severity is Severity.NOTE for one in findings)
