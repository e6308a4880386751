"""What all faults share: they are data that is written down before they happen, so that anybody can undo them.

A fault is a frozen dataclass with `apply` and `revert`, both idempotent. `Active` ties it to a laboratory and to its
record in `<laboratory>/faults/<id>.json`: another process, or the next one after a crash, finds and undoes it there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from lab.cluster import Lab

KINDS: dict[str, type[Fault]] = {}


@dataclasses.dataclass(frozen=True)
class Fault(ABC):
    """One fault. Fields are JSON-able: strings, numbers, and lists of them."""

    kind: ClassVar[str]

    def __init_subclass__(cls) -> None:
        if "kind" in cls.__dict__:
            KINDS[cls.kind] = cls

    @property
    @abstractmethod
    def summary(self) -> str:
        """One line for people."""

    @abstractmethod
    def apply(self, lab: Lab) -> None:
        """Do it."""

    @abstractmethod
    def revert(self, lab: Lab) -> None:
        """Undo it as far as there is something to undo."""

    def replug(self, lab: Lab, node: str) -> None:  # noqa: B027 - most faults do not care
        """Called when `node` was powered on while this fault is active."""


class Active:
    """A fault that was done. `undo()` may be called twice; as a context manager it undoes at the end.

    Where the same fault was done twice, the last undo takes it away.
    """

    def __init__(self, lab: Lab, fault: Fault, *, identity: str) -> None:
        self._lab, self.fault, self.identity = lab, fault, identity

    def __repr__(self) -> str:
        return f"<fault {self.identity}: {self.fault.summary}>"

    @property
    def summary(self) -> str:
        """One line for people, with the id that `heal` takes."""
        return f"{self.identity} {self.fault.summary}"

    @property
    def record(self) -> Path:
        """Where it is written down while it is active."""
        return self._lab.layout.faults / f"{self.identity}.json"

    def undo(self) -> None:
        """Undo the fault; nothing happens where it is undone already or the laboratory is gone."""
        if self.record.exists():
            self._lab.require_up()
            # Forgotten first: what reverts looks at the faults that remain.
            self.record.unlink(missing_ok=True)
            try:
                if not any(other.fault == self.fault for other in active_faults(self._lab)):
                    self.fault.revert(self._lab)
            except BaseException:
                write_record(self.record, self.fault)
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def write_record(path: Path, fault: Fault) -> None:
    """Write a fault down; the record appears complete or not at all."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"kind": fault.kind, "fields": dataclasses.asdict(fault)}))
    new.rename(path)


def begin(lab: Lab, fault: Fault) -> Active:
    """Write the fault down, then do it; when it fails half-way it is undone as far as it went."""
    lab.require_up()
    active = Active(lab, fault, identity=f"{fault.kind}-{secrets.token_hex(3)}")
    write_record(active.record, fault)
    try:
        fault.apply(lab)
    except BaseException:
        active.undo()
        raise
    return active


def active_faults(lab: Lab) -> list[Active]:
    """The laboratory's active faults, the oldest first."""
    with contextlib.suppress(FileNotFoundError):
        records = sorted(lab.layout.faults.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [
            Active(lab, fault, identity=path.stem) for path in records if (fault := _read(path)) is not None
        ]
    return []


def _read(path: Path) -> Fault | None:
    with contextlib.suppress(FileNotFoundError):  # undone this very moment
        stored: dict[str, Any] = json.loads(path.read_text())
        return KINDS[stored["kind"]](**stored["fields"])
    return None


def forget(lab: Lab, fault: Fault) -> None:
    """Remove the records of a fault that is equal to `fault`, without undoing anything."""
    for active in active_faults(lab):
        if active.fault == fault:
            active.record.unlink(missing_ok=True)


@contextmanager
def locked(lab: Lab) -> Iterator[None]:
    """One process at a time in what reads all records and acts on them."""
    handle = os.open(lab.layout.faults, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
