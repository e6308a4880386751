"""The component tests' own tools: a proxy that does not misbehave when it should would make other tests blind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from contex_operator.errors import Forbidden, Unreachable
from contex_operator.kube import Access, Kube
from contex_operator.resources import CONFIG_MAP

from tests.component.harness.cluster import ApiError, Cluster
from tests.component.harness.proxy import FaultyProxy


@asynccontextmanager
async def watch(cluster: Cluster, proxy: FaultyProxy, namespace: str) -> AsyncIterator[aiohttp.StreamReader]:
    """The lines of a watch on ConfigMaps, through the proxy."""
    connector = aiohttp.TCPConnector(ssl=cluster.client_tls(cluster.admin))
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"{proxy.host}/api/v1/namespaces/{namespace}/configmaps?watch=true&resourceVersion=0"
        async with session.get(url) as answer:
            assert answer.status == 200
            yield answer.content


async def event(stream: aiohttp.StreamReader, *, within_s: float = 5.0) -> str:
    async with asyncio.timeout(within_s):
        read = json.loads(await stream.readline())
    return f"{read['type']} {read['object']['metadata']['name']}"


def make(cluster: Cluster, namespace: str, name: str) -> None:
    cluster.api("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": name}})


async def test_a_watch_passes_and_can_be_cut(cluster: Cluster, proxy: FaultyProxy, namespace: str) -> None:
    async with watch(cluster, proxy, namespace) as stream:
        make(cluster, namespace, "a")
        assert await event(stream) == "ADDED a"
        assert proxy.cut_watches() == 1
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await event(stream)


async def test_a_watch_can_fall_silent(cluster: Cluster, proxy: FaultyProxy, namespace: str) -> None:
    async with watch(cluster, proxy, namespace) as stream:
        make(cluster, namespace, "a")
        assert await event(stream) == "ADDED a"
        proxy.mute_watches()
        make(cluster, namespace, "lost")
        with pytest.raises(TimeoutError):
            await event(stream, within_s=0.5)
        proxy.heal()
        make(cluster, namespace, "b")
        assert await event(stream) == "ADDED b"


async def test_refusing_ends_connections_and_restoring_takes_new_ones(
    cluster: Cluster, proxy: FaultyProxy, namespace: str, kube_via_proxy: Kube
) -> None:
    async with watch(cluster, proxy, namespace) as stream:
        await proxy.refuse()
        with pytest.raises((aiohttp.ClientError, ConnectionError, ValueError)):
            await event(stream)
    with pytest.raises(Unreachable):
        await kube_via_proxy.list(CONFIG_MAP, namespace)
    await proxy.restore()
    assert await kube_via_proxy.list(CONFIG_MAP, namespace) == []


async def test_rules_match_by_method_path_and_count(
    proxy: FaultyProxy, namespace: str, kube_via_proxy: Kube
) -> None:
    first = proxy.answer(403, method="GET", path="/configmaps/", times=1, reason="Forbidden")
    other = proxy.answer(500, method="DELETE")
    assert await kube_via_proxy.list(CONFIG_MAP, namespace) == []
    with pytest.raises(Forbidden):
        await kube_via_proxy.get(CONFIG_MAP, namespace, "a")
    assert await kube_via_proxy.get(CONFIG_MAP, namespace, "a") is None
    assert (first.hits, other.hits) == (1, 0)


async def test_a_user_may_do_what_its_rules_say(cluster: Cluster, namespace: str) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    here, everywhere = cluster.user(rules, namespace=namespace), cluster.user(rules)
    other = cluster.namespace()
    async with await Kube.connect(Access(kubeconfig=str(here))) as kube:
        assert await kube.get(CONFIG_MAP, namespace, "a") is None
        with pytest.raises(Forbidden):
            await kube.get(CONFIG_MAP, other, "a")
        with pytest.raises(Forbidden):
            await kube.list(CONFIG_MAP, namespace)
    async with await Kube.connect(Access(kubeconfig=str(everywhere))) as kube:
        assert await kube.get(CONFIG_MAP, other, "a") is None


async def test_the_audit_log_shows_who_did_what_since_a_mark(cluster: Cluster, namespace: str) -> None:
    make(cluster, namespace, "before")
    mark = cluster.audit_mark()
    user = cluster.restricted([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}])
    async with await Kube.connect(Access(kubeconfig=str(user.kubeconfig))) as kube:
        await kube.delete(CONFIG_MAP, namespace, "before")
        await kube.get(CONFIG_MAP, namespace, "before")
    seen = cluster.audit_since(mark, user=user.name)
    assert [(one["verb"], one["objectRef"]["resource"], one["responseStatus"]["code"]) for one in seen] == [
        ("delete", "configmaps", 200),
        ("get", "configmaps", 404),
    ]


def test_an_error_of_the_api_reaches_the_test(cluster: Cluster) -> None:
    with pytest.raises(ApiError, match="404"):
        cluster.api("GET", "/api/v1/namespaces/nowhere/configmaps/a")
