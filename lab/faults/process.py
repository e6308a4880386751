"""kill: end a process in a pod. freeze: stop everything in a pod, or on a node, without ending it."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from lab.cgroups import Group
from lab.errors import LabError
from lab.faults import pods
from lab.faults.base import Fault
from lab.hosts import NODES

if TYPE_CHECKING:
    from lab.cluster import Lab


@dataclass(frozen=True)
class Killed:
    """Processes that got a signal: `pids` as this machine numbers them. There is nothing to undo: what supervises
    them (kubelet, usually) starts them again."""

    pids: tuple[int, ...]
    summary: str

    def undo(self) -> None:
        """Does nothing; here so that every verb can be used alike."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def kill(lab: Lab, pod: pods.Pod, *, command: str, container: str | None, number: signal.Signals) -> Killed:
    """Send a signal to the processes `command` in a pod; children that they forked of themselves are left out.

    Raises UsageError where there is no such process.
    """
    found = pods.processes(lab, pod, command=command, container=container)
    leaders = tuple(pid for pid in found if pods.parent(pid) not in found)
    group = pods.group(lab, pod)
    for pid in leaders:
        _signal(pid, number, group)
    return Killed(leaders, f"{number.name} to {command} in {pod.name} on {pod.node}")


def _signal(pid: int, number: signal.Signals, group: Group) -> None:
    # The handle holds on to the process; only then is it certain that the number still means the one in the pod.
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if pid not in group.members():
                raise LabError(f"process {pid} has left the pod, it gets no signal")
            signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


@dataclass(frozen=True)
class Freeze(Fault):
    """Every process of a control group stands still; connections stay open, and the kernel still acknowledges."""

    kind: ClassVar[str] = "freeze"
    target: str
    group: str

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"{self.target} is frozen"

    def apply(self, lab: Lab) -> None:  # noqa: ARG002 - the record says it all
        """Freeze."""
        Group(self.group).freeze(True)

    def revert(self, lab: Lab) -> None:  # noqa: ARG002 - the record says it all
        """Thaw, where it still exists."""
        if Group(self.group).exists:
            Group(self.group).freeze(False)


def freeze(lab: Lab, target: str, *, container: str | None) -> Freeze:
    """The fault for a node ("node1") or a pod ("namespace/pod"); raises UsageError, NotUp."""
    if target in NODES:
        lab.node(target).require_pid()
        return Freeze(target=target, group=lab.node(target).group.path)
    pod = pods.find(lab, *pods.split(target))
    return Freeze(target=target, group=pods.group(lab, pod, container=container).path)
