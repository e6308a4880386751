"""The operator dies, or stands still, at every step of every move: the next one ends the move or undoes it.

Each row of the table at the end of the output is one run: where the operator was halted, who was master before and
after, and what clients lost. What decides is always the data.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.operator_process import OperatorProcess
from tests.e2e.test_moves import ask_for_switchover
from tests.workload.process import Writers

SWITCHOVER = (
    "look", "intent", "service", "probe", "pause", "level", "swap", "became", "hello", "agree", "cut", "done",
    "cut again",
)  # fmt: skip
BY_SENTINEL = (
    "look", "intent", "prefer", "preference", "service", "probe", "pause", "level", "swap", "became", "failover",
    "named", "cut", "done",
)  # fmt: skip
FAILOVER = ("prove", "intent", "votes", "promote", "look again", "hello", "agree", "done")
# In the gate: around what cannot be undone. All others in `make test-all`.
GATE = {
    "switchover.pause.after",
    "switchover.swap.after",
    "switchover.hello.before",
    "failover.votes.after",
    "failover.promote.after",
}
POINTS = [
    f"{move}.{step}.{when}"
    for move, steps in (("switchover", SWITCHOVER), ("bySentinel", BY_SENTINEL), ("failover", FAILOVER))
    for step in steps
    for when in ("before", "after")
]

StartWriters = Callable[..., Writers]


def _points(word: str) -> list[object]:
    gate = GATE if word == "KILL" else {"switchover.swap.before"}
    return [pytest.param(p, marks=_marks(p, in_gate=p in gate)) for p in POINTS]


def _marks(point: str, *, in_gate: bool) -> tuple[pytest.MarkDecorator, ...]:
    """A failover is only assisted where half a second is enough for a proof of death."""
    when = pytest.mark.gate if in_gate else pytest.mark.slow
    return (when, pytest.mark.timed) if point.startswith("failover.") else (when,)


def run(
    point: str,
    word: str,
    *,
    contexredis: CreateContexRedis,
    writers: StartWriters,
    cluster: Cluster,
    namespace: str,
    record: Callable[[str, object], None],
    stands_still_s: float = 0.0,
) -> None:
    """One run. The set is made by the operator that will be halted, so that it leads."""
    move = point.split(".")[0]
    assisted = {"assisted": move != "bySentinel"}
    with OperatorProcess(namespace, name="first", failpoint=f"{point}={word}") as first:
        redis_set = contexredis(ready_within_s=90, failover=assisted)
        running = {kind: writers(redis_set, kind, client=kind) for kind in ("sentinel", "kept")}
        for each in running.values():
            each.wait_for_acks(50, within_s=20)
        old = redis_set.wait_master()
        with OperatorProcess(namespace, name="second") as second:
            if move == "failover":
                assert cluster.lab is not None
                cluster.lab.faults.kill(namespace, old, "redis-server")
            else:
                ask_for_switchover(redis_set)
            first.wait_halted(word, within_s=30)
            halted = time.monotonic()
            if stands_still_s:
                eventually(
                    lambda: time.monotonic() - halted > stands_still_s,
                    within_s=stands_still_s + 1,
                    describe="it has stood still",
                )
                first.go_on()
            redis_set.wait_ready(within_s=90)
            eventually(
                lambda: "intent" not in redis_set.resource()["status"],
                within_s=30,
                describe="no intent is left",
            )
            # Whoever leads now can make the next move: nothing of the halted one is in the way.
            for each in running.values():
                each.wait_for_acks(50, within_s=30, after=time.monotonic())
            history = [op for each in running.values() for op in each.stop()]
            verdict = redis_set.judge(history, within_s=60)
            new = redis_set.wait_master()
            outcome = "ended" if new != old else "undone"
            record("failpoint", (point, word, stands_still_s, outcome, f"{old} → {new}", verdict.sentence()))
            assert verdict.is_clean, f"{verdict.sentence()}\n{second.log()[-2000:]}"
            assert not redis_set.resource()["status"].get("intent")


@pytest.fixture
def operator() -> None:
    """None from the chart: these tests run their own."""


@pytest.mark.parametrize("point", _points("KILL"))
def test_killed(
    point: str,
    contexredis: CreateContexRedis,
    writers: StartWriters,
    cluster: Cluster,
    namespace: str,
    record_property: Callable[[str, object], None],
) -> None:
    run(
        point,
        "KILL",
        contexredis=contexredis,
        writers=writers,
        cluster=cluster,
        namespace=namespace,
        record=record_property,
    )


@pytest.mark.parametrize("stands_still_s", [5.0, 30.0])
@pytest.mark.parametrize("point", _points("STOP"))
def test_stopped_and_goes_on(
    point: str,
    stands_still_s: float,
    contexredis: CreateContexRedis,
    writers: StartWriters,
    cluster: Cluster,
    namespace: str,
    record_property: Callable[[str, object], None],
) -> None:
    run(
        point,
        "STOP",
        contexredis=contexredis,
        writers=writers,
        cluster=cluster,
        namespace=namespace,
        record=record_property,
        stands_still_s=stands_still_s,
    )
