"""Rollouts under difficulties: copies that take long, operators that die (F09, F30, F58)."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import pytest
import redis

from tests.e2e.conftest import CreateContexRedis, InstallOperator
from tests.e2e.support.clients import PLANNED_S, Clients, StartWriters
from tests.e2e.support.cluster import Cluster, KubectlFailed
from tests.e2e.support.eventually import eventually
from tests.e2e.support.green import wait_green
from tests.e2e.support.redis_set import RedisSet, command
from tests.e2e.test_operators import LABEL, holder, other_holder
from tests.e2e.test_rollout import condition, uids, wait_rolled_out
from tests.workload import reading

KEYS = 400
SLOW_KEY_US = 20_000  # 400 keys: 8 s for a full copy


@dataclass(frozen=True)
class Look:
    """Data pods that were leaving, and then the replicas that had no link to their master."""

    at: float
    leaving: frozenset[str]
    unlinked: frozenset[str]


class Watch:
    """Looks at the set again and again: the pods first, then the links, so that what unlinks later is no pretext."""

    def __init__(self, redis_set: RedisSet) -> None:
        self._set = redis_set
        self._pods = redis_set.data_pods()
        self._nodes = {
            pod: reading.connect(redis_set.address(pod), 6379, password=redis_set.password, timeout_s=1.0)
            for pod in self._pods
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.looks: list[Look] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        for node in self._nodes.values():
            node.close()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            with suppress(KubectlFailed):
                pods = self._set.pods()
                at = time.monotonic()
                leaving = {
                    pod for pod in self._pods if pod in pods and "deletionTimestamp" in pods[pod]["metadata"]
                }
                unlinked = {pod for pod in self._pods if pod not in leaving and not self._is_linked(pod)}
                self.looks.append(Look(at, frozenset(leaving), frozenset(unlinked)))

    def _is_linked(self, pod: str) -> bool:
        try:
            info: Any = command(self._nodes[pod], "INFO", "replication")
        except redis.RedisError:
            return False
        return info["role"] == "master" or (
            info["master_link_status"] == "up" and not info["master_sync_in_progress"]
        )


def deletions(cluster: Cluster, namespace: str, *, since: int) -> Counter[str]:
    """How often the operators have deleted which pod, by the audit log from a byte on."""
    assert cluster.lab is not None
    found: Counter[str] = Counter()
    with cluster.lab.audit_log.open("rb") as lines:
        lines.seek(since)
        for line in lines:
            entry = json.loads(line)
            what, user = entry.get("objectRef") or {}, entry["user"].get("username", "")
            is_deletion = entry["verb"] == "delete" and what.get("resource") == "pods"
            is_own = user.startswith(f"system:serviceaccount:{namespace}:")
            if is_deletion and is_own and what.get("namespace") == namespace:
                found[str(what.get("name"))] += 1
    return found


@pytest.mark.slow
@pytest.mark.laboratory
def test_f09_f30_f58_a_rollout_waits_for_slow_copies_and_outlives_its_operators(
    install_operator: InstallOperator,
    contexredis: CreateContexRedis,
    writers: StartWriters,
    cluster: Cluster,
    namespace: str,
) -> None:
    assert cluster.lab is not None
    install_operator(replicas=2)
    redis_set = contexredis()
    first = redis_set.wait_master()
    node: Any = redis_set.node(first)
    for number in range(KEYS):
        node.set(f"key:{number}", "x" * 1000)
    redis_set.configure(config={"rdb-key-save-delay": SLOW_KEY_US})
    eventually(
        lambda: (
            {str(command(n, "CONFIG GET", "rdb-key-save-delay")[1]) for n in redis_set.nodes().values()}
            == {str(SLOW_KEY_US)}
        ),
        within_s=30,
        describe="copies are slow",
    )
    redis_set.wait_ready(within_s=60)
    clients = Clients(redis_set, writers)
    before, log = uids(redis_set), cluster.lab.audit_log.stat().st_size
    at = time.monotonic()
    with Watch(redis_set) as watch:
        redis_set.configure(podAnnotations={"try": "1"})
        replaced = "redis-replica-1"
        eventually(
            lambda: uids(redis_set).get(replaced, before[replaced]) != before[replaced],
            within_s=60,
            describe=f"{replaced} is made anew",
        )
        # The leader dies while the first copy is being made, and its successor once the master's role has moved.
        leader = holder(cluster, namespace)
        assert leader in {pod["metadata"]["name"] for pod in cluster.items("pods", namespace, labels=LABEL)}
        cluster.lab.faults.kill(namespace, leader, "python")
        successor = eventually(
            lambda: other_holder(cluster, namespace, than=leader),
            within_s=60,
            describe="the standby, or the restarted one, leads",
        )
        redis_set.wait_master(other_than=first, within_s=180)
        cluster.lab.faults.kill(namespace, holder(cluster, namespace) or successor, "python")
        wait_rolled_out(redis_set, other_than=before)
    print(f"rolled out in {time.monotonic() - at:.1f} s")
    _nobody_left_too_early(watch)
    # No double action: each pod was made anew once.
    assert deletions(cluster, namespace, since=log) == Counter(before.keys())
    assert condition(redis_set, "Degraded")[0] == "False"
    clients.judge(since=at, gap_s=PLANNED_S)
    wait_green(redis_set, within_s=60)


def _nobody_left_too_early(watch: Watch) -> None:
    """No data pod was on its way out while another one had not the data yet."""
    slow = [look for look in watch.looks if look.unlinked and not look.leaving]
    assert len(slow) >= 10, "no copy took long: this test is blind"
    bad = []
    known_leaving: frozenset[str] = frozenset()
    for look in watch.looks:
        newly = look.leaving - known_leaving
        if newly and look.unlinked:
            bad.append(look)
        known_leaving = look.leaving
    assert not bad, bad[:3]
