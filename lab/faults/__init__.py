"""Faults: everything that can be done to a laboratory, each with its undo.

`lab.faults` is a `Faults`. Every verb that lasts returns an `Active`, whose `undo()` may be called twice and which
undoes at the end of a `with` block. Faults survive the process that made them: `active()` lists and `heal()` undoes
what any process has left. Every verb raises NotUp when the laboratory is not up and UsageError when its target is
not there; none touches a process or an address that is not the laboratory's.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from lab.errors import UsageError
from lab.faults import clock as _clock
from lab.faults import disk, firewall, pods, power, process
from lab.faults.base import Active, Fault, active_faults, begin, forget
from lab.faults.process import Killed

if TYPE_CHECKING:
    from lab.cluster import Lab

F = TypeVar("F", bound=Fault)

__all__ = ["Active", "Fault", "Faults", "Killed"]


class Faults:
    """The faults of one laboratory."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    # -- processes ----------------------------------------------------------------------------------------

    def kill(
        self,
        namespace: str,
        pod: str,
        process_name: str,
        *,
        signal: signal.Signals = signal.SIGKILL,
        container: str | None = None,
    ) -> Killed:
        """Send a signal to a process in a pod, by its command's name ("redis-server"). Has no undo."""
        found = pods.find(self._lab, namespace, pod)
        return process.kill(self._lab, found, command=process_name, container=container, number=signal)

    def freeze(self, target: str, *, container: str | None = None) -> Active:
        """Stop every process of a node ("node1"), a pod ("namespace/pod") or one of its containers."""
        self._lab.require_up()
        return begin(self._lab, process.freeze(self._lab, target, container=container))

    def thaw(self, target: str) -> None:
        """Undo every freeze of this node or pod."""
        self._undo_all(
            process.Freeze, lambda fault: fault.target == target, otherwise=f"{target} is not frozen"
        )

    # -- nodes --------------------------------------------------------------------------------------------

    def power_off(self, node: str) -> Active:
        """A node dies at once; returns when it is dead. Undo powers it on."""
        self._lab.require_up()
        return begin(self._lab, power.power_off(self._lab, node))

    def power_on(self, node: str) -> None:
        """Power a node on, however it was lost; returns when it boots (wait for its condition Ready yourself)."""
        self._lab.require_up()
        if self._lab.node(node).pid is not None:
            raise UsageError(f"{node} is powered on already")
        fault = power.PowerOff(node=node)
        forget(self._lab, fault)
        fault.revert(self._lab)

    def cut(self, host: str) -> Active:
        """Pull the network cable of a node, or of the client."""
        self._lab.require_up()
        return begin(self._lab, power.cut(self._lab, host))

    def join(self, host: str) -> None:
        """Plug the cable in again."""
        self._undo_all(power.Cut, lambda fault: fault.host == host, otherwise=f"{host} is not cut off")

    # -- network ------------------------------------------------------------------------------------------

    def partition(self, *, a: Sequence[str], b: Sequence[str], direction: str = firewall.BOTH) -> Active:
        """Drop all packets between two sides, each of nodes (with their pods), pods ("namespace/pod"), "client" and
        "control"; `direction` is "both", "a-to-b" or "b-to-a"."""
        self._lab.require_up()
        return begin(self._lab, firewall.partition(self._lab, a=list(a), b=list(b), direction=direction))

    def dns_off(self) -> Active:
        """No question to a DNS server is answered, on all nodes and the client."""
        return begin(self._lab, firewall.DnsOff())

    def dns_on(self) -> None:
        """Undo dns_off."""
        self._undo_all(firewall.DnsOff, lambda _: True, otherwise="DNS is not off")

    # -- clocks and disks ---------------------------------------------------------------------------------

    def clock(
        self,
        namespace: str,
        pod: str,
        seconds: int,
        *,
        process: str | None = None,
        container: str | None = None,
    ) -> Active:
        """The wall clocks of a pod's running processes (or those of one command) are `seconds` ahead of the right
        time from now on, behind when negative. Undo makes them right again."""
        found = pods.find(self._lab, namespace, pod)
        fault = _clock.clock(self._lab, found, seconds=seconds, process=process, container=container)
        for active in active_faults(self._lab):
            if isinstance(active.fault, _clock.Clock) and active.fault.group == fault.group:
                active.undo()
        return begin(self._lab, fault)

    def fill_disk(
        self, namespace: str, pod: str, *, volume: str | None = None, leave_bytes: int = 0
    ) -> Active:
        """A pod's claimed volume is full from now on, but for `leave_bytes`; `volume` names it where the pod has
        several."""
        found = pods.find(self._lab, namespace, pod)
        return begin(self._lab, disk.fill_disk(self._lab, found, volume=volume, leave_bytes=leave_bytes))

    # -- all ----------------------------------------------------------------------------------------------

    def active(self) -> list[Active]:
        """The faults that are active, whoever did them, the oldest first."""
        return active_faults(self._lab)

    def heal(self, identity: str | None = None) -> list[str]:
        """Undo one fault by its id, or all of them, the newest first; returns their summaries.

        Nodes that are off for any other reason are powered on, too, when all are healed.
        """
        self._lab.require_up()
        chosen = [active for active in self.active() if identity in (None, active.identity)]
        if identity is not None and not chosen:
            raise UsageError(f"there is no active fault {identity!r}; `python -m lab status` lists them")
        # Nodes first: what was done inside of them can be undone only while they run.
        order = chosen[::-1]
        order.sort(key=lambda each: not isinstance(each.fault, power.PowerOff))
        for active in order:
            active.undo()
        healed = [active.summary for active in chosen]
        if identity is None:
            for node in set(self._lab.nodes) - set(self._lab.running_nodes()):
                self.power_on(node)
                healed.append(f"{node} was off")
        return healed

    def _undo_all(self, kind: type[F], matches: Callable[[F], bool], *, otherwise: str) -> None:
        self._lab.require_up()
        found = [each for each in self.active() if isinstance(each.fault, kind) and matches(each.fault)]
        if not found:
            raise UsageError(otherwise)
        for each in found:
            each.undo()
