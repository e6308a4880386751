"""A crash of the master's process or of its node, with the operator there or not: what clients notice."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.e2e.conftest import CreateContexRedis, operator_deployment
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually, never
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command
from tests.e2e.support.watching import Announcements, EndpointWatch
from tests.workload.checker import longest_gap
from tests.workload.process import Writers

DOWN_AFTER_S = 3.0
CRASH_S = DOWN_AFTER_S + 2.0
POWER_OFF_S = DOWN_AFTER_S + 3.5
# A machine with two cores that runs three nodes and the tests may stall for a moment: what is asserted here is the
# order of magnitude, the figures are the demo's.
NOISE_S = 4.0

StartWriters = Callable[..., Writers]


def scale_operator(cluster: Cluster, namespace: str, replicas: int) -> None:
    """Set the operator's replicas and wait until so many run."""
    name = operator_deployment(cluster, namespace)
    cluster.kubectl("scale", f"deployment/{name}", "-n", namespace, f"--replicas={replicas}")
    cluster.kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, "--timeout=60s")
    label = "app.kubernetes.io/name=contex-redis-operator"
    eventually(
        lambda: len(cluster.items("pods", namespace, labels=label)) == replicas,
        within_s=60,
        describe=f"{replicas} pods of the operator",
    )


def kill_master(redis_set: RedisSet, master: str) -> float:
    """SIGKILL the master's process; returns when."""
    at = time.monotonic()
    redis_set.cluster.kill_redis(redis_set.namespace, master)
    return at


def split_votes(redis_set: RedisSet) -> int:
    """How many elections have ended without a winner, by the sentinels' logs."""
    pods = redis_set.sentinel_pods()
    logs = [redis_set.cluster.kubectl("logs", pod, "-n", redis_set.namespace) for pod in pods]
    return sum(log.count("-failover-abort-not-elected") for log in logs)


def crash(redis_set: RedisSet) -> tuple[str, str, float, float]:
    """Kill the master's process and wait for the next master: (old, new, when, the outage that is allowed).

    All sentinels can vote for themselves in the same instant. Such an election has no winner, Sentinel waits
    failover-timeout before the next one, and the restarted master may take its place again meanwhile. That is
    told apart from a failover that is merely slow: it alone is allowed the longer outage, and a second crash.
    """
    for _ in range(3):
        old, before = redis_set.wait_master(), split_votes(redis_set)
        at = kill_master(redis_set, old)

        def healed(old: str = old, before: int = before) -> str | None:
            new = redis_set.master()
            return new if new != old or split_votes(redis_set) > before else None

        new = eventually(healed, within_s=60, describe=f"a master after {old}", passing=UNREACHABLE)
        assert new is not None
        without_winner = split_votes(redis_set) > before
        if new != old:
            return old, new, at, CRASH_S + NOISE_S + (25.0 if without_winner else 0.0)
        redis_set.wait_ready(within_s=60)
    raise AssertionError("three elections in a row had no winner")


@pytest.mark.gate
@pytest.mark.timed
def test_crash_of_the_process_loses_nothing_and_every_client_follows(
    contexredis: CreateContexRedis, writers: StartWriters
) -> None:
    redis_set = contexredis()
    running = [writers(redis_set, kind, client=kind) for kind in ("sentinel", "kept", "fresh")]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    master, _, at, bound = crash(redis_set)
    for each in running:
        each.wait_for_acks(50, within_s=20, after=time.monotonic())
    history = [op for each in running for op in each.stop()]
    verdict = redis_set.judge(history)
    assert verdict.is_clean, verdict.sentence()
    for client in ("sentinel", "kept", "fresh"):
        gap = longest_gap([op for op in history if op.client == client], since=at)
        assert gap.seconds <= bound, f"{client}: {gap}"
    redis_set.wait_ready(within_s=60)
    assert redis_set.resource()["status"]["lastFailover"]["from"] == master


@pytest.mark.gate
def test_f01_an_empty_master_that_restarts_wipes_nobody(contexredis: CreateContexRedis) -> None:
    redis_set = contexredis(persistence={"enabled": False})
    master = redis_set.wait_master()
    for i in range(500):
        command(redis_set.node(master), "SET", f"key:{i}", i)
    assert command(redis_set.node(master), "WAIT", 2, 5000) == 2
    # The pod comes back within a second or two, long before Sentinel holds it for down, and with an empty volume.
    redis_set.cluster.kubectl(
        "delete", "pod", master, "-n", redis_set.namespace, "--force", "--grace-period=0"
    )
    new = redis_set.wait_master(other_than=master, within_s=60)
    redis_set.wait_settled(within_s=60)
    counts = {pod: command(node, "DBSIZE") for pod, node in redis_set.nodes().items()}
    assert counts == dict.fromkeys(counts, 500)
    assert redis_set.roles()[master] == "slave"
    assert redis_set.master() == new


