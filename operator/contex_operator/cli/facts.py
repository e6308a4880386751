"""Everything that a command knows, as one frozen snapshot: checks and tables read this and nothing else.

Unknown is a value: what could not be asked is None, and `unseen` says why. Made by gather.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contex_operator import names
from contex_operator.model import DataNode, Object, Observed, SentinelNode
from contex_operator.names import Children
from contex_operator.spec import Spec
from contex_operator.topology import Topology

from .policies import End


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """What INFO says of a data node beyond the model. Bytes and counts; None where it did not say."""

    memory_used: int | None = None
    memory_max: int | None = None  # 0 = no limit
    clients: int | None = None
    clients_max: int | None = None
    rejected: int | None = None  # connections refused for want of places, since the start
    evicted: int | None = None
    aof: str = "–"  # on, off, failing
    rdb_ok: bool = True
    link_down_s: int | None = None
    good_replicas: int | None = None  # as min-replicas-to-write counts them; only on a master with a fence
    connections: Mapping[str, int] = field(default_factory=dict)  # clients by address, replicas left out


@dataclass(frozen=True, kw_only=True)
class Knock:
    """A PING from one pod to another's identity; `error` None = PONG."""

    source: str
    target: str
    port: int
    error: str | None = None

    @property
    def is_denied(self) -> bool:
        return bool(self.error) and any(
            word in str(self.error) for word in ("NOAUTH", "WRONGPASS", "AUTH failed")
        )

    @property
    def is_unreached(self) -> bool:
        return self.error is not None and not self.is_denied and "LOADING" not in self.error


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One server as Contex's pod saw it. `answer`: the address a sentinel names (host, port), or a node's role."""

    host: str
    port: int
    answer: Any = None
    error: str | None = None
    ms: float | None = None
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class ContexPod:
    """A pod of Contex. `env` is what its process has where it could be asked, else what its pod template says.

    `sources` are the Secrets its passwords come from: variable → (Secret, key), or None where a value is written down.
    """

    name: str
    deployment: str
    container: str
    ip: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)  # the Deployment's
    env: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)
    is_asked: bool = False
    sentinels: tuple[Seen, ...] = ()
    master: Seen | None = None
    problem: str | None = None
    log: tuple[str, ...] = ()  # lines of its log that speak of Redis and of trouble

    @property
    def is_sentinel_mode(self) -> bool:
        return self.env.get("REDIS_MODE", "standalone") == "sentinel"

    @property
    def master_name(self) -> str:
        return self.env.get("REDIS_SENTINEL_MASTER", "mymaster")

    @property
    def pool_size(self) -> int | None:
        text = self.env.get("REDIS_MAX_CONNECTIONS", "50")
        return int(text) if text.isdigit() else None


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Something that could not be looked at, and why."""

    what: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One look at one resource. `spec` None: it cannot be parsed, and `spec_error` says why."""

    observed: Observed
    topology: Topology
    spec: Spec | None
    spec_error: str | None = None
    vitals: Mapping[str, Vitals] = field(default_factory=dict)
    knocks: tuple[Knock, ...] = ()
    latency_ms: Mapping[str, tuple[float, float]] = field(
        default_factory=dict
    )  # sentinel: (average, highest)
    contex: tuple[ContexPod, ...] = ()
    pods: Mapping[str, Object] = field(default_factory=dict)  # the set's own, as the API has them
    zones: Mapping[str, str] = field(default_factory=dict)  # node: zone
    policies: tuple[Object, ...] = ()  # NetworkPolicies of the namespace
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    operator: End | None = None  # the leading pod of an operator in this namespace
    lease: Object | None = None  # of the operator in this namespace
    lease_age_s: float | None = None
    is_lease_known: bool = True  # False: this user may not look for it
    unseen: tuple[Unseen, ...] = ()

    @property
    def namespace(self) -> str:
        return self.observed.namespace

    @property
    def name(self) -> str:
        return self.observed.name

    @property
    def children(self) -> Children:
        return Children(self.name)

    @property
    def servers(self) -> tuple[DataNode | SentinelNode, ...]:
        """All that was asked: data nodes, then sentinels."""
        return (*self.observed.data, *self.observed.sentinels)

    @property
    def sentinels_expected(self) -> int:
        return self.spec.sentinel_pod_count if self.spec else len(self.observed.sentinels)

    @property
    def conditions(self) -> dict[str, Mapping[str, Any]]:
        return {c["type"]: c for c in self.observed.status.get("conditions") or []}

    def service(self, name: str) -> Object | None:
        return self.observed.objects.get(("Service", name))

    def pod_at(self, address: str | None) -> str | None:
        """The member whose identity this address is."""
        for node in self.servers:
            if address is not None and node.address == address:
                return node.pod
        return None

    def kubectl(self, *words: str) -> str:
        """A command line that can be typed as it is."""
        return shlex.join(["kubectl", "-n", self.namespace, *words])

    def patch(self, spec: str) -> str:
        """A change of the resource's spec, as JSON."""
        body = '{"spec":' + spec + "}"
        return self.kubectl("patch", names.KIND.lower(), self.name, "--type", "merge", "-p", body)
