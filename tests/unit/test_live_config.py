"""Configuration that a running Redis takes, over the simulated set: applied, written down, refused, restored."""

from __future__ import annotations

import pytest
from contex_operator.actions import SetConfig
from contex_operator.names import ANNOTATION_CONFIG
from contex_operator.render import directives
from contex_operator.spec_config import KNOWN, is_comparable, is_same, needs_restart

from tests.unit.changing import BROKEN, CHILDREN, ChangingSet
from tests.unit.world import R0, R1, S0, S1, S2, M

DATA = (M, R0, R1)


@pytest.fixture
def world() -> ChangingSet:
    settled = ChangingSet(replicas=2)
    settled.settle()
    return settled


def in_force(world: ChangingSet, name: str) -> set[str | None]:
    return {world.config[pod].get(name) for pod in DATA}


def test_a_directive_reaches_every_node_and_the_file_and_rolls_nobody(world: ChangingSet) -> None:
    world.change(config={"slowlog-max-len": 64, "maxmemory-policy": "allkeys-lru"})
    world.settle()
    assert in_force(world, "slowlog-max-len") == {"64"}
    assert in_force(world, "maxmemory-policy") == {"allkeys-lru"}
    assert directives(world.conf)["slowlog-max-len"] == "64"
    assert world.deleted == []


def test_durability_goes_the_same_way(world: ChangingSet) -> None:
    world.change(durability="strict")
    world.settle()
    assert in_force(world, "appendfsync") == {"always"}
    assert in_force(world, "min-replicas-max-lag") == {"2"}
    assert world.deleted == []


def test_replicas_come_before_the_master(world: ChangingSet) -> None:
    world.change(config={"slowlog-max-len": 64})
    order = [action.pod for action in world.reconcile().actions if isinstance(action, SetConfig)]
    assert order == [R0, R1, M]


def test_what_a_replica_refuses_changes_nothing_anywhere(world: ChangingSet) -> None:
    conf = world.conf
    world.refused = {"slowlog-max-len"}
    world.change(config={"slowlog-max-len": 64, "maxmemory-policy": "allkeys-lru"})
    for _ in range(10):
        world.reconcile()
        world.tick()
    assert world.conf == conf
    assert in_force(world, "maxmemory-policy") == {None}
    world.change(config={"maxmemory-policy": "allkeys-lru"})
    world.settle()
    assert in_force(world, "maxmemory-policy") == {"allkeys-lru"}
    assert world.deleted == []


def test_a_container_that_read_an_older_file_is_set_right(world: ChangingSet) -> None:
    world.change(config={"slowlog-max-len": 32})
    world.settle()
    stale = world.conf
    world.change(config={"slowlog-max-len": 64, "maxmemory-policy": "allkeys-lru"})
    world.settle()
    world.conf_read[R0] = stale
    world.crash(R0)
    world.tick()
    assert world.config[R0]["slowlog-max-len"] == "32"
    world.config[R0]["maxmemory-policy"] = "noeviction"  # as it is where the file says nothing
    world.settle()
    assert in_force(world, "maxmemory-policy") == {"allkeys-lru"}
    assert in_force(world, "slowlog-max-len") == {"64"}


def test_a_settled_configuration_is_left_alone(world: ChangingSet) -> None:
    world.change(config={"maxmemory": "100mb"}, durability="strict")
    world.settle()
    world.config[M]["maxmemory"] = "104857600"  # as Redis shows it
    assert world.reconcile().actions == ()


def test_what_needs_a_restart_rolls_the_data_pods_alone(world: ChangingSet) -> None:
    world.change(config={"databases": 32})
    world.settle(rounds=200)
    assert in_force(world, "databases") == {"32"}
    assert world.deleted == [R1, R0, M]


def test_what_is_taken_out_comes_back_by_a_restart(world: ChangingSet) -> None:
    world.change(config={"slowlog-max-len": 64})
    world.settle()
    world.change(config={})
    world.settle(rounds=200)
    assert in_force(world, "slowlog-max-len") == {None}
    assert "slowlog-max-len" not in directives(world.conf)
    assert world.deleted == [R1, R0, M]
    world.deleted.clear()
    world.change(config={"slowlog-max-len": 65})
    world.settle(rounds=200)
    assert world.deleted == []


