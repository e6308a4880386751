"""What is repeated, what is not, and what is counted."""

from __future__ import annotations

import pytest
from contex_redis import Metrics, certainly_not_executed
from contex_redis.errors import PoolExhausted, kind_of, mark_not_sent
from contex_redis.policy import Policy, pause_s
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from redis import exceptions
from redis.asyncio.sentinel import MasterNotFoundError

REFUSED = [
    exceptions.ReadOnlyError("You can't write against a read only replica."),
    exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
    exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
    exceptions.MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    exceptions.ResponseError("UNBLOCKED force unblock from blocking operation"),
]
WRONG = [
    exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    exceptions.ResponseError("ERR unknown command 'NOPE'"),
    exceptions.AuthenticationError("invalid username-password pair or user is disabled."),
    exceptions.NoPermissionError("this user has no permissions"),
    exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
]
LOST = [
    exceptions.ConnectionError("Connection closed by server."),
    exceptions.TimeoutError("Timeout reading from 10.0.0.1:6379"),
    ConnectionResetError(104, "Connection reset by peer"),
]
BOTH = [Policy(10, repeat_unanswered=True), Policy(10, repeat_unanswered=False)]


@pytest.mark.parametrize("policy", BOTH)
@pytest.mark.parametrize("error", REFUSED, ids=str)
def test_what_redis_refused_for_now_is_always_repeated(policy: Policy, error: Exception) -> None:
    assert certainly_not_executed(error)
    assert policy.may_repeat(error)


@pytest.mark.parametrize("error", REFUSED, ids=str)
def test_half_a_pipeline_is_repeated_only_where_doing_it_twice_is_allowed(error: Exception) -> None:
    assert [policy.may_repeat(error, is_whole=False) for policy in BOTH] == [True, False]


@pytest.mark.parametrize("policy", BOTH)
@pytest.mark.parametrize("error", WRONG, ids=str)
def test_a_wrong_command_is_never_repeated_nor_counted(policy: Policy, error: Exception) -> None:
    assert not policy.may_repeat(error)
    assert not policy.counts(error)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_what_was_sent_and_not_answered_is_repeated_as_the_contract_says(error: OSError) -> None:
    assert not certainly_not_executed(error)
    assert [policy.may_repeat(error) for policy in BOTH] == [True, False]
    assert BOTH[0].counts(error)


def test_what_was_never_sent_is_always_repeated() -> None:
    for error in (exceptions.ConnectionError("refused"), MasterNotFoundError("none"), OSError("unreachable")):
        mark_not_sent(error)
        assert certainly_not_executed(error)
        assert all(policy.may_repeat(error) for policy in BOTH)
    wrong_password = exceptions.AuthenticationError("invalid password")
    mark_not_sent(wrong_password)
    assert not BOTH[0].may_repeat(wrong_password)
    assert BOTH[0].counts(wrong_password)
    full = PoolExhausted("REDIS_MAX_CONNECTIONS exceeded")
    mark_not_sent(full)
    assert not BOTH[0].may_repeat(full), "whoever leaks connections must hear of it"


def test_pauses_grow_to_a_quarter_of_a_second() -> None:
    pauses = [pause_s(n) for n in range(1, 20)]
    assert pauses[0] == 0.05
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.25


def test_errors_are_counted_by_kind() -> None:
    kinds = [kind_of(error) for error in (*REFUSED[:3], *LOST, MasterNotFoundError("none"), WRONG[2])]
    assert kinds == [
        "readonly", "noreplicas", "loading", "connection", "timeout", "connection", "no_master", "auth",
    ]  # fmt: skip
    assert kind_of(PoolExhausted("")) == "pool_exhausted"


class Pool:
    def __init__(self) -> None:
        self._in_use_connections: set[int] = set()


def test_the_documented_metrics_are_declared_once_however_many_clients_there_are() -> None:
    registry = CollectorRegistry()
    first, second, pool = Metrics(registry), Metrics(registry), Pool()
    first.watch(pool, name="master")
    second.observe("XADD", 0.002)
    second.count_error(LOST[1])
    pool._in_use_connections |= {1, 2}
    assert registry.get_sample_value("contex_redis_connections", {"pool": "master"}) == 2
    assert (
        registry.get_sample_value("contex_redis_operation_duration_seconds_count", {"command": "XADD"}) == 1
    )
    assert registry.get_sample_value("contex_redis_connection_errors_total", {"kind": "timeout"}) == 1
    del pool
    assert registry.get_sample_value("contex_redis_connections", {"pool": "master"}) == 0


def test_what_contex_has_declared_and_never_set_comes_alive() -> None:
    registry = CollectorRegistry()
    Gauge("contex_redis_connections", "Number of active Redis connections", registry=registry)
    Histogram("contex_redis_operation_duration_seconds", "Redis time", ["operation"], registry=registry)
    metrics, pool = Metrics(registry), Pool()
    metrics.watch(pool, name="master")
    metrics.observe("GET", 0.001)
    pool._in_use_connections.add(1)
    assert registry.get_sample_value("contex_redis_connections") == 1
    labels = {"operation": "GET"}
    assert registry.get_sample_value("contex_redis_operation_duration_seconds_count", labels) == 1


def test_a_name_that_means_something_else_is_no_silent_loss() -> None:
    registry = CollectorRegistry()
    Counter("contex_redis_connections", "another thing", registry=registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Metrics(registry)
