"""The chart against a real API server: validation, rules for the resource, Pod Security, Helm's life cycle."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart.examples import EVERYTHING, EXTERNAL, EXTERNAL_SENTINEL, SENTINEL_AUTH
from tests.chart.rendering import CHART, DOCUMENTED, VALUES_HA, Manifests, helm, merged, nested, render
from tests.component.harness.cluster import ApiError, Cluster

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/contexredises.redis.contex.io"


class Releases:
    """helm install and its kin on one API server; every call has to succeed."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self._folder = cluster, folder

    def helm(
        self,
        verb: str,
        *argv: str,
        namespace: str,
        values: Any = None,
        refused: bool = False,
        binary: str = "helm",
    ) -> str:
        """What helm said. `refused`: it has to fail, and what it said of that."""
        if values is not None:
            given = self._folder / "values.json"
            given.write_text(json.dumps(values))
            argv = (*argv, "--values", str(given))
        done = helm(
            verb,
            *argv,
            "--namespace",
            namespace,
            binary=binary,
            env={"KUBECONFIG": str(self.cluster.kubeconfig), "HOME": str(self._folder), "PATH": "/nowhere"},
        )
        assert (done.returncode != 0) is refused, done.stdout + done.stderr
        # Warnings of the API server (Pod Security, unknown fields) come on stderr.
        assert refused or "WARNING" not in done.stderr.upper(), done.stderr
        return done.stderr if refused else done.stdout

    def get(self, namespace: str, name: str = "contex-redis") -> dict[str, Any]:
        """The ContexRedis."""
        return self.cluster.api(
            "GET", f"/apis/redis.contex.io/v1alpha1/namespaces/{namespace}/contexredises/{name}"
        )


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    """An API server that knows nothing of the project yet: the first install brings the CRD."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "cluster").mkdir()
    running = Cluster.start(folder / "cluster")
    try:
        yield Releases(running, folder)
    finally:
        running.stop()


@pytest.mark.parametrize("binary", ["helm", "helm4"])
def test_install_upgrade_uninstall_and_install_again(binary: str, releases: Releases) -> None:
    run = functools.partial(releases.helm, binary=binary)
    space = releases.cluster.namespace(labels=RESTRICTED)
    said = run("install", "contex", str(CHART), "-f", str(VALUES_HA), namespace=space)
    assert f"kubectl --namespace {space} wait --for=condition=Ready contexredis/contex-redis" in said
    assert releases.cluster.api("GET", CRD)["spec"]["names"]["kind"] == "ContexRedis"
    assert releases.get(space)["spec"]["mode"] == "sentinel"

    # No controller runs the Job of the upgrade's hook here: what it runs is tested below.
    more = merged(nested("redis.replica.replicaCount", 3), nested("crds.upgrade", False))
    run("upgrade", "contex", str(CHART), "-f", str(VALUES_HA), namespace=space, values=more)
    assert releases.get(space)["spec"]["replicas"] == 3
    run("rollback", "contex", "1", namespace=space)
    assert releases.get(space)["spec"]["replicas"] == 2

    run("uninstall", "contex", namespace=space)
    with pytest.raises(ApiError) as missing:
        releases.get(space)
    assert missing.value.status == 404
    assert releases.cluster.api("GET", CRD)["metadata"].get("deletionTimestamp") is None

    run("install", "contex", str(CHART), "-f", str(VALUES_HA), namespace=space)
    assert releases.get(space)["spec"]["mode"] == "sentinel"


def test_what_outlives_a_release_is_not_in_the_way_of_the_next(releases: Releases) -> None:
    space = releases.cluster.namespace()
    for name in ("contex-redis-auth", "contex-redis-auth-active", "contex-redis-contex-env"):
        body = {"metadata": {"name": name}, "data": {}}
        releases.cluster.api("POST", f"/api/v1/namespaces/{space}/secrets", body)
    values = merged(
        SENTINEL_AUTH, nested("redis.auth.password", "hush"), nested("contex.security.apiKeySalt", "x")
    )
    releases.helm("install", "contex", str(CHART), namespace=space, values=values)
    assert releases.get(space)["spec"]["auth"]["secretName"] == "contex-redis-password"


@pytest.mark.parametrize(
    ("values", "files"),
    [
        ({}, []),
        ({}, [DOCUMENTED]),
        (SENTINEL_AUTH, []),
        (EVERYTHING, []),
        (merged(SENTINEL_AUTH, nested("contex.redis.wiring", "operator")), []),
        (merged(SENTINEL_AUTH, nested("contex.redis.connection", "service")), []),
        (EXTERNAL, []),
        (EXTERNAL_SENTINEL, []),
        ({"ingress": {"enabled": True}, "operator": {"clusterWide": True}}, []),
        ({"autoscaling": {"targetCPUUtilizationPercentage": None}}, []),
    ],
    ids=[
        "default",
        "documented",
        "auth",
        "everything",
        "wired by the operator",
        "by Service",
        "external",
        "external sentinels",
        "cluster-wide",
        "one metric",
    ],
)
def test_the_api_server_takes_all_of_it(
    releases: Releases, values: dict[str, Any], files: list[Path]
) -> None:
    space = releases.cluster.namespace(labels=RESTRICTED)
    argv = [f"--values={path}" for path in files]
    releases.helm("install", "contex", str(CHART), *argv, namespace=space, values=values)
    if values.get("redis", {}).get("enabled", True):
        wanted = render(values, files=files, namespace=space).spec()
        assert contained(wanted, releases.get(space)["spec"]), "the API server pruned or changed a field"


def contained(wanted: Any, live: Any) -> bool:
    """Whether everything of `wanted` is in `live`, which has defaults besides."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            contained(value, live.get(key)) for key, value in wanted.items() if value is not None
        )
    return bool(wanted == live)


