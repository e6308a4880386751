"""A sentinel's memory: what it keeps, what it discards, and how it learns anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.component.gate.checks import says
from tests.component.gate.groups import Group
from tests.component.gate.pods import MASTER_NAME, REDIS_PORT, SENTINEL_PORT, Pod, as_fields, eventually


def conf_lines(pod: Pod, key: str) -> list[str]:
    text = (pod.data / "sentinel.conf").read_text()
    return [line for line in text.splitlines() if line.startswith(f"sentinel {key}")]


@pytest.fixture
def monitored(group: Group) -> Group:
    """Three sentinels at epoch 7 that monitor A, which runs without a gate; the third one is not started."""
    group.remember(group.data[0], epoch=7)
    group.start(*group.sentinels[:2])
    for sentinel in group.sentinels[:2]:
        eventually(f"{sentinel.name} names A", sentinel.master)
    return group


def test_a_sentinel_that_lost_its_file_learns_from_the_majority(monitored: Group) -> None:
    lost = monitored.sentinels[2]
    (lost.data / "sentinel.conf").unlink()
    with monitored.plain(monitored.data[0]):
        lost.start()
        assert eventually("it names A", lost.master) == (monitored.data[0].address, 7)
        says(lost, "monitoring redis-master-0")
        assert "2 of 3 sentinels name" in lost.state()
        # It uses the right passwords and is known under its old id.
        eventually(
            "it reaches A",
            lambda: lost.view()["flags"] == "master",
        )
        assert lost.ask("SENTINEL", "MYID") == lost.myid
        eventually(
            "the others count two more",
            lambda: [s.view()["num-other-sentinels"] for s in monitored.sentinels] == ["2", "2", "2"],
        )
        assert conf_lines(lost, "current-epoch") == ["sentinel current-epoch 7"]


def test_one_of_three_is_no_majority(monitored: Group) -> None:
    lost = monitored.sentinels[2]
    (lost.data / "sentinel.conf").unlink()
    monitored.sentinels[1].kill()
    lost.start()
    says(lost, "waiting, monitoring nothing: 1 of 3 sentinels remember a master")
    assert lost.master() is None
    monitored.sentinels[1].start()
    assert eventually("it names A", lost.master) == (monitored.data[0].address, 7)


def test_the_majority_is_counted_of_all_sentinels(new_group: Callable[..., Group]) -> None:
    group = new_group(sentinels=5)
    group.remember(group.data[0], epoch=7)
    lost = group.sentinels[4]
    (lost.data / "sentinel.conf").unlink()
    group.start(*group.sentinels[:2], lost)
    says(lost, "waiting, monitoring nothing: 2 of 5 sentinels remember a master")
    assert lost.master() is None
    group.start(group.sentinels[2])
    assert eventually("it names A", lost.master) == (group.data[0].address, 7)


def test_three_bare_ones_wait_and_the_last_learns_from_two_that_were_told(group: Group) -> None:
    a = group.data[0]
    first, second, third = group.sentinels
    group.start(*group.sentinels)
    for sentinel in group.sentinels:
        says(sentinel, "waiting, monitoring nothing: 0 of 3 sentinels remember a master, 2 monitor nothing")
        assert sentinel.master() is None
        assert sentinel.script("live-sentinel.sh")[0] == 0
    with group.plain(a):
        group.monitor(first, a)
        says(first, "monitoring: told so by command")
        says(second, "waiting, monitoring nothing: 1 of 3 sentinels remember a master, 1 monitor nothing")
        group.monitor(second, a)
        eventually("the third one names A", lambda: third.master() == (a.address, 0))
        says(third, "monitoring redis-master-0")
        eventually("it reaches A", lambda: third.view()["flags"] == "master")
        assert third.view()["quorum"] == "2"


def test_memory_is_kept(monitored: Group) -> None:
    """Also that of a file as Sentinel itself has rewritten it, with its odd quoting."""
    a, b, _ = monitored.data
    sentinel = monitored.sentinels[0]
    with monitored.plain(a), monitored.plain(b) as rb:
        rb.ask("REPLICAOF", a.address, REDIS_PORT)
        eventually("it sees B", lambda: sentinel.flags_of(b.address) == "slave")
        sentinel.ask("SENTINEL", "FLUSHCONFIG")
        for other in monitored.sentinels[1:]:
            other.kill()
        sentinel.kill()
        sentinel.start()
        assert eventually("it names A", sentinel.master) == (a.address, 7)
        says(sentinel, f"monitoring {a.label}, as remembered (epoch 7)")
        assert sentinel.flags_of(b.address) is not None
        assert sentinel.view()["num-other-sentinels"] == "2"
        assert conf_lines(sentinel, "leader-epoch") == [f"sentinel leader-epoch {MASTER_NAME} 7"]
        assert conf_lines(sentinel, "current-epoch") == ["sentinel current-epoch 7"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('announce-ip "127.', 'announce-ip "126.', "its address was 126."),
        ("monitor mymaster 127.", "monitor mymaster 126.", "its master 126."),
        ("known-replica mymaster 127.", "known-replica mymaster 126.", "its replica 126."),
        ("known-sentinel mymaster 127.", "known-sentinel mymaster 126.", "its sentinel 126."),
        (f" {REDIS_PORT} 2", " 6380 2", "its master 127."),
        ("sentinel myid ", "sentinel myid 00", "it is of another sentinel (myid 00"),
        ("sentinel monitor mymaster", "sentinel monitor another", "it monitors another, not mymaster"),
        ("sentinel config-epoch mymaster 7\n", "", "it is incomplete"),
        ("sentinel current-epoch 7\n", "", "it is incomplete"),
    ],
)
def test_memory_with_other_addresses_is_discarded(group: Group, old: str, new: str, why: str) -> None:
    group.remember(group.data[0], epoch=7)
    sentinel = group.sentinels[0]
    sentinel.edit(old, new)
    sentinel.start()
    says(sentinel, "waiting, monitoring nothing: 0 of 3 sentinels remember a master")
    assert any("the old sentinel.conf is not used: " + why in line for line in sentinel.opinions())
    assert sentinel.master() is None
    assert sentinel.ask("SENTINEL", "MYID") == sentinel.myid


def test_what_a_sentinel_promised_outlives_a_discarded_file(monitored: Group) -> None:
    """Else it could vote twice in one epoch."""
    lost = monitored.sentinels[2]
    lost.edit("known-replica mymaster 127.", "known-replica mymaster 126.")
    lost.edit("current-epoch 7", "current-epoch 12")
    lost.edit("leader-epoch mymaster 7", "leader-epoch mymaster 12")
    lost.start()
    assert eventually("it names A", lost.master) == (monitored.data[0].address, 7)
    assert conf_lines(lost, "current-epoch") == ["sentinel current-epoch 12"]
    assert conf_lines(lost, "leader-epoch") == [f"sentinel leader-epoch {MASTER_NAME} 12"]


@pytest.mark.parametrize("kind", ["cut", "cut in a word", "garbage", "empty", "no line end"])
def test_a_broken_file_does_not_keep_a_sentinel_down(monitored: Group, kind: str) -> None:
    broken = monitored.sentinels[2]
    path = broken.data / "sentinel.conf"
    text = path.read_text()
    replacement = {
        "cut": text[: text.index("sentinel config-epoch")].encode(),
        "cut in a word": text[: text.index("known-sentinel") + 30].encode(),
        "garbage": bytes(range(256)) * 20,
        "empty": b"",
        "no line end": text.rstrip("\n").encode(),
    }[kind]
    path.write_bytes(replacement)
    broken.start()
    assert eventually("it names A", broken.master) == (monitored.data[0].address, 7)
    assert broken.ask("SENTINEL", "MYID") == broken.myid


def test_memory_that_sentinel_refuses_is_dropped(monitored: Group) -> None:
    """All addresses are members', but the line comes twice: Sentinel ends with a fatal error."""
    broken = monitored.sentinels[2]
    line = conf_lines(broken, "known-replica")[0]
    broken.edit(line + "\n", line + "\n" + line + "\n")
    broken.start()
    assert eventually("it names A", broken.master) == (monitored.data[0].address, 7)
    assert any("does not start with what it remembered" in line for line in broken.opinions())


def test_settings_come_from_the_settings_file(monitored: Group) -> None:
    third = monitored.sentinels[2]
    monitored.settings |= {
        "QUORUM": 3,
        "DOWN_AFTER_MS": 4321,
        "FAILOVER_TIMEOUT_MS": 54321,
        "PARALLEL_SYNCS": 2,
    }
    monitored.write()
    third.start()
    eventually("it names A", third.master)
    fields = third.view()
    assert (fields["quorum"], fields["down-after-milliseconds"]) == ("3", "4321")
    assert (fields["failover-timeout"], fields["parallel-syncs"]) == ("54321", "2")


def test_it_announces_its_identity(monitored: Group) -> None:
    first, second, _ = monitored.sentinels
    with monitored.plain(monitored.data[0]):

        def seen() -> list[tuple[str, str, str]]:
            others = [as_fields(entry) for entry in second.ask("SENTINEL", "SENTINELS", MASTER_NAME)]
            return [
                (fields["ip"], fields["port"], fields["runid"])
                for fields in others
                if fields["flags"] == "sentinel"
            ]

        eventually(
            "the second one sees the first",
            lambda: (first.address, str(SENTINEL_PORT), first.myid) in seen(),
        )
