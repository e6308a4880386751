"""When a switchover is due, to whom, and what it waits for; what an unfinished move becomes."""

from __future__ import annotations

from typing import Any

import pytest
from contex_operator import names
from contex_operator.actions import CompleteMove, DropAnnotation, RememberInStatus, SwitchOver
from contex_operator.handover import TERMINATING_WITHIN_S, crash_of, hand_over
from contex_operator.model import DataNode, Observed, Reach, Replica, SentinelNode
from contex_operator.moves.resume import Case, judge_intent
from contex_operator.plan import unfinished_move
from contex_operator.procedures.step import Handover, Step
from contex_operator.spec import Spec
from contex_operator.topology import judge

from tests.unit.world import (
    DATA,
    NOW,
    R0,
    R1,
    S0,
    S1,
    SENTINELS,
    M,
    address_of,
    gone,
    master,
    pod_of,
    replica,
    replicated,
    resource,
    sentinel,
    silent,
    snapshot,
)

INTENT = {
    "procedure": "switchover",
    "pod": R0,
    "address": address_of(R0),
    "from": M,
    "fromAddress": address_of(M),
    "candidate": "c" * 40,
    "epoch": 4,
    "reason": "somebody asked for it",
    "time": "2023-11-14T22:13:20Z",
}


def serving(pod: str = M, **fields: Any) -> DataNode:
    """A master that lists its replicas as online."""
    others = [Replica(address=address_of(p), online=True, offset=100, lag_s=0) for p in DATA if p != pod]
    return master(pod, **{"replicas": tuple(others), **fields})


def world(
    request: str | None = None,
    *,
    data: list[DataNode] | None = None,
    sentinels: list[SentinelNode] | None = None,
    **fields: Any,
) -> Observed:
    body = resource({"mode": "sentinel"}, status=fields.pop("status", {}))
    if request is not None:
        body["metadata"]["annotations"] = {names.ANNOTATION_SWITCHOVER: request}
    return snapshot(
        data or [serving(), replica(R0), replica(R1)],
        sentinels or [sentinel(s, epoch=4) for s in SENTINELS],
        resource=body,
        **fields,
    )


def due(observed: Observed, spec: Spec | None = None, asked: Handover | None = None) -> Step | None:
    return hand_over(spec or replicated(), observed, judge(observed, sentinels=3), asked=asked)


def switch(step: Step | None) -> SwitchOver:
    assert step is not None
    (found,) = [action for action in step.actions if isinstance(action, SwitchOver)]
    return found


def test_nothing_is_due_where_nobody_asks() -> None:
    assert due(world()) is None


def test_a_request_by_annotation_is_taken_off_before_it_is_carried_out() -> None:
    step = due(world("any"))
    assert step is not None
    assert [type(action) for action in step.actions] == [DropAnnotation, SwitchOver]
    course = switch(step).course
    assert (course.old.pod, course.new.pod, course.epoch) == (M, R0, 4)
    assert [member.pod for member in course.others] == [R1]
    assert switch(step).fast


def test_a_pod_can_be_named() -> None:
    assert switch(due(world(R1))).course.new.pod == R1


@pytest.mark.parametrize("request_", [M, "redis-replica-7", "nonsense"])
def test_a_request_that_is_fulfilled_or_cannot_be_is_taken_off_and_moves_nothing(request_: str) -> None:
    step = due(world(request_))
    assert step is not None
    assert [type(action) for action in step.actions] == [DropAnnotation]


def test_two_candidates_never_share_an_id() -> None:
    assert switch(due(world("any"))).course.candidate != switch(due(world("any"))).course.candidate


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([serving(), replica(R0, link_up=False), replica(R1, link_up=False)], "is not in sync"),
        ([serving(), replica(R0, priority=0), replica(R1, priority=0)], "has not completed its first sync"),
        ([serving(replicas=()), replica(R0), replica(R1)], "is not in sync"),
        ([serving(), gone(R0), gone(R1)], "is not in sync"),
        ([serving(), replica(R0), master(R1)], "says it is master too"),
        ([serving(failing_over=True), replica(R0), replica(R1)], "is handing its role over"),
    ],
)
def test_without_a_fit_target_it_waits_and_says_for_what(nodes: list[DataNode], why: str) -> None:
    step = due(world("any", data=nodes))
    assert step is not None
    assert step.actions == ()
    assert why in step.note


@pytest.mark.parametrize(
    "flags", ["s_down", "o_down", "failover_in_progress", "disconnected", "force_failover"]
)
def test_in_unrest_it_waits(flags: str) -> None:
    views = [sentinel(s, epoch=4) for s in SENTINELS[:2]]
    views.append(sentinel(SENTINELS[2], epoch=4, flags=frozenset({"master", flags})))
    step = due(world("any", sentinels=views))
    assert step is not None
    assert step.actions == ()


def test_a_replica_that_lags_is_passed_over() -> None:
    lags = {R0: 5, R1: 0}
    shown = tuple(
        Replica(address=address_of(p), online=True, offset=100, lag_s=lag) for p, lag in lags.items()
    )
    assert (
        switch(due(world("any", data=[serving(replicas=shown), replica(R0), replica(R1)]))).course.new.pod
        == R1
    )


def test_with_a_sentinel_missing_it_goes_by_sentinels_own_command() -> None:
    views = [sentinel(S0, epoch=4), sentinel(S1, epoch=4), silent(SENTINELS[2])]
    assert not switch(due(world("any", sentinels=views))).fast
    assert not switch(due(world("any"), replicated(failover={"assisted": False}))).fast


def pods(*, master_asked_at: float | None, **replicas: Any) -> tuple[Any, ...]:
    leaving = {"terminating": True, "deletion_asked_at": master_asked_at} if master_asked_at else {}
    others = [pod_of(pod) for pod in (R0, R1, *SENTINELS)]
    return (pod_of(M, **leaving), *others)


