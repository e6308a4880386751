"""What Prometheus reads: series of every resource that is looked after, of none that is not, and of no standby."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest
from contex_operator.metrics import LOOKED_AT, Look, Metrics
from contex_operator.metrics.writes import writes_refused
from contex_operator.model import Observed, Reach, Replica
from contex_operator.names import Condition
from contex_operator.spec import Spec
from contex_operator.topology import judge
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.world import (
    NAME,
    NAMESPACE,
    NOW,
    R0,
    R1,
    S2,
    SENTINELS,
    M,
    address_of,
    gone,
    healthy,
    master,
    pod_of,
    replica,
    replicated,
    sentinel,
    silent,
    snapshot,
    standalone,
)

KEY = (NAMESPACE, NAME)
SPEC = replicated(resources={"limits": {"memory": "1Gi"}})


def followed(pod: str = M, *, lag: int = 0, lag_s: int = 0, **fields: Any) -> Any:
    """A master that two replicas follow, `lag` bytes and `lag_s` seconds behind."""
    replicas = tuple(
        Replica(address=address_of(other), online=True, offset=100 - lag, lag_s=lag_s)
        for other in (M, R0, R1)
        if other != pod
    )
    return master(pod, replicas=replicas, min_replicas=1, **fields)


@dataclass
class Office:
    """Whether this process holds the Lease."""

    held: bool = True


def metrics(office: Office | None = None) -> Metrics:
    kept = office or Office()
    return Metrics(version="1.2.3", is_leader=lambda: kept.held)


def saw(told: Metrics, world: Observed, *, spec: Spec = SPEC, key: tuple[str, str] = KEY) -> None:
    told.saw(key, spec=spec, observed=world, topology=judge(world, sentinels=spec.sentinel_pod_count))


async def series(told: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by metric and label values (in the order of the labels' names); the resource's labels are left out."""
    text, content_type = await told.text("text/plain; version=0.0.4")
    assert content_type.startswith("text/plain")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if not k.startswith("contexredis")}
            found.setdefault(sample.name, {})[tuple(labels.values())] = sample.value
    return found


def whole(**fields: Any) -> Observed:
    return snapshot(
        [followed(lag=30, lag_s=1, **fields), replica(R0), replica(R1)], [sentinel(s) for s in SENTINELS]
    )


async def test_a_healthy_set() -> None:
    told = metrics()
    saw(told, whole(used_memory=600, maxmemory=1000, normal_clients=7, maxclients=50, errors={"OOM": 2}))
    found = await series(told)
    assert found["contexredis_master_agreed"] == {(): 1}
    assert found["contexredis_masters"] == {(): 1}
    assert found["contexredis_replicas_in_sync"] == {(): 2}
    assert found["contexredis_sentinels_agreeing"] == {(): 3}
    assert found["contexredis_sentinels_majority"] == {(): 2}
    assert found["contexredis_sentinels_on_one_node"] == {(): 1}
    assert found["contexredis_writes_refused"] == {(): 0}
    assert found["contexredis_last_look_timestamp_seconds"] == {(): NOW}
    assert found["contexredis_redis_up"] == {(M,): 1, (R0,): 1, (R1,): 1}
    assert found["contexredis_redis_role"][M, "master"] == 1
    assert found["contexredis_redis_role"][M, "replica"] == 0
    assert found["contexredis_redis_role"][R0, "replica"] == 1
    assert found["contexredis_redis_link_up"] == {(R0,): 1, (R1,): 1}
    assert found["contexredis_redis_replication_lag_bytes"] == {(R0,): 30, (R1,): 30}
    assert found["contexredis_redis_replication_lag_seconds"] == {(R0,): 1, (R1,): 1}
    assert found["contexredis_redis_memory_used_bytes"] == {(M,): 600}
    assert found["contexredis_redis_memory_max_bytes"] == {(M,): 1000}
    assert found["contexredis_redis_memory_limit_bytes"] == {(p,): 2**30 for p in (M, R0, R1)}
    assert found["contexredis_redis_connected_clients"][M,] == 7
    assert found["contexredis_redis_clients_limit"] == {(M,): 50}
    assert found["contexredis_redis_refused_writes_total"]["OOM", M] == 2
    assert found["contexredis_redis_refused_writes_total"]["NOREPLICAS", R0] == 0
    assert found["contexredis_redis_info"]["node-0", M] == 1
    assert found["contexredis_sentinel_agrees"] == {(s,): 1 for s in SENTINELS}
    assert found["contexredis_sentinel_known_sentinels"] == {(s,): 3 for s in SENTINELS}
    assert found["contexredis_operator_build_info"] == {("1.2.3",): 1}
    assert found["contexredis_operator_resources"] == {(): 1}