@pytest.mark.gate
def test_f04_f57_failover_without_operator_and_its_return_changes_nothing(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    scale_operator(cluster, namespace, 0)
    writer = writers(redis_set, "sentinel", client="sentinel")
    writer.wait_for_acks(50, within_s=10)
    _, new, at, bound = crash(redis_set)
    writer.wait_for_acks(50, within_s=20, after=time.monotonic())
    assert longest_gap(writer.ops(), since=at).seconds <= bound
    scale_operator(cluster, namespace, 1)
    # Its status still names the old master: it must believe the sentinels, and never the status.
    eventually(
        lambda: redis_set.resource()["status"].get("master", {}).get("pod") == new,
        within_s=30,
        describe=f"status names {new}",
    )
    never(lambda: redis_set.master() not in (new, None), for_s=8, describe="the master is moved back")
    service = redis_set.cluster.get("service", redis_set.children.master, namespace)
    assert service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"] == new
    verdict = redis_set.judge(writer.stop(), within_s=60)
    assert verdict.is_clean, verdict.sentence()


@pytest.mark.gate
@pytest.mark.timed
def test_f16_f51_no_reset_is_ever_sent_and_the_service_moves_at_once(contexredis: CreateContexRedis) -> None:
    redis_set = contexredis()
    service = redis_set.children.master
    with Announcements(redis_set) as announced, EndpointWatch(redis_set, service) as endpoints:
        eventually(endpoints.states, within_s=10, describe="the Service has endpoints")
        _, new, _, _ = crash(redis_set)
        address = redis_set.pods()[new]["status"]["podIP"]
        switched = eventually(
            lambda: announced.heard("+switch-master"), within_s=10, describe="+switch-master is announced"
        )[0].at
        moved = eventually(
            lambda: [s for s in endpoints.states() if s.addresses == (address,)],
            within_s=10,
            describe=f"the Service leads to {new} ({address})",
        )[0].at
        redis_set.wait_ready(within_s=60)
        # The test's own broom, last of all: were it not heard, the assertion above would be blind.
        assert not announced.heard("+reset-master")
        assert all(len(state.addresses) <= 1 for state in endpoints.states())
        assert moved - switched <= 1.0 + NOISE_S
        command(redis_set.sentinel(redis_set.sentinel_pods()[0]), "SENTINEL RESET", "mymaster")
        eventually(lambda: announced.heard("+reset-master"), within_s=5, describe="a RESET is heard")


@pytest.mark.gate
@pytest.mark.node_fault
def test_f17_power_off_of_the_node_with_master_and_sentinel(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster
) -> None:
    redis_set = contexredis()
    assert cluster.lab is not None
    running = [writers(redis_set, kind, client=kind) for kind in ("sentinel", "kept", "fresh")]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    master = redis_set.wait_master()
    node = redis_set.node_of(master)
    assert any(redis_set.node_of(pod) == node for pod in redis_set.sentinel_pods())
    at = time.monotonic()
    with cluster.lab.faults.power_off(node):
        redis_set.wait_master(other_than=master, within_s=60)
        for each in running:
            # Through the Service too, also where the operator itself was on that node: its pod is dead until the
            # node is back, so then only the clients that ask the sentinels are held to the bound.
            each.wait_for_acks(50, within_s=40, after=time.monotonic())
        history = [op for each in running for op in each.stop()]
    gap = longest_gap([op for op in history if op.client == "sentinel"], since=at)
    assert gap.seconds <= POWER_OFF_S + NOISE_S, str(gap)
    redis_set.wait_ready(within_s=120)
    verdict = redis_set.judge(history)
    assert not verdict.diverged, verdict.sentence()
    # Replication is asynchronous: what a dead node had acknowledged within its last round trip may be gone.
    assert len(verdict.lost) <= 5, verdict.sentence()


@pytest.mark.gate
@pytest.mark.node_fault  # no node is harmed, but nobody in the cluster can resolve a name
def test_f20_an_operator_and_a_sentinel_start_and_a_failover_happens_without_dns(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    assert cluster.lab is not None
    pod = redis_set.sentinel_pods()[0]
    with cluster.lab.faults.dns_off():
        scale_operator(cluster, namespace, 0)
        scale_operator(cluster, namespace, 1)
        cluster.kubectl("delete", "pod", pod, "-n", redis_set.namespace, "--grace-period=1")
        sentinel = redis_set.sentinel(pod)
        eventually(
            lambda: str(command(sentinel, "SENTINEL CKQUORUM", "mymaster")).startswith("OK"),
            within_s=40,
            describe=f"{pod} is back and sees a quorum",
            passing=(Exception,),
        )
        _, _, at, bound = crash(redis_set)
        assert time.monotonic() - at <= bound
    redis_set.wait_ready(within_s=60)


@pytest.mark.gate
@pytest.mark.laboratory
def test_f28_no_replica_to_promote_is_said_before_it_hurts(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    assert cluster.lab is not None
    master = redis_set.wait_master()
    frozen = [
        cluster.lab.faults.freeze(f"{namespace}/{pod}") for pod in redis_set.data_pods() if pod != master
    ]
    try:
        eventually(
            lambda: redis_set.conditions()["FailoverReady"]["status"] == "False",
            within_s=30,
            describe="FailoverReady=False",
        )
        reason = redis_set.conditions()["FailoverReady"]["reason"]
        assert reason in ("NoReplicaInSync", "SentinelsNotReady")
        eventually(
            lambda: [
                event
                for event in cluster.items("events", namespace)
                if event["reason"] == "FailoverNotReady" and event["type"] == "Warning"
            ],
            within_s=15,
            describe="a Warning event says so",
        )
    finally:
        for fault in frozen:
            fault.undo()
    redis_set.wait_ready(within_s=60)
    assert redis_set.conditions()["FailoverReady"]["status"] == "True"
