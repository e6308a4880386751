"""Pods that are told to go, one or all, and volumes that are lost: what was planned loses nothing (F02 to F07)."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import pytest
import redis
from contex_operator.names import LABEL_CLUSTER

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually, never
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command
from tests.e2e.support.watching import Announcements
from tests.e2e.test_crash import scale_operator
from tests.workload.checker import longest_gap
from tests.workload.process import Writers

GRACE_S = 60.0
COLD_START_S = 20.0
# Two cores run three nodes and the tests: what is asserted is the order of magnitude.
NOISE_S = 4.0

StartWriters = Callable[..., Writers]


class LogsOf:
    """`kubectl logs --follow` of a pod that is about to go."""

    def __init__(self, redis_set: RedisSet, pod: str) -> None:
        words = ("logs", "--follow", "--tail=1", pod, "-n", redis_set.namespace)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._child = subprocess.Popen(redis_set.cluster.argv("kubectl", *words), stdout=self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.wait()
        self._file.close()

    def text(self) -> str:
        """All of it, once the container has ended."""
        self._child.wait(timeout=30)
        self._file.seek(0)
        return self._file.read().decode(errors="replace")


def leave(redis_set: RedisSet, pod: str) -> tuple[str, float]:
    """Delete a pod as a drain does; its last words, and how long it took to go."""
    uid = redis_set.pods()[pod]["metadata"]["uid"]
    with LogsOf(redis_set, pod) as logs:
        began = time.monotonic()
        redis_set.cluster.kubectl("delete", "pod", pod, "-n", redis_set.namespace, "--wait=false")

        def gone() -> bool:
            now = redis_set.pods().get(pod)
            return now is None or now["metadata"]["uid"] != uid

        eventually(gone, within_s=GRACE_S + 20, describe=f"{pod} is gone")
        return logs.text(), time.monotonic() - began


@pytest.mark.gate
@pytest.mark.parametrize("operated", [True, False], ids=["operator", "no-operator"])
def test_f07_f10_f29_a_master_that_is_deleted_hands_over(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str, operated: bool
) -> None:
    redis_set = contexredis()
    if not operated:
        scale_operator(cluster, namespace, 0)
    master = redis_set.wait_master()
    kinds = ("sentinel", "kept", "fresh") if operated else ("sentinel",)
    running = [writers(redis_set, kind, client=kind) for kind in kinds]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    at = time.monotonic()
    with Announcements(redis_set) as announced:
        last_words, took = leave(redis_set, master)
        eventually(
            lambda: len({one.sentinel for one in announced.heard("+switch-master")}) == 3,
            within_s=10,
            describe="+switch-master of all three sentinels",
        )
    new = redis_set.wait_master(other_than=master)
    for each in running:
        each.wait_for_acks(50, within_s=20, after=time.monotonic())
    history = [op for each in running for op in each.stop()]
    if not operated:
        scale_operator(cluster, namespace, 1)
    redis_set.wait_ready(within_s=90)
    verdict = redis_set.judge(history)
    assert verdict.is_clean, verdict.sentence()
    assert took < GRACE_S - 5, "killed at the end of the grace period (F10)"
    assert f"handed over to {new}" in last_words
    assert "the server has ended with status 0" in last_words or "bye bye" in last_words, last_words[-2000:]
    for client in kinds:
        gap = longest_gap([op for op in history if op.client == client], since=at)
        print(f"{client}: {gap.seconds:.3f} s, {verdict.sentence()}")
        assert gap.seconds <= (2.0 if operated else 3.0) + NOISE_S, f"{client}: {gap}"


@pytest.mark.gate
def test_f02_f19_all_pods_are_deleted_at_once_and_nothing_is_lost(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster
) -> None:
    redis_set = contexredis()
    running = [writers(redis_set, kind, client=kind) for kind in ("sentinel", "kept")]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    at = time.monotonic()
    selector = f"{LABEL_CLUSTER}={redis_set.name}"
    cluster.kubectl("delete", "pods", "-l", selector, "-n", redis_set.namespace, "--wait=false")
    eventually(
        lambda: any(not op.is_acked for op in running[0].ops() if op.invoked > at),
        within_s=30,
        describe="the writers notice it",
    )
    for each in running:
        each.wait_for_acks(50, within_s=90, after=time.monotonic())
    history = [op for each in running for op in each.stop()]
    redis_set.wait_ready(within_s=90)
    verdict = redis_set.judge(history)
    assert verdict.is_clean, verdict.sentence()
    for client in ("sentinel", "kept"):
        gap = longest_gap([op for op in history if op.client == client], since=at)
        print(f"{client}: {gap.seconds:.3f} s, {verdict.sentence()}")
        assert gap.seconds <= COLD_START_S + NOISE_S, f"{client}: {gap}"


@pytest.mark.gate
def test_f03_a_replica_loses_its_volume_and_then_the_master_dies(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    """Nothing empty is promoted."""
    redis_set = contexredis()
    assert cluster.lab is not None
    master = redis_set.wait_master()
    for i in range(500):
        command(redis_set.node(master), "SET", f"key:{i}", i)
    assert command(redis_set.node(master), "WAIT", 2, 5000) == 2
    lost = next(pod for pod in redis_set.data_pods() if pod != master)
    cluster.kubectl("delete", "pvc", f"data-{lost}", "-n", namespace, "--wait=false")
    cluster.kubectl("delete", "pod", lost, "-n", namespace, "--force", "--grace-period=0")
    cluster.lab.faults.kill(namespace, master, "redis-server")
    new = redis_set.wait_master(within_s=60)
    assert command(redis_set.node(new), "DBSIZE") == 500
    redis_set.wait_ready(within_s=90)
    redis_set.wait_settled(within_s=60)
    counts = {pod: command(node, "DBSIZE") for pod, node in redis_set.nodes().items()}
    assert counts == dict.fromkeys(counts, 500)


@pytest.mark.gate
def test_f05_a_second_master_is_fenced_at_once_and_what_it_took_is_told(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis(
        durability="available"
    )  # else it would refuse writes by itself, having no replica
    master = redis_set.wait_master()
    second = next(pod for pod in redis_set.data_pods() if pod != master)
    node = redis_set.node(second)
    command(node, "REPLICAOF", "NO", "ONE")
    began = time.monotonic()

    def refuses() -> str | None:
        try:
            command(node, "SET", "taken by", "a second master")
        except redis.ResponseError as error:
            return str(error)
        return None

    why = eventually(refuses, within_s=15, every_s=0.02, describe=f"{second} takes no more writes")
    took = time.monotonic() - began
    print(f"fenced after {took:.3f} s: {why}")
    assert took <= 2.0 + NOISE_S
    eventually(
        lambda: redis_set.roles()[second] == "slave",
        within_s=15,
        describe=f"{second} follows again",
        passing=UNREACHABLE,
    )
    redis_set.wait_ready(within_s=60)
    record = redis_set.resource()["status"]["lastSecondMaster"]
    assert (record["pod"], record["beside"]) == (second, master)
    assert record["bytes"] > 0
    events = eventually(
        lambda: [e for e in cluster.items("events", namespace) if e["reason"] == "SecondMaster"],
        within_s=15,
        describe="an event tells of it",
    )
    assert f"{record['bytes']} bytes that only it has are discarded" in events[0]["note"]
    eventually(
        lambda: command(node, "CONFIG GET", "min-replicas-to-write")[1] == "0",
        within_s=15,
        describe="the fence is taken back",
    )
    never(lambda: redis_set.master() not in (master, None), for_s=3, describe="the master moves")
