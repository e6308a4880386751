"""What servers answer, as the model's values. The files in replies/ were recorded from Redis and Sentinel 7.0.15.

The same questions are put to running servers in tests/component/test_redisio.py, so that the files do not grow old
unnoticed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from contex_operator.errors import RedisAnswer, RedisUnreachable, UnreachableKind
from contex_operator.model import DataNode, Holding, Reach, SentinelNode
from contex_operator.views import (
    canonical,
    data_node,
    identity_address,
    parse_info,
    parse_pairs,
    reach_of,
    sentinel_node,
)

REPLIES = Path(__file__).parent / "replies"
MASTER, REPLICAS = "127.88.1.1", ("127.88.2.1", "127.88.2.2")
PEERS = {"127.88.3.2", "127.88.3.3"}


def replies(name: str) -> list[Any]:
    """Recorded replies as redisio hands them on."""

    def one(reply: Any) -> Any:
        if isinstance(reply, dict):
            if "error" in reply:
                return RedisAnswer("127.88.1.1:6379", reply["error"])
            return "\r\n".join(reply["text"])
        return reply

    return [one(reply) for reply in json.loads((REPLIES / f"{name}.json").read_text())]


def data(name: str) -> DataNode:
    return data_node("redis-master-0", MASTER, replies(name))


def sentinel(name: str) -> SentinelNode:
    return sentinel_node("redis-sentinel-0", "127.88.3.1", replies(name))


# --- data nodes ---------------------------------------------------------------------------------------------------


def test_a_master() -> None:
    node = data("data-master")
    assert node.is_master
    assert not node.is_synced_replica
    assert (node.pod, node.address, node.reach) == ("redis-master-0", MASTER, Reach.UP)
    assert node.run_id == "fcee208a72edeac286adcc7600b9e08311c2d638"
    assert node.replid == "191ea6c646d1cc771d8af179ad8929647fa63a65"
    assert node.replid2 == "0" * 40
    assert node.offset == 2694
    assert node.master_address is None
    assert node.keys == 6
    assert node.priority == 100
    assert node.min_replicas == 1
    assert node.fork_offset == -1
    assert node.version == "7.0.15"
    assert (node.used_memory, node.maxmemory, node.maxclients) == (1633992, 104857600, 10000)
    assert node.errors == {"ERR": 1, "NOREPLICAS": 12}
    assert node.aof_ok
    assert [(r.address, r.online, r.offset, r.lag_s) for r in node.replicas] == [
        (address, True, 2694, 1) for address in REPLICAS
    ]
    assert node.holding == Holding(fresh=False, has_data=True, epoch=3, was_master=True)


def test_a_replica_in_sync() -> None:
    node = data("data-replica")
    assert node.is_synced_replica
    assert not node.is_master
    assert node.master_address == MASTER
    assert node.offset == 2694
    assert node.holding == Holding(fresh=True, has_data=False)
    assert node.replicas == ()


def test_a_replica_whose_master_is_away() -> None:
    node = data("data-replica-link-down")
    assert (node.role, node.link_up, node.is_synced_replica) == ("slave", False, False)
    assert node.master_address == MASTER


def test_a_pod_that_waits_at_the_start_gate() -> None:
    node = data("data-waiting")
    assert (node.role, node.master_address, node.priority, node.keys) == ("slave", "127.0.0.1", 0, 0)
    assert not node.is_synced_replica


def test_a_node_that_loads_its_data_answers() -> None:
    node = data("data-loading")
    assert node.is_up
    assert node.loading
    assert node.holding == Holding(fresh=False, has_data=True)


@pytest.mark.parametrize("code", ["NOAUTH", "WRONGPASS", "NOPERM"])
def test_a_node_that_refuses_our_password_is_denied_and_nothing_more_is_said(code: str) -> None:
    refused: Any = RedisAnswer("x", f"{code} no")
    node = data_node("redis-master-0", MASTER, [refused, refused])
    assert node == DataNode(pod="redis-master-0", address=MASTER, reach=Reach.DENIED)
    found = sentinel_node("redis-sentinel-0", "127.88.3.1", [refused] * 5)
    assert found == SentinelNode(pod="redis-sentinel-0", address="127.88.3.1", reach=Reach.DENIED)


def test_what_is_no_redis_is_unknown() -> None:
    """A sentinel answers INFO too, and has no role."""
    node = data("sentinel-asked-as-redis")
    assert node == DataNode(pod="redis-master-0", address=MASTER, reach=Reach.OTHER)


@pytest.mark.parametrize(
    ("path", "holding"),
    [
        ("/run/contex-redis/fresh/redis.conf", Holding(fresh=True, has_data=False)),
        ("/run/contex-redis/emptied/redis.conf", Holding(fresh=False, has_data=False)),
        ("/run/contex-redis/intact/redis.conf", Holding(fresh=False, has_data=True)),
        (
            "/run/contex-redis/intact-e12-replica/redis.conf",
            Holding(fresh=False, has_data=True, epoch=12, was_master=False),
        ),
        (
            "/run/contex-redis/intact-e0-master/redis.conf",
            Holding(fresh=False, has_data=True, epoch=0, was_master=True),
        ),
        ("/etc/redis/redis.conf", None),
        ("/run/contex-redis/intact-e-master/redis.conf", None),
        ("", None),
    ],
)
def test_what_a_pod_held_at_its_start_stands_in_the_path_of_its_configuration(
    path: str, holding: Holding | None
) -> None:
    info = f"role:slave\r\nconfig_file:{path}\r\n"
    assert data_node("redis-master-0", MASTER, [info, [], []]).holding == holding


def test_a_valkey_has_a_version_of_its_own() -> None:
    info = "redis_version:7.2.4\r\nvalkey_version:8.1.1\r\nrole:master\r\n"
    assert data_node("redis-master-0", MASTER, [info, [], []]).version == "8.1.1"


def test_a_diskless_load_and_a_broken_append_only_file_show() -> None:
    info = "role:slave\r\nasync_loading:1\r\nmaster_sync_in_progress:1\r\naof_last_write_status:err\r\n"
    info += "used_memory:3000000\r\nmem_not_counted_for_evict:1000000\r\n"
    node = data_node("redis-master-0", MASTER, [info, [], []])
    assert (node.loading, node.syncing, node.aof_ok) == (True, True, False)
    assert node.used_memory == 2_000_000


# --- sentinels ----------------------------------------------------------------------------------------------------


def test_a_sentinel_that_sees_everything() -> None:
    node = sentinel("sentinel-whole")
    assert node.is_up
    assert node.monitors
    assert (node.master_address, node.config_epoch) == (MASTER, 0)
    assert node.flags == {"master"}
    assert {(r.address, r.priority, r.is_promotable, r.link_up) for r in node.replicas} == {
        (address, 100, True, True) for address in REPLICAS
    }
    assert all(r.offset > 0 for r in node.replicas)
    assert set(node.peers) == PEERS
    assert node.peers_down == ()
    assert node.settings == {
        "quorum": 2,
        "down-after-milliseconds": 1000,
        "failover-timeout": 5000,
        "parallel-syncs": 1,
    }
    assert node.quorum_ok
    assert not node.tilt


def test_a_sentinel_without_its_peers_has_no_quorum() -> None:
    node = sentinel("sentinel-alone")
    assert set(node.peers_down) == PEERS == set(node.peers)
    assert not node.quorum_ok
    assert node.flags == {"master"}


def test_a_sentinel_that_sees_the_master_down() -> None:
    assert sentinel("sentinel-master-down").flags == {"s_down", "master", "disconnected"}


def test_a_bare_sentinel_answers_and_monitors_nothing() -> None:
    assert sentinel("sentinel-bare") == SentinelNode(
        pod="redis-sentinel-0", address="127.88.3.1", reach=Reach.UP, monitors=False
    )


def test_what_is_no_sentinel_is_not_taken_for_a_bare_one() -> None:
    assert sentinel("redis-asked-as-sentinel").reach is Reach.OTHER


def test_a_sentinel_that_answers_half_is_not_taken_for_a_bare_one() -> None:
    broken = replies("sentinel-whole")
    broken[0] = broken[4] = RedisAnswer("x", "BUSY a script runs")
    assert sentinel_node("redis-sentinel-0", "127.88.3.1", broken).reach is Reach.OTHER


def test_tilt() -> None:
    tilted = replies("sentinel-whole")
    tilted[4] = tilted[4].replace("sentinel_tilt:0", "sentinel_tilt:1")
    assert sentinel_node("redis-sentinel-0", "127.88.3.1", tilted).tilt


def test_a_replica_that_sentinel_would_not_promote() -> None:
    def promotable(word: str, value: str) -> set[bool]:
        changed = replies("sentinel-whole")
        for entry in changed[1]:
            entry[entry.index(word) + 1] = value
        node = sentinel_node("redis-sentinel-0", "127.88.3.1", changed)
        return {r.is_promotable for r in node.replicas}

    assert promotable("slave-priority", "0") == {False}
    assert promotable("flags", "s_down,slave,disconnected") == {False}
    assert promotable("slave-priority", "1") == {True}


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reach"),
    [
        ("refused", Reach.REFUSED),
        ("timeout", Reach.TIMEOUT),
        ("closed", Reach.CLOSED),
        ("other", Reach.OTHER),
    ],
)
def test_how_a_question_ended(kind: UnreachableKind, reach: Reach) -> None:
    assert reach_of(RedisUnreachable("x", kind, "…")) is reach


@pytest.mark.parametrize(
    ("reply", "reach"),
    [
        ("NOAUTH Authentication required.", Reach.DENIED),
        ("WRONGPASS invalid username-password pair", Reach.DENIED),
        ("LOADING Redis is loading", Reach.OTHER),
        ("ERR max number of clients reached", Reach.OTHER),
    ],
)
def test_what_an_error_reply_says(reply: str, reach: Reach) -> None:
    assert reach_of(RedisAnswer("x", reply)) is reach


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("10.96.0.1", "10.96.0.1"),
        ("fd00:0:0:0:0:0:0:1", "fd00::1"),
        ("FD00::0001", "fd00::1"),
        ("redis-0.redis", "redis-0.redis"),
        ("", ""),
    ],
)
def test_addresses_have_one_spelling(written: str, address: str) -> None:
    assert canonical(written) == address


def test_the_identity_is_the_services_cluster_ip() -> None:
    assert identity_address({"spec": {"clusterIP": "fd00:0::1"}}) == "fd00::1"
    nothing: list[dict[str, Any] | None] = [None, {}, {"spec": {}}]
    for none in [*nothing, {"spec": {"clusterIP": ""}}, {"spec": {"clusterIP": "None"}}]:
        assert identity_address(none) is None


def test_info_and_pairs_of_anything_else_are_empty() -> None:
    assert parse_info("# Server\r\na:1\r\nb:2:3\r\n\r\nno pair\r\n") == {"a": "1", "b": "2:3"}
    assert parse_pairs(["a", "1", "b", 2, "odd"]) == {"a": "1", "b": "2"}
    for other in (None, 7, RedisAnswer("x", "ERR no")):
        assert parse_info(other) == {}
        assert parse_pairs(other) == {}
