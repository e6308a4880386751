"""power-off: a node dies at once, with no goodbye. cut: its network cable is pulled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lab import assembly, loops, network, removal
from lab.errors import UsageError
from lab.faults.base import Fault, active_faults
from lab.hosts import CLIENT, CONTROL, NODES

if TYPE_CHECKING:
    from lab.cluster import Lab


@dataclass(frozen=True)
class PowerOff(Fault):
    """A node is without power. Its disk survives, nothing else."""

    kind: ClassVar[str] = "power-off"
    node: str

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"{self.node} is powered off"

    def apply(self, lab: Lab) -> None:
        """Pull the cable, so that no dying process says goodbye, then end everything."""
        network.unlink(self.node, lab.host(CONTROL))
        lab.node(self.node).kill()
        disks = lab.layout.node_disk(self.node) / "volumes"
        loops.wait_detached(sorted(disks.glob("*.ext4")))

    def revert(self, lab: Lab) -> None:
        """Power on; other faults that still hold are done to the fresh node before it can send anything."""
        if lab.node(self.node).pid is not None:
            return
        booted = assembly.boot_node(lab, self.node)
        for active in active_faults(lab):
            active.fault.replug(lab, self.node)
        booted.go()
        removal.record_devices(lab.layout)


@dataclass(frozen=True)
class Cut(Fault):
    """A host's link is down: it sees nobody, and nobody sees it."""

    kind: ClassVar[str] = "cut"
    host: str

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"{self.host} is cut off"

    def apply(self, lab: Lab) -> None:
        """Unplug."""
        network.set_link(self.host, lab.host(CONTROL), up=False)

    def revert(self, lab: Lab) -> None:
        """Plug in again; a node that is off gets its link when it is powered on."""
        if lab.host(self.host).pid is not None:
            network.set_link(self.host, lab.host(CONTROL), up=True)

    def replug(self, lab: Lab, node: str) -> None:
        """A node that comes back while it is cut off stays so."""
        if node == self.host:
            network.set_link(self.host, lab.host(CONTROL), up=False)


def power_off(lab: Lab, node: str) -> PowerOff:
    """The fault for a node that is on; raises UsageError for another."""
    if lab.node(node).pid is None:
        raise UsageError(f"{node} is powered off already")
    return PowerOff(node=node)


def cut(lab: Lab, host: str) -> Cut:
    """The fault for a host that is on and has a cable; raises UsageError for another."""
    if host not in (*NODES, CLIENT):
        raise UsageError(f"{host!r} has no cable to pull; there are {', '.join((*NODES, CLIENT))}")
    lab.host(host).require_pid()
    return Cut(host=host)
