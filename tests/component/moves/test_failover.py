"""Assisted failover on real servers: a proven crash is healed at once; with one part of the proof missing, it is not.

The four parts: the standing connection was closed (that is why the move begins), the pod's own address refuses, the
pod object is the same, a majority of the sentinels has lost its link too.
"""

from __future__ import annotations

import signal
import socket
import threading
import time

import pytest
from contex_operator.moves.failover import Crash, failover
from contex_operator.moves.step import Move, Outcome

from tests.component.moves.audience import asking, judge
from tests.component.moves.stage import TIME, Stage
from tests.workload.checker import longest_gap
from tests.workload.loopback import REDIS_PORT, within


async def assist(here: Stage, crash: Crash) -> Outcome:
    move = failover(crash, broke_at=time.monotonic(), time=TIME)
    return await here.run(move, (*crash.others, *crash.sentinels), name="failover")


def nobody_was_promoted(here: Stage) -> bool:
    return here.named() == {"node-0"} and "master" not in here.roles()[1:]


async def test_a_crash_is_healed_at_once_and_nothing_is_lost(here: Stage) -> None:
    crash = here.crash()
    with asking(here) as writer:
        writer.wait_for_acks(50, within_s=30)
        here.set.nodes[0].kill()
        killed = time.monotonic()
        outcome = await assist(here, crash)
        assert outcome.moved, outcome
        writer.wait_for_acks(50, within_s=30, after=time.monotonic())
        history = writer.stop()
    (new,) = here.named()
    assert new in ("node-1", "node-2")
    assert here.moves_of_service == [new]
    assert here.resource["status"]["lastFailover"]["reason"] == "AssistedFailover"
    here.set.restart(here.set.nodes[0])
    assert judge(here, history).is_clean
    # Sentinel alone would need down-after and more than a second besides.
    assert longest_gap(history, since=killed - 0.1).seconds < 1.5


async def test_the_replica_with_the_most_data_is_chosen(here: Stage) -> None:
    behind = here.set.nodes[1]
    crash = here.crash()
    behind.process.send_signal(signal.SIGSTOP)
    for i in range(200):
        here.set.nodes[0].command("SET", f"key:{i}", "x" * 100)
    within(
        5, lambda: here.set.nodes[2].info()["slave_repl_offset"] >= _offset(here), what="node-2 has it all"
    )
    here.set.nodes[0].kill()
    behind.process.send_signal(signal.SIGCONT)
    outcome = await assist(here, crash)
    if outcome.moved:  # node-1 may have read what lay in its socket meanwhile: then both hold the same
        (new,) = here.named()
        assert here.set.nodes[int(new[-1])].command("DBSIZE") == 200


def _offset(here: Stage) -> int:
    return int(here.set.nodes[0].info()["master_repl_offset"])


async def test_a_frozen_process_is_not_dead(here: Stage) -> None:
    crash = here.crash()
    here.set.nodes[0].process.send_signal(signal.SIGSTOP)
    try:
        outcome = await assist(here, crash)
    finally:
        here.set.nodes[0].process.send_signal(signal.SIGCONT)
    assert not outcome.moved
    assert "still accepts" in outcome.sentence
    assert nobody_was_promoted(here)


async def test_a_process_that_restarted_is_not_dead(here: Stage) -> None:
    """Its connection broke and its port is open again: whoever serves there, nobody takes its role away."""
    crash = here.crash()
    here.set.nodes[0].kill()
    with socket.create_server((here.set.nodes[0].address, REDIS_PORT)):
        outcome = await assist(here, crash)
    assert not outcome.moved
    assert "still accepts" in outcome.sentence
    assert nobody_was_promoted(here)


@pytest.mark.parametrize("uid", ["another", ""])
async def test_another_pod_under_the_name_proves_nothing(here: Stage, uid: str) -> None:
    crash = here.crash()
    here.pod_uid = uid
    here.set.nodes[0].kill()
    outcome = await assist(here, crash)
    assert not outcome.moved
    assert nobody_was_promoted(here)


