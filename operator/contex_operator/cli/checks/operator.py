"""The usual suspects around the resource itself: the operator, the spec, what waits for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contex_operator import names
from contex_operator.names import Condition, Reason

from ..facts import Facts
from .finding import Found, Row, Severity, check

SILENT_S: Final = 30.0  # three times a Lease's duration


@check("operator-silent", Row.USUAL)
def operator_silent(facts: Facts) -> Iterator[Found]:
    """Is an operator at work?"""
    cure = "kubectl get pods -A -l app.kubernetes.io/name=contex-redis-operator -o wide"
    if facts.lease is None:
        if facts.is_lease_known:
            yield Found(
                finding="no operator watches this resource: nothing is made, moved or mended",
                proof=f"there is no Lease {names.LEASE} in {facts.namespace}, nor one of a cluster-wide operator",
                cure=cure,
            )
        return
    if facts.lease_age_s is not None and facts.lease_age_s > SILENT_S:
        spec, metadata = facts.lease.get("spec") or {}, facts.lease["metadata"]
        yield Found(
            finding=f"the operator has been silent for {facts.lease_age_s:.0f} s; Sentinel alone heals a crash",
            proof=f"Lease {metadata['namespace']}/{metadata['name']}, held by "
            f"{spec.get('holderIdentity') or 'nobody'}, was renewed at {spec.get('renewTime')}",
            cure=cure,
        )


@check("spec-behind", Row.USUAL)
def spec_behind(facts: Facts) -> Iterator[Found]:
    """Has the operator seen the last change of the resource?"""
    generation = facts.observed.resource["metadata"].get("generation", 0)
    seen = facts.observed.status.get("observedGeneration", 0)
    if seen < generation:
        yield Found(
            finding="the operator has not looked at the last change of this resource",
            proof=f"metadata.generation {generation}, status.observedGeneration {seen}",
            cure="kubectl get pods -A -l app.kubernetes.io/name=contex-redis-operator -o wide",
            severity=Severity.WARNING,
        )


@check("spec-invalid", Row.USUAL)
def spec_invalid(facts: Facts) -> Iterator[Found]:
    """Can the spec be carried out?"""
    condition = facts.conditions.get(Condition.SPEC_VALID, {})
    said = (
        f"{condition.get('reason')}: {condition.get('message')}"
        if condition.get("status") == "False"
        else None
    )
    if said or facts.spec_error:
        yield Found(
            finding="the spec cannot be carried out; what runs is left as it is",
            proof=said or str(facts.spec_error),
            cure=facts.kubectl("edit", names.KIND.lower(), facts.name),
        )


@check("data-loss-risk", Row.USUAL)
def data_loss_risk(facts: Facts) -> Iterator[Found]:
    """Is a step held back because it could lose data?"""
    condition = facts.conditions.get(Condition.DATA_LOSS_RISK, {})
    if condition.get("status") == "True":
        yield Found(
            finding="a step is held back because it could lose data: a person has to decide",
            proof=f"{condition.get('reason')}: {condition.get('message')}",
            cure=facts.kubectl("describe", names.KIND.lower(), facts.name),
        )


@check("rollout-stopped", Row.USUAL)
def rollout_stopped(facts: Facts) -> Iterator[Found]:
    """Did the last change of the pods work?"""
    for kind in (Condition.PROGRESSING, Condition.DEGRADED):
        condition = facts.conditions.get(kind, {})
        if condition.get("reason") == Reason.ROLLOUT_STOPPED:
            yield Found(
                finding="the last change of the pods did not work and was taken back",
                proof=str(condition.get("message")),
                cure=facts.kubectl("edit", names.KIND.lower(), facts.name),
            )
            return


@check("paused", Row.USUAL)
def paused(facts: Facts) -> Iterator[Found]:
    """May the operator act?"""
    if facts.spec is not None and facts.spec.paused:
        yield Found(
            finding="paused: the operator observes and changes nothing",
            proof="spec.paused is true",
            cure=f"kubectl contexredis resume {facts.name} -n {facts.namespace}",
            severity=Severity.NOTE,
        )


@check("standalone", Row.USUAL)
def standalone(facts: Facts) -> Iterator[Found]:
    """Is there somebody to fail over to?"""
    if facts.spec is not None and not facts.spec.is_sentinel_mode:
        yield Found(
            finding="a single Redis: its restart is an outage",
            proof="spec.mode is standalone",
            cure=facts.patch('{"mode":"sentinel"}'),
            severity=Severity.NOTE,
        )


@check("cannot-look", Row.USUAL)
def cannot_look(facts: Facts) -> Iterator[Found]:
    """Could everything be looked at?"""
    for unseen in facts.unseen:
        yield Found(
            finding=f"not looked at: {unseen.what}",
            proof=unseen.why,
            cure=facts.kubectl("auth", "can-i", "--list"),
            severity=Severity.WARNING,
        )
