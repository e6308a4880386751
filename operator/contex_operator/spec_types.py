"""What a ContexRedis asks for, as frozen values: every field of `.spec`, with nothing left open.

`spec.parse` makes them and everything above reads them. A field that the user may leave to the operator
(quorum, connection) carries the operator's choice here. Units stand in the names: `_ms`, `_s`, `_bytes`. What
goes into a pod template word for word (resources, tolerations, affinity, securityContext) stays plain data in
the API's own spelling; nobody changes it in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from . import quantity

Manifest = Mapping[str, Any]  # a part of a manifest, in the API's own spelling

# maxmemory's share of the memory limit: copy-on-write of a fork, replica and AOF buffers live outside of it.
# Without it a full Redis is killed, on every node in turn, where it should answer "-OOM" to writes.
MAXMEMORY_SHARE: Final = 0.6


class Mode(StrEnum):
    STANDALONE = "standalone"
    SENTINEL = "sentinel"


class Durability(StrEnum):
    AVAILABLE = "available"
    BALANCED = "balanced"
    STRICT = "strict"


class PullPolicy(StrEnum):
    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class Wiring(StrEnum):
    PATCH = "patch"
    CONFIG_MAP = "configMap"
    NONE = "none"


class Connection(StrEnum):
    SENTINEL = "sentinel"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class DurabilityProfile:
    """What a durability means in redis.conf.

    `min_replicas_to_write` 0 switches the fence off: the master accepts writes without any replica.
    """

    appendfsync: str
    min_replicas_to_write: int
    min_replicas_max_lag_s: int


DURABILITY_PROFILES: Final[Mapping[Durability, DurabilityProfile]] = {
    Durability.AVAILABLE: DurabilityProfile(
        appendfsync="everysec", min_replicas_to_write=0, min_replicas_max_lag_s=10
    ),
    Durability.BALANCED: DurabilityProfile(
        appendfsync="everysec", min_replicas_to_write=1, min_replicas_max_lag_s=3
    ),
    Durability.STRICT: DurabilityProfile(
        appendfsync="always", min_replicas_to_write=1, min_replicas_max_lag_s=2
    ),
}

# With a single replica the fence would make its restart an outage: it stands from two replicas on.
FENCE_FROM_REPLICAS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    enabled: bool
    size: str  # of every data pod's volume, a quantity
    storage_class_name: str | None  # None: the cluster's default class
    retain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    enabled: bool
    secret_name: str | None  # None: the operator generates `<name>-auth`


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentinel:
    replicas: int  # as written, also in mode standalone: `Spec.sentinel_pod_count` counts those that run
    quorum: int
    master_name: str
    down_after_ms: int
    failover_timeout_ms: int
    parallel_syncs: int
    resources: Manifest

    @property
    def majority(self) -> int:
        return self.replicas // 2 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ContexDeployment:
    name: str
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contex:
    deployments: tuple[ContexDeployment, ...]
    wiring: Wiring
    take_over: bool
    sentinel_shim: bool
    connection: Connection
    database: int
    max_connections: int
    socket_timeout_s: int
    socket_connect_timeout_s: int
    socket_keepalive: bool
    retry_on_timeout: bool
    health_check_interval_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """All of `.spec`. `replicas` is what the user wrote; the properties count what runs."""

    mode: Mode
    image: str
    image_pull_policy: PullPolicy
    image_pull_secrets: tuple[str, ...]
    replicas: int
    durability: Durability
    config: Mapping[str, str]  # the user's own directives only
    persistence: Persistence
    resources: Manifest
    node_selector: Mapping[str, str]
    tolerations: tuple[Manifest, ...]
    affinity: Manifest | None  # None: the operator's own spread over nodes and zones
    priority_class_name: str | None
    pod_labels: Mapping[str, str]
    pod_annotations: Mapping[str, str]
    security_context: Manifest  # of the pod; an entry that the user set to null is absent
    auth: Auth
    sentinel: Sentinel
    failover_assisted: bool  # the sentinels' votes end a proven crash and a planned switchover at once
    contex: Contex
    paused: bool

    @property
    def is_sentinel_mode(self) -> bool:
        return self.mode is Mode.SENTINEL

    @property
    def replica_pod_count(self) -> int:
        """Data pods beside the master; 0 in mode standalone, whatever `replicas` says."""
        return self.replicas if self.is_sentinel_mode else 0

    @property
    def data_pod_count(self) -> int:
        return 1 + self.replica_pod_count

    @property
    def sentinel_pod_count(self) -> int:
        """0 in mode standalone, whatever `sentinel.replicas` says."""
        return self.sentinel.replicas if self.is_sentinel_mode else 0

    @property
    def majority(self) -> int:
        """How many sentinels must agree. Only meaningful in sentinel mode."""
        return self.sentinel.majority

    @property
    def profile(self) -> DurabilityProfile:
        """The durability's numbers as they hold for this many replicas."""
        profile = DURABILITY_PROFILES[self.durability]
        if self.replica_pod_count >= FENCE_FROM_REPLICAS:
            return profile
        return replace(profile, min_replicas_to_write=0)

    @property
    def memory_limit_bytes(self) -> int | None:
        """The memory limit of a data pod's container; None: no limit."""
        return memory_limit_bytes(self.resources)

    @property
    def default_maxmemory_bytes(self) -> int | None:
        """The `maxmemory` that the operator sets; None without a memory limit or beside one in `config`."""
        limit = self.memory_limit_bytes
        return None if limit is None or "maxmemory" in self.config else int(limit * MAXMEMORY_SHARE)


def memory_limit_bytes(resources: Manifest) -> int | None:
    """The memory limit in a container's `resources`; None: no limit."""
    limit = (resources.get("limits") or {}).get("memory")
    return None if limit is None else int(quantity.amount(limit))
