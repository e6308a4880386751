"""Small worlds for the tests: builders of spec, nodes, sentinels, pods and snapshots, each one short line to call.

The world is the documented one: a ContexRedis `redis` in namespace `shop` with pods `redis-master-0`,
`redis-replica-0`, `redis-replica-1` and sentinels `redis-sentinel-0` to `-2`. Its addresses are `address_of(pod)`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from contex_operator import names
from contex_operator.model import DataNode, Holding, KnownReplica, Object, Observed, Pod, Reach, SentinelNode
from contex_operator.procedures.elect import sentinel_settings
from contex_operator.render import Identity
from contex_operator.spec import Spec, parse

NAMESPACE = "shop"
NAME = "redis"
UID = "uid-of-redis"
NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z

M, R0, R1, R2 = "redis-master-0", "redis-replica-0", "redis-replica-1", "redis-replica-2"
S0, S1, S2 = "redis-sentinel-0", "redis-sentinel-1", "redis-sentinel-2"
DATA = (M, R0, R1)
SENTINELS = (S0, S1, S2)

WHO = Identity(namespace=NAMESPACE, name=NAME, uid=UID)
FRESH_PASSWORDS = ("fresh-data-password", "fresh-sentinel-password")


def address_of(pod: str) -> str:
    """The ClusterIP of a pod's own Service: the same for the same name, in every test."""
    kind = {"master": 1, "replica": 2, "sentinel": 3}.get(pod.split("-")[-2], 9)
    return f"10.96.{kind}.{int(pod.rsplit('-', 1)[1]) + 1}"


def resource(
    spec: Mapping[str, Any] | None = None, *, status: Mapping[str, Any] | None = None, name: str = NAME
) -> dict[str, Any]:
    """A ContexRedis as the API returns it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": UID if name == NAME else f"uid-of-{name}",
            "generation": 1,
            "resourceVersion": "1",
        },
        "spec": dict(spec or {}),
        "status": dict(status or {}),
    }


def standalone(**fields: Any) -> Spec:
    """The parsed spec of a standalone Redis, with these fields of `.spec`."""
    return parse(resource(fields))


def replicated(**fields: Any) -> Spec:
    """The parsed spec in sentinel mode: 1 + 2 data pods and 3 sentinels where `fields` says nothing else."""
    return parse(resource({"mode": "sentinel", **fields}))


SETTINGS = {"quorum": 2, **sentinel_settings(replicated())}  # as each sentinel should have them


# --- nodes -------------------------------------------------------------------------------------------------------

FRESH = Holding(fresh=True, has_data=False)
EMPTIED = Holding(fresh=False, has_data=False)


def intact(epoch: int | None = None, *, was_master: bool | None = None) -> Holding:
    """What a pod found in its volume at its start: data, and what it knew of its last configuration."""
    return Holding(fresh=False, has_data=True, epoch=epoch, was_master=was_master)


def _run_id(pod: str) -> str:
    return hashlib.sha1(pod.encode(), usedforsecurity=False).hexdigest()


def master(pod: str = M, **fields: Any) -> DataNode:
    """A data node that says role:master."""
    return DataNode(
        pod=pod,
        address=address_of(pod),
        reach=Reach.UP,
        **{"role": "master", "run_id": _run_id(pod), "offset": 100, "keys": 0, "holding": FRESH, **fields},
    )


def replica(pod: str, of: str | None = M, **fields: Any) -> DataNode:
    """A replica of the pod `of`, in sync; of None: one that waits at the start gate and follows nobody."""
    leader = address_of(of) if of else "127.0.0.1"
    defaults = {"role": "slave", "run_id": _run_id(pod), "offset": 100, "keys": 0, "holding": FRESH}
    return DataNode(
        pod=pod,
        address=address_of(pod),
        reach=Reach.UP,
        **{**defaults, "master_address": leader, "link_up": of is not None, "priority": 100, **fields},
    )


def waiting(pod: str, holding: Holding = FRESH, **fields: Any) -> DataNode:
    """A data node at the start gate: read-only, it follows nobody, and says what its volume held."""
    return replica(pod, None, **{"holding": holding, "priority": 0, **fields})


def gone(pod: str, reach: Reach = Reach.TIMEOUT) -> DataNode:
    """A data node that did not answer."""
    return DataNode(pod=pod, address=address_of(pod), reach=reach)


def known_replica(pod: str, **fields: Any) -> KnownReplica:
    """A replica as a sentinel shows it, good to promote."""
    defaults = {"flags": frozenset({"slave"}), "priority": 100, "offset": 100, "link_up": True}
    return KnownReplica(address=address_of(pod), **{**defaults, **fields})


def sentinel(pod: str, names_pod: str = M, epoch: int = 0, **fields: Any) -> SentinelNode:
    """A sentinel that monitors `names_pod`, sees the two others and both replicas, and has the spec's settings."""
    replicas = tuple(known_replica(other) for other in DATA if other != names_pod)
    defaults = {
        "flags": frozenset({"master"}),
        "replicas": replicas,
        "peers": tuple(address_of(other) for other in SENTINELS if other != pod),
        "settings": SETTINGS,
        "quorum_ok": True,
    }
    return SentinelNode(
        pod=pod,
        address=address_of(pod),
        reach=Reach.UP,
        monitors=True,
        master_address=address_of(names_pod),
        config_epoch=epoch,
        **{**defaults, **fields},
    )


def bare(pod: str, **fields: Any) -> SentinelNode:
    """A sentinel that answers and monitors nothing."""
    return SentinelNode(pod=pod, address=address_of(pod), reach=Reach.UP, **fields)


def silent(pod: str, reach: Reach = Reach.TIMEOUT) -> SentinelNode:
    """A sentinel that did not answer."""
    return SentinelNode(pod=pod, address=address_of(pod), reach=reach)


def pod_of(name: str, **fields: Any) -> Pod:
    """A pod that runs and is ready, on a node of its own."""
    component = name.split("-")[-2]
    defaults = {"component": component, "node": f"node-{name[-1]}", "ip": "10.0.0.1", "phase": "Running"}
    flags = {"ready": True, "terminating": False, "role": None, "revision": "r1", "waiting": None}
    return Pod(name=name, uid=f"uid-of-{name}", **{**defaults, **flags, **fields})


# --- snapshots ---------------------------------------------------------------------------------------------------


def snapshot(
    data: Iterable[DataNode] = (),
    sentinels: Iterable[SentinelNode] = (),
    *,
    status: Mapping[str, Any] | None = None,
    objects: Mapping[tuple[str, str], Object | None] | None = None,
    **fields: Any,
) -> Observed:
    """An Observed of these nodes; a pod that is ready for each of them where `pods` is not given."""
    data, sentinels = tuple(data), tuple(sentinels)
    pods = (*(pod_of(node.pod) for node in data), *(pod_of(node.pod) for node in sentinels))
    return Observed(
        **{"resource": resource(status=status), "now": NOW, "pods": pods, **fields},
        objects=objects or {},
        data=data,
        sentinels=sentinels,
    )


def healthy(**fields: Any) -> Observed:
    """Master, two replicas in sync and three sentinels that agree."""
    return snapshot([master(), replica(R0), replica(R1)], [sentinel(s) for s in SENTINELS], **fields)
