"""The metrics of a resource as a whole. Pure, one look at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from ..model import seconds
from ..names import Condition, Phase
from .definitions import Definition, Look, Point, single, states
from .writes import writes_refused

_CONDITIONS: Final = tuple(str(v) for k, v in vars(Condition).items() if k.isupper())
_PHASES: Final = tuple(str(v) for k, v in vars(Phase).items() if k.isupper())
_STATUSES: Final = ("true", "false", "unknown")


def _info(look: Look) -> Iterable[Point]:
    return [((look.spec.mode, look.spec.durability, look.spec.image), 1.0)]


def _phase(look: Look) -> Iterable[Point]:
    return states(_PHASES, look.status.get("phase"))


def _conditions(look: Look) -> Iterable[Point]:
    found = {c["type"]: str(c["status"]).lower() for c in look.status.get("conditions") or []}
    return [
        ((condition, status), float(found[condition] == status))
        for condition in _CONDITIONS
        if condition in found
        for status in _STATUSES
    ]


def _sentinels_agreeing(look: Look) -> float | None:
    if not look.spec.is_sentinel_mode:
        return None
    address = look.topology.address
    return sum(
        node.is_up and node.monitors and node.master_address == address for node in look.observed.sentinels
    )


def _sentinels_sharing(look: Look) -> float | None:
    """As topology.quorum_at_risk counts them."""
    if not look.spec.is_sentinel_mode:
        return None
    ours = {node.pod for node in look.observed.sentinels}
    carried = Counter(pod.node for pod in look.observed.pods if pod.name in ours and pod.node)
    return max(carried.values(), default=0)


def _last_moved(look: Look) -> Iterable[Point]:
    moved: Mapping[str, str] = look.status.get("lastFailover") or {}
    if "time" not in moved:
        return []
    return [((str(moved.get("reason")),), seconds(moved["time"]))]


RESOURCES: Final = (
    Definition(
        name="contexredis_info",
        help="A resource that is looked after; always 1.",
        labels=("mode", "durability", "image"),
        points=_info,
    ),
    Definition(
        name="contexredis_status_phase",
        help="1 for the phase that the status shows, 0 for the others.",
        labels=("phase",),
        points=_phase,
    ),
    Definition(
        name="contexredis_status_condition",
        help="1 for the status that a condition has, 0 for the others.",
        labels=("condition", "status"),
        points=_conditions,
    ),
    Definition(
        name="contexredis_data_pods_desired",
        help="Data pods that the spec asks for, the master among them.",
        points=single(lambda look: look.spec.data_pod_count),
    ),
    Definition(
        name="contexredis_sentinels_desired",
        help="Sentinels that the spec asks for; 0 in mode standalone.",
        points=single(lambda look: look.spec.sentinel_pod_count),
    ),
    Definition(
        name="contexredis_paused",
        help="1 while spec.paused keeps the operator from changing anything.",
        points=single(lambda look: look.spec.paused),
    ),
    Definition(
        name="contexredis_master_agreed",
        help="1 while a majority of the sentinels names a master that says so itself (standalone: while it serves).",
        points=single(lambda look: look.topology.master is not None),
    ),
    Definition(
        name="contexredis_masters",
        help="Data pods that say that they are master.",
        points=single(lambda look: sum(node.is_master for node in look.observed.data)),
    ),
    Definition(
        name="contexredis_replicas_in_sync",
        help="Replicas that are connected and in sync with their master.",
        points=single(lambda look: sum(node.is_synced_replica for node in look.observed.data)),
    ),
    Definition(
        name="contexredis_sentinels_agreeing",
        help="Sentinels that name the master that a majority names.",
        points=single(_sentinels_agreeing),
    ),
    Definition(
        name="contexredis_sentinels_majority",
        help="Sentinels that have to agree before a replica can be promoted.",
        points=single(lambda look: look.topology.majority if look.spec.is_sentinel_mode else None),
    ),
    Definition(
        name="contexredis_sentinels_on_one_node",
        help="Most sentinels that one Kubernetes node carries.",
        points=single(_sentinels_sharing),
    ),
    Definition(
        name="contexredis_writes_refused",
        help="1 while nobody would take a write: no master, too few replicas that keep up, a full memory, or no disk.",
        points=single(writes_refused),
    ),
    Definition(
        name="contexredis_last_move_timestamp_seconds",
        help="When the master moved last, and whose doing it was.",
        labels=("reason",),
        points=_last_moved,
    ),
    Definition(
        name="contexredis_last_look_timestamp_seconds",
        help="When the resource was looked at last: all that is said of it is of that time.",
        points=single(lambda look: look.observed.now),
    ),
)
