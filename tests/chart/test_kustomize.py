"""k8s/: the documented keys and entries, every overlay built, and applied to a real API server, twice and changed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from contex_operator import contexshim, names
from contex_operator.spec import parse

from lab.tools import tool
from tests.chart.examples import SENTINEL_AUTH
from tests.chart.kustomize import K8S, OPERATOR, OVERLAYS, build, kustomize, operator
from tests.chart.rendering import Manifests, render
from tests.component.harness.cluster import Cluster

# What Contex' own manifests have, and the guide names.
KEYS = [
    "redis_mode",
    "redis_url",
    "redis_max_connections",
    "redis_socket_timeout",
    "redis_socket_connect_timeout",
    "redis_socket_keepalive",
    "redis_retry_on_timeout",
    "redis_health_check_interval",
    "redis_sentinel_hosts",
    "redis_sentinel_master",
    "redis_db",
    "opensearch_url",
    "similarity_threshold",
    "max_matches",
    "max_context_size",
    "hybrid_search_enabled",
    "rrf_k",
    "vector_boost",
    "rate_limit_enabled",
    "rate_limit_requests",
    "cors_origins",
    "log_level",
    "log_json",
    "tracing_enabled",
]
SENTINELS = ",".join(f"redis-sentinel-{i}.redis-sentinel:26379" for i in range(3))


def contex(manifests: Manifests) -> dict[str, Any]:
    (container,) = manifests.one("Deployment", "contex")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def environment(manifests: Manifests) -> dict[str, str]:
    """Contex' environment as the kubelet resolves it; of Secrets `secret/key`, and a "?" where it may be missing."""
    settings = manifests.one("ConfigMap", "contex-config")["data"]
    found: dict[str, str] = {}
    for entry in contex(manifests).get("env", []):
        if "value" in entry:
            found[entry["name"]] = entry["value"]
            continue
        (kind, source), *more = entry["valueFrom"].items()
        assert not more, entry
        if kind == "configMapKeyRef":
            assert source["name"] == "contex-config"
            found[entry["name"]] = settings[source["key"]]
        else:
            optional = "?" if source.get("optional") else ""
            found[entry["name"]] = f"{source['name']}/{source['key']}{optional}"
    return found


def test_contex_config_has_the_documented_keys() -> None:
    data = build("base").one("ConfigMap", "contex-config")["data"]
    assert sorted(data) == sorted(KEYS)
    assert data["redis_mode"] == "standalone"
    assert data["redis_sentinel_hosts"] == SENTINELS
    assert data["redis_sentinel_master"] == "mymaster"
    assert data["redis_db"] == "0"


def test_the_deployment_reads_every_key_as_documented() -> None:
    entries = {entry["name"]: entry["valueFrom"] for entry in contex(build("base"))["env"]}
    for key in KEYS:
        assert entries[key.upper()] == {"configMapKeyRef": {"name": "contex-config", "key": key}}


def test_contex_gets_the_same_environment_as_from_the_chart() -> None:
    charts = render(SENTINEL_AUTH).environment()
    ours = environment(build("overlays/sentinel"))
    # The chart leaves out what its mode does not read and what is empty.
    assert set(ours) - set(charts) == {"REDIS_URL", "OPENSEARCH_URL", "API_KEY_SALT"}
    same = set(charts) - {"VECTOR_BOOST", "PYTHONPATH"}  # 1 and 1.0; tested below
    assert {
        name: value.replace("contex-redis-", "redis-") for name, value in charts.items() if name in same
    } == {name: ours[name] for name in same}


@pytest.mark.parametrize("overlay", ["sentinel", "prod"])
def test_contex_asks_the_sentinels_with_the_passwords_that_redis_has(overlay: str) -> None:
    found = environment(build(f"overlays/{overlay}"))
    assert found["REDIS_MODE"] == "sentinel"
    assert found["REDIS_SENTINEL_HOSTS"] == SENTINELS
    assert found["REDIS_PASSWORD"] == "redis-auth-active/password"
    assert found["REDIS_SENTINEL_PASSWORD"] == "redis-auth-active/sentinel-password"


