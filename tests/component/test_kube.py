"""The client of the Kubernetes API, against a real API server and against one that misbehaves."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import contex_operator
import pytest
from contex_operator import names
from contex_operator.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    KubeError,
    LeaseLost,
    TooManyRequests,
    Unreachable,
)
from contex_operator.kube import GUARDED_WRITE_DEADLINE_S, Access, Guard, Kube, client
from contex_operator.resources import CONFIG_MAP, SECRET, SERVICE, STATEFUL_SET

from tests.component.harness.cluster import Cluster
from tests.component.harness.proxy import FaultyProxy

PATCHES = r"/configmaps/"


def config_map(namespace: str, name: str = "a", /, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def service(namespace: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "a", "namespace": namespace},
        "spec": {"ports": [{"port": 6379}], "selector": {"app": "redis"}, **spec},
    }


@asynccontextmanager
async def connected(
    kubeconfig: Path, *, may_write: Guard | None = None, deadline_s: float = 1.0
) -> AsyncIterator[Kube]:
    access = Access(kubeconfig=str(kubeconfig))
    async with await Kube.connect(access, may_write=may_write, deadline_s=deadline_s) as kube:
        yield kube


@contextmanager
def takes(*, at_least_s: float = 0.0, at_most_s: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert at_least_s <= time.monotonic() - started <= at_most_s


class TestReading:
    async def test_get_of_nothing_is_none(self, kube: Kube, namespace: str) -> None:
        assert await kube.get(SERVICE, namespace, "nobody") is None

    async def test_get_without_the_right_is_no_none(self, cluster: Cluster, namespace: str) -> None:
        rules = [{"apiGroups": [""], "resources": ["services"], "verbs": ["get"]}]
        async with connected(cluster.user(rules, namespace=namespace)) as kube:
            assert await kube.get(SERVICE, namespace, "a") is None
            with pytest.raises(Forbidden) as caught:
                await kube.get(CONFIG_MAP, namespace, "a")
        assert caught.value.status == 403
        assert f"get ConfigMap {namespace}/a" in caught.value.message

    async def test_list_gives_all_pages_of_what_is_selected(
        self, kube_via_proxy: Kube, proxy: FaultyProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "PAGE_SIZE", 2)
        for index in range(5):
            body = config_map(namespace, f"cm-{index}")
            body["metadata"]["labels"] = {"mine": "yes" if index else "no"}
            await kube_via_proxy.create(CONFIG_MAP, body)
        proxy.seen.clear()
        found = await kube_via_proxy.list(CONFIG_MAP, namespace, labels="mine=yes")
        assert [item["metadata"]["name"] for item in found] == ["cm-1", "cm-2", "cm-3", "cm-4"]
        assert {(item["apiVersion"], item["kind"]) for item in found} == {("v1", "ConfigMap")}
        assert len(proxy.seen) == 2
        (one,) = await kube_via_proxy.list(CONFIG_MAP, None, fields="metadata.name=cm-3")
        assert one["metadata"]["namespace"] == namespace

    async def test_list_begins_again_where_its_snapshot_has_expired(
        self, kube_via_proxy: Kube, proxy: FaultyProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "PAGE_SIZE", 2)
        for index in range(5):
            await kube_via_proxy.create(CONFIG_MAP, config_map(namespace, f"cm-{index}"))
        expired = proxy.answer(410, path="continue=", reason="Expired")
        found = await kube_via_proxy.list(CONFIG_MAP, namespace)
        assert [item["metadata"]["name"] for item in found] == [f"cm-{index}" for index in range(5)]
        assert expired.hits == 1


class TestApply:
    async def test_creates_changes_and_releases_fields(self, kube: Kube, namespace: str) -> None:
        made = await kube.apply(CONFIG_MAP, config_map(namespace, a="1", b="2"), manager=names.MANAGER)
        assert made["data"] == {"a": "1", "b": "2"}
        await kube.apply(CONFIG_MAP, config_map(namespace, c="3"), manager="somebody")
        changed = await kube.apply(CONFIG_MAP, config_map(namespace, a="9"), manager=names.MANAGER)
        assert changed["data"] == {"a": "9", "c": "3"}

    async def test_of_the_same_changes_nothing(self, kube: Kube, namespace: str) -> None:
        first = await kube.apply(SERVICE, service(namespace), manager=names.MANAGER)
        second = await kube.apply(SERVICE, service(namespace), manager=names.MANAGER)
        assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]

    async def test_without_force_names_what_others_own(self, kube: Kube, namespace: str) -> None:
        await kube.apply(CONFIG_MAP, config_map(namespace, a="1"), manager="somebody")
        with pytest.raises(Conflict) as caught:
            await kube.apply(CONFIG_MAP, config_map(namespace, a="2"), manager=names.MANAGER, force=False)
        assert caught.value.fields == (".data.a",)
        assert "somebody" in caught.value.message
        forced = await kube.apply(CONFIG_MAP, config_map(namespace, a="2"), manager=names.MANAGER)
        assert forced["data"] == {"a": "2"}

    async def test_with_the_uid_of_a_vanished_object_makes_none(self, kube: Kube, namespace: str) -> None:
        made = await kube.create(CONFIG_MAP, config_map(namespace))
        await kube.delete(CONFIG_MAP, namespace, "a")
        body = config_map(namespace, a="1")
        body["metadata"]["uid"] = made["metadata"]["uid"]
        with pytest.raises(Conflict):
            await kube.apply(CONFIG_MAP, body, manager=names.MANAGER)
        assert await kube.get(CONFIG_MAP, namespace, "a") is None
        await kube.create(CONFIG_MAP, config_map(namespace))
        with pytest.raises(Conflict):
            await kube.apply(CONFIG_MAP, body, manager=names.MANAGER)


class TestWriting:
    async def test_create_of_a_taken_name_says_so(self, kube: Kube, namespace: str) -> None:
        await kube.create(CONFIG_MAP, config_map(namespace))
        with pytest.raises(AlreadyExists):
            await kube.create(CONFIG_MAP, config_map(namespace))

    async def test_replace_of_a_stale_object_is_a_conflict(self, kube: Kube, namespace: str) -> None:
        old = await kube.create(CONFIG_MAP, config_map(namespace, a="1"))
        new = await kube.replace(CONFIG_MAP, {**old, "data": {"a": "2"}})
        assert new["data"] == {"a": "2"}
        with pytest.raises(Conflict) as caught:
            await kube.replace(CONFIG_MAP, {**old, "data": {"a": "3"}})
        assert not isinstance(caught.value, AlreadyExists)

    async def test_merge_patch_with_an_old_version_is_a_conflict(self, kube: Kube, namespace: str) -> None:
        old = (await kube.create(CONFIG_MAP, config_map(namespace, a="1", b="2")))["metadata"]
        version = old["resourceVersion"]
        patch = {"data": {"a": None}}
        new = await kube.merge_patch(CONFIG_MAP, namespace, "a", patch, resource_version=version)
        assert new["data"] == {"b": "2"}
        with pytest.raises(Conflict):
            await kube.merge_patch(CONFIG_MAP, namespace, "a", {"data": {"b": "9"}}, resource_version=version)
        again = await kube.merge_patch(CONFIG_MAP, namespace, "a", {"data": {"b": "9"}})
        assert again["data"] == {"b": "9"}

    async def test_json_patch_with_a_failed_test_changes_nothing(self, kube: Kube, namespace: str) -> None:
        await kube.create(CONFIG_MAP, config_map(namespace, a="1"))
        ops = [
            {"op": "test", "path": "/data/a", "value": "2"},
            {"op": "replace", "path": "/data/a", "value": "3"},
        ]
        with pytest.raises(KubeError) as caught:
            await kube.json_patch(CONFIG_MAP, namespace, "a", ops, manager=names.MANAGER)
        assert caught.value.status == 422
        ops[0]["value"] = "1"
        assert (await kube.json_patch(CONFIG_MAP, namespace, "a", ops))["data"] == {"a": "3"}

    async def test_status_is_replaced_whole_and_only_where_it_is_current(
        self, kube: Kube, namespace: str
    ) -> None:
        pods = {
            "metadata": {"labels": {"app": "redis"}},
            "spec": {"containers": [{"name": "redis", "image": "redis"}]},
        }
        made = await kube.create(
            STATEFUL_SET,
            {
                "metadata": {"name": "a", "namespace": namespace},
                "spec": {"selector": {"matchLabels": {"app": "redis"}}, "serviceName": "a", "template": pods},
            },
        )
        version = made["metadata"]["resourceVersion"]
        status = {"replicas": 3, "readyReplicas": 2}
        first = await kube.patch_status(STATEFUL_SET, namespace, "a", status, resource_version=version)
        assert first["status"]["readyReplicas"] == 2
        assert first["spec"] == made["spec"]
        with pytest.raises(Conflict):
            await kube.patch_status(STATEFUL_SET, namespace, "a", {"replicas": 9}, resource_version=version)
        version = first["metadata"]["resourceVersion"]
        second = await kube.patch_status(
            STATEFUL_SET, namespace, "a", {"replicas": 3}, resource_version=version
        )
        assert second["status"]["replicas"] == 3
        assert "readyReplicas" not in second["status"]

    async def test_every_write_names_its_manager(self, kube: Kube, namespace: str) -> None:
        await kube.create(CONFIG_MAP, config_map(namespace, a="1"), manager="m-create")
        await kube.apply(CONFIG_MAP, config_map(namespace, b="1"), manager="m-apply")
        await kube.merge_patch(CONFIG_MAP, namespace, "a", {"data": {"c": "1"}}, manager="m-merge")
        ops = [{"op": "add", "path": "/data/d", "value": "1"}]
        body = await kube.json_patch(CONFIG_MAP, namespace, "a", ops, manager="m-json")
        body["data"]["e"] = "1"
        body = await kube.replace(CONFIG_MAP, body, manager="m-replace")
        managers = {
            entry["manager"]: list(entry["fieldsV1"]["f:data"]) for entry in body["metadata"]["managedFields"]
        }
        assert {name: fields[-1] for name, fields in managers.items()} == {
            "m-create": "f:a",
            "m-apply": "f:b",
            "m-merge": "f:c",
            "m-json": "f:d",
            "m-replace": "f:e",
        }

    async def test_delete_spares_another_object_of_the_name(self, kube: Kube, namespace: str) -> None:
        first = (await kube.create(CONFIG_MAP, config_map(namespace)))["metadata"]
        with pytest.raises(Conflict):
            await kube.delete(CONFIG_MAP, namespace, "a", uid="00000000-0000-0000-0000-000000000000")
        await kube.merge_patch(CONFIG_MAP, namespace, "a", {"data": {"a": "1"}})
        with pytest.raises(Conflict):
            await kube.delete(CONFIG_MAP, namespace, "a", resource_version=first["resourceVersion"])
        assert await kube.get(CONFIG_MAP, namespace, "a") is not None
        assert await kube.delete(CONFIG_MAP, namespace, "a", uid=first["uid"], propagation="Background")
        assert await kube.get(CONFIG_MAP, namespace, "a") is None
        assert not await kube.delete(CONFIG_MAP, namespace, "a")

    async def test_an_error_never_repeats_a_secret(self, kube: Kube, namespace: str) -> None:
        body = {"metadata": {"name": "a", "namespace": namespace}, "stringData": {"password": 81549300}}
        with pytest.raises(KubeError) as caught:
            await kube.apply(SECRET, body, manager=names.MANAGER)
        assert "81549300" not in str(caught.value)
        assert f"apply Secret {namespace}/a" in str(caught.value)


class TestDeadlines:
    async def test_a_silent_server_costs_one_deadline(
        self, kube_via_proxy: Kube, proxy: FaultyProxy, namespace: str
    ) -> None:
        proxy.hang()
        with takes(at_least_s=0.9, at_most_s=2.0), pytest.raises(Unreachable, match="within 1 s"):
            await kube_via_proxy.get(SERVICE, namespace, "a")
        proxy.heal()
        assert await kube_via_proxy.get(SERVICE, namespace, "a") is None

    async def test_a_guarded_write_gives_up_before_the_lease_is_used_up(
        self, proxy: FaultyProxy, namespace: str
    ) -> None:
        proxy.hang(method="POST")
        allow = lambda namespace: None  # noqa: E731
        async with connected(proxy.kubeconfig, may_write=allow, deadline_s=60.0) as kube:
            with takes(at_least_s=GUARDED_WRITE_DEADLINE_S - 0.1, at_most_s=GUARDED_WRITE_DEADLINE_S + 1.5):
                with pytest.raises(Unreachable):
                    await kube.create(CONFIG_MAP, config_map(namespace))

    async def test_a_closed_port_is_unreachable_at_once(
        self, kube_via_proxy: Kube, proxy: FaultyProxy, namespace: str
    ) -> None:
        await kube_via_proxy.get(SERVICE, namespace, "a")
        await proxy.refuse()
        with takes(at_most_s=0.9), pytest.raises(Unreachable, match="no connection to https://127"):
            await kube_via_proxy.get(SERVICE, namespace, "a")
        await proxy.restore()
        assert await kube_via_proxy.get(SERVICE, namespace, "a") is None

    async def test_a_lost_answer_is_unreachable_though_the_write_was_done(
        self, kube_via_proxy: Kube, proxy: FaultyProxy, namespace: str
    ) -> None:
        proxy.lose(method="POST", times=1)
        with pytest.raises(Unreachable):
            await kube_via_proxy.create(CONFIG_MAP, config_map(namespace))
        assert await kube_via_proxy.get(CONFIG_MAP, namespace, "a") is not None
        assert [seen.method for seen in proxy.seen] == ["POST", "GET"]


class TestOtherAnswers:
    async def test_too_many_requests_is_met_with_the_pause_that_it_asks_for(
        self, kube_via_proxy: Kube, proxy: FaultyProxy, namespace: str
    ) -> None:
        kube = kube_via_proxy
        await kube.get(CONFIG_MAP, namespace, "a")
        shed = proxy.answer(429, times=1, reason="TooManyRequests", headers={"Retry-After": "0.4"})
        with takes(at_least_s=0.4, at_most_s=1.0):
            await kube.create(CONFIG_MAP, config_map(namespace))
        assert shed.hits == 1

    @pytest.mark.parametrize(("header", "wish"), [({"Retry-After": "30"}, 30.0), ({}, None)])
    async def test_a_pause_beyond_the_deadline_is_left_to_the_queue(
        self,
        kube_via_proxy: Kube,
        proxy: FaultyProxy,
        namespace: str,
        header: dict[str, str],
        wish: float | None,
    ) -> None:
        shed = proxy.answer(429, reason="TooManyRequests", headers=header)
        with takes(at_most_s=0.9), pytest.raises(TooManyRequests) as caught:
            await kube_via_proxy.create(CONFIG_MAP, config_map(namespace))
        assert caught.value.retry_after_s == wish
        assert shed.hits == 1

    async def test_an_error_of_the_server_is_not_tried_again(
        self, kube_via_proxy: Kube, proxy: FaultyProxy, namespace: str
    ) -> None:
        broken = proxy.answer(500, message="etcdserver: leader changed")
        with pytest.raises(KubeError, match="leader changed") as caught:
            await kube_via_proxy.create(CONFIG_MAP, config_map(namespace))
        assert (caught.value.status, caught.value.reason, broken.hits) == (500, "InternalError", 1)

    async def test_new_credentials_are_read_when_the_old_are_refused(
        self, cluster: Cluster, namespace: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "kubeconfig"

        def write(token: str) -> None:
            config = json.loads(cluster.kubeconfig.read_text())
            config["users"][0]["user"] = {"token": token}
            path.write_text(json.dumps(config))

        write("of nobody")
        async with connected(path) as kube:
            with pytest.raises(KubeError) as caught:
                await kube.get(CONFIG_MAP, namespace, "a")
            assert caught.value.status == 401
            write(cluster.token(namespace))
            with pytest.raises(Forbidden, match=f"system:serviceaccount:{namespace}:default"):
                await kube.get(CONFIG_MAP, namespace, "a")


class TestAccess:
    async def test_a_rotated_token_is_used_from_the_next_request_on(
        self, cluster: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = cluster.namespace()
        token = tmp_path / "token"
        token.write_text(cluster.token(namespace))
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", cluster.host.rsplit(":", 1)[1])
        async with await Kube.connect(Access(token_file=token, ca_file=cluster.ca)) as kube:
            with pytest.raises(Forbidden, match=f"system:serviceaccount:{namespace}:default"):
                await kube.get(CONFIG_MAP, namespace, "a")
            swapped = tmp_path / "token.new"
            swapped.write_text(cluster.token(other))
            swapped.replace(token)
            with pytest.raises(Forbidden, match=f"system:serviceaccount:{other}:default"):
                await kube.get(CONFIG_MAP, namespace, "a")

    async def test_a_missing_kubeconfig_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(Unreachable, match=r"no usable credentials.*nowhere: there is no such file"):
            await Kube.connect(Access(kubeconfig=str(tmp_path / "nowhere")))

    async def test_a_missing_token_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        with pytest.raises(Unreachable, match=r"the pod's ServiceAccount: .*token"):
            await Kube.connect(Access(token_file=tmp_path / "token", ca_file=tmp_path / "ca.crt"))

    def test_importing_loads_no_generated_models(self) -> None:
        code = (
            "import sys, contex_operator.kube; "
            "print(sum(name.startswith('kubernetes.aio.client.models.') for name in sys.modules))"
        )
        top = Path(contex_operator.__file__).parents[1]
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=top)
        assert done.stdout.strip() == "0", done.stderr


class TestGuard:
    async def test_refuses_every_kind_of_write_and_no_read(
        self, cluster: Cluster, proxy: FaultyProxy, namespace: str
    ) -> None:
        asked: list[str] = []

        def refuse(namespace: str) -> None:
            asked.append(namespace)
            raise LeaseLost("not now")

        async with connected(proxy.kubeconfig, may_write=refuse) as kube:
            body = config_map(namespace, a="1")
            writes = [
                kube.create(CONFIG_MAP, body),
                kube.apply(CONFIG_MAP, body, manager=names.MANAGER),
                kube.replace(CONFIG_MAP, body),
                kube.json_patch(CONFIG_MAP, namespace, "a", []),
                kube.merge_patch(CONFIG_MAP, namespace, "a", {}),
                kube.patch_status(CONFIG_MAP, namespace, "a", {}, resource_version="1"),
                kube.delete(CONFIG_MAP, namespace, "a"),
            ]
            for write in writes:
                with pytest.raises(LeaseLost):
                    await write
            assert asked == [namespace] * len(writes)
            assert proxy.seen == []
            assert await kube.get(CONFIG_MAP, namespace, "a") is None
            await kube.list(CONFIG_MAP, namespace)
            assert asked == [namespace] * len(writes)

    async def test_is_asked_again_before_a_repetition(self, proxy: FaultyProxy, namespace: str) -> None:
        proxy.answer(429, times=1, reason="TooManyRequests", headers={"Retry-After": "0.2"})
        answers: list[Exception | None] = [None, LeaseLost("lost meanwhile")]

        def once(namespace: str) -> None:
            answer = answers.pop(0)
            if answer is not None:
                raise answer

        async with connected(proxy.kubeconfig, may_write=once) as kube:
            with pytest.raises(LeaseLost):
                await kube.create(CONFIG_MAP, config_map(namespace))
        assert len(proxy.seen) == 1

    async def test_does_not_bind_the_unguarded_client(self, cluster: Cluster, namespace: str) -> None:
        def refuse(namespace: str) -> None:
            raise LeaseLost("not now")

        async with connected(cluster.kubeconfig, may_write=refuse) as kube, await kube.unguarded() as free:
            made = await free.create(CONFIG_MAP, config_map(namespace))
            assert made["metadata"]["uid"]


class TestManyAtOnce:
    async def test_calls_side_by_side_do_not_mix(self, kube: Kube, namespace: str) -> None:
        async with asyncio.TaskGroup() as group:
            for index in range(60):
                group.create_task(kube.create(CONFIG_MAP, config_map(namespace, f"cm-{index}", a=str(index))))
        found = await kube.list(CONFIG_MAP, namespace)
        assert {item["metadata"]["name"]: item["data"]["a"] for item in found} == {
            f"cm-{index}": str(index) for index in range(60)
        }
