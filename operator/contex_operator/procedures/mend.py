"""What is not as it should be in a set that has a master: mended by hand, sooner than Sentinel would.

  a second master       fenced at once, which can be undone; what it took is told; then it follows the true one.
                        Sentinel demotes it after 8 to 20 s, and until then its clients' writes are lost
  a stray replica       follows another address for longer than Sentinel needs to mend that itself
  what a move has left  fences and priorities that no intent explains any more (rule 12)

Never while a failover is under way (rule 6) or an intent is written: whoever has two roles then may be in the middle.
Pure; each pass looks anew. Called by plan and status.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..actions import Action, Follow, KillClients, RememberInStatus, SetConfig
from ..model import DataNode, Observed, seconds, utc
from ..spec import Spec
from ..topology import Topology

# A master that asks for so many replicas takes no write. Not 99: that is the start gate's own fence, and its affair.
FENCE: Final = 9999
USUAL_PRIORITY: Final = 100
NOBODY: Final = "127.0.0.1"  # whom a pod follows that still waits at its start gate
STRAY_FOR_S: Final = 20.0  # beyond failover-timeout: Sentinel leads a stray back itself within that


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A second master beside the true one; `taken` are the bytes of writes that only it has, None = not known."""

    node: DataNode
    truth: DataNode
    taken: int | None

    def __str__(self) -> str:
        took = "an unknown number of" if self.taken is None else str(self.taken)
        return f"{self.node.pod} says role:master beside {self.truth.pod}; {took} bytes that only it has are discarded"

    def record(self, *, now: float) -> dict[str, Any]:
        """For status.lastSecondMaster; the replication id tells this time from another one."""
        record: dict[str, Any] = {
            "time": utc(now),
            "pod": self.node.pod,
            "beside": self.truth.pod,
            "replicationId": self.node.replid,
            "message": str(self),
        }
        return record if self.taken is None else {**record, "bytes": self.taken}


def beside(topology: Topology) -> tuple[Beside, ...]:
    """All second masters of a set whose true one is known."""
    truth = topology.master
    if truth is None:
        return ()
    return tuple(
        Beside(node=node, truth=truth, taken=_taken(node, truth)) for node in topology.second_masters
    )


def _taken(node: DataNode, truth: DataNode) -> int | None:
    """Bytes of the replication stream since the two parted: writes, and the odd PING and announcement."""
    offset = node.offset or 0
    if node.replid and node.replid == truth.replid2 and truth.fork_offset:
        return max(0, offset - (truth.fork_offset - 1))  # the true one went on from its data
    if node.replid2 and node.replid2 == truth.replid and node.fork_offset:
        return max(0, offset - (node.fork_offset - 1))  # it went on from the true one's data
    return None


def _may_mend(observed: Observed, topology: Topology) -> bool:
    return topology.master is not None and topology.is_calm and not observed.status.get("intent")


def repair(observed: Observed, topology: Topology) -> list[Action]:
    """Second masters, one look after the other: fence; then write down what it took; then let it follow."""
    if not _may_mend(observed, topology):
        return []
    last: Mapping[str, Any] = observed.status.get("lastSecondMaster") or {}
    found = beside(topology)
    fenced = [second for second in found if second.node.min_replicas == FENCE]
    told = [s for s in fenced if (last.get("pod"), last.get("replicationId")) == (s.node.pod, s.node.replid)]
    actions: list[Action] = [
        _set(second.node, "min-replicas-to-write", FENCE) for second in found if second not in fenced
    ]
    if told:  # there is one record, so they go one by one
        actions += [_follow(second.node, second.truth) for second in told]
    elif fenced:
        actions.append(RememberInStatus(fields={"lastSecondMaster": fenced[0].record(now=observed.now)}))
    return actions


def strays(observed: Observed, topology: Topology) -> tuple[DataNode, ...]:
    """Replicas of anybody but the true master."""
    if topology.master is None:
        return ()
    right = (topology.master.address, NOBODY, None)
    return tuple(n for n in observed.data if n.is_up and n.role == "slave" and n.master_address not in right)


def stray_since(observed: Observed, topology: Topology) -> dict[str, str]:
    """status.strays: since when each stray was seen. Memory of nothing else: a time can not be observed."""
    before: Mapping[str, str] = observed.status.get("strays") or {}
    return {node.pod: before.get(node.pod, utc(observed.now)) for node in strays(observed, topology)}


def lead_back(spec: Spec, observed: Observed, topology: Topology) -> list[Action]:
    """Strays that nobody else has led back in time."""
    if not _may_mend(observed, topology) or topology.master is None:
        return []
    since: Mapping[str, str] = observed.status.get("strays") or {}
    patience_s = spec.sentinel.failover_timeout_ms / 1000 + STRAY_FOR_S
    actions: list[Action] = []
    for node in strays(observed, topology):
        seen = since.get(node.pod)
        if seen is not None and observed.now - seconds(seen) > patience_s:
            actions.append(_follow(node, topology.master))
            if node.run_id:
                actions.append(KillClients(pod=node.pod, address=str(node.address), run_id=node.run_id))
    return actions


def restore(spec: Spec, observed: Observed, topology: Topology, *, staying: Collection[str]) -> list[Action]:
    """Fences and priorities that no intent explains; priorities not while a data pod goes, for its hook may need them.

    `staying` are the data pods of the spec: the others may not be promoted any more.
    """
    if not _may_mend(observed, topology):
        return []
    leaving = {pod.name for pod in observed.pods if pod.terminating} & {node.pod for node in observed.data}
    actions: list[Action] = []
    for node in observed.data:
        if not node.is_up or node in topology.second_masters:
            continue
        if node.min_replicas == FENCE:
            actions.append(_set(node, "min-replicas-to-write", spec.profile.min_replicas_to_write))
        if not leaving and not _has_its_priority(node, observed, staying=staying):
            actions.append(_set(node, "replica-priority", USUAL_PRIORITY))
    return actions


def _has_its_priority(node: DataNode, observed: Observed, *, staying: Collection[str]) -> bool:
    """0 is the pod's own while it has no complete data, and it is not ready then; or that of one that is to go."""
    if node.priority != 0:
        return node.priority in (None, USUAL_PRIORITY)
    pod = observed.pod(node.pod)
    return node.pod not in staying or pod is None or not pod.ready or not node.is_synced_replica


def _set(node: DataNode, directive: str, value: int) -> SetConfig:
    values = {directive: str(value)}
    return SetConfig(pod=node.pod, address=str(node.address), run_id=str(node.run_id), values=values)


def _follow(node: DataNode, leader: DataNode) -> Follow:
    return Follow(
        pod=node.pod, address=str(node.address), run_id=str(node.run_id), master=str(leader.address)
    )
