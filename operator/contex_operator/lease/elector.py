"""Elector: keeps the operator's Lease, or waits for it, and tells by the clock whether this process may act.

Leadership ends by the clock, never by an answer: RENEW_DEADLINE_S after the start of the last renewal that
succeeded, whatever the API says or does not say. `remaining_s` is computed when it is asked, so a process
that was stopped for half a minute finds out before its next write, even before any of its timers has run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from contex_operator import names
from contex_operator.errors import Conflict, KubeError, LeaseLost, NotFound
from contex_operator.lease.record import (
    DURATION_S,
    MARGIN_S,
    RETRY_S,
    SETTLE_S,
    Action,
    Sighting,
    decide,
    must_settle,
    new_lease,
    record_of,
    released,
    renewed,
    see,
)
from contex_operator.resources import LEASE, Resource

logger = logging.getLogger(__name__)

Body = dict[str, Any]
Clock = Callable[[], float]
_SHORTEST_PAUSE_S = 0.05
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class LeaseApi(Protocol):
    """What of Kube is used here: an unguarded client whose deadline is record.REQUEST_S."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None: ...

    async def create(self, resource: Resource, body: Mapping[str, Any]) -> Body: ...

    async def replace(self, resource: Resource, body: Mapping[str, Any]) -> Body: ...


def steady_clock() -> float:
    """Seconds on a clock that nobody sets and that runs on while the machine sleeps (on Linux)."""
    return time.clock_gettime(_CLOCK)


# After stepping aside: long enough for a standby's next look, short enough where there is none after all.
ASIDE_S: Final = 3 * RETRY_S


def identity_of(pod: str) -> str:
    """The holder identity of this process: another one under the same pod name is somebody else."""
    return f"{pod}_{secrets.token_hex(4)}"