@pytest.mark.parametrize("overlay", ["standalone", "dev"])
def test_the_address_of_one_redis_comes_from_the_operators_secret(overlay: str) -> None:
    found = environment(build(f"overlays/{overlay}"))
    assert found["REDIS_MODE"] == "standalone"
    assert found["REDIS_URL"] == "redis-contex-env/url"


def test_gitops_sets_nothing_that_the_operator_keeps() -> None:
    manifests = build("overlays/gitops")
    assert not [name for name in environment(manifests) if name.startswith("REDIS_")]
    name = names.Children("redis").contex_env
    assert contex(manifests)["envFrom"] == [{"configMapRef": {"name": name}}, {"secretRef": {"name": name}}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_resource_is_one_that_the_operator_takes(overlay: str) -> None:
    manifests = build(f"overlays/{overlay}")
    body = manifests.one("ContexRedis")
    spec = parse(body)
    assert body["metadata"]["name"] == "redis"
    is_sentinel = overlay not in ("standalone", "dev")
    assert spec.mode == ("sentinel" if is_sentinel else "standalone")
    assert spec.contex.wiring == ("configMap" if overlay == "gitops" else "none")
    assert spec.contex.connection == ("sentinel" if is_sentinel else "service")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_operator_has_its_rights_where_it_runs(overlay: str) -> None:
    manifests = build(f"overlays/{overlay}")
    account = manifests.one("ServiceAccount", "contex-operator")["metadata"]
    binding = manifests.one("RoleBinding")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    ]
    assert binding["metadata"]["namespace"] == manifests.one("Role")["metadata"]["namespace"]
    assert account["namespace"] == manifests.one("Deployment", "contex-operator")["metadata"]["namespace"]
    watched = {
        entry["name"]: entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        for entry in manifests.container("contex-operator")["env"]
    }
    assert watched["WATCH_NAMESPACE"] == "metadata.namespace"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_contex_that_asks_sentinels_is_given_what_it_needs_for_that(overlay: str) -> None:
    manifests = build(f"overlays/{overlay}")
    pod = manifests.one("Deployment", "contex")["spec"]["template"]["spec"]
    assert ("PYTHONPATH" in environment(manifests)) is (overlay not in ("standalone", "dev"))
    for volume in pod["volumes"]:
        if volume["name"] == contexshim.VOLUME:
            shim = manifests.one("ConfigMap", volume["configMap"]["name"])
            assert shim["data"] == contexshim.data()
            assert contexshim.mount() in contex(manifests)["volumeMounts"]
            assert environment(manifests)["PYTHONPATH"] == contexshim.entry(None)["value"]


def test_the_operators_manifests_are_made_of_the_chart() -> None:
    assert OPERATOR.read_text() == operator(), "run: python -m tests.chart.kustomize"


