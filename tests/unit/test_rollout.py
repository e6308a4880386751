"""Rollouts over the simulated set: whole runs, with the rules held against every command (tests.unit.changing)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from contex_operator.actions import DeletePod, RememberInStatus
from contex_operator.procedures.rollout import DEADLINE_S, rollout
from contex_operator.topology import judge
from contex_operator.transitions import transitions

from tests.unit.changing import BROKEN, CHILDREN, ChangingSet
from tests.unit.world import R0, R1, S0, S1, S2, WHO, M

EVERYBODY = {M, R0, R1, S0, S1, S2}


def condition(world: ChangingSet, kind: str) -> dict[str, str]:
    return next(c for c in world.status["conditions"] if c["type"] == kind)


@pytest.fixture
def world() -> ChangingSet:
    settled = ChangingSet(replicas=2)
    settled.settle()
    settled.write()
    return settled


def test_a_change_reaches_every_pod_once_replicas_first_then_the_role_then_the_sentinels(
    world: ChangingSet,
) -> None:
    before = dict(world.revision)
    world.change(image="redis:8")
    world.settle(rounds=200)
    assert world.deleted == [R1, R0, M, S2, S1, S0]
    assert [old for old, _ in world.handovers] == [M]
    assert all(world.revision[pod] != before[pod] for pod in EVERYBODY)
    assert set(world.acknowledged) <= set(world.masters[0].writes)


def test_the_status_tells_how_far_it_is_and_events_tell_its_begin_and_end(world: ChangingSet) -> None:
    world.change(podLabels={"team": "blue"})
    told, reasons, before = [], [], dict(world.status)
    for _ in range(200):
        decided = world.reconcile()
        reasons += [event.reason for event in transitions(before, world.status)]
        before = dict(world.status)
        told.append((condition(world, "Progressing")["reason"], condition(world, "Progressing")["message"]))
        assert condition(world, "Degraded")["status"] == "False"
        if not decided.actions and decided.again_s > 1:
            break
        world.tick()
    assert ("RollingOut", f"0 of 6 pods updated; {R1} is next") in told
    assert (
        "RollingOut",
        f"0 of 6 pods updated; {R1} is next, as soon as it can be: {R1} has no pod",
    ) not in told
    assert reasons == ["RolloutStarted", "SwitchedOver", "RolloutCompleted"]
    assert world.status["lastGood"] == {
        name: world.api.objects["StatefulSet", name]["status"]["updateRevision"]
        for name in (CHILDREN.master, CHILDREN.replica, CHILDREN.sentinel)
    }


def test_a_settled_rollout_costs_nothing(world: ChangingSet) -> None:
    world.change(image="redis:8")
    world.settle(rounds=200)
    writes = world.api.writes
    assert world.reconcile().actions == ()
    assert world.api.writes == writes


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_with_any_number_of_replicas(replicas: int) -> None:
    world = ChangingSet(replicas=replicas)
    world.settle()
    world.change(image="redis:8")
    world.settle(rounds=300)
    assert len(world.deleted) == replicas + 4
    assert len(world.handovers) == 1


def test_an_operator_that_dies_after_any_action_leaves_what_the_next_one_ends(world: ChangingSet) -> None:
    world.change(image="redis:8")
    for round_ in range(300):
        world.reconcile(interrupt_after=round_ % 3)
        world.tick()
        world.write()
        decided = world.reconcile()
        world.tick()
        if not decided.actions and decided.again_s > 1:
            break
    assert sorted(world.deleted) == sorted(EVERYBODY)
    assert set(world.acknowledged) <= set(world.masters[0].writes)


@pytest.mark.parametrize("victim", [M, R0, R1])
@pytest.mark.parametrize("at", range(0, 40, 3))
def test_a_crash_in_the_middle_is_waited_for(world: ChangingSet, victim: str, at: int) -> None:
    world.change(image="redis:8")
    for round_ in range(300):
        if round_ == at:
            world.crash(victim, down_for=4)
        decided = world.reconcile()
        world.tick()
        world.write()
        if round_ > at and not decided.actions and decided.again_s > 1:
            break
    assert set(world.deleted) == EVERYBODY
    assert set(world.acknowledged) <= set(world.masters[0].writes)


def test_nothing_is_deleted_while_the_statefulset_controller_has_not_looked(world: ChangingSet) -> None:
    world.api.lagging = True
    world.change(image="redis:8")
    for _ in range(20):
        world.reconcile()
        world.tick()
    assert world.deleted == []
    for name in (CHILDREN.master, CHILDREN.replica, CHILDREN.sentinel):
        world.api.catch_up(name)
    world.api.lagging = False
    world.settle(rounds=200)
    assert set(world.deleted) == EVERYBODY


# --- a template that does not come up -------------------------------------------------------------------------------


def test_a_bad_image_stops_at_the_first_pod_and_the_last_good_templates_come_back(world: ChangingSet) -> None:
    good = dict(world.revision)
    world.change(image=BROKEN)
    world.settle(rounds=200)
    assert world.deleted == [R1, R1], "more than the first pod was touched"
    assert world.revision == good
    assert condition(world, "Ready")["status"] == "True"
    degraded = condition(world, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "RolloutStopped")
    assert R1 in degraded["message"]
    assert "ImagePullBackOff" in degraded["message"]
    assert condition(world, "Progressing")["status"] == "False"
    # The next drain or crash brings up a pod of the good template.
    for pod in EVERYBODY:
        if pod in world.redis:
            world.delete(pod)
        del world.revision[pod]
        world.settle(rounds=100)
        assert world.revision[pod] == good[pod]
    assert set(world.deleted) == {R1}


@pytest.mark.parametrize("image", ["redis:7-alpine", "redis:8"])
def test_it_heals_when_the_spec_goes_back_or_forward(world: ChangingSet, image: str) -> None:
    world.change(image=BROKEN)
    world.settle(rounds=200)
    world.change(image=image)
    world.settle(rounds=200)
    assert "stoppedRollout" not in world.status
    assert condition(world, "Degraded")["status"] == "False"
    assert set(world.image.values()) == {image}


def test_a_number_that_changes_does_not_try_a_bad_template_again(world: ChangingSet) -> None:
    world.change(image=BROKEN)
    world.settle(rounds=200)
    world.deleted.clear()
    world.change(replicas=3)
    world.settle(rounds=200)
    assert world.deleted == []
    assert len(world.redis) == 4
    assert BROKEN not in world.image.values()


def test_a_bad_image_from_the_start_heals_when_the_spec_is_mended() -> None:
    world = ChangingSet(replicas=2, image=BROKEN)
    for _ in range(20):
        world.reconcile()
        world.tick()
    assert not world.masters
    world.change(image="redis:8")
    world.settle(rounds=200)
    assert condition(world, "Ready")["status"] == "True"


def _halfway(world: ChangingSet) -> ChangingSet:
    """The first pod is made of the new template and is not ready yet."""
    world.change(image="redis:8")
    while R1 not in world.deleted:
        world.reconcile()
    world.redis[R1].down_for = 10_000
    world.tick()
    return world


@pytest.mark.parametrize(
    ("pod", "is_stopped"),
    [
        ({"waiting": "CrashLoopBackOff: back-off 10s"}, True),
        ({"waiting": "CreateContainerConfigError: no such key", "was_ready": True}, True),
        ({"waiting": None}, False),
        ({"waiting": "Unschedulable: 0/3 nodes are available"}, False),
        ({"waiting": None, "age": DEADLINE_S + 1}, True),
        ({"waiting": None, "age": DEADLINE_S + 1, "was_ready": True}, False),
        # Where a pod may run has not changed here: the cluster has.
        ({"waiting": "Unschedulable: 0/3 nodes are available", "age": DEADLINE_S + 1}, False),
    ],
)
def test_what_counts_as_the_templates_fault(
    world: ChangingSet, pod: dict[str, object], is_stopped: bool
) -> None:
    observed = _halfway(world).observe()
    fields: dict[str, Any] = {"ready": False, **pod}
    age = fields.pop("age", 5.0)
    pods = tuple(
        replace(p, created_at=observed.now - age, **fields) if p.name == R1 else p for p in observed.pods
    )
    observed = replace(observed, pods=pods)
    step = rollout(WHO, world.spec, observed, judge(observed, sentinels=3), fingerprint="f")
    assert step is not None
    assert not any(isinstance(action, DeletePod) for action in step.actions)
    assert any(isinstance(action, RememberInStatus) for action in step.actions) is is_stopped


def test_a_pod_that_can_run_nowhere_any_more_stops_it(world: ChangingSet) -> None:
    world.change(nodeSelector={"disk": "none"})
    while R1 not in world.deleted:
        world.reconcile()
    world.tick()
    observed = world.observe()
    late: dict[str, Any] = {
        "ready": False,
        "waiting": "Unschedulable: no node",
        "created_at": observed.now - DEADLINE_S - 1,
    }
    pods = tuple(replace(p, **late) if p.name == R1 else p for p in observed.pods)
    observed = replace(observed, pods=pods)
    step = rollout(WHO, world.spec, observed, judge(observed, sentinels=3), fingerprint="f")
    assert step is not None
    assert [type(action) for action in step.actions] == [RememberInStatus]
