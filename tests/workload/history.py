"""The history of a run as data: append-only JSON lines, one for each write that was tried.

Times are seconds of CLOCK_MONOTONIC, which all processes of one machine share (never the wall clock, which
a test may turn back).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Result(StrEnum):
    """What the client knows when the call returns."""

    OK = "ok"  # acknowledged: it must be there afterwards
    FAILED = "failed"  # certainly not executed: it must not be there
    UNKNOWN = "unknown"  # sent, and no answer came: both is right


@dataclass(frozen=True)
class Op:
    """One write of one client. `value` is unique in the whole history."""

    client: str
    value: str
    invoked: float
    completed: float
    result: Result
    node: str | None = None  # run id of the Redis process that acknowledged, where known
    reason: str | None = None  # why it failed, or why nobody knows

    @property
    def is_acked(self) -> bool:
        """True when Redis said yes."""
        return self.result is Result.OK


def dump(op: Op) -> str:
    """One JSON line, without its newline."""
    return json.dumps({k: v for k, v in asdict(op).items() if v is not None}, separators=(",", ":"))


def parse(line: str) -> Op:
    """The inverse of `dump()`. Raises ValueError that names what is wrong with the line."""
    try:
        fields: dict[str, Any] = json.loads(line)
        return Op(**(fields | {"result": Result(fields["result"])}))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"not a line of a history ({error}): {line[:120]!r}") from error


def load(lines: Iterable[str]) -> Iterator[Op]:
    """Every operation of a history file; empty lines are skipped. Raises ValueError."""
    return (parse(line) for line in lines if line.strip())