def test_a_stopped_rollout_puts_the_restart_directives_back_and_leaves_the_others(world: ChangingSet) -> None:
    world.change(config={"databases": 32, "slowlog-max-len": 64}, image=BROKEN)
    world.settle(rounds=200)
    assert world.deleted == [R1, R1]
    assert "databases" not in directives(world.conf)
    assert directives(world.conf)["slowlog-max-len"] == "64"
    assert in_force(world, "slowlog-max-len") == {"64"}
    world.change(image="redis:8")
    world.settle(rounds=300)
    assert in_force(world, "databases") == {"32"}
    template = world.api.objects["StatefulSet", CHILDREN.master]["spec"]["template"]
    assert template["metadata"]["annotations"][ANNOTATION_CONFIG] == "databases 32"


def test_memory_for_more_data_comes_before_the_data(world: ChangingSet) -> None:
    before = int(world.config[M]["maxmemory"])
    world.change(resources={"limits": {"memory": "1Gi"}})
    while True:
        decided = world.reconcile()
        for pod in DATA:
            if pod not in world.deleted:
                assert int(world.config[pod]["maxmemory"]) == before, f"{pod} may fill more than it has"
        if not decided.actions and decided.again_s > 1:
            break
        world.tick()
    assert set(world.deleted) == {M, R0, R1, S0, S1, S2} - {S0, S1, S2}
    assert {int(world.config[pod]["maxmemory"]) for pod in DATA} == {int(2**30 * 0.6)}


@pytest.mark.parametrize(
    "change",
    [
        {"resources": {"limits": {"memory": "200Mi"}}},
        {"config": {"maxmemory": "100mb"}},
        {"resources": {"limits": {"memory": "200Mi"}}, "config": {"maxmemory": "100mb"}},
    ],
)
def test_less_memory_than_the_data_take_is_not_carried_out_and_said(
    world: ChangingSet, change: dict[str, object]
) -> None:
    before = world.conf
    world.used = dict.fromkeys(DATA, 150 * 2**20)
    world.change(**change, podLabels={"team": "blue"})
    world.settle(rounds=200)
    degraded = next(c for c in world.status["conditions"] if c["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "MemoryTooSmall")
    assert f"{world.masters[0].pod} holds 150Mi" in degraded["message"]
    assert world.conf == before
    assert {world.config[pod]["maxmemory"] for pod in DATA} == {directives(before)["maxmemory"]}
    assert len(world.deleted) == 6, "the rest of the change is carried out"
    # Once there is room, it goes on by itself.
    world.used = dict.fromkeys(DATA, 50 * 2**20)
    world.settle(rounds=200)
    degraded = next(c for c in world.status["conditions"] if c["type"] == "Degraded")
    assert degraded["status"] == "False"
    assert int(directives(world.conf)["maxmemory"].removesuffix("mb")) < 150 * 2**20
    assert world.conf != before


def test_less_memory_than_the_data_take_is_the_users_wish_where_keys_may_be_evicted(
    world: ChangingSet,
) -> None:
    world.change(config={"maxmemory-policy": "allkeys-lru"})
    world.settle()
    world.used = dict.fromkeys(DATA, 150 * 2**20)
    world.change(config={"maxmemory-policy": "allkeys-lru", "maxmemory": "100mb"})
    world.settle()
    assert in_force(world, "maxmemory") == {"100mb"}
    assert world.deleted == []


def test_spellings_of_the_same_value() -> None:
    assert is_same("104857600", "100mb")
    assert is_same("allkeys-lru", "ALLKEYS-LRU")
    assert is_same("", '""')
    assert not is_same("64", "65")
    assert [name for name in KNOWN if not is_comparable(name) and not needs_restart(name)] == [
        "client-output-buffer-limit",
        "maxmemory-clients",
        "notify-keyspace-events",
        "save",
    ]
