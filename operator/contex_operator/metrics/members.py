"""The metrics of the data pods and the sentinels of a resource. Pure, one look at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from ..model import DataNode, Observed, SentinelNode
from ..names import ROLE_MASTER, ROLE_REPLICA
from .definitions import POD, Definition, Look, Point, states

N = TypeVar("N", DataNode, SentinelNode)
Points = Callable[[Look], Iterable[Point]]

# Error replies that say that a write was refused; other codes have no series.
REFUSALS: Final = ("NOREPLICAS", "MISCONF", "OOM", "READONLY")


def _each(nodes: Iterable[N], value: Callable[[N], float | None]) -> Iterable[Point]:
    return [((node.pod,), found) for node in nodes if (found := value(node)) is not None]


def _data(value: Callable[[DataNode], float | None]) -> Points:
    """One point for each data pod, whether it answers or not."""
    return lambda look: _each(look.observed.data, value)


def _up(value: Callable[[DataNode], float | None]) -> Points:
    """One point for each data pod that answers."""
    return lambda look: _each((node for node in look.observed.data if node.is_up), value)


def _replicas(value: Callable[[DataNode], float | None]) -> Points:
    return lambda look: _each(
        (node for node in look.observed.data if node.is_up and not node.is_master), value
    )


def _sentinels(value: Callable[[SentinelNode], float | None]) -> Points:
    return lambda look: _each(
        (node for node in look.observed.sentinels if node.is_up and node.monitors), value
    )


def _infos(observed: Observed, nodes: Iterable[DataNode | SentinelNode]) -> Iterable[Point]:
    for node in nodes:
        pod = observed.pod(node.pod)
        if pod is not None:
            yield (node.pod, pod.node or ""), 1.0


def _roles(look: Look) -> Iterable[Point]:
    for node in look.observed.data:
        if node.is_up:
            role = ROLE_MASTER if node.is_master else ROLE_REPLICA
            yield from (((node.pod, *word), one) for word, one in states((ROLE_MASTER, ROLE_REPLICA), role))


def _lag_bytes(look: Look) -> Iterable[Point]:
    """By the master's own books: what it wrote and what a replica has acknowledged, of one moment."""
    master = look.topology.master
    if master is None or master.offset is None:
        return
    for replica in master.replicas:
        node = look.observed.node_at(replica.address)
        if node is not None and replica.online:
            yield (node.pod,), float(max(0, master.offset - replica.offset))


def _lag_seconds(look: Look) -> Iterable[Point]:
    master = look.topology.master
    for replica in master.replicas if master is not None else ():
        node = look.observed.node_at(replica.address)
        if node is not None and replica.online:
            yield (node.pod,), float(replica.lag_s)


def _refusals(look: Look) -> Iterable[Point]:
    for node in look.observed.data:
        if node.is_up:
            yield from (((node.pod, code), float(node.errors.get(code, 0))) for code in REFUSALS)


def _memory_limit(look: Look) -> Iterable[Point]:
    limit = look.spec.memory_limit_bytes
    return _each(look.observed.data, lambda _: limit)


def _agrees(look: Look) -> Iterable[Point]:
    address = look.topology.address
    return _sentinels(lambda node: address is not None and node.master_address == address)(look)


def _of_data(name: str, help: str, points: Points, *labels: str, is_counter: bool = False) -> Definition:
    full = f"contexredis_redis_{name}"
    return Definition(name=full, help=help, labels=(POD, *labels), points=points, is_counter=is_counter)


def _of_sentinel(name: str, help: str, points: Points, *labels: str) -> Definition:
    return Definition(name=f"contexredis_sentinel_{name}", help=help, labels=(POD, *labels), points=points)


DATA: Final = (
    _of_data(
        "info",
        "The Kubernetes node of a data pod; always 1.",
        lambda look: _infos(look.observed, look.observed.data),
        "kubernetes_node",
    ),
    _of_data("up", "1 where the Redis answers the operator.", _data(lambda node: node.is_up)),
    _of_data("role", "1 for the role that the Redis says it has, 0 for the other.", _roles, "role"),
    _of_data(
        "link_up", "1 while a replica's link to its master stands.", _replicas(lambda node: node.link_up)
    ),
    _of_data("loading", "1 while the Redis loads its data.", _up(lambda node: node.loading)),
    _of_data("syncing", "1 while a replica takes over a whole copy.", _replicas(lambda node: node.syncing)),
    _of_data(
        "replication_offset_bytes", "Position in the stream of replication.", _up(lambda node: node.offset)
    ),
    _of_data(
        "replication_lag_bytes",
        "What the master has written and the replica has not acknowledged; acknowledged once a second.",
        _lag_bytes,
    ),
    _of_data("replication_lag_seconds", "Since the replica's last acknowledgement.", _lag_seconds),
    _of_data(
        "memory_used_bytes",
        "Memory that counts for maxmemory: all that Redis has allocated but for some buffers.",
        _up(lambda node: node.used_memory),
    ),
    _of_data(
        "memory_max_bytes", "maxmemory; no series without one.", _up(lambda node: node.maxmemory or None)
    ),
    _of_data("memory_limit_bytes", "Memory limit of the container; no series without one.", _memory_limit),
    _of_data(
        "connected_clients",
        "Connections of clients, the operator's and the sentinels' among them.",
        _up(lambda node: node.normal_clients),
    ),
    _of_data("clients_limit", "maxclients.", _up(lambda node: node.maxclients)),
    _of_data("keys", "Keys in all databases.", _up(lambda node: node.keys)),
    _of_data(
        "aof_write_ok",
        "0 where the last write of the append-only file failed.",
        _up(lambda node: node.aof_ok),
    ),
    _of_data(
        "refused_writes_total",
        "Replies that refused a write, by their code, since the Redis began.",
        _refusals,
        "code",
        is_counter=True,
    ),
)

SENTINELS: Final = (
    _of_sentinel(
        "info",
        "The Kubernetes node of a sentinel; always 1.",
        lambda look: _infos(look.observed, look.observed.sentinels),
        "kubernetes_node",
    ),
    _of_sentinel(
        "up",
        "1 where the sentinel answers the operator.",
        lambda look: _each(look.observed.sentinels, lambda node: node.is_up),
    ),
    _of_sentinel("agrees", "1 where it names the master that a majority names.", _agrees),
    _of_sentinel(
        "quorum_ok", "Its own answer to SENTINEL CKQUORUM.", _sentinels(lambda node: node.quorum_ok)
    ),
    _of_sentinel("tilt", "1 while its clock makes it do nothing.", _sentinels(lambda node: node.tilt)),
    _of_sentinel(
        "config_epoch", "The epoch of its configuration.", _sentinels(lambda node: node.config_epoch)
    ),
    _of_sentinel("known_replicas", "Replicas that it knows.", _sentinels(lambda node: len(node.replicas))),
    _of_sentinel(
        "known_sentinels",
        "Sentinels that it knows, itself among them.",
        _sentinels(lambda n: len(n.peers) + 1),
    ),
)
