"""What a person wishes: a switchover, a pause, its end. The command line's only writes.

A switchover is asked for by the annotation that everybody can set; the operator decides and acts, and this follows it
to its end, by what the resource and its events say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from contex_operator import names
from contex_operator.errors import KubeError, Unreachable
from contex_operator.kube import Kube
from contex_operator.model import Object, seconds
from contex_operator.names import ANNOTATION_SWITCHOVER, SWITCHOVER_ANY, Condition
from contex_operator.render import Identity, data_pods
from contex_operator.resources import CONTEX_REDIS, EVENT
from contex_operator.spec import Spec

from .errors import FOUND, Stop
from .target import Target

MANAGER: Final = "kubectl-contexredis"
LOOK_S: Final = 0.5
# From the request's being taken off to the move's being visible, or its refusal: the operator's look and a write.
SILENCE_S: Final = 15.0
_ENDS: Final = ("SwitchoverRefused", "NotMoved")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A switchover that was asked for: when, and who was master then."""

    target: Target
    before: str
    wanted: str  # a pod, or `any`
    since: datetime


def check_switchover(resource: Object, spec: Spec, *, to: str | None) -> str:
    """The word for the annotation. Raises Stop where it cannot come true."""
    metadata = resource["metadata"]
    name = metadata["name"]
    if not spec.is_sentinel_mode:
        raise Stop(
            f"{name} is a single Redis (mode standalone): there is nobody to switch over to", code=FOUND
        )
    if spec.paused:
        raise Stop(
            f"{name} is paused, and the operator changes nothing: kubectl contexredis resume {name}",
            code=FOUND,
        )
    master = ((resource.get("status") or {}).get("master") or {}).get("pod")
    if master is None:
        raise Stop(
            f"{name} has no master now, so there is nothing to hand over: kubectl contexredis doctor",
            code=FOUND,
        )
    pending = (metadata.get("annotations") or {}).get(ANNOTATION_SWITCHOVER)
    if pending is not None:
        raise Stop(
            f"a switchover to {pending} is asked for already, and waits: kubectl contexredis status",
            code=FOUND,
        )
    if to is None:
        return SWITCHOVER_ANY
    pods = data_pods(Identity(namespace=metadata["namespace"], name=name, uid=metadata["uid"]), spec)
    if to not in pods:
        raise Stop(f"--to {to}: {name} has no such data pod; it has {', '.join(pods)}")
    if to == master:
        raise Stop(f"--to {to}: it is the master already")
    return to


async def ask_switchover(kube: Kube, target: Target, *, wanted: str) -> Request:
    """Set the annotation on the very object that was read, not on a successor of its name."""
    metadata = target.resource["metadata"]
    since = datetime.now(UTC)
    await kube.merge_patch(
        CONTEX_REDIS,
        target.namespace,
        target.name,
        {"metadata": {"annotations": {ANNOTATION_SWITCHOVER: wanted}, "uid": metadata["uid"]}},
        manager=MANAGER,
    )
    return Request(
        target=target, before=target.resource["status"]["master"]["pod"], wanted=wanted, since=since
    )


async def follow(
    kube: Kube, request: Request, *, within_s: float, tell: Callable[[str], None]
) -> Mapping[str, Any]:
    """Wait for the switchover's end, telling each new state; `status.lastFailover` at the end. Raises Stop."""
    ends_at = time.monotonic() + within_s
    taken_at: float | None = None
    last = ""
    while True:
        resource = await _look(kube, request.target)
        status = resource.get("status") or {}
        moved = status.get("lastFailover") or {}
        master = (status.get("master") or {}).get("pod")
        if "intent" not in status and master not in (None, request.before) and moved.get("to") == master:
            return dict(moved)
        is_asked = ANNOTATION_SWITCHOVER in (resource["metadata"].get("annotations") or {})
        if not is_asked and taken_at is None:
            taken_at = time.monotonic()
        refusal = None if is_asked else await _refusal(kube, request, resource)
        if refusal is not None:
            raise Stop(f"refused: {refusal}", code=FOUND)
        state = describe(resource, is_asked=is_asked)
        if state != last:
            tell(state)
            last = state
        if taken_at is not None and "intent" not in status and time.monotonic() - taken_at > SILENCE_S:
            raise Stop(f"the operator took the request and did not move the master; {state}", code=FOUND)
        if time.monotonic() > ends_at:
            waits = "the request still stands" if is_asked else "the move has begun"
            undo = f"kubectl -n {request.target.namespace} annotate contexredis {request.target.name}"
            raise Stop(
                f"not within {within_s:g} s: {state}; {waits}, and {undo} {ANNOTATION_SWITCHOVER}- takes it back",
                code=FOUND,
            )
        await asyncio.sleep(LOOK_S)


def describe(resource: Object, *, is_asked: bool) -> str:
    """What is going on with a switchover, in one line."""
    status = resource.get("status") or {}
    intent = status.get("intent")
    if intent:
        return f"moving from {intent.get('from', '?')} to {intent.get('pod', '?')}"
    if not is_asked:
        return "the operator has taken the request"
    found = {c["type"]: c for c in status.get("conditions") or ()}
    progressing = found.get(Condition.PROGRESSING, {})
    if progressing.get("status") == "True":
        return f"waiting: {progressing.get('message')}"
    return "asked for"


async def set_paused(kube: Kube, target: Target, *, paused: bool) -> bool:
    """Set spec.paused; False where it was so already."""
    if bool((target.resource.get("spec") or {}).get("paused")) is paused:
        return False
    patch = {"spec": {"paused": paused}, "metadata": {"uid": target.resource["metadata"]["uid"]}}
    await kube.merge_patch(CONTEX_REDIS, target.namespace, target.name, patch, manager=MANAGER)
    return True


async def _look(kube: Kube, target: Target) -> Object:
    resource = await kube.get(CONTEX_REDIS, target.namespace, target.name)
    if resource is None or resource["metadata"]["uid"] != target.resource["metadata"]["uid"]:
        raise Stop(f"{names.KIND} {target.namespace}/{target.name} was deleted meanwhile", code=FOUND)
    return resource


async def _refusal(kube: Kube, request: Request, resource: Object) -> str | None:
    """What an Event since the request says of why nothing was moved."""
    try:
        events = await kube.list(EVENT, request.target.namespace)
    except Unreachable:
        raise
    except KubeError:
        return None  # who may not read events is told by the master's staying
    uid = resource["metadata"]["uid"]
    news = [
        event
        for event in events
        if (event.get("regarding") or {}).get("uid") == uid
        and event.get("reason") in _ENDS
        and _time(event) >= request.since.timestamp() - 1
    ]
    return str(max(news, key=_time).get("note")) if news else None


def _time(event: Object) -> float:
    series = (event.get("series") or {}).get("lastObservedTime")
    told = series or event.get("eventTime") or event.get("deprecatedFirstTimestamp")
    return seconds(told) if told else 0.0
