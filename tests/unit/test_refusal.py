"""Why a master refuses writes, as its own answers tell it; and that it is told, once, and costs no write afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from contex_operator.model import DataNode, Observed
from contex_operator.names import Condition
from contex_operator.plan import Plan
from contex_operator.refusal import Cause, refusal
from contex_operator.status import change, compute
from contex_operator.topology import judge
from contex_operator.transitions import transitions
from contex_operator.views import data_node

from tests.unit.world import R0, R1, SENTINELS, gone, healthy, master, replica, replicated, sentinel, snapshot

SETTLED = Plan(actions=(), again_s=15.0)
FULL = {"used_memory": 101, "maxmemory": 100, "maxmemory_policy": "noeviction"}
REFUSING: list[tuple[dict[str, Any], Cause]] = [
    ({"min_replicas": 1, "good_replicas": 0}, Cause.TOO_FEW_REPLICAS),
    ({"min_replicas": 2, "good_replicas": 1}, Cause.TOO_FEW_REPLICAS),
    (FULL, Cause.MEMORY_FULL),
    (FULL | {"maxmemory_policy": "volatile-lru"}, Cause.MEMORY_FULL),
    ({"aof_ok": False}, Cause.APPEND_ONLY_FILE_FAILED),
    ({"dump_ok": False, "config": {"save": "3600 1"}}, Cause.DUMP_FAILED),
    (FULL | {"aof_ok": False, "min_replicas": 1, "good_replicas": 0}, Cause.MEMORY_FULL),  # Redis' own order
]
TAKING: list[dict[str, Any]] = [
    {"min_replicas": 1, "good_replicas": 1},
    {"min_replicas": 0},
    {"min_replicas": 1},  # it has not said how many there are
    FULL | {"used_memory": 100},
    FULL | {"maxmemory": 0},
    FULL | {"maxmemory_policy": "allkeys-lru"},
    FULL | {"maxmemory_policy": "volatile-ttl", "expiring_keys": 1},
    {"dump_ok": False, "config": {"save": ""}},
    {"dump_ok": False},
    {"dump_ok": False, "config": {"save": "3600 1", "stop-writes-on-bgsave-error": "no"}},
]


@pytest.mark.parametrize(("answers", "cause"), REFUSING)
def test_each_reason_is_told_in_one_sentence_that_says_what_to_do(
    answers: dict[str, Any], cause: Cause
) -> None:
    found = refusal(master(**answers))
    assert found is not None
    assert found.cause is cause
    assert found.message.startswith("redis-master-0 refuses writes: ")
    assert ". " not in found.message


@pytest.mark.parametrize("answers", TAKING)
def test_a_master_that_takes_writes_is_not_accused(answers: dict[str, Any]) -> None:
    assert refusal(master(**answers)) is None


def info(**fields: Any) -> str:
    return "\r\n".join(f"{key}:{value}" for key, value in {"role": "master", **fields}.items())


def asked(text: str) -> DataNode:
    return data_node("redis-master-0", "10.0.0.1", [text, [], ["min-replicas-to-write", "1"]])


def test_the_figures_come_from_info() -> None:
    node = asked(
        info(
            min_slaves_good_slaves=0,
            used_memory=120,
            mem_not_counted_for_evict=19,
            maxmemory=100,
            maxmemory_policy="volatile-lru",
            rdb_last_bgsave_status="err",
            db0="keys=5,expires=2,avg_ttl=1",
            db3="keys=7,expires=1,avg_ttl=1,subexpiry=4",
        )
    )
    assert (node.good_replicas, node.min_replicas) == (0, 1)
    assert (node.used_memory, node.maxmemory, node.maxmemory_policy) == (101, 100, "volatile-lru")
    assert not node.dump_ok
    assert (node.keys, node.expiring_keys) == (12, 3)


# --- the status ---------------------------------------------------------------------------------------------------


def world(**answers: Any) -> Observed:
    return snapshot(
        [master(**answers), replica(R0), replica(R1)],
        [sentinel(s) for s in SENTINELS],
        status={"initialized": True, "phase": "Ready"},
    )


def status_of(seen: Observed) -> dict[str, Any]:
    return compute(replicated(), seen, judge(seen, sentinels=3), SETTLED)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def test_ready_and_degraded_say_it_and_an_event_does_once() -> None:
    before = status_of(healthy(status={"initialized": True, "phase": "Ready"}))
    refusing = status_of(world(**FULL))
    assert conditions(refusing)[Condition.READY] == ("False", "WritesRefused")
    assert conditions(refusing)[Condition.DEGRADED] == ("True", "WritesRefused")
    told = {event.reason: event for event in transitions(before, refusing)}
    assert set(told) == {"WritesRefused", "Degraded"}
    assert told["WritesRefused"].is_warning
    assert "maxmemory" in told["WritesRefused"].message
    assert {event.reason for event in transitions(refusing, before)} == {"Ready", "Recovered"}


def test_memory_that_moves_writes_nothing() -> None:
    one = status_of(world(**FULL))
    other = status_of(world(**FULL | {"used_memory": 5000}))
    assert change(one, other) == {}
    assert transitions(one, other) == []


def test_lost_replicas_are_told_as_what_they_cost() -> None:
    lost = snapshot(
        [master(min_replicas=1, good_replicas=0), gone(R0), gone(R1)],
        [sentinel(s) for s in SENTINELS],
        status={"initialized": True, "phase": "Ready"},
    )
    assert conditions(status_of(lost))[Condition.READY] == ("False", "WritesRefused")


def test_a_fenced_second_master_is_no_refusal() -> None:
    """Of two masters one is fenced, and which one the truth is, is what has to be said."""
    two = snapshot(
        [master(min_replicas=1, good_replicas=0), master(R0), replica(R1)],
        [sentinel(s) for s in SENTINELS],
        status={"initialized": True, "phase": "Ready"},
    )
    assert conditions(status_of(two))[Condition.READY] == ("False", "TwoMasters")
