"""clock: the wall clock of the processes in a pod jumps, forward or back (see `lab.faults.vdso`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from lab.cgroups import Group
from lab.faults import pods, vdso
from lab.faults.base import Fault
from lab.shell import wait_until

if TYPE_CHECKING:
    from lab.cluster import Lab

QUIET_DEADLINE_S = 20


@contextmanager
def _stopped(group: Group) -> Iterator[None]:
    """The group stands still meanwhile; a freeze by somebody else stays."""
    if group.is_frozen:
        yield
        return
    group.freeze(True)
    try:
        yield
    finally:
        group.freeze(False)


def shift(group: Group, pids: list[int], *, seconds: int) -> None:
    """Set how far the clocks of processes in a control group are off; those that have ended are passed over.

    Raises WaitTimeout when a process cannot be caught outside its clock routines.
    """
    changes = vdso.patches(vdso.own_image(), seconds=seconds)
    left = set(pids)

    def attempt() -> tuple[bool, list[int]]:
        with _stopped(group):
            for pid in left & set(group.members()):
                place = vdso.mapping(pid)
                if not vdso.runs_inside(pid, place):
                    vdso.write(pid, place, changes)
                    left.discard(pid)
            left.intersection_update(group.members())
        return not left, sorted(left)

    wait_until("the processes can be caught outside their clock routines", attempt, seconds=QUIET_DEADLINE_S)


@dataclass(frozen=True)
class Clock(Fault):
    """Wall clocks of some processes are off by `seconds` (ahead when positive). A process that is started anew has
    the right time again."""

    kind: ClassVar[str] = "clock"
    pod: str
    group: str
    pids: list[int] = field(hash=False)
    seconds: int

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"clocks in {self.pod} are off by {self.seconds:+} s"

    def apply(self, lab: Lab) -> None:  # noqa: ARG002 - the record says it all
        """Jump."""
        shift(Group(self.group), self.pids, seconds=self.seconds)

    def revert(self, lab: Lab) -> None:  # noqa: ARG002 - the record says it all
        """Jump back, in the processes that still live."""
        if Group(self.group).exists:
            shift(Group(self.group), self.pids, seconds=0)


def clock(lab: Lab, pod: pods.Pod, *, seconds: int, process: str | None, container: str | None) -> Clock:
    """The fault for the processes of a pod that run now, or those of one command; raises UsageError."""
    pids = pods.processes(lab, pod, command=process, container=container)
    return Clock(pod=pod.name, group=pods.group(lab, pod).path, pids=pids, seconds=seconds)
