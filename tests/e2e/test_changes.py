"""Changes of a running resource, by its spec and behind the operator's back, reach its children."""

from __future__ import annotations

import time

import pytest

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.clients import PLANNED_S, Clients, StartWriters
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.green import wait_green
from tests.e2e.test_rollout import condition, uids


@pytest.mark.gate
def test_changes_reach_the_children_and_roll_nothing(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis(contex={"wiring": "configMap", "connection": "service"})
    children = redis_set.children
    uids = {name: pod["metadata"]["uid"] for name, pod in redis_set.pods().items()}
    url = cluster.get("secret", children.contex_env, namespace)["data"]["url"]
    redis_set.configure(config={"slowlog-max-len": 64}, contex={"database": 1, "maxConnections": 77})
    eventually(
        lambda: (
            "slowlog-max-len 64" in cluster.get("configmap", children.config, namespace)["data"]["redis.conf"]
        ),
        within_s=20,
        describe="redis.conf has the new directive",
    )
    eventually(
        lambda: (
            cluster.get("secret", children.contex_env, namespace)["data"]["url"] != url
            and cluster.get("configmap", children.contex_env, namespace)["data"]["REDIS_MAX_CONNECTIONS"]
            == "77"
        ),
        within_s=20,
        describe="the environment of Contex has the new database and pool size",
    )
    # Somebody's edit of a child is put back.
    cluster.patch("pdb", children.nodes, {"spec": {"maxUnavailable": 3}}, namespace=namespace)
    cluster.kubectl("label", "pod", children.master_pod(), "-n", namespace, "touched=yes")
    eventually(
        lambda: cluster.get("pdb", children.nodes, namespace)["spec"]["maxUnavailable"] == 1,
        within_s=40,
        describe="the disruption budget is as it was",
    )

    # The same refusal again and again is one event that counts; the count is written every 10 s at most.
    def refused_again() -> bool:
        for limit, wanted in (("4gb", "False"), (None, "True")):
            redis_set.configure(config={"maxmemory": limit})
            eventually(
                lambda wanted=wanted: redis_set.conditions()["SpecValid"]["status"] == wanted,  # type: ignore[misc]
                within_s=20,
                describe=f"SpecValid={wanted}",
            )
        return any(
            event["reason"] == "SpecInvalid" and (event.get("series") or {}).get("count", 0) >= 2
            for event in cluster.items("events", namespace)
        )

    eventually(refused_again, within_s=60, describe="one event SpecInvalid with a count")
    assert {name: pod["metadata"]["uid"] for name, pod in redis_set.pods().items()} == uids


@pytest.mark.slow
@pytest.mark.laboratory
def test_f44_a_secret_that_is_deleted_or_changed_changes_no_password(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    """Half-changed passwords break replication pod by pod: what the pods use stays, and a person is told."""
    redis_set = contexredis()
    children, password = redis_set.children, redis_set.password
    clients = Clients(redis_set, writers, names=("sentinel", "kept"))
    before, at = uids(redis_set), time.monotonic()

    def data(name: str) -> dict[str, str]:
        return dict((cluster.find("secret", name, namespace) or {}).get("data") or {})

    source = data(children.auth)
    assert data(children.auth_active) == source
    for name in (children.auth, children.auth_active):
        cluster.kubectl("delete", "secret", name, "-n", namespace)
        eventually(
            lambda name=name: data(name) == source,  # type: ignore[misc]
            within_s=30,
            describe=f"{name} is made again, with the same passwords",
        )
    changed = {"stringData": {"password": "somebody-elses", "sentinel-password": "somebody-elses-too"}}
    cluster.patch("secret", children.auth, changed, namespace=namespace)
    eventually(
        lambda: condition(redis_set, "AuthChanged")[:2] == ("True", "SourceDiffers"),
        within_s=30,
        describe="AuthChanged says so",
    )
    assert children.auth in condition(redis_set, "AuthChanged")[2]
    assert "somebody-elses" not in condition(redis_set, "AuthChanged")[2]
    # Also for who starts now: a container and a whole pod.
    replica = next(pod for pod in redis_set.data_pods() if pod != redis_set.wait_master())
    cluster.kill_redis(namespace, replica)
    cluster.kubectl("delete", "pod", redis_set.sentinel_pods()[0], "-n", namespace)
    redis_set.wait_ready(within_s=90)
    wait_green(redis_set, within_s=60)
    assert data(children.auth_active) == source
    assert redis_set.password == password
    now = uids(redis_set)
    assert {pod for pod in before if now[pod] != before[pod]} == {redis_set.sentinel_pods()[0]}
    clients.judge(since=at, gap_s=PLANNED_S)
    # The one that was changed goes, too: the one that the pods use is put in its place.
    cluster.kubectl("delete", "secret", children.auth, "-n", namespace)
    eventually(lambda: data(children.auth) == source, within_s=30, describe="the source is as it was")
    eventually(
        lambda: condition(redis_set, "AuthChanged")[0] == "False", within_s=30, describe="nothing differs"
    )
