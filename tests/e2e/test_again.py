"""What was there before is found again: after sleep (F56) and after the resource was deleted (F03, F59)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.clients import Clients, StartWriters
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually, never
from tests.e2e.support.green import wait_green
from tests.e2e.support.redis_set import RedisSet, command
from tests.e2e.support.spaces import scale_operator
from tests.e2e.test_rollout import condition
from tests.e2e.test_scale import switch_over

KEYS = 500


def fill(redis_set: RedisSet, master: str) -> None:
    node: Any = redis_set.node(master)
    with node.pipeline(transaction=False) as pipe:
        for number in range(KEYS):
            pipe.set(f"key:{number}", number)
        pipe.execute()
    replicas = len(redis_set.data_pods()) - 1
    assert command(redis_set.node(master), "WAIT", replicas, 10_000) == replicas


def wait_no_pods(redis_set: RedisSet) -> None:
    eventually(lambda: not redis_set.pods(), within_s=120, describe="all pods of the set are gone")


@pytest.mark.slow
@pytest.mark.parametrize("operated", [True, False], ids=["operator", "no-operator"])
def test_f56_a_set_that_was_scaled_to_nothing_comes_back_with_its_data(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str, operated: bool
) -> None:
    """As those do it who send a whole cluster to sleep: every StatefulSet, and the operator's Deployment, to 0."""
    redis_set = contexredis()
    clients = Clients(redis_set, writers, names=("sentinel", "kept", "kept-patient"))
    if not operated:
        scale_operator(cluster, namespace, 0)
    sets = (redis_set.children.master, redis_set.children.replica, redis_set.children.sentinel)
    slept = time.monotonic()
    cluster.kubectl("scale", "statefulset", *sets, "--replicas=0", "-n", namespace)
    if not operated:
        wait_no_pods(redis_set)
        never(redis_set.pods, for_s=3, describe="a pod comes back by itself")
        scale_operator(cluster, namespace, 1)
    woken = time.monotonic()
    eventually(
        lambda: set(redis_set.pods()) == {pod for part in redis_set.members() for pod in part},
        within_s=90,
        describe="all pods are there again",
    )
    wait_green(redis_set, within_s=120)
    print(
        f"green {time.monotonic() - woken:.1f} s after it was woken, {time.monotonic() - slept:.1f} s in all"
    )
    clients.judge(since=slept)
    assert condition(redis_set, "DataLossRisk")[0] == "False"


@pytest.mark.slow
def test_f03_f59_a_resource_that_is_made_again_finds_its_data_also_with_fewer_replicas(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    """The newest data lie where the new resource has no pod for: nothing is started without them."""
    redis_set = contexredis()
    switch_over(redis_set, "redis-replica-1")
    fill(redis_set, "redis-replica-1")
    password = redis_set.password
    claims = {claim["metadata"]["name"] for claim in cluster.items("pvc", namespace)}
    assert len(claims) == 6
    cluster.kubectl("delete", "contexredis", "redis", "-n", namespace)
    wait_no_pods(redis_set)
    redis_set.close()
    assert {claim["metadata"]["name"] for claim in cluster.items("pvc", namespace)} == claims
    # And the volume with the lowest ordinal is lost meanwhile.
    cluster.kubectl("delete", "pvc", "data-redis-master-0", "-n", namespace)

    again = contexredis(replicas=1, ready_within_s=None)
    eventually(
        lambda: again.conditions().get("DataLossRisk", {}).get("reason") == "RetainedClaims",
        within_s=90,
        describe="DataLossRisk=True, reason RetainedClaims",
    )
    status, _, message = condition(again, "DataLossRisk")
    assert status == "True"
    assert "data-redis-replica-1" in message
    assert "spec.replicas" in message
    never(lambda: "master" in again.roles().values(), for_s=10, describe="somebody becomes master")
    again.configure(replicas=2)
    again.wait_ready(within_s=120)
    assert again.password == password
    again.wait_settled()
    sizes = {pod: command(node, "DBSIZE") for pod, node in again.nodes().items()}
    assert sizes == dict.fromkeys(again.data_pods(), KEYS)
    assert again.master() == "redis-replica-1"
    assert condition(again, "DataLossRisk")[0] == "False"
    wait_green(again, within_s=60)


@pytest.mark.slow
def test_f59_without_retention_nothing_stays(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis(mode="standalone", persistence={"size": "1Gi", "retain": False})
    command(redis_set.node(redis_set.children.master_pod()), "SET", "kept", "no")
    password = redis_set.password
    assert cluster.items("pvc", namespace)
    cluster.kubectl("delete", "contexredis", "redis", "-n", namespace)
    wait_no_pods(redis_set)
    redis_set.close()
    eventually(
        lambda: (
            not cluster.items("pvc", namespace)
            and cluster.find("secret", redis_set.children.auth, namespace) is None
        ),
        within_s=60,
        describe="claims and the Secret are gone",
    )
    again = contexredis(mode="standalone", persistence={"size": "1Gi", "retain": False})
    assert command(again.node(again.children.master_pod()), "DBSIZE") == 0
    assert again.password != password
