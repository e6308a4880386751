"""From the environment to a client: `connect` for an application, `build` for whoever connects later."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from redis.asyncio.connection import AbstractConnection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

from . import pool as pools
from .client import Client
from .discovery import Sentinels
from .errors import describe
from .metrics import Metrics
from .policy import Policy
from .settings import SENTINEL, STANDALONE, Settings, read

RETRY_FOR_S: Final = 10.0
log = logging.getLogger("contex_redis")


async def connect(
    env: Mapping[str, str] = os.environ,
    *,
    retry_for_s: float = RETRY_FOR_S,
    min_other_sentinels: int = 0,
    decode_responses: bool = False,
    metrics: Metrics | CollectorRegistry | None = None,
) -> Client:
    """A client that is connected to the master that `env` leads to; say `await client.aclose()` at the end.

    Each command is tried again for `retry_for_s` seconds, where that can help. Says in the log to whom it is
    connected, or why not. Raises SettingsError for a wrong variable, redis.RedisError when there is no master.
    """
    settings = read(env)
    for sentence in remarks(settings):
        log.warning("%s", sentence)
    client = build(
        settings,
        retry_for_s=retry_for_s,
        min_other_sentinels=min_other_sentinels,
        decode_responses=decode_responses,
        metrics=metrics,
    )
    try:
        await client.execute_command("PING")
    except (RedisError, OSError) as error:
        await client.aclose()
        log.error("%s", failed(settings, error))
        raise
    except BaseException:
        await client.aclose()
        raise
    return client


def build(
    settings: Settings,
    *,
    retry_for_s: float = RETRY_FOR_S,
    min_other_sentinels: int = 0,
    decode_responses: bool = False,
    metrics: Metrics | CollectorRegistry | None = None,
    mixin: type[AbstractConnection] | None = None,
) -> Client:
    """The client, not connected yet. `mixin` is put before the connections' class. Call it in the event loop that
    the client is used in.
    """
    if not isinstance(metrics, Metrics):
        metrics = Metrics() if metrics is None else Metrics(metrics)
    common: dict[str, Any] = {
        "socket_timeout": settings.socket_timeout_s,
        "socket_connect_timeout": settings.socket_connect_timeout_s,
        "health_check_interval": settings.health_check_interval_s,
        "max_connections": settings.max_connections,
        "decode_responses": decode_responses,
        "retry": pools.once(),
    }
    pool = (
        _sentinel_pool(settings, common, min_other_sentinels, mixin)
        if settings.mode == SENTINEL
        else _url_pool(settings, common, mixin)
    )
    pool.policy = Policy(retry_for_s=retry_for_s, repeat_unanswered=settings.retry_on_timeout)
    pool.metrics = metrics
    pool.on_master = _Announcer(settings)
    metrics.watch(pool, name="master")
    return Client(connection_pool=pool)


def remarks(settings: Settings) -> list[str]:
    """A sentence for each variable that is set and has no effect."""
    where = (
        "REDIS_URL" if settings.mode == STANDALONE else "REDIS_SENTINEL_HOSTS, REDIS_PASSWORD and REDIS_DB"
    )
    said = "REDIS_URL has its own" if settings.mode == STANDALONE else f"{settings.mode} mode reads {where}"
    return [f"{name} has no effect: {said}" for name in settings.ignored]


def connected(settings: Settings, host: str, port: int) -> str:
    """The documented line."""
    if settings.mode == SENTINEL:
        return (
            f"Connected to Redis via Sentinel | master_name={settings.sentinel_master} master_host={host} "
            f"master_port={port} sentinel_count={len(settings.sentinel_hosts)}"
        )
    return f"Connected to Redis | host={host} port={port}"


def failed(settings: Settings, error: BaseException) -> str:
    """The line that says why there is no connection."""
    if settings.mode == SENTINEL:
        return (
            f"Failed to connect to Redis via Sentinel | master_name={settings.sentinel_master} "
            f"reason={describe(error)}"
        )
    return f"Failed to connect to Redis | reason={describe(error)}"


class _Announcer:
    """Says the documented line at the first connection, and whenever the master is another one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.last: tuple[str, int] | None = None

    def __call__(self, connection: AbstractConnection) -> None:
        host = str(getattr(connection, "host", "") or getattr(connection, "path", "socket"))
        port = int(getattr(connection, "port", 0))
        if (host, port) != self.last:
            self.last = (host, port)
            log.info("%s", connected(self._settings, host, port))


def _sentinel_pool(
    settings: Settings,
    common: dict[str, Any],
    min_other_sentinels: int,
    mixin: type[AbstractConnection] | None,
) -> pools.SentinelPool:
    sentinels = Sentinels(
        settings.sentinel_hosts, password=settings.sentinel_password, min_other_sentinels=min_other_sentinels
    )
    return pools.SentinelPool(  # type: ignore[no-untyped-call, unused-ignore]
        settings.sentinel_master,
        sentinels,
        connection_class=_mixed(mixin, pools.SentinelConnection),
        password=settings.password,
        db=settings.db,
        socket_keepalive=settings.socket_keepalive,
        **common,
    )


def _url_pool(
    settings: Settings, common: dict[str, Any], mixin: type[AbstractConnection] | None
) -> pools.PlainPool:
    url: dict[str, Any] = dict(parse_url(settings.url))
    kind = url.pop("connection_class", None)
    plain: type[AbstractConnection] = pools.PlainConnection
    if kind is SSLConnection:
        plain = pools.PlainSSLConnection
    elif kind is UnixDomainSocketConnection:
        plain = pools.PlainSocketConnection
    if kind is not UnixDomainSocketConnection:
        url["socket_keepalive"] = settings.socket_keepalive
    if settings.password and "REDIS_PASSWORD" not in settings.ignored:
        url["password"] = settings.password
    if "REDIS_DB" not in settings.ignored:
        url["db"] = settings.db
    return pools.PlainPool(connection_class=_mixed(mixin, plain), **{**url, **common})


def _mixed(
    mixin: type[AbstractConnection] | None, kind: type[AbstractConnection]
) -> type[AbstractConnection]:
    return kind if mixin is None else type(f"{mixin.__name__}{kind.__name__}", (mixin, kind), {})
