"""The keyed queue: one run per key at a time, another one after it if it was asked for meanwhile, backoff on failure.

Whoever has a hint calls `add`; hints are free and may be wrong. Called by app, fed by handlers and watch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
PAUSE_S: Final = 0.05  # between two runs of a key: a burst of hints becomes one run


@dataclass
class _Entry:
    """A key's state: `asked` = run (again) now, since `asked_at`; `busy_since` = one is under way since then."""

    asked: asyncio.Event
    task: asyncio.Task[None]
    failures: int = 0
    asked_at: float | None = None
    busy_since: float | None = None


class WorkQueue(Generic[K]):
    """Runs `work(key)` for each key that was added; its answer is the number of seconds until the next run.

    None ends the key until it is added again. An exception of `work` is logged and tried again with backoff.
    """

    def __init__(self, work: Callable[[K], Awaitable[float | None]]) -> None:
        self._work = work
        self._entries: dict[K, _Entry] = {}
        self.last_success: float = time.monotonic()
        self._draining = False

    def add(self, key: K) -> None:
        """Ask for a run of `key`, now or directly after the one that is under way."""
        if self._draining:
            return
        entry = self._entries.get(key)
        if entry is None:
            asked = asyncio.Event()
            task = asyncio.create_task(self._serve(key), name=f"work {key}")
            self._entries[key] = entry = _Entry(asked=asked, task=task)
        if entry.asked_at is None:
            entry.asked_at = time.monotonic()
        entry.asked.set()

    @property
    def keys(self) -> tuple[K, ...]:
        return tuple(self._entries)

    def longest_run_s(self) -> float:
        """How long the longest run under way has taken; 0 where none is."""
        now = time.monotonic()
        return max((now - e.busy_since for e in self._entries.values() if e.busy_since), default=0.0)

    @property
    def depth(self) -> int:
        """How many keys wait for a run that was asked for."""
        return sum(entry.asked_at is not None for entry in self._entries.values())

    def oldest_wait_s(self) -> float:
        """How long the key has waited that waits longest for a run that was asked for; 0 where none waits."""
        waits = [e.asked_at for e in self._entries.values() if e.asked_at is not None]
        return time.monotonic() - min(waits) if waits else 0.0

    async def drain(self) -> None:
        """Begin nothing new, and wait for what runs to end."""
        self._draining = True
        waiting = []
        for entry in self._entries.values():
            if entry.busy_since is None:
                entry.task.cancel()
            waiting.append(entry.task)
        await asyncio.gather(*waiting, return_exceptions=True)

    async def close(self) -> None:
        """Cancel everything that waits or runs."""
        tasks = [entry.task for entry in self._entries.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, key: K) -> None:
        entry = self._entries[key]
        again: float | None = 0.0
        while True:
            try:
                async with asyncio.timeout(again):
                    await entry.asked.wait()
            except TimeoutError:
                pass
            entry.asked.clear()
            entry.asked_at = None
            entry.busy_since = time.monotonic()
            try:
                again = await self._work(key)
                entry.failures = 0
                self.last_success = time.monotonic()
            except Exception as error:
                again = BACKOFF_S[min(entry.failures, len(BACKOFF_S) - 1)]
                entry.failures += 1
                log.warning("%s: %s: %s; again in %.1f s", key, type(error).__name__, error, again)
            finally:
                entry.busy_since = None
            if self._draining or (again is None and not entry.asked.is_set()):
                del self._entries[key]
                return
            # Hints come in bursts (six pods that start): one look for all of them.
            await asyncio.sleep(PAUSE_S)
