"""When the master's role has to go to another pod on purpose, to which, and what a move has to know. Pure.

Asked for by an annotation on the resource, by a master that is being deleted (a drain, an eviction), or by a
procedure that needs its pod. Nothing is begun in unrest (rule 6); a request that has to wait says for what.
Called by plan; reconcile asks `crash_of` for what an assisted failover would have to know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from . import names
from .actions import Action, DropAnnotation, RaiseEpoch, SwitchOver
from .model import DataNode, Observed, Pod
from .moves.facts import Course
from .moves.failover import Crash
from .moves.step import Member
from .procedures.step import Handover, Step
from .spec import Spec
from .topology import Topology, View

# After that preStop moves the role itself (procedure B), and two movers would disturb each other (rule 8).
TERMINATING_WITHIN_S: Final = 3.0
MAX_LAG_S: Final = 1


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A handover that is wanted; `annotation` is the request that it answers."""

    handover: Handover
    annotation: str | None = None


def hand_over(spec: Spec, observed: Observed, topology: Topology, *, asked: Handover | None) -> Step | None:
    """The switchover that is due, as a Step with its action, or with a note what it waits for; None = none is due.

    `asked` is what a running procedure wants.
    """
    wish = _wish(spec, observed, topology, asked=asked)
    if wish is None:
        return None
    drop: tuple[Action, ...] = (DropAnnotation(annotation=wish.annotation),) if wish.annotation else ()
    if topology.master is not None and topology.master.pod in wish.handover.candidates[:1]:
        return Step(note=f"{topology.master.pod} is master already", actions=drop)
    unknown = [pod for pod in wish.handover.candidates if observed.node_of(pod) is None]
    if wish.annotation and unknown:
        why = f"there is no data pod {unknown[0]} to switch over to; name one of its pods, or {names.SWITCHOVER_ANY}"
        return Step(note=why, actions=(DropAnnotation(annotation=wish.annotation, refused=why),))
    course = course_of(spec, observed, topology, handover=wish.handover)
    if isinstance(course, str):
        return Step(note=f"the switchover ({wish.handover.why}) waits: {course}")
    fast = spec.failover_assisted and len(course.sentinels) == course.sentinel_count
    return Step(
        note=f"{course.old.pod} hands over to {course.new.pod}: {course.why}",
        actions=(*drop, SwitchOver(course=course, fast=fast)),
    )


def _wish(spec: Spec, observed: Observed, topology: Topology, *, asked: Handover | None) -> Wish | None:
    if not spec.is_sentinel_mode or topology.master is None:
        return None
    everybody = tuple(node.pod for node in observed.data if node.pod != topology.master.pod)
    pod = observed.pod(topology.master.pod)
    if pod is not None and _is_leaving(pod, now=observed.now):
        return Wish(handover=Handover(candidates=everybody, why=f"{pod.name} is being deleted"))
    annotations = observed.resource["metadata"].get("annotations") or {}
    request = annotations.get(names.ANNOTATION_SWITCHOVER)
    if request is not None:
        candidates = everybody if request == names.SWITCHOVER_ANY else (str(request),)
        why = f"annotation {names.ANNOTATION_SWITCHOVER} asks for it"
        handover = Handover(candidates=candidates, why=why)
        return Wish(handover=handover, annotation=names.ANNOTATION_SWITCHOVER)
    return Wish(handover=asked) if asked is not None else None


def _is_leaving(pod: Pod, *, now: float) -> bool:
    return pod.deletion_asked_at is not None and now - pod.deletion_asked_at < TERMINATING_WITHIN_S


def course_of(spec: Spec, observed: Observed, topology: Topology, *, handover: Handover) -> Course | str:
    """The course to the best candidate, or a sentence why it cannot begin now."""
    old = topology.master
    if topology.view is not View.AGREED or old is None or topology.epoch is None:
        return topology.unrest or "no majority of the sentinels names a master that serves"
    if not topology.is_calm:
        return str(topology.unrest)
    if topology.second_masters:
        return f"{topology.second_masters[0].pod} says it is master too"
    target = _best(observed, old, handover)
    if isinstance(target, str):
        return target
    quorum = [s.pod for s in observed.sentinels if s.is_up and not s.quorum_ok]
    if quorum:
        return f"{', '.join(quorum)} sees no quorum"
    return course_between(
        spec, observed, topology, old=member_of(old), new=member_of(target), why=handover.why
    )


