"""Sentinels that stand still or forget: hands off meanwhile, and what they promised is not taken back (F26, F64)."""

from __future__ import annotations

import re
import time

import pytest

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.clients import PLANNED_S, Clients, StartWriters, unplanned
from tests.e2e.support.cluster import Cluster, KubectlFailed
from tests.e2e.support.eventually import eventually
from tests.e2e.support.green import wait_green
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command
from tests.e2e.test_crash import NOISE_S
from tests.e2e.test_moves import ask_for_switchover
from tests.e2e.test_rollout import uids, wait_rolled_out

TILT_S = 30.0  # SENTINEL_TILT_PERIOD


def in_tilt(redis_set: RedisSet, pod: str) -> bool:
    return "sentinel_tilt:1" in _info(redis_set, pod)


def _info(redis_set: RedisSet, pod: str) -> str:
    found = command(redis_set.sentinel(pod), "INFO", "sentinel")
    if isinstance(found, dict):
        return "\n".join(f"{key}:{value}" for key, value in found.items())
    return str(found)


@pytest.mark.slow
@pytest.mark.laboratory
def test_f26_while_a_sentinel_is_in_tilt_nothing_is_moved_and_no_pod_is_taken_away(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    assert cluster.lab is not None
    redis_set = contexredis()
    clients = Clients(redis_set, writers)
    old, before = redis_set.wait_master(), uids(redis_set)
    confused = redis_set.sentinel_pods()[2]
    with cluster.lab.faults.clock(namespace, confused, 60):
        eventually(lambda: in_tilt(redis_set, confused), within_s=10, describe=f"{confused} is in TILT")
    at = time.monotonic()
    # Asked for now, a move of the master and one of every pod; both wait, and are made when time runs evenly again.
    ask_for_switchover(redis_set)
    redis_set.configure(podAnnotations={"try": "1"})
    said = set()
    while in_tilt(redis_set, confused):
        # The sentinel is asked last: what has changed before its answer changed while it was in TILT.
        now = (redis_set.master(), uids(redis_set))
        leaving = [pod for pod, body in redis_set.pods().items() if "deletionTimestamp" in body["metadata"]]
        said.add(redis_set.conditions()["Progressing"]["message"])
        if in_tilt(redis_set, confused):
            assert now == (old, before)
            assert not leaving
        assert time.monotonic() - at < 2 * TILT_S, "TILT does not end"
    tilted = time.monotonic() - at
    assert tilted > TILT_S / 2, f"TILT was over after {tilted:.1f} s: this test is blind"
    assert any("TILT" in message for message in said), said
    redis_set.wait_master(other_than=old, within_s=60)
    wait_rolled_out(redis_set, other_than=before)
    clients.judge(since=at, gap_s=PLANNED_S)


def current_epoch(redis_set: RedisSet, pod: str) -> int:
    """By the sentinel's own file."""
    words = ("exec", pod, "-n", redis_set.namespace, "--", "cat", "/data/sentinel.conf")
    (epoch,) = re.findall(r"^sentinel current-epoch (\d+)$", redis_set.cluster.kubectl(*words), re.MULTILINE)
    return int(epoch)


def lose(redis_set: RedisSet, *pods: str) -> None:
    """The pods and their volumes, at once, as with the zone that they were in."""
    before, cluster = uids(redis_set), redis_set.cluster
    claims = [f"data-{pod}" for pod in pods]
    cluster.kubectl("delete", "pvc", *claims, "-n", redis_set.namespace, "--wait=false")
    cluster.kubectl("delete", "pod", *pods, "-n", redis_set.namespace, "--force", "--grace-period=0")

    def anew() -> bool:
        now = uids(redis_set)
        return all(pod in now and now[pod] != before[pod] for pod in pods)

    eventually(anew, within_s=60, describe=f"{', '.join(pods)} are made anew")


@pytest.mark.slow
@pytest.mark.parametrize("lost", [1, 3], ids=["one", "all"])
def test_f64_sentinels_that_forget_are_told_again_and_epochs_never_go_back(
    contexredis: CreateContexRedis, writers: StartWriters, lost: int
) -> None:
    redis_set = contexredis()
    # So that there is an epoch to forget.
    first = redis_set.wait_master()
    ask_for_switchover(redis_set)
    master = redis_set.wait_master(other_than=first, within_s=60)
    wait_green(redis_set, within_s=60)
    clients = Clients(redis_set, writers, names=("sentinel", "kept", "kept-patient"))
    forgetful = redis_set.sentinel_pods()[:lost]
    epochs = {pod: current_epoch(redis_set, pod) for pod in redis_set.sentinel_pods()}
    ids = {pod: str(command(redis_set.sentinel(pod), "SENTINEL MYID")) for pod in forgetful}
    assert min(epochs.values()) >= 1
    at = time.monotonic()
    lose(redis_set, *forgetful)
    wait_green(redis_set, within_s=120)
    print(f"green {time.monotonic() - at:.1f} s after the loss")
    assert redis_set.master() == master
    for pod in forgetful:
        assert str(command(redis_set.sentinel(pod), "SENTINEL MYID")) == ids[pod], "it is another voter now"

    def epochs_now() -> dict[str, int]:
        return {pod: current_epoch(redis_set, pod) for pod in redis_set.sentinel_pods()}

    eventually(
        lambda: min(epochs_now().values()) >= max(epochs.values()),
        within_s=60,
        describe=f"every sentinel knows an epoch of at least {max(epochs.values())} again",
        passing=(KubectlFailed, ValueError),
    )
    told = epochs_now()
    # And they can still do what they are for, in an epoch that nobody has seen.
    ask_for_switchover(redis_set)
    new = redis_set.wait_master(other_than=master, within_s=90)
    wait_green(redis_set, within_s=90)
    after = eventually(epochs_now, within_s=10, describe="epochs", passing=(KubectlFailed, ValueError))
    print(f"epochs {epochs} -> {told} -> {after}")
    assert min(after.values()) > max(told.values()), "an epoch was used twice"
    assert redis_set.master() == new
    clients.judge(since=at, gap_s=unplanned(2 * NOISE_S + 25.0))
    assert not _astray(redis_set)


def _astray(redis_set: RedisSet) -> dict[str, str]:
    """Sentinels that name nobody of this set (spotahome/redis-operator#601: 127.0.0.1)."""
    ours = {redis_set.address(pod) for pod in redis_set.data_pods()}
    named = eventually(redis_set.named_masters, within_s=10, describe="names", passing=UNREACHABLE)
    return {pod: address for pod, address in named.items() if address not in ours}
