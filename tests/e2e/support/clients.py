"""Writers of every kind at once: through the sentinels and through the master Service, impatient and patient ones.

Their connections are kept across whatever the test does, as an application keeps them; `fresh` connects for each write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from tests.e2e.support.redis_set import RedisSet
from tests.workload.checker import Verdict, longest_gap
from tests.workload.history import Op
from tests.workload.process import Writers

StartWriters = Callable[..., Writers]

IMPATIENT_MS: Final = 500
PATIENT_MS: Final = 5000
# Client → (kind, timeout of connecting and of answering).
EVERY: Final[Mapping[str, tuple[str, int]]] = {
    "sentinel": ("sentinel", IMPATIENT_MS),
    "sentinel-patient": ("sentinel", PATIENT_MS),
    "kept": ("kept", IMPATIENT_MS),
    "kept-patient": ("kept", PATIENT_MS),
    "fresh": ("fresh", IMPATIENT_MS),
}
SERVICE_ONLY: Final = ("kept", "kept-patient", "fresh")
# A planned move takes some hundredths of a second. The order of magnitude is asserted, on a machine that runs three
# nodes and the tests on two cores: Sentinel alone would take more than four seconds.
PLANNED_S: Final = 3.5
INTERVAL_MS: Final = 20.0


class Clients:
    """The clients of one set; all have written before this returns. `writers` is the fixture of that name."""

    def __init__(
        self, redis_set: RedisSet, writers: StartWriters, *, names: tuple[str, ...] = tuple(EVERY)
    ) -> None:
        self._set = redis_set
        self._running: dict[str, Writers] = {}
        for name in names:
            kind, timeout_ms = EVERY[name]
            self._running[name] = writers(
                redis_set, kind, client=name, interval_ms=INTERVAL_MS, timeout_ms=timeout_ms
            )
        self.all_write()

    def all_write(self, *, within_s: float = 30.0) -> None:
        """Wait until each of them has written from now on."""
        self.write(*self._running, within_s=within_s)

    def write(self, *names: str, within_s: float = 30.0) -> None:
        """Wait until these have written from now on."""
        now = time.monotonic()
        for name in names:
            self._running[name].wait_for_acks(20, within_s=within_s, after=now)

    def ops(self, name: str) -> list[Op]:
        """What one of them has seen so far."""
        return self._running[name].ops()

    def end(self, *, within_s: float = 30.0) -> list[Op]:
        """All of them write again; then they are stopped. Their history."""
        self.all_write(within_s=within_s)
        return [op for each in self._running.values() for op in each.stop()]

    def judge(
        self, *, since: float, gap_s: Mapping[str, float] | float | None = None, within_s: float = 60.0
    ) -> Verdict:
        """End them; nothing acknowledged is lost, and nobody waited for longer than `gap_s` after `since`."""
        history = self.end()
        verdict = self._set.judge(history, within_s=within_s)
        assert verdict.is_clean, verdict.sentence()
        check_gaps(history, since=since, gap_s=gap_s)
        return verdict


def check_gaps(history: list[Op], *, since: float, gap_s: Mapping[str, float] | float | None = None) -> None:
    """Each client's longest time without an acknowledged write, printed and held against its bound."""
    for client in sorted({op.client for op in history}):
        gap = longest_gap([op for op in history if op.client == client], since=since)
        bound = gap_s.get(client) if isinstance(gap_s, Mapping) else gap_s
        print(f"{client}: {gap}")
        assert bound is None or gap.seconds <= bound, f"{client}: {gap}"


def unplanned(bound_s: float) -> dict[str, float]:
    """Bounds after a crash: a patient client may have to wait for its own timeout first, and once more to connect."""
    return {
        name: bound_s + (2 * timeout_ms / 1000 if timeout_ms > IMPATIENT_MS else 0.0)
        for name, (_, timeout_ms) in EVERY.items()
    }
