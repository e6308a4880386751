"""What the status says: pure, from one snapshot, its judgement and the plan; written only where it differs.

Reasons are constants, a condition's time moves only when its status does. Called by reconcile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from . import names
from .actions import Action, RememberInStatus
from .conditions import Verdict, is_planned, is_starting, verdicts
from .contexenv import sentinel_hosts
from .model import Observed, utc
from .moves.resume import REASONS
from .names import Condition, Phase, Reason
from .plan import Plan
from .procedures import cold_start
from .procedures.mend import stray_since
from .procedures.rollout import outdated, progress, revisions, stateful_set_names
from .render import Identity
from .spec import Spec
from .topology import Topology, View

Status = dict[str, Any]


def compute(spec: Spec, observed: Observed, topology: Topology, plan: Plan) -> Status:
    """The whole status, as a change of the present one: conditions keep their times where nothing turned."""
    who = Identity(namespace=observed.namespace, name=observed.name, uid=observed.uid)
    old = observed.status
    found = verdicts(spec, observed, topology, plan)
    status: Status = {
        **{
            key: old[key]
            for key in (
                "initialized",
                "addresses",
                "formerAddresses",
                "intent",
                "lastFailover",
                "lastMaster",
                "votesCast",
                "forgetting",
                "configRemoval",
                "lastSecondMaster",
            )
            if key in old
        },
        **_rollout(who, observed, plan, old=old, is_ready=bool(found[0].status)),
        "observedGeneration": observed.resource["metadata"].get("generation", 0),
        "phase": _phase(spec, observed, topology, plan, found=found),
        "replicas": _running_replicas(who, spec, observed),
        "readyReplicas": sum(node.is_synced_replica for node in observed.data),
        "ready": f"{_serving(observed, topology)}/{spec.data_pod_count}",
        "selector": f"{names.LABEL_CLUSTER}={who.name},{names.LABEL_COMPONENT}={names.COMPONENT_REPLICA}",
        "conditions": _dated(found, old.get("conditions") or [], observed),
        "endpoints": {"master": f"{who.children.master}.{who.namespace}.svc:{names.REDIS_PORT}"},
    }
    if spec.is_sentinel_mode:
        answering = sum(node.is_up and node.monitors for node in observed.sentinels)
        status["sentinels"] = f"{answering}/{spec.sentinel.replicas}"
        status["sentinelHosts"] = sentinel_hosts(who, spec)
        status["endpoints"]["replica"] = f"{who.children.replica}.{who.namespace}.svc:{names.REDIS_PORT}"
    astray = stray_since(observed, topology)
    if astray:
        status["strays"] = astray
    if plan.missing:
        known: Mapping[str, str] = old.get("missing") or {}
        status["missing"] = {pod: known.get(pod, utc(observed.now)) for pod in plan.missing}
    told = next((a.fields["lastSecondMaster"] for a in plan.actions if _tells_of_second(a)), None)
    if told is not None:
        status["lastSecondMaster"] = told
    if topology.epoch is not None and topology.master is not None:
        status["configEpoch"] = max(topology.epoch, int(old.get("configEpoch") or 0))
    elif "configEpoch" in old:
        status["configEpoch"] = old["configEpoch"]
    if topology.master is not None:
        status["master"] = {"pod": topology.master.pod, "address": topology.master.address}
        status["lastMaster"] = topology.master.pod
        before = old.get("lastMaster")
        if before and before != topology.master.pod:
            status["lastFailover"] = {
                "time": utc(observed.now),
                "from": before,
                "to": topology.master.pod,
                "reason": _failover_reason(old),
            }
    return status


def _rollout(
    who: Identity, observed: Observed, plan: Plan, *, old: Mapping[str, Any], is_ready: bool
) -> Status:
    """What is being rolled out, what was stopped, what worked last, and which pods were scaled away."""
    known = revisions(who, observed)
    waiting = outdated(who, observed)
    facts: Status = {}
    if waiting:
        facts["rollout"] = {"updated": progress(who, observed), "next": waiting[0]}
    elif plan.reason == Reason.ROLLING_OUT and "rollout" in old:
        facts["rollout"] = {"updated": progress(who, observed)}
    halted = old.get("stoppedRollout")
    if halted and plan.fingerprint in (None, halted.get("spec")):
        facts["stoppedRollout"] = halted
    good = {
        name: str(known.newest[component])
        for component, name in stateful_set_names(who.children).items()
        if known.newest.get(component)
    }
    if is_ready and known.are_known and not waiting and "stoppedRollout" not in facts:
        facts["lastGood"] = good
    elif "lastGood" in old:
        facts["lastGood"] = old["lastGood"]
    retired = {pod: at for pod, at in (old.get("retired") or {}).items() if pod not in observed.members}
    return facts | ({"retired": retired} if retired else {})


def _tells_of_second(action: Action) -> TypeGuard[RememberInStatus]:
    return isinstance(action, RememberInStatus) and "lastSecondMaster" in action.fields


def _failover_reason(status: Mapping[str, Any]) -> str:
    """Whose doing it was that the master moved: a procedure's whose intent stands, else Sentinel's."""
    procedure = str((status.get("intent") or {}).get("procedure"))
    return {cold_start.NAME: "ColdStart", **REASONS}.get(procedure, "SentinelFailover")


def _running_replicas(who: Identity, spec: Spec, observed: Observed) -> int:
    live = observed.objects.get(("StatefulSet", who.children.replica)) or {}
    count: int = (live.get("spec") or {}).get("replicas", 0) if spec.is_sentinel_mode else 0
    return count


def _serving(observed: Observed, topology: Topology) -> int:
    return sum(node.is_synced_replica for node in observed.data) + (topology.master is not None)


def _phase(spec: Spec, observed: Observed, topology: Topology, plan: Plan, *, found: list[Verdict]) -> str:
    state = {verdict.type: verdict.status for verdict in found}
    if spec.paused:
        return Phase.PAUSED
    if is_planned(plan) and topology.master is not None and plan.blocked is None:
        return Phase.UPDATING
    if state[Condition.READY]:
        return Phase.READY
    if is_starting(observed) and plan.risk is None and plan.blocked is None:
        return Phase.BOOTSTRAPPING
    if topology.view is View.SPLIT or (topology.view is View.AGREED and topology.master is None):
        return Phase.FAILING_OVER
    return Phase.DEGRADED


def invalid(observed: Mapping[str, Any], *, now: float, reason: str, message: str) -> Status:
    """The status of a resource whose spec cannot be carried out: all that is known of the running Redis stays."""
    old: Status = dict(observed.get("status") or {})
    generation = observed["metadata"].get("generation", 0)
    verdict = Verdict(type=Condition.SPEC_VALID, status=False, reason=reason, message=message)
    conditions = _redate([verdict], old.get("conditions") or [], now=now, generation=generation)
    kept = [c for c in old.get("conditions") or [] if c["type"] != Condition.SPEC_VALID]
    phase = old.get("phase") if old.get("initialized") else Phase.INVALID
    return {**old, "observedGeneration": generation, "phase": phase, "conditions": kept + conditions}


def _dated(found: list[Verdict], old: list[dict[str, Any]], observed: Observed) -> list[dict[str, Any]]:
    generation = observed.resource["metadata"].get("generation", 0)
    return _redate(found, old, now=observed.now, generation=generation)


def _redate(
    found: list[Verdict], old: list[dict[str, Any]], *, now: float, generation: int
) -> list[dict[str, Any]]:
    before = {condition["type"]: condition for condition in old}
    dated = []
    for verdict in found:
        word = {True: "True", False: "False", None: "Unknown"}[verdict.status]
        last = before.get(verdict.type, {})
        turned = last.get("status") != word
        dated.append(
            {
                "type": verdict.type,
                "status": word,
                "reason": verdict.reason,
                "message": verdict.message,
                "observedGeneration": generation,
                "lastTransitionTime": utc(now) if turned else last["lastTransitionTime"],
            }
        )
    return dated


def change(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch from the old to the new status; empty where they are the same (nothing is written then)."""
    patch: dict[str, Any] = {}
    for key in {*old, *new}:
        if key not in new:
            patch[key] = None
        elif key not in old or old[key] != new[key]:
            value, before = new[key], old.get(key)
            if isinstance(value, Mapping) and isinstance(before, Mapping):
                value = change(before, value)
            patch[key] = value
    return patch