async def test_what_is_unknown_has_no_series() -> None:
    told = metrics()
    saw(told, snapshot([gone(M), replica(R0), gone(R1)], [sentinel(s) for s in SENTINELS[:2]] + [silent(S2)]))
    found = await series(told)
    assert found["contexredis_redis_up"] == {(M,): 0, (R0,): 1, (R1,): 0}
    assert found["contexredis_sentinel_up"][S2,] == 0
    assert set(found["contexredis_redis_connected_clients"]) == {(R0,)}
    assert set(found["contexredis_sentinel_tilt"]) == {(s,) for s in SENTINELS[:2]}
    assert "contexredis_redis_replication_lag_bytes" not in found, "no master says how far they are"
    assert found["contexredis_master_agreed"] == {(): 0}
    assert found["contexredis_writes_refused"] == {(): 1}


async def test_two_masters_and_sentinels_that_share_a_node() -> None:
    pods = tuple(
        pod_of(p, node="node-9" if p in SENTINELS[:2] else "node-1") for p in (M, R0, R1, *SENTINELS)
    )
    world = snapshot([followed(), master(R0), replica(R1)], [sentinel(s) for s in SENTINELS], pods=pods)
    told = metrics()
    saw(told, world)
    found = await series(told)
    assert found["contexredis_masters"] == {(): 2}
    assert found["contexredis_sentinels_on_one_node"] == {(): 2}


async def test_standalone_has_no_sentinels_to_speak_of() -> None:
    told = metrics()
    saw(told, snapshot([master()]), spec=standalone())
    found = await series(told)
    assert found["contexredis_sentinels_desired"] == {(): 0}
    assert not {name for name in found if name.startswith("contexredis_sentinel")} - {
        "contexredis_sentinels_desired"
    }
    assert found["contexredis_writes_refused"] == {(): 0}


@pytest.mark.parametrize(
    ("node", "refused"),
    [
        (followed(), False),
        (followed(good_replicas=1), False),
        (followed(good_replicas=0), True),
        (master(min_replicas=0), False),
        (followed(used_memory=2, maxmemory=1), True),
        (followed(aof_ok=False), True),
        (followed(loading=True), True),
        (gone(M, Reach.REFUSED), True),
    ],
)
def test_writes_are_refused(node: Any, refused: bool) -> None:
    world = snapshot([node, replica(R0), replica(R1)], [sentinel(s) for s in SENTINELS])
    topology = judge(world, sentinels=3)
    assert writes_refused(Look(spec=SPEC, observed=world, topology=topology, status={})) is refused


async def test_phase_and_conditions_are_those_of_the_status_that_was_written_last() -> None:
    told = metrics()
    saw(told, healthy(status={"phase": "Degraded"}))
    ready = {"type": Condition.READY, "status": "True", "reason": "Ready"}
    told.told(KEY, {}, {"phase": "Ready", "conditions": [ready]})
    found = await series(told)
    assert found["contexredis_status_phase"]["Ready",] == 1
    assert found["contexredis_status_phase"]["Degraded",] == 0
    assert found["contexredis_status_condition"] == {
        ("Ready", "true"): 1,
        ("Ready", "false"): 0,
        ("Ready", "unknown"): 0,
    }


def moved(reason: str, milliseconds: int | None = None) -> dict[str, Any]:
    fields = {"time": "2023-11-14T22:13:20Z", "from": M, "to": R0, "reason": reason}
    return {"lastFailover": fields if milliseconds is None else fields | {"milliseconds": milliseconds}}


async def test_moves_are_counted_by_whose_doing_they_were() -> None:
    told = metrics()
    saw(told, healthy())
    found = await series(told)
    assert found["contexredis_failovers_total"] == {
        ("AssistedFailover",): 0,
        ("SentinelFailover",): 0,
        ("ColdStart",): 0,
    }
    assert found["contexredis_switchovers_total"] == {("moved",): 0, ("not_moved",): 0, ("refused",): 0}
    told.told(KEY, {}, moved("AssistedFailover", 90))
    told.told(KEY, moved("AssistedFailover", 90), moved("AssistedFailover", 90))
    told.told(KEY, {}, moved("SentinelFailover"))
    told.told(KEY, {}, moved("Switchover", 40))
    told.did_not_move(KEY, refused=True)
    told.did_not_move(KEY, refused=False)
    found = await series(told)
    assert found["contexredis_failovers_total"] == {
        ("AssistedFailover",): 1,
        ("SentinelFailover",): 1,
        ("ColdStart",): 0,
    }
    assert found["contexredis_failover_duration_seconds_sum"]["AssistedFailover",] == pytest.approx(0.09)
    assert found["contexredis_failover_duration_seconds_count"]["SentinelFailover",] == 0
    assert found["contexredis_switchovers_total"] == {("moved",): 1, ("not_moved",): 1, ("refused",): 1}
    assert found["contexredis_switchover_duration_seconds_sum"][()] == pytest.approx(0.04)
    assert found["contexredis_last_move_timestamp_seconds"] == {("Switchover",): NOW}


