"""Which events a change of the status is worth: on transitions only, one sentence each. Pure; called by reconcile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .names import Condition, Phase, Reason


@dataclass(frozen=True, kw_only=True)
class Transition:
    """An event to record: `is_warning`, a constant CamelCase reason, a sentence."""

    reason: str
    message: str
    is_warning: bool = False


# Conditions whose becoming True (or False) is news, and whether that news is bad.
_NEWS = {
    (Condition.READY, "True"): ("Ready", False),
    (Condition.READY, "False"): ("NotReady", True),
    (Condition.DEGRADED, "True"): ("Degraded", True),
    (Condition.DEGRADED, "False"): ("Recovered", False),
    (Condition.FAILOVER_READY, "False"): ("FailoverNotReady", True),
    (Condition.DATA_LOSS_RISK, "True"): ("DataLossRisk", True),
    (Condition.SPEC_VALID, "False"): ("SpecInvalid", True),
    (Condition.SPEC_VALID, "True"): ("SpecValid", False),
    (Condition.CONTEX_WIRED, "True"): ("ContexWired", False),
    (Condition.CONTEX_WIRED, "False"): ("ContexNotWired", True),
    (Condition.AUTH_CHANGED, "True"): ("AuthChanged", True),
}
# Not ready (yet, or for the moment) is no news while a set starts or its pods are replaced one at a time.
_EXPECTED = (Phase.BOOTSTRAPPING, Phase.UPDATING)
_EXPECTED_CONDITIONS = (Condition.READY, Condition.FAILOVER_READY)
_WAITING = ("Pending",)  # reasons under which a False is no news yet


def transitions(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Transition]:
    """Events for what differs between two statuses."""
    events = moves(old, new) + _rollout(old, new)
    second = new.get("lastSecondMaster")
    if second and second != old.get("lastSecondMaster"):
        events.append(Transition(reason="SecondMaster", message=second["message"], is_warning=True))
    before = {condition["type"]: condition for condition in old.get("conditions") or []}
    for condition in new.get("conditions") or []:
        last = before.get(condition["type"])
        if last is not None and _same_news(last, condition):
            continue
        news = _NEWS.get((condition["type"], condition["status"]))
        if news is None or condition["reason"] in _WAITING:
            continue
        reason, is_warning = news
        if condition["type"] == Condition.READY and condition["reason"] == Reason.WRITES_REFUSED:
            reason = Reason.WRITES_REFUSED
        # At the start nothing has turned: good news that was never bad, and "not yet", are no events.
        if last is None and not is_warning:
            continue
        came_back = old.get("phase") == Phase.UPDATING and condition["status"] == "True"
        if (new.get("phase") in _EXPECTED or came_back) and condition["type"] in _EXPECTED_CONDITIONS:
            continue
        events.append(Transition(reason=reason, message=condition["message"], is_warning=is_warning))
    return events


def moves(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Transition]:
    """The event for a master that has moved between two statuses."""
    failover = new.get("lastFailover")
    return [_moved(failover)] if failover and failover != old.get("lastFailover") else []


def _moved(failover: Mapping[str, Any]) -> Transition:
    """The master has moved: planned or not, how long it took where that is known, and why."""
    planned = failover.get("reason") == "Switchover"
    took = f" in {failover['milliseconds']} ms" if "milliseconds" in failover else ""
    why = f": {failover['message']}" if failover.get("message") else ""
    return Transition(
        reason="SwitchedOver" if planned else "FailedOver",
        message=f"master moved from {failover['from']} to {failover['to']}{took}{why}",
    )


def _same_news(last: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """A bad condition whose reason changes is news again; numbers that move inside a sentence are not."""
    return bool(last["status"] == now["status"] and last["reason"] == now["reason"])


def _rollout(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Transition]:
    """A rollout's begin and end; its stop is news of the condition Degraded."""
    before, now = old.get("rollout"), new.get("rollout")
    halted = "stoppedRollout" in new
    if now and not before and not halted:
        message = (
            f"a change is rolled out, one pod at a time: {now['updated']} pods have it; {now['next']} is next"
        )
        return [Transition(reason="RolloutStarted", message=message)]
    if before and not now and not halted:
        return [
            Transition(reason="RolloutCompleted", message="every pod has been made from the newest template")
        ]
    return []
