"""Neighbours: what a cluster-wide operator knows of the other operators' Leases, and the guard made of both.

A namespace in which another operator holds a live Lease is that operator's; a second cluster-wide operator
does not start. A Lease is live until it has stayed unchanged before our eyes for ABANDONED_AFTER of its
durations, longer than its own standby needs to take it over, so that a namespace never falls to us between
two of its leaders.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from contex_operator import names
from contex_operator.errors import KubeError, LeaseLost, ScopeTaken
from contex_operator.lease.elector import Clock, Elector, steady_clock
from contex_operator.lease.record import Record, Sighting, record_of, see
from contex_operator.resources import LEASE, Resource

logger = logging.getLogger(__name__)

Bodies = list[dict[str, Any]]

LOOK_S: Final = 0.4
# A view is good for writes so long after the START of the look that gave it. Below record.SETTLE_S: whoever
# has just acquired a Lease of its own starts to write only when no older view is good any more.
FRESH_S: Final = 0.9


class LeaseLister(Protocol):
    """What of Kube is used here."""

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> Bodies: ...


class Neighbours:
    """The Leases of that name in all namespaces but our own (`namespace`), seen again every LOOK_S."""

    def __init__(self, api: LeaseLister, *, namespace: str, clock: Clock = steady_clock) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._looked_at: float | None = None  # start of the last look that succeeded
        self._seen: dict[str, Sighting] = {}
        self._own: Record | None = None

    async def look(self) -> None:
        """Take in the present Leases; raises KubeError."""
        started = self._clock()
        found = await self._api.list(LEASE, None, fields=f"metadata.name={names.LEASE}")
        records = {str(lease["metadata"]["namespace"]): record_of(lease) for lease in found}
        self._own = records.pop(self._namespace, None)
        self._seen = _merged(self._seen, records, now=self._clock())
        self._looked_at = started

    async def run(self, stop: asyncio.Event, *, elector: Elector) -> None:
        """Look until `stop` is set; raises ScopeTaken when this operator must yield to a cluster-wide one.

        That is where both started at the same time: the Lease that was acquired first stays, of two of the
        same microsecond the one whose namespace comes first. Both sides see the same two Leases and decide
        alike.
        """
        trouble = ""
        while not stop.is_set():
            try:
                await self.look()
                trouble = ""
            except KubeError as error:
                if not trouble:
                    logger.warning("Other operators' Leases cannot be listed, nothing is written: %s", error)
                trouble = str(error)
            if self._own is not None and self._own.holder == elector.identity:
                self._yield_to(self.rival(self._own))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()

    async def wait_until_alone(self, stop: asyncio.Event) -> None:
        """At the start: return once no other cluster-wide operator can be alive.

        Raises ScopeTaken as soon as one shows life. At once where there is no such Lease, after 20 s where
        one lies there that nobody renews. Errors of the API are met with another look.
        """
        while not stop.is_set():
            with contextlib.suppress(KubeError):
                await self.look()
                others = self._cluster_wide()
                for namespace, sighting in others.items():
                    if sighting.is_witnessed and sighting.record.holder:
                        self._yield_to((namespace, sighting.record.holder))
                if not others:
                    return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()

    def foreign_lease(self, namespace: str) -> str | None:
        """Who holds a live Lease in `namespace` ("" = just released), None where nobody does."""
        sighting = self._seen.get(namespace)
        if sighting is None or sighting.is_abandoned(self._clock()):
            return None
        return sighting.record.holder

    def check(self, namespace: str) -> None:
        """Raises LeaseLost unless `namespace` is known, by a fresh view, to be nobody else's."""
        now = self._clock()
        if self._looked_at is None or now - self._looked_at > FRESH_S:
            raise LeaseLost(f"nothing may be written in {namespace}: other operators' Leases are out of view")
        holder = self.foreign_lease(namespace)
        if holder is not None:
            raise LeaseLost(
                f"nothing may be written in {namespace}: the operator there holds a Lease of its own "
                f"({holder or 'just released'})"
            )

    def rival(self, own: Record) -> tuple[str, str] | None:
        """Namespace and holder of a live cluster-wide Lease that precedes `own`."""
        for namespace, sighting in sorted(self._cluster_wide().items()):
            record = sighting.record
            precedes = (record.acquired, namespace) < (own.acquired, self._namespace)
            if record.holder and precedes:
                return namespace, record.holder
        return None

    def _cluster_wide(self) -> Mapping[str, Sighting]:
        now = self._clock()
        return {
            namespace: sighting
            for namespace, sighting in self._seen.items()
            if sighting.record.scope == names.SCOPE_CLUSTER and not sighting.is_abandoned(now)
        }

    def _yield_to(self, rival: tuple[str, str] | None) -> None:
        if rival is not None:
            self._looked_at = None  # nothing may be written from here on, however long the exit takes
            raise ScopeTaken(namespace=rival[0], holder=rival[1])


def guard(elector: Elector, neighbours: Neighbours | None = None) -> Callable[[str], None]:
    """The `may_write` of Kube: our Lease has time left, and, cluster-wide, the namespace is nobody else's."""

    def check(namespace: str) -> None:
        elector.check()
        if neighbours is not None:
            neighbours.check(namespace)

    return check


def _merged(
    seen: Mapping[str, Sighting], records: Mapping[str, Record], *, now: float
) -> dict[str, Sighting]:
    """Sightings after a look at all Leases; one that was deleted counts until it is abandoned."""
    merged: dict[str, Sighting] = {}
    for namespace in {*seen, *records}:
        sighting = see(seen.get(namespace), records.get(namespace), now=now)
        if sighting is not None and not (sighting.gone_since is not None and sighting.is_abandoned(now)):
            merged[namespace] = sighting
    return merged
