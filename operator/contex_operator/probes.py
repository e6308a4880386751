"""The operator's HTTP port: /healthz (the loop turns, no reconcile is stuck), /readyz (it sees its cluster), /metrics.

Nothing on it changes anything or shows a secret, and whoever reads it needs no right in the cluster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

STUCK_S = 120.0  # a reconcile is a handful of requests with deadlines of seconds


async def serve(
    port: int,
    *,
    longest_run_s: Callable[[], float],
    is_ready: Callable[[], bool],
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]],
) -> web.AppRunner:
    """Start serving on all addresses; close with `await runner.cleanup()`.

    `metrics` answers an Accept header with a text and its content type.
    """

    async def healthz(_: web.Request) -> web.Response:
        stuck = longest_run_s()
        if stuck > STUCK_S:
            return web.Response(status=500, text=f"a reconcile has been running for {stuck:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if not is_ready():
            return web.Response(status=503, text="not watching yet\n")
        return web.Response(text="ok\n")

    async def exposition(request: web.Request) -> web.Response:
        text, content_type = await metrics(request.headers.get("Accept", ""))
        response = web.Response(body=text, headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", exposition)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
