"""The whole plan on the model: bootstrap, crash and cold start end settled, whenever the operator dies in between.

The simulator itself fails a run in which a command makes a second master, acts over the sentinels' heads, moves the
Service away from the truth or throws an acknowledged write away.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
from contex_operator.plan import SETTLED_S
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.simulator import Simulator
from tests.unit.world import DATA, R0, R1, S0, S1, S2, SENTINELS, M, address_of


@functools.cache
def _settled() -> Simulator:
    sim = Simulator()
    sim.settle()
    for _ in range(3):
        sim.write()
    sim.tick()
    return sim


def settled() -> Simulator:
    """A set of one's own that has bootstrapped and taken three writes."""
    return copy.deepcopy(_settled())


def fingerprint(sim: Simulator) -> dict[str, Any]:
    """What is settled, without what counts requests."""
    objects = copy.deepcopy(sim.api.objects)
    for body in objects.values():
        for field in ("uid", "resourceVersion"):
            del body["metadata"][field]
        if body["kind"] == "Service" and not body["metadata"]["name"][-1].isdigit():
            body["spec"] |= {"clusterIP": None, "clusterIPs": None}
    return {
        "objects": objects,
        "status": sim.status,
        "roles": sim.roles,
        "data": {
            node.pod: (node.role, node.follows, node.linked, node.writes) for node in sim.redis.values()
        },
        "sentinels": {s.pod: (s.master, s.epoch, s.settings) for s in sim.sentinels.values()},
    }


def assert_whole(sim: Simulator) -> None:
    """One master by the sentinels' majority, behind the Service, with every acknowledged write; all others follow."""
    assert len(sim.masters) == 1, sim.describe()
    (truth,) = sim.masters
    agreed = sim.agreed()
    assert agreed is not None
    assert agreed[0] == truth.address
    assert set(sim.acknowledged) <= set(truth.writes), sim.describe()
    assert all(node.follows == truth.address for node in sim.redis.values() if node is not truth)
    count = len(sim.acknowledged)
    sim.write()
    assert len(sim.acknowledged) == count + 1, "a write through the Service is refused"
    assert "intent" not in sim.status
    assert sim.status["phase"] == "Ready"
    assert sim.status["master"] == {"pod": truth.pod, "address": truth.address}
    assert sim.roles == {n.pod: "master" if n is truth else "replica" for n in sim.redis.values()}


def test_a_fresh_set_becomes_ready_and_then_costs_nothing() -> None:
    sim = Simulator()
    sim.settle()
    writes, status = sim.api.writes, copy.deepcopy(sim.status)
    for _ in range(5):
        decided = sim.reconcile()
        assert decided.actions == ()
        assert decided.again_s == SETTLED_S
        sim.tick()
    assert sim.api.writes == writes
    assert sim.status == status
    assert_whole(sim)


def run_interrupted(sim: Simulator, dies_at: int) -> int:
    """Settle, with a process that dies after its `dies_at`-th action; how many actions there were."""
    done = 0
    for _ in range(80):
        until = dies_at - done if done <= dies_at else None
        decided = sim.reconcile(interrupt_after=until)
        died = until is not None and len(decided.actions) > until
        done += len(decided.actions)
        if not decided.actions and decided.again_s == SETTLED_S:
            return done
        if not died:  # a new process is there at once, and time passes only afterwards
            sim.tick()
    raise AssertionError(f"not settled: {sim.describe()}")


def everything_restarts_without_memory(sim: Simulator) -> None:
    for pod in DATA:
        sim.crash(pod)
    for pod in SENTINELS:
        sim.forget(pod)


def sentinels_lose_their_memory(sim: Simulator) -> None:
    for pod in SENTINELS:
        sim.forget(pod)


def sentinels_lose_their_memory_after_a_failover(sim: Simulator) -> None:
    """The running master's process began empty; the former one's volume says that it was master."""
    sim.crash(M, down_for=3)
    for _ in range(6):
        sim.reconcile()
        sim.tick()
    assert not sim.redis[M].is_master, "there was no failover"
    sim.write()
    sim.crash(M)
    sentinels_lose_their_memory(sim)


def the_master_crashes(sim: Simulator) -> None:
    sim.crash(M, down_for=3)
    sim.tick()


STARTS: dict[str, tuple[Callable[[], Simulator], Callable[[Simulator], None]]] = {
    "bootstrap": (Simulator, lambda sim: None),
    "cold start": (settled, everything_restarts_without_memory),
    "bare sentinels beside a running master": (settled, sentinels_lose_their_memory),
    "bare sentinels after a failover": (settled, sentinels_lose_their_memory_after_a_failover),
    "crash of the master": (settled, the_master_crashes),
}


@pytest.mark.parametrize("start", STARTS)
def test_an_operator_that_dies_after_any_action_changes_nothing_in_the_end(start: str) -> None:
    make, prepare = STARTS[start]
    undisturbed = make()
    prepare(undisturbed)
    count = run_interrupted(undisturbed, 10**6)
    assert count > 0, "nothing had to be done: the start is not what it should be"
    assert_whole(copy.deepcopy(undisturbed))
    for dies_at in range(count):
        sim = make()
        prepare(sim)
        run_interrupted(sim, dies_at)
        assert fingerprint(sim) == fingerprint(undisturbed), f"died after action {dies_at}"


