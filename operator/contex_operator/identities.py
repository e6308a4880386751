"""A member whose address another Service has taken: it gets a new one, and everybody who knew the old one learns it.

A Service that was deleted comes back with the address that status has recorded. Where the API refuses that (execute
writes it into status.formerAddresses), the Service is made with whatever address is free, and then, in this order:

  1. the member announces it: replica-announce-ip of a data pod, announce-ip of a sentinel; the files that their start
     scripts read follow by way of the ConfigMaps
  2. the others learn it: a replica is cut off its master once, and says its new name when it is back; a sentinel's
     peers take it from its next hello; the master's is announced to the sentinels by votes and a hello, as the same
     master in a new epoch, and its replicas are told. Nobody's role changes
  3. what the sentinels remember of the old one is forgotten by one of them at a time, as after scaling (rule 7)
  4. the old address is dropped from status, once every pod's files are new

Pure; called by plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import names
from .actions import Action, Follow, RaiseEpoch, Relink, RememberInStatus, SentinelAnnounce, SetConfig
from .handover import course_between, member_of
from .model import DataNode, Observed, seconds, utc
from .moves.step import Member
from .procedures.scale import forget_by
from .procedures.step import Step
from .spec import Spec
from .topology import HANDS_OFF, Topology, View
from .views import ANNOUNCED, identity_address

GIVEN_UP_AFTER_S: Final = 5.0  # an address that has just been freed may seem taken for a moment
FILES_ARE_NEW_AFTER_S: Final = 180.0  # the kubelet brings a changed ConfigMap within a minute or two


@dataclass(frozen=True, kw_only=True)
class Former:
    """An address that a member had, and since when (seconds since the epoch) it is known to be another's."""

    pod: str
    since: float


def formers(observed: Observed) -> dict[str, Former]:
    """status.formerAddresses: the members' lost addresses."""
    found: Mapping[str, Any] = observed.status.get("formerAddresses") or {}
    return {
        address: Former(pod=str(entry["pod"]), since=seconds(entry["time"]))
        for address, entry in found.items()
    }


def asked_for(observed: Observed) -> dict[str, str]:
    """The address that each member's Service is to have: its own, the recorded one, none where that is given up."""
    recorded: Mapping[str, str] = observed.status.get("addresses") or {}
    lost = formers(observed)
    asked = {}
    for pod, address in recorded.items():
        live = identity_address(observed.objects.get(("Service", pod)))
        former = lost.get(address)
        given_up = former is not None and observed.now - former.since >= GIVEN_UP_AFTER_S
        if live is not None or not given_up:
            asked[pod] = live or address
    return asked


def record(observed: Observed, known: Mapping[str, str]) -> dict[str, Any]:
    """Fields of status for the addresses that the members have now; what they had before goes with them."""
    recorded: Mapping[str, str] = observed.status.get("addresses") or {}
    changed = {pod: recorded[pod] for pod, now in known.items() if recorded.get(pod, now) != now}
    fields: dict[str, Any] = {"addresses": dict(known)}
    if changed:
        entries = {before: lost_entry(pod, now=observed.now) for pod, before in changed.items()}
        fields["formerAddresses"] = entries
    return fields


def lost_entry(pod: str, *, now: float) -> dict[str, str]:
    """One entry of status.formerAddresses."""
    return {"pod": pod, "time": utc(now)}


def announce(spec: Spec, observed: Observed) -> list[Action]:
    """A data pod that announces another address than its own, or none: it began as the only one, or has lost it."""
    if not spec.is_sentinel_mode:
        return []
    commands: list[Action] = []
    for node in observed.data:
        announced = node.config.get(ANNOUNCED)
        if announced is not None and announced != node.address:
            values = {ANNOUNCED: str(node.address), "replica-announce-port": str(names.REDIS_PORT)}
            commands.append(
                SetConfig(pod=node.pod, address=str(node.address), run_id=str(node.run_id), values=values)
            )
    return commands