@pytest.mark.parametrize("values", [{}, SENTINEL_AUTH, EVERYTHING], ids=["default", "auth", "everything"])
def test_f62_pod_security_admits_every_pod(releases: Releases, values: dict[str, Any]) -> None:
    values = merged(values, nested("priorityClassName", "system-node-critical"))
    space = releases.cluster.namespace(labels=RESTRICTED)
    for name in ("contex", "contex-operator", "contex-operator-crd"):
        body = {"metadata": {"name": name}}
        releases.cluster.api("POST", f"/api/v1/namespaces/{space}/serviceaccounts", body)
    for name, spec in pod_specs(render(values, namespace=space)):
        pod = {"metadata": {"name": name}, "spec": spec}
        releases.cluster.api("POST", f"/api/v1/namespaces/{space}/pods?dryRun=All", pod)
        spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        with pytest.raises(ApiError, match="violates PodSecurity"):
            releases.cluster.api("POST", f"/api/v1/namespaces/{space}/pods?dryRun=All", pod)


def pod_specs(manifests: Manifests) -> list[tuple[str, dict[str, Any]]]:
    fresh = Manifests(manifests.text)  # changed by the caller
    found = [(body["metadata"]["name"], body["spec"]["template"]["spec"]) for body in fresh.all("Deployment")]
    found += [(body["metadata"]["name"], body["spec"]["template"]["spec"]) for body in fresh.hooks("Job")]
    return found + [(body["metadata"]["name"], body["spec"]) for body in fresh.all("Pod")]


def test_two_releases_live_in_one_namespace(releases: Releases) -> None:
    space = releases.cluster.namespace()
    values = merged(EVERYTHING, nested("operator.clusterWide", False))
    for name in ("contex", "shop"):
        releases.helm("install", name, str(CHART), namespace=space, values=values)
    assert releases.get(space, "shop-contex-redis")["spec"]["mode"] == "sentinel"


def test_releases_of_one_name_live_in_two_namespaces(releases: Releases) -> None:
    for space in (releases.cluster.namespace(), releases.cluster.namespace()):
        values = nested("operator.clusterWide", True)
        releases.helm("install", "contex", str(CHART), namespace=space, values=values)


def test_what_cannot_change_is_refused_and_leaves_the_release_as_it_was(releases: Releases) -> None:
    space = releases.cluster.namespace()
    releases.helm("install", "contex", str(CHART), namespace=space)
    before = releases.get(space)
    larger = merged(nested("redis.master.persistence.size", "9Gi"), nested("crds.upgrade", False))
    said = releases.helm("upgrade", "contex", str(CHART), namespace=space, values=larger, refused=True)
    assert "persistence.size cannot be changed" in said
    assert releases.get(space)["spec"] == before["spec"]


def test_notes_name_commands_that_fit_the_release(releases: Releases) -> None:
    space = releases.cluster.namespace()
    said = releases.helm("install", "shop", str(CHART), "-f", str(VALUES_HA), namespace=space)
    assert f"kubectl --namespace {space} exec shop-contex-redis-sentinel-0 -- redis-cli -p 26379" in said
    assert f"kubectl --namespace {space} rollout status deployment/shop-contex" in said
    assert f"helm test shop --namespace {space}\n" in said
    assert "asks for no password" not in said
    old = releases.helm("install", "contex", str(CHART), "-f", str(DOCUMENTED), namespace=space)
    assert "names of the Redis chart that was bundled before" in old
    assert "asks for no password" in old
    single = releases.helm("install", "one", str(CHART), namespace=space)
    assert "one pod without failover" in single
    assert "SENTINEL" not in single
    given = merged(
        nested("redis.auth", {"enabled": True, "password": "hush"}), nested("operator.enabled", False)
    )
    plain = releases.helm("install", "two", str(CHART), namespace=space, values=given)
    assert "The password stands in the values" in plain
    assert "hush" not in plain
    assert "No operator is part of this release" in plain
    external = releases.helm("install", "three", str(CHART), namespace=space, values=EXTERNAL)
    assert "ContexRedis" not in external
    assert "uninstall" not in external
