"""redis-py exactly as Contex 0.1.10 uses it: the same classes, calls and arguments, in both modes.

To prove what an unmodified Contex meets: `connection: service` through every fault, and a sentinel mode that ends with
a TypeError, and works with the shim. Needs nothing but redis-py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.sentinel import Sentinel


def client(env: Mapping[str, str]) -> tuple[Redis, Sentinel | None]:
    """The client that Contex makes of `env`, and the Sentinel behind it in sentinel mode."""
    return (
        by_sentinels(env)
        if env.get("REDIS_MODE", "standalone").lower() == "sentinel"
        else (by_url(env), None)
    )


def by_url(env: Mapping[str, str]) -> Redis:
    """Standalone: everything but the pool's settings stands in the URL."""
    pool: Any = ConnectionPool.from_url(
        env.get("REDIS_URL", "redis://redis:6379"),
        max_connections=int(env.get("REDIS_MAX_CONNECTIONS", "50")),
        socket_timeout=int(env.get("REDIS_SOCKET_TIMEOUT", "5")),
        socket_connect_timeout=int(env.get("REDIS_SOCKET_CONNECT_TIMEOUT", "5")),
        socket_keepalive=_is_true(env, "REDIS_SOCKET_KEEPALIVE"),
        retry_on_timeout=_is_true(env, "REDIS_RETRY_ON_TIMEOUT"),
        health_check_interval=int(env.get("REDIS_HEALTH_CHECK_INTERVAL", "30")),
        decode_responses=False,
    )
    return Redis(connection_pool=pool)


def by_sentinels(env: Mapping[str, str]) -> tuple[Redis, Sentinel]:
    """Sentinel: the last argument of `master_for` is what redis-py refuses, at the first command."""
    hosts = [each.strip().rsplit(":", 1) for each in env["REDIS_SENTINEL_HOSTS"].split(",")]
    timeout = int(env.get("REDIS_SOCKET_TIMEOUT", "5"))
    connect_timeout = int(env.get("REDIS_SOCKET_CONNECT_TIMEOUT", "5"))
    keepalive = _is_true(env, "REDIS_SOCKET_KEEPALIVE")
    sentinel = Sentinel(  # type: ignore[no-untyped-call, unused-ignore]
        [(host, int(port)) for host, port in hosts],
        sentinel_kwargs={
            "password": env.get("REDIS_SENTINEL_PASSWORD"),
            "socket_timeout": timeout,
            "socket_connect_timeout": connect_timeout,
            "socket_keepalive": keepalive,
        },
        password=env.get("REDIS_PASSWORD"),
        db=int(env.get("REDIS_DB", "0")),
        decode_responses=False,
    )
    redis = sentinel.master_for(  # type: ignore[no-untyped-call, unused-ignore]
        env.get("REDIS_SENTINEL_MASTER", "mymaster"),
        socket_timeout=timeout,
        socket_connect_timeout=connect_timeout,
        socket_keepalive=keepalive,
        connection_pool_kwargs={
            "max_connections": int(env.get("REDIS_MAX_CONNECTIONS", "50")),
            "health_check_interval": int(env.get("REDIS_HEALTH_CHECK_INTERVAL", "30")),
        },
    )
    return redis, sentinel


def _is_true(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "true").lower() == "true"
