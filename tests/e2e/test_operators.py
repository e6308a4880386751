"""Several operators: who acts, who takes over, and who leaves whose resources alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from contex_operator.names import ANNOTATION_SWITCHOVER, API_VERSION, KIND, LEASE

from tests.e2e.conftest import CHART, CreateContexRedis, InstallOperator
from tests.e2e.support.cluster import Cluster, KubectlFailed
from tests.e2e.support.eventually import eventually, never
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet

LABEL = "app.kubernetes.io/name=contex-redis-operator"
TAKEOVER_S = 15.0
NOISE_S = 5.0


def holder(cluster: Cluster, namespace: str) -> str:
    """The pod that holds the Lease of a namespace; "" = nobody."""
    lease = cluster.find("lease", LEASE, namespace)
    return str((lease or {"spec": {}})["spec"].get("holderIdentity") or "").split("_")[0]


def other_holder(cluster: Cluster, namespace: str, *, than: str) -> str:
    """The pod that holds the Lease, "" while nobody or that one does."""
    found = holder(cluster, namespace)
    return "" if found == than else found


def wait_leader_elsewhere(cluster: Cluster, namespace: str, node: str, *, within_s: float = 60.0) -> str:
    """Wait until the leader is on another node than this one; returns its pod."""

    def elsewhere() -> str:
        pods = {p["metadata"]["name"]: p for p in cluster.items("pods", namespace, labels=LABEL)}
        leader = holder(cluster, namespace)
        return leader if leader in pods and pods[leader]["spec"]["nodeName"] != node else ""

    return eventually(elsewhere, within_s=within_s, describe=f"the leader is on another node than {node}")


def set_in(cluster: Cluster, namespace: str, name: str = "redis", **spec: object) -> RedisSet:
    """Apply a ContexRedis somewhere; the caller waits for what it expects of it."""
    body = {"mode": "sentinel", "persistence": {"size": "1Gi"}} | spec
    resource = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": body}
    cluster.apply(resource, namespace=namespace)
    return RedisSet(cluster, namespace=namespace, name=name)


@pytest.mark.gate
@pytest.mark.laboratory
def test_standby_takes_over_after_a_hard_death_and_at_once_on_sigterm(
    install_operator: InstallOperator, cluster: Cluster, namespace: str
) -> None:
    assert cluster.lab is not None
    install_operator(replicas=2)
    pods = {pod["metadata"]["name"] for pod in cluster.items("pods", namespace, labels=LABEL)}
    assert len(pods) == 2
    first = eventually(lambda: holder(cluster, namespace), within_s=20, describe="somebody leads")
    assert first in pods
    # A hard death: frozen for good, the process neither ends nor lets go.
    with cluster.lab.faults.freeze(f"{namespace}/{first}"):
        began = time.monotonic()
        second = eventually(
            lambda: other_holder(cluster, namespace, than=first),
            within_s=TAKEOVER_S + NOISE_S,
            describe="the standby takes over",
        )
        took = time.monotonic() - began
        assert took <= TAKEOVER_S + NOISE_S
        redis_set = set_in(cluster, namespace)
        redis_set.wait_ready(within_s=90)
    # The thawed one was leader when it stopped: it must find out before it writes, and stay standby.
    never(lambda: holder(cluster, namespace) == first, for_s=5, describe="the thawed operator leads")
    assert redis_set.is_ready()
    began = time.monotonic()
    cluster.kubectl("delete", "pod", second, "-n", namespace, "--wait=false")
    eventually(
        lambda: other_holder(cluster, namespace, than=second),
        within_s=10,
        describe="another operator leads after SIGTERM",
    )
    assert time.monotonic() - began <= 10
    redis_set.close()


@pytest.mark.slow
def test_a_leader_on_a_masters_node_hands_the_lease_to_a_standby_elsewhere(
    install_operator: InstallOperator, contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    install_operator(replicas=2)
    redis_set = contexredis()
    wait_leader_elsewhere(cluster, namespace, redis_set.node_of(redis_set.wait_master()))
    pods = {pod["metadata"]["name"]: pod for pod in cluster.items("pods", namespace, labels=LABEL)}
    assert len({pod["spec"]["nodeName"] for pod in pods.values()}) == 2, "the operators share a node"
    leader = holder(cluster, namespace)
    node = pods[leader]["spec"]["nodeName"]
    (target,) = [pod for pod in redis_set.data_pods() if redis_set.node_of(pod) == node]
    request = {"metadata": {"annotations": {ANNOTATION_SWITCHOVER: target}}}
    cluster.patch("contexredis", redis_set.name, request, namespace=namespace)
    eventually(
        lambda: redis_set.master() == target,
        within_s=30,
        describe=f"{target} is master",
        passing=UNREACHABLE,
    )
    standby = wait_leader_elsewhere(cluster, namespace, node)
    assert standby != leader
    assert {standby, leader} == pods.keys()
    # It is a process that goes on, not one that was ended; and nobody takes the Lease back.
    never(lambda: holder(cluster, namespace) == leader, for_s=20, describe="the Lease goes back")
    redis_set.wait_ready(within_s=30)
    assert pods.keys() == {pod["metadata"]["name"] for pod in cluster.items("pods", namespace, labels=LABEL)}
    # What it hands over is usable at once: a crash is healed by the standby.
    cluster.kill_redis(namespace, target)
    redis_set.wait_master(other_than=target)
    eventually(
        lambda: redis_set.resource()["status"]["lastFailover"].get("reason") == "AssistedFailover",
        within_s=30,
        describe="the standby healed the crash",
    )


@pytest.mark.gate
def test_f60_two_resources_of_one_name_in_two_namespaces_never_touch(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str, second_namespace: str
) -> None:
    here = contexredis()
    words = (
        "--set",
        "contex.enabled=false",
        "--set",
        "redis.enabled=false",
        "--set",
        "operator.enabled=true",
    )
    cluster.helm("install", "--skip-crds", "operator", str(CHART), "-n", second_namespace, *words)
    there = set_in(cluster, second_namespace)
    there.wait_ready(within_s=120)
    assert here.password != there.password
    stranger = RedisSet(cluster, namespace=second_namespace, name="redis")
    stranger._secret = here._auth()
    for pod in stranger.data_pods():
        with pytest.raises(Exception, match=r"WRONGPASS|invalid username-password"):
            stranger.node(pod).ping()
    # One fails over; the other does not even notice.
    before = there.resource()["status"]
    master = here.wait_master()
    cluster.kill_redis(namespace, master)
    here.wait_master(other_than=master)
    here.wait_ready(within_s=60)
    after = there.resource()["status"]
    assert after == before
    for each in (there, stranger):
        each.close()


@pytest.fixture
def second_namespace(cluster: Cluster, namespace: str) -> Iterator[str]:
    """A namespace beside the test's own."""
    name = f"{namespace}-b"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.node_fault  # a cluster-wide operator sees every namespace: nobody else may be there meanwhile
