"""What the status tells of a snapshot: every reason in the world that gives it, times, and the patch that is sent."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from contex_operator.actions import WireDeployment
from contex_operator.contexenv import Wiring
from contex_operator.model import DataNode, Observed, Reach, SentinelNode
from contex_operator.names import Condition
from contex_operator.plan import Plan
from contex_operator.spec import Spec
from contex_operator.status import Status, change, compute, invalid
from contex_operator.topology import judge
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.apiserver import merge_patch
from tests.unit.world import (
    NOW,
    R0,
    R1,
    S0,
    S1,
    S2,
    SENTINELS,
    M,
    address_of,
    bare,
    gone,
    healthy,
    known_replica,
    master,
    pod_of,
    replica,
    replicated,
    resource,
    sentinel,
    silent,
    snapshot,
    standalone,
)

SETTLED = Plan(actions=(), again_s=15.0)
SPEC = replicated()
AT_NOW = "2023-11-14T22:13:20Z"
RAN = {"initialized": True, "phase": "Ready"}


def status_of(world: Observed, *, spec: Spec = SPEC, plan: Plan = SETTLED) -> Status:
    return compute(spec, world, judge(world, sentinels=spec.sentinel_pod_count), plan)


def condition(status: Status, kind: str) -> dict[str, Any]:
    (found,) = (c for c in status["conditions"] if c["type"] == kind)
    return dict(found)


def reason(world: Observed, kind: str, *, spec: Spec = SPEC, plan: Plan = SETTLED) -> tuple[str, str]:
    """(status, reason) of one condition."""
    found = condition(status_of(world, spec=spec, plan=plan), kind)
    assert found["message"], "no sentence"
    return found["status"], found["reason"]


SYNCED = (master(), replica(R0), replica(R1))
AGREED = tuple(sentinel(s) for s in SENTINELS)


# --- Ready --------------------------------------------------------------------------------------------------------


def test_a_healthy_set_is_ready_and_nothing_else() -> None:
    status = status_of(healthy(status=RAN))
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "True",
        "Progressing": "False",
        "Degraded": "False",
        "FailoverReady": "True",
        "DataLossRisk": "False",
        "SpecValid": "True",
        "ContexWired": "Unknown",
        "AuthChanged": "False",
    }
    assert status["phase"] == "Ready"
    assert status["master"] == {"pod": M, "address": address_of(M)}
    assert (status["ready"], status["readyReplicas"], status["sentinels"]) == ("3/3", 2, "3/3")
    assert status["endpoints"] == {
        "master": "redis-master.shop.svc:6379",
        "replica": "redis-replica.shop.svc:6379",
    }
    assert status["sentinelHosts"].startswith("redis-sentinel-0.redis-sentinel:26379,")
    assert status["selector"] == "redis.contex.io/cluster=redis,redis.contex.io/component=replica"


@pytest.mark.parametrize(
    ("data", "sentinels", "why"),
    [
        (SYNCED, [sentinel(S0), silent(S1), silent(S2)], "QuorumLost"),
        (SYNCED, [sentinel(S0), sentinel(S1, R0, 1), silent(S2)], "SentinelsDisagree"),
        ((gone(M), replica(R0), replica(R1)), AGREED, "NoMaster"),
        (SYNCED, [bare(s) for s in SENTINELS], "NoMaster"),
        ((master(), master(R0), replica(R1)), AGREED, "TwoMasters"),
        ((master(aof_ok=False), replica(R0), replica(R1)), AGREED, "WritesRefused"),
        ((master(), replica(R0, aof_ok=False), replica(R1)), AGREED, "DiskWriteFailed"),
        ((master(), replica(R0), gone(R1)), AGREED, "ReplicasNotInSync"),
        ((master(), replica(R0), replica(R1, link_up=False)), AGREED, "ReplicasNotInSync"),
        ((master(), replica(R0), replica(R1, syncing=True)), AGREED, "ReplicasNotInSync"),
        (SYNCED, [*AGREED[:2], silent(S2)], "SentinelsNotReady"),
        (SYNCED, [*AGREED[:2], bare(S2)], "SentinelsNotReady"),
        (SYNCED, [*AGREED[:2], sentinel(S2, R0, 0)], "SentinelsNotReady"),
        (SYNCED, [*AGREED[:2], sentinel(S2, peers=(address_of(S0),))], "SentinelsNotReady"),
        (SYNCED, [*AGREED[:2], sentinel(S2, peers_down=(address_of(S0),))], "SentinelsNotReady"),
        (
            SYNCED,
            [sentinel(s, flags=frozenset({"master", "o_down"})) for s in SENTINELS],
            "FailoverInProgress",
        ),
        (
            SYNCED,
            [sentinel(s, replicas=(known_replica(R0, priority=0),)) for s in SENTINELS],
            "SentinelsNotReady",
        ),
    ],
)
def test_why_a_set_is_not_ready(
    data: Sequence[DataNode], sentinels: Sequence[SentinelNode], why: str
) -> None:
    assert reason(snapshot(data, sentinels, status=RAN), Condition.READY) == ("False", why)


def test_a_set_is_ready_when_its_pods_are_too() -> None:
    pods = tuple(pod_of(p, ready=p != R1) for p in (M, R0, R1, *SENTINELS))
    found = condition(status_of(healthy(pods=pods)), Condition.READY)
    assert (found["reason"], found["message"]) == ("PodsNotReady", "5 of 6 pods are ready")
    leaving = tuple(pod_of(p, terminating=p == S0) for p in (M, R0, R1, *SENTINELS))
    assert reason(healthy(pods=leaving), Condition.READY) == ("False", "PodsNotReady")


def test_pods_of_nobody_do_not_count() -> None:
    pods = tuple(pod_of(p, ready=p != M) for p in (M, R0, R1, *SENTINELS, "redis-replica-7"))
    assert reason(healthy(pods=pods), Condition.READY) == ("False", "PodsNotReady")


def test_standalone() -> None:
    spec = standalone()
    ready = status_of(snapshot([master()]), spec=spec)
    assert condition(ready, Condition.READY)["status"] == "True"
    assert condition(ready, Condition.FAILOVER_READY)["reason"] == "Standalone"
    assert ready["ready"] == "1/1"
    assert not {"sentinels", "sentinelHosts"} & ready.keys()
    starting = snapshot([master()], pods=(pod_of(M, ready=False),))
    assert reason(starting, Condition.READY, spec=spec) == ("False", "PodsNotReady")
    assert reason(snapshot([gone(M)]), Condition.READY, spec=spec) == ("False", "NoMaster")


# --- Degraded -----------------------------------------------------------------------------------------------------


def test_why_a_resource_is_degraded() -> None:
    blocked = replace(SETTLED, blocked=("AuthSecretMissing", "x"))
    risk = replace(SETTLED, risk=("CopyMissing", "y"))
    assert reason(healthy(), Condition.DEGRADED, plan=blocked) == ("True", "AuthSecretMissing")
    assert reason(healthy(), Condition.DEGRADED, plan=risk) == ("True", "CopyMissing")
    assert reason(healthy(), Condition.DATA_LOSS_RISK, plan=risk) == ("True", "CopyMissing")
    broken = snapshot([gone(M), *SYNCED[1:]], AGREED, status=RAN)
    assert reason(broken, Condition.DEGRADED) == ("True", "NoMaster")


def test_a_pod_that_cannot_start_is_told_in_the_kubelets_words() -> None:
    pods = tuple(
        pod_of(p, waiting="ImagePullBackOff: no such image" if p == R1 else None) for p in (M, R0, R1)
    )
    world = snapshot([master(), replica(R0), gone(R1)], AGREED, pods=pods)
    found = condition(status_of(world), Condition.DEGRADED)
    assert (found["reason"], found["message"]) == ("PodCannotStart", f"{R1}: ImagePullBackOff: no such image")


def test_members_that_refuse_the_password_are_named() -> None:
    world = snapshot([master(), replica(R0), gone(R1, Reach.DENIED)], [*AGREED[:2], silent(S2, Reach.DENIED)])
    found = condition(status_of(world), Condition.DEGRADED)
    assert found["reason"] == "PasswordRefused"
    assert found["message"].startswith(f"{R1}, {S2} refuses the password")


def test_sentinels_on_one_node_are_a_risk_though_ready() -> None:
    pods = tuple(pod_of(p, node="a" if p in (S0, S1) else p) for p in (M, R0, R1, *SENTINELS))
    world = healthy(pods=pods, status=RAN)
    assert reason(world, Condition.READY) == ("True", "Ready")
    assert reason(world, Condition.DEGRADED) == ("True", "QuorumAtRisk")


def test_a_resource_that_starts_is_not_degraded() -> None:
    world = snapshot([gone(M), gone(R0), gone(R1)], [silent(s) for s in SENTINELS])
    status = status_of(world, plan=replace(SETTLED, note="waiting for the pods to be made"))
    assert condition(status, Condition.DEGRADED)["status"] == "False"
    assert status["phase"] == "Bootstrapping"


# --- Progressing, phase, Contex -----------------------------------------------------------------------------------


def test_progressing_says_what_is_being_done() -> None:
    doing = replace(SETTLED, note="waiting for redis-master-0 to load its data")
    found = condition(status_of(healthy(), plan=doing), Condition.PROGRESSING)
    assert (found["status"], found["message"]) == ("True", "waiting for redis-master-0 to load its data")
    broken = snapshot([gone(M), *SYNCED[1:]], AGREED, status=RAN)
    assert reason(broken, Condition.PROGRESSING) == ("True", "Waiting")


def test_paused_is_no_progress_and_tells_the_truth_all_the_same() -> None:
    world = snapshot([gone(M), *SYNCED[1:]], AGREED, status=RAN)
    status = status_of(world, spec=replicated(paused=True))
    assert status["phase"] == "Paused"
    assert condition(status, Condition.PROGRESSING)["reason"] == "Paused"
    assert condition(status, Condition.PROGRESSING)["status"] == "False"
    assert condition(status, Condition.READY)["status"] == "False"


@pytest.mark.parametrize(
    ("data", "sentinels", "before", "phase"),
    [
        (SYNCED, AGREED, {}, "Ready"),
        ((gone(M), *SYNCED[1:]), AGREED, {}, "Bootstrapping"),
        ((gone(M), *SYNCED[1:]), AGREED, RAN, "FailingOver"),
        (SYNCED, [sentinel(S0), sentinel(S1, R0, 1), silent(S2)], RAN, "FailingOver"),
        ((*SYNCED[:2], gone(R1)), AGREED, RAN, "Degraded"),
        (SYNCED, [sentinel(S0), silent(S1), silent(S2)], RAN, "Degraded"),
    ],
)
def test_the_phase_in_one_word(
    data: Sequence[DataNode], sentinels: Sequence[SentinelNode], before: dict[str, Any], phase: str
) -> None:
    assert status_of(snapshot(data, sentinels, status=before))["phase"] == phase


def test_a_start_that_is_held_back_is_degraded() -> None:
    world = snapshot([gone(M)], [])
    held = replace(SETTLED, risk=("RetainedClaims", "x"))
    assert status_of(world, plan=held)["phase"] == "Degraded"


WIRED = replicated(contex={"deployments": [{"name": "contex"}]})


def test_contex_wired() -> None:
    def wired(*wiring: Wiring, ready: bool = True) -> tuple[str, str]:
        world = healthy() if ready else snapshot([gone(M), *SYNCED[1:]], AGREED)
        return reason(world, Condition.CONTEX_WIRED, spec=WIRED, plan=replace(SETTLED, wiring=wiring))

    action = WireDeployment(body={"metadata": {"name": "contex"}})
    assert wired(Wiring(deployment="contex")) == ("True", "Wired")
    assert wired(Wiring(deployment="contex", action=action)) == ("False", "Pending")
    assert wired(Wiring(deployment="contex", action=action), ready=False) == ("False", "Pending")
    problem = ("EnvOwnedElsewhere", "x")
    assert wired(Wiring(deployment="a"), Wiring(deployment="b", problem=problem)) == (
        "False",
        "EnvOwnedElsewhere",
    )
    assert reason(healthy(), Condition.CONTEX_WIRED) == ("Unknown", "NotAsked")
    with_map = replicated(contex={"wiring": "configMap"})
    assert reason(healthy(), Condition.CONTEX_WIRED, spec=with_map) == ("True", "ConfigMap")
    without = replicated(contex={"wiring": "none"})
    assert reason(healthy(), Condition.CONTEX_WIRED, spec=without) == ("Unknown", "NotAsked")


def test_a_changed_password_is_told() -> None:
    changed = replace(SETTLED, auth_changed="Secret mine has changed")
    assert reason(healthy(), Condition.AUTH_CHANGED, plan=changed) == ("True", "SourceDiffers")
    assert reason(healthy(), Condition.AUTH_CHANGED) == ("False", "InForce")


# --- times, and what is kept --------------------------------------------------------------------------------------


def test_a_conditions_time_moves_only_when_its_status_turns() -> None:
    first = status_of(healthy())
    assert {c["lastTransitionTime"] for c in first["conditions"]} == {AT_NOW}

    later = healthy(now=NOW + 60, resource=resource(status=first))
    assert status_of(later) == first | {"conditions": first["conditions"]}

    one_lost = snapshot([*SYNCED[:2], gone(R1)], AGREED, now=NOW + 120, resource=resource(status=first))
    second = status_of(one_lost)
    assert condition(second, Condition.READY)["lastTransitionTime"] == "2023-11-14T22:15:20Z"
    assert condition(second, Condition.SPEC_VALID)["lastTransitionTime"] == AT_NOW

    both_lost = snapshot(
        [master(), gone(R0), gone(R1)], AGREED, now=NOW + 180, resource=resource(status=second)
    )
    third = condition(status_of(both_lost), Condition.READY)
    assert third["message"] != condition(second, Condition.READY)["message"]
    assert third["lastTransitionTime"] == "2023-11-14T22:15:20Z", "another sentence is no turn"


def test_the_observed_generation_stands_in_status_and_conditions() -> None:
    world = healthy()
    newer = copy.deepcopy(dict(world.resource))
    newer["metadata"]["generation"] = 7
    status = status_of(replace(world, resource=newer))
    assert status["observedGeneration"] == 7
    assert {c["observedGeneration"] for c in status["conditions"]} == {7}


def test_what_procedures_have_written_stays() -> None:
    kept = {
        "initialized": True,
        "addresses": {M: address_of(M)},
        "intent": {"procedure": "coldStart", "pod": M},
        "lastFailover": {"from": "a", "to": "b"},
    }
    status = status_of(healthy(status=kept))
    assert {key: status[key] for key in kept} == kept
    assert change(kept, status).keys().isdisjoint(kept)


def test_a_new_master_is_a_failover_and_the_first_one_is_none() -> None:
    first = status_of(healthy())
    assert "lastFailover" not in first
    data = (replica(M, R0), master(R0), replica(R1, R0))
    moved = snapshot(
        data, [sentinel(s, R0, 1) for s in SENTINELS], now=NOW + 60, resource=resource(status=first)
    )
    second = status_of(moved)
    assert second["lastFailover"] == {
        "time": "2023-11-14T22:14:20Z",
        "from": M,
        "to": R0,
        "reason": "SentinelFailover",
    }
    again = replace(moved, now=NOW + 90, resource=resource(status=second))
    assert status_of(again)["lastFailover"] == second["lastFailover"]


def test_a_failover_is_told_also_when_nobody_was_seen_in_between() -> None:
    first = status_of(healthy())
    nobody = snapshot([gone(M), gone(R0), gone(R1)], AGREED, resource=resource(status=first))
    second = status_of(nobody)
    assert "master" not in second
    data = (gone(M), master(R0), replica(R1, R0))
    moved = snapshot(data, [sentinel(s, R0, 1) for s in SENTINELS], resource=resource(status=second))
    assert status_of(moved)["lastFailover"]["from"] == M


def test_a_cold_start_that_chose_another_is_no_failover_of_the_sentinels() -> None:
    before = {"lastMaster": M, "intent": {"procedure": "coldStart", "pod": R0}, "initialized": True}
    data = (replica(M, R0), master(R0), replica(R1, R0))
    status = status_of(snapshot(data, [sentinel(s, R0, 0) for s in SENTINELS], status=before))
    assert status["lastFailover"]["reason"] == "ColdStart"


# --- an invalid spec ----------------------------------------------------------------------------------------------


def test_an_invalid_spec_keeps_all_that_is_known_of_the_running_redis() -> None:
    before = status_of(healthy(status=RAN)) | {"initialized": True}
    body = resource(status=before)
    body["metadata"]["generation"] = 2
    status = invalid(body, now=NOW + 60, reason="Invalid", message=".spec.replicas: must be …")
    found = condition(status, Condition.SPEC_VALID)
    assert (found["status"], found["reason"]) == ("False", "Invalid")
    assert found["lastTransitionTime"] == "2023-11-14T22:14:20Z"
    assert status["phase"] == "Ready"
    assert status["observedGeneration"] == 2
    assert condition(status, Condition.READY) == condition(before, Condition.READY)
    assert status["master"] == before["master"]


def test_an_invalid_spec_from_the_start_is_a_phase_of_its_own() -> None:
    status = invalid(resource(), now=NOW, reason="NameTaken", message="x")
    assert status["phase"] == "Invalid"
    assert [c["type"] for c in status["conditions"]] == ["SpecValid"]
    again = invalid(resource(status=status), now=NOW + 60, reason="NameTaken", message="x")
    assert change(status, again) == {}


def test_a_spec_that_is_valid_again_turns_the_condition() -> None:
    refused = invalid(resource(status=status_of(healthy())), now=NOW, reason="Invalid", message="x")
    mended = status_of(healthy(now=NOW + 60, resource=resource(status=refused)))
    found = condition(mended, Condition.SPEC_VALID)
    assert (found["status"], found["lastTransitionTime"]) == ("True", "2023-11-14T22:14:20Z")


# --- the patch ----------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"]) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)
STATUSES = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(STATUSES, STATUSES)
def test_the_patch_leads_from_the_old_to_the_new_status(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = copy.deepcopy((old, new))
    patch = change(old, new)
    assert merge_patch(old, patch) == new
    assert (patch == {}) == (old == new)
    assert (old, new) == before


def test_nothing_is_written_where_nothing_has_changed() -> None:
    first = status_of(healthy(status=RAN))
    again = status_of(healthy(now=NOW + 3600, resource=resource(status=first)))
    assert change(first, again) == {}


def test_a_value_that_is_gone_is_taken_out() -> None:
    assert change({"master": {"pod": M}, "a": 1}, {"a": 1}) == {"master": None}
    assert change({"master": {"pod": M, "x": 1}}, {"master": {"pod": M}}) == {"master": {"x": None}}


def test_the_highest_config_epoch_is_kept_where_the_sentinels_have_forgotten_it() -> None:
    def after(old: dict[str, Any], sentinels: Sequence[SentinelNode]) -> Any:
        return status_of(snapshot(SYNCED, sentinels, status={**RAN, **old})).get("configEpoch")

    assert after({}, AGREED) == 0
    assert after({"configEpoch": 4}, [sentinel(s, M, 6) for s in SENTINELS]) == 6
    assert after({"configEpoch": 4}, [sentinel(s, M, 1) for s in SENTINELS]) == 4
    assert after({"configEpoch": 4}, [bare(s) for s in SENTINELS]) == 4


@pytest.mark.parametrize(
    ("phase", "storage_class", "end"),
    [
        (
            "Pending",
            "no-such-class",
            "; its claim data-redis-replica-0, of storage class no-such-class, is not bound",
        ),
        ("Pending", None, "; its claim data-redis-replica-0, without a storage class, is not bound"),
        ("Bound", "fast", "unbound immediate PersistentVolumeClaims"),
    ],
)
def test_a_pod_that_waits_for_its_claim_names_it(phase: str, storage_class: str | None, end: str) -> None:
    waits = "Unschedulable: pod has unbound immediate PersistentVolumeClaims"
    claim = {"status": {"phase": phase}, "spec": {"storageClassName": storage_class} if storage_class else {}}
    world = snapshot(
        (gone(M), gone(R0), gone(R1)),
        [silent(s) for s in SENTINELS],
        pods=(pod_of(R0, ready=False, waiting=waits),),
        objects={("PersistentVolumeClaim", "data-redis-replica-0"): claim},
    )
    degraded = condition(status_of(world), "Degraded")
    assert degraded["reason"] == "PodCannotStart"
    assert degraded["message"].endswith(end)
