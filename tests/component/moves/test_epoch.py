"""The config-epoch after a cold start, on real sentinels: it rises, and nothing else changes."""

from __future__ import annotations

import time
from dataclasses import replace

from contex_operator.moves.epoch import raise_epoch

from tests.component.moves.audience import asking, judge
from tests.component.moves.stage import TIME, Stage
from tests.workload.checker import longest_gap
from tests.workload.loopback import MASTER_NAME, within


async def test_the_epoch_rises_and_nobody_notices(here: Stage) -> None:
    with asking(here) as writer:
        writer.wait_for_acks(50, within_s=30)
        began = time.monotonic()
        course = here.course(to=0)
        outcome = await here.run(raise_epoch(course, above=7, time=TIME), course.members)
        assert outcome.moved, outcome
        writer.wait_for_acks(50, within_s=30, after=time.monotonic())
        history = writer.stop()
    epochs = [int(s.command("SENTINEL MASTER", MASTER_NAME)["config-epoch"]) for s in here.set.sentinels]
    assert epochs == [8, 8, 8]
    assert here.roles() == ["master", "slave", "slave"]
    assert here.named() == {"node-0"}
    assert here.is_calm()
    assert longest_gap(history, since=began).seconds < 0.5
    assert judge(here, history).is_clean
    assert here.resource["status"]["votesCast"] == TIME
    here.set.nodes[0].kill()
    within(40, lambda: here.named() != {"node-0"}, what="Sentinel fails over by itself, if later")


async def test_the_same_master_under_a_new_address_is_made_known_and_nobody_notices(here: Stage) -> None:
    """Its Service had to be made with another address: it listens at both for a while, as over open connections."""
    node = here.set.nodes[0]
    old, new = node.address, node.address.rsplit(".", 1)[0] + ".150"
    node.command("CONFIG SET", "bind", f"{old} {new}")
    node.command("CONFIG SET", "replica-announce-ip", new)
    replid = node.info()["master_replid"]
    course = here.course(to=0)
    renamed = replace(course, new=replace(course.new, address=new))
    with asking(here) as writer:
        writer.wait_for_acks(50, within_s=30)
        began = time.monotonic()
        outcome = await here.run(raise_epoch(renamed, above=0, time=TIME), renamed.members)
        assert outcome.moved, outcome
        assert {here.set.named_master(s) for s in here.set.sentinels} == {new}
        within(
            30,
            lambda: all(
                n.info()["master_host"] == new and n.info()["master_link_status"] == "up"
                for n in here.set.nodes[1:]
            ),
            what="the replicas follow the new address",
        )
        writer.wait_for_acks(50, within_s=30, after=time.monotonic())
        history = writer.stop()
    assert node.info()["role"] == "master"
    assert node.info()["master_replid"] == replid, "it never stopped being the master"
    assert longest_gap(history, since=began).seconds < 0.5
    assert all(op.is_acked for op in history)
    epochs = [int(s.command("SENTINEL MASTER", MASTER_NAME)["config-epoch"]) for s in here.set.sentinels]
    assert epochs == [course.epoch + 1] * 3


async def test_an_address_that_not_all_sentinels_know_is_not_made_known(here: Stage) -> None:
    course = here.course(to=0)
    strange = replace(course.old, address=course.old.address.rsplit(".", 1)[0] + ".151")
    outcome = await here.run(raise_epoch(replace(course, old=strange), above=0, time=TIME), course.members)
    assert not outcome.moved
    assert here.resource["status"] == {}
    assert here.named() == {"node-0"}


async def test_no_epoch_is_raised_while_a_sentinel_is_not_calm(here: Stage) -> None:
    course = here.course(to=0)
    here.set.sentinels[2].kill()
    outcome = await here.run(raise_epoch(course, above=7, time=TIME), course.members)
    assert not outcome.moved
    assert here.resource["status"] == {}
