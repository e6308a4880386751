"""partition and dns: packets that are dropped on their way, whatever connection they belong to.

Every fault of this kind says which packets are dropped; `sync` writes the union of all active ones into a chain of
its own on the nodes and the client, so that order and overlap of faults do not matter. The chain hangs in mangle's
PREROUTING and POSTROUTING: there a packet to a Service already (or again) carries its pod's address, and a packet of
an open connection passes like any other, so open connections stall, too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from lab import network
from lab.errors import UsageError
from lab.faults import pods
from lab.faults.base import Fault, active_faults, locked
from lab.hosts import CLIENT, CONTROL, NODES
from lab.shell import run

if TYPE_CHECKING:
    from lab.cluster import Lab

CHAIN = "CONTEX-LAB-FAULTS"
BOTH, A_TO_B, B_TO_A = "both", "a-to-b", "b-to-a"
DIRECTIONS = (BOTH, A_TO_B, B_TO_A)
DNS_PORT = 53
_HOOK = f"""
iptables-restore --wait --noflush || exit 1
for hook in PREROUTING POSTROUTING; do
    iptables --wait -t mangle -C $hook -j {CHAIN} 2>/dev/null || iptables --wait -t mangle -I $hook -j {CHAIN} || exit 1
done
"""


class Drop(Fault):
    """A fault that consists of dropped packets."""

    @abstractmethod
    def rules(self) -> list[str]:
        """Matches of packets that are dropped, in iptables' words."""

    def apply(self, lab: Lab) -> None:
        """Start dropping, everywhere."""
        sync(lab)

    def revert(self, lab: Lab) -> None:
        """Stop dropping; called when this fault is no longer among the active ones."""
        sync(lab)

    def replug(self, lab: Lab, node: str) -> None:  # noqa: ARG002 - all hosts are synchronised
        """A fresh node has no rules."""
        sync(lab)


def restore_text(rules: Iterable[str]) -> str:
    """Input for iptables-restore: the chain with exactly these rules."""
    unique = dict.fromkeys(rules)
    return "\n".join(
        ["*mangle", f":{CHAIN} - [0:0]", *(f"-A {CHAIN} {rule} -j DROP" for rule in unique), "COMMIT", ""]
    )


def sync(lab: Lab) -> None:
    """Make every host that is on drop what the active faults say, and nothing else."""
    with locked(lab):
        rules = [
            r for active in active_faults(lab) if isinstance(active.fault, Drop) for r in active.fault.rules()
        ]
        for name in (*NODES, CLIENT):
            host = lab.host(name)
            if host.pid is not None:
                run([*host.enter_argv("net", "mnt"), "sh", "-c", _HOOK], input=restore_text(rules))


@dataclass(frozen=True)
class Partition(Drop):
    """Packets between two sides are dropped: `a` and `b` are the sides as they were named, `drops` (source,
    destination) ranges."""

    kind: ClassVar[str] = "partition"
    a: list[str] = field(hash=False)
    b: list[str] = field(hash=False)
    direction: str
    drops: list[list[str]] = field(hash=False)

    @property
    def summary(self) -> str:
        """One line for people."""
        arrow = {BOTH: "and", A_TO_B: "to", B_TO_A: "from"}[self.direction]
        return f"no packets between {', '.join(self.a)} {arrow} {', '.join(self.b)}"

    def rules(self) -> list[str]:
        """One rule for each pair of ranges."""
        return [f"-s {source} -d {destination}" for source, destination in self.drops]


def partition(lab: Lab, *, a: list[str], b: list[str], direction: str) -> Partition:
    """The fault between two sides of nodes, pods ("namespace/pod"), "client" and "control" (the control plane).

    Pods count with the address that they have now. Raises UsageError for an unknown name, an empty side, a name on
    both sides, or an unknown direction.
    """
    if direction not in DIRECTIONS:
        raise UsageError(f"{direction!r} is no direction; use one of {', '.join(DIRECTIONS)}")
    if not a or not b:
        raise UsageError("a partition needs at least one node or pod on each side")
    twice = sorted(set(a) & set(b))
    if twice:
        raise UsageError(f"{', '.join(twice)} cannot be on both sides of a partition")
    left = [r for name in a for r in _ranges(lab, name)]
    right = [r for name in b for r in _ranges(lab, name)]
    drops = [[s, d] for s in left for d in right] if direction in (BOTH, A_TO_B) else []
    drops += [[s, d] for s in right for d in left] if direction in (BOTH, B_TO_A) else []
    return Partition(a=list(a), b=list(b), direction=direction, drops=drops)


def _ranges(lab: Lab, name: str) -> tuple[str, ...]:
    if name in (*NODES, CLIENT, CONTROL):
        return network.ranges(name)
    if "/" not in name:
        raise UsageError(
            f"{name!r} is neither a node nor a pod; write node1, client, control or namespace/pod"
        )
    pod = pods.find(lab, *pods.split(name))
    address = pod.object["status"].get("podIP")
    if not address:
        raise UsageError(f"the pod {name} has no address yet")
    if pod.object["spec"].get("hostNetwork"):
        raise UsageError(f"the pod {name} uses the network of {pod.node}; partition the node instead")
    return (f"{address}/32",)


@dataclass(frozen=True)
class DnsOff(Drop):
    """No question to any DNS server is answered; resolvers run into their timeouts."""

    kind: ClassVar[str] = "dns-off"

    @property
    def summary(self) -> str:
        """One line for people."""
        return "DNS is off"

    def rules(self) -> list[str]:
        """Questions are dropped where they are asked."""
        return [f"-p {protocol} --dport {DNS_PORT}" for protocol in ("udp", "tcp")]
