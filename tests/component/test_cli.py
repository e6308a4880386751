"""`kubectl contexredis` against a real API server: what it refuses, how it follows a wish."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from contex_operator import names
from contex_operator.cli import app
from contex_operator.kube import Kube
from contex_operator.resources import CONTEX_REDIS, EVENT

from tests.component.harness.cluster import Cluster
from tests.component.harness.proxy import FaultyProxy

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
WITHIN_S = 60
READS = {"apiGroups": [names.GROUP], "resources": [names.PLURAL], "verbs": ["get", "list"]}


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str


Run = Callable[..., Coroutine[Any, Any, Ended]]


@pytest.fixture
def run(
    cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """`await run("status", "redis")`: in the test's namespace, as administrator unless another kubeconfig is named."""
    own = namespace

    async def command(
        *words: str,
        kubeconfig: Path | None = None,
        env: Mapping[str, str] | None = None,
        namespace: str = own,
    ) -> Ended:
        with monkeypatch.context() as patch:
            for variable in ("KUBERNETES_SERVICE_HOST", "NO_COLOR", "FORCE_COLOR"):
                patch.delenv(variable, raising=False)
            for variable, value in (
                {"KUBECONFIG": str(kubeconfig or cluster.kubeconfig)} | dict(env or {})
            ).items():
                patch.setenv(variable, value)
            try:
                async with asyncio.timeout(WITHIN_S):
                    code = await asyncio.to_thread(app.main, [*words, "-n", namespace])
            except SystemExit as error:
                code = int(str(error.code))
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return command


def test_the_console_script_is_a_process_with_an_exit_code(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "contex_operator.cli", "status", "--kubeconfig", str(tmp_path / "none")]
    env = {"PYTHONPATH": str(OPERATOR), "HOME": str(tmp_path)}
    ended = subprocess.run(words, capture_output=True, text=True, env=env, timeout=WITHIN_S, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        f"kubectl contexredis: --kubeconfig {tmp_path / 'none'}: there is no such file"
    ]


async def create(kube: Kube, namespace: str, name: str = "redis", **status: Any) -> dict[str, Any]:
    """A ContexRedis, and what an operator would have written about it."""
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"mode": "sentinel"},
    }
    await kube.create(CONTEX_REDIS, body)
    status = {"phase": "Ready", "master": {"pod": f"{name}-master-0", "address": "10.0.0.1"}} | status
    return await kube.merge_patch(CONTEX_REDIS, namespace, name, {"status": status}, subresource="status")


