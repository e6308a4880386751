"""Planned switchover on real servers: nothing lost, the sentinels agreed and able afterwards."""

from __future__ import annotations

import signal
import time

from contex_operator.moves.by_sentinel import switchover_by_sentinel
from contex_operator.moves.switchover import switchover

from tests.component.moves.audience import asking, judge
from tests.component.moves.stage import TIME, Stage
from tests.workload.checker import longest_gap
from tests.workload.loopback import within


async def test_nothing_is_lost_and_everybody_follows(here: Stage) -> None:
    with asking(here) as writer:
        writer.wait_for_acks(50, within_s=30)
        began = time.monotonic()
        course = here.course()
        outcome = await here.run(switchover(course, time=TIME), course.members, name="switchover")
        assert outcome.moved, outcome
        writer.wait_for_acks(50, within_s=30, after=time.monotonic())
        history = writer.stop()
    assert here.roles() == ["slave", "master", "slave"]
    assert here.named() == {"node-1"}
    assert here.moves_of_service == ["node-1"]
    assert here.resource["status"]["lastFailover"]["to"] == "node-1"
    assert "intent" not in here.resource["status"]
    verdict = judge(here, history)
    assert verdict.is_clean, verdict.sentence()
    assert longest_gap(history, since=began).seconds < 1.0


async def test_there_and_back_again_and_a_crash_afterwards_is_healed_by_the_sentinels(here: Stage) -> None:
    for old, new in ((0, 1), (1, 2), (2, 0)):
        course = here.course(old=old, to=new)
        outcome = await here.run(switchover(course, time=TIME), course.members)
        assert outcome.moved, outcome
        within(10, lambda new=new: here.roles().count("slave") == 2, what="two replicas")  # type: ignore[misc]
        within(30, here.is_calm, what="the set is calm")
    here.set.nodes[0].kill()
    within(30, lambda: here.named() != {"node-0"}, what="Sentinel fails over by itself")


async def test_by_sentinels_own_command_nothing_is_lost_either(here: Stage) -> None:
    with asking(here) as writer:
        writer.wait_for_acks(50, within_s=30)
        began = time.monotonic()
        course = here.course(to=2)
        outcome = await here.run(switchover_by_sentinel(course, time=TIME), course.members)
        assert outcome.moved, outcome
        writer.wait_for_acks(50, within_s=30, after=time.monotonic())
        history = writer.stop()
    assert here.roles() == ["slave", "slave", "master"]
    assert here.named() == {"node-2"}
    assert here.set.nodes[2].command("CONFIG GET", "replica-priority") == {"replica-priority": "100"}
    verdict = judge(here, history)
    assert verdict.is_clean, verdict.sentence()
    assert longest_gap(history, since=began).seconds < 5.0


async def test_a_target_that_does_not_catch_up_is_let_go(here: Stage) -> None:
    """Its link stands, and what it has applied does not grow: the old master serves on after half a second."""
    course = here.course()
    with asking(here) as writer:
        writer.wait_for_acks(50, within_s=30)
        target = here.set.nodes[1]
        target.process.send_signal(signal.SIGSTOP)  # TCP goes on, Redis does not
        try:
            outcome = await here.run(switchover(course, time=TIME), course.members)
        finally:
            target.process.send_signal(signal.SIGCONT)
        writer.wait_for_acks(50, within_s=30, after=time.monotonic())
        history = writer.stop()
    assert not outcome.moved
    assert here.named() == {"node-0"}
    assert here.leads_to == here.set.nodes[0].address
    assert "intent" not in here.resource["status"]
    assert judge(here, history).is_clean


async def test_a_master_that_is_none_any_more_is_not_paused(here: Stage) -> None:
    course = here.course()
    outcome = await here.run(switchover(course, time=TIME), course.members)
    assert outcome.moved
    again = await here.run(switchover(course, time=TIME), course.members)
    assert not again.moved
    assert "is no master" in again.sentence
    assert here.named() == {"node-1"}
