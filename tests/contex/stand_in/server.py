"""The process: reads the environment, connects, serves, and stops within three seconds of SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from typing import Final

import uvicorn
from contex_redis import Settings, SettingsError, read
from contex_redis.connecting import remarks

from .app import create
from .link import PACKAGE, PUBLISHED, Link, PublishedLink
from .metrics import Metrics
from .wire import WireError

PORT: Final = 8001
_STOP_WITHIN_S: Final = 2  # for requests that are being answered; what is still open then is dropped
log = logging.getLogger("contex.stand_in")


def serve(env: Mapping[str, str] = os.environ) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code (0, 2 for bad settings, 3 for no Redis at
    start).
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    try:
        settings = read(env)
        client = env.get("CONTEX_CLIENT", PACKAGE)
        if client not in (PACKAGE, PUBLISHED):
            raise SettingsError("CONTEX_CLIENT", f"is {client!r}: it must be {PACKAGE!r} or {PUBLISHED!r}")
        host, port = env.get("HOST", "0.0.0.0"), int(env.get("PORT", str(PORT)))
    except SettingsError as error:
        log.error("%s", error)
        return 2
    except ValueError:
        log.error("PORT is %r: it must be a port number", env.get("PORT"))
        return 2
    log.info("Contex stand-in (not Contex) | mode=%s client=%s", settings.mode, client)
    if client == PACKAGE:
        for sentence in remarks(settings):
            log.warning("%s", sentence)
    return asyncio.run(_serve(settings, env, is_published=client == PUBLISHED, host=host, port=port))


async def _serve(
    settings: Settings, env: Mapping[str, str], *, is_published: bool, host: str, port: int
) -> int:
    metrics = Metrics()
    link = PublishedLink(settings, env) if is_published else Link(settings, metrics)
    try:
        try:
            await link.start()
        except WireError:
            return 3  # said by the link
        server = uvicorn.Server(
            uvicorn.Config(
                create(link, metrics),
                host=host,
                port=port,
                access_log=False,
                log_level="warning",
                timeout_graceful_shutdown=_STOP_WITHIN_S,
            )
        )
        await server.serve()
        return 0
    finally:
        await link.aclose()
