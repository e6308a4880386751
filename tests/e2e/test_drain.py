"""`kubectl drain`: it ends, the master leaves first, nothing is lost (F54); also where one node carried all (F67)."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import pytest

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.clients import PLANNED_S, Clients, StartWriters
from tests.e2e.support.cluster import Cluster, KubectlFailed
from tests.e2e.support.eventually import eventually
from tests.e2e.support.green import wait_green
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command
from tests.e2e.test_rollout import condition, uids, wait_rolled_out

DRAIN_S = 120.0
PLACE = "contex-test/place"


class Drain:
    """`kubectl drain` of a node, beside the test; uncordoned at the end."""

    def __init__(self, cluster: Cluster, node: str, *, selector: str) -> None:
        self._cluster, self._node = cluster, node
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        words = (
            *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--pod-selector", selector),
            f"--timeout={DRAIN_S + 60:.0f}s",
        )
        self._child = subprocess.Popen(
            cluster.argv("kubectl", *words), stdout=self._said, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.wait()
        self._said.close()
        self._cluster.kubectl("uncordon", self._node)

    def is_over(self) -> bool:
        """Raises AssertionError where it has failed."""
        code = self._child.poll()
        if code:
            self._said.seek(0)
            raise AssertionError(f"drain ended with {code}: {self._said.read().decode(errors='replace')}")
        return code == 0


@pytest.fixture
def places(cluster: Cluster) -> Iterator[None]:
    """No node carries the test's label afterwards."""
    yield
    cluster.kubectl("label", "nodes", "--all", f"{PLACE}-")


def selector(redis_set: RedisSet) -> str:
    """The set's own pods: nobody else's test is drained away."""
    return f"redis.contex.io/cluster={redis_set.name}"


@pytest.mark.slow
@pytest.mark.node_fault  # a cordoned node takes no other test's pods
def test_f54_the_masters_node_is_drained(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster
) -> None:
    redis_set = contexredis()
    clients = Clients(redis_set, writers)
    old = redis_set.wait_master()
    node = redis_set.node_of(old)
    at = time.monotonic()
    with Drain(cluster, node, selector=selector(redis_set)) as drain:
        eventually(lambda: _moved(redis_set, old), within_s=60, every_s=0.05, describe="the master leaves")
        # While the old pod is still there: its place was taken by one that holds everything.
        eventually(drain.is_over, within_s=DRAIN_S, describe="the drain ends")
        print(f"drained in {time.monotonic() - at:.1f} s")
        assert not [p for p in redis_set.pods().values() if p["spec"].get("nodeName") == node]
        clients.all_write()
    redis_set.wait_ready(within_s=90)
    clients.judge(since=at, gap_s=PLANNED_S)
    assert redis_set.resource()["status"]["lastFailover"]["reason"] == "Switchover"
    wait_green(redis_set, within_s=30)


def _moved(redis_set: RedisSet, old: str) -> bool:
    """Another pod is master. Until it is, the old one serves, and a replica is in sync whenever it is leaving."""
    master = redis_set.master()
    return master is not None and master != old


