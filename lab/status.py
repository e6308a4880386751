"""What a laboratory looks like from outside, as data and as text for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HostStatus:
    """One host: `powered` its pid 1 runs, `linked` its cable is plugged in, `frozen` its processes are stopped,
    `ready` the node's condition in the cluster (None where there is none: control, client, API out of reach),
    `memory_bytes` what its processes hold, page cache apart."""

    name: str
    address: str
    powered: bool
    linked: bool
    frozen: bool
    ready: bool | None
    memory_bytes: int

    @property
    def state(self) -> str:
        """One or two words for people."""
        if not self.powered:
            return "powered off"
        words = [word for word, true in (("frozen", self.frozen), ("cut off", not self.linked)) if true]
        if self.ready is not None:
            words.append("Ready" if self.ready else "NotReady")
        return ", ".join(words) or "running"


@dataclass(frozen=True)
class LabStatus:
    """A laboratory: `up` it is whole, `faults` the active faults as one line each."""

    name: str
    up: bool
    hosts: tuple[HostStatus, ...]
    faults: tuple[str, ...]

    @property
    def memory_bytes(self) -> int:
        """Memory of all hosts."""
        return sum(host.memory_bytes for host in self.hosts)

    def lines(self) -> list[str]:
        """For people."""
        if not self.up:
            return [f"the laboratory {self.name!r} is not up"]
        table = [f"{'HOST':<9}{'ADDRESS':<14}{'MEMORY':<11}STATE"]
        for host in self.hosts:
            memory = f"{host.memory_bytes / 2**20:.0f} MiB"
            table.append(f"{host.name:<9}{host.address:<14}{memory:<11}{host.state}")
        total = f"the laboratory {self.name!r} is up, {self.memory_bytes / 2**20:.0f} MiB of memory"
        return [total, *table, *(f"fault: {fault}" for fault in self.faults)]
