"""What is done to a subject: small named objects, each one fault or one planned move.

A scenario strikes, says how one sees that it has had its effect, and puts right what does not heal by itself (a
node without power). It never helps a subject: healing is what is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.subjects import OPERATORS, Subject
from tests.e2e.support import spaces
from tests.e2e.support.checkout import moves
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command
from tests.e2e.support.watching import Announcements, EndpointWatch

Marks = dict[str, float]


@dataclass(frozen=True)
class Strike:
    """What was done: when it began, how one sees its effect, and what is measured besides the clients."""

    at: float
    has_happened: Callable[[], object]
    marks: Callable[[], Marks] = dict


class NotArranged(Exception):
    """The stage could not be set as the scenario needs it; the sentence says why. Nothing was struck."""


@dataclass(frozen=True)
class Scenario:
    """One named fault or move. `strike` gets a stack for what must live until the end of the repetition."""

    name: str
    title: str
    strike: Callable[[Subject, ExitStack], Strike]
    subjects: tuple[str, ...] = ("contex", "plain", "prestop")
    prepare: Callable[[Subject], None] = lambda _: None
    restore: Callable[[Subject], None] | None = None
    back_within_s: float = 30.0  # how long a client may be away before it counts as not back
    green_within_s: float = 120.0
    missing: Callable[[], str | None] = field(default=lambda: None)  # why this checkout cannot play it


# -- planned moves ------------------------------------------------------------------------------------------


def _switchover(subject: Subject, _: ExitStack) -> Strike:
    before = _master(subject)
    effect = _other_process(subject, before)
    at = time.monotonic()
    subject.planned_move(before)
    return Strike(at, effect)


def _delete_master(subject: Subject, _: ExitStack) -> Strike:
    before = _master(subject)
    effect = _other_process(subject, before)
    at = time.monotonic()
    subject.cluster.kubectl("delete", "pod", before, "-n", subject.namespace, "--wait=false")
    return Strike(at, effect)


def _upgrade(subject: Subject, _: ExitStack) -> Strike:
    redis_set = subject.redis_set
    old = {pod["metadata"]["uid"] for pod in redis_set.pods().values()}
    at = time.monotonic()
    redis_set.configure(podLabels={"rolled-at": str(int(time.time()))})

    def all_new() -> bool:
        pods = redis_set.pods().values()
        return not old & {pod["metadata"]["uid"] for pod in pods} and len(pods) == len(old)

    return Strike(at, all_new)


# -- faults -------------------------------------------------------------------------------------------------


def _crash(subject: Subject, _: ExitStack) -> Strike:
    before = _master(subject)
    effect = _other_process(subject, before)
    lab = subject.cluster.lab
    assert lab is not None
    at = time.monotonic()
    lab.faults.kill(
        subject.namespace, before, "valkey-server" if "valkey" in subject.image else "redis-server"
    )
    return Strike(at, effect)


def _service_lag(subject: Subject, stack: ExitStack) -> Strike:
    """A crash that Sentinel alone heals, watched at the sentinels and at the Service's endpoints."""
    redis_set = subject.redis_set
    announced = stack.enter_context(Announcements(redis_set))
    watched = stack.enter_context(EndpointWatch(redis_set, redis_set.children.master))
    eventually(watched.states, within_s=10, describe="the Service has endpoints")
    struck = _crash(subject, stack)

    def marks() -> Marks:
        switched = [one.at for one in announced.heard("+switch-master") if one.at >= struck.at]
        moved = [s.at for s in watched.states() if s.at >= struck.at and s.addresses]
        if not switched or not moved:
            return {}
        return {"switch_s": min(switched) - struck.at, "service_behind_s": moved[-1] - min(switched)}

    return Strike(struck.at, struck.has_happened, marks)


def _power_off(subject: Subject, _: ExitStack) -> Strike:
    before = _master(subject)
    node, effect = subject.redis_set.node_of(before), _other_process(subject, before)
    lab = subject.cluster.lab
    assert lab is not None
    at = time.monotonic()
    lab.faults.power_off(node)
    return Strike(at, effect)


def _power_on(subject: Subject) -> None:
    lab = subject.cluster.lab
    assert lab is not None
    for node in set(lab.nodes) - set(lab.running_nodes()):
        lab.faults.power_on(node)
    spaces.nodes_are_ready(subject.cluster, within_s=90)


def _everything(subject: Subject, _: ExitStack) -> Strike:
    before = {pod["metadata"]["uid"] for pod in subject.redis_set.pods().values()}
    at = time.monotonic()
    names = list(subject.redis_set.pods())
    subject.cluster.kubectl(
        "delete", "pod", *names, "-n", subject.namespace, "--force", "--grace-period=0", "--wait=false"
    )

    def back() -> bool:
        uids = {pod["metadata"]["uid"] for pod in subject.redis_set.pods().values()}
        return not uids & before and subject.redis_set.master() is not None

    return Strike(at, back)


