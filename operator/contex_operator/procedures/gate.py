"""May a member be taken away now? Only from a set that is whole without it.

Called by every procedure that takes something away on purpose, on each pass anew: nothing that was green a moment ago
counts. What is asked is green as facts know it: links up, lag at most a second, no sync, every sentinel sees the
others, a quorum and every replica as one that it could promote.
"""

from __future__ import annotations

from collections.abc import Collection

from ..model import DataNode, Observed, Pod, SentinelNode
from ..topology import Topology

MAX_LAG_S = 1
# Sentinel pings once a second. A link to a process that is gone can look well until down-after has passed, and a new
# connection that was sent to the old pod's address hangs for 15 s: who has not answered lately may be about to be down.
MAX_SILENCE_MS = 2000


def objection(observed: Observed, topology: Topology, *, without: Collection[str] = ()) -> str | None:
    """Why nothing may be taken away now, as a part of a sentence; None where all is green.

    `without` are pods that are to go: nothing is asked of them, and the others need not see them. All others are in
    sync then, so that rule 8's replica remains wherever one is to stay.
    """
    master = topology.master
    if master is None:
        return "there is no master"
    if topology.unrest:
        return topology.unrest
    if topology.second_masters:
        return f"{topology.second_masters[0].pod} says role:master beside {master.pod}"
    if observed.status.get("intent"):
        return "another move is under way"
    members = [name for name in observed.members if name not in without]
    reasons = (
        next(filter(None, (_pod(observed.pod(name), name) for name in members)), None),
        next(filter(None, (_replica(n, master) for n in observed.data if n.pod not in without)), None),
        next(filter(None, (_sees(s, observed, master, without) for s in _staying(observed, without))), None),
    )
    return next(filter(None, reasons), None)


def _staying(observed: Observed, without: Collection[str]) -> list[SentinelNode]:
    return [sentinel for sentinel in observed.sentinels if sentinel.pod not in without]


def _pod(pod: Pod | None, name: str) -> str | None:
    if pod is None:
        return f"{name} has no pod"
    if pod.terminating:
        return f"{name} is terminating"
    return None if pod.ready else f"{name} is not ready"


def _replica(node: DataNode, master: DataNode) -> str | None:
    if node.pod == master.pod:
        return None if node.aof_ok else f"{node.pod} could not write its append-only file"
    if not node.is_synced_replica:
        return f"{node.pod} is not in sync"
    if node.master_address != master.address:
        return f"{node.pod} follows another master"
    seen = next((replica for replica in master.replicas if replica.address == node.address), None)
    if seen is None or not seen.online:
        return f"{master.pod} does not see {node.pod} online"
    if seen.lag_s > MAX_LAG_S:
        return f"{node.pod} is {seen.lag_s} s behind"
    return None if node.aof_ok else f"{node.pod} could not write its append-only file"


def _sees(
    sentinel: SentinelNode, observed: Observed, master: DataNode, without: Collection[str]
) -> str | None:
    if not sentinel.is_up or not sentinel.monitors:
        return f"{sentinel.pod} does not monitor the master"
    if not sentinel.quorum_ok:
        return f"{sentinel.pod} sees no quorum"
    for other in _staying(observed, without):
        if other.pod == sentinel.pod:
            continue
        if other.address not in sentinel.peers or other.address in sentinel.peers_down:
            return f"{sentinel.pod} does not see {other.pod}"
        if sentinel.peers_silent_ms.get(str(other.address), 0) > MAX_SILENCE_MS:
            return f"{other.pod} does not answer {sentinel.pod}"
    for node in observed.data:
        if node.pod == master.pod or node.pod in without:
            continue
        known = next((k for k in sentinel.replicas if k.address == node.address), None)
        if known is None or not known.is_promotable:
            return f"{sentinel.pod} does not see {node.pod} as a replica that it could promote"
        if known.silent_ms > MAX_SILENCE_MS:
            return f"{node.pod} does not answer {sentinel.pod}"
    return None