def rename_master(spec: Spec, observed: Observed, topology: Topology) -> Step | None:
    """The sentinels name the master by an address that it has no more: they are told its new one."""
    former = formers(observed).get(str(topology.address))
    if former is None or topology.view is not View.AGREED or observed.status.get("intent"):
        return None
    node = observed.node_of(former.pod)
    if node is None or not node.is_master or node.address in (None, topology.address):
        return None
    if [other for other in topology.second_masters if other is not node]:
        return None
    what = f"{node.pod} is master at {node.address} now, and the sentinels know it at {topology.address}"
    for sentinel in observed.sentinels:
        busy = sorted(sentinel.flags & HANDS_OFF)
        if sentinel.tilt or busy:
            return Step(note=f"{what}; {sentinel.pod} shows {', '.join(busy) or 'TILT'}: Sentinel acts first")
    course = course_between(
        spec,
        observed,
        topology,
        old=Member(pod=node.pod, address=str(topology.address)),
        new=member_of(node),
        why="another Service has taken its address",
    )
    return Step(note=what, actions=(RaiseEpoch(course=course, above=topology.epoch or 0),))


def relearn(observed: Observed, topology: Topology) -> list[Action]:
    """What lets the members and the sentinels learn new addresses, where they still use old ones."""
    master = topology.master
    if master is None or not topology.is_calm or observed.status.get("intent"):
        return []
    actions: list[Action] = []
    for address, former in formers(observed).items():
        node = observed.node_of(former.pod)
        sentinel = next((s for s in observed.sentinels if s.pod == former.pod and s.is_up), None)
        if node is master:
            followers = (n for n in observed.data if n.is_up and n.master_address == address)
            actions += [_follow(follower, master) for follower in followers if master.address != address]
        elif node is not None and _is_listed_as(node, address, master):
            relink = Relink(pod=node.pod, address=str(node.address), run_id=str(node.run_id))
            actions.append(relink)
        elif (
            sentinel is not None
            and sentinel.address not in (None, address)
            and any(address in other.peers for other in observed.sentinels)
        ):
            actions.append(SentinelAnnounce(pod=sentinel.pod, address=str(sentinel.address)))
    return actions


def _is_listed_as(node: DataNode, address: str, master: DataNode) -> bool:
    """The master lists this replica under an address that it no longer announces itself."""
    listed = address in {replica.address for replica in master.replicas}
    return node.is_synced_replica and listed and node.config.get(ANNOUNCED) == node.address != address


def _follow(node: DataNode, leader: DataNode) -> Follow:
    return Follow(
        pod=node.pod, address=str(node.address), run_id=str(node.run_id), master=str(leader.address)
    )


def forget_former(spec: Spec, observed: Observed, topology: Topology) -> Step | None:
    """The next step until nothing remembers the old addresses, None where nothing is to be done now."""
    master = topology.master
    lost = formers(observed)
    if master is None or not lost:
        return None
    members = {*(n.address for n in observed.data), *(s.address for s in observed.sentinels)}
    used = {*(r.address for r in master.replicas), *(n.master_address for n in observed.data)}
    ghosts = {f"{f.pod} at {a}": a for a, f in lost.items() if a not in members | used}
    step = forget_by(spec, observed, topology, gone=ghosts, may_answer=True) if ghosts else None
    if step is not None:
        return step
    silent = [s.pod for s in observed.sentinels if not s.is_up]
    over = [a for a, f in lost.items() if a in members or _is_over(f, observed.now)]
    if silent or not over or used & set(over) - members:
        return None
    fields = {"formerAddresses": dict.fromkeys(over), "forgetting": None}
    return Step(note=f"nothing remembers {', '.join(over)}", actions=(RememberInStatus(fields=fields),))


def _is_over(former: Former, now: float) -> bool:
    return now - former.since >= FILES_ARE_NEW_AFTER_S
