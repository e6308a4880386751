"""Assisted failover by an operator that dies, on real servers: a successor or Sentinel ends it; nothing is lost."""

from __future__ import annotations

import time

import pytest
from contex_operator.moves.failover import failover

from tests.component.moves.audience import asking, judge
from tests.component.moves.stage import TIME, Died, Stage, stopping_after

STEPS = ("prove", "intent", "votes", "promote", "look again", "hello", "agree", "done")


@pytest.mark.parametrize("dies_after", STEPS)
async def test_whenever_the_operator_dies_its_successor_or_sentinel_ends_it(
    here: Stage, dies_after: str
) -> None:
    crash = here.crash()
    with asking(here) as writer:
        writer.wait_for_acks(50, within_s=30)
        here.set.nodes[0].kill()
        move = stopping_after(failover(crash, broke_at=time.monotonic(), time=TIME), dies_after)
        with pytest.raises(Died):
            await here.run(move, (*crash.others, *crash.sentinels), name="failover")
        notes = await here.succeed()
        writer.wait_for_acks(50, within_s=40, after=time.monotonic())
        history = writer.stop()
    master = here.set.master()
    assert master is not None, notes
    assert master.name != "node-0"
    assert here.named() == {master.name}
    assert "intent" not in here.resource["status"]
    here.set.restart(here.set.nodes[0])
    assert judge(here, history).is_clean