async def until(kube: Kube, namespace: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the resource is as it should be, as the operator does that is played here."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            resource = await kube.get(CONTEX_REDIS, namespace, "redis")
            if resource is not None and holds(resource):
                return resource
            await asyncio.sleep(0.05)


def asked(resource: Mapping[str, Any]) -> str | None:
    """What the annotation asks for."""
    found: str | None = (resource["metadata"].get("annotations") or {}).get(names.ANNOTATION_SWITCHOVER)
    return found


async def take_off(kube: Kube, namespace: str) -> None:
    patch = {"metadata": {"annotations": {names.ANNOTATION_SWITCHOVER: None}}}
    await kube.merge_patch(CONTEX_REDIS, namespace, "redis", patch)


class TestRefusals:
    async def test_there_is_no_such_resource(self, run: Run, kube: Kube, namespace: str) -> None:
        nothing = await run("status", "redis")
        assert nothing.code == 2
        assert f"there is no ContexRedis redis: namespace {namespace} has no ContexRedis" in nothing.stderr
        await create(kube, namespace)
        await create(kube, namespace, "cache")
        mistyped = await run("status", "rediss")
        assert (mistyped.code, mistyped.stdout) == (2, "")
        assert "did you mean redis?" in mistyped.stderr
        unnamed = await run("status")
        assert unnamed.code == 2
        assert "name one: cache, redis" in unnamed.stderr

    async def test_there_is_no_such_namespace_and_where_there_are_some(
        self, run: Run, kube: Kube, namespace: str
    ) -> None:
        await create(kube, namespace)
        ended = await run("status", "redis", namespace="no-such")
        assert ended.code == 2
        assert "there is no namespace no-such; there are some in" in ended.stderr
        assert namespace in ended.stderr

    async def test_the_crd_is_missing(self, run: Run, proxy: FaultyProxy) -> None:
        proxy.answer(404, path="contexredises", reason="NotFound")
        ended = await run("doctor", kubeconfig=proxy.kubeconfig)
        assert ended.code == 2
        assert "its CRD is missing; install the chart" in ended.stderr

    async def test_a_verb_is_forbidden(self, run: Run, kube: Kube, cluster: Cluster, namespace: str) -> None:
        nobody = await run("status", kubeconfig=cluster.user([], namespace=namespace))
        assert nobody.code == 2
        assert 'cannot list resource "contexredises"' in nobody.stderr
        assert "kubectl auth can-i" in nobody.stderr
        await create(kube, namespace)
        reader = await run("pause", "redis", kubeconfig=cluster.user([READS], namespace=namespace))
        assert reader.code == 2
        assert 'cannot patch resource "contexredises"' in reader.stderr

    async def test_there_is_no_cluster(self, run: Run, proxy: FaultyProxy, tmp_path: Path) -> None:
        missing = await run("status", "--kubeconfig", str(tmp_path / "none"))
        assert missing.code == 2
        assert "there is no such file" in missing.stderr
        await proxy.refuse()
        refused = await run("status", kubeconfig=proxy.kubeconfig)
        assert refused.code == 2
        assert f"no connection to {proxy.host}" in refused.stderr
        assert "--context" in refused.stderr

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("statu",), "invalid choice: 'statu'"),
            (("status", "-o", "yaml"), "invalid choice: 'yaml'"),
            (("switchover", "--timeout", "soon"), "soon is not a number of seconds between 1 and 3600"),
            (("status", "a", "b"), "unrecognized arguments: b"),
        ],
    )
    async def test_a_command_line_that_makes_no_sense(
        self, run: Run, words: tuple[str, ...], said: str
    ) -> None:
        ended = await run(*words)
        assert (ended.code, ended.stdout) == (2, "")
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr


class TestStatus:
    async def test_of_a_resource_without_pods(self, run: Run, kube: Kube, namespace: str) -> None:
        await create(kube, namespace, master=None)
        ended = await run("status", "redis", env={"FORCE_COLOR": "1"})
        assert ended.code == 0
        assert "redis-master-0" in ended.stdout
        assert "no pod" in ended.stdout
        assert "\x1b[" in ended.stdout
        plain = await run("status", "redis", env={"FORCE_COLOR": "1", "NO_COLOR": "1"})
        assert "\x1b[3" not in plain.stdout, "NO_COLOR was set"
        piped = await run("status", "redis")
        assert "\x1b" not in piped.stdout
        told = json.loads((await run("status", "redis", "-o", "json")).stdout)
        assert [row["ok"] for row in told["pods"]] == [False, False, False]

    async def test_what_doctor_says_of_a_resource_that_nobody_looks_after(
        self, run: Run, kube: Kube, namespace: str
    ) -> None:
        await create(kube, namespace)
        ended = await run("doctor", "redis", "-o", "json")
        assert ended.code == 1
        found = {one["id"] for one in json.loads(ended.stdout)["findings"]}
        assert {"operator-silent", "pod-not-ready", "quorum-lost"} <= found

    async def test_with_the_documented_rights_everything_can_be_looked_at(
        self, run: Run, kube: Kube, cluster: Cluster, namespace: str
    ) -> None:
        await create(kube, namespace)
        rules = documented_rules()
        whole = await run(
            "doctor", "redis", "-o", "json", kubeconfig=cluster.user(rules, namespace=namespace)
        )
        assert "cannot-look" not in {one["id"] for one in json.loads(whole.stdout)["findings"]}
        for missing in ("networkpolicies", "deployments", "services"):
            fewer = [{**rule, "resources": [r for r in rule["resources"] if r != missing]} for rule in rules]
            fewer = [rule for rule in fewer if rule["resources"]]
            part = await run(
                "doctor", "redis", "-o", "json", kubeconfig=cluster.user(fewer, namespace=namespace)
            )
            unseen = [
                one["proof"] for one in json.loads(part.stdout)["findings"] if one["id"] == "cannot-look"
            ]
            assert len(unseen) == 1
            assert f'cannot list resource "{missing}"' in unseen[0]