async def test_without_the_sentinels_seeing_it_too_it_may_be_a_firewall(here: Stage) -> None:
    """Only the operator is refused: the sentinels' links stand, and the master serves."""
    crash = here.crash()
    refusing = Crash(**{**vars(crash), "pod_address": here.set.nodes[0].address.rsplit(".", 1)[0] + ".250"})
    here.pod_address = refusing.pod_address
    outcome = await assist(here, refusing)
    assert not outcome.moved
    assert "0 of 3 sentinels have lost it" in outcome.sentence
    assert nobody_was_promoted(here)


async def test_without_a_majority_of_the_sentinels_nothing_is_promoted(here: Stage) -> None:
    crash = here.crash()
    for sentinel in here.set.sentinels[:2]:
        sentinel.kill()
    here.set.nodes[0].kill()
    outcome = await assist(here, crash)
    assert not outcome.moved
    assert "only 1 of 3 sentinels answer" in outcome.sentence
    assert "master" not in here.roles()


async def test_a_replica_that_was_never_in_sync_is_not_promoted(here: Stage) -> None:
    crash = here.crash()
    for node in here.set.nodes[1:]:
        node.command("CONFIG SET", "replica-priority", 0)
    here.set.nodes[0].kill()
    outcome = await assist(here, crash)
    assert not outcome.moved
    assert "no replica that is in sync" in outcome.sentence
    assert nobody_was_promoted(here)


async def test_a_master_that_comes_back_in_the_middle_undoes_the_promotion(here: Stage) -> None:
    """Between the promotion and the hello somebody starts the old one without any gate: nothing is announced."""
    crash = here.crash()
    here.set.nodes[0].kill()
    move = failover(crash, broke_at=time.monotonic(), time=TIME)

    def with_a_return() -> Move:
        answers = None
        while True:
            try:
                step = next(move) if answers is None else move.send(answers)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if step.name == "look again":
                here.start_old_master()
            answers = yield step

    outcome = await here.run(with_a_return(), (*crash.others, *crash.sentinels), name="failover")
    assert not outcome.moved
    assert "is back and says it is master" in outcome.sentence
    assert here.roles()[0] == "master"
    within(10, lambda: here.roles() == ["master", "slave", "slave"], what="the replicas follow it again")
    assert here.named() == {"node-0"}


@pytest.mark.parametrize("slow", [0, 2])
async def test_the_slowest_sentinel_is_not_waited_for(here: Stage, slow: int) -> None:
    """One sentinel whose disk is busy all the time: the others' votes are a majority, and it follows later."""
    crash = here.crash()
    here.set.nodes[0].kill()
    lazy = here.set.sentinels[slow].process
    lazy.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        outcome = await assist(here, crash)
        assert outcome.moved, outcome
        promoted = here.resource["status"]["lastFailover"]["milliseconds"]
        assert promoted < 450, (
            f"the slow one was waited for: {promoted} ms of {time.monotonic() - began:.3f} s"
        )
    finally:
        lazy.send_signal(signal.SIGCONT)
    within(
        30, lambda: len(here.named()) == 1 and "node-0" not in here.named(), what="all name the new master"
    )


async def test_votes_that_come_late_are_taken_with_a_new_proof(here: Stage) -> None:
    """A sentinel writes its vote to the disk before it answers. Given up, votes would cost more than they save: who has
    voted begins no election of its own for 20 s.
    """
    crash = here.crash()
    here.set.nodes[0].kill()
    move = failover(crash, broke_at=time.monotonic(), time=TIME)
    late = [sentinel.process for sentinel in here.set.sentinels[:2]]
    steps: list[str] = []

    def with_a_slow_disk() -> Move:
        answers = None
        while True:
            try:
                step = next(move) if answers is None else move.send(answers)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if step.name == "votes" and "votes" not in steps:
                for process in late:
                    process.send_signal(signal.SIGSTOP)
                    threading.Timer(0.7, process.send_signal, [signal.SIGCONT]).start()
            steps.append(step.name)
            answers = yield step

    outcome = await here.run(with_a_slow_disk(), (*crash.others, *crash.sentinels), name="failover")
    assert outcome.moved, (outcome, steps)
    (new,) = here.named()
    assert new in ("node-1", "node-2")
    assert steps.index("votes") < len(steps) - 1 - steps[::-1].index("prove") < steps.index("promote")
    assert "intent" not in here.resource["status"]
