"""Damage below the operator's eyes: identities, files, disks, slow loads, two of three nodes (F22 … F68)."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.e2e.conftest import CreateContexRedis
from tests.e2e.support.clients import PLANNED_S, Clients, StartWriters, check_gaps, unplanned
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually, never
from tests.e2e.support.green import wait_green
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command
from tests.e2e.test_crash import CRASH_S, NOISE_S
from tests.e2e.test_moves import ASSISTED_S, ask_for_switchover
from tests.e2e.test_rollout import condition, uids
from tests.e2e.test_settled import only_identities_are_announced

LINKED_WITHIN_S = 30.0  # F22
REFORM_S = 40.0
RECOVERS_S = 60.0  # Sentinel waits for down-after and two periods of INFO, 20 s, before it believes it


def replication(redis_set: RedisSet, pod: str) -> dict[str, Any]:
    found: dict[str, Any] = command(redis_set.node(pod), "INFO", "replication")
    return found


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True"


@pytest.mark.slow
def test_f22_f50_f65_a_deleted_identity_and_a_stale_master_address_are_mended(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    master = redis_set.wait_master()
    clients = Clients(redis_set, writers)
    first = next(pod for pod in redis_set.data_pods() if pod != master)
    began = time.monotonic()
    # The Services that are the pods' addresses, deleted by hand: each comes back with the address that it had.
    before = {}
    for pod in (master, first, redis_set.sentinel_pods()[0]):
        before[pod] = cluster.get("service", pod, namespace)
    cluster.kubectl("delete", "service", *before, "-n", namespace)

    def returned() -> bool:
        for pod, old in before.items():
            new = cluster.find("service", pod, namespace)
            if new is None or new["metadata"]["uid"] == old["metadata"]["uid"]:
                return False
            assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"], f"{pod} has another address"
        return True

    eventually(returned, within_s=30, describe="the Services are back with their addresses")
    print(f"identities were back after {time.monotonic() - began:.2f} s")
    wait_green(redis_set, within_s=60)
    clients.all_write()
    # A replica that follows an address of yesterday: nobody is there.
    master = redis_set.wait_master()
    stray = next(pod for pod in redis_set.data_pods() if pod != master)
    began_stray = time.monotonic()
    command(redis_set.node(stray), "REPLICAOF", "198.51.100.1", "6379")
    assert replication(redis_set, stray)["master_host"] == "198.51.100.1"
    eventually(
        lambda: redis_set.conditions()["Ready"]["status"] == "False",
        within_s=20,
        describe="the resource is not Ready meanwhile",
    )
    eventually(
        lambda: replication(redis_set, stray)["master_link_status"] == "up",
        within_s=LINKED_WITHIN_S + NOISE_S,
        describe=f"{stray} is linked to the master again",
        passing=UNREACHABLE,
    )
    print(f"the stray was linked again after {time.monotonic() - began_stray:.2f} s")
    wait_green(redis_set, within_s=60)
    only_identities_are_announced(redis_set)
    # New members announce their identities, too.
    cluster.kubectl("scale", "contexredis", "redis", "--replicas=3", "-n", namespace)
    wait_green(redis_set, within_s=90)
    only_identities_are_announced(redis_set)
    clients.judge(since=began, gap_s=unplanned(CRASH_S + NOISE_S))


@pytest.mark.slow
def test_f23_all_pods_are_replicas_and_one_is_promoted_again(
    contexredis: CreateContexRedis, writers: StartWriters
) -> None:
    """Somebody's hand makes the master a replica of its own replica: nobody takes writes."""
    redis_set = contexredis()
    master = redis_set.wait_master()
    clients = Clients(redis_set, writers)
    other = next(pod for pod in redis_set.data_pods() if pod != master)
    at = time.monotonic()
    command(redis_set.node(master), "REPLICAOF", redis_set.address(other), "6379")
    assert "master" not in redis_set.roles().values()
    new = redis_set.wait_master(within_s=RECOVERS_S)
    print(f"{new} is master {time.monotonic() - at:.1f} s after {master} was made a replica")
    wait_green(redis_set, within_s=90)
    clients.judge(since=at, gap_s=unplanned(RECOVERS_S))


