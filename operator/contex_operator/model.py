"""What was observed, as one frozen snapshot: decisions read this and nothing else.

Unknown is a value: a node that did not answer has `Reach` saying how it did not, and its fields are None; it is
neither up nor down. Addresses are identities: the ClusterIP of a member's own Service, as text in canonical form.
Called by observe (makes it), topology, plan, procedures and status (read it).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Object = Mapping[str, Any]  # a Kubernetes object as the API returned it


def utc(now: float) -> str:
    """Seconds since the epoch as Kubernetes spells a time."""
    return datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(time: str) -> float:
    """A time as Kubernetes spells it, in seconds since the epoch."""
    return datetime.fromisoformat(time).timestamp()


class Reach(enum.Enum):
    """How the last question to a Redis or a Sentinel ended. Only REFUSED speaks of the process being gone."""

    UP = "up"
    REFUSED = "refused"  # ECONNREFUSED: nothing listens behind a living address, or a Service has no endpoint
    TIMEOUT = "timeout"  # silence: dead node, cut link, frozen process: cannot be told apart
    CLOSED = "closed"  # accepted, then closed or reset before an answer
    DENIED = "denied"  # it answered, but refuses our password: not ours, or not ours any more
    NO_ADDRESS = "no-address"  # its identity Service has no address yet
    OTHER = "other"  # unroutable, protocol error, …


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod of the resource, as the API shows it."""

    name: str
    uid: str
    component: str
    node: str | None
    ip: str | None
    phase: str
    ready: bool
    terminating: bool
    role: str | None  # the role label
    revision: str | None  # controller-revision-hash
    waiting: str | None = None  # reason and message of a container that cannot start, None where it runs
    created_at: float | None = None  # seconds since the epoch, None where the API does not say
    was_ready: bool = False  # it has been ready before, and is not now
    deletion_asked_at: float | None = (
        None  # seconds since the epoch; None while nobody asked for its deletion
    )


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A replica as the master's INFO shows it; `lag_s` = seconds since its last acknowledgement."""

    address: str
    online: bool
    offset: int
    lag_s: int


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a data pod found in its volume when its process began, published in the path of its configuration.

    `fresh`: it never held a data set. `has_data` is False too where damaged data were set aside.
    `epoch` and `was_master` are what it knew of the last configuration it took part in; None = it knew nothing.
    """

    fresh: bool
    has_data: bool
    epoch: int | None = None
    was_master: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client's connection, by its id and the last command that it sent; `writes`: True = such a command writes,
    None = it may (a script, a transaction).
    """

    id: int
    command: str
    writes: bool | None


@dataclass(frozen=True, kw_only=True)
class DataNode:
    """One Redis, asked by its identity. Everything below `reach` is None or empty unless it is UP."""

    pod: str
    address: str | None
    reach: Reach
    role: str | None = None  # "master" or "slave", as INFO spells it
    run_id: str | None = None
    replid: str | None = None
    replid2: str | None = None
    offset: int | None = None
    master_address: str | None = None  # only where role is slave
    link_up: bool = False
    syncing: bool = False
    loading: bool = False
    priority: int | None = None
    keys: int | None = None
    holding: Holding | None = None
    replicas: tuple[Replica, ...] = ()
    version: str | None = None
    server: str | None = None  # "Redis" or "Valkey"
    aof_ok: bool = True  # its last write to the append-only file worked
    dump_ok: bool = True  # its last dump to disk did
    fork_offset: int | None = None  # where its data parted from those of the id replid2 (second_repl_offset)
    min_replicas: int | None = None  # min-replicas-to-write, as it is in force
    good_replicas: int | None = None  # as min-replicas-to-write counts them; None where it asks for none
    used_memory: int | None = None  # bytes, as maxmemory counts them
    maxmemory: int | None = None  # bytes, 0 = no limit
    maxmemory_policy: str | None = None
    expiring_keys: int = 0
    normal_clients: int = 0
    writers: tuple[Client, ...] = ()  # of a replica that refused writes: who sent them, or may have
    config: Mapping[str, str] = field(
        default_factory=dict
    )  # directives that were asked for, as CONFIG GET shows
    failing_over: bool = (
        False  # it is handing its role over by FAILOVER: what it says it is may be over already
    )
    maxclients: int | None = None
    errors: Mapping[str, int] = field(default_factory=dict)  # error replies since its start, by their code

    @property
    def is_up(self) -> bool:
        return self.reach is Reach.UP

    @property
    def refused_writes(self) -> int:
        """READONLY answers since its process began."""
        return self.errors.get("READONLY", 0)

    @property
    def is_master(self) -> bool:
        return self.is_up and self.role == "master"

    @property
    def is_synced_replica(self) -> bool:
        return self.is_up and self.role == "slave" and self.link_up and not self.syncing and not self.loading


@dataclass(frozen=True, kw_only=True)
class KnownReplica:
    """A replica as one sentinel shows it."""

    address: str
    flags: frozenset[str]
    priority: int
    offset: int
    link_up: bool
    silent_ms: int = 0  # since its last answer to that sentinel's PING

    @property
    def is_promotable(self) -> bool:
        down = {"s_down", "o_down", "disconnected"}
        return self.priority > 0 and not (self.flags & down)


@dataclass(frozen=True, kw_only=True)
class SentinelNode:
    """One sentinel's view. `monitors` False = it answers and watches nothing under our master's name."""

    pod: str
    address: str | None
    reach: Reach
    monitors: bool = False
    master_address: str | None = None
    config_epoch: int | None = None
    flags: frozenset[str] = frozenset()
    replicas: tuple[KnownReplica, ...] = ()
    peers: tuple[str, ...] = ()  # addresses of the other sentinels it knows
    peers_down: tuple[str, ...] = ()
    peers_silent_ms: Mapping[str, int] = field(default_factory=dict)  # since a peer's last answer to its PING
    settings: Mapping[str, int] = field(default_factory=dict)  # quorum, down-after-milliseconds, …
    tilt: bool = False
    quorum_ok: bool = False  # its answer to CKQUORUM

    @property
    def is_up(self) -> bool:
        return self.reach is Reach.UP


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything one reconcile knows. `objects` maps (kind, name) to the live child, None where the name is free."""

    resource: Object
    now: float  # seconds since the epoch, for conditions and events only
    objects: Mapping[tuple[str, str], Object | None]
    pods: tuple[Pod, ...] = ()
    data: tuple[DataNode, ...] = ()
    sentinels: tuple[SentinelNode, ...] = ()
    claims: tuple[str, ...] = ()  # names of the data claims that exist
    deployments: Mapping[str, Object | None] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return str(self.resource["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.resource["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.resource["metadata"]["uid"])

    @property
    def status(self) -> Object:
        status: Object = self.resource.get("status") or {}
        return status

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all pods that were asked: data pods, then sentinels."""
        return (*(node.pod for node in self.data), *(node.pod for node in self.sentinels))

    def pod(self, name: str) -> Pod | None:
        return next((pod for pod in self.pods if pod.name == name), None)

    def node_at(self, address: str | None) -> DataNode | None:
        return next((node for node in self.data if address is not None and node.address == address), None)

    def node_of(self, pod: str) -> DataNode | None:
        return next((node for node in self.data if node.pod == pod), None)
