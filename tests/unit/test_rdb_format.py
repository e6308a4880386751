"""Which changes of the image replication cannot carry: known from two answers to INFO, and stopped at the first pod."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from contex_operator.model import DataNode
from contex_operator.procedures.rollout import DEADLINE_S
from contex_operator.rdb_format import unreadable
from contex_operator.views import data_node

from tests.unit.changing import ChangingSet
from tests.unit.simulator import Redis
from tests.unit.world import R1, M, master, replica

OLD, SEVEN, SEVEN_TWO, EIGHT = "Redis 6.2.14", "Redis 7.0.15", "Redis 7.2.4", "Redis 8.0.6"
V7, V8, V9 = "Valkey 7.2.8", "Valkey 8.1.3", "Valkey 9.0.1"
# The master's, then the replica's: 7.0 with 8 and 9, and 8 with 9, as measured.
IMPOSSIBLE = {
    (EIGHT, OLD),
    (EIGHT, SEVEN),
    (EIGHT, SEVEN_TWO),
    (EIGHT, V7),
    (EIGHT, V8),
    (EIGHT, V9),
    (SEVEN_TWO, OLD),
    (SEVEN_TWO, SEVEN),
    (SEVEN, OLD),
    *itertools.product((V7, V8, V9), (OLD, SEVEN)),
}
ALL = (OLD, SEVEN, SEVEN_TWO, EIGHT, V7, V8, V9)


def running(node: DataNode, what: str) -> DataNode:
    server, version = what.split()
    return replace(node, server=server, version=version)


@pytest.mark.parametrize(("leader", "follower"), [*itertools.product(ALL, ALL)])
def test_what_a_replica_can_load(leader: str, follower: str) -> None:
    found = unreadable(running(replica(R1), follower), running(master(), leader))
    assert (found is not None) == ((leader, follower) in IMPOSSIBLE)
    if found is not None:
        assert found.startswith(f"it runs {follower}, which cannot load the data of {leader} (")


@pytest.mark.parametrize("unknown", ["Redis 8.8.0", "Redis x", "Redis 5.0.1"])
def test_of_what_is_not_known_nothing_is_said(unknown: str) -> None:
    assert unreadable(running(replica(R1), EIGHT), running(master(), unknown)) is None
    assert unreadable(running(replica(R1), unknown), running(master(), EIGHT)) is None
    assert unreadable(replica(R1), master()) is None


@pytest.mark.parametrize(
    ("info", "server"),
    [
        ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.0.1\r\nrole:master", V9),
        ("redis_version:8.0.6\r\nrole:master", EIGHT),
    ],
)
def test_who_answers(info: str, server: str) -> None:
    node = data_node(M, "10.0.0.1", [info, [], []])
    assert f"{node.server} {node.version}" == server


# --- a rollout -----------------------------------------------------------------------------------------------------

IMAGES = {"redis:8": EIGHT, "valkey/valkey:9": V9, "redis:7-alpine": SEVEN}


class MixedSet(ChangingSet):
    """Nodes that run what their images say, and sync only where the formats agree."""

    def _replicate(self) -> None:
        before = {pod: (node.synced, node.writes) for pod, node in self.redis.items()}
        super()._replicate()
        leader = next(iter(self.masters), None)
        for pod, node in self.redis.items():
            if (
                leader is not None
                and node.linked
                and (IMAGES[self.image[leader.pod]], self._runs(pod)) in IMPOSSIBLE
            ):
                node.linked = False
                node.synced, node.writes = before[pod]

    def _runs(self, pod: str) -> str:
        return IMAGES[self.image[pod]]

    def _see_data(self, node: Redis) -> DataNode:
        seen = super()._see_data(node)
        return running(seen, self._runs(node.pod)) if seen.is_up else seen


@pytest.mark.parametrize(("before", "after"), [("redis:8", "valkey/valkey:9"), ("redis:8", "redis:7-alpine")])
def test_a_rollout_that_replication_cannot_carry_stops_at_its_first_pod_at_once(
    before: str, after: str
) -> None:
    world = MixedSet(replicas=2, image=before)
    world.settle(rounds=200)
    began = world.now
    world.change(image=after)
    world.settle(rounds=200)
    assert world.now - began < DEADLINE_S / 2
    assert world.deleted == [R1, R1], "it was made anew, and made anew from the template before"
    assert set(world.image.values()) == {before}
    conditions = {c["type"]: c for c in world.status["conditions"]}
    assert conditions["Ready"]["status"] == "True"
    assert conditions["Degraded"]["reason"] == "RolloutStopped"
    assert f"{R1}: it runs {IMAGES[after]}, which cannot load" in conditions["Degraded"]["message"]


def test_a_rollout_that_it_can_carry_goes_through() -> None:
    """Towards the end an old master is a replica that cannot follow: its pod is the next, and no reason to stop."""
    world = MixedSet(replicas=2, image="redis:7-alpine")
    world.settle(rounds=200)
    world.change(image="redis:8")
    for _ in range(400):
        world.reconcile()
        world.tick()
    assert "stoppedRollout" not in world.status
    assert set(world.image.values()) == {"redis:8"}
