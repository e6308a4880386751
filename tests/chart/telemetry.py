"""The metrics that there are, of the operator and of Contex' client, and those that a query asks for."""

from __future__ import annotations

import asyncio
import functools
import re
from typing import Any, Final

from contex_operator.metrics import Metrics
from contex_operator.model import Replica
from contex_operator.topology import judge
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.world import (
    NAME,
    NAMESPACE,
    NOW,
    R0,
    R1,
    SENTINELS,
    address_of,
    master,
    replica,
    replicated,
    sentinel,
    snapshot,
)

# What Contex exports by contex_redis; its own tests hold it to these names.
OF_CONTEX: Final = (
    "contex_redis_connections",
    "contex_redis_operation_duration_seconds_bucket",
    "contex_redis_operation_duration_seconds_sum",
    "contex_redis_operation_duration_seconds_count",
    "contex_redis_connection_errors_total",
)


@functools.cache
def exposition() -> str:
    """All that the leading operator tells of one healthy set with memory limits that has failed over once."""
    told = Metrics(version="0.0.0", is_leader=lambda: True)
    told.watch_queue(
        depth=lambda: 0, oldest_wait_s=lambda: 0.0, longest_run_s=lambda: 0.0, is_watching=lambda: True
    )
    key = (NAMESPACE, NAME)
    spec = replicated(resources={"limits": {"memory": "1Gi"}})
    filled: dict[str, Any] = {"used_memory": 1 << 20, "maxmemory": 1 << 29, "maxclients": 10000}
    followers = tuple(Replica(address=address_of(pod), online=True, offset=90, lag_s=0) for pod in (R0, R1))
    moved = {"time": "2023-11-14T22:13:20Z", "reason": "AssistedFailover", "milliseconds": 90}
    status = {
        "phase": "Ready",
        "conditions": [{"type": "FailoverReady", "status": "True"}],
        "lastFailover": moved,
    }
    world = snapshot(
        [master(replicas=followers, **filled), replica(R0, **filled), replica(R1, **filled)],
        [sentinel(pod) for pod in SENTINELS],
        now=NOW,
    )

    async def work(key: tuple[str, str]) -> float | None:
        told.saw(key, spec=spec, observed=world, topology=judge(world, sentinels=3))
        told.told(key, {}, status)
        return 1.0

    async def text() -> bytes:
        await told.timed(work)(key)
        return (await told.text(""))[0]

    return asyncio.run(text()).decode()


@functools.cache
def exported() -> frozenset[str]:
    """The names of all series."""
    families = text_string_to_metric_families(exposition())
    return frozenset(sample.name for family in families for sample in family.samples) | {*OF_CONTEX}


def named_in(query: str) -> set[str]:
    """The metrics of ours that a PromQL expression asks for."""
    without_grouping = re.sub(r"\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", "", query)
    without_labels = re.sub(r"\{[^}]*\}", "", without_grouping)
    return set(re.findall(r"\b(?:contexredis|contex_redis|process)_\w+", without_labels))
