"""A changed pod template reaches the pods: one at a time, the master last of the data pods, then the sentinels.

The StatefulSets are OnDelete: a pod that is deleted comes back from the newest template. Which pods are outdated is
read from their revision labels, so that nothing is remembered between two steps. A template whose first pod does not
come up is taken back: `stopped` says which, and the plan puts the last good templates into the StatefulSets.
Source of the order: what went wrong elsewhere, spotahome/redis-operator#89, #269 and CloudPirates#781.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..actions import DeletePod, RememberInStatus
from ..model import Object, Observed, Pod
from ..names import Children, Reason
from ..rdb_format import unreadable
from ..render import Identity
from ..spec import Spec
from ..topology import Topology
from .gate import objection
from .step import Handover, Step

DEADLINE_S: Final = 120.0  # from a pod's creation until it has to be ready, where the API says nothing worse

# What the kubelet says of a container that this template will not bring up; everything else may pass by itself.
_AT_ONCE: Final = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
# The fields of a pod that decide where it can run.
_PLACEMENT: Final = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "priorityClassName",
    "topologySpreadConstraints",
)


@dataclass(frozen=True, kw_only=True)
class Revisions:
    """The newest revision of each StatefulSet by the component of its pods; None while its controller has not said."""

    newest: Mapping[str, str | None]

    @property
    def are_known(self) -> bool:
        return bool(self.newest) and all(self.newest.values())

    def is_outdated(self, pod: Pod) -> bool:
        newest = self.newest.get(pod.component)
        return newest is not None and pod.revision is not None and pod.revision != newest


def revisions(who: Identity, observed: Observed) -> Revisions:
    """What the StatefulSets that exist would make now."""
    found = {}
    for component, name in stateful_set_names(who.children).items():
        live = observed.objects.get(("StatefulSet", name))
        if live is not None:
            found[component] = newest_revision(live)
    return Revisions(newest=found)


def stateful_set_names(children: Children) -> dict[str, str]:
    """The StatefulSets by the component of their pods."""
    return {"master": children.master, "replica": children.replica, "sentinel": children.sentinel}


def newest_revision(stateful_set: Object) -> str | None:
    """The revision that a new pod would get; None while the controller has not looked at the present template."""
    status = stateful_set.get("status") or {}
    if status.get("observedGeneration", 0) < stateful_set["metadata"].get("generation", 0):
        return None
    revision = status.get("updateRevision")
    return str(revision) if revision else None


def outdated(who: Identity, observed: Observed) -> tuple[str, ...]:
    """Pods that are to be replaced, in that order but for the master's role: highest ordinals first, sentinels last."""
    known = revisions(who, observed)
    data, sentinels = observed.data[::-1], observed.sentinels[::-1]
    order = (*(node.pod for node in data), *(node.pod for node in sentinels))
    pods = (observed.pod(name) for name in order)
    return tuple(pod.name for pod in pods if pod is not None and known.is_outdated(pod))


def progress(who: Identity, observed: Observed) -> str:
    """`2/6`: how many of the pods are of the newest template."""
    count = len(observed.members)
    return f"{count - len(outdated(who, observed))}/{count}"


def replace_stuck(who: Identity, spec: Spec, observed: Observed) -> Step | None:
    """A pod of an older template that cannot start is made anew at once: nothing is served by it, in any state.

    Without volumes only where its containers have never run: else the pod may hold what it had before it stumbled.
    """
    for name in outdated(who, observed):
        pod, node = observed.pod(name), observed.node_of(name)
        sentinel = next((s for s in observed.sentinels if s.pod == name), None)
        answers = (node is not None and node.is_up) or (sentinel is not None and sentinel.is_up)
        if pod is None or pod.ready or pod.terminating or not pod.waiting or answers:
            continue
        if not spec.persistence.enabled and pod.phase != "Pending":
            continue
        delete = DeletePod(
            pod=name, uid=pod.uid, why=f"it cannot start, and its template has changed: {pod.waiting}"
        )
        return Step(note=f"{name} is made anew", actions=(delete,), reason=Reason.ROLLING_OUT)
    return None


