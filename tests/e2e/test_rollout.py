"""Changes that pods are made from: rolled out one pod at a time, taken back where they do not work (F31, F32, F41)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.cluster import Cluster, Json
from tests.e2e.support.eventually import eventually, never
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command
from tests.workload.checker import longest_gap
from tests.workload.history import Op
from tests.workload.process import Writers

StartWriters = Callable[..., Writers]
KINDS = ("sentinel", "kept", "fresh")
ROLLOUT_S = 300.0
GAP_S = 1.0  # F32
NOISE_S = 1.0


def images(redis_set: RedisSet) -> dict[str, str]:
    return {name: pod["spec"]["containers"][0]["image"] for name, pod in redis_set.pods().items()}


def uids(redis_set: RedisSet) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in redis_set.pods().items()}


def condition(redis_set: RedisSet, kind: str) -> tuple[str, str, str]:
    found = redis_set.conditions()[kind]
    return found["status"], found["reason"], found["message"]


def wait_rolled_out(redis_set: RedisSet, *, other_than: dict[str, str], within_s: float = ROLLOUT_S) -> None:
    """Every pod is another one than before, the resource is Ready and nothing goes on."""

    def done() -> bool:
        new = uids(redis_set)
        told = redis_set.conditions()["Progressing"]
        if new.keys() >= other_than.keys() and not new.items() & other_than.items() and redis_set.is_ready():
            return bool(told["status"] == "False")
        raise _NotYet(f"{told['reason']}: {told['message']}")

    eventually(done, within_s=within_s, describe="the change is rolled out", passing=(_NotYet,))


class _NotYet(Exception):
    """Says how far it is."""


def judge(
    redis_set: RedisSet, running: list[Writers], *, since: float, gap_s: float = GAP_S + NOISE_S
) -> list[Op]:
    """Nothing acknowledged is lost, and no client waited for longer than that."""
    for each in running:
        each.wait_for_acks(50, within_s=20, after=time.monotonic())
    history = [op for each in running for op in each.stop()]
    verdict = redis_set.judge(history)
    assert verdict.is_clean, verdict.sentence()
    for client in sorted({op.client for op in history}):
        gap = longest_gap([op for op in history if op.client == client], since=since)
        print(f"{client}: {gap}")
        assert gap.seconds <= gap_s, f"{client}: {gap}"
    return history


def made_at(pods: dict[str, Json]) -> dict[str, str]:
    return {name: pod["metadata"]["creationTimestamp"] for name, pod in pods.items()}


@pytest.mark.gate
def test_f31_f32_f40_an_upgrade_goes_pod_by_pod_and_loses_nothing(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    before = uids(redis_set)
    first = redis_set.wait_master()
    running = [writers(redis_set, kind, client=kind) for kind in KINDS]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    began = time.monotonic()
    redis_set.configure(image="redis:8")
    wait_rolled_out(redis_set, other_than=before)
    print(f"rolled out in {time.monotonic() - began:.1f} s")
    judge(redis_set, running, since=began)
    assert set(images(redis_set).values()) == {"redis:8"}
    at = made_at(redis_set.pods())
    data, sentinels = redis_set.members()
    order = sorted((*data, *sentinels), key=lambda pod: at[pod])
    assert order[: len(data)] == ["redis-replica-1", "redis-replica-0", first]
    assert order[len(data) :] == ["redis-sentinel-2", "redis-sentinel-1", "redis-sentinel-0"]
    reasons = [event["reason"] for event in cluster.items("events", namespace)]
    assert reasons.count("RolloutStarted") == 1
    assert reasons.count("RolloutCompleted") == 1
    assert "Degraded" not in reasons
    assert "NotReady" not in reasons


@pytest.mark.gate
def test_a_bad_image_is_taken_back_and_the_next_drain_brings_up_the_good_one(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    good, before = images(redis_set), uids(redis_set)
    running = [writers(redis_set, kind, client=kind) for kind in KINDS]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    began = time.monotonic()
    redis_set.configure(image="redis:no-such-tag")
    eventually(
        lambda: condition(redis_set, "Degraded")[:2] == ("True", "RolloutStopped"),
        within_s=60,
        describe="the rollout is stopped",
    )
    message = condition(redis_set, "Degraded")[2]
    assert "redis-replica-1" in message
    assert "no-such-tag" in message or "ErrImage" in message or "ImagePull" in message
    eventually(
        lambda: images(redis_set) == good and redis_set.is_ready(),
        within_s=60,
        describe="all pods run with the image that worked",
    )
    assert condition(redis_set, "Progressing")[0] == "False"
    changed = {name for name, uid in uids(redis_set).items() if before[name] != uid}
    assert changed == {"redis-replica-1"}
    # What a drain does, with another pod than the one that was tried.
    cluster.kubectl("delete", "pod", "redis-replica-0", "-n", namespace)
    never(
        lambda: [image for image in images(redis_set).values() if "no-such-tag" in image],
        for_s=5,
        describe="a pod of the bad image came up",
    )
    eventually(redis_set.is_ready, within_s=60, describe="Ready after the drain")
    assert condition(redis_set, "Degraded")[:2] == ("True", "RolloutStopped")
    judge(redis_set, running, since=began)
    # And forward again.
    before = uids(redis_set)
    redis_set.configure(image="redis:8")
    wait_rolled_out(redis_set, other_than=before)
    assert condition(redis_set, "Degraded")[0] == "False"
    assert set(images(redis_set).values()) == {"redis:8"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("redis:8", "valkey/valkey:9", "it runs Valkey 9."),
        ("redis:8", "redis:7-alpine", "it runs Redis 7."),
    ],
)
def test_an_image_that_cannot_load_the_masters_data_is_taken_back_at_once(
    contexredis: CreateContexRedis, writers: StartWriters, before: str, after: str, told: str
) -> None:
    redis_set = contexredis(image=before, ready_within_s=120.0)
    pods = uids(redis_set)
    running = [writers(redis_set, kind, client=kind) for kind in KINDS]
    for each in running:
        each.wait_for_acks(50, within_s=10)
    began = time.monotonic()
    redis_set.configure(image=after)
    eventually(
        lambda: condition(redis_set, "Degraded")[:2] == ("True", "RolloutStopped"),
        within_s=60,  # without a look at the versions: 120 s after the pod was made
        describe="the rollout is stopped",
    )
    message = condition(redis_set, "Degraded")[2]
    assert f"redis-replica-1: {told}" in message
    assert "cannot load the data of Redis 8." in message
    eventually(
        lambda: set(images(redis_set).values()) == {before} and redis_set.is_ready(),
        within_s=120,
        describe="all pods run with the image that worked",
    )
    assert {name for name, uid in uids(redis_set).items() if pods[name] != uid} == {"redis-replica-1"}
    judge(redis_set, running, since=began)


def test_a_spec_that_goes_back_ends_the_stop(contexredis: CreateContexRedis) -> None:
    redis_set = contexredis()
    before = uids(redis_set)
    redis_set.configure(nodeSelector={"no": "such-node"})
    eventually(
        lambda: condition(redis_set, "Degraded")[:2] == ("True", "RolloutStopped"),
        within_s=180,
        describe="the rollout is stopped at its deadline",
    )
    assert "redis-replica-1: Unschedulable" in condition(redis_set, "Degraded")[2]
    eventually(redis_set.is_ready, within_s=60, describe="Ready again")
    redis_set.configure(nodeSelector=None)
    eventually(
        lambda: condition(redis_set, "Degraded")[0] == "False" and redis_set.is_ready(),
        within_s=60,
        describe="healthy",
    )
    assert {name for name, uid in uids(redis_set).items() if before[name] != uid} == {"redis-replica-1"}


def test_a_bad_image_from_the_start_heals_when_the_spec_is_mended(contexredis: CreateContexRedis) -> None:
    redis_set = contexredis(ready_within_s=None, image="redis:no-such-tag")

    def is_stuck() -> bool:
        found = redis_set.conditions().get("Degraded", {})
        return found.get("reason") == "PodCannotStart"

    eventually(is_stuck, within_s=60, describe="the pods cannot start")
    redis_set.configure(image="redis:7-alpine")
    redis_set.wait_ready(within_s=90)


def test_a_single_redis_is_restarted_and_keeps_its_data(contexredis: CreateContexRedis) -> None:
    redis_set = contexredis(mode="standalone")
    node: Any = redis_set.node(redis_set.children.master_pod())
    for number in range(100):
        node.set(f"key:{number}", number)
    before = uids(redis_set)
    redis_set.configure(podLabels={"team": "blue"})
    wait_rolled_out(redis_set, other_than=before, within_s=60)
    assert node.dbsize() == 100


@pytest.mark.gate
def test_f11_f41_config_is_taken_in_without_a_restart_and_what_is_refused_changes_nothing(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    before = uids(redis_set)

    def in_force(name: str) -> set[str]:
        return {str(command(node, "CONFIG GET", name)[1]) for node in redis_set.nodes().values()}

    def conf() -> str:
        return str(cluster.get("configmap", redis_set.children.config, namespace)["data"]["redis.conf"])

    redis_set.configure(config={"slowlog-max-len": 64}, durability="strict")
    eventually(
        lambda: (
            (in_force("slowlog-max-len"), in_force("appendfsync"), in_force("min-replicas-max-lag"))
            == ({"64"}, {"always"}, {"2"})
            and "slowlog-max-len 64" in conf()
        ),
        within_s=20,
        describe="every node has the new values",
    )
    # A node that refuses one of two takes neither, and says so.
    redis_set.configure(config={"no-such-directive": "yes", "slowlog-max-len": 65})
    eventually(
        lambda: condition(redis_set, "Degraded")[:2] == ("True", "ConfigRefused"),
        within_s=20,
        describe="the refusal is shown",
    )
    assert "no-such-directive" in condition(redis_set, "Degraded")[2]
    assert in_force("slowlog-max-len") == {"64"}
    assert "no-such-directive" not in conf()
    redis_set.configure(config={"no-such-directive": None})
    eventually(
        lambda: in_force("slowlog-max-len") == {"65"} and condition(redis_set, "Degraded")[0] == "False",
        within_s=20,
        describe="healed",
    )
    # What was set so survives a restart of the container.
    assert cluster.lab is not None
    cluster.lab.faults.kill(namespace, "redis-replica-0", "redis-server")
    eventually(
        lambda: in_force("slowlog-max-len") == {"65"} and redis_set.is_ready(),
        within_s=60,
        describe="the restarted replica has it too",
        passing=UNREACHABLE,
    )
    assert uids(redis_set) == before


def test_a_configuration_that_does_not_start_is_taken_back(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    before = uids(redis_set)
    redis_set.configure(config={"loadmodule": "/no/such/module.so"})
    eventually(
        lambda: condition(redis_set, "Degraded")[:2] == ("True", "RolloutStopped") and redis_set.is_ready(),
        within_s=180,
        describe="the rollout is stopped and all pods are well",
    )
    conf = cluster.get("configmap", redis_set.children.config, namespace)["data"]["redis.conf"]
    assert "loadmodule" not in conf
    assert {name for name, uid in uids(redis_set).items() if before[name] != uid} == {"redis-replica-1"}
    redis_set.configure(config=None)
    eventually(
        lambda: condition(redis_set, "Degraded")[0] == "False", within_s=30, describe="nothing is amiss"
    )
