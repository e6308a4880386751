"""A master that refuses writes says so in the resource, and says when it takes them again."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.test_rollout import condition


@pytest.mark.slow
def test_a_full_memory_is_told_and_heals_by_the_spec(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis(config={"maxmemory": "16mb"})
    master: Any = redis_set.node(redis_set.wait_master())

    def fill() -> None:
        for number in range(40):
            master.set(f"big:{number}", "x" * 1_000_000)

    with pytest.raises(redis.RedisError, match="maxmemory"):
        fill()
    eventually(
        lambda: condition(redis_set, "Ready")[:2] == ("False", "WritesRefused"),
        within_s=40,
        describe="Ready says that writes are refused",
    )
    assert "maxmemory (16Mi)" in condition(redis_set, "Ready")[2]
    assert condition(redis_set, "Degraded")[:2] == ("True", "WritesRefused")
    told = [e["reason"] for e in cluster.items("events.events.k8s.io", namespace)]
    assert told.count("WritesRefused") == 1
    redis_set.configure(config={"maxmemory": "64mb"})
    redis_set.wait_ready(within_s=60)
    assert master.set("after", "1")
    assert condition(redis_set, "Degraded")[0] == "False"
