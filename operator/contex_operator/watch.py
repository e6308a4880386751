"""Hints between two reconciles: the sentinels' announcements, the break of a connection to the master, a replica that
says it is master or that clients write to.

A hint only enqueues a key, it decides nothing: pub/sub delivers at most once and a hung sentinel is never noticed,
so the truth is always asked for again (redis-py behaves so in every release, measured). Called by app and reconcile.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from typing import Final

from . import names
from .assist import Key, Seen
from .errors import RedisError, RedisUnreachable
from .redisio import RedisIO
from .views import Command, error_counts, parse_info

log = logging.getLogger(__name__)

CHANNELS: Final = (
    "+switch-master",
    "+sdown",
    "-sdown",
    "+odown",
    "-odown",
    "+failover-end",
    "+tilt",
    "-tilt",
)
RETRY_S: Final = 1.0
# A second master takes writes that will be lost, and Sentinel hears of it at its next INFO, within 10 s.
MIND_EVERY_S: Final = 1.0
_MINDED: Final[tuple[Command, ...]] = (("ROLE",), ("INFO", "errorstats"))


class _Way(enum.Enum):
    """How a target is watched."""

    LISTEN = "listen"  # a sentinel's announcements
    STAND = "stand"  # the master's standing connection
    MIND = "mind"  # a replica's role, and whether clients write to it


_Target = tuple[str, int, str | None]  # address, port, password


class Watcher:
    """Keeps one listener per sentinel and one standing connection per master, and asks the other data nodes for their
    role and their refusals, for each key that was seen.
    """

    def __init__(
        self, redis: RedisIO, enqueue: Callable[[Key], None], *, on_break: Callable[[Key, str], None]
    ) -> None:
        self._redis = redis
        self._enqueue = enqueue
        self._on_break = on_break
        self._tasks: dict[Key, dict[_Target, asyncio.Task[None]]] = {}

    def seen(self, key: Key, seen: Seen | None) -> None:
        """Take over what a reconcile saw: start what is missing, end what is no longer there."""
        running = self._tasks.setdefault(key, {})
        wanted = {} if seen is None else _targets(seen)
        for target in [target for target in running if target not in wanted]:
            running.pop(target).cancel()
        ways = {_Way.LISTEN: self._listen, _Way.STAND: self._stand, _Way.MIND: self._mind}
        for target, way in wanted.items():
            if target not in running:
                serve = ways[way]
                running[target] = asyncio.create_task(serve(key, target), name=f"watch {target[0]}")
        if not running:
            del self._tasks[key]

    async def close(self) -> None:
        tasks = [task for running in self._tasks.values() for task in running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    async def _listen(self, key: Key, target: _Target) -> None:
        address, port, password = target
        while True:
            try:
                async for _ in self._redis.listen(address, port, CHANNELS, password=password):
                    self._enqueue(key)  # also when the subscription stands: what came before it was missed
            except RedisError as error:
                log.debug("listening to %s ended: %s", address, error)
            await asyncio.sleep(RETRY_S)

    async def _stand(self, key: Key, target: _Target) -> None:
        address, port, password = target
        while True:
            try:
                ended = await self._redis.wait_closed(address, port, password=password)
                if isinstance(ended, RedisUnreachable) and ended.kind == "closed":
                    self._on_break(key, address)
                self._enqueue(key)
            except RedisError as error:
                log.debug("no standing connection to %s: %s", address, error)
            await asyncio.sleep(RETRY_S)

    async def _mind(self, key: Key, target: _Target) -> None:
        address, port, password = target
        known: int | None = None
        while True:
            await asyncio.sleep(MIND_EVERY_S)
            try:
                role, info = await self._redis.read(address, port, _MINDED, password=password)
                before, known = known, error_counts(parse_info(info)).get("READONLY", 0)
                is_master = isinstance(role, list) and role[:1] == ["master"]
                if is_master or (before is not None and known > before):
                    self._enqueue(key)
            except RedisError as error:
                log.debug("%s does not tell its role: %s", address, error)


def _targets(seen: Seen) -> dict[_Target, _Way]:
    """What to watch, and how."""
    targets = {(a, names.SENTINEL_PORT, seen.sentinel_password): _Way.LISTEN for a in seen.sentinels}
    targets |= {(a, names.REDIS_PORT, seen.password): _Way.MIND for a in seen.replicas}
    # The pod's own address, not its Service's: only that one refuses for no other reason than a dead process.
    if seen.crash is not None:
        targets[seen.crash.pod_address, names.REDIS_PORT, seen.password] = _Way.STAND
    elif seen.topology.master is not None and seen.topology.master.address is not None:
        targets[seen.topology.master.address, names.REDIS_PORT, seen.password] = _Way.STAND
    return targets
