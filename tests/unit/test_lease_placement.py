"""A leader beside a master gives the Lease away: to whom, when, and when not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from contex_operator.lease import Placement
from contex_operator.lease.placement import LOOKS, better_node, standby_nodes


@pytest.mark.parametrize(
    ("masters", "standbys", "expected"),
    [
        (["node1"], ["node2"], "node2"),
        (["node1"], ["node3", "node2"], "node2"),
        (["node1", "node2"], ["node2", "node3"], "node3"),
        (["node1", "node2"], ["node2"], None),  # it would only come back
        (["node1"], ["node1"], None),
        (["node1"], [], None),
        (["node2"], ["node2", "node3"], None),
        ([], ["node2"], None),
    ],
)
def test_to_a_standby_whose_node_carries_no_master(
    masters: list[str], standbys: list[str], expected: str | None
) -> None:
    assert better_node("node1", masters=masters, standbys=standbys) == expected


def pod(name: str, node: str | None, *, ready: bool = True, leaving: bool = False) -> Mapping[str, Any]:
    metadata = {"name": name} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else {})
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return {"metadata": metadata, "spec": {"nodeName": node} if node else {}, "status": status}


def test_only_pods_that_are_ready_and_stay_stand_by() -> None:
    pods = [
        pod("me", "node1"),
        pod("other", "node2"),
        pod("unready", "node3", ready=False),
        pod("leaving", "node4", leaving=True),
        pod("pending", None),
    ]
    assert standby_nodes(pods, own_pod="me") == ["node2"]


class World:
    def __init__(self) -> None:
        self.masters: tuple[str, ...] = ("node1",)
        self.pods: list[Mapping[str, Any]] = [pod("me", "node1"), pod("other", "node2")]
        self.asked = self.stepped_aside = 0
        self.placement = Placement(
            own_node="node1",
            own_pod="me",
            pods=self._list,
            masters=lambda: self.masters,
            step_aside=self._step_aside,
        )

    async def _list(self) -> Iterable[Mapping[str, Any]]:
        self.asked += 1
        return self.pods

    def _step_aside(self) -> None:
        self.stepped_aside += 1


async def test_it_is_given_away_after_some_equal_findings() -> None:
    world = World()
    found = [await world.placement.look() for _ in range(LOOKS)]
    assert found == [False] * (LOOKS - 1) + [True]
    assert world.stepped_aside == 1


async def test_a_finding_that_changes_begins_anew() -> None:
    world = World()
    for _ in range(LOOKS - 1):
        await world.placement.look()
    world.masters = ("node2",)
    assert not await world.placement.look()
    world.masters = ("node1",)
    assert [await world.placement.look() for _ in range(LOOKS)][-1]
    assert world.stepped_aside == 1


async def test_a_leader_elsewhere_asks_nobody() -> None:
    world = World()
    world.masters = ("node2", "node3")
    assert not await world.placement.look()
    assert world.asked == 0
