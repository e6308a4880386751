"""Planned switchover and assisted failover on the cluster: what clients notice, and what is left behind."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from contex_operator.names import ANNOTATION_SWITCHOVER

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually, never
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command
from tests.workload.checker import longest_gap
from tests.workload.history import Op
from tests.workload.process import Writers

# What is asserted here is an order of magnitude on a machine that runs three nodes and the tests on two cores; the
# figures are the bench's. Sentinel alone would need more than four seconds for a crash.
SWITCHOVER_S = 1.5
ASSISTED_S = 2.5
KINDS = ("sentinel", "kept", "fresh")

StartWriters = Callable[..., Writers]


def ask_for_switchover(redis_set: RedisSet, to: str = "any") -> None:
    request = {"metadata": {"annotations": {ANNOTATION_SWITCHOVER: to}}}
    redis_set.cluster.patch("contexredis", redis_set.name, request, namespace=redis_set.namespace)


def started(redis_set: RedisSet, writers: StartWriters, **pace: float) -> dict[str, Writers]:
    running = {kind: writers(redis_set, kind, client=kind, **pace) for kind in KINDS}
    for each in running.values():
        each.wait_for_acks(50, within_s=20)
    return running


def stopped(running: dict[str, Writers], *, since: float) -> list[Op]:
    """All of them write again; their history."""
    for each in running.values():
        each.wait_for_acks(50, within_s=20, after=since)
    return [op for each in running.values() for op in each.stop()]


def last_failover(redis_set: RedisSet) -> dict[str, object]:
    return dict(redis_set.resource()["status"].get("lastFailover") or {})


def events(redis_set: RedisSet, reason: str) -> list[str]:
    found = redis_set.cluster.items("events", redis_set.namespace)
    return [event["note"] for event in found if event["reason"] == reason]


@pytest.mark.gate
@pytest.mark.timed
@pytest.mark.parametrize("timeout_ms", [500, 5000])
def test_f07_a_switchover_on_request_loses_nothing_and_nobody_stays_behind(
    contexredis: CreateContexRedis, writers: StartWriters, timeout_ms: int
) -> None:
    redis_set = contexredis()
    old = redis_set.wait_master()
    running = started(redis_set, writers, timeout_ms=timeout_ms)
    at = time.monotonic()
    target = redis_set.children.replica_pods(2)[1]
    ask_for_switchover(redis_set, target)
    new = redis_set.wait_master(other_than=old)
    assert new == target
    # A client that keeps its connection and never asks is the one that would stay with the old master.
    history = stopped(running, since=time.monotonic() + 1.0)
    verdict = redis_set.judge(history)
    assert verdict.is_clean, verdict.sentence()
    for kind in KINDS:
        gap = longest_gap([op for op in history if op.client == kind], since=at)
        assert gap.seconds <= SWITCHOVER_S, f"{kind}: {gap}"
    redis_set.wait_ready(within_s=60)
    moved = last_failover(redis_set)
    assert (moved["from"], moved["to"], moved["reason"]) == (old, new, "Switchover")
    assert ANNOTATION_SWITCHOVER not in redis_set.resource()["metadata"].get("annotations", {})
    assert "intent" not in redis_set.resource()["status"]
    told = eventually(
        lambda: events(redis_set, "SwitchedOver"), within_s=10, describe="an event tells of the switchover"
    )
    assert told[0].startswith(f"master moved from {old} to {new} in ")


@pytest.mark.gate
@pytest.mark.timed
def test_a_crash_is_healed_long_before_sentinel_would(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster
) -> None:
    redis_set = contexredis()
    running = started(redis_set, writers)
    old = redis_set.wait_master()
    assert cluster.lab is not None
    at = time.monotonic()
    cluster.lab.faults.kill(redis_set.namespace, old, "redis-server")
    redis_set.wait_master(other_than=old)
    history = stopped(running, since=time.monotonic())
    verdict = redis_set.judge(history, within_s=60)
    assert verdict.is_clean, verdict.sentence()
    for kind in KINDS:
        gap = longest_gap([op for op in history if op.client == kind], since=at)
        assert gap.seconds <= ASSISTED_S, f"{kind}: {gap}"
    redis_set.wait_ready(within_s=60)
    assert last_failover(redis_set)["reason"] == "AssistedFailover"
    # And Sentinel is as able as before: the next crash, with the assistance switched off, is its own.
    redis_set.configure(failover={"assisted": False})
    redis_set.wait_ready(within_s=60)
    second = redis_set.wait_master()
    cluster.lab.faults.kill(redis_set.namespace, second, "redis-server")
    redis_set.wait_master(other_than=second, within_s=60)
    redis_set.wait_ready(within_s=60)
    assert last_failover(redis_set)["reason"] == "SentinelFailover"


def test_without_assistance_a_switchover_goes_by_sentinels_own_command(
    contexredis: CreateContexRedis, writers: StartWriters
) -> None:
    redis_set = contexredis(failover={"assisted": False})
    old = redis_set.wait_master()
    running = started(redis_set, writers)
    ask_for_switchover(redis_set)
    redis_set.wait_master(other_than=old, within_s=60)
    history = stopped(running, since=time.monotonic() + 2.0)
    verdict = redis_set.judge(history)
    assert verdict.is_clean, verdict.sentence()
    redis_set.wait_ready(within_s=60)
    assert last_failover(redis_set)["reason"] == "Switchover"
    priorities = {
        pod: command(node, "CONFIG GET", "replica-priority") for pod, node in redis_set.nodes().items()
    }
    assert "1" not in str(priorities.values())


@pytest.mark.gate
def test_a_frozen_master_is_left_to_sentinel(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    """Silence proves nothing: the operator promotes nobody, whatever its own connection says."""
    redis_set = contexredis()
    old = redis_set.wait_master()
    assert cluster.lab is not None
    fault = cluster.lab.faults.freeze(f"{namespace}/{old}")
    try:
        redis_set.wait_master(other_than=old, within_s=60)
        eventually(
            lambda: last_failover(redis_set).get("from") == old, within_s=30, describe="it is in the status"
        )
        assert last_failover(redis_set)["reason"] == "SentinelFailover"
    finally:
        fault.undo()
    eventually(
        lambda: redis_set.roles()[old] == "slave",
        within_s=60,
        describe="the thawed master follows",
        passing=UNREACHABLE,
    )
    redis_set.wait_ready(within_s=60)


@pytest.mark.gate
@pytest.mark.node_fault
def test_a_deleted_pod_object_on_a_cut_off_node_proves_nothing(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    """The node is cut off, its Redis serves on for whoever is there with it, and its pod object is deleted by force:
    what refuses then is a Service without endpoints. Sentinel alone decides.
    """
    redis_set = contexredis()
    old = redis_set.wait_master()
    assert cluster.lab is not None
    with cluster.lab.faults.cut(redis_set.node_of(old)):
        cluster.kubectl("delete", "pod", old, "-n", namespace, "--force", "--grace-period=0")
        redis_set.wait_master(other_than=old, within_s=60)
        eventually(
            lambda: last_failover(redis_set).get("from") == old, within_s=40, describe="it is in the status"
        )
        assert last_failover(redis_set)["reason"] == "SentinelFailover"
    redis_set.wait_ready(within_s=120)


@pytest.mark.gate
def test_a_request_that_cannot_be_fulfilled_is_refused_in_words_and_moves_nothing(
    contexredis: CreateContexRedis,
) -> None:
    redis_set = contexredis()
    old = redis_set.wait_master()
    ask_for_switchover(redis_set, "redis-replica-9")
    eventually(
        lambda: ANNOTATION_SWITCHOVER not in redis_set.resource()["metadata"].get("annotations", {}),
        within_s=20,
        describe="the request is taken off",
    )
    told = eventually(
        lambda: events(redis_set, "SwitchoverRefused"), within_s=10, describe="an event says why"
    )
    assert "there is no data pod redis-replica-9" in told[0]
    never(lambda: redis_set.master() not in (old, None), for_s=3, describe="the master moves")
