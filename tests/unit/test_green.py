"""What counts as green: each thing alone that is not as it should be is seen, and said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.support.green import judge_api, judge_nodes, judge_sentinels

M, R0, R1 = "redis-master-0", "redis-replica-0", "redis-replica-1"
DATA = (M, R0, R1)
ADDRESSES = {"10.0.0.1": M, "10.0.0.2": R0, "10.0.0.3": R1}
REPLICA = {
    "role": "slave",
    "master_host": "10.0.0.1",
    "master_link_status": "up",
    "master_sync_in_progress": 0,
}
VIEW = {
    "ip": "10.0.0.1",
    "flags": "master",
    "num-slaves": "2",
    "num-other-sentinels": "2",
    "config-epoch": "7",
    "ckquorum": "OK 3 usable Sentinels.",
}


def world() -> dict[str, Any]:
    return {
        "infos": {M: {"role": "master"}, R0: dict(REPLICA), R1: dict(REPLICA)},
        "views": {f"redis-sentinel-{i}": dict(VIEW) for i in range(3)},
        "pods": {
            pod: {"metadata": {"labels": {"redis.contex.io/role": "master" if pod == M else "replica"}}}
            for pod in DATA
        },
        "service": {"spec": {"selector": {"statefulset.kubernetes.io/pod-name": M}}},
        "resource": {
            "metadata": {"generation": 3},
            "status": {
                "observedGeneration": 3,
                "master": {"pod": M},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        },
    }


def wrong(this: dict[str, Any]) -> list[str]:
    master, found = judge_nodes(this["infos"], by_address=ADDRESSES)
    found += judge_sentinels(this["views"], by_address=ADDRESSES, master=master, replicas=2)
    return found + judge_api(this["pods"], this["service"], this["resource"], data=DATA, master=master)


def test_a_whole_world_is_green() -> None:
    assert wrong(world()) == []


def put(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(this: dict[str, Any]) -> None:
        at = this
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("infos", R0, value="TimeoutError"), "redis-replica-0 does not answer"),
        (put("infos", R0, "role", value="master"), "2 nodes say master"),
        (put("infos", M, value=dict(REPLICA)), "0 nodes say master"),
        (put("infos", R0, "master_host", value="10.0.0.3"), "follows redis-replica-1, not redis-master-0"),
        (put("infos", R0, "master_link_status", value="down"), "the link of redis-replica-0"),
        (put("infos", R0, "master_sync_in_progress", value=1), "is copying"),
        (put("views", "redis-sentinel-1", value="ConnectionError"), "redis-sentinel-1 does not answer"),
        (put("views", "redis-sentinel-1", "ip", value="10.0.0.2"), "names redis-replica-0"),
        (put("views", "redis-sentinel-1", "flags", value="master,s_down"), "for master,s_down"),
        (put("views", "redis-sentinel-1", "num-slaves", value="3"), "knows 3 replicas of 2"),
        (put("views", "redis-sentinel-1", "num-other-sentinels", value="3"), "3 other sentinels of 2"),
        (put("views", "redis-sentinel-1", "config-epoch", value="8"), "epochs differ: 7, 8"),
        (put("views", "redis-sentinel-1", "ckquorum", value="NOQUORUM 1"), "NOQUORUM"),
        (put("pods", R0, "metadata", "labels", value={}), "label of redis-replica-0 says None"),
        (put("service", "spec", "selector", value={}), "Service leads to None"),
        (put("resource", "status", "master", value={"pod": R0}), "status names redis-replica-0"),
        (put("resource", "status", "conditions", value=[]), "Ready is not True"),
        (put("resource", "status", "observedGeneration", value=2), "newest spec"),
    ],
)
def test_each_wrong_thing_alone_is_seen(change: Callable[[dict[str, Any]], None], said: str) -> None:
    this = world()
    change(this)
    assert any(said in sentence for sentence in wrong(this)), wrong(this)