def catch_up(spec: Spec, observed: Observed, topology: Topology) -> Step | None:
    """The sentinels' config-epoch is below what volumes know, or what all of them knew before they forgot: it is raised
    once the set is whole.
    """
    volumes = max((n.holding.epoch or 0 for n in observed.data if n.is_up and n.holding), default=0)
    known = max(volumes, int(observed.status.get("configEpoch") or 0))
    master = topology.master
    if master is None or topology.epoch is None or topology.epoch >= known or not topology.is_calm:
        return None
    whole = all(s.is_up and s.monitors and s.quorum_ok for s in observed.sentinels)
    if topology.second_masters or not whole or observed.status.get("intent"):
        return None
    who = "a volume" if volumes == known else "the status"
    why = f"{who} knows config-epoch {known}, the sentinels {topology.epoch}"
    course = course_between(spec, observed, topology, old=member_of(master), new=member_of(master), why=why)
    return Step(note=why, actions=(RaiseEpoch(course=course, above=known),))


def _best(observed: Observed, old: DataNode, handover: Handover) -> DataNode | str:
    """The first group of candidates counts: an order among pods that are all fit is the asker's."""
    problems = []
    online = {replica.address: replica for replica in old.replicas if replica.online}
    for pod_name in handover.candidates:
        node, pod = observed.node_of(pod_name), observed.pod(pod_name)
        if node is None or pod is None or pod_name == old.pod:
            continue
        shown = online.get(str(node.address))
        if pod.terminating:
            problems.append(f"{pod_name} is being deleted")
        elif not node.is_synced_replica or node.master_address != old.address or shown is None:
            problems.append(f"{pod_name} is not in sync with {old.pod}")
        elif shown.lag_s > MAX_LAG_S:
            problems.append(f"{pod_name} is {shown.lag_s} s behind {old.pod}")
        elif not node.priority:
            problems.append(f"{pod_name} has not completed its first sync")
        else:
            return node
    return "; ".join(problems) or "there is no replica to switch over to"


def member_of(node: DataNode) -> Member:
    """The data node as a move knows it."""
    return Member(pod=node.pod, address=str(node.address), run_id=node.run_id or "")


def course_between(
    spec: Spec, observed: Observed, topology: Topology, *, old: Member, new: Member, why: str
) -> Course:
    """A course with everybody who answers in it."""
    return Course(
        old=old,
        new=new,
        others=tuple(member_of(n) for n in observed.data if n.is_up and n.pod not in (old.pod, new.pod)),
        sentinels=_sentinels(observed),
        sentinel_count=spec.sentinel_pod_count,
        master_name=spec.sentinel.master_name,
        epoch=topology.epoch or 0,
        down_after_ms=spec.sentinel.down_after_ms,
        why=why,
    )


def _sentinels(observed: Observed) -> tuple[Member, ...]:
    return tuple(
        Member(pod=s.pod, address=str(s.address), is_sentinel=True)
        for s in observed.sentinels
        if s.is_up and s.monitors
    )


def unfinished(spec: Spec, observed: Observed, topology: Topology) -> Course | None:
    """The course of the move that status.intent tells of, to be completed; None where its target is gone."""
    intent = observed.status.get("intent") or {}
    target, old = observed.node_of(str(intent["pod"])), observed.node_of(str(intent["from"]))
    if target is None or not target.is_up:
        return None
    leaving = Member(pod=str(intent["from"]), address=str(intent["fromAddress"]))
    if old is not None and old.is_up:
        leaving = replace(leaving, run_id=old.run_id or "")
    why = str(intent.get("reason", "a move was interrupted"))
    made = course_between(spec, observed, topology, old=leaving, new=member_of(target), why=why)
    return replace(made, epoch=max([int(intent["epoch"]), *_epochs(observed)]))


def _epochs(observed: Observed) -> list[int]:
    return [s.config_epoch for s in observed.sentinels if s.config_epoch is not None]


def crash_of(spec: Spec, observed: Observed, topology: Topology) -> Crash | None:
    """What an assisted failover has to know of the set as it is now; None where it may not happen."""
    master = topology.master
    if not spec.failover_assisted or spec.paused or topology.view is not View.AGREED or master is None:
        return None
    pod = observed.pod(master.pod)
    if topology.second_masters or pod is None or pod.ip is None or topology.epoch is None:
        return None
    return Crash(
        old=member_of(master),
        pod_uid=pod.uid,
        pod_address=pod.ip,
        others=tuple(member_of(node) for node in observed.data if node.is_up and node.pod != master.pod),
        sentinels=_sentinels(observed),
        sentinel_count=spec.sentinel_pod_count,
        master_name=spec.sentinel.master_name,
        epoch=topology.epoch,
        down_after_ms=spec.sentinel.down_after_ms,
    )
