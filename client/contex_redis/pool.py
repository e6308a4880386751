"""Pools whose connections lead to the master, and ask anew who that is whenever they have to be made again.

redis-py's own sentinel connection asks only in `connect()`: a health check or retry inside a command reconnects to the
old master without asking (redis-py #3874, open in 7.x and 8.x). Its pools hold a lock while they connect, so one black
hole makes all other callers queue up behind its timeout. And it turns READONLY into a ConnectionError, which hides
that the command certainly was not executed.

Nothing in here retries: that is the client's part, which knows the command and its deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from .errors import LEAVE, PoolExhausted, error_code, mark_not_sent
from .metrics import Metrics
from .policy import Policy


def once() -> Retry:
    """redis-py's retry object that does not retry."""
    return Retry(NoBackoff(), 0)


class _Leaving(AbstractConnection):
    """Notes when the node at its other end says that it is no master: the pool then closes it."""

    is_outdated = False

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)
        except ResponseError as error:
            self.is_outdated = self.is_outdated or error_code(error) in LEAVE
            raise

    async def check_health(self) -> None:
        try:
            await super().check_health()  # type: ignore[no-untyped-call, unused-ignore]
        except (TimeoutError, RedisError, OSError) as error:
            mark_not_sent(error)
            raise


class PlainConnection(_Leaving, Connection):
    """To one fixed address, such as that of the master's Service."""


class PlainSSLConnection(_Leaving, SSLConnection):
    """The same with TLS."""


class PlainSocketConnection(_Leaving, UnixDomainSocketConnection):
    """The same over a local socket."""


class SentinelConnection(_Leaving, SentinelManagedConnection):
    """To the master that the sentinels name."""

    async def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        # redis-py 5 has no such method and always asks.
        if retry_socket_connect and not self.is_connected and self.connection_pool.is_master:
            self.host, self.port = await self.connection_pool.get_master_address()
        await super().connect_check_health(check_health, retry_socket_connect=False)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            # Not SentinelManagedConnection's, which hides READONLY.
            return await Connection.read_response(self, *args, **kwargs)
        except ResponseError as error:
            self.is_outdated = self.is_outdated or error_code(error) in LEAVE
            raise


class MasterPool(ConnectionPool):
    """Connects outside of any lock, marks what failed before a command was sent, closes what leads to a replica."""

    policy: Policy
    metrics: Metrics
    on_master: Callable[[AbstractConnection], None]
    last_error: BaseException | None = None  # of the connection, whether a repeat has made it good or not

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        connection: Any = self.get_available_connection()  # type: ignore[no-untyped-call, unused-ignore]
        try:
            await self.ensure_connection(connection)
        except (TimeoutError, RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            await self.release(connection)
            mark_not_sent(error)
            raise
        except BaseException:
            await self.release(connection)
            raise
        self.on_master(connection)
        return connection

    def get_available_connection(self) -> Any:
        in_use, most = len(self._in_use_connections), self.max_connections
        if not self._available_connections and in_use >= most:
            error = PoolExhausted(f"REDIS_MAX_CONNECTIONS exceeded: all {most} connections are in use")
            mark_not_sent(error)
            raise error
        return super().get_available_connection()  # type: ignore[no-untyped-call, unused-ignore]

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        await connection.connect()  # type: ignore[no-untyped-call, unused-ignore]
        if await self._is_stale(connection):
            await connection.disconnect()
            await connection.connect()  # type: ignore[no-untyped-call, unused-ignore]

    async def _is_stale(self, connection: AbstractConnection) -> bool:
        """Closed by the other side meanwhile, or with something unread in it."""
        try:
            return bool(await connection.can_read_destructive())  # type: ignore[no-untyped-call, unused-ignore]
        except (RedisError, OSError):
            return True

    async def release(self, connection: AbstractConnection) -> None:
        if getattr(connection, "is_outdated", False):
            connection.is_outdated = False  # type: ignore[attr-defined]
            await connection.disconnect(nowait=True)
        await super().release(connection)


class PlainPool(MasterPool):
    """To one address."""


class SentinelPool(MasterPool, SentinelConnectionPool):
    """To the master that the sentinels name; idle connections to another one are closed when the name changes."""
