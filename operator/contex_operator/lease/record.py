"""The Lease as a record, and what to do about it: pure functions, `now` is an argument.

Clocks of machines are never compared. A record counts from the moment in which this process first saw it, on
this process's own clock: whoever holds it began its renewal before that, so it stops writing before we take
over.
"""

from __future__ import annotations

import copy
import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from contex_operator import names
from contex_operator.resources import LEASE

DURATION_S: Final = 10.0
# A leader that could not renew for so long stops; from here to the end of the Lease is the margin for its
# writes.
RENEW_DEADLINE_S: Final = 7.0
MARGIN_S: Final = DURATION_S - RENEW_DEADLINE_S
RETRY_S: Final = 1.5
# Deadline of one request: three of them fit into the renew deadline, each on a new connection if need be.
REQUEST_S: Final = 2.0
# What a Lease says about its own duration is believed up to here (they are all ours and say 10).
LONGEST_DURATION_S: Final = 60.0
# A Lease that nobody has renewed for so long is abandoned: neither its holder nor a standby of its is alive.
ABANDONED_AFTER: Final = 2.0  # durations
# A namespaced operator and a cluster-wide one wait so long between acquiring and the first write, so that
# others notice (Neighbours.LOOK_S). Needless where the Lease was in living hands all the time.
SETTLE_S: Final = 1.0
SETTLE_AFTER: Final = 1.5  # durations; between a takeover (1.0) and ABANDONED_AFTER


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a Lease says. `holder` "" = released. Times are RFC 3339 texts: for people and to break ties."""

    holder: str
    duration_s: float
    acquired: str
    renewed: str
    transitions: int
    scope: str


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A record and since when we know it, on our own clock in seconds.

    `is_witnessed`: we saw an earlier record of the same Lease, so this one came about before our eyes.
    `gone_since`: the Lease was deleted, we know it from then on; the record is the last that we saw.
    """

    record: Record
    since: float
    is_witnessed: bool = False
    gone_since: float | None = None

    def age_s(self, now: float) -> float:
        return now - self.since

    def expires_in_s(self, now: float) -> float:
        """Until the holder must have stopped; 0 where there is none."""
        if not self.record.holder:
            return 0.0
        since = self.since if self.gone_since is None else self.gone_since
        return max(0.0, since + self.record.duration_s - now)

    def is_abandoned(self, now: float) -> bool:
        """Nobody has touched it for so long that no process of this Lease can be alive."""
        return self.age_s(now) >= ABANDONED_AFTER * max(self.record.duration_s, DURATION_S)


class Action(enum.Enum):
    """What a process does about the Lease now."""

    CREATE = "create"  # there is none
    TAKE = "take"  # it is released, or its holder is silent for longer than it may
    RENEW = "renew"  # it is ours
    WAIT = "wait"  # it is somebody else's


def decide(sighting: Sighting | None, *, me: str, now: float) -> Action:
    """What `me` does about the Lease as it was seen; None = there is none and we never saw one.

    A Lease that was deleted under a living holder is not created again before that holder must have stopped:
    it finds out only at its next renewal. Only who held it a moment ago knows that nobody else can have it.
    """
    if sighting is None:
        return Action.CREATE
    if sighting.gone_since is not None:
        is_mine = sighting.record.holder == me and sighting.age_s(now) < RENEW_DEADLINE_S
        return Action.CREATE if is_mine or sighting.expires_in_s(now) <= 0 else Action.WAIT
    if sighting.record.holder == me:
        return Action.RENEW
    return Action.TAKE if sighting.expires_in_s(now) <= 0 else Action.WAIT


def see(previous: Sighting | None, record: Record | None, *, now: float) -> Sighting | None:
    """The new sighting after a look that found `record` (None: no Lease).

    An unchanged record keeps its time; a changed one begins anew.
    """
    if record is None:
        if previous is None or previous.gone_since is not None:
            return previous
        return replace(previous, is_witnessed=True, gone_since=now)
    if previous is None:
        return Sighting(record=record, since=now)
    if previous.record == record and previous.gone_since is None:
        return previous
    return Sighting(record=record, since=now, is_witnessed=True)


def must_settle(sighting: Sighting | None, *, now: float) -> bool:
    """Whether others may believe that nobody is here: they need SETTLE_S to notice that we are.

    Not where we saw the Lease change hands or expire: a cluster-wide operator respects it longer than that.
    """
    if sighting is None or not sighting.is_witnessed:
        return True
    return sighting.age_s(now) >= SETTLE_AFTER * DURATION_S


def record_of(body: Mapping[str, Any]) -> Record:
    """The record in a Lease object; what is missing (all of its spec is optional) reads as nobody's."""
    spec = body.get("spec") or {}
    labels = body["metadata"].get("labels") or {}
    duration_s = float(spec.get("leaseDurationSeconds") or DURATION_S)
    return Record(
        holder=str(spec.get("holderIdentity") or ""),
        duration_s=min(duration_s, LONGEST_DURATION_S),
        acquired=str(spec.get("acquireTime") or ""),
        renewed=str(spec.get("renewTime") or ""),
        transitions=int(spec.get("leaseTransitions") or 0),
        scope=str(labels.get(names.LABEL_SCOPE) or ""),
    )


def new_lease(*, namespace: str, me: str, scope: str, wall: datetime) -> dict[str, Any]:
    """The Lease of its first holder."""
    return {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.kind,
        "metadata": {
            "name": names.LEASE,
            "namespace": namespace,
            "labels": {names.LABEL_SCOPE: scope, names.LABEL_MANAGED_BY: names.MANAGER},
        },
        "spec": {
            "holderIdentity": me,
            "leaseDurationSeconds": int(DURATION_S),
            "acquireTime": micro_time(wall),
            "renewTime": micro_time(wall),
            "leaseTransitions": 0,
        },
    }


def renewed(body: Mapping[str, Any], *, me: str, scope: str, wall: datetime) -> dict[str, Any]:
    """`body`, held by `me` from now on; its resourceVersion stays, so that a stale write is a Conflict."""
    lease: dict[str, Any] = copy.deepcopy(dict(body))
    spec = lease.get("spec") or {}
    if spec.get("holderIdentity") != me:
        spec["acquireTime"] = micro_time(wall)
        spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
    spec.update(holderIdentity=me, leaseDurationSeconds=int(DURATION_S), renewTime=micro_time(wall))
    lease["spec"] = spec
    lease["metadata"]["labels"] = {**(lease["metadata"].get("labels") or {}), names.LABEL_SCOPE: scope}
    return lease


def released(body: Mapping[str, Any], *, wall: datetime) -> dict[str, Any]:
    """`body`, held by nobody: a standby takes it at its next look."""
    lease: dict[str, Any] = copy.deepcopy(dict(body))
    lease["spec"].update(holderIdentity="", leaseDurationSeconds=1, renewTime=micro_time(wall))
    return lease


def micro_time(wall: datetime) -> str:
    """The API's MicroTime: UTC with exactly six digits of a second."""
    return wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
