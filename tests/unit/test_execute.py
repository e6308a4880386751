"""What the hands do beyond one call for each action, on a virtual clock."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
from contex_operator.actions import Action, Apply, KillClients
from contex_operator.execute import Executor
from contex_operator.failpoints import Failpoints
from contex_operator.kube import Kube
from contex_operator.moves.switchover import KILL_FOR_S
from contex_operator.redisio import RedisIO

from tests.unit.world import R0, address_of, healthy, replicated

KILL = KillClients(pod=R0, address=address_of(R0), run_id="run")
SERVICE = Apply(body={"kind": "Service", "metadata": {"name": "redis-master"}}, why="leads to another pod")
PROXIES_FOLLOW_AFTER_S = 1.2  # kube-proxy's minSyncPeriod, and a little


class Redis:
    """Remembers when the clients of a node were closed."""

    def __init__(self) -> None:
        self.killed_at: list[float] = []
        self.commands: list[tuple[str | int, ...]] = []

    async def change(self, address: str, port: int, command: tuple[str | int, ...], **_: Any) -> None:
        self.commands.append(command)
        self.killed_at.append(asyncio.get_running_loop().time())


class Api:
    """Takes everything."""

    async def apply(self, *_: Any, **__: Any) -> None:
        return None


async def run(*actions: Action, redis: Redis | None = None) -> list[float]:
    """Carry the actions out; when clients were closed, counted from the beginning."""
    redis = redis or Redis()
    executor = Executor(
        cast("Kube", Api()),
        cast("RedisIO", redis),
        spec=replicated(),
        observed=healthy(),
        passwords=(None, None),
        may_write=lambda _: None,
        failpoints=Failpoints(),
    )
    began = asyncio.get_running_loop().time()
    await executor.run(actions)
    return [at - began for at in redis.killed_at]


@pytest.mark.looptime
async def test_clients_of_a_demoted_master_are_closed_until_every_proxy_has_followed_the_service() -> None:
    """Closed once, right after the Service has moved, they come back to the same node and stay on READONLY (a
    master deleted while no operator led; chaos, seed 1 round 3)."""
    killed_at = await run(SERVICE, KILL)
    assert killed_at[0] == 0
    assert PROXIES_FOLLOW_AFTER_S < killed_at[-1] <= KILL_FOR_S + 0.1
    gaps = [b - a for a, b in pairwise(killed_at)]
    assert max(gaps) < 0.2


@pytest.mark.looptime
async def test_where_the_service_stays_once_is_enough() -> None:
    redis = Redis()
    assert await run(KILL, redis=redis) == [0]
    assert redis.commands == [("CLIENT", "KILL", "TYPE", "normal")]


@pytest.mark.looptime
async def test_clients_that_are_named_are_closed_and_nobody_else() -> None:
    redis = Redis()
    assert await run(SERVICE, replace(KILL, ids=(7, 9)), redis=redis) == [0, 0]
    assert redis.commands == [("CLIENT", "KILL", "ID", 7), ("CLIENT", "KILL", "ID", 9)]
