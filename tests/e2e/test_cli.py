"""`kubectl contexredis` on a real cluster: each of the documentation's six rows is provoked, named, and cured by the
command that doctor prints.

The command line is a process of its own that has a kubeconfig and nothing else.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
import redis

from tests.e2e.conftest import PROJECT, CreateContexRedis
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import RedisSet
from tests.e2e.test_contex import contex_deployment

pytestmark = pytest.mark.slow
SENTINEL_CLI = ("redis-cli", "-p", "26379", "SENTINEL")


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str


class Plugin:
    """The command line as a person has it, for one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace

    def env(self) -> dict[str, str]:
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(PROJECT / "operator")}
        if self._cluster.lab is not None:
            env["KUBECONFIG"] = str(self._cluster.lab.kubeconfig)
        else:
            env["KUBECONFIG"] = os.environ.get("KUBECONFIG", str(Path.home() / ".kube" / "config"))
        return env

    def __call__(self, verb: str, *words: str, timeout_s: float = 120.0) -> Ended:
        command = [sys.executable, "-m", "contex_operator.cli", verb, "redis", "-n", self._namespace, *words]
        if self._cluster.context:
            command += ["--context", self._cluster.context]
        ran = subprocess.run(
            command, env=self.env(), capture_output=True, text=True, timeout=timeout_s, check=False
        )
        return Ended(ran.returncode, ran.stdout, ran.stderr)

    def findings(self) -> dict[str, list[dict[str, Any]]]:
        """doctor's findings by their ids. Notes are left out."""
        ended = self("doctor", "-o", "json")
        assert ended.code in (0, 1), ended
        told = json.loads(ended.stdout)
        found: dict[str, list[dict[str, Any]]] = {}
        for one in told["findings"]:
            if one["severity"] != "note":
                found.setdefault(one["id"], []).append(one)
        assert told["healthy"] is (not found)
        assert ended.code == (1 if found else 0)
        return found

    def finds(self, id: str, *, within_s: float = 90) -> list[dict[str, Any]]:
        """Wait until doctor finds it; what it found, which is kept for the documentation."""

        def look() -> list[dict[str, Any]]:
            found = self.findings()
            assert id in found, found
            return found[id]

        found = eventually(
            look, within_s=within_s, every_s=1, describe=f"doctor finds {id}", passing=(AssertionError,)
        )
        self.record(id)
        return found

    def heals(self, *, within_s: float = 120) -> None:
        """Wait until doctor finds nothing."""

        def look() -> bool:
            found = self.findings()
            assert not found, found
            return True

        eventually(
            look, within_s=within_s, every_s=1, describe="doctor finds nothing", passing=(AssertionError,)
        )

    def cure(self, findings: list[dict[str, Any]]) -> None:
        """Type what doctor printed."""
        for one in findings:
            ran = subprocess.run(
                ["sh", "-c", one["cure"]],
                env=self.env(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert ran.returncode == 0, (one, ran.stdout, ran.stderr)

    def record(self, name: str) -> None:
        """Where RECORD names a folder: what doctor prints now, as docs/troubleshooting.md shows it."""
        folder = os.environ.get("RECORD")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / f"{name}.txt").write_text(self("doctor").stdout.replace(self._namespace, "shop"))


@pytest.fixture
def plugin(cluster: Cluster, namespace: str) -> Plugin:
    return Plugin(cluster, namespace)


@pytest.fixture
def wired(contexredis: CreateContexRedis, cluster: Cluster, namespace: str) -> RedisSet:
    """A set with Contex wired to it, settled."""
    _, deployment = contex_deployment()
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        del container["env"]
    cluster.apply(deployment, namespace=namespace)
    redis_set = contexredis(contex={"deployments": [{"name": "contex"}]})
    eventually(
        lambda: redis_set.conditions().get("ContexWired", {}).get("status") == "True",
        within_s=90,
        describe="ContexWired",
    )
    cluster.kubectl("rollout", "status", "deployment/contex", "-n", namespace, "--timeout=90s")
    return redis_set


def set_env(cluster: Cluster, namespace: str, setting: str) -> None:
    cluster.kubectl("set", "env", "deployment/contex", setting, "-n", namespace)


def wrong_name(cluster: Cluster, redis_set: RedisSet) -> None:
    redis_set.configure(contex={"takeOver": False})
    set_env(cluster, redis_set.namespace, "REDIS_SENTINEL_MASTER=primary")


def deny_all(cluster: Cluster, redis_set: RedisSet) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny-all"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    cluster.apply(policy, namespace=redis_set.namespace)


def in_sentinels(cluster: Cluster, redis_set: RedisSet, *words: str) -> None:
    for pod in redis_set.sentinel_pods():
        cluster.kubectl("exec", pod, "-n", redis_set.namespace, "--", *SENTINEL_CLI, *words)


def quorum_of_five(cluster: Cluster, redis_set: RedisSet) -> None:
    redis_set.configure(paused=True)  # an operator that may act puts it right within seconds
    eventually(
        lambda: redis_set.resource()["status"].get("phase") == "Paused", within_s=30, describe="paused"
    )
    in_sentinels(cluster, redis_set, "SET", "mymaster", "quorum", "5")


def slow(cluster: Cluster, redis_set: RedisSet) -> None:
    redis_set.configure(sentinel={"downAfterMilliseconds": 9000, "failoverTimeoutMilliseconds": 30000})


def small_pool(cluster: Cluster, redis_set: RedisSet) -> None:
    redis_set.configure(contex={"maxConnections": 1})


def wrong_password(cluster: Cluster, redis_set: RedisSet) -> None:
    redis_set.configure(contex={"takeOver": False})
    set_env(cluster, redis_set.namespace, "REDIS_PASSWORD=none-of-ours")


ROWS: Mapping[str, Callable[[Cluster, RedisSet], None]] = {
    "contex-master-name": wrong_name,
    "network-policy": deny_all,
    "quorum-setting": quorum_of_five,
    "slow-failover-settings": slow,
    "contex-pool": small_pool,
    "contex-password": wrong_password,
}


def test_doctor_names_each_row_and_its_cure_cures_it(
    plugin: Plugin, wired: RedisSet, cluster: Cluster
) -> None:
    plugin.heals()
    plugin.record("healthy")
    for id, provoke in ROWS.items():
        provoke(cluster, wired)
        found = plugin.finds(id)
        plugin.cure(found)
        if wired.resource()["spec"].get("paused"):  # nobody else mends it
            assert id not in plugin.findings(), f"{id} is not cured"
        wired.configure(paused=False)
        plugin.heals()
    _split_brain(plugin, wired, cluster)
    plugin.heals()


def _split_brain(plugin: Plugin, redis_set: RedisSet, cluster: Cluster) -> None:
    """Sentinel and operator mend this by themselves within seconds: it is provoked until doctor has seen it."""
    redis_set.configure(paused=True)
    eventually(
        lambda: redis_set.resource()["status"].get("phase") == "Paused", within_s=30, describe="paused"
    )
    second = next(pod for pod, role in roles(redis_set).items() if role == "slave")

    def seen() -> list[dict[str, Any]]:
        promote(cluster, redis_set, second)
        return plugin.findings().get("two-masters", [])

    found = eventually(seen, within_s=60, describe="doctor sees two masters")
    assert second in found[0]["finding"]
    promote(cluster, redis_set, second)
    plugin.record("two-masters")
    promote(cluster, redis_set, second)
    plugin.cure(found[:1])
    assert roles(redis_set)[second] == "slave"
    redis_set.configure(paused=False)


def promote(cluster: Cluster, redis_set: RedisSet, pod: str) -> None:
    words = ("redis-cli", "REPLICAOF", "NO", "ONE")
    cluster.kubectl("exec", pod, "-n", redis_set.namespace, "--", *words)


def roles(redis_set: RedisSet) -> dict[str, str]:
    return {pod: str(info_of(node)["role"]) for pod, node in redis_set.nodes().items()}


def info_of(node: redis.Redis) -> dict[str, Any]:
    return cast("dict[str, Any]", node.info("replication"))


def test_status_switchover_pause_and_report(
    plugin: Plugin, wired: RedisSet, cluster: Cluster, tmp_path: Path
) -> None:
    status = json.loads(plugin("status", "-o", "json").stdout)
    assert status["master"] == "redis-master-0"
    assert {row["pod"] for row in status["pods"]} == set(wired.data_pods())
    assert all(row["ok"] for row in (*status["pods"], *status["sentinels"]))
    assert {row["link"] for row in status["pods"]} == {"–", "up"}
    text = plugin("status")
    assert text.code == 0
    assert "\x1b" not in text.stdout, "colours went into a pipe"
    for word in (*wired.data_pods(), *wired.sentinel_pods(), "FailoverReady", "Mi"):
        assert word in text.stdout

    moved = plugin("switchover", "--to", "redis-replica-0")
    assert moved.code == 0, moved
    assert "redis-replica-0" in moved.stdout
    assert wired.resource()["status"]["master"]["pod"] == "redis-replica-0"
    assert plugin("switchover", "--to", "redis-replica-7").code == 2

    assert plugin("pause").code == 0
    assert wired.resource()["spec"]["paused"] is True
    assert plugin("switchover").code == 1, "a paused operator moves nothing"
    assert plugin("resume").code == 0
    assert not wired.resource()["spec"].get("paused")

    file = tmp_path / "report.tar.gz"
    reported = plugin("report", "--file", str(file))
    assert reported.code == 0, reported
    assert wired.password is not None
    assert wired.sentinel_password is not None
    secrets = {
        form
        for password in (wired.password, wired.sentinel_password)
        for form in (password, quote(password, safe=""), base64.b64encode(password.encode()).decode())
    }
    with tarfile.open(file) as bundle:
        texts = {m.name: bundle.extractfile(m).read().decode() for m in bundle.getmembers() if m.isfile()}  # type: ignore[union-attr]
    assert not [(name, secret) for name, content in texts.items() for secret in secrets if secret in content]
    names = "\n".join(texts)
    for part in ("resource.yaml", "events", "logs/redis-master-0", "redis/redis-master-0", "doctor"):
        assert part in names
    assert any("redis_version" in content for content in texts.values())


def test_refusals_name_what_is_missing(
    plugin: Plugin, wired: RedisSet, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    assert wired.is_ready()
    ended = plugin("status", "--context", "no-such-context")
    assert (ended.code, ended.stdout) == (2, "")
    assert "no-such-context" in ended.stderr
    # A person who may look at the resource and at nothing else.
    cluster.kubectl("create", "serviceaccount", "guest", "-n", namespace)
    cluster.kubectl(
        "create",
        "role",
        "guest",
        "-n",
        namespace,
        "--verb=get,list",
        "--resource=contexredises.redis.contex.io",
    )
    cluster.kubectl(
        "create",
        "rolebinding",
        "guest",
        "-n",
        namespace,
        "--role=guest",
        f"--serviceaccount={namespace}:guest",
    )
    token = cluster.kubectl("create", "token", "guest", "-n", namespace).strip()
    config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
    for user in config["users"]:
        user["user"] = {"token": token}
    file = tmp_path / "guest.kubeconfig"
    file.write_text(json.dumps(config))
    ended = plugin("status", "--kubeconfig", str(file))
    assert ended.code == 2
    assert 'cannot list resource "pods"' in ended.stderr
    # … and one who may look at pods and not into them: what can be said is said, and what cannot.
    cluster.kubectl(
        "create",
        "role",
        "looker",
        "-n",
        namespace,
        "--verb=get,list",
        "--resource=pods,services,statefulsets.apps,persistentvolumeclaims",
    )
    cluster.kubectl(
        "create",
        "rolebinding",
        "looker",
        "-n",
        namespace,
        "--role=looker",
        f"--serviceaccount={namespace}:guest",
    )
    ended = plugin("status", "--kubeconfig", str(file))
    assert ended.code == 0, ended
    assert "pods/exec" in ended.stdout
    assert "redis-master-0" in ended.stdout
