"""The probes and the books that readiness keeps."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from tests.component.gate.checks import says, wrapper
from tests.component.gate.groups import Group
from tests.component.gate.pods import REDIS_PORT, eventually


def test_readiness_says_why_not(group: Group) -> None:
    group.form()
    a, b, _ = group.data
    assert a.script("ready-redis.sh") == (0, "")
    assert b.script("ready-redis.sh") == (0, "")
    a.kill()
    eventually("the link is down", lambda: b.info()["master_link_status"] == "down")
    assert b.script("ready-redis.sh") == (1, f"the link to the master {a.label} is down")
    assert a.script("ready-redis.sh") == (1, "redis-server does not answer")


def test_a_full_sync_lowers_the_priority_until_it_has_ended(group: Group) -> None:
    group.form()
    a, b, _ = group.data
    assert b.config("replica-priority") == "100"
    # A second full sync, which takes long: a slow disk at the master's side.
    for i in range(200):
        a.ask("SET", f"long:{i}", "x" * 1000)
    a.ask("CONFIG", "SET", "rdb-key-save-delay", 20_000)
    b.ask("REPLICAOF", "NO", "ONE")
    b.ask("SET", "own", "write")  # it cannot continue where it was
    b.ask("REPLICAOF", a.address, REDIS_PORT)
    eventually("the sync runs", lambda: b.info()["master_sync_in_progress"] == 1)
    assert b.script("ready-redis.sh") == (1, f"a full sync from {a.label} is in progress")
    assert b.config("replica-priority") == "0"
    assert (b.data / "contex-unsynced").read_text() == "stale\n"
    assert not b.is_ready()
    a.ask("CONFIG", "SET", "rdb-key-save-delay", 0)
    group.wait_ready(b)
    assert b.config("replica-priority") == "100"
    eventually("its disk is up to date", lambda: b.is_ready() and not (b.data / "contex-unsynced").exists())


def test_the_disk_counts_as_behind_until_the_append_only_file_is_rewritten(group: Group) -> None:
    group.form()
    a, b, _ = group.data
    b.ask("CONFIG", "SET", "rdb-key-save-delay", 100_000)  # 50 keys: 5 s
    b.ask("REPLICAOF", "NO", "ONE")
    b.ask("SET", "own", "write")
    b.ask("REPLICAOF", a.address, REDIS_PORT)
    eventually("the link is up", lambda: b.info()["master_link_status"] == "up")
    assert b.info()["aof_rewrite_in_progress"] == 1
    assert b.is_ready()
    assert (b.data / "contex-unsynced").read_text() == "stale\n"
    b.ask("CONFIG", "SET", "rdb-key-save-delay", 0)
    eventually("its disk is up to date", lambda: b.is_ready() and not (b.data / "contex-unsynced").exists())
    assert b.info()["aof_rewrite_in_progress"] == 0


def test_a_priority_that_somebody_else_has_set_stays(group: Group) -> None:
    group.form()
    b = group.data[1]
    for chosen in ("0", "1"):
        b.ask("CONFIG", "SET", "replica-priority", chosen)
        assert b.is_ready()
        assert b.is_ready()
        assert b.config("replica-priority") == chosen


def test_every_start_puts_the_priority_back_to_zero(group: Group) -> None:
    group.form()
    b = group.data[1]
    assert b.config("replica-priority") == "100"
    b.kill()
    b.start()
    eventually("the link is up", lambda: b.info()["master_link_status"] == "up")
    assert b.config("replica-priority") == "0"
    assert b.is_ready()
    assert b.config("replica-priority") == "100"


def test_the_books_are_written_when_something_changed(group: Group) -> None:
    group.form()
    a, b, _ = group.data
    state = b.data / "contex-state"
    eventually("all is recorded", lambda: b.is_ready() and b.recorded()["epoch"] == "3")
    written = state.stat().st_ino
    a.ask("SET", "some", "write")
    since = time.monotonic()
    assert b.is_ready()
    assert b.is_ready()
    assert time.monotonic() - since < 8
    assert state.stat().st_ino == written, "written although nothing but the offset has changed"
    # Ten seconds later the offset has its turn.
    text = state.read_text()
    at = int(b.recorded()["at"])
    state.write_text(text.replace(f"at={at}", f"at={at - 20}"))
    assert b.is_ready()
    assert int(b.recorded()["offset"]) > int(dict(line.split("=") for line in text.splitlines())["offset"])


def test_a_new_configuration_is_recorded_with_its_epoch(group: Group) -> None:
    group.form()
    a, b, c = group.data
    group.hurry()
    a.kill()
    eventually("a failover", lambda: b.role() == "master" or c.role() == "master")
    master, replica = (b, c) if b.role() == "master" else (c, b)
    eventually("the sentinels agree", lambda: group.named() == master.address)
    epoch = str((group.sentinels[0].master() or ("", 0))[1])
    assert int(epoch) > 3
    eventually("the master knows", lambda: master.is_ready() and master.recorded()["epoch"] == epoch)
    group.wait_ready(replica)
    eventually("the replica knows", lambda: replica.is_ready() and replica.recorded()["epoch"] == epoch)
    assert master.recorded()["role"] == "master"
    assert replica.recorded()["role"] == "slave"
    assert replica.recorded()["master"] == master.recorded()["master"] == master.address


def test_an_epoch_that_nobody_can_tell_is_recorded_as_unknown(group: Group) -> None:
    """An old one would make this pod's data look older than they are."""
    group.form()
    a, b, _ = group.data
    assert b.recorded()["epoch"] == "3"
    for sentinel in group.sentinels:
        sentinel.kill()
    b.ask("REPLICAOF", "NO", "ONE")
    assert b.is_ready()
    assert (b.recorded()["role"], b.recorded()["epoch"]) == ("master", "")
    b.kill()
    b.start()
    says(b, "the data here are intact")
    assert b.info()["config_file"].endswith("/intact/redis.conf")
    assert a.recorded()["epoch"] == "3"