async def test_a_resource_that_is_gone_takes_its_series_along() -> None:
    told = metrics()
    other = (NAMESPACE, "other")
    for key in (KEY, other):
        saw(told, healthy(), key=key)
        told.told(key, {}, moved("AssistedFailover", 90))
        told.failed(key)
    told.forget(KEY)
    text, _ = await told.text("")
    assert f'contexredis="{NAME}"'.encode() not in text
    assert b'contexredis="other"' in text
    told.forget(other)
    told.forget(other)  # twice does no harm
    assert b'contexredis="' not in (await told.text(""))[0]


async def test_a_standby_tells_of_itself_alone() -> None:
    office = Office(held=False)
    told = metrics(office)
    saw(told, healthy())  # a look that was under way when the Lease was lost
    told.failed(KEY)
    text, _ = await told.text("")
    assert b"contexredis_operator_lease_held 0.0" in text
    assert b"contexredis_operator_resources 0.0" in text
    assert b'contexredis="' not in text
    office.held = True
    assert b'contexredis="redis"' in (await told.text(""))[0]
    told.clear()
    text, _ = await told.text("")
    assert b"contexredis_operator_lease_held 1.0" in text
    assert b'contexredis="' not in text, "what was seen in an earlier time in office is told"


async def test_reconciles_are_timed_and_failures_counted_by_the_leader() -> None:
    office = Office()
    told = metrics(office)
    fails = False

    async def work(key: tuple[str, str]) -> float | None:
        saw(told, healthy(), key=key)
        if fails:
            raise RuntimeError("no")
        return 1.5

    run = told.timed(work)
    assert await run(KEY) == 1.5
    first = (await series(told))["contexredis_last_reconcile_timestamp_seconds"][()]
    assert first == pytest.approx(time.time(), abs=30)
    fails = True
    with pytest.raises(RuntimeError):
        await run(KEY)
    assert (await series(told))["contexredis_last_reconcile_timestamp_seconds"] == {(): first}, (
        "a failure counts"
    )
    office.held = False
    fails = False
    await run(KEY)
    office.held = True
    found = await series(told)
    assert found["contexredis_operator_reconcile_duration_seconds_count"] == {(): 2}
    assert found["contexredis_operator_reconcile_errors_total"] == {(): 1}
    told.forget(KEY)
    assert "contexredis_last_reconcile_timestamp_seconds" not in await series(told)


async def test_the_queue_is_asked_when_prometheus_asks() -> None:
    told = metrics()
    depth = 0
    told.watch_queue(
        depth=lambda: depth, oldest_wait_s=lambda: 2.5, longest_run_s=lambda: 0.5, is_watching=lambda: True
    )
    depth = 3
    found = await series(told)
    assert found["contexredis_operator_queue_depth"] == {(): 3}
    assert found["contexredis_operator_queue_oldest_wait_seconds"] == {(): 2.5}
    assert found["contexredis_operator_longest_run_seconds"] == {(): 0.5}
    assert found["contexredis_operator_watching"] == {(): 1}


async def test_the_queue_is_read_where_it_changes() -> None:
    told = metrics()
    threads: set[int] = set()

    def depth() -> int:
        threads.add(threading.get_ident())
        return 0

    told.watch_queue(
        depth=depth, oldest_wait_s=lambda: 0.0, longest_run_s=lambda: 0.0, is_watching=lambda: True
    )
    await told.text("")
    assert threads == {threading.get_ident()}


async def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    told = metrics()
    saw(told, whole())
    text, content_type = await told.text("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_no_metric_uses_a_label_that_a_scrape_adds() -> None:
    labels = {label for definition in LOOKED_AT for label in definition.labels}
    assert not labels & {"namespace", "pod", "node", "instance", "job", "container", "service", "endpoint"}
    names = [definition.name for definition in LOOKED_AT]
    assert len(names) == len(set(names))
