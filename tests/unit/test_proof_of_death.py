"""The proof of death before an assisted failover: what is tried again, and what ends it. The move is driven by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from contex_operator.errors import KubeError, RedisUnreachable
from contex_operator.model import Pod, Reach
from contex_operator.moves.failover import (
    LOOK_IS_GOOD_FOR_S,
    LOOKS_AT_LEAST,
    PROOF_S,
    PROVE_WITHIN_S,
    Crash,
    failover,
)
from contex_operator.moves.step import Answers, Ask, Deed, Knock, LookAtPod, Member, Outcome, Peek, Step

OLD, NEW, OTHER = (Member(pod=f"node-{i}", address=f"10.0.0.{i}", run_id=str(i) * 40) for i in range(1, 4))
SENTINELS = tuple(Member(pod=f"sentinel-{i}", address=f"10.0.1.{i}", is_sentinel=True) for i in range(3))
CRASH = Crash(
    old=OLD,
    pod_uid="uid",
    pod_address="10.1.0.1",
    others=(NEW, OTHER),
    sentinels=SENTINELS,
    sentinel_count=3,
    master_name="mymaster",
    epoch=4,
    down_after_ms=3000,
)
SILENT = RedisUnreachable("10.1.0.1:6379", "timeout", "no answer")
POD = Pod(
    name=OLD.pod,
    uid="uid",
    component="master",
    node="node1",
    ip="10.1.0.1",
    phase="Running",
    ready=True,
    terminating=False,
    role="master",
    revision=None,
)
REPLICA = (
    f"role:slave\r\nslave_repl_offset:100\r\nmaster_host:{OLD.address}\r\nmaster_link_status:down\r\n"
    "master_link_down_since_seconds:0\r\nslave_priority:100\r\nmaster_sync_in_progress:0\r\n"
)
LOST = ["ip", OLD.address, "config-epoch", "4", "flags", "master,disconnected"]

World = Mapping[str, object]
DEAD: World = {"knock": Reach.REFUSED, "peek": SILENT, "pod": POD, "replica": REPLICA, "sentinel": LOST}


def answer(deed: Deed, world: World) -> object:
    match deed:
        case Knock():
            return world["knock"]
        case Peek():
            return world["peek"]
        case LookAtPod():
            return world["pod"]
        case Ask(command=("SENTINEL", "MASTER", _)):
            return world["sentinel"]
        case Ask(command=("SENTINEL", "MYID")):
            return "f" * 40
        case Ask(command=("INFO", "sentinel")):
            return "sentinel_tilt:0\r\n"
        case Ask():
            return world["replica"]
        case _:
            raise AssertionError(f"the proof does {deed}")


def prove(worlds: Callable[[int], World], *, look_s: float) -> tuple[str | None, list[str]]:
    """(why it was left to Sentinel, or None where death was proven; the steps that looked). A knock takes no time."""
    move = failover(CRASH, broke_at=0.0, time="2026-01-01T00:00:00Z")
    step: Step = next(move)
    now, steps = 0.0, list[str]()
    while step.name in ("prove", "knock"):
        results = tuple(answer(deed, worlds(len(steps))) for deed in step.deeds)
        steps.append(step.name)
        began, now = now, now + (look_s if step.name == "prove" else 0.0)
        try:
            step = move.send(Answers(results=results, began=began, at=now))
        except StopIteration as stop:
            outcome: Outcome = stop.value
            assert not outcome.moved
            return outcome.sentence, steps
    assert step.name == "intent"
    step = move.send(Answers(results=(None,), began=now, at=now))
    # Votes and promotion are timed by the proof: it is young enough to begin with them.
    assert step.name == "votes"
    assert step.until is not None
    assert now + PROOF_S / 2 <= step.until <= now + PROOF_S
    return None, steps


def test_a_dead_process_is_proven_by_one_look() -> None:
    assert prove(lambda _: DEAD, look_s=0.01) == (None, ["prove"])


@pytest.mark.parametrize(
    "first",
    [
        {"knock": Reach.TIMEOUT},
        {"knock": Reach.CLOSED},
        {"knock": Reach.UP},
        {"pod": KubeError(None, "Timeout", "no answer")},
        {"sentinel": SILENT},
        {"sentinel": [*LOST[:-1], "master"]},
        {"replica": SILENT},
    ],
    ids=[
        "silent",
        "reset",
        "accepts",
        "api-silent",
        "sentinels-silent",
        "sentinels-see-it",
        "replicas-silent",
    ],
)
def test_what_may_come_still_is_asked_again(first: World) -> None:
    worlds = [{**DEAD, **first}, DEAD]
    assert prove(lambda look: worlds[min(look, 1)], look_s=0.01) == (None, ["prove", "prove"])
    # On a machine that is short of time, too.
    slow = prove(lambda look: worlds[min(look, 1)], look_s=PROVE_WITHIN_S * 0.9)
    assert slow == (None, ["prove", "prove", "knock"])
    # Not for ever.
    why, looks = prove(lambda _: worlds[0], look_s=PROVE_WITHIN_S * 2)
    assert why is not None
    assert looks == ["prove"] * LOOKS_AT_LEAST


def test_a_slow_look_is_good_once_the_address_refuses_anew() -> None:
    assert prove(lambda _: DEAD, look_s=PROOF_S * 0.9) == (None, ["prove", "knock"])


def test_a_look_that_took_too_long_is_no_proof() -> None:
    why, looks = prove(lambda _: DEAD, look_s=LOOK_IS_GOOD_FOR_S * 1.1)
    assert "too old" in str(why)
    assert looks == ["prove", "knock"] * LOOKS_AT_LEAST


@pytest.mark.parametrize(
    ("then", "word", "more"),
    [
        ({"peek": "role:master\r\n"}, "answers", []),
        ({"knock": Reach.UP}, "still accepts", ["prove", "knock"] * (LOOKS_AT_LEAST - 1)),
        ({"knock": Reach.TIMEOUT}, "silence", ["prove", "knock"] * (LOOKS_AT_LEAST - 1)),
    ],
)
def test_who_is_back_after_a_slow_look_is_not_dead(then: World, word: str, more: list[str]) -> None:
    why, looks = prove(lambda step: DEAD if step % 2 == 0 else {**DEAD, **then}, look_s=PROOF_S * 0.9)
    assert word in str(why)
    assert looks == ["prove", "knock", *more]


@pytest.mark.parametrize(
    ("ever", "word"),
    [
        ({"peek": "role:master\r\n"}, "answers"),
        ({"pod": None}, "gone"),
        ({"pod": replace(POD, uid="another")}, "not the one"),
        ({"pod": replace(POD, ip="10.1.0.9")}, "not the one"),
        ({"pod": replace(POD, terminating=True)}, "being deleted"),
        ({"sentinel": ["ip", NEW.address, *LOST[2:]]}, "names 10.0.0.2"),
        ({"sentinel": [*LOST[:-1], "master,o_down"]}, "o_down"),
        ({"replica": REPLICA.replace("slave_priority:100", "slave_priority:0")}, "in sync"),
    ],
)
def test_what_speaks_against_it_ends_it_at_once(ever: World, word: str) -> None:
    why, looks = prove(lambda _: {**DEAD, **ever}, look_s=0.01)
    assert word in str(why)
    assert looks == ["prove"]
