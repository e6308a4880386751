"""What the observation means: who is master, who else says so, and may anything be changed now.

Pure. The one truth about the master (rule 2): the address that a majority of all sentinels names with the same,
highest config-epoch, and whose node says role:master. Everything here is derived from one snapshot; nothing is
remembered. Called by plan and status.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass

from .model import DataNode, Observed, Reach, SentinelNode


class View(enum.Enum):
    """What the sentinels say together."""

    AGREED = "agreed"  # a majority names one address with one config-epoch, and nobody knows a higher one
    BARE = "bare"  # a majority answers, and none that answers monitors anything
    SPLIT = "split"  # a majority answers, without agreement
    MINORITY = "minority"  # fewer than a majority answer
    NONE = "none"  # standalone: there are no sentinels to ask


# Flags of SENTINEL MASTER under which nobody but Sentinel acts (rule 6). A proven crash and a lost address show the
# other two as well: they are ours to mend until one of the first three is there.
HANDS_OFF = frozenset({"o_down", "failover_in_progress", "force_failover"})
BUSY_FLAGS = HANDS_OFF | {"s_down", "disconnected"}


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The judgement of one snapshot.

    `address`, `epoch` and `votes` are the sentinels' agreed master, whether or not its node answers.
    `master` is the truth of rule 2, None where there is none to be had now.
    `second_masters` are nodes that say role:master and are not the truth.
    `unrest` says in words why hands are off (rule 6), None where the set is calm.
    """

    view: View
    majority: int
    address: str | None = None
    epoch: int | None = None
    votes: int = 0
    master: DataNode | None = None
    second_masters: tuple[DataNode, ...] = ()
    unrest: str | None = None

    @property
    def is_calm(self) -> bool:
        return self.unrest is None


def judge(observed: Observed, *, sentinels: int) -> Topology:
    """The topology of a snapshot; `sentinels` is the expected count of sentinels, 0 in standalone mode."""
    if sentinels == 0:
        return _judge_standalone(observed)
    majority = sentinels // 2 + 1
    answering = [node for node in observed.sentinels if node.is_up]
    monitoring = [node for node in answering if node.monitors]
    if len(answering) < majority:
        return Topology(
            view=View.MINORITY,
            majority=majority,
            second_masters=_masters(observed),
            unrest=f"only {len(answering)} of {sentinels} sentinels answer",
        )
    if not monitoring:
        return Topology(view=View.BARE, majority=majority, second_masters=_masters(observed))

    named = Counter((node.master_address, node.config_epoch) for node in monitoring)
    (address, epoch), votes = max(named.items(), key=lambda item: item[1])
    highest = max(node.config_epoch or 0 for node in monitoring)
    if votes < majority or (epoch or 0) < highest:
        seen = ", ".join(f"{a} at epoch {e} ({n})" for (a, e), n in sorted(named.items(), key=str))
        return Topology(
            view=View.SPLIT,
            majority=majority,
            second_masters=_masters(observed),
            unrest=f"the sentinels do not agree: {seen}",
        )
    node = observed.node_at(address)
    master = node if node is not None and node.is_master else None
    return Topology(
        view=View.AGREED,
        majority=majority,
        address=address,
        epoch=epoch,
        votes=votes,
        master=master,
        second_masters=tuple(n for n in _masters(observed) if n is not master),
        unrest=_unrest(answering, address=address, epoch=epoch) or _handing_over(observed),
    )


def _judge_standalone(observed: Observed) -> Topology:
    masters = _masters(observed)
    master = masters[0] if len(masters) == 1 else None
    return Topology(
        view=View.NONE,
        majority=0,
        address=master.address if master else None,
        master=master,
        second_masters=() if master else masters,
    )


def _masters(observed: Observed) -> tuple[DataNode, ...]:
    return tuple(node for node in observed.data if node.is_master)


def _unrest(answering: list[SentinelNode], *, address: str | None, epoch: int | None) -> str | None:
    for node in answering:
        if node.tilt:
            return f"sentinel {node.pod} is in TILT"
        if not node.monitors:
            continue
        busy = node.flags & BUSY_FLAGS
        if busy:
            return f"sentinel {node.pod} shows the master as {', '.join(sorted(busy))}"
        if (node.master_address, node.config_epoch) != (address, epoch):
            return f"sentinel {node.pod} names {node.master_address} at epoch {node.config_epoch}"
    return None


def _handing_over(observed: Observed) -> str | None:
    """The members are asked one after another: around a FAILOVER both sides can seem to be master."""
    return next((f"{node.pod} is handing its role over" for node in observed.data if node.failing_over), None)


def failover_blockers(observed: Observed, topology: Topology, *, sentinels: int) -> tuple[str, str] | None:
    """Why a crash of the master now would not heal by itself: (reason, sentence), or None where it would.

    Reads the sentinels' own views, since they will decide: a majority of them must show a replica that they
    would promote (priority above 0, link known), and that replica must be in sync by its own word.
    """
    if sentinels == 0:
        return "Standalone", "a single Redis has nobody to fail over to"
    if topology.view is View.MINORITY:
        return "QuorumLost", f"{topology.unrest}; {topology.majority} are needed to elect a new master"
    if topology.view is View.BARE:
        return "SentinelsBare", "the sentinels monitor nothing yet"
    if topology.view is View.SPLIT:
        return "SentinelsDisagree", str(topology.unrest)
    if topology.master is None:
        return "NoMaster", f"no node answers as master at {topology.address}, which the sentinels name"
    synced = {node.address for node in observed.data if node.is_synced_replica}
    if not synced:
        return "NoReplicaInSync", "no replica is connected and in sync with the master"
    able = 0
    for node in observed.sentinels:
        if node.is_up and node.monitors and node.quorum_ok and not node.tilt:
            able += any(known.is_promotable and known.address in synced for known in node.replicas)
    if able < topology.majority:
        return (
            "SentinelsNotReady",
            f"{able} of {sentinels} sentinels see a quorum and a replica to promote, "
            f"{topology.majority} are needed",
        )
    return None


def quorum_at_risk(observed: Observed, *, sentinels: int) -> str | None:
    """The name of a node that carries a majority of the sentinels: its loss would end every failover (F67)."""
    if sentinels == 0:
        return None
    pods = {node.pod for node in observed.sentinels}
    carried = Counter(pod.node for pod in observed.pods if pod.name in pods and pod.node)
    return next((node for node, count in carried.items() if count >= sentinels // 2 + 1), None)


def reachable(observed: Observed) -> bool:
    """Did every data node answer? Absent answers are unknowns, and a choice by data needs them all."""
    return all(node.reach is Reach.UP for node in observed.data)
