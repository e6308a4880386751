"""The conditions of a resource: True, False or Unknown, a constant reason, a sentence. Pure; called by status.

`ready_verdict` also tells the plan whether the set is whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from .model import Observed, Pod, Reach, seconds
from .names import Condition, Phase, Reason
from .plan import Plan
from .procedures.mend import beside, strays
from .refusal import refusal
from .spec import Spec, Wiring
from .topology import Topology, View, failover_blockers, quorum_at_risk


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One condition before it is dated: True, False or Unknown, why, and a sentence."""

    type: str
    status: bool | None
    reason: str
    message: str


def ready_verdict(spec: Spec, observed: Observed, topology: Topology) -> Verdict:
    """Is the Redis that the spec asks for there and whole: master by the truth, replicas linked, sentinels agreed."""
    if topology.master is None:
        if topology.view is View.MINORITY:
            return _not_ready("QuorumLost", topology.unrest or "too few sentinels answer")
        if topology.view is View.SPLIT:
            return _not_ready("SentinelsDisagree", topology.unrest or "the sentinels do not agree")
        where = f" at {topology.address}" if topology.address else ""
        return _not_ready("NoMaster", f"no node serves as master{where}")
    refused = None if topology.second_masters else refusal(topology.master)
    if refused is not None:
        return _not_ready(Reason.WRITES_REFUSED, refused.message)
    unwritten = [node.pod for node in observed.data if not node.aof_ok]
    if unwritten:
        told = f"{', '.join(unwritten)} cannot write the append-only file: look whether the volume is full"
        return _not_ready("DiskWriteFailed", told)
    if not spec.is_sentinel_mode:
        ready = _pods_ready(observed)
        if ready < 1:
            return _not_ready("PodsNotReady", f"{topology.master.pod} is not ready")
        return Verdict(type=Condition.READY, status=True, reason="Ready", message="Redis serves")
    if topology.second_masters:
        return _not_ready("TwoMasters", "; ".join(str(second) for second in beside(topology)))
    synced = sum(node.is_synced_replica for node in observed.data)
    if synced < spec.replicas:
        return _not_ready("ReplicasNotInSync", f"{synced} of {spec.replicas} replicas are in sync")
    for stray in strays(observed, topology):
        where = f"{stray.pod} follows {stray.master_address} instead of {topology.master.pod}"
        return _not_ready("ReplicaAstray", where)
    agreed = sum(
        node.is_up and node.monitors and node.master_address == topology.address
        for node in observed.sentinels
    )
    if agreed < spec.sentinel.replicas:
        return _not_ready("SentinelsNotReady", f"{agreed} of {spec.sentinel.replicas} sentinels agree")
    peers = spec.sentinel.replicas - 1
    ours = {s.address for s in observed.sentinels}  # what else they know is being forgotten
    alone = [s.pod for s in observed.sentinels if len(ours & {*s.peers}) != peers or ours & {*s.peers_down}]
    if alone:
        return _not_ready("SentinelsNotReady", f"{', '.join(alone)} does not see {peers} other sentinels")
    if topology.unrest:
        return _not_ready("FailoverInProgress", topology.unrest)
    blockers = failover_blockers(observed, topology, sentinels=spec.sentinel.replicas)
    if blockers:
        return _not_ready(*blockers)
    expected = spec.data_pod_count + spec.sentinel_pod_count
    ready = _pods_ready(observed)
    if ready < expected:
        return _not_ready("PodsNotReady", f"{ready} of {expected} pods are ready")
    return Verdict(
        type=Condition.READY,
        status=True,
        reason="Ready",
        message=f"{topology.master.pod} is master, {synced} replicas are in sync, {agreed} sentinels agree",
    )


def _not_ready(reason: str, message: str) -> Verdict:
    return Verdict(type=Condition.READY, status=False, reason=reason, message=message)


def _pods_ready(observed: Observed) -> int:
    expected = {node.pod for node in observed.data} | {node.pod for node in observed.sentinels}
    return sum(pod.ready and not pod.terminating for pod in observed.pods if pod.name in expected)


def verdicts(spec: Spec, observed: Observed, topology: Topology, plan: Plan) -> list[Verdict]:
    """All conditions of a resource whose spec is valid."""
    ready = ready_verdict(spec, observed, topology)
    return [
        ready,
        _progressing(spec, ready=ready, plan=plan),
        _degraded(spec, observed, ready=ready, plan=plan),
        _failover_ready(spec, observed, topology),
        Verdict(
            type=Condition.DATA_LOSS_RISK,
            status=plan.risk is not None,
            reason=plan.risk[0] if plan.risk else "NoRisk",
            message=plan.risk[1] if plan.risk else "no step is held back for the data's sake",
        ),
        Verdict(
            type=Condition.SPEC_VALID, status=True, reason="Valid", message="the spec can be carried out"
        ),
        _contex_wired(spec, plan, is_ready=bool(ready.status)),
        Verdict(
            type=Condition.AUTH_CHANGED,
            status=plan.auth_changed is not None,
            reason="SourceDiffers" if plan.auth_changed else "InForce",
            message=plan.auth_changed or "the pods use the passwords of the source Secret",
        ),
    ]


