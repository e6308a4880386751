"""What is measured, behind one face: this operator, and the rivals.

A subject lives in a namespace of its own and can be asked for a planned move in the way in which its users would
ask for one. Everything else - faults, writers, verdict - is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from bench import plan
from bench.rivals import HERE as RIVALS
from bench.rivals import MASTER_NAME, RivalSet
from tests.e2e.support import green, spaces
from tests.e2e.support.checkout import moves
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command

SENTINEL, KEPT, FRESH = CLIENTS = ("sentinel", "kept", "fresh")
OPERATORS = 2


class Subject(ABC):
    """One installation. `clients` are the kinds of clients that it offers a way in to."""

    name: ClassVar[str]
    has_operator: ClassVar[bool] = False
    clients: ClassVar[tuple[str, ...]] = CLIENTS
    pod_security: ClassVar[str] = "restricted"

    def __init__(self, cluster: Cluster, namespace: str, *, profile: str, image: str) -> None:
        self.cluster, self.namespace, self.profile, self.image = cluster, namespace, profile, image

    @property
    @abstractmethod
    def redis_set(self) -> RedisSet:
        """Its nodes and sentinels; after `install`."""

    @abstractmethod
    def install(self) -> None:
        """Make it and wait until it is whole."""

    @abstractmethod
    def not_green(self) -> list[str]:
        """What is not as it should be; nothing = whole."""

    @abstractmethod
    def planned_move(self, master: str) -> None:
        """Ask for another master, as its users do. Returns when it was asked, not when it has happened."""

    def close(self) -> None:
        """Close what is open; the namespace is the caller's."""
        self.redis_set.close()


class Contex(Subject):
    """The operator of this checkout, two replicas, and one ContexRedis."""

    name = "contex"
    has_operator = True

    @property
    def redis_set(self) -> RedisSet:
        return self._set

    def install(self) -> None:
        spaces.install_operator(self.cluster, self.namespace, replicas=OPERATORS)
        self._set = spaces.create(
            self.cluster,
            self.namespace,
            ready_within_s=120.0,
            image=self.image,
            durability=self.profile,
        )

    def not_green(self) -> list[str]:
        return green.not_green(self._set)

    def planned_move(self, master: str) -> None:
        del master  # the operator knows
        annotation = moves().switchover
        assert annotation is not None, "this checkout's operator switches over by no annotation"
        words = ("annotate", "contexredis", self._set.name, f"{annotation}=any", "--overwrite")
        self.cluster.kubectl(*words, "-n", self.namespace)


class Rival(Subject):
    """Manifests that are applied as they are; nobody looks after them."""

    pod_security = "privileged"  # their images begin as root
    data: ClassVar[tuple[str, ...]]
    sentinels: ClassVar[tuple[str, ...]]
    domain: ClassVar[str]
    manifest: ClassVar[str]

    @property
    def redis_set(self) -> RivalSet:
        return self._set

    def install(self) -> None:
        text = (RIVALS / self.manifest).read_text().replace(plan.REDIS_7, self.image)
        self.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=text)
        self._set = RivalSet(
            self.cluster,
            namespace=self.namespace,
            image=self.image,
            data=self.data,
            sentinels=self.sentinels,
            domain=self.domain,
        )
        eventually(
            lambda: not self.not_green(), within_s=180, describe="the rival is whole", passing=UNREACHABLE
        )

    def not_green(self) -> list[str]:
        return self._set.not_green()


class Plain(Rival):
    """The plain manifests of the document. A planned move is what its reader would type: SENTINEL FAILOVER."""

    name = "plain"
    data = ("redis-master-0", "redis-replica-0", "redis-replica-1")
    sentinels = ("redis-sentinel-0", "redis-sentinel-1", "redis-sentinel-2")
    domain = "redis-sentinel"
    manifest = "plain/redis-sentinel.yaml"

    def planned_move(self, master: str) -> None:
        del master  # the sentinels know
        last = self.redis_set.sentinel(self.sentinels[-1])
        command(last, "SENTINEL FAILOVER", MASTER_NAME)


class PreStop(Rival):
    """A sentinel beside each Redis, and a preStop hook. A planned move is the deletion of the master's pod."""

    name = "prestop"
    clients = (SENTINEL,)
    data = sentinels = ("redis-node-0", "redis-node-1", "redis-node-2")
    domain = "redis-headless"
    manifest = "prestop/redis.yaml"

    def planned_move(self, master: str) -> None:
        self.cluster.kubectl("delete", "pod", master, "-n", self.namespace, "--wait=false")


SUBJECTS: dict[str, type[Subject]] = {subject.name: subject for subject in (Contex, Plain, PreStop)}