class Elector:
    """Competes for the Lease `names.LEASE` in `namespace` while `run` runs.

    `on_acquired` is called when this process may begin to act, `on_lost` (with a sentence) when it may no
    longer: by its clock, or because somebody else holds the Lease. Both are plain calls from the event loop
    and must not raise. Each time in office has a number, `term`; what was begun in an earlier one must not be
    carried on. On SIGTERM: end what runs, set `stop`, wait for `run`, then `release` (which does not call
    `on_lost`).
    """

    def __init__(
        self,
        api: LeaseApi,
        *,
        namespace: str,
        identity: str,
        scope: str = names.SCOPE_NAMESPACE,
        on_acquired: Callable[[], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
        clock: Clock = steady_clock,
    ) -> None:
        self.identity = identity
        self.namespace = namespace
        self.term = 0
        self._api = api
        self._scope = scope
        self._on_acquired = on_acquired
        self._on_lost = on_lost
        self._clock = clock
        self._sighting: Sighting | None = None
        self._body: Body | None = None  # the Lease as last read or written, None = look first
        self._renewed_at: float | None = None  # start of the last renewal that succeeded
        self._settled_at = 0.0
        self._aside_until = 0.0
        self._steps_aside_when: Callable[[], bool] | None = None
        self._is_in_office = False  # on_acquired was called, on_lost not yet
        self._timer: asyncio.TimerHandle | None = None
        self._conflicts = 0  # in a row
        self._trouble = ""

    # -- the fence -----------------------------------------------------------------------------------------

    def remaining_s(self) -> float:
        """Seconds of Lease that are left, counted from the start of the last renewal that succeeded."""
        if self._renewed_at is None:
            return 0.0
        return max(0.0, self._renewed_at + DURATION_S - self._clock())

    @property
    def is_leader(self) -> bool:
        """Whether this process may act now, by the clock."""
        return self._is_in_office and self.remaining_s() >= MARGIN_S and self._clock() >= self._settled_at

    @property
    def holder(self) -> str:
        """Who holds the Lease as far as we have seen; "" = nobody, or nothing seen yet."""
        return self._sighting.record.holder if self._sighting is not None else ""

    def check(self) -> None:
        """Raises LeaseLost unless a write may begin now. Asked directly before each one."""
        if not self.is_leader:
            raise LeaseLost(
                f"{self.identity} may not write: {self.remaining_s():.1f} s of the Lease "
                f"{self.namespace}/{names.LEASE} are left, {MARGIN_S:g} s are needed"
            )

    # -- the loop ------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Compete until `stop` is set. Errors of the API are logged and met with another try."""
        while not stop.is_set():
            started = self._clock()
            await self._turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s(started)):
                    await stop.wait()

    async def release(self) -> bool:
        """Give the Lease back, so that a standby takes it at its next look; True where that was done.

        From the first moment on nothing may be written any more, whatever becomes of the request.
        """
        self._renewed_at, self._is_in_office = None, False
        self._arm()
        if self.holder != self.identity:
            return False
        try:
            for _ in range(2):  # the second time for somebody's label, or a renewal whose answer was lost
                body = self._body or await self._api.get(LEASE, self.namespace, names.LEASE)
                if body is None or record_of(body).holder != self.identity:
                    return False
                self._body = None
                with contextlib.suppress(Conflict):
                    await self._api.replace(LEASE, released(body, wall=datetime.now(UTC)))
                    return True
        except KubeError as error:
            logger.warning("The Lease could not be released, a standby waits for its end: %s", error)
        return False

    def step_aside(self, *, when: Callable[[], bool]) -> None:
        """At the next turn at which `when` holds: give the Lease back, and leave it to others for ASIDE_S.

        Not here and now: a renewal may be under way, whose answer would put us back into office.
        """
        self._steps_aside_when = when

    async def _turn(self) -> None:
        """Look where need be, decide, write at most once."""
        self._end_if_lapsed()
        if self._steps_aside_when is not None and self._steps_aside_when():
            self._steps_aside_when = None
            self._aside_until = self._clock() + ASIDE_S
            await self.release()
        if self._clock() < self._aside_until:
            return
        try:
            if self._body is None or self._sighting is None or self._sighting.record.holder != self.identity:
                await self._look()
            action = decide(self._sighting, me=self.identity, now=self._clock())
            if action is not Action.WAIT:
                await self._claim(action)
            self._recovered()
        except (Conflict, NotFound) as error:
            # Somebody was faster, or our own write whose answer was lost: the next turn looks, at once.
            self._body = None
            self._conflicts += 1
            if self._conflicts > 1:
                self._failed(error)
        except KubeError as error:
            self._body = None
            self._failed(error)

    async def _look(self) -> None:
        body = await self._api.get(LEASE, self.namespace, names.LEASE)
        self._body = body
        record = None if body is None else record_of(body)
        self._sighting = see(self._sighting, record, now=self._clock())
        if record is not None and record.holder != self.identity:
            self._end(f"the Lease is held by {record.holder or 'nobody'}")

    async def _claim(self, action: Action) -> None:
        """Write our name into the Lease. The term is counted from before the request, not from its answer."""
        wall = datetime.now(UTC)
        needs_settling = must_settle(self._sighting, now=self._clock())
        started = self._clock()
        if action is Action.CREATE:
            body = new_lease(namespace=self.namespace, me=self.identity, scope=self._scope, wall=wall)
            body = await self._api.create(LEASE, body)
        else:
            assert self._body is not None
            body = renewed(self._body, me=self.identity, scope=self._scope, wall=wall)
            body = await self._api.replace(LEASE, body)
        self._body = body
        self._sighting = Sighting(record=record_of(body), since=self._clock(), is_witnessed=True)
        self._end_if_lapsed()  # by the previous renewal: a stall may have lain between it and this one
        if self._renewed_at is None:
            self._settled_at = self._clock() + (SETTLE_S if needs_settling else 0.0)
        self._renewed_at = started
        self._arm()

    def _pause_s(self, started: float) -> float:
        """Until the next turn: RETRY_S after the start of the last one, earlier where a Lease ends before."""
        now = self._clock()
        pause_s = started + RETRY_S - now
        if self._sighting is not None and self._sighting.record.holder not in ("", self.identity):
            pause_s = min(pause_s, self._sighting.expires_in_s(now))
        if self._conflicts == 1:
            pause_s = 0.0
        if self._renewed_at is not None and self.remaining_s() < MARGIN_S:
            pause_s = 0.0  # written, but too long ago to count: a stall
        return max(pause_s, _SHORTEST_PAUSE_S)

    # -- office --------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Have `_tick` called when the state next changes by the clock alone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._renewed_at is None:
            return
        now = self._clock()
        if not self._is_in_office and now >= self._settled_at and self.remaining_s() >= MARGIN_S:
            self._begin()
        until = self._settled_at if now < self._settled_at else self._renewed_at + DURATION_S - MARGIN_S
        self._timer = asyncio.get_running_loop().call_later(max(until - now, 0.001), self._tick)

    def _tick(self) -> None:
        self._end_if_lapsed()
        self._arm()

    def _begin(self) -> None:
        self._is_in_office = True
        self.term += 1
        logger.info("%s leads (term %d) by the Lease in %s", self.identity, self.term, self.namespace)
        if self._on_acquired is not None:
            self._on_acquired()

    def _end_if_lapsed(self) -> None:
        if self._renewed_at is not None and self.remaining_s() < MARGIN_S:
            self._end(f"the Lease could not be renewed for {DURATION_S - MARGIN_S:g} s")

    def _end(self, why: str) -> None:
        """Out of office, at once and once."""
        self._renewed_at = None
        if not self._is_in_office:
            return
        self._is_in_office = False
        logger.warning("%s leads no longer: %s", self.identity, why)
        if self._on_lost is not None:
            self._on_lost(why)

    # -- saying it once ------------------------------------------------------------------------------------

    def _failed(self, error: KubeError) -> None:
        if not self._trouble:
            logger.warning("The Lease in %s cannot be read or written: %s", self.namespace, error)
        self._trouble = str(error)

    def _recovered(self) -> None:
        self._conflicts = 0
        if self._trouble:
            logger.info("The Lease in %s can be read and written again", self.namespace)
        self._trouble = ""
