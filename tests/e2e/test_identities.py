"""Services of pods that are deleted: they come back with their address, or the member gets a new one."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import RedisSet
from tests.e2e.test_crash import scale_operator
from tests.e2e.test_rollout import KINDS, judge, uids
from tests.e2e.test_scale import wait_settled
from tests.workload.process import Writers

StartWriters = Callable[..., Writers]


def take_address(cluster: Cluster, redis_set: RedisSet, pod: str) -> str:
    """Somebody deletes the Service of a pod and makes another one with its address, while no operator looks."""
    namespace, address = redis_set.namespace, redis_set.address(pod)
    scale_operator(cluster, namespace, 0)
    cluster.kubectl("delete", "service", pod, "-n", namespace)
    thief = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"thief-of-{pod}", "namespace": namespace},
        "spec": {"clusterIP": address, "ports": [{"port": 80}]},
    }
    cluster.apply(thief, namespace=namespace)
    scale_operator(cluster, namespace, 1)
    return address


@pytest.mark.slow
def test_a_pods_service_that_is_deleted_by_hand_comes_back_at_once_with_its_address(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    data, sentinels = redis_set.members()
    before = {pod: redis_set.address(pod) for pod in (*data, *sentinels)}
    pods = uids(redis_set)
    running = [writers(redis_set, kind, client=kind) for kind in KINDS]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    began = time.monotonic()
    for pod, address in before.items():
        cluster.kubectl("delete", "service", pod, "-n", namespace)

        def is_back(pod: str = pod, address: str = address) -> bool:
            live = cluster.find("service", pod, namespace)
            return live is not None and live["spec"]["clusterIP"] == address

        eventually(is_back, within_s=15, describe=f"the Service of {pod} is back as {address}")
    wait_settled(redis_set, within_s=60)
    assert uids(redis_set) == pods
    assert "formerAddresses" not in redis_set.resource()["status"]
    judge(redis_set, running, since=began, gap_s=15.0)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["redis-replica-1", "redis-sentinel-2", "the master"])
def test_an_address_that_was_taken_is_replaced_everywhere_and_nothing_is_lost(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str, who: str
) -> None:
    redis_set = contexredis()
    first = redis_set.wait_master()
    pod = first if who == "the master" else who
    before = uids(redis_set)
    running = [writers(redis_set, kind, client=kind) for kind in KINDS]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    began = time.monotonic()
    old = take_address(cluster, redis_set, pod)

    def has_new_address() -> bool:
        recorded = redis_set.resource()["status"]["addresses"][pod]
        live = cluster.find("service", pod, namespace)
        return live is not None and live["spec"]["clusterIP"] == recorded != old

    eventually(has_new_address, within_s=90, describe=f"{pod} has another address", passing=(KeyError,))
    afterwards = RedisSet(cluster, namespace=namespace, name=redis_set.name)
    wait_settled(afterwards, within_s=240)  # every sentinel knows exactly the addresses of now
    assert uids(afterwards) == before, "somebody was restarted"
    judge(afterwards, running, since=began, gap_s=15.0)
    afterwards.close()