@pytest.mark.slow
@pytest.mark.laboratory
def test_f27_a_master_that_loads_for_long_is_replaced_and_serves_nobody_meanwhile(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    master = redis_set.wait_master()
    node: Any = redis_set.node(master)
    with node.pipeline(transaction=False) as pipe:
        for number in range(4000):
            pipe.set(f"key:{number}", number)
        pipe.execute()
    # From here on whoever loads takes 3 ms for a key: 12 s at least.
    redis_set.configure(config={"key-load-delay": 3000, "loading-process-events-interval-bytes": 1024})
    eventually(
        lambda: (
            {str(command(n, "CONFIG GET", "key-load-delay")[1]) for n in redis_set.nodes().values()}
            == {"3000"}
        ),
        within_s=30,
        describe="loading is slow",
    )
    redis_set.wait_ready(within_s=60)
    clients = Clients(redis_set, writers)
    restarts = _restarts(redis_set, master)
    at = time.monotonic()
    cluster.kill_redis(namespace, master)
    new = redis_set.wait_master(other_than=master)
    eventually(lambda: _restarts(redis_set, master) > restarts, within_s=30, describe=f"{master} restarts")

    def loads() -> bool:
        # Its port is closed: nobody can mistake it for somebody who knows.
        assert redis_set.roles()[master] != "master"
        return not is_ready(redis_set.pods()[master])

    eventually(loads, within_s=15, describe=f"{master} is not ready")
    unready_since = time.monotonic()
    eventually(lambda: not loads(), within_s=120, describe=f"{master} has loaded")
    loaded = time.monotonic()
    print(f"{master} was ready again {loaded - at:.1f} s after it was killed")
    assert loaded - at >= 12.0, "it did not load for long: this test is blind"
    assert loaded > unready_since
    assert redis_set.master() == new
    redis_set.wait_ready(within_s=60)
    clients.judge(since=at, gap_s=unplanned(ASSISTED_S))


def _restarts(redis_set: RedisSet, pod: str) -> int:
    statuses = redis_set.pods()[pod]["status"].get("containerStatuses") or [{"restartCount": 0}]
    return int(statuses[0]["restartCount"])


@pytest.mark.slow
@pytest.mark.laboratory
def test_f42_a_rewritten_configuration_file_does_not_survive_a_restart(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    """CONFIG REWRITE by hand, after changes by hand: what counts at the next start is the spec."""
    redis_set = contexredis(
        config={"slowlog-max-len": 64, "client-output-buffer-limit": "pubsub 32mb 8mb 60"}
    )
    redis_set.wait_settled()
    pod = next(name for name in redis_set.data_pods() if name != redis_set.wait_master())
    node = redis_set.node(pod)

    def conf() -> list[str]:
        path = str(command(node, "INFO", "server")["config_file"])
        return cluster.kubectl("exec", pod, "-n", namespace, "--", "cat", path).splitlines()

    before = conf()
    for _ in range(3):
        command(node, "CONFIG SET", "latency-monitor-threshold", "77")
        command(node, "CONFIG SET", "save", "60 1")
        assert command(node, "CONFIG REWRITE") in (True, "OK")
    rewritten = conf()
    assert rewritten != before
    assert any(line.startswith("latency-monitor-threshold 77") for line in rewritten)
    restarts = _restarts(redis_set, pod)
    cluster.kill_redis(namespace, pod)
    eventually(lambda: _restarts(redis_set, pod) > restarts, within_s=30, describe=f"{pod} restarts")
    redis_set.wait_ready(within_s=90)
    after = conf()
    names = [line.split()[0] for line in after if line and not line.startswith("#")]
    assert "save" not in names
    assert "latency-monitor-threshold" not in names
    twice = {name for name in names if names.count(name) > 1 and name not in ("include",)}
    assert not twice, f"{twice} more than once in {after}"
    shown = {
        n: str(command(node, "CONFIG GET", n)[1])
        for n in ("latency-monitor-threshold", "save", "slowlog-max-len")
    }
    assert shown == {"latency-monitor-threshold": "0", "save": "", "slowlog-max-len": "64"}
    redis_set.wait_settled()


@pytest.mark.slow
@pytest.mark.laboratory
def test_f55_a_full_volume_is_said_and_loses_nothing(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    assert cluster.lab is not None
    redis_set = contexredis()
    master = redis_set.wait_master()
    clients = Clients(redis_set, writers)
    with cluster.lab.faults.fill_disk(namespace, master, volume="data"):
        # What is refused is refused in words, and nothing is acknowledged that is not written down.
        eventually(
            lambda: "MISCONF" in str(clients.ops("kept")[-1].reason),
            within_s=60,
            describe="writes are refused with MISCONF",
        )
        eventually(
            lambda: condition(redis_set, "Degraded")[:2] == ("True", "WritesRefused"),
            within_s=30,
            describe="Degraded says so",
        )
        message = condition(redis_set, "Degraded")[2]
        assert master in message
        assert "volume" in message
        assert condition(redis_set, "Ready")[0] == "False"
        assert command(redis_set.node(master), "DBSIZE") > 0, "reads are served"
        eventually(
            lambda: [
                event
                for event in cluster.items("events", namespace)
                if event["type"] == "Warning" and event["reason"] == "Degraded" and master in event["note"]
            ],
            within_s=15,
            describe="a Warning event says so",
        )
    redis_set.wait_ready(within_s=90)
    assert condition(redis_set, "Degraded")[0] == "False"
    clients.judge(since=time.monotonic())


@pytest.mark.slow
@pytest.mark.node_fault
def test_f17_f67_f68_two_of_three_nodes_die_at_once_and_all_comes_back_without_help(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster
) -> None:
    """Two sentinels, the master and a replica die with them. Nobody may be promoted by the one sentinel that is left,
    and what was acknowledged is there when the nodes are back.
    """
    assert cluster.lab is not None
    redis_set = contexredis()
    master = redis_set.wait_master()
    clients = Clients(redis_set, writers)
    node = redis_set.node_of(master)
    other = next(redis_set.node_of(pod) for pod in redis_set.data_pods() if redis_set.node_of(pod) != node)
    survivor = next(pod for pod in redis_set.data_pods() if redis_set.node_of(pod) not in (node, other))
    with ExitStack() as off:
        for each in (node, other):
            off.enter_context(cluster.lab.faults.power_off(each))
        # The survivor is no majority: it stays what it is, whatever happens to the operator.
        never(
            lambda: redis_set.roles()[survivor] == "master",
            for_s=15,
            describe=f"{survivor} is promoted by one sentinel of three",
        )
    back = time.monotonic()
    redis_set.wait_ready(within_s=180)
    print(f"Ready {time.monotonic() - back:.1f} s after the nodes were switched on")
    history = clients.end(within_s=60)
    verdict = redis_set.judge(history, within_s=60)
    print(verdict.sentence())
    found = (verdict.diverged, verdict.resurrected, verdict.duplicated, verdict.two_masters)
    assert not any(found), verdict.sentence()
    # A power-off takes what was under way; the survivor has the rest.
    assert len(verdict.lost) <= 10, verdict.sentence()
    wait_green(redis_set, within_s=30)


@pytest.mark.slow
def test_f68_two_of_three_pods_of_each_kind_are_lost_at_once(
    contexredis: CreateContexRedis, writers: StartWriters, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    master = redis_set.wait_master()
    clients = Clients(redis_set, writers)
    gone = [master, next(pod for pod in redis_set.data_pods() if pod != master)]
    gone += redis_set.sentinel_pods()[:2]
    before = uids(redis_set)
    at = time.monotonic()
    cluster.kubectl("delete", "pod", *gone, "-n", namespace, "--force", "--grace-period=0", "--wait=false")
    eventually(
        lambda: {pod for pod, uid in uids(redis_set).items() if before[pod] != uid} == {*gone},
        within_s=60,
        describe="they are made anew",
        passing=UNREACHABLE,
    )
    wait_green(redis_set, within_s=90)
    print(f"green {time.monotonic() - at:.1f} s after the loss")
    history = clients.end()
    verdict = redis_set.judge(history, within_s=60)
    assert verdict.is_clean, verdict.sentence()
    check_gaps(history, since=at, gap_s=unplanned(REFORM_S))
    only_identities_are_announced(redis_set)


@pytest.mark.slow
def test_f52_readers_of_a_demoted_master_are_sent_away(
    contexredis: CreateContexRedis, writers: StartWriters
) -> None:
    """Who only reads never meets READONLY: unless its connection is closed it reads yesterday's data for ever."""
    redis_set = contexredis()
    clients = Clients(redis_set, writers)
    old = redis_set.wait_master()
    reader = redis.Redis(
        host=redis_set.address(redis_set.children.master),
        password=redis_set.password,
        socket_timeout=5,
        single_connection_client=True,
        retry=Retry(NoBackoff(), 0),
    )
    assert b"role:master" in _info(reader)
    at = time.monotonic()
    ask_for_switchover(redis_set)
    new = redis_set.wait_master(other_than=old)

    def sent_away() -> bool:
        try:
            _info(reader)
        except redis.ConnectionError:
            return True
        return False

    eventually(sent_away, within_s=5.0 + NOISE_S, every_s=0.05, describe="the reader's connection is closed")
    print(f"the reader was sent away {time.monotonic() - at:.2f} s after the request")
    reader.close()
    history = clients.end()
    for client, bound in (("kept", 1.7 + NOISE_S), ("kept-patient", 1.7 + NOISE_S), ("fresh", 1.7 + NOISE_S)):
        refusals = [op for op in history if op.client == client and "READONLY" in str(op.reason)]
        print(f"{client}: {len(refusals)} READONLY")
        if refusals:
            assert refusals[-1].completed - refusals[0].invoked <= bound, client
    verdict = redis_set.judge(history)
    assert verdict.is_clean, verdict.sentence()
    check_gaps(history, since=at, gap_s=PLANNED_S)
    assert redis_set.master() == new


def _info(client: redis.Redis) -> bytes:
    client.connection.send_command("INFO", "replication")  # type: ignore[union-attr]
    answer: bytes = client.connection.read_response()  # type: ignore[union-attr]
    return answer
