"""A planned move whose operator dies between swap and announcement, and then the old master restarts (design rule 4).

By the sentinels' memory the old one is the master still, and its data are intact: only the other pods know better.
"""

from __future__ import annotations

import time

import pytest

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.clients import Clients, StartWriters
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.green import wait_green
from tests.e2e.support.operator_process import OperatorProcess
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet
from tests.e2e.test_moves import ask_for_switchover


@pytest.fixture
def operator() -> None:
    """None from the chart: this test runs its own."""


@pytest.mark.slow
@pytest.mark.laboratory
@pytest.mark.parametrize("successor", [True, False], ids=["successor", "sentinel-alone"])
def test_the_old_master_restarts_between_swap_and_hello(
    contexredis: CreateContexRedis,
    writers: StartWriters,
    cluster: Cluster,
    namespace: str,
    successor: bool,
) -> None:
    assert cluster.lab is not None
    with OperatorProcess(namespace, name="first", failpoint="switchover.became.after=KILL") as first:
        redis_set = contexredis(ready_within_s=180)
        old = redis_set.wait_master()
        clients = Clients(redis_set, writers)
        at = time.monotonic()
        ask_for_switchover(redis_set)
        first.wait_halted("KILL", within_s=30)
        cluster.kill_redis(namespace, old)
    if successor:
        with OperatorProcess(namespace, name="second"):
            _heals(redis_set, clients, at=at, within_s=60)
        return
    # Nobody but Sentinel: it has to find out by itself who is master, in its own time.
    clients.write("sentinel", "sentinel-patient", within_s=90)
    with OperatorProcess(namespace, name="third"):
        _heals(redis_set, clients, at=at, within_s=90)


def _heals(redis_set: RedisSet, clients: Clients, *, at: float, within_s: float) -> None:
    eventually(redis_set.master, within_s=within_s, describe="there is a master", passing=UNREACHABLE)
    wait_green(redis_set, within_s=90)
    eventually(
        lambda: "intent" not in redis_set.resource()["status"], within_s=30, describe="no intent is left"
    )
    print(f"green {time.monotonic() - at:.1f} s after the request")
    clients.judge(since=at, within_s=60)
