"""The queue on a virtual clock: one run per key at a time, bursts, backoff, waiting and draining."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Callable

import pytest
from contex_operator.workqueue import BACKOFF_S, PAUSE_S, WorkQueue

pytestmark = pytest.mark.looptime


class Work:
    """Notes when each run begins and how many run at once; answers and fails as it is told."""

    def __init__(self, *, takes_s: float = 0.0, again: float | None = None) -> None:
        self.takes_s = takes_s
        self.again: Callable[[int], float | None] = lambda _: again
        self.fails: Callable[[int], bool] = lambda _: False
        self.began: dict[str, list[float]] = defaultdict(list)
        self.ended: dict[str, int] = defaultdict(int)
        self._running: dict[str, int] = defaultdict(int)
        self.most_of_one_key = 0
        self.most_of_all = 0

    async def __call__(self, key: str) -> float | None:
        run = len(self.began[key])
        self.began[key].append(round(asyncio.get_running_loop().time(), 6))
        self._running[key] += 1
        self.most_of_one_key = max(self.most_of_one_key, self._running[key])
        self.most_of_all = max(self.most_of_all, sum(self._running.values()))
        try:
            await asyncio.sleep(self.takes_s)
            if self.fails(run):
                raise RuntimeError("no")
            return self.again(run)
        finally:
            self._running[key] -= 1
            self.ended[key] += 1


async def test_a_key_runs_at_once_and_ends() -> None:
    work = Work()
    queue = WorkQueue(work)
    queue.add("a")
    await asyncio.sleep(1)
    assert work.began == {"a": [0.0]}
    assert queue.keys == ()


async def test_a_key_never_runs_twice_at_once_and_other_keys_do_not_wait() -> None:
    work = Work(takes_s=1.0)
    queue = WorkQueue(work)
    for _ in range(20):
        queue.add("a")
        queue.add("b")
        await asyncio.sleep(0.2)
    await asyncio.sleep(5)
    assert work.most_of_one_key == 1
    assert work.most_of_all == 2
    assert queue.keys == ()


async def test_a_burst_becomes_one_run_and_hints_during_a_run_one_more() -> None:
    work = Work(takes_s=1.0)
    queue = WorkQueue(work)
    for _ in range(10):
        queue.add("a")
    await asyncio.sleep(0.5)
    for _ in range(10):
        queue.add("a")
    await asyncio.sleep(5)
    assert work.began["a"] == [0.0, 1.0 + PAUSE_S]


async def test_hints_directly_after_a_run_wait_for_the_others_of_their_burst() -> None:
    work = Work()
    queue = WorkQueue(work)
    work.again = lambda _: 60.0
    queue.add("a")
    await asyncio.sleep(0.001)
    for _ in range(6):
        queue.add("a")
        await asyncio.sleep(PAUSE_S / 10)
    await asyncio.sleep(5)
    assert work.began["a"] == [0.0, PAUSE_S]
    await queue.close()


async def test_the_answer_says_when_the_next_run_is() -> None:
    work = Work()
    work.again = lambda run: 10.0 if run < 2 else None
    queue = WorkQueue(work)
    queue.add("a")
    await asyncio.sleep(60)
    assert work.began["a"] == [0.0, 10.0 + PAUSE_S, 20.0 + 2 * PAUSE_S]
    assert queue.keys == ()


async def test_a_hint_does_not_wait_for_the_time_to_come() -> None:
    work = Work(again=1000.0)
    queue = WorkQueue(work)
    queue.add("a")
    await asyncio.sleep(3)
    queue.add("a")
    await asyncio.sleep(1)
    assert work.began["a"] == [0.0, 3.0]
    await queue.close()


async def test_a_key_that_has_ended_can_be_added_again() -> None:
    work = Work()
    queue = WorkQueue(work)
    for _ in range(3):
        queue.add("a")
        await asyncio.sleep(1)
    assert work.began["a"] == [0.0, 1.0, 2.0]


async def test_a_hint_during_the_last_run_is_not_lost() -> None:
    work = Work(takes_s=1.0, again=None)
    queue = WorkQueue(work)
    queue.add("a")
    await asyncio.sleep(0.9)
    queue.add("a")
    await asyncio.sleep(5)
    assert len(work.began["a"]) == 2


async def test_failures_are_tried_again_ever_later_and_success_forgets_them() -> None:
    work = Work()
    work.fails = lambda run: run < 9 or run == 10
    work.again = lambda run: 100.0 if run == 9 else None
    queue = WorkQueue(work)
    queue.add("a")
    await asyncio.sleep(500)
    began = work.began["a"]
    gaps = [round(b - a - PAUSE_S, 3) for a, b in itertools.pairwise(began)]
    assert gaps == [*BACKOFF_S, BACKOFF_S[-1], BACKOFF_S[-1], 100.0, BACKOFF_S[0]]
    assert queue.keys == ()


async def test_a_failing_key_does_not_disturb_another() -> None:
    work = Work()
    queue = WorkQueue(work)
    work.fails = lambda _: True
    queue.add("a")
    await asyncio.sleep(0.01)
    work.fails = lambda _: False
    queue.add("b")
    await asyncio.sleep(0.01)
    assert (work.ended["b"], queue.keys) == (1, ("a",))
    await queue.close()


async def test_draining_ends_what_runs_and_begins_nothing() -> None:
    work = Work(takes_s=2.0, again=5.0)
    queue = WorkQueue(work)
    queue.add("running")
    await asyncio.sleep(1)
    queue.add("running")
    idle = Work(again=100.0)
    other = WorkQueue(idle)
    other.add("waiting")
    await asyncio.sleep(0.5)
    began = asyncio.get_running_loop().time()
    await other.drain()
    assert asyncio.get_running_loop().time() == began, "a key that waits held the drain up"
    await queue.drain()
    assert asyncio.get_running_loop().time() == pytest.approx(2.0)
    queue.add("late")
    await asyncio.sleep(100)
    assert dict(work.ended) == {"running": 1}
    assert dict(idle.ended) == {"waiting": 1}


async def test_closing_cancels_what_runs() -> None:
    work = Work(takes_s=1000.0)
    queue = WorkQueue(work)
    queue.add("a")
    await asyncio.sleep(1)
    await queue.close()
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)
    assert work.ended["a"] == 1


async def test_a_stuck_run_shows() -> None:
    work = Work(takes_s=1000.0)
    queue = WorkQueue(work)
    assert queue.longest_run_s() == 0
    queue.add("a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert queue.longest_run_s() > 0
    await queue.close()
    assert queue.longest_run_s() == 0


async def test_what_waits_is_counted_and_timed() -> None:
    work = Work(takes_s=1.0)
    queue = WorkQueue(work)
    assert (queue.depth, queue.oldest_wait_s()) == (0, 0.0)
    queue.add("a")
    queue.add("b")
    assert queue.depth == 2
    await asyncio.sleep(0.5)
    assert (queue.depth, queue.oldest_wait_s()) == (0, 0.0), "both run"
    queue.add("a")
    while queue.oldest_wait_s() < 0.02:
        time.sleep(0.001)  # noqa: ASYNC251 - the queue's clock is the real one
    queue.add("a")
    assert queue.depth == 1
    assert queue.oldest_wait_s() >= 0.02, "asking again makes a wait younger"
    await queue.close()
