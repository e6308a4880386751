"""Members come and go over the simulated set; the rules are held against every command (tests.unit.changing)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from contex_operator.actions import MakeMaster, RememberInStatus
from contex_operator.model import DataNode, Holding
from contex_operator.procedures.alone import serve_again
from contex_operator.procedures.step import Step
from contex_operator.topology import judge

from tests.unit.changing import CHILDREN, ChangingSet
from tests.unit.world import (
    EMPTIED,
    FRESH,
    R0,
    R1,
    R2,
    S0,
    S1,
    S2,
    WHO,
    M,
    address_of,
    gone,
    intact,
    master,
    pod_of,
    replica,
    snapshot,
    waiting,
)

S3, S4 = "redis-sentinel-3", "redis-sentinel-4"


def settled(**spec: object) -> ChangingSet:
    world = ChangingSet(**spec)
    world.settle(rounds=100)
    world.write()
    return world


def run_until_quiet(world: ChangingSet, *, each: Callable[[int], None] = lambda _: None) -> None:
    for round_ in range(400):
        each(round_)
        decided = world.reconcile()
        if not decided.actions and decided.again_s > 1:
            return
        world.tick()
        world.write()
    raise AssertionError(f"not quiet: {decided.note}; {[str(action) for action in decided.actions]}")


def make_master(world: ChangingSet, pod: str) -> None:
    """The role moves to a pod by a failover."""
    world.crash(world.masters[0].pod, down_for=3)
    for other in world.redis.values():
        if other.pod != pod:
            other.synced = False
    run_until_quiet(world)
    assert [node.pod for node in world.masters] == [pod]


def is_forgotten(world: ChangingSet, pod: str) -> bool:
    address = address_of(pod)
    return (
        ("Service", pod) not in world.api.objects
        and pod not in world.status["addresses"]
        and not any(address in known for known in world.known.values())
        and not any(address in peers for peers in world.peers.values())
        and address not in world.api.objects["ConfigMap", CHILDREN.config]["data"]["members"]
    )


def test_a_new_replica_joins_and_rolls_nobody() -> None:
    world = settled(replicas=2)
    world.change(replicas=3)
    run_until_quiet(world)
    assert world.redis[R2].linked
    assert world.deleted == []
    assert (
        f"data {R2} {address_of(R2)}\n" in world.api.objects["ConfigMap", CHILDREN.config]["data"]["members"]
    )


def test_a_replica_goes_and_is_forgotten_by_one_sentinel_after_the_other() -> None:
    world = settled(replicas=3)
    world.change(replicas=2)
    run_until_quiet(world)
    assert set(world.redis) == {M, R0, R1}
    assert is_forgotten(world, R2)
    assert [pod for _, pod in world.resets] == [S0, S1, S2]
    assert R2 in world.status["retired"]
    assert "forgetting" not in world.status
    assert world.handovers == []
    assert set(world.acknowledged) <= set(world.masters[0].writes)


def test_the_role_leaves_a_pod_that_is_to_go() -> None:
    world = settled(replicas=3)
    make_master(world, R2)
    world.change(replicas=1)
    run_until_quiet(world)
    assert [old for old, _ in world.handovers] == [R2]
    assert world.deleted == []
    assert world.handovers[0][1] in (M, R0)
    assert set(world.redis) == {M, R0}
    assert is_forgotten(world, R1)
    assert is_forgotten(world, R2)
    assert set(world.acknowledged) <= set(world.masters[0].writes)


def test_the_removal_waits_for_a_set_that_is_whole() -> None:
    world = settled(replicas=3)
    world.change(replicas=1)
    world.crash(R0, down_for=50)
    for _ in range(30):
        world.reconcile()
        world.tick()
        assert {R1, R2} <= set(world.redis)
    run_until_quiet(world)
    assert set(world.redis) == {M, R0}


def test_a_number_that_goes_back_up_leaves_nobody_without_a_vote() -> None:
    world = settled(replicas=3)
    world.crash(R0, down_for=10)
    world.change(replicas=1)
    for _ in range(5):
        world.reconcile()
        world.tick()
    assert world.priority[R2] == 0
    world.change(replicas=3)
    run_until_quiet(world)
    assert world.priority == {M: 0, R0: 100, R1: 100, R2: 100}
    assert world.resets == []


def test_a_replica_that_returns_has_its_name_and_may_be_promoted() -> None:
    world = settled(replicas=2)
    world.change(replicas=1)
    run_until_quiet(world)
    world.change(replicas=2)
    run_until_quiet(world)
    assert world.redis[R1].linked
    assert world.priority[R1] == 100
    assert "retired" not in world.status


@pytest.mark.parametrize("at", range(0, 30, 2))
def test_a_crash_of_the_master_meanwhile_loses_nothing(at: int) -> None:
    world = settled(replicas=3)
    make_master(world, R2)
    world.change(replicas=1)

    def crash(round_: int) -> None:
        if round_ == at and world.masters:
            world.crash(world.masters[0].pod, down_for=5)

    run_until_quiet(world, each=crash)
    assert set(world.redis) == {M, R0}
    assert is_forgotten(world, R2)
    assert set(world.acknowledged) <= set(world.masters[0].writes)


def test_an_operator_that_dies_after_any_action_leaves_what_the_next_one_ends() -> None:
    world = settled(replicas=3)
    world.change(replicas=2)

    def die(round_: int) -> None:
        world.reconcile(interrupt_after=round_ % 4)
        world.tick()

    run_until_quiet(world, each=die)
    assert is_forgotten(world, R2)


def test_what_somebody_else_has_raised_is_put_back_at_once() -> None:
    world = settled(replicas=2)
    world.api.objects["StatefulSet", CHILDREN.replica]["spec"]["replicas"] = 5
    world.reconcile()
    assert world.api.objects["StatefulSet", CHILDREN.replica]["spec"]["replicas"] == 2


# --- sentinels -----------------------------------------------------------------------------------------------------


def quorums(world: ChangingSet) -> dict[str, int]:
    return {pod: sentinel.settings.get("quorum", 0) for pod, sentinel in world.sentinels.items()}


def test_sentinels_join_and_the_quorum_is_raised_after_the_last_is_in() -> None:
    world = settled(replicas=2)

    def look(_: int) -> None:
        raised = [pod for pod in (S0, S1, S2) if quorums(world)[pod] == 3]
        if raised:
            assert len(world.sentinels) == 5
            assert all(len(world.peers[pod]) == 4 for pod in world.sentinels)

    world.change(sentinel={"replicas": 5})
    run_until_quiet(world, each=look)
    assert set(quorums(world).values()) == {3}
    assert len(world.sentinels) == 5
    assert world.deleted == []


def test_sentinels_go_after_the_quorum_and_are_forgotten() -> None:
    world = settled(replicas=2, sentinel={"replicas": 5})

    def look(_: int) -> None:
        if len(world.sentinels) < 5:
            assert set(quorums(world).values()) == {2}

    world.change(sentinel={"replicas": 3})
    run_until_quiet(world, each=look)
    assert set(world.sentinels) == {S0, S1, S2}
    assert is_forgotten(world, S3)
    assert is_forgotten(world, S4)
    assert [pod for _, pod in world.resets] == [S0, S1, S2]


# --- mode ----------------------------------------------------------------------------------------------------------


def alone() -> ChangingSet:
    world = ChangingSet(mode="standalone")
    world.settle(rounds=30)
    for _ in range(5):
        world.write()
    return world


def test_a_single_redis_becomes_a_set_and_goes_on_serving() -> None:
    world = alone()
    process = world.redis[M].run_id

    def serves(_: int) -> None:
        assert world.redis[M].is_master
        assert world.redis[M].run_id == process

    world.change(mode="sentinel")
    run_until_quiet(world, each=serves)
    assert set(world.redis) == {M, R0, R1}
    assert world.announced[M] == address_of(M)
    assert world.deleted == []
    assert set(world.acknowledged) <= set(world.redis[R0].writes)
    assert world.status["master"]["pod"] == M


def test_a_set_becomes_a_single_redis_and_keeps_every_key() -> None:
    world = settled(replicas=2)
    make_master(world, R1)
    world.change(mode="standalone")
    run_until_quiet(world)
    assert [old for old, _ in world.handovers] == [R1]
    assert set(world.redis) == {M}
    assert world.redis[M].is_master
    assert set(world.acknowledged) <= set(world.redis[M].writes)
    kinds = {(kind, name) for kind, name in world.api.objects if kind != "Secret"}
    assert kinds == {
        ("Service", "redis-master"),
        ("Service", "redis-nodes"),
        ("Service", "redis-replica"),
        ("Service", M),
        ("StatefulSet", "redis-master"),
        ("ConfigMap", "redis-config"),
        ("ConfigMap", "redis-contex-env"),
    }
    assert set(world.status["retired"]) == {R0, R1, S0, S1, S2}
    assert world.config[M]["min-replicas-to-write"] == "0"


class OldFiles(ChangingSet):
    """The kubelet is late: a pod that restarts reads the configuration that it was first made with."""

    def _is_standalone_file(self) -> bool:
        return False


@pytest.mark.parametrize("at", range(0, 30, 2))
def test_the_last_pod_may_restart_at_any_time_on_its_way_to_be_the_only_one(at: int) -> None:
    """Without sentinels its gate has nobody to ask, and it would wait for ever."""
    world = OldFiles(replicas=2)
    world.settle()
    world.write()
    world.change(mode="standalone")

    def restart(round_: int) -> None:
        if round_ == at:
            world.crash(M)

    run_until_quiet(world, each=restart)
    assert set(world.redis) == {M}
    assert world.redis[M].is_master
    assert set(world.acknowledged) <= set(world.redis[M].writes)
    assert {c["type"]: c["status"] for c in world.status["conditions"]}["Ready"] == "True"


def test_there_and_back_again_with_an_operator_that_dies_after_any_action() -> None:
    world = alone()

    def die(round_: int) -> None:
        world.reconcile(interrupt_after=round_ % 4)
        world.tick()

    for mode in ("sentinel", "standalone", "sentinel"):
        world.change(mode=mode)
        run_until_quiet(world, each=die)
        assert set(world.acknowledged) <= set(world.masters[0].writes)
    assert set(world.redis) == {M, R0, R1}


# --- the only one left, at its gate -------------------------------------------------------------------------------

WAITS = {"initialized": True, "lastMaster": M}
DECIDED = WAITS | {"intent": {"procedure": "alone", "pod": M, "address": address_of(M)}}
HELD = intact(4, was_master=True)


def at_its_gate(*others: DataNode, status: dict[str, object] = DECIDED, **fields: Any) -> Step | None:
    """The step for a set without sentinels whose last pod waits."""
    observed = snapshot([waiting(M, fields.pop("holding", HELD), **fields), *others], status=status)
    return serve_again(WHO, observed, judge(observed, sentinels=0))


def commands(step: Step | None) -> list[type]:
    return [] if step is None else [type(action) for action in step.actions]


def test_the_intent_is_written_before_it_is_made_master() -> None:
    assert commands(at_its_gate(status=WAITS)) == [RememberInStatus]
    assert commands(at_its_gate()) == [MakeMaster]
    assert commands(at_its_gate(replica(R0, link_up=False), replica(R1, link_up=False))) == [MakeMaster]


@pytest.mark.parametrize("holding", [FRESH, EMPTIED])
def test_an_empty_one_is_not_made_master(holding: Holding) -> None:
    step = at_its_gate(replica(R0, link_up=False), holding=holding)
    assert commands(step) == []
    assert step is not None
    assert step.risk is not None
    assert "set spec.mode back to sentinel" in step.risk[1]


@pytest.mark.parametrize(
    "other",
    [
        master(R0),
        gone(R0),
        replica(R0, link_up=False, replid2="theirs", offset=200),
        replica(R0, link_up=False, holding=intact(5, was_master=True)),
    ],
)
def test_whoever_may_know_better_is_heard_first(other: DataNode) -> None:
    assert commands(at_its_gate(other, replid="theirs", offset=100)) == []


def test_sentinels_that_still_end_may_still_speak() -> None:
    observed = snapshot(
        [waiting(M, HELD)],
        status=DECIDED,
        pods=(pod_of(M), pod_of(S0, terminating=True, component="sentinel")),
    )
    assert commands(serve_again(WHO, observed, judge(observed, sentinels=0))) == []


@pytest.mark.parametrize("fields", [{"master_address": "10.1.1.1"}, {"role": "master"}, {"loading": True}])
def test_what_does_not_wait_is_left_alone(fields: dict[str, Any]) -> None:
    """A standalone Redis that somebody leads to another one, one that serves, one that loads."""
    assert commands(at_its_gate(status=WAITS, **fields)) == []