def test_liveness_fails_only_when_the_server_hangs(group: Group) -> None:
    a = group.data[0]
    a.start()
    says(a, "waiting, read-only")
    assert a.script("live-redis.sh") == (0, "")
    (group.auth / "password").write_text("another")
    assert a.script("live-redis.sh")[0] == 0, "NOAUTH is an answer"
    (group.auth / "password").write_text(group.password or "")
    pid = a.server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        status, why = a.script("live-redis.sh")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert status == 1
    assert "has not answered" in why
    assert a.script("live-redis.sh") == (0, "")
    a.kill()
    assert a.script("live-redis.sh")[0] == 0, "a socket without a server is a start in progress"


def test_liveness_passes_while_a_loading_server_is_silent(group: Group) -> None:
    """One big key is loaded without an answer to anybody in between; a restart would only begin anew."""
    a = group.data[0]
    group.give_data(a)
    with group.plain(a, directory=a.data) as client:
        client.ask("BGREWRITEAOF")
        eventually("the rewrite ends", lambda: client.info()["aof_rewrite_in_progress"] == 0)
    group.redis_conf += "key-load-delay 200000\n"  # 50 keys: 10 s, too few bytes to look up from
    group.write()
    a.start()
    says(a, "loading: the data here are intact")
    eventually("the socket is there", (a.run / "redis.sock").is_socket)
    since = time.monotonic()
    assert a.script("live-redis.sh") == (0, "")
    assert a.state().startswith("loading"), "it has loaded too fast to prove anything"
    assert time.monotonic() - since < 3, "it has waited for an answer"


def test_liveness_passes_while_a_script_keeps_redis_busy(group: Group) -> None:
    a = group.data[0]
    a.start()
    says(a, "waiting, read-only")
    a.ask("CONFIG", "SET", "busy-reply-threshold", 1)
    with socket.create_connection((a.address, REDIS_PORT), timeout=5) as connection:
        script = 'EVAL_RO "while true do end" 0'
        connection.sendall(f'AUTH "{group.password}"\r\n{script}\r\n'.encode())
        eventually(
            "it is busy", lambda: "BUSY" in wrapper(a, "-h", a.address, "-p", str(REDIS_PORT), "PING")[1]
        )
        assert a.script("live-redis.sh") == (0, "")
        a.ask("SCRIPT", "KILL")


def test_the_sentinel_s_liveness(group: Group) -> None:
    sentinel = group.sentinels[0]
    sentinel.start()
    says(sentinel, "waiting, monitoring nothing")
    assert sentinel.script("live-sentinel.sh") == (0, "")
    pid = sentinel.server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        status, why = sentinel.script("live-sentinel.sh")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert status == 1
    assert "has not answered" in why


@pytest.mark.parametrize("runs", [5])
def test_readiness_is_cheap(group: Group, runs: int) -> None:
    """It runs every 2 s in every pod: two calls of redis-cli at most when nothing has changed."""
    group.form()
    b = group.data[1]
    eventually("all is recorded", lambda: b.is_ready() and b.recorded()["epoch"] == "3")
    b.watch_cli()
    for _ in range(runs):
        assert b.is_ready()
    # One more round, of the sentinels, at most: every 10 s.
    assert len(b.calls()) <= runs + 2 * len(group.sentinels)
