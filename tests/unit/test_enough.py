"""What a move waits for: a majority of the sentinels and everything else, but not the slowest sentinel."""

from __future__ import annotations

import itertools

import pytest
from contex_operator.model import Reach
from contex_operator.moves.announce import elected, win_votes
from contex_operator.moves.facts import Course
from contex_operator.moves.failover import Crash, failover
from contex_operator.moves.step import Answers, Member, Step, Unanswered

DATA = tuple(Member(pod=f"redis-replica-{i}", address=f"10.0.0.{i + 2}", run_id=f"run-{i}") for i in range(2))
OLD = Member(pod="redis-master-0", address="10.0.0.1", run_id="run-m")
MISSING = Unanswered()
VIEW = ["ip", "10.0.0.1", "port", "6379", "config-epoch", "4", "flags", "master,disconnected"]


def sentinels(count: int = 3) -> tuple[Member, ...]:
    return tuple(
        Member(pod=f"redis-sentinel-{i}", address=f"10.0.1.{i}", is_sentinel=True) for i in range(count)
    )


def crash(count: int = 3) -> Crash:
    return Crash(
        old=OLD,
        pod_uid="u",
        pod_address="10.9.0.1",
        others=DATA,
        sentinels=sentinels(count),
        sentinel_count=count,
        master_name="mymaster",
        epoch=4,
        down_after_ms=3000,
    )


def vote(course: Course, epoch: int) -> list[object]:
    return [0, course.candidate, epoch]


@pytest.mark.parametrize("count", [3, 5])
def test_a_ballot_ends_with_a_majority_of_all_sentinels_in_one_epoch(count: int) -> None:
    course = crash(count).course(DATA[0])
    move = win_votes(course, named={s.pod: OLD.address for s in course.sentinels}, above=4)
    step = next(move)
    assert step.enough is not None
    answers = (MISSING, vote(course, 5), vote(course, 4), [0, "f" * 40, 5])
    for given in itertools.product(answers, repeat=count):
        ours = sum(answer is answers[1] for answer in given)
        assert step.enough(given) == (ours > count // 2), given


def test_a_late_vote_is_counted_by_nobody_and_the_election_stands() -> None:
    course = crash().course(DATA[0])
    move = win_votes(course, named={s.pod: OLD.address for s in course.sentinels}, above=4)
    next(move)
    with pytest.raises(StopIteration) as stop:
        move.send(Answers(results=(vote(course, 5), MISSING, vote(course, 5)), began=0.0, at=0.01))
    assert stop.value.value == 5


def test_the_swap_itself_is_always_waited_for() -> None:
    course = crash().course(DATA[0])
    enough = elected(course, epoch=5, first=1)
    assert not enough((MISSING, vote(course, 5), vote(course, 5), vote(course, 5)))
    assert enough(("OK", vote(course, 5), MISSING, vote(course, 5)))


def proving() -> Step:
    return next(failover(crash(), broke_at=0.0, time="2026-01-01T00:00:00Z"))


def answers_of(step: Step, *, slow: int | None = None) -> list[object]:
    """Everybody's answers to the look for the proof; the sentinel with index `slow` owes its own."""
    results: list[object] = [Reach.REFUSED, OSError("refused"), None, "role:slave", "role:slave"]
    for reply in (VIEW, "id", "sentinel_tilt:0"):
        results += [MISSING if i == slow else reply for i in range(3)]
    assert len(results) == len(step.deeds)
    return results


@pytest.mark.parametrize("slow", [0, 1, 2])
def test_the_proof_does_not_wait_for_a_minority_of_the_sentinels(slow: int) -> None:
    step = proving()
    assert step.enough is not None
    assert step.enough(answers_of(step, slow=slow))
    assert 0 < step.grace_s < 0.1


def test_the_proof_waits_for_all_else() -> None:
    """The refusal, the look behind it, the pod object, every data node, and a second sentinel."""
    step = proving()
    assert step.enough is not None
    for index in range(len(step.deeds)):
        results = answers_of(step, slow=2)
        if results[index] is MISSING:
            continue
        results[index] = MISSING
        assert not step.enough(results), step.deeds[index]


def test_an_error_of_a_sentinel_makes_no_majority() -> None:
    step = proving()
    assert step.enough is not None
    results = answers_of(step, slow=2)
    results[5] = OSError("refused")
    assert not step.enough(results)
