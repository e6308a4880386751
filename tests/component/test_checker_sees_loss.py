"""The checker's own proof: real processes, real writers, and runs that must or must not lose acknowledged
writes.

A plain SENTINEL FAILOVER of a living master loses what it acknowledges until it is demoted. A checker that
does not see that is blind, and every "0 lost" elsewhere would be worth nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workload import reading
from tests.workload.checker import Verdict, check, longest_gap
from tests.workload.history import Op
from tests.workload.loopback import MASTER_NAME, LoopbackSet, Node, within
from tests.workload.process import Writers
from tests.workload.writers import stream_of

DOWN_AFTER_MS = 2000
INTERVAL_MS = 5


@pytest.fixture
def redis_set(tmp_path: Path) -> Iterator[LoopbackSet]:
    with LoopbackSet(tmp_path, down_after_ms=DOWN_AFTER_MS) as redis_set:
        yield redis_set


def kept(node: Node, client: str) -> Writers:
    """A client that stays with one node as long as its connection lives."""
    address = f"{node.address}:{node.port}"
    return Writers(("--client", client, "--interval-ms", str(INTERVAL_MS), "kept", "--address", address))


def asking(redis_set: LoopbackSet, client: str) -> Writers:
    """A client that asks the sentinels whenever it connects."""
    arguments = ("sentinel", "--sentinels", redis_set.sentinel_addresses)
    return Writers(("--client", client, "--interval-ms", str(INTERVAL_MS), *arguments))


def judge(redis_set: LoopbackSet, history: list[Op]) -> Verdict:
    """Read the data of every living node once they have settled, and judge."""
    living = {n.name: n.client for n in redis_set.nodes if n.process.poll() is None}
    within(60, lambda: reading.settled(reading.replication(living)), what="one master, and synced replicas")
    master = redis_set.master()
    assert master is not None
    data = reading.read_all(living, [stream_of(client) for client in sorted({op.client for op in history})])
    return check(history, data=data, master=master.name)


def all_name(redis_set: LoopbackSet, node: Node) -> bool:
    return all(redis_set.named_master(sentinel) == node.address for sentinel in redis_set.sentinels)


def none_names(redis_set: LoopbackSet, node: Node) -> bool:
    return all(redis_set.named_master(sentinel) != node.address for sentinel in redis_set.sentinels)


def switch_over(redis_set: LoopbackSet, *, old: Node, target: Node) -> None:
    """The procedure that loses nothing: pause writes, equal offsets, FAILOVER TO the target, tell the
    sentinels.
    """
    executing = redis_set.sentinels[2]
    executing.command("SENTINEL DEBUG", "INFO-PERIOD", 500)
    target.client.config_set("replica-priority", 1)

    def target_is_preferred() -> bool:
        replicas = executing.command("SENTINEL SLAVES", MASTER_NAME)
        return [r["ip"] for r in replicas if r["slave-priority"] == 1] == [target.address]

    within(5, target_is_preferred, what="the executing sentinel prefers the target")
    old.command("CLIENT PAUSE", DOWN_AFTER_MS - 500, "WRITE")
    offset = old.info()["master_repl_offset"]
    within(1, lambda: target.info()["slave_repl_offset"] >= offset, what="the target holds everything")
    old.command("FAILOVER", "TO", target.address, target.port, "FORCE", "TIMEOUT", 1)
    within(1, lambda: target.info()["role"] == "master", what="the target is master")
    within(1, lambda: old.info()["role"] == "slave", what="the old master is a replica")
    old.client.client_unpause()
    executing.command("SENTINEL FAILOVER", MASTER_NAME)
    within(60, lambda: all_name(redis_set, target), what="the sentinels name the target")
    old.command("CLIENT KILL", "TYPE", "normal")


def test_a_plain_failover_of_a_living_master_loses_writes_and_the_checker_sees_it(
    redis_set: LoopbackSet,
) -> None:
    old = redis_set.nodes[0]
    with kept(redis_set.nodes[0], "staying") as staying:
        staying.wait_for_acks(50, within_s=30)
        commanded = time.monotonic()
        redis_set.sentinels[0].command("SENTINEL FAILOVER", MASTER_NAME)
        within(60, lambda: none_names(redis_set, old), what="the sentinels name another master")
        moved = time.monotonic()
        # Who connects now may find the new master, while the old one still says yes to whom it has.
        new = redis_set.by_address(redis_set.named_master(redis_set.sentinels[1]))
        with kept(new, "late") as late:
            late.wait_for_acks(50, within_s=30)
            staying.wait_for_acks(50, within_s=30, after=moved)
            within(60, lambda: old.info()["role"] == "slave", what="the old master is demoted")
            history = late.stop()
        history += staying.stop()
    found = judge(redis_set, history)
    print(found.sentence())
    assert len(found.lost) >= 50, found.sentence()
    assert {op.client for op in found.lost} == {"staying"}
    assert all(op.completed > commanded for op in found.lost)
    assert not found.resurrected
    assert not found.unexpected
    assert len(found.two_masters) == 1, "two masters took turns for seconds, and the checker did not see it"
    assert found.two_masters[0].seconds > 0.2


def test_a_switchover_with_paused_writes_loses_none(redis_set: LoopbackSet) -> None:
    old, target = redis_set.nodes[0], redis_set.nodes[1]
    with kept(redis_set.nodes[0], "staying") as staying, asking(redis_set, "moving") as moving:
        staying.wait_for_acks(50, within_s=30)
        moving.wait_for_acks(50, within_s=30)
        switch_over(redis_set, old=old, target=target)
        moved = time.monotonic()
        moving.wait_for_acks(50, within_s=30, after=moved)
        history = [*staying.stop(), *moving.stop()]
    found = judge(redis_set, history)
    print(found.sentence())
    assert found.is_clean, found.sentence()
    assert redis_set.master() is target
    # The client that never asks is stuck at the old master; the checker counts its refusals as what they are.
    stuck = [op for op in history if op.client == "staying" and op.invoked > moved]
    assert not any(op.is_acked for op in stuck)
    assert any("READONLY" in str(op.reason) for op in stuck)


def test_a_crash_loses_nothing_and_its_gap_is_what_sentinel_needs(redis_set: LoopbackSet) -> None:
    old = redis_set.nodes[0]
    with asking(redis_set, "moving") as moving:
        moving.wait_for_acks(50, within_s=30)
        old.kill()
        killed = time.monotonic()
        moving.wait_for_acks(50, within_s=30, after=killed + DOWN_AFTER_MS / 1000)
        history = moving.stop()
    found = judge(redis_set, history)
    gap = longest_gap(history)
    print(found.sentence(), gap)
    assert found.is_clean, found.sentence()
    assert found.failed > 0
    # down-after + 1.25 s on a quiet machine.
    assert DOWN_AFTER_MS / 1000 < gap.seconds < DOWN_AFTER_MS / 1000 + 3
    assert abs(gap.since - killed) < 0.2
