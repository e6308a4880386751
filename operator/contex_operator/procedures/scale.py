"""Fewer members: the master's role leaves first, then the pods, then the memory that the sentinels have of them.

A lowered number changes nothing by itself (children.in_force): this procedure lowers the StatefulSets when it may.
What is gone is forgotten by SENTINEL RESET, on one sentinel at a time, from a set that is whole but for the gone
entries, with half a minute between two of them: a RESET takes from a sentinel all it knows of the replicas for some
seconds, and a master that dies while all of them know none is never replaced (OT-CONTAINER-KIT/redis-operator#1883).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from ..actions import Action, Apply, DeleteChild, RememberInStatus, SentinelReset, SetConfig
from ..children import pinned
from ..model import Object, Observed, SentinelNode, seconds, utc
from ..names import COMPONENT_SENTINEL, Reason
from ..render import Body, Identity, data_pods, sentinel_pods
from ..spec import Spec
from ..topology import Topology
from .gate import objection
from .rollout import best_successors
from .step import Handover, Step

PAUSE_S: Final = 30.0  # between two sentinels that forget


def shrink(
    who: Identity, spec: Spec, observed: Observed, topology: Topology, *, smaller: Mapping[str, Body]
) -> Step | None:
    """The next step towards the numbers of the spec, None where no member is to go.

    `smaller` are the StatefulSets as the spec has them, by name.
    """
    staying = {*data_pods(who, spec), *sentinel_pods(who, spec)}
    data = [node.pod for node in observed.data if node.pod not in staying]
    sentinels = [node.pod for node in observed.sentinels if node.pod not in staying]
    if topology.master is None or not (data or sentinels):
        return None
    if topology.master.pod in data:
        return _hand_over(observed, topology, staying=staying)
    if data:
        return _lower_priorities(observed, data) or _lower(
            observed, topology, data, who.children.replica, smaller=smaller
        )
    behind = [s.pod for s in observed.sentinels if s.settings.get("quorum", 0) > spec.sentinel.quorum]
    if behind:
        note = f"the quorum becomes {spec.sentinel.quorum} on {', '.join(behind)} before sentinels go"
        return Step(note=note, reason=Reason.SCALING)
    return _lower(observed, topology, sentinels, who.children.sentinel, smaller=smaller)


def dismantle(who: Identity, spec: Spec, observed: Observed, topology: Topology) -> Step | None:
    """The next step from mode sentinel to standalone, None where nothing of mode sentinel runs any more.

    The role goes to the pod that stays, then nobody else may be promoted, then the sentinels go, and at last the
    replicas. Their volumes stay.
    """
    sentinels = observed.objects.get(("StatefulSet", who.children.sentinel))
    replicas = observed.objects.get(("StatefulSet", who.children.replica))
    if spec.is_sentinel_mode or topology.master is None or not (sentinels or replicas):
        return None
    keeper = who.children.master_pod()
    others = [node.pod for node in observed.data if node.pod != keeper]
    if topology.master.pod != keeper:
        return _hand_over(observed, topology, staying={keeper})
    if sentinels is not None:
        step = _lower_priorities(observed, others)
        if step is not None:
            return step
        obstacle = objection(observed, topology, without=others)
        if obstacle:
            return Step(note=f"the sentinels go as soon as they can: {obstacle}", reason=Reason.SCALING)
        return _take_away(sentinels, note="the sentinels go")
    ending = [pod.name for pod in observed.pods if pod.component == COMPONENT_SENTINEL]
    if ending:
        return Step(note=f"waiting for {', '.join(ending)} to end", reason=Reason.SCALING)
    assert replicas is not None
    return _take_away(replicas, note="the replicas go")


def _take_away(stateful_set: Object, *, note: str) -> Step:
    metadata = stateful_set["metadata"]
    delete = DeleteChild(kind="StatefulSet", name=metadata["name"], uid=metadata["uid"])
    return Step(note=note, actions=(delete,), reason=Reason.SCALING)


def _hand_over(observed: Observed, topology: Topology, *, staying: Collection[str]) -> Step:
    assert topology.master is not None
    master = topology.master.pod
    obstacle = objection(observed, topology)
    if obstacle:
        note = f"{master} is to go, and its role before it, as soon as it can: {obstacle}"
        return Step(note=note, reason=Reason.SCALING)
    candidates = best_successors(observed, master, among=frozenset(staying))
    return Step(
        note=f"{master} is to go: its role is handed over first",
        handover=Handover(candidates=candidates, why=f"the pod of the master, {master}, is to be removed"),
        reason=Reason.SCALING,
    )


def _lower_priorities(observed: Observed, leaving: list[str]) -> Step | None:
    """No sentinel may promote a pod that is to go; each has to know that before it goes."""
    commands: list[Action] = []
    unaware = set()
    for node in observed.data:
        if node.pod not in leaving or not node.is_up:
            continue
        if node.priority != 0:
            values = {"replica-priority": "0"}
            commands.append(
                SetConfig(pod=node.pod, address=str(node.address), run_id=str(node.run_id), values=values)
            )
        for sentinel in observed.sentinels:
            known = next((k for k in sentinel.replicas if k.address == node.address), None)
            if known is not None and known.priority != 0:
                unaware.add(sentinel.pod)
    if commands:
        return Step(
            note=f"{', '.join(leaving)} may not become master any more",
            actions=tuple(commands),
            reason=Reason.SCALING,
        )
    if unaware:
        note = (
            f"waiting until {', '.join(sorted(unaware))} knows that {', '.join(leaving)} may not be promoted"
        )
        return Step(note=note, reason=Reason.SCALING)
    return None


def _lower(
    observed: Observed, topology: Topology, leaving: list[str], name: str, *, smaller: Mapping[str, Body]
) -> Step:
    told = ", ".join(leaving)
    obstacle = objection(observed, topology, without=leaving)
    live = observed.objects.get(("StatefulSet", name))
    if obstacle or live is None:
        return Step(note=f"{told} goes as soon as it can: {obstacle or 'waiting'}", reason=Reason.SCALING)
    body = smaller[name]
    apply = Apply(body=pinned(body, live), why=f"{told} is to go")
    return Step(note=f"{told} goes", actions=(apply,), reason=Reason.SCALING)


def forget(spec: Spec, observed: Observed, topology: Topology) -> Step | None:
    """The next step until nothing remembers members that are gone, None where nothing does."""
    addresses: Mapping[str, str] = observed.status.get("addresses") or {}
    gone = {pod: address for pod, address in addresses.items() if pod not in observed.members}
    if not gone or topology.master is None:
        return None
    told = ", ".join(gone)
    ending = [pod for pod in gone if observed.pod(pod) is not None]
    if ending:
        return Step(note=f"waiting for {', '.join(ending)} to end", reason=Reason.SCALING)
    step = forget_by(spec, observed, topology, gone=gone)
    if step is not None:
        return step
    silent = [s.pod for s in observed.sentinels if not s.is_up]
    if silent:
        return Step(note=f"waiting for {', '.join(silent)}, which may remember {told}", reason=Reason.SCALING)
    deletions: list[Action] = []
    for pod in gone:
        service = observed.objects.get(("Service", pod))
        if service is not None:
            deletions.append(DeleteChild(kind="Service", name=pod, uid=str(service["metadata"]["uid"])))
    at = utc(observed.now)
    facts = RememberInStatus(
        fields={
            "addresses": dict.fromkeys(gone),
            "retired": dict.fromkeys(gone, at),
            "forgetting": None,
        }
    )
    return Step(note=f"{told} is forgotten", actions=(*deletions, facts), reason=Reason.SCALING)


def forget_by(
    spec: Spec,
    observed: Observed,
    topology: Topology,
    *,
    gone: Mapping[str, str],
    may_answer: bool = False,
) -> Step | None:
    """The next sentinel that is to forget these addresses (by what is told of them), None where none knows them.

    `may_answer`: whoever answers there is somebody else, or a connection of old.
    """
    remembering = [s for s in observed.sentinels if _remembers(s, gone.values())]
    if not remembering:
        return None
    return _reset(spec, observed, topology, remembering[0], gone=gone, may_answer=may_answer)


def _remembers(sentinel: SentinelNode, addresses: Collection[str]) -> bool:
    known = {*(replica.address for replica in sentinel.replicas), *sentinel.peers}
    return bool(known & {*addresses})


def _reset(
    spec: Spec,
    observed: Observed,
    topology: Topology,
    sentinel: SentinelNode,
    *,
    gone: Mapping[str, str],
    may_answer: bool,
) -> Step:
    told = f"{sentinel.pod} is to forget {', '.join(gone)}"
    down = {*sentinel.peers_down, *(k.address for k in sentinel.replicas if "s_down" in k.flags)}
    known = {*sentinel.peers, *(k.address for k in sentinel.replicas)}
    alive = [pod for pod, address in gone.items() if address in known - down and not may_answer]
    obstacle = f"it does not show {', '.join(alive)} as down" if alive else objection(observed, topology)
    if obstacle is None:
        last = (observed.status.get("forgetting") or {}).get("at")
        left = PAUSE_S - (observed.now - seconds(last)) if last else 0.0
        obstacle = f"the last one forgot less than {PAUSE_S:.0f} s ago" if left > 0 else None
    if obstacle:
        return Step(note=f"{told}: {obstacle}", reason=Reason.SCALING)
    facts = {"sentinel": sentinel.pod, "at": utc(observed.now)}
    return Step(
        note=told,
        actions=(
            RememberInStatus(fields={"forgetting": facts}),
            SentinelReset(
                pod=sentinel.pod, address=str(sentinel.address), master_name=spec.sentinel.master_name
            ),
        ),
        reason=Reason.SCALING,
    )