def evict(cluster: Cluster, namespace: str, pod: str) -> None:
    """What a drain asks for. Raises KubectlFailed where the budget forbids it."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


@pytest.mark.slow
@pytest.mark.laboratory
def test_f15_the_master_is_not_evicted_while_a_copy_is_being_made(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis(config={"key-load-delay": 20_000, "loading-process-events-interval-bytes": 1024})
    master, before = redis_set.wait_master(), uids(redis_set)
    node: Any = redis_set.node(master)
    for number in range(500):
        node.set(f"key:{number}", number)
    clients = Clients(redis_set, writers, names=("sentinel", "kept"))
    replica = next(pod for pod in redis_set.data_pods() if pod != master)
    at = time.monotonic()
    # It loads for 10 s and more.
    cluster.kill_redis(namespace, replica)
    eventually(lambda: not _is_ready(redis_set, replica), within_s=15, describe=f"{replica} is not ready")
    with pytest.raises(KubectlFailed, match="disruption budget"):
        evict(cluster, namespace, master)
    assert not _is_ready(redis_set, replica), "it was over too soon: this test is blind"
    redis_set.wait_ready(within_s=90)
    evict(cluster, namespace, master)
    redis_set.wait_master(other_than=master)
    eventually(
        lambda: uids(redis_set).get(master, before[master]) != before[master], within_s=90, describe="it went"
    )
    redis_set.wait_ready(within_s=90)
    clients.judge(since=at, gap_s=PLANNED_S)


def _is_ready(redis_set: RedisSet, pod: str) -> bool:
    conditions = redis_set.pods()[pod]["status"].get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@pytest.mark.slow
@pytest.mark.node_fault
def test_f54_f67_the_one_node_that_carries_everything_is_drained(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str, places: None
) -> None:
    """Nothing of it lies on volumes, so every copy has to be made again elsewhere before the next one goes."""
    first, *others = sorted(body["metadata"]["name"] for body in cluster.items("nodes"))
    cluster.kubectl("label", "node", first, f"{PLACE}=yes")
    redis_set = contexredis(persistence={"enabled": False}, nodeSelector={PLACE: "yes"}, ready_within_s=120)
    assert {redis_set.node_of(pod) for pod in redis_set.pods()} == {first}
    eventually(
        lambda: condition(redis_set, "Degraded")[:2] == ("True", "QuorumAtRisk"),
        within_s=20,
        describe="one node carries a majority of the sentinels, and it is said",
    )
    assert first in condition(redis_set, "Degraded")[2]
    clients = Clients(redis_set, writers)
    master = redis_set.wait_master()
    for number in range(500):
        command(redis_set.node(master), "SET", f"key:{number}", number)
    for other in others:
        cluster.kubectl("label", "node", other, f"{PLACE}=yes")
    at = time.monotonic()
    with Drain(cluster, first, selector=selector(redis_set)) as drain:

        def over() -> bool:
            # Somebody has the data at any time.
            held = [_size(redis_set, pod) for pod in redis_set.data_pods()]
            assert max(held) >= 500, f"the copies hold {held} keys"
            return drain.is_over()

        eventually(over, within_s=2 * DRAIN_S, describe="the drain ends", every_s=0.3)
        print(f"drained in {time.monotonic() - at:.1f} s")
        assert first not in {pod["spec"].get("nodeName") for pod in redis_set.pods().values()}
        clients.all_write()
    redis_set.wait_ready(within_s=120)
    # Two nodes for three sentinels: it is another one's turn to carry two of them, and that is said as well.
    at_risk = {pod: redis_set.node_of(pod) for pod in redis_set.sentinel_pods()}
    assert first not in at_risk.values()
    eventually(
        lambda: (
            condition(redis_set, "Degraded")[1] == "QuorumAtRisk"
            and first not in condition(redis_set, "Degraded")[2]
        ),
        within_s=20,
        describe=f"the condition names the node that carries two of {at_risk}",
    )
    clients.judge(since=at, gap_s=PLANNED_S)
    sizes = {pod: command(node, "DBSIZE") for pod, node in redis_set.nodes().items()}
    assert min(sizes.values()) >= 500, sizes


def _size(redis_set: RedisSet, pod: str) -> int:
    try:
        return int(command(redis_set.node(pod), "DBSIZE"))
    except Exception as error:
        if isinstance(error, UNREACHABLE) or "LOADING" in str(error):
            return 0
        raise


@pytest.mark.slow
@pytest.mark.node_fault
def test_a_drain_in_the_middle_of_a_rollout(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster
) -> None:
    """The node of the master, as soon as the first pod is replaced: its pods wait for it, the rollout for them."""
    redis_set = contexredis()
    clients = Clients(redis_set, writers)
    before, old = uids(redis_set), redis_set.wait_master()
    node = redis_set.node_of(old)
    at = time.monotonic()
    redis_set.configure(podAnnotations={"try": "1"})
    eventually(
        lambda: any(before[pod] != uid for pod, uid in uids(redis_set).items()),
        within_s=60,
        describe="the rollout is under way",
    )
    with Drain(cluster, node, selector=selector(redis_set)) as drain:
        eventually(drain.is_over, within_s=DRAIN_S, describe="the drain ends")
        print(f"drained in {time.monotonic() - at:.1f} s")
        clients.all_write()
    wait_rolled_out(redis_set, other_than=before)
    print(f"rolled out in {time.monotonic() - at:.1f} s")
    assert condition(redis_set, "Degraded")[0] == "False"
    clients.judge(since=at, gap_s=PLANNED_S)
    wait_green(redis_set, within_s=30)
