"""The client: redis-py's, whose commands, pipelines and subscriptions outlive a failover.

A command is tried again, each time on a connection to whoever is master then, as long as `Policy` allows. Nothing
below retries, so that the deadline holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline as RedisPipeline
from redis.asyncio.client import PubSub as RedisPubSub
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .errors import is_lost
from .policy import pause_s
from .pool import MasterPool

_Errors = (RedisError, OSError, asyncio.TimeoutError)


class Client(Redis):
    """A Redis client on a pool of `pool`; made by `build` or `connect`."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command on the master; its error is the last attempt's."""
        started = time.perf_counter()
        try:
            try:
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call, unused-ignore]
            except _Errors as error:
                if not self._goes_on(error, attempts=1, started=started):
                    raise
            return await self._again(started, lambda: Redis.execute_command(self, *args, **options))  # type: ignore[no-untyped-call, unused-ignore]
        finally:
            name = args[0] if isinstance(args[0], str) else str(args[0])
            self._pool.metrics.observe(name, time.perf_counter() - started)

    @property
    def _pool(self) -> MasterPool:
        return cast("MasterPool", self.connection_pool)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Like redis-py's; `execute` is repeated like a command."""
        return Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint, owner=self)

    def pubsub(self, **kwargs: Any) -> PubSub:
        """Like redis-py's; it subscribes again at the next master by itself."""
        return PubSub(self.connection_pool, event_dispatcher=self._event_dispatcher, **kwargs)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections, those to the sentinels too."""
        pool = self.connection_pool
        await super().aclose(close_connection_pool=close_connection_pool is not False)
        sentinels = getattr(pool, "sentinel_manager", None)
        if sentinels is not None and close_connection_pool is not False:
            await sentinels.aclose()

    async def _again(
        self, started: float, attempt: Callable[[], Awaitable[Any]], *, is_whole: bool = True
    ) -> Any:
        """Attempt number two and following. `started` by `time.perf_counter`."""
        attempts = 1
        while True:
            await asyncio.sleep(pause_s(attempts))
            attempts += 1
            try:
                return await attempt()
            except _Errors as error:
                if not self._goes_on(error, attempts=attempts, started=started, is_whole=is_whole):
                    raise

    def _goes_on(self, error: BaseException, *, attempts: int, started: float, is_whole: bool = True) -> bool:
        policy = self._pool.policy
        if policy.counts(error):
            self._pool.metrics.count_error(error)
            self._pool.last_error = error
        if not policy.may_repeat(error, is_whole=is_whole):
            return False
        return time.perf_counter() - started + pause_s(attempts) < policy.retry_for_s


class Pipeline(RedisPipeline):
    """A pipeline that is repeated as a whole. One that watches keys is not: what it watched is gone."""

    def __init__(self, *args: Any, owner: Client, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owner = owner

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Run all commands; in a transaction all or none are executed."""
        owner = self._owner
        started = time.perf_counter()
        stack, scripts = list(self.command_stack), set(self.scripts)
        is_explicit, is_watching = self.explicit_transaction, bool(self.watching)
        is_whole = bool(self.is_transaction or is_explicit)

        async def again() -> list[Any]:
            # An execution that failed has emptied the pipeline.
            self.command_stack, self.scripts = list(stack), set(scripts)
            self.explicit_transaction = is_explicit
            return await RedisPipeline.execute(self, raise_on_error)

        try:
            try:
                return await super().execute(raise_on_error)
            except _Errors as error:
                goes_on = owner._goes_on(error, attempts=1, started=started, is_whole=is_whole)
                if is_watching or not goes_on:
                    raise
            return cast("list[Any]", await owner._again(started, again, is_whole=is_whole))
        finally:
            owner._pool.metrics.observe("PIPELINE", time.perf_counter() - started)


class PubSub(RedisPubSub):
    """A subscription that is made again, at whoever is master then, when its connection breaks or says nothing for
    REDIS_SOCKET_TIMEOUT: a frozen node is silent too.
    """

    async def _execute(self, conn: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        pool = cast("MasterPool", self.connection_pool)
        is_broken, attempts = False, 0
        deadline = pool.policy.deadline()
        while True:
            try:
                if is_broken:
                    await conn.disconnect(nowait=True)
                    await conn.connect()  # asks who is master, and subscribes again
                    is_broken = False
                return await command(*args, **kwargs)
            except _Errors as error:
                if not is_lost(error):
                    raise
                if isinstance(error, RedisTimeoutError) and not args and not is_broken:
                    is_broken, attempts, deadline = True, 0, pool.policy.deadline()  # nothing was published
                    continue
                pool.metrics.count_error(error)
                is_broken, attempts = True, attempts + 1
                if time.monotonic() + pause_s(attempts) > deadline:
                    raise
            await asyncio.sleep(pause_s(attempts))