def rollout(
    who: Identity, spec: Spec, observed: Observed, topology: Topology, *, fingerprint: str
) -> Step | None:
    """The next step of a rollout, None where every pod is of the newest template.

    `fingerprint` names what is rolled out, to know it again where it has to be stopped.
    """
    if not revisions(who, observed).are_known:
        return Step(note="the StatefulSets take in what has changed")
    stop = _stop(who, observed, topology, fingerprint=fingerprint)
    if stop is not None:
        return stop
    waiting = outdated(who, observed)
    if topology.master is None:
        return None
    told = f"{progress(who, observed).replace('/', ' of ')} pods updated"
    if not waiting:
        return _last_pod(observed, topology, told=told) if spec.sentinel_pod_count else None
    if not spec.is_sentinel_mode:
        return _restart(spec, observed, waiting[0])
    if not spec.sentinel_pod_count:
        return None  # on its way to standalone
    master = topology.master.pod
    data = {node.pod for node in observed.data}
    replicas = [name for name in waiting if name in data and name != master]
    # One that is no replica in sync now has the least to lose.
    replicas.sort(key=lambda name: objection(observed, topology, without=[name]) is not None)
    if replicas:
        return _replace(observed, topology, replicas[0], told=told)
    if master in waiting:
        return _hand_over(observed, topology, told=told)
    return _replace(observed, topology, waiting[0], told=told)


def _replace(observed: Observed, topology: Topology, name: str, *, told: str) -> Step:
    pod = observed.pod(name)
    obstacle = objection(observed, topology, without=[name] if _is_away(observed, name) else ())
    if pod is None or pod.terminating or obstacle:
        why = obstacle or f"{name} is terminating"
        return Step(note=f"{told}; {name} is next, as soon as it can be: {why}", reason=Reason.ROLLING_OUT)
    delete = DeletePod(pod=name, uid=pod.uid, why="its template has changed")
    return Step(note=f"{told}; {name} is next", actions=(delete,), reason=Reason.ROLLING_OUT)


def _last_pod(observed: Observed, topology: Topology, *, told: str) -> Step | None:
    """The rollout lasts until its last pod is in, or has had its time."""
    obstacle = objection(observed, topology) if observed.status.get("rollout") else None
    young = any(p.created_at is not None and observed.now - p.created_at < DEADLINE_S for p in observed.pods)
    if obstacle is None or not young:
        return None
    return Step(note=f"{told}; waiting: {obstacle}", reason=Reason.ROLLING_OUT)


def _is_away(observed: Observed, name: str) -> bool:
    """It serves nobody now: what it lacks itself is no reason to keep it."""
    pod, node = observed.pod(name), observed.node_of(name)
    return pod is not None and not pod.ready and (node is None or not node.is_synced_replica)


def _hand_over(observed: Observed, topology: Topology, *, told: str) -> Step:
    """All other data pods are updated by now: one of them becomes master before the old one's pod goes."""
    assert topology.master is not None
    master = topology.master
    obstacle = objection(observed, topology)
    if obstacle:
        note = f"{told}; the role of {master.pod} is next, as soon as it can be: {obstacle}"
        return Step(note=note, reason=Reason.ROLLING_OUT)
    why = f"the pod of the master, {master.pod}, is to be made anew from a changed template"
    return Step(
        note=f"{told}; the role of {master.pod} is handed over",
        handover=Handover(candidates=best_successors(observed, master.pod), why=why),
        reason=Reason.ROLLING_OUT,
    )


def best_successors(
    observed: Observed, master: str, *, among: frozenset[str] | None = None
) -> tuple[str, ...]:
    """Replicas in sync, the one with the most data first; only those of `among` where it is given."""
    able = [
        node
        for node in observed.data
        if node.is_synced_replica and node.pod != master and (among is None or node.pod in among)
    ]
    return tuple(node.pod for node in sorted(able, key=lambda node: -(node.offset or 0)))


def _restart(spec: Spec, observed: Observed, name: str) -> Step | None:
    """The only pod there is: an outage, and said so."""
    pod, node = observed.pod(name), observed.node_of(name)
    if pod is None or pod.terminating or node is None or not node.is_master:
        return None
    if not spec.persistence.enabled and node.keys:
        return Step(
            note=f"{name} is outdated",
            blocked=(
                Reason.DATA_WITHOUT_VOLUME,
                f"{name} holds {node.keys} keys and has no volume: its restart would be their end; "
                "delete the pod yourself to have the change, or take the change back",
            ),
        )
    delete = DeletePod(pod=name, uid=pod.uid, why="its template has changed; it is the only one: an outage")
    note = (
        f"{name}, the only Redis, is restarted to take in the change: an outage until it has loaded its data"
    )
    return Step(note=note, actions=(delete,), reason=Reason.ROLLING_OUT)