# -- setting the stage --------------------------------------------------------------------------------------


def _without_operator(subject: Subject) -> None:
    if subject.has_operator:
        spaces.scale_operator(subject.cluster, subject.namespace, 0)


def _with_operator(subject: Subject) -> None:
    if subject.has_operator:
        spaces.scale_operator(subject.cluster, subject.namespace, OPERATORS)


def _sentinel_alone(subject: Subject) -> None:
    """The crash is Sentinel's to heal; the operator only follows."""
    if moves().assisted and subject.redis_set.resource()["spec"]["failover"].get("assisted", True):
        subject.redis_set.configure(failover={"assisted": False})
        eventually(lambda: not subject.not_green(), within_s=60, describe="green", passing=UNREACHABLE)


def _leader_elsewhere(subject: Subject) -> None:
    _arrange_leader(subject, on_masters_node=False)


def _leader_with_master(subject: Subject) -> None:
    _arrange_leader(subject, on_masters_node=True)


def _arrange_leader(subject: Subject, *, on_masters_node: bool) -> None:
    """Move the Lease until it is held where the scenario needs it: its holder's pod is deleted, another one takes
    over. Raises NotArranged."""
    if not subject.has_operator:
        return
    cluster, namespace = subject.cluster, subject.namespace
    for _ in range(12):
        holder = eventually(lambda: spaces.leader(cluster, namespace), within_s=30, describe="somebody leads")
        pods = {
            p["metadata"]["name"]: p for p in cluster.items("pods", namespace, labels=spaces.OPERATOR_LABEL)
        }
        if holder in pods:
            there = pods[holder]["spec"]["nodeName"] == subject.redis_set.node_of(_master(subject))
            if there is on_masters_node:
                return
            cluster.kubectl("delete", "pod", holder, "-n", namespace)
            deployment = spaces.operator_deployment(cluster, namespace)
            cluster.kubectl("rollout", "status", f"deployment/{deployment}", "-n", namespace, "--timeout=60s")
    where = "on the node of the master" if on_masters_node else "on another node than the master"
    raise NotArranged(f"after 12 changes of the leader none was {where}")


# -- small words --------------------------------------------------------------------------------------------


def _master(subject: Subject) -> str:
    return subject.redis_set.wait_master(within_s=30)


def _run_id(redis_set: RedisSet, pod: str) -> str:
    return str(command(redis_set.node(pod), "INFO", "server")["run_id"])


def _other_process(subject: Subject, before: str) -> Callable[[], bool]:
    """Whether another process than the present master's is master; the same pod may win after a restart."""
    redis_set = subject.redis_set
    old = _run_id(redis_set, before)

    def other() -> bool:
        try:
            master = redis_set.master()
            return master is not None and _run_id(redis_set, master) != old
        except UNREACHABLE:
            return False

    return other


def _no_switchover() -> str | None:
    return None if moves().switchover else "the operator of this checkout switches over by no annotation"


def _no_rollout() -> str | None:
    return None if moves().rollout else "the operator of this checkout rolls nothing"


SCENARIOS: dict[str, Scenario] = {
    each.name: each
    for each in (
        Scenario("switchover", "planned switchover", _switchover, missing=_no_switchover),
        Scenario("delete-master", "`kubectl delete pod` of the master", _delete_master),
        Scenario("crash", "crash of the master's process", _crash),
        Scenario(
            "crash-alone",
            "crash of the master's process, no operator",
            _crash,
            subjects=("contex",),
            prepare=_without_operator,
            restore=_with_operator,
        ),
        Scenario(
            "power-off",
            "power-off of the master's node",
            _power_off,
            prepare=_leader_elsewhere,
            restore=_power_on,
            back_within_s=40.0,
            green_within_s=180.0,
        ),
        Scenario(
            "power-off-leader",
            "power-off of the node of master and leading operator",
            _power_off,
            subjects=("contex",),
            prepare=_leader_with_master,
            restore=_power_on,
            back_within_s=40.0,
            green_within_s=180.0,
        ),
        Scenario(
            "upgrade",
            "rolling upgrade of all pods",
            _upgrade,
            subjects=("contex",),
            green_within_s=300.0,
            missing=_no_rollout,
        ),
        Scenario("cold-start", "all pods deleted at once", _everything, back_within_s=60.0),
        Scenario(
            "service-lag",
            "the master Service behind Sentinel's failover",
            _service_lag,
            subjects=("contex",),
            prepare=_sentinel_alone,
        ),
    )
}
