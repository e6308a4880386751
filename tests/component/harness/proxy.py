"""A proxy before the API server that misbehaves on demand: answers, hangs, loses answers, cuts, refuses.

It ends TLS on both sides: with the API server's own certificate towards the client, as one user towards the
API server (a client's certificate cannot pass a proxy). It lives in the test's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
from aiohttp import web

from tests.component.harness.cluster import Cluster, User
from tests.component.harness.processes import free_ports

Deed = Literal["answer", "hang", "lose", "delay"]


@dataclass
class Rule:
    """What happens to requests that match; `hits` counts them. The latest rule that matches is taken.

    answer  the API server never sees the request; `status` and a Status object come back
    hang    the API server never sees the request, and nothing comes back
    lose    the API server carries the request out; the connection is cut instead of its answer
    delay   passed on after `seconds`
    """

    deed: Deed
    method: str | None = None
    path: re.Pattern[str] | None = None
    times: int | None = None
    status: int = 500
    reason: str = "InternalError"
    message: str = "made up by the test's proxy"
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    hits: int = 0

    def matches(self, method: str, path: str) -> bool:
        return (
            (self.times is None or self.hits < self.times)
            and (self.method is None or self.method == method)
            and (self.path is None or self.path.search(path) is not None)
        )


@dataclass(frozen=True)
class Seen:
    """A request as it came in, whatever became of it."""

    method: str
    path: str  # with its query
    body: bytes


class FaultyProxy:
    """`async with FaultyProxy(cluster)`: then `kubeconfig` leads through it."""

    def __init__(self, cluster: Cluster, *, user: User | None = None) -> None:
        self._cluster = cluster
        self._user = user or cluster.admin
        (self._port,) = free_ports(1)
        self.host = f"https://127.0.0.1:{self._port}"
        self.rules: list[Rule] = []
        self.seen: list[Seen] = []
        self._streams: set[asyncio.Transport] = set()
        self._is_muted = False
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._cluster.client_tls(self._user), limit=0)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        await self.restore()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        if self._session is not None:
            await self._session.close()

    @property
    def kubeconfig(self) -> Path:
        name = f"{self._user.name}-via-{self._port}"
        return self._cluster.write_kubeconfig(name, self._user.leaf, host=self.host)

    # -- faults --------------------------------------------------------------------------------------------

    def answer(
        self,
        status: int,
        *,
        method: str | None = None,
        path: str | None = None,
        times: int | None = None,
        reason: str = "InternalError",
        message: str = "made up by the test's proxy",
        headers: Mapping[str, str] | None = None,
    ) -> Rule:
        """Answer matching requests with an error of one's own. `path` is a regular expression."""
        return self._add(
            Rule(
                "answer",
                method,
                _compiled(path),
                times,
                status=status,
                reason=reason,
                message=message,
                headers=headers or {},
            )
        )

    def hang(self, *, method: str | None = None, path: str | None = None, times: int | None = None) -> Rule:
        return self._add(Rule("hang", method, _compiled(path), times))

    def lose(self, *, method: str | None = None, path: str | None = None, times: int | None = None) -> Rule:
        return self._add(Rule("lose", method, _compiled(path), times))

    def delay(
        self, seconds: float, *, method: str | None = None, path: str | None = None, times: int | None = None
    ) -> Rule:
        return self._add(Rule("delay", method, _compiled(path), times, seconds=seconds))

    def _add(self, rule: Rule) -> Rule:
        self.rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        self.rules.remove(rule)

    def heal(self) -> None:
        """Forget all rules; requests that hang by one of them stay so. Ends `mute_watches` as well."""
        self.rules.clear()
        self._is_muted = False

    def cut_watches(self) -> int:
        """Reset every open watch; returns how many there were."""
        streams, self._streams = self._streams, set()
        for stream in streams:
            stream.abort()
        return len(streams)

    def mute_watches(self) -> None:
        """From now on watches stay open and bring nothing, until `heal`: what came meanwhile is lost."""
        self._is_muted = True

    async def refuse(self) -> None:
        """Close the port and every connection: what follows is ECONNREFUSED, until `restore`."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            self.cut_watches()
            await runner.cleanup()

    async def restore(self) -> None:
        """Listen again on the same port."""
        if self._runner is not None:
            return
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._cluster.serving.certificate, self._cluster.serving.key)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.01, access_log=None, keepalive_timeout=600
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=context).start()

    # -- passing on ----------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(Seen(request.method, request.path_qs, body))
        rule = self._rule_for(request)
        if rule is not None:
            rule.hits += 1
            if rule.deed == "answer":
                return _status_answer(rule)
            if rule.deed == "hang":
                await asyncio.Event().wait()
            if rule.deed == "delay":
                await asyncio.sleep(rule.seconds)
        return await self._pass_on(request, body, loses_answer=rule is not None and rule.deed == "lose")

    def _rule_for(self, request: web.Request) -> Rule | None:
        for rule in reversed(self.rules):
            if rule.matches(request.method, request.path_qs):
                return rule
        return None

    async def _pass_on(self, request: web.Request, body: bytes, *, loses_answer: bool) -> web.StreamResponse:
        assert self._session is not None
        hop_by_hop = {"host", "content-length", "transfer-encoding", "connection"}
        headers = {key: value for key, value in request.headers.items() if key.lower() not in hop_by_hop}
        async with self._session.request(
            request.method,
            self._cluster.host + request.raw_path,
            data=body or None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as upstream:
            if "watch=" in request.query_string and upstream.status == 200:
                return await self._stream(request, upstream)
            data = await upstream.read()
            if loses_answer:
                assert request.transport is not None
                request.transport.abort()
            kept = {key: value for key, value in upstream.headers.items() if key.lower() not in hop_by_hop}
            return web.Response(status=upstream.status, body=data, headers=kept)

    async def _stream(self, request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        """Pass a watch on line by line, so that cutting and muting fall between two events."""
        answer = web.StreamResponse(
            status=upstream.status, headers={"Content-Type": upstream.headers["Content-Type"]}
        )
        await answer.prepare(request)
        with self._streaming(request):
            async for chunk in upstream.content.iter_any():
                if not self._is_muted:
                    await answer.write(chunk)
        return answer

    @contextlib.contextmanager
    def _streaming(self, request: web.Request) -> Iterator[None]:
        transport = request.transport
        assert transport is not None
        self._streams.add(transport)
        try:
            yield
        finally:
            self._streams.discard(transport)


def _compiled(path: str | None) -> re.Pattern[str] | None:
    return None if path is None else re.compile(path)


def _status_answer(rule: Rule) -> web.Response:
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": rule.reason,
        "message": rule.message,
        "code": rule.status,
    }
    return web.json_response(body, status=rule.status, headers=rule.headers)