@pytest.mark.gate
def test_cluster_wide_operator_leaves_namespaces_alone_that_have_their_own(
    install_operator: InstallOperator, cluster: Cluster, namespace: str, second_namespace: str
) -> None:
    install_operator()
    values = "contex.enabled=false,redis.enabled=false,operator.enabled=true,operator.clusterWide=true"
    cluster.helm("install", "--skip-crds", "wide", str(CHART), "-n", second_namespace, "--set", values)
    try:
        eventually(lambda: holder(cluster, second_namespace), within_s=30, describe="the wide one leads")
        own = set_in(cluster, namespace)
        own.wait_ready(within_s=90)
        wide = set_in(cluster, second_namespace)
        wide.wait_ready(within_s=90)
        writers = _writers_of(cluster, namespace)
        assert writers == {f"system:serviceaccount:{namespace}"}, writers
        # A second cluster-wide operator refuses to start, with a sentence.
        third = f"{namespace}-c"
        cluster.kubectl("create", "namespace", third)
        try:
            cluster.helm("install", "--skip-crds", "third", str(CHART), "-n", third, "--set", values)
            eventually(
                lambda: "cluster-wide" in _logs(cluster, third),
                within_s=40,
                describe="the second cluster-wide operator says why it does not start",
                passing=(KubectlFailed,),
            )
            assert holder(cluster, third) == ""
        finally:
            _uninstall(cluster, "third", third)
        for each in (own, wide):
            each.close()
    finally:
        _uninstall(cluster, "wide", second_namespace)


def _uninstall(cluster: Cluster, release: str, namespace: str) -> None:
    cluster.helm("uninstall", release, "-n", namespace, "--ignore-not-found")
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def _logs(cluster: Cluster, namespace: str) -> str:
    text = cluster.kubectl("logs", "-n", namespace, "-l", LABEL, "--tail=50")
    try:
        previous = cluster.kubectl("logs", "-n", namespace, "-l", LABEL, "--tail=50", "--previous")
    except KubectlFailed:
        previous = ""
    return text + previous


def _writers_of(cluster: Cluster, namespace: str) -> set[str]:
    """Namespaces whose operators wrote anything in `namespace`, by the audit log."""
    assert cluster.lab is not None
    found = set()
    with cluster.lab.audit_log.open() as lines:
        for line in lines:
            entry = json.loads(line)
            user = entry["user"].get("username", "")
            where = (entry.get("objectRef") or {}).get("namespace")
            writes = entry["verb"] in ("create", "update", "patch", "delete")
            if (
                where == namespace
                and writes
                and user.startswith("system:serviceaccount:")
                and ("operator" in user.rsplit(":", 1)[-1])
            ):
                found.add(user.rsplit(":", 1)[0])
    return found