def test_prod_is_spread_and_guarded() -> None:
    manifests = build("overlays/prod")
    for name in ("contex", "contex-operator"):
        spread = manifests.one("Deployment", name)["spec"]["template"]["spec"]["topologySpreadConstraints"]
        by_key = {each["topologyKey"]: each["whenUnsatisfiable"] for each in spread}
        assert by_key["kubernetes.io/hostname"] == "DoNotSchedule", name
    assert manifests.one("Deployment", "contex-operator")["spec"]["replicas"] == 2
    selector = manifests.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert selector == {names.LABEL_CLUSTER: manifests.one("ContexRedis")["metadata"]["name"]}
    allowed = [
        peer["podSelector"]["matchLabels"]
        for peer in manifests.one("NetworkPolicy")["spec"]["ingress"][0]["from"]
    ]
    for name in ("contex", "contex-operator"):
        labels = manifests.one("Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert any(each.items() <= labels.items() for each in allowed), name


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """k8s/ and the chart, to be changed."""
    shutil.copytree(K8S, tmp_path / "k8s")
    shutil.copytree(K8S.parent / "helm", tmp_path / "helm")
    return tmp_path / "k8s"


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_setting_rolls_contex(key: str, tree: Path) -> None:
    path = tree / "base" / "configmap.yaml"
    path.write_text(re.sub(rf'(?m)^  {key}: ".*"$', f'  {key}: "other"', path.read_text()))
    changed = Manifests(kustomize(tree / "base"))
    assert changed.one("ConfigMap")["data"][key] == "other"
    assert template(changed) != template(build("base"))


@pytest.mark.parametrize("folder", ["base", *(f"overlays/{overlay}" for overlay in OVERLAYS)])
def test_the_pods_carry_the_settings_that_they_get(folder: str) -> None:
    """So those that an overlay patches, too; or its change would roll nothing."""
    manifests = build(folder)
    data = manifests.one("ConfigMap", "contex-config")["data"]
    order = yaml.safe_load((K8S / "base" / "configmap.yaml").read_text())["data"]
    carried = template(manifests)["metadata"]["annotations"]["contex.io/settings"]
    assert carried == "|".join(data[key] for key in order)


def template(manifests: Manifests) -> Any:
    return manifests.one("Deployment", "contex")["spec"]["template"]


class Kubectl:
    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self._environment = {"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(folder), "PATH": "/nowhere"}

    def __call__(self, *words: str) -> str:
        """What kubectl said; it has to succeed, and to warn of nothing."""
        done = subprocess.run(
            [str(tool("kubectl")), *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Warning" not in done.stderr, done.stderr
        return done.stdout

    def versions(self, folder: Path) -> dict[str, str]:
        """The resourceVersion of all that an overlay has."""
        items = json.loads(self("get", "-k", str(folder), "-o", "json"))["items"]
        return {
            f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for item in items
        }

    def object(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", kind, name, "-n", namespace, "-o", "json"))
        return found


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """An API server that knows the definition, by the command that the README names."""
    folder = tmp_path_factory.mktemp("kustomize") / "cluster"
    folder.mkdir()
    running = Cluster.start(folder)
    try:
        found = Kubectl(running, folder)
        found("apply", "--server-side", "-k", str(K8S / "crds"))
        found("wait", "--for=condition=Established", "crd/contexredises.redis.contex.io", "--timeout=60s")
        yield found
    finally:
        running.stop()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_applied_again_and_changed(overlay: str, kubectl: Kubectl, tree: Path) -> None:
    folder = tree / "overlays" / overlay
    manifests = build(f"overlays/{overlay}")
    space = manifests.one("ContexRedis")["metadata"]["namespace"]
    words = ("apply", "-k", str(folder))
    kubectl(*words)
    first = kubectl.versions(folder)
    kubectl(*words)
    # "configured" may be said all the same: kubectl sends a budget's selector whole each time.
    assert kubectl.versions(folder) == first

    path = tree / "base" / "configmap.yaml"
    path.write_text(path.read_text().replace('redis_max_connections: "50"', 'redis_max_connections: "70"'))
    before = kubectl.object("deployment", "contex", space)["spec"]["template"]
    kubectl(*words)
    assert kubectl.object("deployment", "contex", space)["spec"]["template"] != before
    assert kubectl.object("contexredis", "redis", space)["spec"]["mode"] == manifests.spec()["mode"]


@pytest.mark.parametrize("overlay", ["dev", "gitops", "prod"])
def test_pod_security_admits_its_pods(overlay: str, kubectl: Kubectl) -> None:
    manifests = build(f"overlays/{overlay}")
    kubectl("apply", "-k", str(K8S / "overlays" / overlay))
    assert (
        manifests.one("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )
    space = manifests.one("Namespace")["metadata"]["name"]
    for name in ("contex", "contex-operator"):
        pod = {
            "metadata": {"name": name},
            "spec": manifests.one("Deployment", name)["spec"]["template"]["spec"],
        }
        kubectl.cluster.api("POST", f"/api/v1/namespaces/{space}/pods?dryRun=All", pod)