def test_a_master_that_is_being_deleted_hands_over_within_the_first_seconds_only() -> None:
    early = world(pods=pods(master_asked_at=NOW - 1))
    assert "is being deleted" in switch(due(early)).course.why
    late = world(pods=pods(master_asked_at=NOW - TERMINATING_WITHIN_S))
    assert due(late) is None, "preStop moves the role by now"


def test_nobody_hands_over_to_a_pod_that_is_being_deleted() -> None:
    leaving = [
        pod_of(M),
        pod_of(R0, terminating=True, deletion_asked_at=NOW),
        pod_of(R1),
        *(pod_of(s) for s in SENTINELS),
    ]
    assert switch(due(world("any", pods=tuple(leaving)))).course.new.pod == R1


def test_a_procedure_asks_in_its_own_order() -> None:
    asked = Handover(candidates=(R1, R0), why="the rollout needs its pod")
    assert switch(due(world(), asked=asked)).course.new.pod == R1


# --- what an assisted failover has to know


def test_a_crash_is_known_by_the_pods_own_address() -> None:
    observed = world()
    crash = crash_of(replicated(), observed, judge(observed, sentinels=3))
    assert crash is not None
    assert (crash.old.pod, crash.pod_uid, crash.pod_address) == (M, f"uid-of-{M}", "10.0.0.1")
    assert [member.pod for member in crash.others] == [R0, R1]


@pytest.mark.parametrize("spec", [{"failover": {"assisted": False}}, {"paused": True}])
def test_where_it_may_not_assist_nothing_is_known(spec: dict[str, Any]) -> None:
    observed = world()
    assert crash_of(replicated(**spec), observed, judge(observed, sentinels=3)) is None


# --- rule 5


def case(data: list[DataNode], sentinels: list[SentinelNode]) -> Case:
    observed = world(data=data, sentinels=sentinels, status={"intent": INTENT})
    return judge_intent(observed, judge(observed, sentinels=3), INTENT)


OLD_NAMED = [sentinel(s, M, 4) for s in SENTINELS]
NEW_NAMED = [sentinel(s, R0, 5) for s in SENTINELS]
HELLO_REACHED_ONE = [sentinel(S0, R0, 5), sentinel(S1, M, 4), sentinel(SENTINELS[2], M, 4)]


@pytest.mark.parametrize(
    ("data", "sentinels", "expected"),
    [
        ([serving(M), replica(R0), replica(R1)], OLD_NAMED, Case.ENDED),
        ([replica(M, R0), serving(R0), replica(R1, R0)], NEW_NAMED, Case.ENDED),
        ([replica(M, R0), serving(R0), replica(R1)], OLD_NAMED, Case.COMPLETE),
        ([replica(M, R0), serving(R0), replica(R1)], HELLO_REACHED_ONE, Case.COMPLETE),
        ([gone(M, Reach.REFUSED), serving(R0), replica(R1)], OLD_NAMED, Case.COMPLETE),
        ([gone(M, Reach.TIMEOUT), serving(R0), replica(R1)], OLD_NAMED, Case.WAIT),
        ([serving(M), serving(R0), replica(R1)], OLD_NAMED, Case.DEMOTE),
        ([serving(M), serving(R0), replica(R1)], NEW_NAMED, Case.ENDED),
        ([serving(M), serving(R0), replica(R1)], HELLO_REACHED_ONE, Case.WAIT),
        ([serving(M, failing_over=True), serving(R0), replica(R1)], OLD_NAMED, Case.WAIT),
        ([gone(M, Reach.REFUSED), replica(R0), replica(R1)], OLD_NAMED, Case.DROP),
        ([gone(M, Reach.REFUSED), gone(R0, Reach.REFUSED), replica(R1)], OLD_NAMED, Case.DROP),
        ([gone(M, Reach.REFUSED), gone(R0, Reach.TIMEOUT), replica(R1)], OLD_NAMED, Case.WAIT),
        ([replica(M, R0), serving(R0), replica(R1)], [sentinel(S0, M, 4), *map(silent, SENTINELS[1:])], Case.WAIT),
    ],
)  # fmt: skip
def test_what_an_unfinished_move_becomes(
    data: list[DataNode], sentinels: list[SentinelNode], expected: Case
) -> None:
    assert case(data, sentinels) is expected


def decided(data: list[DataNode], sentinels: list[SentinelNode]) -> Step:
    observed = world(data=data, sentinels=sentinels, status={"intent": INTENT})
    return unfinished_move(replicated(), observed, judge(observed, sentinels=3))


def test_it_is_completed_with_a_fresh_epoch_and_a_fresh_candidate() -> None:
    step = decided([replica(M, R0), serving(R0), replica(R1)], HELLO_REACHED_ONE)
    (action,) = step.actions
    assert isinstance(action, CompleteMove)
    assert action.course.epoch == 5, "the highest that anybody knows: votes are asked above it"
    assert action.course.candidate != INTENT["candidate"]
    assert (action.course.old.pod, action.course.new.pod) == (M, R0)


def test_a_move_that_was_given_up_is_remembered_for_the_sentinels_pause() -> None:
    (action,) = decided([gone(M, Reach.REFUSED), replica(R0), replica(R1)], OLD_NAMED).actions
    assert isinstance(action, RememberInStatus)
    assert action.fields["intent"] is None
    assert action.fields["votesCast"] == "2023-11-14T22:13:20Z"


def test_what_is_not_known_yet_changes_nothing() -> None:
    assert decided([gone(M, Reach.TIMEOUT), serving(R0), replica(R1)], OLD_NAMED).actions == ()
