"""What a procedure answers."""

from __future__ import annotations

from dataclasses import dataclass

from ..actions import Action


@dataclass(frozen=True, kw_only=True)
class Handover:
    """The master's role has to go to one of `candidates`, pods that may become master, best first.

    `why` is one sentence. Only what carries out switchovers acts on it; the procedure waits until another is
    master.
    """

    candidates: tuple[str, ...]
    why: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """`actions` in order; `note` says what is being done or waited for, `reason` is Progressing's.

    `risk` (reason, sentence) becomes the condition DataLossRisk: the procedure has stopped on purpose. `blocked`
    (reason, sentence) becomes Degraded: a person has to mend something.
    """

    note: str
    actions: tuple[Action, ...] = ()
    risk: tuple[str, str] | None = None
    missing: tuple[str, ...] = ()  # pods that are waited for: status.missing says since when
    blocked: tuple[str, str] | None = None
    handover: Handover | None = None
    reason: str = "Working"
