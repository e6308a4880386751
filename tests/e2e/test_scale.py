"""Members come and go: nothing acknowledged is lost, and who is gone is forgotten (F25)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from contex_operator.names import ANNOTATION_SWITCHOVER

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command
from tests.e2e.test_rollout import KINDS, judge, uids
from tests.workload.process import Writers

StartWriters = Callable[..., Writers]


def known(redis_set: RedisSet) -> dict[str, tuple[set[str], set[str]]]:
    """Addresses of the replicas and of the other sentinels that each sentinel knows."""
    found = {}
    for pod, sentinel in redis_set.sentinels().items():
        entries = []
        for question in ("SENTINEL REPLICAS", "SENTINEL SENTINELS"):
            answer = command(sentinel, question, "mymaster")
            fields = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in answer]
            entries.append({str(entry["ip"]) for entry in fields})
        found[pod] = (entries[0], entries[1])
    return found


def wait_settled(redis_set: RedisSet, *, within_s: float) -> None:
    """Ready, nothing under way, and every sentinel knows exactly the members that are there."""

    def settled() -> bool:
        if not redis_set.is_ready() or redis_set.conditions()["Progressing"]["status"] != "False":
            raise _NotYet(redis_set.conditions()["Progressing"]["message"])
        master = redis_set.wait_master()
        data, sentinels = redis_set.members()
        replicas = {redis_set.address(pod) for pod in data if pod != master}
        for pod, (seen, peers) in known(redis_set).items():
            others = {redis_set.address(other) for other in sentinels if other != pod}
            if (seen, peers) != (replicas, others):
                raise _NotYet(f"{pod} knows {seen} and {peers}, not {replicas} and {others}")
        return True

    eventually(
        settled, within_s=within_s, describe="settled in the new size", passing=(_NotYet, *UNREACHABLE)
    )


class _NotYet(Exception):
    """Says what is waited for."""


def switch_over(redis_set: RedisSet, to: str) -> None:
    redis_set.cluster.kubectl(
        "annotate", "contexredis", redis_set.name, f"{ANNOTATION_SWITCHOVER}={to}", "-n", redis_set.namespace
    )
    eventually(lambda: redis_set.master() == to, within_s=30, describe=f"{to} is master", passing=UNREACHABLE)
    redis_set.wait_ready(within_s=60)


@pytest.mark.gate
def test_f25_replicas_come_and_go_with_kubectl_scale(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    before = uids(redis_set)
    running = [writers(redis_set, kind, client=kind) for kind in KINDS]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    began = time.monotonic()
    cluster.kubectl("scale", "contexredis", "redis", "--replicas=3", "-n", namespace)
    wait_settled(redis_set, within_s=60)
    assert uids(redis_set).items() > before.items(), "somebody was rolled"
    # The master sits in a pod that goes.
    switch_over(redis_set, "redis-replica-2")
    cluster.kubectl("scale", "contexredis", "redis", "--replicas=2", "-n", namespace)
    wait_settled(redis_set, within_s=240)
    assert uids(redis_set) == before
    judge(redis_set, running, since=began)
    assert cluster.find("service", "redis-replica-2", namespace) is None
    assert cluster.find("pvc", "data-redis-replica-2", namespace) is not None
    status = redis_set.resource()["status"]
    assert status["replicas"] == 2
    assert "redis-replica-2" not in status["addresses"]
    assert "redis-replica-2" in status["retired"]


def test_sentinels_go_from_three_to_five_and_back(
    contexredis: CreateContexRedis, writers: StartWriters
) -> None:
    redis_set = contexredis()
    running = [writers(redis_set, kind, client=kind) for kind in ("kept", "fresh")]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    began = time.monotonic()
    for count, quorum, within_s in ((5, "3", 90), (3, "2", 300)):
        redis_set.configure(sentinel={"replicas": count})
        wait_settled(redis_set, within_s=within_s)
        for pod, sentinel in redis_set.sentinels().items():
            answer = command(sentinel, "SENTINEL MASTER", "mymaster")
            fields = dict(zip(answer[::2], answer[1::2], strict=True))
            assert fields["quorum"] == quorum, pod
            assert str(command(sentinel, "SENTINEL CKQUORUM", "mymaster")).startswith("OK")
    judge(redis_set, running, since=began)


@pytest.mark.gate
def test_from_standalone_to_sentinel_and_back_no_key_is_lost(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis(mode="standalone")
    running = [writers(redis_set, kind, client=kind) for kind in ("kept", "fresh")]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    began = time.monotonic()
    (first,) = uids(redis_set).values()
    redis_set.configure(mode="sentinel")
    wait_settled(redis_set, within_s=90)
    assert uids(redis_set)[redis_set.children.master_pod()] == first
    # Also when the role has left the pod that it has to go back to.
    switch_over(redis_set, "redis-replica-0")
    wait_settled(redis_set, within_s=60)
    redis_set.configure(mode="standalone")

    def is_alone() -> bool:
        told = redis_set.conditions()["Progressing"]
        if set(redis_set.pods()) == {redis_set.children.master_pod()} and redis_set.is_ready():
            return bool(told["status"] == "False")
        raise _NotYet(f"{sorted(redis_set.pods())}: {told['message']}")

    eventually(is_alone, within_s=120, describe="a single Redis", passing=(_NotYet,))
    assert uids(redis_set)[redis_set.children.master_pod()] == first
    judge(redis_set, running, since=began)
    names = {s["metadata"]["name"] for s in cluster.items("statefulsets", namespace)}
    assert names == {redis_set.children.master}
    assert cluster.items("pdb", namespace, labels="redis.contex.io/cluster=redis") == []


@pytest.mark.slow
def test_the_pod_that_stays_may_restart_on_its_way_to_be_the_only_one(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    """Twice: when the sentinels have gone, and when all is done and its kubelet has not brought it the new files."""
    redis_set = contexredis()
    running = [writers(redis_set, kind, client=kind) for kind in ("kept", "fresh")]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    keeper = redis_set.children.master_pod()
    if redis_set.wait_master() != keeper:
        switch_over(redis_set, keeper)
    redis_set.configure(mode="standalone")
    eventually(
        lambda: cluster.find("statefulset", redis_set.children.sentinel, namespace) is None,
        within_s=120,
        describe="the sentinels go",
        every_s=0.05,
    )
    cluster.kill_redis(namespace, keeper)

    def is_alone() -> bool:
        told = redis_set.conditions()["Progressing"]
        if set(redis_set.pods()) == {keeper} and redis_set.is_ready():
            return bool(told["status"] == "False")
        raise _NotYet(f"{sorted(redis_set.pods())}: {told['message']}")

    eventually(is_alone, within_s=180, describe="a single Redis", passing=(_NotYet,))
    cluster.kill_redis(namespace, keeper)
    for each in running:
        each.wait_for_acks(50, within_s=120, after=time.monotonic())
    eventually(is_alone, within_s=120, describe="a single Redis again", passing=(_NotYet,))
    history = [op for each in running for op in each.stop()]
    verdict = redis_set.judge(history)
    assert verdict.is_clean, verdict.sentence()
