"""Which master the client believes in: the newest configuration of a majority, however late the rest
answers.
"""

from __future__ import annotations

import asyncio
from itertools import permutations
from typing import Any, cast

import pytest
from contex_redis.discovery import Opinion, Sentinels, choose
from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


def opinion(host: str, epoch: int, *, usable: bool = True) -> Opinion:
    return Opinion(host, 6379, epoch, usable)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_newest_configuration_wins_in_any_order(order: tuple[int, ...]) -> None:
    opinions = [opinion("old", 1), opinion("old", 1), opinion("new", 2)]
    chosen = choose([opinions[i] for i in order])
    assert chosen is not None
    assert chosen.host == "new"


def test_an_older_configuration_is_no_fallback_when_the_newest_is_down() -> None:
    assert choose([opinion("old", 1), opinion("new", 2, usable=False)]) is None


def test_one_sentinel_that_lost_sight_of_the_master_does_not_take_it_away() -> None:
    chosen = choose([opinion("m", 1, usable=False), opinion("m", 1)])
    assert chosen == opinion("m", 1)


def test_nobody_knows() -> None:
    assert choose([]) is None


class Answering:
    """A sentinel that answers after a while, or fails."""

    def __init__(
        self, host: str, epoch: int, *, after_s: float = 0.0, flags: str = "master", others: int = 2
    ) -> None:
        self.host, self.epoch, self.after_s, self.flags, self.others = host, epoch, after_s, flags, others
        self.finished = False
        self.asked = 0

    async def sentinel_master(self, _: str) -> dict[str, Any]:
        self.asked += 1
        await asyncio.sleep(self.after_s)
        self.finished = True
        if self.host == "":
            raise RedisConnectionError("refused")
        if self.host == "silent":
            raise RedisTimeoutError("no answer")
        return {
            "ip": self.host,
            "port": 6379,
            "config-epoch": self.epoch,
            "is_master": True,
            "is_sdown": "s_down" in self.flags,
            "is_odown": False,
            "num-other-sentinels": self.others,
        }

    async def aclose(self) -> None:
        return


def ask(*answering: Answering, min_other_sentinels: int = 0) -> Sentinels:
    sentinels = Sentinels([], password=None, min_other_sentinels=min_other_sentinels)
    sentinels.sentinels = cast("list[Redis]", list(answering))
    return sentinels


async def test_two_of_three_are_enough_and_the_third_is_not_cut_off() -> None:
    slow = Answering("old", 1, after_s=0.3)
    sentinels = ask(Answering("new", 2, after_s=0.05), Answering("new", 2), slow)
    began = asyncio.get_running_loop().time()
    assert await sentinels.discover_master("m") == ("new", 6379)
    assert asyncio.get_running_loop().time() - began < 0.25
    assert not slow.finished
    await asyncio.sleep(0.4)
    assert slow.finished, "a question that is cut off costs its connection"
    await sentinels.aclose()


async def test_the_first_answer_alone_is_not_believed_while_others_may_know_better() -> None:
    sentinels = ask(Answering("old", 1), Answering("new", 2, after_s=0.05), Answering("new", 2, after_s=0.05))
    assert await sentinels.discover_master("m") == ("new", 6379)
    await sentinels.aclose()


async def test_one_reachable_sentinel_is_enough_when_the_others_fail() -> None:
    sentinels = ask(Answering("", 0), Answering("m", 1, after_s=0.05), Answering("", 0))
    assert await sentinels.discover_master("m") == ("m", 6379)
    await sentinels.aclose()


async def test_no_usable_master_says_what_each_sentinel_said() -> None:
    sentinels = ask(Answering("m", 1, flags="s_down"), Answering("", 0), Answering("", 0))
    with pytest.raises(MasterNotFoundError, match=r"m:6379 is not usable.*refused"):
        await sentinels.discover_master("m")
    await sentinels.aclose()


async def test_closing_ends_questions_that_nobody_waits_for() -> None:
    slow = Answering("m", 1, after_s=60)
    sentinels = ask(Answering("m", 1), Answering("m", 1), slow)
    await sentinels.discover_master("m")
    await asyncio.wait_for(sentinels.aclose(), 1)
    assert not slow.finished


async def test_silent_sentinels_cost_their_timeout_once_and_count_again_when_they_answer() -> None:
    silent = [Answering("silent", 0, after_s=0.3), Answering("silent", 0, after_s=0.3)]
    sentinels = ask(Answering("m", 1), *silent)
    clock = asyncio.get_running_loop().time
    began = clock()
    assert await sentinels.discover_master("m") == ("m", 6379)
    assert clock() - began >= 0.3, "one of three is no majority: the others are waited for"
    began = clock()
    assert await sentinels.discover_master("m") == ("m", 6379)
    assert clock() - began < 0.2
    for each in silent:
        each.host, each.epoch, each.after_s = "new", 2, 0.0
    while not all(each.asked == 3 for each in silent):
        await sentinels.discover_master("m")
        await asyncio.sleep(0)
    assert await sentinels.discover_master("m") == ("new", 6379)
    await sentinels.aclose()


async def test_a_sentinel_that_is_alone_is_not_believed() -> None:
    cut_off = Answering("old", 1, others=0)
    sentinels = ask(cut_off, Answering("", 0), Answering("", 0), min_other_sentinels=1)
    with pytest.raises(MasterNotFoundError, match="knows 0 others, fewer than 1"):
        await sentinels.discover_master("m")
    cut_off.others = 1
    assert await sentinels.discover_master("m") == ("old", 6379)
    await sentinels.aclose()


async def test_who_asks_while_another_asks_gets_the_same_answer() -> None:
    each = [Answering("m", 1, after_s=0.05) for _ in range(3)]
    sentinels = ask(*each)
    found = await asyncio.gather(*(sentinels.discover_master("m") for _ in range(50)))
    assert set(found) == {("m", 6379)}
    assert [one.asked for one in each] == [1, 1, 1]
    await sentinels.aclose()


async def test_a_caller_that_is_cancelled_leaves_the_others_their_answer() -> None:
    sentinels = ask(*(Answering("m", 1, after_s=0.1) for _ in range(3)))
    first = asyncio.create_task(sentinels.discover_master("m"))
    second = asyncio.create_task(sentinels.discover_master("m"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ("m", 6379)
    await sentinels.aclose()