# --- a template that does not come up -----------------------------------------------------------------------------


def stopped(status: Mapping[str, Any], *, fingerprint: str) -> Mapping[str, Any] | None:
    """What is known of the stop of this very rollout: `pod` and `cause`; None where it is not stopped."""
    found: Mapping[str, Any] = status.get("stoppedRollout") or {}
    return found if found.get("spec") == fingerprint else None


def last_good_template(who: Identity, observed: Observed, component: str) -> Mapping[str, Any] | None:
    """The pod template that all pods of a StatefulSet were Ready with last."""
    name = (observed.status.get("lastGood") or {}).get(stateful_set_names(who.children)[component])
    body = observed.objects.get(("ControllerRevision", str(name))) or {}
    template = ((body.get("data") or {}).get("spec") or {}).get("template")
    if template is None:
        return None
    return {key: value for key, value in template.items() if key != "$patch"}


def _stop(who: Identity, observed: Observed, topology: Topology, *, fingerprint: str) -> Step | None:
    known = revisions(who, observed)
    good: Mapping[str, str] = observed.status.get("lastGood") or {}
    sets = stateful_set_names(who.children)
    for pod in observed.pods:
        newest, last = known.newest.get(pod.component), good.get(sets.get(pod.component, ""))
        if last is None or newest is None or newest == last or pod.revision != newest:
            continue
        cause = _cause(who, observed, topology, pod)
        if cause is None:
            continue
        facts = {"spec": fingerprint, "pod": pod.name, "cause": cause}
        return Step(
            note=f"the rollout is stopped at {pod.name}: {cause}",
            actions=(RememberInStatus(fields={"stoppedRollout": facts}),),
            reason=Reason.ROLLOUT_STOPPED,
        )
    return None


def _cause(who: Identity, observed: Observed, topology: Topology, pod: Pod) -> str | None:
    """Why a pod of the newest template is held to be its victim; None where it runs, or may still come."""
    if pod.ready or pod.terminating:
        return None
    waiting = pod.waiting or ""
    if waiting.split(":", 1)[0] in _AT_ONCE:
        return waiting
    node, master = observed.node_of(pod.name), topology.master
    if (
        node is not None
        and master is not None
        and node.is_up
        and not node.is_synced_replica
        and node is not master
    ):
        never = unreadable(
            node, master
        )  # known from the first pod's first answer: nothing has to be waited for
        if never is not None:
            return never
    if node is not None and node.is_up and (node.loading or node.syncing):
        return None
    if pod.was_ready:  # it came up well; what befell it later is not the template's doing
        return None
    if pod.created_at is None or observed.now - pod.created_at < DEADLINE_S:
        return None
    if waiting.startswith("Unschedulable") and _is_placed_as_before(who, observed, pod):
        return None  # where it may run has not changed: the cluster has
    return waiting or _silence(observed, pod)


def _silence(observed: Observed, pod: Pod) -> str:
    node = observed.node_of(pod.name)
    said = f"not ready {DEADLINE_S:.0f} s after it was made"
    if node is None or not node.is_up:
        return said
    master = next((n for n in observed.data if n.is_master), None)
    versions = f"; it runs {node.version}, the master {master.version}" if master is not None else ""
    return said if node.is_synced_replica else f"{said}, its link to the master is down{versions}"


def _is_placed_as_before(who: Identity, observed: Observed, pod: Pod) -> bool:
    before = last_good_template(who, observed, pod.component)
    live = observed.objects.get(("StatefulSet", stateful_set_names(who.children)[pod.component]))
    if before is None or live is None:
        return False

    def placement(template: Mapping[str, Any]) -> list[Any]:
        spec = template.get("spec") or {}
        requests = [
            (container.get("resources") or {}).get("requests") for container in spec.get("containers") or []
        ]
        return [*(spec.get(field) for field in _PLACEMENT), requests]

    return placement(before) == placement(live["spec"]["template"])
