"""The stand-in's one way to Redis, and what became of a command: done, not done, or unknown.

CONTEX_CLIENT says by which client. `package`: contex_redis. A write that may have been executed is never repeated,
whatever REDIS_RETRY_ON_TIMEOUT says, for who counts writes counts each once; a read is. `published`: redis-py exactly
as Contex uses it, which does not repeat a command and stays with a demoted master behind a URL.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final

from contex_redis import Settings, build, certainly_not_executed
from contex_redis.connecting import connected, failed
from contex_redis.errors import describe, error_code
from redis.exceptions import RedisError

from . import published, wire
from .metrics import Metrics

PACKAGE: Final = "package"
PUBLISHED: Final = "published"
log = logging.getLogger("contex.stand_in")
_served_by: ContextVar[str | None] = ContextVar("served_by", default=None)


@dataclass(frozen=True)
class Reply:
    """What Redis answered, and which process it was, where the client can know."""

    value: Any
    run_id: str | None


class _Serving(wire.Identified):
    """A connection that leaves its run id where `run` finds it."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        _served_by.set(self.run_id)
        return await super().read_response(*args, **kwargs)


class Link:
    """Use `start()` first; then `run()` from any number of tasks; `aclose()` last."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._client: Any = build(
            replace(settings, retry_on_timeout=False),
            retry_for_s=settings.socket_timeout_s,
            metrics=metrics.of_redis,
            mixin=_Serving,
        )

    async def start(self) -> None:
        """Connect once; the client says so in the log. Raises NotDone or Unanswered."""
        try:
            await self.run("PING", is_read=True)
        except wire.WireError as error:
            log.error("%s", failed(self._settings, error.__cause__ or error))
            raise

    async def run(self, *command: str | bytes | int, is_read: bool = False) -> Reply:
        """Run one command on the master. Raises NotDone or Unanswered."""
        deadline = time.monotonic() + self._settings.socket_timeout_s
        while True:
            _served_by.set(None)
            try:
                value = await self._client.execute_command(*command)
            except (RedisError, OSError) as error:
                is_certain = certainly_not_executed(error)
                may_repeat = is_read and self._settings.retry_on_timeout and not is_certain
                if not may_repeat or time.monotonic() > deadline:
                    raise outcome(error, is_certain=is_certain) from error
                continue
            return Reply(value, _served_by.get())

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


class PublishedLink(Link):
    """The same by redis-py's own client, as Contex makes it of the environment."""

    def __init__(self, settings: Settings, env: Mapping[str, str]) -> None:
        self._settings = settings
        self._client, self._sentinel = published.client(env)

    async def start(self) -> None:
        """Connect and say what Contex says."""
        try:
            await self._client.ping()
            if self._sentinel is None:
                log.info("%s", connected(self._settings, *self._address()))
            else:
                master = await self._sentinel.discover_master(self._settings.sentinel_master)
                log.info("%s", connected(self._settings, str(master[0]), int(master[1])))
        except Exception as error:
            # Whatever it is, a TypeError of redis-py too: Contex says it and ends.
            log.error("%s", failed(self._settings, error))
            raise wire.NotDone(wire.CONNECT, describe(error)) from error

    async def run(self, *command: str | bytes | int, is_read: bool = False) -> Reply:
        """Run one command, once. Raises NotDone or Unanswered."""
        try:
            return Reply(await self._client.execute_command(*command), None)
        except (RedisError, OSError) as error:
            raise outcome(error, is_certain=certainly_not_executed(error)) from error

    def _address(self) -> tuple[str, int]:
        kwargs = self._client.connection_pool.connection_kwargs
        return str(kwargs.get("host", "")), int(kwargs.get("port", 6379))


def outcome(error: BaseException, *, is_certain: bool) -> wire.WireError:
    """`error` as what it means for the command."""
    if not is_certain:
        return wire.Unanswered(describe(error))
    code = error_code(error)
    return wire.NotDone(wire.CONNECT if code in (None, "ERR") else str(code), describe(error))
