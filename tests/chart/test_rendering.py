"""What the chart renders from the values that people give it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.chart.examples import EVERYTHING, EXTERNAL, SENTINEL, SENTINEL_AUTH
from tests.chart.rendering import (
    CHART,
    DOCUMENTED,
    VALUES_HA,
    Manifests,
    helm,
    is_upgrade_hook,
    merged,
    nested,
    render,
)

SENTINELS = ",".join(f"contex-redis-sentinel-{i}.contex-redis-sentinel:26379" for i in range(3))


@pytest.mark.parametrize("files", [(), (VALUES_HA,), (DOCUMENTED,)], ids=["default", "ha", "documented"])
def test_lint_finds_nothing(files: tuple[Path, ...]) -> None:
    done = helm("lint", "--strict", str(CHART), *(f"--values={path}" for path in files))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documented_values_give_what_they_say() -> None:
    manifests = render(files=[DOCUMENTED])
    spec = manifests.spec()
    assert spec["mode"] == "sentinel"
    assert spec["replicas"] == 2
    assert spec["sentinel"]["replicas"] == 3
    assert spec["sentinel"]["quorum"] == 2
    assert spec["sentinel"]["masterName"] == "mymaster"
    assert spec["auth"] == {"enabled": False}
    assert spec["persistence"] == {"enabled": True, "size": "8Gi", "retain": True}
    # The hosts of the document are pods of the chart that was bundled before: they lead to ours.
    assert manifests.environment()["REDIS_SENTINEL_HOSTS"] == SENTINELS


def test_values_ha_is_the_documented_example_with_passwords_and_two_operators() -> None:
    manifests, documented = render(files=[VALUES_HA]), render(files=[DOCUMENTED])
    spec, wanted = manifests.spec(), documented.spec()
    for field in ("mode", "replicas", "durability", "persistence", "contex"):
        assert spec[field] == wanted[field], field
    assert spec["auth"] == {"enabled": True}
    assert {k: v for k, v in spec["sentinel"].items() if k != "resources"} == {
        k: v for k, v in wanted["sentinel"].items() if k != "resources"
    }
    operator = manifests.one("Deployment", "contex-operator")["spec"]
    assert operator["replicas"] == 2
    spread = operator["template"]["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"]: each["whenUnsatisfiable"] for each in spread} == {
        "kubernetes.io/hostname": "DoNotSchedule",
        "topology.kubernetes.io/zone": "ScheduleAnyway",
    }
    assert manifests.has("PodDisruptionBudget", "contex-operator")


def test_values_ha_throttles_neither_redis_nor_the_operator() -> None:
    manifests = render(files=[VALUES_HA])
    spec = manifests.spec()
    assert set(spec["resources"]["limits"]) == {"memory"}
    assert set(spec["sentinel"]["resources"]["limits"]) == {"memory"}
    assert set(manifests.container("contex-operator")["resources"]["limits"]) == {"memory"}


def test_by_default_there_is_one_redis_and_one_operator_for_the_release_namespace() -> None:
    manifests = render(namespace="shop")
    spec = manifests.spec()
    assert spec["mode"] == "standalone"
    assert "replicas" not in spec
    assert "sentinel" not in spec
    assert spec["contex"]["connection"] == "service"
    operator = manifests.one("Deployment", "contex-operator")["spec"]
    assert operator["replicas"] == 1
    assert manifests.environment("contex-operator")["WATCH_NAMESPACE"] == "shop"
    assert not manifests.has("ClusterRole")
    assert all(
        body["metadata"]["namespace"] == "shop" for body in manifests.objects if not is_upgrade_hook(body)
    )


def test_contex_runs_as_its_users_know_it() -> None:
    manifests = render()
    deployment = manifests.one("Deployment", "contex")
    container = manifests.container()
    assert container["name"] == "contex"
    assert container["image"] == "ghcr.io/cahoots-org/contex:0.1.10"
    assert [port["containerPort"] for port in container["ports"]] == [8001]
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["startupProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/api/v1/health/ready"
    assert deployment["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "contex",
        "app.kubernetes.io/instance": "contex",
    }
    # Without this the Service's own variable CONTEX_PORT=tcp://… would end Contex at its start.
    assert deployment["spec"]["template"]["spec"]["enableServiceLinks"] is False
    service = manifests.one("Service", "contex")["spec"]
    assert service["ports"][0]["port"] == 8001
    assert service["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert manifests.has("ServiceAccount", "contex")


def test_the_port_of_container_and_service_can_be_changed() -> None:
    manifests = render({"contex": {"port": 9000}, "service": {"port": 80}})
    assert manifests.container()["ports"][0]["containerPort"] == 9000
    assert manifests.one("Service", "contex")["spec"]["ports"][0]["port"] == 80


def test_an_autoscaled_deployment_has_no_replica_count_of_its_own() -> None:
    assert "replicas" not in render().one("Deployment", "contex")["spec"]
    assert render().one("HorizontalPodAutoscaler")["spec"]["minReplicas"] == 2
    fixed = render({"autoscaling": {"enabled": False}, "replicaCount": 3})
    assert fixed.one("Deployment", "contex")["spec"]["replicas"] == 3
    assert not fixed.has("HorizontalPodAutoscaler")


def test_an_image_can_be_pinned_by_digest() -> None:
    digest = "sha256:" + "a" * 64
    manifests = render({"image": {"digest": digest}, "operator": {"image": {"digest": digest}}})
    assert manifests.container()["image"] == f"ghcr.io/cahoots-org/contex@{digest}"
    assert manifests.container("contex-operator")["image"].endswith(f"contex-redis-operator@{digest}")


def test_a_service_monitor_is_rendered_where_the_cluster_knows_it() -> None:
    api = ["--api-versions", "monitoring.coreos.com/v1/ServiceMonitor"]
    assert not render().has("ServiceMonitor")
    monitor = render(args=api).one("ServiceMonitor")
    assert monitor["spec"]["endpoints"][0]["path"] == "/api/v1/metrics"
    assert not render(nested("serviceMonitor.enabled", False), args=api).has("ServiceMonitor")


@pytest.mark.parametrize(
    ("values", "has_operator"),
    [
        ({}, True),
        (nested("operator.enabled", False), False),
        (EXTERNAL, False),
        (merged(EXTERNAL, nested("operator.enabled", True)), True),
    ],
    ids=["own redis", "installed elsewhere", "external redis", "asked for"],
)
def test_the_operator_comes_with_the_redis_unless_said_otherwise(
    values: dict[str, Any], has_operator: bool
) -> None:
    manifests = render(values)
    assert manifests.has("Deployment", "contex-operator") is has_operator
    assert manifests.has("Role") is has_operator
    assert manifests.has("ContexRedis") is values.get("redis", {}).get("enabled", True)


def test_the_operator_alone_can_be_installed_for_all_namespaces() -> None:
    manifests = render(
        {
            "contex": {"enabled": False},
            "redis": {"enabled": False},
            "operator": {"enabled": True, "clusterWide": True},
        },
        release="operator",
        namespace="redis-system",
    )
    kinds = sorted(body["kind"] for body in manifests.objects if not is_upgrade_hook(body))
    assert kinds == ["ClusterRole", "ClusterRoleBinding", "Deployment", "ServiceAccount"]
    name = "operator-contex-operator"
    assert manifests.environment(name)["WATCH_NAMESPACE"] == ""
    binding = manifests.one("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == manifests.one("ClusterRole")["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "redis-system"}]


def test_two_cluster_wide_releases_of_one_name_share_no_cluster_object() -> None:
    values = nested("operator.clusterWide", True)
    first, second = render(values, namespace="a"), render(values, namespace="b")
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        assert first.hooks(kind)[0]["metadata"]["name"] != second.hooks(kind)[0]["metadata"]["name"]
        assert first.one(kind)["metadata"]["name"] != second.one(kind)["metadata"]["name"]


def test_pods_of_contex_and_of_the_operator_are_told_apart() -> None:
    manifests = render(SENTINEL_AUTH)
    labels = {
        body["metadata"]["name"]: body["spec"]["template"]["metadata"]["labels"].items()
        for body in manifests.all("Deployment")
    }
    service = manifests.one("Service", "contex")["spec"]["selector"].items()
    assert service <= labels["contex"]
    assert not service <= labels["contex-operator"]
    test_pod = manifests.one("Pod")["metadata"]["labels"].items()
    assert not service <= test_pod


def test_the_resource_is_called_after_the_release() -> None:
    assert render().one("ContexRedis")["metadata"]["name"] == "contex-redis"
    assert render(release="shop").one("ContexRedis")["metadata"]["name"] == "shop-contex-redis"
    long = render(release="contex-" + "x" * 46)
    name = long.one("ContexRedis")["metadata"]["name"]
    assert len(name) <= 43
    assert re.fullmatch(r"contex-x+-redis", name)
    environment = long.environment("contex-" + "x" * 46)
    assert environment["REDIS_URL"] == f"{name}-contex-env/url"


def test_every_value_of_redis_reaches_the_resource() -> None:
    spec = render(EVERYTHING).spec()
    redis = EVERYTHING["redis"]
    for field in ("durability", "nodeSelector", "tolerations", "affinity", "podLabels", "podAnnotations"):
        assert spec[field] == redis[field], field
    assert spec["priorityClassName"] == "high"
    # YAML's booleans and floats become words of redis.conf again, whole and without exponent.
    assert spec["config"] == {
        "maxmemory-policy": "noeviction",
        "timeout": "0",
        "activedefrag": "yes",
        "lfu-decay-time": "1000000",
    }
    assert spec["securityContext"] == {"runAsUser": None, "fsGroup": 1000670000}
    assert spec["persistence"]["storageClassName"] == "fast"
    assert spec["sentinel"]["replicas"] == 5
    assert "quorum" not in spec["sentinel"]
    assert spec["sentinel"]["downAfterMilliseconds"] == 600000
    assert spec["sentinel"]["failoverTimeoutMilliseconds"] == 3000000
    assert spec["contex"]["database"] == 3
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["image"] == "redis:7-alpine"


def test_large_numbers_are_written_out() -> None:
    manifests = render(
        {"contex": {"similarity": {"maxContextSize": 1048576}, "redis": {"maxConnections": 100000}}}
    )
    assert manifests.environment()["MAX_CONTEXT_SIZE"] == "1048576"
    assert manifests.environment()["REDIS_MAX_CONNECTIONS"] == "100000"


def test_the_helm_test_writes_through_the_sentinels_that_the_release_has() -> None:
    def env(values: dict[str, Any]) -> dict[str, Any]:
        entries = render(values).one("Pod")["spec"]["containers"][0]["env"]
        return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}

    plain = env({})
    assert plain == {"MASTER": "contex-redis-master", "DATABASE": "0"}
    full = env(merged(SENTINEL_AUTH, nested("contex.redis.sentinel.db", 2)))
    assert full["SENTINELS"] == SENTINELS
    assert full["DATABASE"] == "2"
    assert full["REDIS_PASSWORD"] == {"secretKeyRef": {"name": "contex-redis-auth-active", "key": "password"}}
    assert full["SENTINEL_PASSWORD"]["secretKeyRef"]["key"] == "sentinel-password"
    assert not render(EXTERNAL).has("Pod")


def test_contex_waits_for_its_own_redis_only() -> None:
    waiting = {entry["name"]: entry["value"] for entry in render(SENTINEL).container(init=True)["env"]}
    assert waiting == {"MASTER": "contex-redis-master", "NODES": "contex-redis-nodes", "SENTINELS": SENTINELS}
    waiting = {entry["name"]: entry["value"] for entry in render().container(init=True)["env"]}
    assert waiting == {"MASTER": "contex-redis-master"}
    for values in (EXTERNAL, nested("contex.redis.waitForRedis", False)):
        assert "initContainers" not in render(values).one("Deployment", "contex")["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", ["wait-for-redis.sh", "test-redis.sh"])
def test_the_scripts_arrive_as_they_are(name: str) -> None:
    manifests = render(SENTINEL_AUTH)
    container = (
        manifests.container(init=True)
        if name == "wait-for-redis.sh"
        else manifests.one("Pod")["spec"]["containers"][0]
    )
    assert container["command"] == ["/bin/sh", "-c"]
    assert container["args"][0].strip() == (CHART / "files" / name).read_text().strip()


def test_a_new_version_of_the_chart_alone_changes_no_pod(tmp_path: Path) -> None:
    chart = tmp_path / "contex"
    for source in CHART.rglob("*"):
        if source.is_file():
            target = chart / source.relative_to(CHART)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    definition = chart / "Chart.yaml"
    definition.write_text(re.sub(r"(?m)^version: .*$", "version: 99.0.0", definition.read_text()))
    done = helm("template", "contex", str(chart))
    assert done.returncode == 0, done.stderr
    newer = Manifests(done.stdout)
    assert newer.one("Deployment", "contex")["metadata"]["labels"]["helm.sh/chart"] == "contex-99.0.0"
    for name in ("contex", "contex-operator"):
        assert newer.one("Deployment", name)["spec"] == render().one("Deployment", name)["spec"]
    assert newer.spec() == render().spec()


def test_a_changed_setting_rolls_contex() -> None:
    def checksum(values: dict[str, Any]) -> str:
        template = render(values).one("Deployment", "contex")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum({}) != checksum(nested("contex.logging.level", "DEBUG"))
    assert checksum({}) != checksum(nested("contex.redis.socketTimeout", 7))
    assert checksum({}) == checksum(nested("operator.replicas", 2))


def test_the_operator_s_metrics_have_a_named_port_that_its_probes_use() -> None:
    (operator,) = (
        body
        for body in render().all("Deployment")
        if "operator" in body["metadata"]["labels"]["app.kubernetes.io/name"]
    )
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    assert [(port["name"], port["containerPort"]) for port in container["ports"]] == [("metrics", 8080)]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "metrics"
