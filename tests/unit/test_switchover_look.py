"""The look before a planned switchover: a moment's silence is looked at again, a refusal that stays is told."""

from __future__ import annotations

import pytest
from contex_operator.errors import RedisUnreachable
from contex_operator.moves.facts import Course
from contex_operator.moves.step import Answers, Ask, Deed, Member, Outcome, Step
from contex_operator.moves.switchover import LOOK_WITHIN_S, switchover

OLD, NEW = (Member(pod=f"node-{i}", address=f"10.0.0.{i}", run_id=str(i) * 40) for i in (1, 2))
SENTINELS = tuple(Member(pod=f"sentinel-{i}", address=f"10.0.1.{i}", is_sentinel=True) for i in range(3))
COURSE = Course(
    old=OLD,
    new=NEW,
    others=(),
    sentinels=SENTINELS,
    sentinel_count=3,
    master_name="mymaster",
    epoch=4,
    down_after_ms=3000,
    why="somebody asked",
)
SILENT = RedisUnreachable("10.0.1.0:26379", "timeout", "no answer")
MASTER = f"role:master\r\nmaster_repl_offset:100\r\nslave0:ip={NEW.address},port=6379,state=online,offset=100,lag=0\r\n"
REPLICA = f"role:slave\r\nslave_repl_offset:100\r\nmaster_host:{OLD.address}\r\nmaster_link_status:up\r\n"


def answer(deed: Deed, *, silent: str | None, replica: str) -> object:
    assert isinstance(deed, Ask)
    if deed.member == silent:
        return SILENT
    match deed.command:
        case ("SENTINEL", "MASTER", _):
            return ["ip", OLD.address, "config-epoch", "4", "flags", "master"]
        case ("SENTINEL", "MYID"):
            return deed.member.ljust(40, "f")
        case _:
            return MASTER if deed.member == OLD.pod else replica


def look(*, silent_looks: int, replica: str = REPLICA, look_s: float) -> tuple[str | None, int]:
    """(what it refused with, or None where it went on; how often it looked)."""
    move = switchover(COURSE, time="2026-01-01T00:00:00Z")
    step: Step = next(move)
    now, looks = 0.0, 0
    while step.name == "look":
        assert not step.changes
        silent = "sentinel-1" if looks < silent_looks else None
        results = tuple(answer(deed, silent=silent, replica=replica) for deed in step.deeds)
        looks += 1
        began = now + step.after_s
        now = began + look_s
        try:
            step = move.send(Answers(results=results, began=began, at=now))
        except StopIteration as stop:
            outcome: Outcome = stop.value
            assert not outcome.moved
            return outcome.sentence, looks
    assert step.name == "intent"
    return None, looks


def test_a_calm_set_is_looked_at_once() -> None:
    assert look(silent_looks=0, look_s=0.002) == (None, 1)


def test_a_sentinel_that_is_slow_for_a_moment_is_asked_again() -> None:
    assert look(silent_looks=1, look_s=0.5) == (None, 2)


@pytest.mark.parametrize("look_s", [0.002, 0.5, 5.0])
def test_one_that_stays_silent_ends_it_in_time(look_s: float) -> None:
    why, looks = look(silent_looks=10_000, look_s=look_s)
    assert why == "no switchover to node-2: only 2 of 3 sentinels answer"
    assert (looks - 1) * look_s <= LOOK_WITHIN_S


def test_a_replica_that_is_not_in_sync_is_told() -> None:
    why, looks = look(silent_looks=0, replica=REPLICA.replace("status:up", "status:down"), look_s=0.3)
    assert "not in sync" in str(why)
    assert looks > 1