def test_a_cold_start_chooses_the_last_master_and_keeps_its_writes() -> None:
    sim = settled()
    sim.crash(M, down_for=4)
    for _ in range(8):
        sim.reconcile()
        sim.tick()
    (master,) = sim.masters
    assert master.pod != M, "there was no failover"
    sim.write()
    sim.tick()
    everything_restarts_without_memory(sim)
    sim.settle()
    assert sim.masters == [master]
    assert_whole(sim)


def test_two_sentinels_that_forget_learn_again_from_the_third() -> None:
    sim = settled()
    for pod in (S0, S2):
        sim.forget(pod)
    sim.settle()
    assert_whole(sim)


def test_a_deleted_identity_service_comes_back_with_its_address() -> None:
    sim = settled()
    before = sim.api.objects.pop(("Service", R1))["spec"]["clusterIP"]
    sim.settle()
    assert sim.api.objects["Service", R1]["spec"]["clusterIP"] == before
    assert_whole(sim)


def test_an_old_intent_does_not_stand_in_the_way_of_a_failover() -> None:
    """The sentinels monitor, the operator dies before it drops its intent, and the master crashes."""
    sim = Simulator()
    while sim.agreed() is None:
        decided = sim.reconcile()
        sim.tick()
    assert "monitor" in str(decided.actions[-1])
    assert sim.status["intent"]["pod"] == M
    sim.crash(M)
    sim.tick()  # the pod is back at its gate, and a sentinel has promoted a replica, all before the next look
    assert sim.masters
    sim.settle()
    assert_whole(sim)


def test_the_copy_with_the_newest_data_has_to_be_there() -> None:
    sim = settled()
    everything_restarts_without_memory(sim)
    sim.redis[M].down_for = 10**6
    for _ in range(5):
        decided = sim.reconcile()
        sim.tick()
    assert decided.actions == ()
    assert decided.missing == (M,)
    assert list(sim.status["missing"]) == [M]
    assert not sim.masters
    sim.redis[M].down_for = 0
    sim.settle()
    assert_whole(sim)


def test_an_empty_volume_under_the_last_master_is_not_promoted() -> None:
    sim = settled()
    everything_restarts_without_memory(sim)
    sim.lose_volume(M)
    decided = sim.settle()
    assert decided.risk is not None
    assert decided.risk[0] == "DivergentData"
    assert not sim.masters


def test_a_chosen_pod_that_loses_its_volume_before_it_is_promoted_is_not_promoted() -> None:
    sim = settled()
    everything_restarts_without_memory(sim)
    while "intent" not in sim.status:
        sim.reconcile()
        sim.tick()
    sim.lose_volume(M)
    decided = sim.settle()
    assert decided.risk is not None
    assert not sim.masters


EVENTS = ("time", "time", "write", "crash", "long crash", "delete", "forget", "hide", "show", "operator dies")


@settings(max_examples=40)
@given(
    st.sampled_from(["bootstrap", "settled"]),
    st.lists(
        st.tuples(st.sampled_from(EVENTS), st.integers(0, 2), st.integers(0, 12)), min_size=3, max_size=14
    ),
    st.sampled_from([None, *DATA]),
)
def test_no_order_of_faults_makes_the_operator_lose_a_write(
    start: str, script: list[tuple[str, int, int]], lost: str | None
) -> None:
    sim = Simulator() if start == "bootstrap" else settled()
    for event, which, number in script:
        match event:
            case "write":
                sim.write()
            case "crash":
                sim.crash(DATA[which])
            case "long crash":
                sim.crash(DATA[which], down_for=3)
            case "delete":
                sim.delete(DATA[which])
            case "forget":
                sim.forget(SENTINELS[which])
            case "hide":
                sim.hidden.add((*DATA, *SENTINELS)[number % 6])
            case "show":
                sim.hidden.clear()
        if number == 12 and lost is not None and not sim.volumes_lost:
            sim.lose_volume(lost)
        sim.reconcile(interrupt_after=number if event == "operator dies" else None)
        if event != "operator dies":
            sim.tick()
    sim.hidden.clear()
    for _ in range(8):
        sim.reconcile()
        sim.tick()
    if sim.nobody_can_be_promoted():
        conditions = {c["type"]: c["status"] for c in sim.status["conditions"]}
        assert (conditions["Ready"], conditions["FailoverReady"]) == ("False", "False"), "it is not told"
    elif sim.settle().risk is None:
        assert_whole(sim)


def test_the_world_of_these_tests_is_the_documented_one() -> None:
    sim = settled()
    assert [node.pod for node in sim.redis.values()] == [M, R0, R1]
    assert [s.pod for s in sim.sentinels.values()] == [S0, S1, S2]
    assert sim.status["master"] == {"pod": M, "address": address_of(M)}
