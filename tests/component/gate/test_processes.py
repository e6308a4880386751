"""The shell as first process of a container: signals, statuses, children; passwords; versions before 7.0."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.component.gate.checks import never_promoted, says, wrapper
from tests.component.gate.groups import Group
from tests.component.gate.pods import MASTER_NAME, REDIS_PORT, Pod, eventually

ODD_PASSWORDS = [
    "with spaces  in it ",
    "quote\"s and 'single' ones",
    "back\\slash \\n \\x41 \\",
    "#hash $HOME `id` $(id) ; & | * ? ~",
    "Umlaut äöü 漢字 🔑",
    "-a",
    "x" * 500,
]


def test_term_ends_a_waiting_pod(group: Group) -> None:
    a = group.data[0]
    a.start()
    says(a, "waiting, read-only")
    assert a.term() == 0
    assert "User requested shutdown" in a.log()


def test_term_ends_a_master_and_a_replica(group: Group) -> None:
    group.form()
    a, b, c = group.data
    assert b.term() == 0
    assert a.term() == 0
    assert "ready to exit, bye bye" in a.log()
    a.start()
    b.start()
    group.wait_ready(a, b, c)
    assert a.ask("DBSIZE") == 50


def test_term_ends_a_pod_without_a_server(group: Group) -> None:
    a = group.data[0]
    a.data.mkdir(parents=True)
    (a.data / "contex-initialised").touch()
    a.start()
    says(a, "the data here cannot be used")
    assert a.server_pid() == 0
    assert a.term() == 0


def test_term_ends_a_pod_that_waits_for_its_line(group: Group) -> None:
    a = group.data[0]
    group.write_members([])
    a.start()
    says(a, "waiting: the members file does not name this pod")
    assert a.term() == 0


def test_term_ends_a_sentinel(group: Group) -> None:
    bare, remembering = group.sentinels[:2]
    group.remember(group.data[0], sentinels=[remembering])
    group.start(bare, remembering)
    says(bare, "waiting, monitoring nothing")
    eventually("it names A", remembering.master)
    assert bare.term() == 0
    assert remembering.term() == 0


def test_interrupt_is_forwarded_too(group: Group) -> None:
    a = group.data[0]
    a.start()
    says(a, "waiting, read-only")
    assert a.process is not None
    a.process.send_signal(signal.SIGINT)
    assert a.process.wait(15) == 0


@pytest.mark.parametrize("settled", [False, True])
def test_the_container_ends_with_the_status_of_its_server(group: Group, settled: bool) -> None:
    """No restart in place: the kubelet has to see it."""
    a = group.data[0]
    if settled:
        group.form()
    else:
        a.start()
        says(a, "waiting, read-only")
    os.kill(a.server_pid(), signal.SIGKILL)
    assert a.process is not None
    assert a.process.wait(15) == 137
    sentinel = group.sentinels[0]
    if not settled:
        sentinel.start()
        says(sentinel, "waiting, monitoring nothing")
    os.kill(sentinel.server_pid(), signal.SIGKILL)
    assert sentinel.process is not None
    assert sentinel.process.wait(15) == 137


def test_no_zombies(group: Group) -> None:
    """The first process reaps whatever it started, round after round."""
    a = group.data[0]
    a.watch_cli()
    a.start()
    says(a, "waiting, read-only")
    asked = len(a.calls("INFO"))
    eventually("some rounds", lambda: len(a.calls("INFO")) > asked + 12)
    assert a.process is not None

    def zombies() -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, IndexError):
                if entry.name.isdigit():
                    stat = (entry / "stat").read_text().rpartition(")")[2].split()
                    assert a.process is not None
                    if stat[0] == "Z" and int(stat[1]) == a.process.pid:
                        found.append(entry.name)
        return found

    eventually("no zombie is left", lambda: not zombies(), 5)


@pytest.mark.parametrize("password", ODD_PASSWORDS)
def test_passwords_with_odd_characters(group: Group, password: str) -> None:
    group.password = password
    group.sentinel_password = password[::-1]
    group.write()
    group.start()
    a, b = group.data[:2]
    for pod in group.data:
        says(pod, "waiting, read-only: 0 of 3 sentinels remember a master, 3 monitor nothing")
    group.make_master(a)
    group.wait_ready(a, b)
    first = group.sentinels[0]
    eventually("Sentinel sees the replicas", lambda: first.flags_of(b.address) == "slave")
    eventually(
        "the sentinels know each other",
        lambda: all(s.view()["num-other-sentinels"] == "2" for s in group.sentinels),
    )
    assert a.ask("PING")
    # Sentinel writes passwords to its file without quotes: its memory is kept all the same.
    first.ask("SENTINEL", "FLUSHCONFIG")
    first.kill()
    first.start()
    assert eventually("it names A", first.master) == (a.address, 0)
    eventually("it reaches A", lambda: first.view()["flags"] == "master")
    eventually("it reaches B", lambda: first.flags_of(b.address) == "slave")
    for pod in (a, first):
        status, answer = wrapper(pod, "-h", pod.address, "-p", str(pod.port), "PING")
        assert (status, answer) == (0, "PONG")


def test_without_passwords(group: Group) -> None:
    group.password = group.sentinel_password = None
    group.write()
    group.form()
    group.hurry()
    before = group.keys(group.data[0])
    group.data[0].kill()
    eventually("a failover", lambda: any(pod.role() == "master" for pod in group.data[1:]))
    group.data[0].start()
    group.wait_ready(*group.data)
    assert all(group.keys(pod) == before for pod in group.data)


def test_no_password_is_ever_an_argument_or_in_the_log(group: Group) -> None:
    group.password = "very-secret-data"
    group.sentinel_password = "very-secret-sentinel"
    group.write()
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for entry in Path("/proc").iterdir():
                with contextlib.suppress(OSError):
                    if entry.name.isdigit():
                        seen.add(
                            (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                        )

    for pod in group.data:
        pod.watch_cli()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        group.form()
        group.data[1].kill()
        group.data[1].start()
        group.wait_ready(*group.data)
    finally:
        over.set()
        watcher.join()
    assert any("redis-cli" in line for line in seen), "the watcher is blind"
    assert not [line for line in seen if "very-secret" in line]
    for pod in group.data:
        assert "very-secret" not in (pod.home / "shim" / "calls").read_text()
    for pod in group.pods:
        assert "very-secret" not in pod.log()
    for pod in group.data:
        for conf in [path for path in pod.run.rglob("redis.conf") if "requirepass" in path.read_text()]:
            assert conf.stat().st_mode & 0o077 == 0, f"{conf} can be read by others"
    for sentinel in group.sentinels:
        conf = sentinel.data / "sentinel.conf"
        # As the start script writes it, or as Sentinel does when it has had something to remember.
        escaped = "".join(f"\\x{byte:02x}" for byte in b"very-secret-sentinel")
        assert re.search(rf'requirepass "({re.escape(escaped)}|very-secret-sentinel)"', conf.read_text())
        assert conf.stat().st_mode & 0o077 == 0, f"{conf} can be read by others"


def test_the_wrapper_reads_the_password_for_the_port_asked(group: Group) -> None:
    a, sentinel = group.data[0], group.sentinels[0]
    group.start(a, sentinel)
    says(a, "waiting, read-only")
    says(sentinel, "waiting, monitoring nothing")
    data = ["-h", a.address, "-p", str(REDIS_PORT)]
    watch = ["-h", sentinel.address, "-p", str(sentinel.port)]
    assert wrapper(a, *data, "PING") == (0, "PONG")
    assert wrapper(sentinel, *watch, "PING") == (0, "PONG")
    assert wrapper(sentinel, "-h", sentinel.address, "-p", str(sentinel.port), "SENTINEL", "MASTERS") == (
        0,
        "",
    )
    assert wrapper(a, "-s", str(a.run / "redis.sock"), "PING") == (0, "PONG")
    # What the command itself says is no option: this names neither a password nor a port.
    assert wrapper(a, *data, "ECHO", "-a") == (0, "-a")
    assert wrapper(a, *data, "MGET", "-p", str(sentinel.port), "--pass")[0] == 0
    # Credentials of one's own.
    assert wrapper(a, *data, "--no-auth-warning", "-a", group.password or "", "PING") == (0, "PONG")
    assert "NOAUTH" in wrapper(a, *data, "-a", "wrong", "PING")[1]
    assert "NOAUTH" in wrapper(a, *data, "PING", env={"REDISCLI_AUTH": "wrong"})[1]
    assert wrapper(
        a, *data, "--user", "default", "--pass", group.password or "", "--no-auth-warning", "PING"
    ) == (0, "PONG")
    uri = f"redis://default:{(group.password or '').replace(' ', '%20')}@{a.address}:{REDIS_PORT}"
    assert wrapper(a, "-u", uri, "--no-auth-warning", "PING") == (0, "PONG")
    assert wrapper(a, *data, "AUTH", "default", group.password or "") == (0, "OK")
    assert wrapper(a, *data, "AUTH", "wrong")[1].startswith("WRONGPASS")


def test_the_wrapper_is_found_first_and_finds_the_real_one(group: Group) -> None:
    """By name in PATH, as kubectl exec does; also where the image has nothing but valkey-cli."""
    a = group.data[0]
    a.start()
    says(a, "waiting, read-only")
    shell = f"redis-cli -h {a.address} -p {REDIS_PORT} PING; valkey-cli -h {a.address} -p {REDIS_PORT} PING"
    done = subprocess.run(
        ["sh", "-c", shell], env=a.environment(), capture_output=True, text=True, timeout=15, check=False
    )
    assert done.stdout == "PONG\nPONG\n", done.stderr
    only_valkey = a.home / "valkey"
    only_valkey.mkdir()
    (only_valkey / "valkey-cli").symlink_to("/usr/bin/redis-cli")
    for tool in ("sh", "dirname"):
        (only_valkey / tool).symlink_to(f"/usr/bin/{tool}")
    path = f"{group.config}/bin:{only_valkey}"
    assert wrapper(a, "-h", a.address, "-p", str(REDIS_PORT), "PING", env={"PATH": path}) == (0, "PONG")
    (only_valkey / "valkey-cli").unlink()
    status, said = wrapper(a, "PING", env={"PATH": path})
    assert status == 127
    assert "there is no redis-cli and no valkey-cli in PATH" in said


def test_the_wrapper_without_auth(group: Group) -> None:
    group.password = group.sentinel_password = None
    group.write()
    a, sentinel = group.data[0], group.sentinels[0]
    group.start(a, sentinel)
    says(a, "waiting, read-only")
    says(sentinel, "waiting, monitoring nothing")
    assert wrapper(a, "-h", a.address, "-p", str(REDIS_PORT), "PING") == (0, "PONG")
    assert wrapper(sentinel, "-h", sentinel.address, "-p", str(sentinel.port), "PING") == (0, "PONG")


@pytest.mark.parametrize("with_dump", [False, True])
def test_standalone(group: Group, with_dump: bool) -> None:
    group.settings = {"MODE": "standalone"}
    group.write()
    group.write_members([])
    a = group.data[0]
    if with_dump:
        a.data.mkdir(parents=True)
        with group.plain(a) as client:
            client.ask("SET", "from", "a dump")
            client.ask("SAVE")
            (Path(client.config("dir")) / "dump.rdb").rename(a.data / "dump.rdb")
    a.start()
    eventually("it takes writes", lambda: a.ask("SET", "key", "value"))
    group.wait_ready(a)
    assert a.ask("GET", "from") == ("a dump" if with_dump else None)
    assert a.config("appendonly") == "yes"
    # Whoever could write could do so into a complete append-only file.
    assert list(a.data.glob("appendonlydir/*.manifest"))
    assert a.info()["aof_rewrite_in_progress"] == 0
    os.kill(a.server_pid(), signal.SIGKILL)
    assert a.process is not None
    assert a.process.wait(15) == 137
    a.process = None
    a.start()
    eventually("it is back with its data", lambda: a.ask("GET", "key") == "value")
    assert a.script("live-redis.sh")[0] == 0
    assert a.term() == 0


# --- Redis 6.2, where the port cannot be changed while it runs


def like_6_2(pod: Pod) -> None:
    """redis-cli answers as a 6.2 would to CONFIG SET port; all else goes to the real server."""
    pod.watch_cli()
    shim = pod.home / "shim" / "redis-cli"
    refuse = (
        'case "$*" in *"CONFIG SET port"*) echo "ERR Unsupported CONFIG parameter: port"; exit 0 ;; esac\n'
    )
    shim.write_text(shim.read_text().replace("#!/bin/sh\n", "#!/bin/sh\n" + refuse))


def test_6_2_forms_a_group_and_never_opens_writable(group: Group) -> None:
    for pod in group.data:
        like_6_2(pod)
    group.form()
    a, b, c = group.data
    assert group.masters() == [a]
    assert group.keys(a) == group.keys(b) == group.keys(c)
    # The port was open from the server's start, so that start must have been a replica's.
    assert "-p" not in str(a.calls("REPLICAOF", "NO", "ONE"))
    assert a.log().index("Connecting to MASTER 127.0.0.1:1") < a.log().index("MASTER MODE enabled")


def test_6_2_named_but_fresh_has_no_server(group: Group) -> None:
    a = group.brisk().data[0]
    like_6_2(a)
    group.start(a, *group.sentinels)
    says(a, "waiting, read-only")
    for sentinel in group.sentinels:
        group.monitor(sentinel, a)
    says(a, "waiting with a closed port")
    assert not a.port_is_open()
    assert a.script("live-redis.sh")[0] == 0
    for sentinel in group.sentinels:
        sentinel.ask("SENTINEL", "REMOVE", MASTER_NAME)
    says(a, "waiting, read-only")
    eventually("its port is open again", a.port_is_open)


def test_6_2_steps_back_under_the_fence(group: Group) -> None:
    a, b, _ = group.data
    group.remember(a)
    group.give_data(a)
    like_6_2(a)
    shim = a.home / "shim" / "redis-cli"
    promote_b = f"cli -h {b.address} REPLICAOF NO ONE"
    write_to_a = f"cli -h {a.address} SET stray write"
    hook = f'case "$*" in *REPLICAOF*NO*ONE*) {promote_b}; {write_to_a} ;; esac\n'
    shim.write_text(shim.read_text().replace("exit $status\n", hook + "exit $status\n"))
    with group.plain_replicas():
        group.start_sentinels()
        a.start()
        says(a, f"{b.label} says it is master")
        assert a.role() == "slave"
        assert a.ask("GET", "stray") is None, "a write was taken between the promotion and the last look"
        assert not never_promoted(a)
