"""The client on real redis-servers and sentinels, on every redis-py that it promises, through a lost master.

The clients of all versions write into one set at the same time and meet the same fault.
"""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.client.acting import SECRETS, Actor, by_sentinels, now, values_in
from tests.client.versions import REDIS_PY, Python
from tests.workload.loopback import MASTER_NAME, LoopbackSet, Node, within

HERE = Python("this one", (sys.executable, "-S"))  # without the packages of the tests' own environment
DOWN_AFTER_MS = 2000
Crew = dict[str, Actor]


@pytest.fixture
def redis_set(tmp_path: Path) -> Iterator[LoopbackSet]:
    """One master, two replicas, three sentinels; a test breaks it."""
    with LoopbackSet(tmp_path, down_after_ms=DOWN_AFTER_MS, access=SECRETS) as made:
        yield made


@pytest.fixture
def crew(tmp_path: Path, redis_set: LoopbackSet) -> Iterator[Callable[..., Crew]]:
    """Starts a writer for each redis-py; all have written when it returns."""
    with ExitStack() as stack:

        def start(*arguments: str, **env: str) -> Crew:
            made = {
                major: stack.enter_context(
                    Actor(
                        tmp_path / f"redis-py-{major}",
                        "package",
                        *arguments,
                        env=by_sentinels(redis_set, **env),
                        python=HERE,
                        redis_major=major,
                    )
                )
                for major in REDIS_PY
            }
            for actor in made.values():
                actor.wait_for_writes(5)
            return made

        yield start


def end(crew: Crew, *, after: float) -> None:
    """Let all write on behind the fault, and stop them."""
    for actor in crew.values():
        actor.wait_for_writes(20, after=after)
    for actor in crew.values():
        actor.stop()


def longest(actor: Actor) -> float:
    """Seconds that its slowest write took."""
    return max(float(each["took_s"]) for each in actor.writes)


def errors(crew: Crew) -> dict[str, list[str]]:
    """By redis-py, what the application has met."""
    return {major: [each["error"] for each in actor.errors] for major, actor in crew.items()}


NONE: dict[str, list[str]] = {major: [] for major in REDIS_PY}


def test_a_planned_failover_costs_no_error_and_the_line_says_who_is_master(
    redis_set: LoopbackSet, crew: Callable[..., Crew]
) -> None:
    actors = crew("--subscribe")
    began = now()
    redis_set.sentinels[0].command("SENTINEL FAILOVER", MASTER_NAME)
    within(60, lambda: redis_set.master() not in (None, redis_set.nodes[0]), what="another master")
    for actor in actors.values():
        actor.wait_for_writes(20, after=began + 2)
    master = redis_set.master()
    assert master is not None

    def all_hear() -> bool:
        master.command("PUBLISH", "actor", "hello")
        return all(actor.heard for actor in actors.values())

    within(30, all_hear, what="the subscriptions are at the new master")
    end(actors, after=now())
    assert errors(actors) == NONE
    for actor in actors.values():
        line = "Connected to Redis via Sentinel | master_name=mymaster master_host={} master_port=6379 sentinel_count=3"
        for node in (redis_set.nodes[0], master):
            assert line.format(node.address) in actor.log
        metrics = next(each["metrics"] for each in actor.said if "metrics" in each)
        assert (
            f'contex_redis_operation_duration_seconds_count{{command="XADD"}} {len(actor.writes)}.0'
            in metrics
        )
        assert not [each for each in actor.said if each.get("heard", "") is None], (
            "the subscription met an error"
        )
        assert "geheim" not in actor.log
        print(f"longest write: {longest(actor)} s")


def test_a_killed_master_costs_no_error(redis_set: LoopbackSet, crew: Callable[..., Crew]) -> None:
    actors = crew()
    killed = now()
    redis_set.nodes[0].kill()
    end(actors, after=killed + 1)
    assert errors(actors) == NONE
    for major, actor in actors.items():
        print(f"redis-py {major}: longest write {longest(actor)} s")
        assert longest(actor) < DOWN_AFTER_MS / 1000 + 4
        metrics = next(each["metrics"] for each in actor.said if "metrics" in each)
        assert 'contex_redis_connection_errors_total{kind="connection"}' in metrics


@pytest.mark.slow
def test_a_frozen_master_costs_no_error(redis_set: LoopbackSet, crew: Callable[..., Crew]) -> None:
    actors = crew("--pipeline")
    frozen = now()
    redis_set.nodes[0].process.send_signal(signal.SIGSTOP)
    end(actors, after=frozen + 1)
    assert errors(actors) == NONE
    for actor in actors.values():
        assert longest(actor) < DOWN_AFTER_MS / 1000 + 5


@pytest.mark.slow
def test_where_nothing_may_be_done_twice_nothing_is(
    redis_set: LoopbackSet, crew: Callable[..., Crew]
) -> None:
    actors = crew(REDIS_RETRY_ON_TIMEOUT="false")
    killed = now()
    redis_set.nodes[0].kill()
    end(actors, after=killed + 1)
    counts = Counter(values_in(redis_set))
    assert max(counts.values()) <= len(REDIS_PY), (
        "each actor counts from one: a value is there once for each of them"
    )
    for actor in actors.values():
        assert len(actor.errors) <= 1, "only the write that was under way is unknown"


@pytest.mark.slow
def test_a_master_that_may_not_write_for_a_moment_costs_no_error(
    redis_set: LoopbackSet, crew: Callable[..., Crew]
) -> None:
    master = redis_set.nodes[0]
    actors = crew(REDIS_RETRY_ON_TIMEOUT="false")
    master.command("CONFIG", "SET", "min-replicas-to-write", 5)
    within(30, lambda: _refusals(master) > 3, what="writes are refused")
    master.command("CONFIG", "SET", "min-replicas-to-write", 0)
    end(actors, after=now())
    assert errors(actors) == NONE


@pytest.mark.slow
def test_two_dead_sentinels_cost_a_start_their_timeout_and_no_more(
    redis_set: LoopbackSet, crew: Callable[..., Crew]
) -> None:
    for sentinel in redis_set.sentinels[:2]:
        sentinel.process.send_signal(signal.SIGSTOP)
    actors = crew()
    end(actors, after=now())
    assert errors(actors) == NONE


@pytest.mark.slow
def test_beyond_its_patience_the_caller_hears_why(redis_set: LoopbackSet, crew: Callable[..., Crew]) -> None:
    actors = crew("--retry-for-s", "0.5")
    for node in redis_set.nodes:
        node.kill()
    for actor in actors.values():
        within(30, _has_errors(actor), what="an error reaches the caller")
        assert all(each["took_s"] < 3 for each in actor.errors)
        assert any("6379" in each["error"] or "usable master" in each["error"] for each in actor.errors)


def _refusals(node: Node) -> int:
    return int(node.command("INFO", "errorstats").get("errorstat_NOREPLICAS", {"count": 0})["count"])


def _has_errors(actor: Actor) -> Callable[[], bool]:
    return lambda: len(actor.errors) >= 2
