"""The definition of ContexRedis and `helm upgrade`: the hook as it is rendered, and what it runs, on a real API server
with the rights that the hook has and no others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.tools import tool
from tests.chart.examples import EXTERNAL
from tests.chart.rendering import CHART, ROOT, Manifests, nested, render
from tests.component.harness.cluster import ApiError, Cluster
from tests.component.harness.processes import wait_until

CRD_FILE = CHART / "crds" / "contexredises.yaml"
CRD: dict[str, Any] = yaml.safe_load(CRD_FILE.read_text())
PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
VERSION = "redis.contex.io/version"
OWN = f"{PATH}/{CRD['metadata']['name']}"


def test_the_definition_carries_the_charts_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert CRD["metadata"]["annotations"][VERSION] == chart["version"]


def test_the_hook_runs_before_an_upgrade_and_leaves_nothing() -> None:
    hooks = [body for kind in KINDS for body in render().hooks(kind)]
    assert [body["kind"] for body in hooks] == list(KINDS)
    for body in hooks:
        annotations = body["metadata"]["annotations"]
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
        # What the Job needs is there before it.
        assert annotations["helm.sh/hook-weight"] == ("-1" if body["kind"] == "Job" else "-2")


KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "Job")


def test_the_hook_brings_the_charts_own_file() -> None:
    (config,) = render().hooks("ConfigMap")
    assert config["data"] == {"contexredises.yaml": CRD_FILE.read_text()}


@pytest.mark.parametrize(
    "values",
    [nested("crds.upgrade", False), nested("operator.enabled", False), EXTERNAL],
    ids=["unwanted", "operator elsewhere", "external"],
)
def test_the_definition_is_kept_where_the_operator_comes_from(values: dict[str, Any]) -> None:
    manifests = render(values)
    assert not [kind for kind in KINDS if manifests.hooks(kind)]


def test_it_may_touch_this_definition_and_nothing_else() -> None:
    (role,) = render().hooks("ClusterRole")
    assert role["rules"] == [
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "resourceNames": ["contexredises.redis.contex.io"],
            "verbs": ["get", "update"],
        }
    ]


class Hook:
    """What the Job runs, as a user with the rights of the hook's role."""

    def __init__(self, cluster: Cluster, manifests: Manifests) -> None:
        self.cluster = cluster
        (role,), (job,) = manifests.hooks("ClusterRole"), manifests.hooks("Job")
        self._kubeconfig = cluster.user(role["rules"])
        command = job["spec"]["template"]["spec"]["containers"][0]["command"]
        assert command[0] == "python"
        assert command[-1] == "/crds/contexredises.yaml"
        self._argv = [sys.executable, *command[1:-1]]

    def run(self, path: Path = CRD_FILE) -> subprocess.CompletedProcess[str]:
        environment = {"KUBECONFIG": str(self._kubeconfig), "PYTHONPATH": str(ROOT / "operator")}
        return subprocess.run(
            [*self._argv, str(path)],
            env=environment | {"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def live(self) -> dict[str, Any]:
        return self.cluster.api("GET", OWN)

    def install(self, *, version: str | None, fields: tuple[str, ...] = (), without: str = "") -> None:
        """As another version of the chart left it: with further fields of the spec, or without one."""
        body = yaml.safe_load(CRD_FILE.read_text())
        body["metadata"]["annotations"] = {} if version is None else {VERSION: version}
        spec = properties(body)
        for field in fields:
            spec[field] = {"type": "string"}
        spec.pop(without, None)
        if self.is_gone() != "ok":
            self.remove()
        self.cluster.api("POST", PATH, body)

    def remove(self) -> None:
        self.cluster.api("DELETE", OWN)
        wait_until(self.is_gone, within_s=20, what="the definition to go")

    def is_gone(self) -> str:
        try:
            self.live()
        except ApiError as error:
            return "ok" if error.status == 404 else str(error)
        return "still there"


def properties(definition: dict[str, Any]) -> dict[str, Any]:
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: dict[str, Any] = schema["properties"]["spec"]["properties"]
    return found


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hook]:
    folder = tmp_path_factory.mktemp("crd") / "cluster"
    folder.mkdir()
    running = Cluster.start(folder)
    try:
        yield Hook(running, render())
    finally:
        running.stop()


def test_an_older_definition_gets_what_is_new_and_loses_whatis_gone(hook: Hook) -> None:
    hook.install(version=None, fields=("former",), without="paused")
    done = hook.run()
    assert done.returncode == 0, done.stderr
    live = hook.live()
    assert live["metadata"]["annotations"][VERSION] == CRD["metadata"]["annotations"][VERSION]
    assert set(properties(live)) == set(properties(CRD))
    assert "it was none" in done.stdout

    again = hook.run()
    assert (again.returncode, "already" in again.stdout) == (0, True), again.stderr
    assert hook.live()["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]


def test_a_newer_definition_stays_as_it_is(hook: Hook) -> None:
    hook.install(version="99.0.0", fields=("future",))
    before = hook.live()
    done = hook.run()
    assert done.returncode == 0, done.stderr
    assert "newer than" in done.stdout
    assert hook.live()["spec"] == before["spec"]


def test_another_definition_is_out_of_reach(hook: Hook, tmp_path: Path) -> None:
    body = yaml.safe_load(CRD_FILE.read_text().replace("contexredis", "otherredis"))
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(body))
    done = hook.run(path)
    assert done.returncode == 1
    assert "403 Forbidden" in done.stderr


def test_a_definition_that_is_missing_is_said_with_what_installs_it(hook: Hook) -> None:
    hook.install(version=None)
    hook.remove()
    done = hook.run()
    assert done.returncode == 1
    assert "kubectl apply --server-side -f helm/contex/crds/" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_hook_the_readmes_command_does_it(hook: Hook) -> None:
    command = "kubectl apply --server-side --force-conflicts -f helm/contex/crds/"
    assert f"`{command}`" in (CHART / "README.md").read_text()
    hook.install(version="0.1.0", without="paused")
    done = subprocess.run(
        [str(tool("kubectl")), *command.split()[1:]],
        cwd=ROOT,
        env={"KUBECONFIG": str(hook.cluster.kubeconfig), "HOME": str(hook.cluster.folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "paused" in properties(hook.live())
    again = hook.run()
    assert (again.returncode, "already" in again.stdout) == (0, True), again.stderr
