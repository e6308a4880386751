"""Planned switchover by an operator that dies, on real servers: a successor ends it or undoes it; nothing is lost."""

from __future__ import annotations

import time

import pytest
from contex_operator.moves.switchover import switchover

from tests.component.moves.audience import asking, judge
from tests.component.moves.stage import TIME, Died, Stage, stopping_after
from tests.workload.checker import longest_gap

# Every step of the fast move, in order; a poll counts once.
STEPS = (
    "look", "intent", "service", "probe", "pause", "level", "swap", "became", "hello", "agree", "cut", "done",
)  # fmt: skip


@pytest.mark.parametrize("dies_after", STEPS)
async def test_whenever_the_operator_dies_its_successor_ends_or_undoes_it(
    here: Stage, dies_after: str
) -> None:
    with asking(here) as writer:
        writer.wait_for_acks(50, within_s=30)
        course = here.course()
        with pytest.raises(Died):
            await here.run(stopping_after(switchover(course, time=TIME), dies_after), course.members)
        began = time.monotonic()
        notes = await here.succeed()
        writer.wait_for_acks(50, within_s=30, after=time.monotonic())
        history = writer.stop()
    after = STEPS.index(dies_after)
    new = "node-1" if after >= STEPS.index("swap") else "node-0"
    assert here.named() == {new}, notes
    master = here.set.master()
    assert master is not None
    assert master.name == new
    assert here.leads_to == master.address
    assert "intent" not in here.resource["status"]
    verdict = judge(here, history)
    assert verdict.is_clean, verdict.sentence()
    # Not longer than a pause that nobody ended.
    assert longest_gap(history, since=began - 2).seconds < 4.0
