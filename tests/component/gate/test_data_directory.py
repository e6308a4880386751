"""What lies on the volume, and what a pod makes of it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from tests.component.gate.checks import has_said, never_promoted, says
from tests.component.gate.groups import Group
from tests.component.gate.pods import Pod, eventually


def damage(pod: Pod) -> Path:
    """Overwrites the middle of the base file; a truncated tail alone would be repaired by Redis."""
    base = next(pod.data.glob("appendonlydir/*.base.*"))
    content = bytearray(base.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = b"\xff" * 40
    base.write_bytes(bytes(content))
    return base


def rewrite_base(pod: Pod) -> None:
    """Moves all keys into the base file."""
    pod.ask("BGREWRITEAOF")
    eventually("the rewrite ends", lambda: pod.info()["aof_rewrite_in_progress"] == 0)


def test_a_named_pod_with_damaged_data_lets_another_take_over_and_then_follows(group: Group) -> None:
    group.form()
    a, b, c = group.data
    before = group.keys(a)
    rewrite_base(a)
    a.kill()
    broken = damage(a).read_bytes()
    a.start()
    says(a, "waiting with a closed port: 3 of 3 sentinels name redis-master-0")
    assert "its data are damaged" in a.state()
    assert a.server_pid() == 0
    assert a.script("live-redis.sh")[0] == 0
    assert not a.is_ready()
    assert not (a.data / "set-aside").exists()
    group.hurry()
    group.wait_ready(a, b, c)
    assert never_promoted(a)
    assert group.keys(a) == group.keys(b) == group.keys(c) == before
    assert broken in [path.read_bytes() for path in (a.data / "set-aside").rglob("*.base.*")]
    assert a.info()["config_file"].endswith("/emptied/redis.conf")


def test_one_earlier_copy_is_kept_at_most(group: Group) -> None:
    group.form()
    b = group.data[1]
    for _ in range(2):
        rewrite_base(b)
        b.kill()
        broken = damage(b).read_bytes()
        b.start()
        group.wait_ready(b)
        group.wait_written(b)
        copies = [path.read_bytes() for path in b.data.rglob("*.base.*") if "set-aside" in str(path)]
        assert copies == [broken]
        assert {path.name for path in b.data.iterdir()} - {"dump.rdb"} == {
            "appendonlydir",
            "contex-initialised",
            "contex-state",
            "set-aside",
        }


def test_a_half_copy_does_not_push_out_the_earlier_one(group: Group) -> None:
    group.form()
    b = group.data[1]
    rewrite_base(b)
    b.kill()
    (b.data / "set-aside" / "appendonlydir").mkdir(parents=True)
    earlier = b.data / "set-aside" / "appendonlydir" / "appendonly.aof.1.base.rdb"
    earlier.write_text("the earlier copy")
    (b.data / "contex-unsynced").write_text("emptied\n")
    damage(b)
    b.start()
    group.wait_ready(b)
    assert earlier.read_text() == "the earlier copy"


def test_damaged_data_and_nobody_to_ask(group: Group) -> None:
    a = group.data[0]
    group.give_data(a)
    with group.plain(a, directory=a.data) as client:
        client.ask("BGREWRITEAOF")
        eventually("the rewrite ends", lambda: client.info()["aof_rewrite_in_progress"] == 0)
    damage(a)
    files = {path: path.read_bytes() for path in a.data.rglob("*") if path.is_file()}
    a.start()
    says(
        a, "waiting with a closed port: the data here cannot be used, and 0 of 3 sentinels remember a master"
    )
    assert a.script("live-redis.sh")[0] == 0
    assert not a.port_is_open()
    assert {path: path.read_bytes() for path in files} == files, "the data stay as they are"


def test_an_append_only_file_that_is_gone_is_damage(group: Group) -> None:
    """A directory that held a data set once is not fresh, and an old dump in it is no data set."""
    group.form()
    a, b, c = group.data
    before = group.keys(a)
    a.ask("SAVE")
    assert (a.data / "dump.rdb").exists()
    a.kill()
    shutil.rmtree(a.data / "appendonlydir")
    a.start()
    says(a, "its data are damaged")
    assert not a.port_is_open()
    group.hurry()
    group.wait_ready(a, b, c)
    assert never_promoted(a)
    assert group.keys(a) == before


def test_a_configuration_that_redis_refuses_is_not_the_data_s_fault(group: Group) -> None:
    a = group.data[0]
    group.give_data(a)
    group.redis_conf += "no-such-directive yes\n"
    group.write()
    a.start()
    assert a.process is not None
    assert a.process.wait(20) == 1
    assert (a.data / "appendonlydir").exists()
    assert not (a.data / "set-aside").exists()
    assert any("redis-server has ended with status 1 before it was ready" in line for line in a.opinions())


def test_a_server_that_is_killed_while_it_loads_is_not_the_data_s_fault(group: Group) -> None:
    a = group.data[0]
    group.give_data(a, size=3000)
    with group.plain(a, directory=a.data) as client:
        client.ask("BGREWRITEAOF")
        eventually("the rewrite ends", lambda: client.info()["aof_rewrite_in_progress"] == 0)
    group.redis_conf += "key-load-delay 200000\nloading-process-events-interval-bytes 1024\n"
    group.write()
    a.start()
    says(a, "loading: the data here are intact")
    eventually("it says so itself", lambda: a.info(socket=True)["loading"] == 1)
    assert not a.port_is_open()
    assert a.info(socket=True)["loading"] == 1
    assert a.script("live-redis.sh")[0] == 0
    assert a.script("ready-redis.sh") == (1, "loading: the data here are intact")
    os.kill(a.server_pid(), signal.SIGKILL)
    assert a.process is not None
    assert a.process.wait(20) == 137
    assert not (a.data / "set-aside").exists()


def test_a_dump_alone_is_loaded_and_gets_its_append_only_file(group: Group) -> None:
    """Redis with appendonly on ignores a dump that has no append-only file beside it, and starts empty."""
    a = group.data[0]
    a.data.mkdir(parents=True)
    with group.plain(a) as client:
        client.ask("SET", "from", "a dump")
        client.ask("SAVE")
        shutil.copy(Path(client.config("dir")) / "dump.rdb", a.data / "dump.rdb")
    a.start()
    says(a, "the data here are intact")
    assert a.ask("GET", "from") == "a dump"
    assert a.config("appendonly") == "yes"
    assert list(a.data.glob("appendonlydir/*.manifest"))
    a.kill()
    (a.data / "dump.rdb").unlink()
    a.start()
    says(a, "the data here are intact")
    assert a.ask("GET", "from") == "a dump"


def test_fresh_stays_fresh_until_there_are_data(group: Group) -> None:
    """The first start writes an empty append-only file: the second one must not take that for a data set."""
    a = group.data[0]
    for _ in range(2):
        a.start()
        says(a, "waiting, read-only: 0 of 3 sentinels remember a master; the data here are fresh")
        assert (a.data / "appendonlydir").exists()
        a.kill()
    # Named, it keeps its port closed on its second start as on its first.
    group.remember(a)
    group.start(a, *group.sentinels)
    says(a, "its data are fresh; Sentinel has to choose another")
    assert not a.port_is_open()


def test_keys_in_a_directory_marked_fresh_are_kept(group: Group) -> None:
    """A crash directly after a bootstrap, before anybody could take the mark away."""
    a = group.data[0]
    group.give_data(a)
    (a.data / "contex-initialised").unlink()
    (a.data / "contex-unsynced").write_text("fresh\n")
    a.start()
    says(a, "the data here are intact")
    assert a.ask("DBSIZE") == 50
    assert a.info()["config_file"].endswith("/intact/redis.conf")


def test_data_older_than_what_was_held_in_memory_do_not_become_master(group: Group) -> None:
    """After a full sync the append-only file is the old one until its rewrite has ended."""
    a = group.data[0]
    group.remember(a)
    group.give_data(a)
    (a.data / "contex-unsynced").write_text("stale\n")
    with group.plain_replicas():
        group.start(a, *group.sentinels)
        says(
            a,
            "which is this pod, but its data are older than what it last held; Sentinel has to choose another",
        )
        assert not a.port_is_open()
        assert never_promoted(a)


def test_an_initialised_set_without_keys_is_intact(group: Group) -> None:
    a = group.data[0]
    group.remember(a)
    group.give_data(a, keys=0)
    with group.plain_replicas():
        group.start(a, *group.sentinels)
        eventually("A is master", lambda: a.role(socket=False) == "master")
        assert a.ask("DBSIZE") == 0


def test_a_mark_that_cannot_be_read_says_the_least_good(group: Group) -> None:
    """A machine that loses power can leave an empty file."""
    a = group.data[0]
    group.remember(a)
    group.give_data(a)
    (a.data / "contex-unsynced").touch()
    with group.plain_replicas():
        group.start(a, *group.sentinels)
        says(a, "its data are older than what it last held; Sentinel has to choose another")
        assert not a.port_is_open()
        assert a.ask("DBSIZE", socket=True) == 50


def test_files_that_must_not_be_read_are_not_damaged(group: Group) -> None:
    """A volume with another owner: the data stay where they are, and the container says what is wrong."""
    a = group.data[0]
    group.give_data(a)
    if os.geteuid() == 0:
        a.user = 65534
        a.run.mkdir()
        for path in (a.run, a.data, *a.data.rglob("*")):
            os.chown(path, a.user, a.user)
    base = next(a.data.glob("appendonlydir/*.base.*"))
    base.chmod(0)
    a.start()
    assert a.process is not None
    assert a.process.wait(30) == 1
    assert (a.data / "appendonlydir").exists()
    assert not (a.data / "set-aside").exists()
    has_said(a, f"{base} cannot be read by user")
