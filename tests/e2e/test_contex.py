"""Contex is wired: by a patch of a Deployment that is not ours, by ConfigMap and Secret, by the chart."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.e2e.conftest import CHART, PROJECT, CreateContexRedis
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import RedisSet, command

DOCUMENTED = ("REDIS_SENTINEL_HOSTS", "REDIS_SENTINEL_MASTER", "REDIS_DB")


def contex_deployment() -> list[dict[str, Any]]:
    """The Deployment of the document, with its `valueFrom` entries, and the ConfigMap that they read."""
    config = {
        "redis_sentinel_hosts": "redis-sentinel-0.redis-sentinel:26379",
        "redis_sentinel_master": "mymaster",
        "redis_db": "0",
    }
    env = [
        {
            "name": name,
            "valueFrom": {"configMapKeyRef": {"name": "contex-config", "key": name.lower()}},
        }
        for name in DOCUMENTED
    ]
    container = {
        "name": "contex",
        "image": "ghcr.io/cahoots-org/contex:0.1.10",
        "ports": [{"containerPort": 8001}],
        "env": env,
        "readinessProbe": {"httpGet": {"path": "/api/v1/health/ready", "port": 8001}, "periodSeconds": 2},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    labels = {"app": "contex"}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "contex-config"}, "data": config},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "contex"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]


def wired(redis_set: RedisSet) -> tuple[str, str]:
    """Status and reason of the condition ContexWired."""
    condition = redis_set.conditions().get("ContexWired", {})
    return condition.get("status", ""), condition.get("reason", "")


@pytest.mark.gate
def test_patch_leaves_foreign_entries_alone_until_it_may_take_over(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    cluster.apply(*contex_deployment(), namespace=namespace)
    before = cluster.get("deployment", "contex", namespace)["metadata"]["generation"]
    redis_set = contexredis(contex={"deployments": [{"name": "contex"}]})
    eventually(
        lambda: wired(redis_set) == ("False", "EnvOwnedElsewhere"),
        within_s=20,
        describe="ContexWired=False, EnvOwnedElsewhere",
    )
    message = redis_set.conditions()["ContexWired"]["message"]
    assert "REDIS_SENTINEL_HOSTS" in message
    assert cluster.get("deployment", "contex", namespace)["metadata"]["generation"] == before
    redis_set.configure(contex={"takeOver": True})
    eventually(lambda: wired(redis_set) == ("True", "Wired"), within_s=30, describe="ContexWired=True")
    deployment = cluster.get("deployment", "contex", namespace)
    assert deployment["metadata"]["generation"] == before + 1, "there was more than one rollout"
    env = {e["name"]: e for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["REDIS_MODE"]["value"] == "sentinel"
    assert env["REDIS_SENTINEL_HOSTS"]["value"].startswith("redis-sentinel-0.redis-sentinel:26379,")
    assert "secretKeyRef" in env["REDIS_PASSWORD"]["valueFrom"]
    _connects(cluster, namespace, "Connected to Redis via Sentinel | master_name=mymaster")


@pytest.mark.gate
def test_config_map_wiring_and_service_connection(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis(contex={"wiring": "configMap", "connection": "service"})
    assert wired(redis_set) == ("True", "ConfigMap")
    _, deployment = contex_deployment()
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    del container["env"]
    name = redis_set.children.contex_env
    container["envFrom"] = [{"configMapRef": {"name": name}}, {"secretRef": {"name": name}}]
    cluster.apply(deployment, namespace=namespace)
    cluster.kubectl("rollout", "status", "deployment/contex", "-n", namespace, "--timeout=60s")
    config = cluster.get("configmap", name, namespace)["data"]
    assert config["REDIS_MODE"] == "standalone"
    assert redis_set.password is not None
    assert redis_set.password not in str(config)


def _connects(cluster: Cluster, namespace: str, line: str) -> None:
    cluster.kubectl("rollout", "status", "deployment/contex", "-n", namespace, "--timeout=60s")
    eventually(
        lambda: line in cluster.kubectl("logs", "deployment/contex", "-n", namespace),
        within_s=30,
        describe=f"Contex logs {line!r}",
    )


@pytest.mark.parametrize(
    "binary", [pytest.param("helm", marks=pytest.mark.gate), pytest.param("helm4", marks=pytest.mark.slow)]
)
def test_chart_installs_upgrades_and_finds_its_data_again(
    binary: str, cluster: Cluster, namespace: str
) -> None:
    run = functools.partial(cluster.helm, binary=binary)
    values = ("-f", str(PROJECT / "values-ha.yaml"))
    small = ("--set", "redis.master.persistence.size=1Gi,redis.replica.persistence.size=1Gi")
    one = ("--set", "operator.replicas=1,replicaCount=1,autoscaling.enabled=false")
    install = ("contex", str(CHART), "-n", namespace, *values, *small, *one)
    run("install", "--skip-crds", *install)
    redis_set = RedisSet(cluster, namespace=namespace, name="contex-redis")
    redis_set.wait_ready(within_s=120)
    _connects(cluster, namespace, "Connected to Redis via Sentinel | master_name=mymaster")
    master = redis_set.wait_master()
    for i in range(100):
        command(redis_set.node(master), "SET", f"key:{i}", i)
    uids = {name: pod["metadata"]["uid"] for name, pod in redis_set.pods().items()}
    # As an earlier version of the chart left the definition: the upgrade's hook brings it up to this one.
    cluster.kubectl("annotate", "crd", "contexredises.redis.contex.io", "redis.contex.io/version-")
    run("upgrade", *install)
    annotations = cluster.kubectl(
        *("get", "crd", "contexredises.redis.contex.io", "-o", "jsonpath={.metadata.annotations}")
    )
    assert "redis.contex.io/version" in annotations
    run("rollback", "contex", "1", "-n", namespace)
    redis_set.wait_ready(within_s=60)
    assert {name: pod["metadata"]["uid"] for name, pod in redis_set.pods().items()} == uids
    run("test", "contex", "-n", namespace)
    redis_set.close()

    run("uninstall", "contex", "-n", namespace)
    eventually(lambda: not cluster.items("pods", namespace), within_s=90, describe="all pods are gone")
    claims = [claim["metadata"]["name"] for claim in cluster.items("pvc", namespace)]
    assert len(claims) == 6

    run("install", "--skip-crds", *install)
    again = RedisSet(cluster, namespace=namespace, name="contex-redis")
    again.wait_ready(within_s=120)
    again.wait_settled()
    kept = {pod: len(command(node, "KEYS", "key:*")) for pod, node in again.nodes().items()}
    assert kept == dict.fromkeys(again.data_pods(), 100)
    again.close()
