"""What is mended beside a master: second masters, strays, and what a move has left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from contex_operator import names
from contex_operator.actions import Action, KillClients, RememberInStatus, SetConfig
from contex_operator.model import DataNode, Observed, SentinelNode, utc
from contex_operator.plan import Plan
from contex_operator.procedures.mend import FENCE, beside, lead_back, repair, restore
from contex_operator.status import compute
from contex_operator.topology import judge
from contex_operator.transitions import transitions

from tests.unit.simulator import Simulator
from tests.unit.test_interruptions import assert_whole, settled
from tests.unit.world import (
    DATA,
    NOW,
    R0,
    R1,
    S0,
    SENTINELS,
    M,
    address_of,
    master,
    pod_of,
    replica,
    replicated,
    sentinel,
    snapshot,
    waiting,
)

SPEC = replicated()
CALM = [sentinel(s) for s in SENTINELS]
PATIENCE_S = 30.0  # failover-timeout 10 s and 20 s more


def mend(observed: Observed) -> list[Action]:
    topology = judge(observed, sentinels=3)
    return [
        *repair(observed, topology),
        *lead_back(SPEC, observed, topology),
        *restore(SPEC, observed, topology, staying=DATA),
    ]


def words(actions: list[Action]) -> list[str]:
    return [str(action) for action in actions]


def second(pod: str = R0, **fields: Any) -> DataNode:
    return master(pod, **{"replid": "theirs", "min_replicas": 1, **fields})


def status_of(observed: Observed) -> dict[str, Any]:
    topology = judge(observed, sentinels=3)
    plan = Plan(actions=tuple(mend(observed)), again_s=0.3)
    return compute(SPEC, observed, topology, plan)


# --- a second master ---------------------------------------------------------------------------------------------


def test_f05_a_second_master_is_fenced_then_counted_then_led_back() -> None:
    truth = master(replid="ours", replid2="theirs", fork_offset=801, min_replicas=1)
    world = snapshot([truth, second(offset=1000), replica(R1)], CALM)
    assert words(mend(world)) == [f"set min-replicas-to-write {FENCE} on {R0}"]

    fenced = replace(world, data=(truth, second(offset=1040, min_replicas=FENCE), replica(R1)))
    (told,) = mend(fenced)
    assert isinstance(told, RememberInStatus)
    record = told.fields["lastSecondMaster"]
    assert (record["pod"], record["beside"], record["bytes"]) == (R0, M, 240)

    status = {"lastSecondMaster": record}
    recorded = replace(fenced, resource={**world.resource, "status": status})
    assert words(mend(recorded)) == [f"let {R0} follow {address_of(M)}"]

    back = replace(recorded, data=(truth, replica(R0, min_replicas=FENCE), replica(R1)))
    assert words(mend(back)) == [f"set min-replicas-to-write 1 on {R0}"]
    whole = replace(recorded, data=(truth, replica(R0, min_replicas=1), replica(R1)))
    assert mend(whole) == []


def test_the_same_pod_as_second_master_again_is_counted_anew() -> None:
    record = {"pod": R0, "replicationId": "an earlier one"}
    world = snapshot(
        [master(), second(min_replicas=FENCE), replica(R1)], CALM, status={"lastSecondMaster": record}
    )
    (told,) = mend(world)
    assert isinstance(told, RememberInStatus)
    assert told.fields["lastSecondMaster"]["replicationId"] == "theirs"


def test_three_masters_are_all_fenced_at_once_and_counted_one_by_one() -> None:
    world = snapshot([master(), second(R0), second(R1)], CALM)
    assert all(isinstance(action, SetConfig) for action in mend(world))
    assert len(mend(world)) == 2
    fenced = [second(pod, min_replicas=FENCE) for pod in (R0, R1)]
    (told,) = mend(snapshot([master(), *fenced], CALM))
    assert isinstance(told, RememberInStatus)
    (follow,) = mend(snapshot([master(), *fenced], CALM, status=dict(told.fields)))
    assert str(follow) == f"let {told.fields['lastSecondMaster']['pod']} follow {address_of(M)}"


@pytest.mark.parametrize(
    ("node", "truth", "taken"),
    [
        (second(offset=900), master(replid2="theirs", fork_offset=801), 100),
        (second(offset=700), master(replid2="theirs", fork_offset=801), 0),
        (second(offset=900, replid2="ours", fork_offset=851), master(replid="ours"), 50),
        (second(offset=900), master(replid="ours", replid2="others", fork_offset=801), None),
    ],
)
def test_what_only_the_second_master_has(node: DataNode, truth: DataNode, taken: int | None) -> None:
    (found,) = beside(judge(snapshot([truth, node, replica(R1)], CALM), sentinels=3))
    assert found.taken == taken
    assert ("bytes" in found.record(now=NOW)) is (taken is not None)


def test_it_is_told_by_condition_and_event() -> None:
    truth = master(replid2="theirs", fork_offset=801)
    world = snapshot(
        [truth, second(offset=1000, min_replicas=FENCE), replica(R1)],
        CALM,
        status={"phase": "Ready", "initialized": True},
    )
    status = status_of(world)
    degraded = next(c for c in status["conditions"] if c["type"] == names.Condition.DEGRADED)
    assert degraded["reason"] == "TwoMasters"
    sentence = f"{R0} says role:master beside {M}; 200 bytes that only it has are discarded"
    assert degraded["message"] == sentence
    events = [e for e in transitions({}, status) if e.reason == "SecondMaster"]
    assert [(e.message, e.is_warning) for e in events] == [(sentence, True)]
    assert not [e for e in transitions(status, status) if e.reason == "SecondMaster"]


@pytest.mark.parametrize(
    "sentinels",
    [
        [sentinel(S0, flags=frozenset({"master", "failover_in_progress"})), *CALM[1:]],
        [sentinel(S0, tilt=True), *CALM[1:]],
        [sentinel(S0, R0, 1), *CALM[1:]],
    ],
)
def test_nobody_is_fenced_while_a_failover_may_be_under_way(sentinels: list[SentinelNode]) -> None:
    world = snapshot([master(), second(), replica(R1, M, min_replicas=FENCE, priority=1)], sentinels)
    assert mend(world) == []


def test_nobody_is_fenced_in_the_middle_of_a_move() -> None:
    intent = {"procedure": "switchover", "pod": R0}
    assert mend(snapshot([master(), second(), replica(R1)], CALM, status={"intent": intent})) == []


def test_a_second_master_in_the_model_ends_without_a_fence() -> None:
    sim: Simulator = settled()
    node = sim.redis[R0]
    node.role, node.follows, node.linked = "master", None, False
    sim.reconcile()
    assert node.fence == FENCE
    sim.settle()
    assert node.fence == 1
    assert sim.status["lastSecondMaster"]["pod"] == R0
    assert_whole(sim)


# --- strays ------------------------------------------------------------------------------------------------------


def stray_world(since_s: float | None) -> Observed:
    status = {} if since_s is None else {"strays": {R0: utc(NOW - since_s)}}
    return snapshot([master(), replica(R0, R1), replica(R1)], CALM, status=status)


def test_f22_a_stray_is_led_back_when_sentinel_has_not_done_it() -> None:
    assert mend(stray_world(None)) == []
    assert mend(stray_world(PATIENCE_S - 1)) == []
    follow, kill = mend(stray_world(PATIENCE_S + 1))
    assert str(follow) == f"let {R0} follow {address_of(M)}"
    assert isinstance(kill, KillClients)
    assert kill.pod == R0


def test_f22_a_stray_is_told_although_its_link_is_up() -> None:
    status = status_of(stray_world(None))
    ready = next(c for c in status["conditions"] if c["type"] == names.Condition.READY)
    assert (ready["status"], ready["reason"]) == ("False", "ReplicaAstray")
    assert ready["message"] == f"{R0} follows {address_of(R1)} instead of {M}"
    assert status["strays"] == {R0: utc(NOW)}


def test_the_time_of_a_stray_is_kept_and_goes_with_it() -> None:
    assert status_of(stray_world(20))["strays"] == {R0: utc(NOW - 20)}
    healthy = snapshot(
        [master(), replica(R0), replica(R1)], CALM, status={"strays": {R0: utc(NOW)}, "initialized": True}
    )
    assert "strays" not in status_of(healthy)


def test_a_pod_that_waits_at_its_gate_is_no_stray() -> None:
    world = snapshot([master(), waiting(R0), replica(R1)], CALM, status={"strays": {R0: utc(NOW - 99)}})
    assert mend(world) == []
    assert "strays" not in status_of(world)


# --- what a move has left ----------------------------------------------------------------------------------------


def test_a_fence_and_priorities_that_nobody_needs_any_more_are_taken_back() -> None:
    data = [
        master(min_replicas=FENCE),
        replica(R0, priority=1, min_replicas=1),
        replica(R1, priority=200, min_replicas=FENCE),
    ]
    assert words(mend(snapshot(data, CALM))) == [
        f"set min-replicas-to-write 1 on {M}",
        f"set replica-priority 100 on {R0}",
        f"set min-replicas-to-write 1 on {R1}",
        f"set replica-priority 100 on {R1}",
    ]


def test_the_gates_own_fence_and_priority_are_left_alone() -> None:
    data = [master(min_replicas=99), replica(R0, priority=0), replica(R1)]
    pods = (pod_of(M), pod_of(R0, ready=False), pod_of(R1))
    assert mend(snapshot(data, CALM, pods=pods)) == []


def test_a_replica_in_sync_that_stays_may_be_promoted_again() -> None:
    """Somebody began to take it away, and gave that up."""
    world = snapshot([master(), replica(R0, priority=0), replica(R1)], CALM)
    assert words(mend(world)) == [f"set replica-priority 100 on {R0}"]
    topology = judge(world, sentinels=3)
    assert restore(SPEC, world, topology, staying=(M, R1)) == []


def test_priorities_are_left_alone_while_a_pod_takes_its_leave() -> None:
    """Its hook may have set them, and needs them until the sentinels agree."""
    data = [master(), replica(R0, priority=1), replica(R1)]
    pods = (pod_of(M, terminating=True), pod_of(R0), pod_of(R1))
    assert mend(snapshot(data, CALM, pods=pods)) == []
