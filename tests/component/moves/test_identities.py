"""New addresses on real servers: who has one says so, and the others take it over."""

from __future__ import annotations

from typing import Any

from contex_operator.actions import Relink, SentinelAnnounce, SetConfig

from tests.component.moves.stage import Stage
from tests.workload.loopback import MASTER_NAME, Node, within


def beside(node: Node) -> str:
    """An address that nobody has."""
    return node.address.rsplit(".", 1)[0] + ".150"


def known(sentinel: Node, question: str) -> set[str]:
    entries: Any = sentinel.command(question, MASTER_NAME)
    return {str(entry["ip"]) for entry in entries}


def full_syncs(node: Node) -> int:
    info: Any = node.client.info("stats")
    return int(info["sync_full"])


async def test_a_replica_is_listed_under_its_new_address_after_it_was_cut_off_once(here: Stage) -> None:
    node, new = here.set.nodes[1], beside(here.set.nodes[1])
    run_id = here.member(node).run_id
    observed = await here.observe()
    syncs = full_syncs(here.set.nodes[0])
    values = {"replica-announce-ip": new}
    await here.carry_out(
        observed,
        [
            SetConfig(pod=node.name, address=node.address, run_id=run_id, values=values),
            Relink(pod=node.name, address=node.address, run_id=run_id),
        ],
    )

    def listed() -> set[str]:
        info = here.set.nodes[0].info()
        return {
            str(value["ip"]) for key, value in info.items() if key.startswith("slave") and key[5:].isdigit()
        }

    within(30, lambda: listed() == {new, here.set.nodes[2].address}, what="the master lists its new address")
    assert full_syncs(here.set.nodes[0]) == syncs, "it went on where it was"


async def test_a_sentinels_peers_take_its_new_address_from_its_hello(here: Stage) -> None:
    sentinel, new = here.set.sentinels[0], beside(here.set.sentinels[0])
    old = sentinel.address
    observed = await here.observe()
    # The command goes to where it listens: only what it says of itself is new here.
    await here.carry_out(observed, [SentinelAnnounce(pod=sentinel.name, address=old)])
    for peer in here.set.sentinels[1:]:
        assert old in known(peer, "SENTINEL SENTINELS")
    sentinel.command("SENTINEL CONFIG", "SET", "announce-ip", new)
    for peer in here.set.sentinels[1:]:
        within(
            30,
            lambda peer=peer: new in (seen := known(peer, "SENTINEL SENTINELS")) and old not in seen,  # type: ignore[misc]
            what=f"{peer.name} knows it at its new address only",
        )
