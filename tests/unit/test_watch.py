"""Hints between two reconciles, on a virtual clock: what is listened to, what enqueues, and what ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from contex_operator.assist import Key, Seen
from contex_operator.errors import RedisError, RedisUnreachable
from contex_operator.redisio import RedisIO
from contex_operator.topology import judge
from contex_operator.views import Command, Reply
from contex_operator.watch import CHANNELS, MIND_EVERY_S, RETRY_S, Watcher

from tests.unit.world import R0, R1, SENTINELS, M, address_of, gone, healthy, replicated, snapshot

pytestmark = pytest.mark.looptime
KEY: Key = ("shop", "redis")
TOPOLOGY = judge(healthy(), sentinels=3)
ADDRESSES = tuple(address_of(s) for s in SENTINELS)
SEEN = Seen(spec=replicated(), topology=TOPOLOGY, sentinels=ADDRESSES, password="p", sentinel_password="s")


class Wire(RedisIO):
    """Connections that the test holds in its hands: `say` to a listener, `end` of any connection."""

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, asyncio.Queue[str | None]] = {}
        self.made: list[tuple[str, int, str | None]] = []
        self.refuses = False
        self.broken: list[str] = []
        self.roles: dict[str, str] = {}
        self.refused: dict[str, int] = {}

    async def read(self, address: str, port: int, commands: Sequence[Command], **_: object) -> list[Reply]:
        assert tuple(commands) == (("ROLE",), ("INFO", "errorstats"))
        if address not in self.roles:
            raise RedisUnreachable(address, "refused", "connection refused")
        refused = self.refused.get(address, 0)
        text = f"# Errorstats\r\nerrorstat_READONLY:count={refused}\r\n" if refused else "# Errorstats\r\n"
        return [[self.roles[address], "0", []], text]

    def on_break(self, key: Key, address: str) -> None:
        assert key == KEY
        self.broken.append(address)

    def _connect(self, address: str, port: int, password: str | None) -> asyncio.Queue[str | None]:
        self.made.append((address, port, password))
        if self.refuses:
            raise RedisUnreachable(address, "refused", "connection refused")
        self.open[address] = asyncio.Queue()
        return self.open[address]

    async def listen(
        self, address: str, port: int, channels: Sequence[str], *, password: str | None
    ) -> AsyncIterator[str]:
        assert tuple(channels) == CHANNELS
        queue = self._connect(address, port, password)
        try:
            yield ""
            while (said := await queue.get()) is not None:
                yield said
            raise RedisUnreachable(address, "closed", "connection was closed by the other side")
        finally:
            del self.open[address]

    async def wait_closed(self, address: str, port: int, *, password: str | None) -> RedisError:
        queue = self._connect(address, port, password)
        try:
            await queue.get()
            return RedisUnreachable(address, "closed", "connection was closed by the other side")
        finally:
            del self.open[address]

    def say(self, address: str, message: str = "+switch-master mymaster …") -> None:
        self.open[address].put_nowait(message)

    def end(self, address: str) -> None:
        self.open[address].put_nowait(None)


class Hints:
    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, key: Key) -> None:
        assert key == KEY
        self.times.append(asyncio.get_running_loop().time())

    def fresh(self) -> int:
        """How many since the last look."""
        count = len(self.times)
        self.times.clear()
        return count


async def watching(seen: Seen = SEEN) -> tuple[Watcher, Wire, Hints]:
    wire, hints = Wire(), Hints()
    watcher = Watcher(wire, hints, on_break=wire.on_break)
    watcher.seen(KEY, seen)
    await asyncio.sleep(0.01)
    return watcher, wire, hints


async def test_every_sentinel_is_listened_to_and_the_master_is_held() -> None:
    watcher, wire, hints = await watching()
    assert set(wire.made) == {*((a, 26379, "s") for a in ADDRESSES), (address_of(M), 6379, "p")}
    assert hints.fresh() == 3, "what came before a subscription was missed: look once"
    await watcher.close()
    assert wire.open == {}


async def test_an_announcement_is_a_hint() -> None:
    watcher, wire, hints = await watching()
    hints.fresh()
    wire.say(ADDRESSES[1])
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    assert hints.fresh() == 1
    await watcher.close()


async def test_the_end_of_the_connection_to_the_master_is_a_hint_at_once() -> None:
    watcher, wire, hints = await watching()
    hints.fresh()
    before = asyncio.get_running_loop().time()
    wire.end(address_of(M))
    await asyncio.sleep(0.001)
    assert hints.times == pytest.approx([before], abs=0.001)
    assert wire.broken == [address_of(M)], "who proves a crash has to hear which connection it was"
    await watcher.close()


async def test_a_replica_that_says_it_is_master_is_a_hint_within_a_second_and_until_it_is_none() -> None:
    watcher, wire, hints = await watching(replace(SEEN, replicas=(address_of(R0), address_of(R1))))
    wire.roles = {address_of(R0): "slave"}  # R1 does not answer
    hints.fresh()
    await asyncio.sleep(3 * MIND_EVERY_S)
    assert hints.fresh() == 0
    wire.roles[address_of(R0)] = "master"
    await asyncio.sleep(2.5 * MIND_EVERY_S)
    assert hints.fresh() == 2
    wire.roles[address_of(R0)] = "slave"
    await asyncio.sleep(3 * MIND_EVERY_S)
    assert hints.fresh() == 0
    await watcher.close()


async def test_a_replica_that_refuses_writes_is_a_hint_while_it_goes_on() -> None:
    watcher, wire, hints = await watching(replace(SEEN, replicas=(address_of(R0),)))
    wire.roles, wire.refused = {address_of(R0): "slave"}, {address_of(R0): 5}
    hints.fresh()
    await asyncio.sleep(2.5 * MIND_EVERY_S)
    assert hints.fresh() == 0, "what was refused before is for the look at all of it"
    wire.refused[address_of(R0)] = 6
    await asyncio.sleep(3 * MIND_EVERY_S)
    assert hints.fresh() == 1
    wire.refused[address_of(R0)] = 0  # its process began anew
    await asyncio.sleep(2 * MIND_EVERY_S)
    assert hints.fresh() == 0
    await watcher.close()


async def test_connections_that_end_are_made_again_after_a_pause() -> None:
    watcher, wire, _ = await watching()
    made = len(wire.made)
    wire.end(ADDRESSES[0])
    wire.end(address_of(M))
    await asyncio.sleep(RETRY_S * 0.9)
    assert len(wire.made) == made
    await asyncio.sleep(RETRY_S * 0.2)
    assert len(wire.made) == made + 2
    await watcher.close()


async def test_an_address_that_refuses_is_tried_about_once_a_second_and_gives_no_hints() -> None:
    watcher, wire, hints = await watching()
    wire.refuses = True
    wire.end(address_of(M))
    await asyncio.sleep(0.01)
    hints.fresh()
    made = len(wire.made)
    await asyncio.sleep(10)
    assert len(wire.made) - made == 10
    assert hints.fresh() == 0
    await watcher.close()


async def test_the_same_picture_again_opens_nothing_anew() -> None:
    watcher, wire, _ = await watching()
    made = len(wire.made)
    for _ in range(5):
        watcher.seen(KEY, SEEN)
        await asyncio.sleep(1)
    assert len(wire.made) == made
    await watcher.close()


async def test_a_new_master_or_password_is_followed_and_the_old_one_let_go() -> None:
    watcher, wire, _ = await watching()
    topology = judge(snapshot([gone(M)], healthy().sentinels), sentinels=3)
    assert topology.master is None
    watcher.seen(KEY, replace(SEEN, topology=topology))
    await asyncio.sleep(0.01)
    assert set(wire.open) == set(ADDRESSES)
    wire.made.clear()
    watcher.seen(KEY, replace(SEEN, password="new", sentinels=ADDRESSES[:2]))
    await asyncio.sleep(0.01)
    assert wire.made == [(address_of(M), 6379, "new")]
    assert set(wire.open) == {*ADDRESSES[:2], address_of(M)}
    await watcher.close()


async def test_a_resource_that_is_gone_is_not_watched() -> None:
    watcher, wire, hints = await watching()
    watcher.seen(KEY, None)
    await asyncio.sleep(5)
    assert wire.open == {}
    hints.fresh()
    watcher.seen(KEY, None)
    await asyncio.sleep(5)
    assert hints.fresh() == 0
