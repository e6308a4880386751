"""One repetition as data: a line of JSON each, so that the files of several runs can be read as one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ClientFigures:
    """What one client saw. `outage_s`: longest time between two acknowledged writes around the fault; where
    the client did not come back (`is_back` false) it is how long it was watched."""

    outage_s: float
    is_back: bool
    acked: int
    lost: int | None  # None: the data could not be read as settled
    errors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """What a sample belongs to: samples of one cell are repetitions of each other."""

    scenario: str
    subject: str
    profile: str
    image: str


@dataclass(frozen=True)
class Sample:
    """One repetition. `run` names the run that it was made in (see `Run`); times are seconds."""

    run: str
    number: int
    scenario: str
    subject: str
    profile: str
    image: str
    clients: Mapping[str, ClientFigures]
    green_s: float | None  # None: not green without help within the time that was given
    resurrected: int = 0
    diverged: int = 0  # nodes that differ from the master
    two_masters_s: float = 0.0
    load: float = (
        0.0  # of the machine, when the repetition ended: what it does to figures is not the subject's doing
    )
    marks: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def cell(self) -> Cell:
        """Which figures it belongs to."""
        return Cell(self.scenario, self.subject, self.profile, self.image)


@dataclass(frozen=True)
class Run:
    """What a run was made on: `facts` are lines for people by their headings."""

    run: str
    facts: Mapping[str, str]


def dump(each: Sample | Run) -> str:
    """One line of JSON, without its newline."""
    kind = "sample" if isinstance(each, Sample) else "run"
    return json.dumps({"kind": kind} | dataclasses.asdict(each), separators=(",", ":"))


def parse(line: str) -> Sample | Run:
    """The inverse of `dump`. Raises ValueError that shows the line."""
    try:
        fields: dict[str, Any] = json.loads(line)
        kind = fields.pop("kind")
        if kind == "run":
            return Run(**fields)
        fields["clients"] = {name: ClientFigures(**each) for name, each in fields["clients"].items()}
        fields["notes"] = tuple(fields["notes"])
        return Sample(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a line of the bench ({error}): {line[:120]!r}") from error


def load(lines: Iterable[str]) -> Iterator[Sample | Run]:
    """Every line of a file; empty ones are skipped. Raises ValueError."""
    return (parse(line) for line in lines if line.strip())
