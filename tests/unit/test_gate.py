"""The gate before anything is taken away: each thing that is asked, in a world where it alone is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from contex_operator.model import Observed, Replica
from contex_operator.procedures.gate import objection
from contex_operator.topology import judge

from tests.unit.world import (
    R0,
    R1,
    S0,
    S1,
    SENTINELS,
    M,
    address_of,
    healthy,
    known_replica,
    master,
    pod_of,
    replica,
    sentinel,
    silent,
)

SEEN = tuple(Replica(address=address_of(pod), online=True, offset=100, lag_s=0) for pod in (R0, R1))


def whole() -> Observed:
    return replace(healthy(), data=(master(replicas=SEEN), replica(R0), replica(R1)))


def ask(world: Observed, *, without: tuple[str, ...] = ()) -> str | None:
    return objection(world, judge(world, sentinels=3), without=without)


def with_pod(name: str, **fields: Any) -> Observed:
    world = whole()
    return replace(world, pods=tuple(pod_of(p.name, **fields) if p.name == name else p for p in world.pods))


def with_data(**fields: Any) -> Observed:
    return replace(whole(), data=(master(replicas=SEEN), replica(R0), replica(R1, **fields)))


def with_seen(**fields: Any) -> Observed:
    seen = (SEEN[0], replace(SEEN[1], **fields))
    return replace(whole(), data=(master(replicas=seen), replica(R0), replica(R1)))


def with_sentinel(**fields: Any) -> Observed:
    return replace(whole(), sentinels=(sentinel(S0, **fields), *(sentinel(s) for s in SENTINELS[1:])))


def with_known(**fields: Any) -> Observed:
    return with_sentinel(replicas=(known_replica(R0), known_replica(R1, **fields)))


def test_a_whole_set_is_green() -> None:
    assert ask(whole()) is None


WORLDS = {
    "a pod is not ready": (with_pod(R1, ready=False), f"{R1} is not ready"),
    "a pod is terminating": (with_pod(S0, terminating=True), f"{S0} is terminating"),
    "a pod is missing": (replace(whole(), pods=whole().pods[:-1]), f"{SENTINELS[2]} has no pod"),
    "a link is down": (with_data(link_up=False), f"{R1} is not in sync"),
    "a sync is in progress": (with_data(syncing=True), f"{R1} is not in sync"),
    "a replica of a replica": (with_data(master_address=address_of(R0)), f"{R1} follows another master"),
    "the append-only file fails": (with_data(aof_ok=False), f"{R1} could not write its append-only file"),
    "the master does not see it": (with_seen(online=False), f"{M} does not see {R1} online"),
    "it lags": (with_seen(lag_s=2), f"{R1} is 2 s behind"),
    "no quorum": (with_sentinel(quorum_ok=False), f"{S0} sees no quorum"),
    "a peer is unknown": (with_sentinel(peers=()), f"{S0} does not see {S1}"),
    "a peer is down": (with_sentinel(peers_down=(address_of(S1),)), f"{S0} does not see {S1}"),
    "a peer is silent": (
        with_sentinel(peers_silent_ms={address_of(S1): 2500}),
        f"{S1} does not answer {S0}",
    ),
    "a replica may not be promoted": (
        with_known(priority=0),
        f"{S0} does not see {R1} as a replica that it could promote",
    ),
    "a replica is silent": (with_known(silent_ms=2500), f"{R1} does not answer {S0}"),
    "a sentinel is silent": (
        replace(whole(), sentinels=(*whole().sentinels[:2], silent(SENTINELS[2]))),
        f"{SENTINELS[2]} does not monitor the master",
    ),
    "another move": (
        replace(whole(), resource={**whole().resource, "status": {"intent": {"procedure": "Switchover"}}}),
        "another move is under way",
    ),
}


@pytest.mark.parametrize("case", WORLDS)
def test_each_thing_that_is_missing_is_named(case: str) -> None:
    world, says = WORLDS[case]
    assert ask(world) == says


def test_nothing_is_asked_of_who_is_to_go() -> None:
    for case in ("a pod is not ready", "a link is down", "it lags", "a replica may not be promoted"):
        assert ask(WORLDS[case][0], without=(R1,)) is None
