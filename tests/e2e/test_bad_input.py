"""What makes no sense is said in one sentence, and the running Redis stays as it was."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest
from contex_operator.names import REDIS_PORT

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.clients import PLANNED_S, Clients, StartWriters
from tests.e2e.support.cluster import Cluster, KubectlFailed
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import RedisSet, command
from tests.e2e.test_rollout import condition, uids
from tests.workload import reading


def invalid(redis_set: RedisSet, *, reason: str) -> str:
    """Wait for SpecValid=False with that reason; returns the sentence."""
    eventually(
        lambda: redis_set.conditions().get("SpecValid", {}).get("reason") == reason,
        within_s=20,
        describe=f"SpecValid=False, reason {reason}",
    )
    condition = redis_set.conditions()["SpecValid"]
    assert condition["status"] == "False"
    return str(condition["message"])


@pytest.mark.gate
def test_bad_specs_are_refused_and_the_running_redis_stays(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    master = redis_set.wait_master()
    uids = {name: pod["metadata"]["uid"] for name, pod in redis_set.pods().items()}
    command(redis_set.node(master), "SET", "kept", "yes")
    for spec, word in (
        ({"sentinel": {"replicas": 4}}, "odd"),
        ({"sentinel": {"quorum": 9}}, "quorum"),
        ({"sentinel": {"downAfterMilliseconds": 500}}, "2000"),
        ({"persistence": {"size": "2Gi"}}, "size"),
        ({"config": {"requirepass": "x"}}, "requirepass"),
        ({"replicas": 0}, "replica"),
    ):
        with pytest.raises(KubectlFailed, match=word):
            redis_set.configure(**spec)
    # Only the operator can compare these two; the API server takes them.
    redis_set.configure(config={"maxmemory": "4gb"})
    assert ".spec" in invalid(redis_set, reason="Invalid")
    eventually(
        lambda: [e for e in cluster.items("events", namespace) if e["reason"] == "SpecInvalid"],
        within_s=15,
        describe="a Warning event SpecInvalid",
    )
    assert {name: pod["metadata"]["uid"] for name, pod in redis_set.pods().items()} == uids
    assert command(redis_set.node(master), "GET", "kept") == "yes"
    redis_set.configure(config={"maxmemory": None})
    eventually(
        lambda: redis_set.conditions()["SpecValid"]["status"] == "True",
        within_s=20,
        describe="SpecValid=True again",
    )


@pytest.mark.gate
def test_names_that_are_taken_are_left_alone(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "other-master"},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "something-else"}},
    }
    cluster.apply(foreign, namespace=namespace)
    redis_set = contexredis("other", ready_within_s=None)
    sentence = invalid(redis_set, reason="NameTaken")
    assert "Service other-master" in sentence
    service = cluster.get("service", "other-master", namespace)
    assert service["spec"]["selector"] == {"app": "something-else"}
    # Nothing at all was written: not even what would have been free.
    for kind in ("statefulsets", "configmaps", "secrets"):
        names = [body["metadata"]["name"] for body in cluster.items(kind, namespace)]
        assert not [name for name in names if name.startswith("other")], names
    # The other object goes, and the resource is made by itself.
    cluster.kubectl("delete", "service", "other-master", "-n", namespace)
    redis_set.wait_ready(within_s=90)


@pytest.mark.gate
def test_paused_changes_nothing(contexredis: CreateContexRedis, cluster: Cluster, namespace: str) -> None:
    redis_set = contexredis(mode="standalone")
    redis_set.configure(paused=True)
    eventually(
        lambda: redis_set.resource()["status"]["phase"] == "Paused", within_s=15, describe="phase Paused"
    )
    cluster.kubectl("delete", "service", redis_set.children.replica, "-n", namespace)
    eventually(
        lambda: cluster.find("service", redis_set.children.replica, namespace) is None,
        within_s=10,
        describe="the Service stays deleted",
    )
    redis_set.configure(paused=False)
    eventually(
        lambda: cluster.find("service", redis_set.children.replica, namespace),
        within_s=20,
        describe="the Service is made again",
    )
    redis_set.wait_ready(within_s=30)


@pytest.mark.slow
def test_a_storage_class_that_does_not_exist_is_named_and_disturbs_nobody(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    before, master = uids(redis_set), redis_set.wait_master()
    clients = Clients(redis_set, writers, names=("sentinel", "kept"))
    at = time.monotonic()
    with pytest.raises(KubectlFailed, match="storageClassName cannot be changed"):
        redis_set.configure(persistence={"storageClassName": "no-such-class"})
    # A new one beside it says what it waits for.
    size = {"size": "1Gi", "storageClassName": "no-such-class"}
    other = contexredis("other", ready_within_s=None, persistence=size)

    def is_told() -> bool:
        status, reason, message = condition(other, "Degraded")
        return (status, reason) == ("True", "PodCannotStart") and "no-such-class" in message

    eventually(is_told, within_s=60, describe="Degraded names the class", passing=(KeyError,))
    assert "other-" in condition(other, "Degraded")[2]
    assert condition(other, "Ready")[0] == "False"
    # The class of a claim cannot be changed: away with resource and claims, which never had a volume, and again.
    cluster.kubectl("delete", "contexredis", "other", "-n", namespace)
    cluster.kubectl("delete", "pvc", "-l", "redis.contex.io/cluster=other", "-n", namespace)
    eventually(lambda: not other.pods(), within_s=60, describe="its pods are gone")
    other.close()
    again = contexredis("other", ready_within_s=None, mode="standalone", persistence={"size": "1Gi"})
    again.wait_ready(within_s=90)
    assert (uids(redis_set), redis_set.master()) == (before, master)
    clients.judge(since=at, gap_s=PLANNED_S)


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["224Mi", "160Mi"], ids=["fits-without-room", "does-not-fit"])
def test_a_memory_limit_that_is_too_small_for_the_data_is_not_rolled_out(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str, limit: str
) -> None:
    """160 MB of data: one limit would let a pod load them and refuse every write, the other one not even load them."""
    redis_set = contexredis(resources={"limits": {"memory": "640Mi"}, "requests": {"memory": "64Mi"}})
    master, before = redis_set.wait_master(), uids(redis_set)
    address = redis_set.address(master)
    node: Any = reading.connect(address, REDIS_PORT, password=redis_set.password, timeout_s=30)
    for number in range(160):
        node.set(f"large:{number}", secrets.token_bytes(1_000_000))
    assert command(node, "WAIT", 2, 30_000) == 2
    clients = Clients(redis_set, writers, names=("sentinel", "kept", "kept-patient"))
    at = time.monotonic()
    redis_set.configure(resources={"limits": {"memory": limit}})
    eventually(
        lambda: (
            condition(redis_set, "Degraded")[0] == "True"
            and condition(redis_set, "Degraded")[1] in ("RolloutStopped", "MemoryTooSmall")
        ),
        within_s=200,
        describe="it is said that this does not work",
    )
    reason, message = condition(redis_set, "Degraded")[1:]
    print(f"{reason}: {message}")
    assert limit in message or "redis-replica-1" in message
    assert "memory" in message or "OOMKilled" in message
    eventually(
        lambda: redis_set.is_ready() or redis_set.conditions()["Ready"]["status"] == "True",
        within_s=120,
        describe="all pods are well, as they were",
    )
    changed = {pod for pod, uid in uids(redis_set).items() if before[pod] != uid}
    assert changed <= {"redis-replica-1"}
    assert redis_set.master() == master
    clients.judge(since=at, gap_s=PLANNED_S)
    assert command(node, "EXISTS", *(f"large:{number}" for number in range(160))) == 160
    # And with enough of it, it goes on.
    redis_set.configure(resources={"limits": {"memory": "640Mi"}})
    eventually(
        lambda: condition(redis_set, "Degraded")[0] == "False" and redis_set.is_ready(),
        within_s=120,
        describe="nothing is amiss any more",
    )
