"""Contex as published, by redis-py exactly as it uses it: through Sentinel with the shim that the operator mounts, and
behind the master's Service, where no fault may leave it with a connection to a demoted master.
"""

from __future__ import annotations

import concurrent.futures
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from contex_operator.names import ANNOTATION_SWITCHOVER

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import RedisSet
from tests.e2e.test_contex import contex_deployment, wired

# So many requests at once that the pool has several connections to leave behind.
AT_ONCE = 8


class Contex:
    """The one pod of the Deployment, asked from the client host."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._http: httpx.Client | None = None

    def connect(self) -> None:
        """To the pod that serves, once the Deployment is rolled out."""
        self._cluster.kubectl(
            "rollout", "status", "deployment/contex", "-n", self._namespace, "--timeout=90s"
        )

        def one_pod() -> str | None:
            pods = self._cluster.items("pods", self._namespace, labels="app=contex")
            return pods[0]["status"].get("podIP") if len(pods) == 1 else None

        address = eventually(one_pod, within_s=60, describe="one pod of Contex")
        self._http = httpx.Client(base_url=f"http://{address}:8001", timeout=15, trust_env=False)

    def publish(self, count: int = AT_ONCE) -> Counter[str]:
        """So many writes at once: how often which answer came."""
        http = self._http
        assert http is not None
        body = {"project_id": "p", "data_key": "k", "data": 1}

        def one(_: int) -> str:
            try:
                answer = http.post("/api/v1/data/publish", json=body)
            except httpx.TransportError as error:
                return repr(error)
            return "ok" if answer.status_code == 200 else f"{answer.status_code}: {answer.text}"

        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return Counter(pool.map(one, range(count)))

    @property
    def log(self) -> str:
        return self._cluster.kubectl("logs", "deployment/contex", "-n", self._namespace)

    def close(self) -> None:
        if self._http is not None:
            self._http.close()


@pytest.fixture
def contex(cluster: Cluster, namespace: str) -> Iterator[Contex]:
    """Contex as published; nothing in its Deployment says where Redis is."""
    _, deployment = contex_deployment()
    container: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "CONTEX_CLIENT", "value": "published"}]
    del container["readinessProbe"]  # without a Redis it starts again and again until it is wired
    cluster.apply(deployment, namespace=namespace)
    made = Contex(cluster, namespace)
    yield made
    made.close()


def all_ok(contex: Contex) -> bool:
    return contex.publish() == Counter(ok=AT_ONCE)


@pytest.mark.slow
def test_with_the_shim_it_speaks_sentinel_and_follows_a_switchover_and_a_crash(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str, contex: Contex
) -> None:
    redis_set = contexredis(contex={"deployments": [{"name": "contex"}]})
    eventually(lambda: wired(redis_set) == ("True", "Wired"), within_s=60, describe="ContexWired=True")
    contex.connect()
    eventually(lambda: "Connected to Redis via Sentinel" in contex.log, within_s=60, describe="it connects")
    assert "Sentinel shim | handed on connection_pool_kwargs" in contex.log
    eventually(lambda: all_ok(contex), within_s=30, describe="it writes")
    for move in (ask_for_switchover, crash):
        move(redis_set)
        eventually(lambda: all_ok(contex), within_s=30, describe=f"it writes after {move.__name__}")
    redis_set.wait_ready(within_s=60)

    redis_set.configure(contex={"sentinelShim": False})
    eventually(
        lambda: "volumes" not in cluster.get("deployment", "contex", namespace)["spec"]["template"]["spec"],
        within_s=60,
        describe="the shim is taken out",
    )
    eventually(
        lambda: "unexpected keyword argument 'connection_pool_kwargs'" in _logs(cluster, namespace),
        within_s=60,
        describe="without it, it can not start",
    )


@pytest.mark.slow
def test_behind_the_service_no_fault_leaves_it_with_a_demoted_master(
    contexredis: CreateContexRedis, contex: Contex
) -> None:
    redis_set = contexredis(contex={"deployments": [{"name": "contex"}], "connection": "service"})
    eventually(lambda: wired(redis_set) == ("True", "Wired"), within_s=60, describe="ContexWired=True")
    contex.connect()
    eventually(lambda: all_ok(contex), within_s=60, describe="it writes")
    for move in (ask_for_switchover, crash, sentinel_failover, delete_master, ask_for_switchover):
        move(redis_set)
        eventually(lambda: all_ok(contex), within_s=30, describe=f"it writes after {move.__name__}")
        redis_set.wait_ready(within_s=90)
        assert contex.publish() == Counter(ok=AT_ONCE), f"not for good after {move.__name__}"


def ask_for_switchover(redis_set: RedisSet) -> None:
    old = redis_set.wait_master()
    request = {"metadata": {"annotations": {ANNOTATION_SWITCHOVER: "any"}}}
    redis_set.cluster.patch("contexredis", redis_set.name, request, namespace=redis_set.namespace)
    redis_set.wait_master(other_than=old)


def crash(redis_set: RedisSet) -> None:
    redis_set.cluster.kill_redis(redis_set.namespace, redis_set.wait_master())


def sentinel_failover(redis_set: RedisSet) -> None:
    """As a person would do it, beside the operator."""
    old = redis_set.wait_master()
    pod = redis_set.sentinel_pods()[0]
    words = ("redis-cli", "-p", "26379", "SENTINEL", "FAILOVER", "mymaster")
    redis_set.cluster.kubectl("exec", pod, "-n", redis_set.namespace, "--", *words)
    redis_set.wait_master(other_than=old)


def delete_master(redis_set: RedisSet) -> None:
    old = redis_set.wait_master()
    redis_set.cluster.kubectl("delete", "pod", old, "-n", redis_set.namespace, "--wait=false")
    redis_set.wait_master(other_than=old)


def _logs(cluster: Cluster, namespace: str) -> str:
    pods = cluster.items("pods", namespace, labels="app=contex")
    newest = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])
    return cluster.kubectl("logs", newest["metadata"]["name"], "-n", namespace)
