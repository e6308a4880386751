"""Which node is the master: all sentinels are asked at once, and the newest configuration wins.

redis-py asks one sentinel after the other and believes the first: a dead first one costs a timeout, and the
sentinel that leads a failover names the old master for a second after its peers name the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .errors import describe

SENTINEL_TIMEOUT_S: Final = 0.5


@dataclass(frozen=True)
class Opinion:
    """What one sentinel says of the master."""

    host: str
    port: int
    config_epoch: int
    is_usable: bool  # neither subjectively nor objectively down, and called a master
    other_sentinels: int = 0


def choose(opinions: Sequence[Opinion]) -> Opinion | None:
    """The opinion with the highest config-epoch, if it calls its master usable. An older one is never a
    fallback.
    """
    newest = max(opinions, key=lambda o: (o.config_epoch, o.is_usable), default=None)
    return newest if newest is not None and newest.is_usable else None


class Sentinels(Sentinel):
    """redis-py's Sentinel with a discovery of its own; `master_for` and its pool use it at every connect.

    A sentinel that knows fewer than `min_other_sentinels` others is not believed: it may be cut off with an old
    master. One that did not answer in time is asked again each time, and waited for only where nobody else knows.
    """

    def __init__(
        self,
        hosts: Sequence[tuple[str, int]],
        *,
        password: str | None,
        min_other_sentinels: int = 0,
        timeout_s: float = SENTINEL_TIMEOUT_S,
        **connection: Any,
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call, unused-ignore]
            hosts,
            min_other_sentinels=min_other_sentinels,
            sentinel_kwargs={
                "password": password,
                "socket_timeout": timeout_s,
                "socket_connect_timeout": timeout_s,
                "socket_keepalive": True,
                # redis-py's default retries add seconds for each sentinel that hangs.
                "retry": Retry(NoBackoff(), 0),
            },
            **connection,
        )
        self._questions: set[asyncio.Task[Opinion]] = set()
        self._looks: dict[str, asyncio.Task[tuple[str, int]]] = {}
        self._silent: set[int] = set()  # ids of the clients whose last question ran into its timeout

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """The master's address. Returns as soon as a majority has answered; with fewer, when all that are not
        known to be silent have answered, so that one reachable sentinel is enough while nothing moves. Who asks
        while another look is under way gets its answer. Raises MasterNotFoundError.
        """
        look = self._looks.get(service_name)
        if look is None or look.done():
            look = self._looks[service_name] = asyncio.create_task(self._look(service_name))
            look.add_done_callback(_heard)
        return await asyncio.shield(look)

    async def _look(self, service_name: str) -> tuple[str, int]:
        majority = len(self.sentinels) // 2 + 1
        asked = {asyncio.create_task(self._opinion(each, service_name)): each for each in self.sentinels}
        # Whoever is slower is left to finish (its timeouts bound it): a cancelled question costs its connection.
        self._questions.update(asked)
        for task in asked:
            task.add_done_callback(self._answered)
        opinions: list[Opinion] = []
        said: list[str] = []
        waiting = set(asked)
        while waiting and len(opinions) < majority:
            if choose(opinions) is not None and all(id(asked[task]) in self._silent for task in waiting):
                break
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    opinion = task.result()
                except (RedisError, OSError) as error:
                    said.append(describe(error))
                    continue
                if opinion.other_sentinels < self.min_other_sentinels:
                    said.append(
                        f"a sentinel knows {opinion.other_sentinels} others, fewer than {self.min_other_sentinels}"
                    )
                    continue
                opinions.append(opinion)
        chosen = choose(opinions)
        if chosen is None:
            why = "; ".join([*(f"{o.host}:{o.port} is not usable" for o in opinions), *said])
            raise MasterNotFoundError(f"no sentinel names a usable master {service_name!r}: {why}")
        return chosen.host, chosen.port

    async def _opinion(self, sentinel: Redis, service_name: str) -> Opinion:
        try:
            state = await sentinel.sentinel_master(service_name)  # type: ignore[no-untyped-call, unused-ignore]
        except (TimeoutError, RedisTimeoutError):
            self._silent.add(id(sentinel))
            raise
        self._silent.discard(id(sentinel))
        return Opinion(
            host=state["ip"],
            port=int(state["port"]),
            config_epoch=int(state["config-epoch"]),
            is_usable=bool(state["is_master"]) and not state["is_sdown"] and not state["is_odown"],
            other_sentinels=int(state["num-other-sentinels"]),
        )

    def _answered(self, task: asyncio.Task[Opinion]) -> None:
        self._questions.discard(task)
        _heard(task)

    async def aclose(self) -> None:
        """End unanswered questions and close the connections to the sentinels (redis-py 5 and 7 have no such
        method).
        """
        open_tasks = [*self._questions, *self._looks.values()]
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)
        for sentinel in self.sentinels:
            await sentinel.aclose()


def _heard(task: asyncio.Task[Any]) -> None:
    """A failure that nobody waits for any more concerns nobody."""
    if not task.cancelled():
        task.exception()
