"""Who is master: exhaustively over small worlds, by what must hold in each of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from contex_operator.model import DataNode, Observed, Reach, SentinelNode
from contex_operator.topology import Topology, View, failover_blockers, judge, quorum_at_risk, reachable
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.world import (
    DATA,
    R0,
    R1,
    S0,
    S1,
    S2,
    SENTINELS,
    M,
    address_of,
    bare,
    gone,
    healthy,
    known_replica,
    master,
    pod_of,
    replica,
    sentinel,
    silent,
    snapshot,
)

SENTINEL_STATES: dict[str, Callable[[str], SentinelNode]] = {
    "names the master": lambda pod: sentinel(pod, M, 1),
    "names another": lambda pod: sentinel(pod, R0, 1),
    "names the master, lower epoch": lambda pod: sentinel(pod, M, 0),
    "names another, higher epoch": lambda pod: sentinel(pod, R0, 2),
    "bare": bare,
    "silent": silent,
    "tilt": lambda pod: sentinel(pod, M, 1, tilt=True),
    "s_down": lambda pod: sentinel(pod, M, 1, flags=frozenset({"master", "s_down"})),
}
MORE_SENTINEL_STATES = SENTINEL_STATES | {
    "refused": lambda pod: silent(pod, Reach.REFUSED),
    "bare and tilt": lambda pod: bare(pod, tilt=True),
    "o_down": lambda pod: sentinel(pod, M, 1, flags=frozenset({"master", "s_down", "o_down"})),
    "failover": lambda pod: sentinel(pod, M, 1, flags=frozenset({"master", "failover_in_progress"})),
}
DATA_STATES: dict[str, Callable[[str], DataNode]] = {
    "master": master,
    "replica": lambda pod: replica(pod, None),
    "silent": gone,
    "refused": lambda pod: gone(pod, Reach.REFUSED),
}


def check(world: Observed) -> Topology:
    """Judge the world and hold the judgement against the rules, written down independently of the code."""
    data, sentinels = world.data, world.sentinels
    topology = judge(world, sentinels=len(sentinels))
    majority = len(sentinels) // 2 + 1
    answering = [node for node in sentinels if node.reach is Reach.UP]
    monitoring = [node for node in answering if node.monitors]
    highest = max((node.config_epoch or 0 for node in monitoring), default=0)
    agreed = {
        address
        for address in {node.master_address for node in monitoring}
        if sum(n.master_address == address and n.config_epoch == highest for n in monitoring) >= majority
    }
    assert topology.majority == majority

    if len(answering) < majority:
        assert topology.view is View.MINORITY
    elif not monitoring:
        assert topology.view is View.BARE
    else:
        assert topology.view is (View.AGREED if agreed else View.SPLIT)

    if topology.view is View.AGREED:
        assert {topology.address} == agreed
        assert topology.epoch == highest
        assert topology.votes >= majority
    else:
        assert topology.address is None
        assert topology.master is None

    if topology.master is not None:
        assert topology.master.is_up
        assert topology.master.role == "master"
        assert topology.master.address in agreed
    elif agreed:
        assert not any(node.is_master and node.address in agreed for node in data), "a truth was not seen"

    saying_master = {node.pod for node in data if node.is_master}
    told = {node.pod for node in topology.second_masters} | (
        {topology.master.pod} if topology.master else set()
    )
    assert told == saying_master
    assert topology.master not in topology.second_masters

    busy = {"s_down", "o_down", "failover_in_progress"}
    troubled = any(n.tilt or n.flags & busy for n in answering) or len({*_views(monitoring)}) > 1
    if topology.view in (View.MINORITY, View.SPLIT) or (topology.view is View.AGREED and troubled):
        assert not topology.is_calm, "hands off was not said"
    else:
        assert topology.is_calm, topology.unrest
    return topology


def _views(monitoring: list[SentinelNode]) -> Iterator[tuple[str | None, int | None]]:
    return ((node.master_address, node.config_epoch) for node in monitoring)


def test_every_world_of_three_sentinels_and_three_data_nodes() -> None:
    data_worlds = [
        tuple(make(pod) for make, pod in zip(makes, DATA, strict=True))
        for makes in itertools.product(DATA_STATES.values(), repeat=3)
    ]
    snapshots = [snapshot(data) for data in data_worlds]
    truths = 0
    for makes in itertools.product(SENTINEL_STATES.values(), repeat=3):
        sentinels = tuple(make(pod) for make, pod in zip(makes, SENTINELS, strict=True))
        for empty in snapshots:
            truths += check(replace(empty, sentinels=sentinels)).master is not None
    assert truths > 1000, "hardly a world had a master: the states are not what they should be"


@given(
    st.lists(st.sampled_from(sorted(MORE_SENTINEL_STATES)), min_size=5, max_size=5),
    st.lists(st.sampled_from(sorted(DATA_STATES)), min_size=3, max_size=3),
)
def test_worlds_of_five_sentinels(states: list[str], nodes: list[str]) -> None:
    sentinels = tuple(MORE_SENTINEL_STATES[state](f"redis-sentinel-{i}") for i, state in enumerate(states))
    check(snapshot((DATA_STATES[state](pod) for state, pod in zip(nodes, DATA, strict=True)), sentinels))


@given(
    st.permutations(range(3)),
    st.lists(st.sampled_from(sorted(MORE_SENTINEL_STATES)), min_size=3, max_size=3),
)
def test_the_order_in_which_sentinels_are_asked_does_not_matter(order: list[int], states: list[str]) -> None:
    sentinels = [MORE_SENTINEL_STATES[state](pod) for state, pod in zip(states, SENTINELS, strict=True)]
    data = (master(), replica(R0), replica(R1))
    one = judge(snapshot(data, sentinels), sentinels=3)
    other = judge(snapshot(data, [sentinels[i] for i in order]), sentinels=3)
    assert (one.view, one.master, one.epoch, one.is_calm) == (
        other.view,
        other.master,
        other.epoch,
        other.is_calm,
    )


def test_a_sentinel_that_is_missing_from_the_snapshot_counts_as_silent() -> None:
    world = snapshot([master()], [sentinel(S0)])
    assert judge(world, sentinels=3).view is View.MINORITY


def test_a_majority_with_an_outdated_epoch_is_not_believed() -> None:
    world = snapshot(
        [master(), master(R0), replica(R1)],
        [sentinel(S0, M, 3), sentinel(S1, M, 3), sentinel(S2, R0, 4)],
    )
    topology = judge(world, sentinels=3)
    assert (topology.view, topology.master) == (View.SPLIT, None)
    assert topology.unrest is not None
    assert f"{address_of(R0)} at epoch 4 (1)" in topology.unrest


def test_the_same_address_at_two_epochs_is_no_majority() -> None:
    world = snapshot([master()], [sentinel(S0, M, 3), sentinel(S1, M, 2), bare(S2)])
    assert judge(world, sentinels=3).view is View.SPLIT


def test_a_named_node_that_is_still_a_replica_is_no_master() -> None:
    world = snapshot([master(), replica(R0), replica(R1)], [sentinel(s, R0, 1) for s in SENTINELS], status={})
    topology = judge(world, sentinels=3)
    assert topology.view is View.AGREED
    assert topology.master is None
    assert [node.pod for node in topology.second_masters] == [M]


def test_a_bare_sentinel_in_tilt_is_unrest_too() -> None:
    world = snapshot([master()], [sentinel(S0), sentinel(S1), bare(S2, tilt=True)])
    assert judge(world, sentinels=3).unrest == f"sentinel {S2} is in TILT"


def test_standalone_believes_the_one_that_answers_as_master() -> None:
    assert judge(snapshot([master()]), sentinels=0).master == master()
    assert judge(snapshot([replica(M)]), sentinels=0).master is None
    assert judge(snapshot([gone(M)]), sentinels=0).master is None


# --- would a crash heal by itself --------------------------------------------------------------------------------


def blockers(data: list[DataNode], sentinels: list[SentinelNode]) -> str | None:
    world = snapshot(data, sentinels)
    found = failover_blockers(world, judge(world, sentinels=3), sentinels=3)
    return found[0] if found else None


SYNCED = [master(), replica(R0), replica(R1)]
AGREED = [sentinel(s) for s in SENTINELS]


def test_a_healthy_set_would_heal() -> None:
    assert blockers(SYNCED, AGREED) is None


@pytest.mark.parametrize(
    ("data", "sentinels", "reason"),
    [
        (SYNCED, [sentinel(S0), silent(S1), silent(S2)], "QuorumLost"),
        (SYNCED, [bare(s) for s in SENTINELS], "SentinelsBare"),
        (SYNCED, [sentinel(S0, M, 1), sentinel(S1, R0, 1), silent(S2)], "SentinelsDisagree"),
        ([gone(M), replica(R0), replica(R1)], AGREED, "NoMaster"),
        ([master(), gone(R0), replica(R1, link_up=False)], AGREED, "NoReplicaInSync"),
        ([master(), replica(R0, syncing=True), replica(R1, loading=True)], AGREED, "NoReplicaInSync"),
    ],
)
def test_what_stands_in_the_way_of_a_failover(
    data: list[DataNode], sentinels: list[SentinelNode], reason: str
) -> None:
    assert blockers(data, sentinels) == reason


@pytest.mark.parametrize(
    "change",
    [
        {"quorum_ok": False},
        {"tilt": True},
        {"replicas": ()},
        {"replicas": (known_replica(R0, priority=0), known_replica(R1, priority=0))},
        {"replicas": (known_replica(R0, flags=frozenset({"slave", "s_down"})),)},
        {"replicas": (known_replica(R0, flags=frozenset({"slave", "disconnected"})),)},
    ],
)
def test_a_majority_has_to_see_a_quorum_and_a_replica_to_promote(change: dict[str, Any]) -> None:
    unable = [sentinel(S0, **change), sentinel(S1, **change), sentinel(S2)]
    assert blockers(SYNCED, unable) == "SentinelsNotReady"
    assert blockers(SYNCED, [sentinel(S0, **change), sentinel(S1), sentinel(S2)]) is None


def test_a_replica_that_sentinels_would_promote_but_that_is_not_in_sync_does_not_count() -> None:
    only_r1 = [sentinel(s, replicas=(known_replica(R1),)) for s in SENTINELS]
    assert blockers([master(), replica(R0), replica(R1, link_up=False)], only_r1) == "SentinelsNotReady"


def test_standalone_has_nobody_to_fail_over_to() -> None:
    world = snapshot([master()])
    found = failover_blockers(world, judge(world, sentinels=0), sentinels=0)
    assert found is not None
    assert found[0] == "Standalone"


# --- other questions ---------------------------------------------------------------------------------------------


def test_a_node_with_a_majority_of_the_sentinels_is_a_risk() -> None:
    spread = [pod_of(S0, node="a"), pod_of(S1, node="b"), pod_of(S2, node="c"), pod_of(M, node="a")]
    assert quorum_at_risk(healthy(pods=tuple(spread)), sentinels=3) is None
    together = [replace(pod, node="a") if pod.name == S1 else pod for pod in spread]
    assert quorum_at_risk(healthy(pods=tuple(together)), sentinels=3) == "a"
    assert quorum_at_risk(healthy(pods=tuple(together)), sentinels=0) is None


def test_unscheduled_sentinels_are_on_no_node() -> None:
    pending = tuple(pod_of(s, node=None) for s in SENTINELS)
    assert quorum_at_risk(healthy(pods=pending), sentinels=3) is None


def test_all_data_nodes_have_to_answer_before_data_are_compared() -> None:
    assert reachable(healthy())
    assert not reachable(snapshot([master(), replica(R0), gone(R1)]))