def _progressing(spec: Spec, *, ready: Verdict, plan: Plan) -> Verdict:
    if spec.paused:
        return Verdict(
            type=Condition.PROGRESSING, status=False, reason="Paused", message="paused: nothing is changed"
        )
    if plan.reason == Reason.ROLLOUT_STOPPED and plan.blocked:
        return Verdict(type=Condition.PROGRESSING, status=False, reason=plan.reason, message=plan.blocked[1])
    if plan.note:
        return Verdict(type=Condition.PROGRESSING, status=True, reason=plan.reason, message=plan.note)
    if plan.actions:
        return Verdict(
            type=Condition.PROGRESSING, status=True, reason="Working", message=str(plan.actions[0])
        )
    if not ready.status:
        return Verdict(
            type=Condition.PROGRESSING, status=True, reason="Waiting", message=f"waiting: {ready.message}"
        )
    return Verdict(
        type=Condition.PROGRESSING, status=False, reason="Settled", message="nothing is being changed"
    )


def _degraded(spec: Spec, observed: Observed, *, ready: Verdict, plan: Plan) -> Verdict:
    def degraded(reason: str, message: str) -> Verdict:
        return Verdict(type=Condition.DEGRADED, status=True, reason=reason, message=message)

    if plan.blocked:
        return degraded(*plan.blocked)
    if plan.risk:
        return degraded(*plan.risk)
    stuck = next((pod for pod in observed.pods if pod.waiting), None)
    if stuck is not None and not ready.status:
        return degraded("PodCannotStart", f"{stuck.name}: {stuck.waiting}{_unbound_claim(observed, stuck)}")
    denied = [node.pod for node in observed.data if node.reach is Reach.DENIED]
    denied += [sentinel.pod for sentinel in observed.sentinels if sentinel.reach is Reach.DENIED]
    if denied:
        return degraded(
            "PasswordRefused", f"{', '.join(denied)} refuses the password that the pods should have"
        )
    if not is_starting(observed) and not ready.status and not is_planned(plan):
        return degraded(ready.reason, ready.message)
    node = quorum_at_risk(observed, sentinels=spec.sentinel_pod_count)
    if node is not None:
        return degraded(
            "QuorumAtRisk",
            f"node {node} carries a majority of the sentinels; its loss would end every failover",
        )
    return Verdict(type=Condition.DEGRADED, status=False, reason="Healthy", message="nothing is amiss")


def _unbound_claim(observed: Observed, pod: Pod) -> str:
    """What the scheduler leaves out: which claim a pod waits for, and of which storage class."""
    name = f"data-{pod.name}"
    claim = observed.objects.get(("PersistentVolumeClaim", name)) or {}
    if (claim.get("status") or {}).get("phase") != "Pending":
        return ""
    storage_class = (claim.get("spec") or {}).get("storageClassName")
    of = f"of storage class {storage_class}" if storage_class else "without a storage class"
    return f"; its claim {name}, {of}, is not bound"


def _failover_ready(spec: Spec, observed: Observed, topology: Topology) -> Verdict:
    blockers = failover_blockers(observed, topology, sentinels=spec.sentinel_pod_count)
    blockers = blockers or _votes_cast(spec, observed)
    if blockers:
        return Verdict(type=Condition.FAILOVER_READY, status=False, reason=blockers[0], message=blockers[1])
    return Verdict(
        type=Condition.FAILOVER_READY,
        status=True,
        reason="Ready",
        message="a crash of the master now would heal by itself",
    )


def _votes_cast(spec: Spec, observed: Observed) -> tuple[str, str] | None:
    """After votes that nobody was told the end of, Sentinel waits before it begins an election of its own."""
    cast = observed.status.get("votesCast")
    if not cast:
        return None
    wait_s = 2 * spec.sentinel.failover_timeout_ms / 1000
    left_s = seconds(cast) + wait_s - observed.now
    if left_s <= 0:
        return None
    return (
        "VotesCast",
        f"a move was given up after votes; Sentinel alone waits up to {wait_s:g} s since {cast}",
    )


def _contex_wired(spec: Spec, plan: Plan, *, is_ready: bool) -> Verdict:
    def verdict(status: bool | None, reason: str, message: str) -> Verdict:
        return Verdict(type=Condition.CONTEX_WIRED, status=status, reason=reason, message=message)

    if spec.contex.wiring is Wiring.CONFIG_MAP:
        return verdict(True, "ConfigMap", "ConfigMap and Secret for envFrom are up to date")
    if spec.contex.wiring is Wiring.NONE or not spec.contex.deployments:
        return verdict(None, "NotAsked", "no Deployment is to be wired")
    problem = next((wired.problem for wired in plan.wiring if wired.problem), None)
    if problem:
        return verdict(False, *problem)
    if any(wired.action for wired in plan.wiring):
        waiting = "is being written" if is_ready else "follows once the Redis is Ready"
        return verdict(False, "Pending", f"the environment {waiting}")
    wired = ", ".join(item.deployment for item in plan.wiring)
    return verdict(True, "Wired", f"{wired} has the environment of this Redis")


def is_planned(plan: Plan) -> bool:
    """Pods are away because they are being replaced or removed, one at a time: that is no damage."""
    return plan.reason in (Reason.ROLLING_OUT, Reason.SCALING) and plan.risk is None


def is_starting(observed: Observed) -> bool:
    """Until it was Ready for the first time, a resource is being started, not degraded."""
    return observed.status.get("phase") in (None, Phase.PENDING, Phase.BOOTSTRAPPING, Phase.INVALID)