class TestWishes:
    async def test_a_switchover_is_followed_to_its_end(self, run: Run, kube: Kube, namespace: str) -> None:
        await create(kube, namespace)
        command = asyncio.create_task(run("switchover", "redis", "--to", "redis-replica-1"))
        asking = await until(kube, namespace, lambda resource: asked(resource) is not None)
        assert asked(asking) == "redis-replica-1"
        await take_off(kube, namespace)
        intent = {"procedure": "switchover", "pod": "redis-replica-1", "from": "redis-master-0"}
        await kube.merge_patch(
            CONTEX_REDIS, namespace, "redis", {"status": {"intent": intent}}, subresource="status"
        )
        moved = {
            "intent": None,
            "master": {"pod": "redis-replica-1", "address": "10.0.0.2"},
            "lastFailover": {
                "time": "2026-01-01T00:00:00Z",
                "from": "redis-master-0",
                "to": "redis-replica-1",
                "reason": "Switchover",
                "milliseconds": 41,
            },
        }
        await kube.merge_patch(CONTEX_REDIS, namespace, "redis", {"status": moved}, subresource="status")
        ended = await command
        assert ended.code == 0, ended
        assert "master moved from redis-master-0 to redis-replica-1 in 41 ms" in ended.stdout

    async def test_a_refusal_is_told(self, run: Run, kube: Kube, namespace: str) -> None:
        resource = await create(kube, namespace)
        command = asyncio.create_task(run("switchover", "redis"))
        await until(kube, namespace, lambda resource: asked(resource) == names.SWITCHOVER_ANY)
        await kube.create(EVENT, refusal(resource))
        await take_off(kube, namespace)
        ended = await command
        assert ended.code == 1
        assert "refused: redis-replica-0 is not in sync with redis-master-0" in ended.stderr

    async def test_a_request_that_nobody_takes(self, run: Run, kube: Kube, namespace: str) -> None:
        await create(kube, namespace)
        ended = await run("switchover", "redis", "--timeout", "1")
        assert ended.code == 1
        assert f"annotate contexredis redis {names.ANNOTATION_SWITCHOVER}- takes it back" in ended.stderr
        again = await run("switchover", "redis", "--timeout", "1")
        assert again.code == 1
        assert "a switchover to any is asked for already" in again.stderr

    @pytest.mark.parametrize(
        ("to", "said"),
        [
            ("redis-replica-7", "it has redis-master-0, redis-replica-0, redis-replica-1"),
            ("redis-master-0", "it is the master already"),
        ],
    )
    async def test_a_target_that_cannot_be(
        self, run: Run, kube: Kube, namespace: str, to: str, said: str
    ) -> None:
        await create(kube, namespace)
        ended = await run("switchover", "redis", "--to", to)
        assert ended.code == 2
        assert said in ended.stderr
        resource = await kube.get(CONTEX_REDIS, namespace, "redis")
        assert resource is not None
        assert asked(resource) is None, "a wish that cannot come true was written down"

    async def test_pause_and_resume(self, run: Run, kube: Kube, namespace: str) -> None:
        await create(kube, namespace)
        assert (await run("pause", "redis")).code == 0
        assert (await until(kube, namespace, lambda _: True))["spec"]["paused"] is True
        assert "as before" in (await run("pause", "redis")).stdout
        moved = await run("switchover", "redis")
        assert moved.code == 1
        assert "kubectl contexredis resume redis" in moved.stderr
        told = json.loads((await run("resume", "redis", "-o", "json")).stdout)
        assert (told["paused"], told["changed"]) == (False, True)
        assert (await until(kube, namespace, lambda _: True))["spec"]["paused"] is False


def documented_rules() -> list[dict[str, Any]]:
    """The rules of the Role in docs/troubleshooting.md."""
    page = (OPERATOR.parent / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    (role,) = re.findall(r"```yaml\n(apiVersion: rbac.*?)```", page, re.DOTALL)
    rules: list[dict[str, Any]] = yaml.safe_load(role)["rules"]
    return rules


def refusal(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The Event of a switchover that was refused."""
    metadata = resource["metadata"]
    return {
        "metadata": {"name": f"refused-{metadata['uid'][:8]}", "namespace": metadata["namespace"]},
        "eventTime": "2999-01-01T00:00:00.000000Z",
        "reportingController": names.MANAGER,
        "reportingInstance": "test",
        "action": "Reconcile",
        "reason": "SwitchoverRefused",
        "type": "Warning",
        "note": "redis-replica-0 is not in sync with redis-master-0",
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }
