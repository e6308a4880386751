"""Pods that crash, come back, or never come back; with sentinels that remember and sentinels that do not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import redis

from tests.component.gate.checks import holds, never_promoted, says, write
from tests.component.gate.groups import Group
from tests.component.gate.pods import MASTER_NAME, REDIS_PORT, SENTINEL_PORT, Pod, eventually


def subscribe(pod: Pod) -> socket.socket:
    """A subscriber, as Sentinel is one."""
    connection = socket.create_connection((pod.address, REDIS_PORT), timeout=5)
    connection.sendall(f'AUTH "{pod.group.password}"\r\nSUBSCRIBE somewhere\r\n'.encode())
    received = b""
    while b"subscribe" not in received:
        received += connection.recv(100)
    return connection


def test_the_old_master_restarts_between_a_swap_and_the_hello(group: Group) -> None:
    """Measured without the gate: two masters for 15 s, and all acknowledged writes lost."""
    group.form()
    a, b, c = group.data
    a.ask("FAILOVER", "TO", b.address, REDIS_PORT, "FORCE", "TIMEOUT", 1)
    eventually("B is master", lambda: b.role() == "master" and a.role() == "slave")
    c.ask("REPLICAOF", b.address, REDIS_PORT)
    acknowledged = write(b, "swapped")
    a.kill()
    a.start()
    says(a, f"which is this pod, but {b.label} says it is master")
    assert not a.port_is_open()
    acknowledged |= write(b, "more")
    eventually("C has all", lambda: holds(group, c, acknowledged))
    # Sentinel sees A down. Which of the other two it chooses is its own affair.
    group.hurry()
    eventually("all sentinels name one of them", lambda: group.named() in (b.address, c.address))
    group.wait_ready(a, b, c)
    assert never_promoted(a)
    for pod in (a, b, c):
        assert holds(group, pod, acknowledged), f"{pod.name} has lost acknowledged writes"
    assert [pod.address for pod in group.masters()] == [group.named()]


def test_a_replica_that_never_synced_is_not_promoted(new_group: Callable[..., Group]) -> None:
    group = new_group(data=2)
    a, b = group.data
    group.redis_conf = group.redis_conf.replace("repl-diskless-sync-delay 0", "repl-diskless-sync-delay 600")
    group.write()
    group.remember(a)
    group.give_data(a)
    group.start()
    eventually("A is master", lambda: a.is_ready())
    eventually("B waits for its first sync", lambda: a.info()["connected_slaves"] == 1)
    eventually(
        "the sentinels see B up", lambda: all(s.flags_of(b.address) == "slave" for s in group.sentinels)
    )
    assert not b.is_ready()
    assert b.config("replica-priority") == "0"
    group.hurry()
    a.kill()
    eventually(
        "a failover is tried and finds nobody",
        lambda: any("-failover-abort-no-good-slave" in s.log() for s in group.sentinels),
    )
    assert b.role() == "slave"
    assert never_promoted(b)
    a.start()
    eventually("A is master again", lambda: a.role(socket=False) == "master")
    assert a.ask("DBSIZE") == 50


def test_a_named_but_empty_pod_keeps_its_port_closed(group: Group) -> None:
    group.form()
    a, b, c = group.data
    before = group.keys(a)
    a.kill()
    for path in sorted(a.data.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    a.start()
    says(a, "which is this pod, but its data are fresh; Sentinel has to choose another")
    assert not a.port_is_open()
    assert a.role() == "slave"
    assert a.script("live-redis.sh")[0] == 0
    ready, why = a.script("ready-redis.sh")
    assert ready == 1
    assert "its data are fresh" in why
    group.hurry()
    eventually("Sentinel promotes another", lambda: b.role() == "master" or c.role() == "master")
    group.wait_ready(a, b, c)
    assert a.role() == "slave"
    assert never_promoted(a)
    assert group.keys(a) == group.keys(b) == group.keys(c) == before
    assert a.info()["config_file"].endswith("/fresh/redis.conf")


def test_a_fresh_pod_that_is_named_later_closes_its_port_again(group: Group) -> None:
    """Its open connections go too: Sentinel would take it for alive through its own."""
    a = group.brisk().data[0]
    group.start(a, *group.sentinels)
    says(
        a,
        "waiting, read-only: 0 of 3 sentinels remember a master, 3 monitor nothing; the data here are fresh",
    )
    assert a.port_is_open()
    listener = subscribe(a)
    for sentinel in group.sentinels:
        group.monitor(sentinel, a)
    says(a, "waiting with a closed port")
    assert not a.port_is_open()
    assert listener.recv(100) == b"", "the subscriber's connection lives on"
    listener.close()
    eventually("Sentinel takes A for down", lambda: all("+sdown master" in s.log() for s in group.sentinels))


def test_all_pods_restart_and_the_sentinels_remember(group: Group) -> None:
    group.form()
    a, b, c = group.data
    acknowledged = write(a, "late")
    eventually("all have all", group.same_keys)
    for pod in group.pods:
        pod.kill()
    group.start()
    group.wait_ready(a, b, c)
    assert group.masters() == [a]
    for pod in group.data:
        assert holds(group, pod, acknowledged)
    eventually("the sentinels are content", lambda: all(group.sees_all(s) for s in group.sentinels))


def test_all_data_pods_restart_after_a_failover(group: Group) -> None:
    """The named one is master again, though another was born as master; the sentinels run on."""
    group.form()
    group.hurry()
    group.data[0].kill()
    eventually("a failover", lambda: any(pod.role() == "master" for pod in group.data[1:]))
    group.data[0].start()
    group.wait_ready(*group.data)
    (master,) = group.masters()
    eventually("the sentinels agree", lambda: group.named() == master.address)
    assert all(pod.is_ready() for pod in group.data)
    acknowledged = write(master, "after")
    eventually("all have all", group.same_keys)
    group.down_after(600_000)
    for pod in group.data:
        pod.kill()
    group.start(*group.data)
    group.wait_ready(*group.data)
    assert group.masters() == [master]
    assert all(holds(group, pod, acknowledged) for pod in group.data)
    assert master.info()["config_file"].endswith("-master/redis.conf")


def test_all_pods_restart_and_nobody_remembers(group: Group) -> None:
    """They wait, read-only, and say what they hold; a decision comes by command."""
    group.form()
    a, b, c = group.data
    before = group.keys(a)
    assert all(pod.is_ready() for pod in group.data)
    for pod in group.pods:
        pod.kill()
    for sentinel in group.sentinels:
        (sentinel.data / "sentinel.conf").unlink()
    for pod in group.data:
        pod.watch_cli()
    group.start()
    for pod in group.data:
        holding = "intact-e3-master" if pod is a else "intact-e3-replica"
        says(
            pod,
            "waiting, read-only: 0 of 3 sentinels remember a master, 3 monitor nothing; "
            f"the data here are {holding}",
        )
        assert pod.info()["config_file"] == str(pod.run / holding / "redis.conf")
        assert group.keys(pod) == before
        try:
            pod.ask("SET", "key", "value")
        except redis.ReadOnlyError:
            pass
        else:
            raise AssertionError(f"{pod.name} takes writes")
    for pod in group.data:
        asked = len(pod.calls("INFO"))
        eventually("several more rounds", lambda pod=pod, asked=asked: len(pod.calls("INFO")) > asked + 9)  # type: ignore[misc]
        assert never_promoted(pod)
        assert not pod.is_ready()
    group.make_master(a)
    group.wait_ready(a, b, c)
    for pod in (a, b, c):
        says(pod, "master: made so by command" if pod is a else f"following: told to follow {a.label}")
    assert group.keys(b) == group.keys(c) == before
    assert a.recorded()["role"] == "master"
    assert [line for line in a.opinions() if line.startswith("waiting")] == [
        line
        for i, line in enumerate(a.opinions())
        if line.startswith("waiting") and line not in a.opinions()[:i]
    ], "an opinion is said once"


def test_a_bootstrap_by_command(group: Group) -> None:
    """Six fresh pods: they wait and say that they are fresh, until one is chosen."""
    group.start()
    for pod in group.data:
        says(pod, "the data here are fresh")
        assert pod.info()["config_file"] == str(pod.run / "fresh" / "redis.conf")
    a = group.data[0]
    group.make_master(a)
    group.wait_ready(*group.data)
    assert group.masters() == [a]
    assert all((pod.data / "contex-initialised").exists() for pod in group.data)
    # The disk follows the memory: after the first sync the append-only file is written anew, ready or not.
    eventually(
        "what is on the disks is complete",
        lambda: not any((pod.data / "contex-unsynced").exists() for pod in group.data),
    )
    assert all(pod.config("replica-priority") == "100" for pod in group.data)
    eventually("its epoch is known", lambda: a.is_ready() and a.recorded()["epoch"] == "0")


def test_a_bootstrap_between_the_gate_s_question_and_its_decision(group: Group) -> None:
    """The sentinels' answers name the pod, which was a fresh replica when it asked: it is master by now."""
    a = group.data[0]
    tell = "; ".join(
        f"sentinel -h {s.address} SENTINEL MONITOR {MASTER_NAME} {a.address} {REDIS_PORT} 2"
        for s in group.sentinels
    )
    bootstrap = f"cli -h {a.address} REPLICAOF NO ONE; {tell}"
    # In the third round of questions, the sentinels answer only after the operator has done all of it.
    once = f"if mkdir begun 2>/dev/null; then {bootstrap}; touch done; fi; until [ -e done ]; do sleep 0.05; done"
    a.watch_cli(before=f'case "$*" in *" -p {SENTINEL_PORT}"*) [ "$again" -lt 2 ] || {{ {once}; }} ;; esac')
    group.start(*group.sentinels)
    for sentinel in group.sentinels:
        says(sentinel, "waiting, monitoring nothing")
    a.start()
    says(a, "master: made so by command")
    assert a.role(socket=False) == "master"
    assert not any("closed port" in line for line in a.opinions()), a.opinions()


def test_the_node_of_a_replica_is_gone_and_all_others_restart(group: Group) -> None:
    group.form()
    a, _, c = group.data
    before = group.keys(a)
    for pod in group.pods:
        pod.kill()
    group.brisk()
    group.start(a, c, *group.sentinels[:2])
    group.wait_ready(a, c)
    assert group.masters() == [a]
    assert group.keys(c) == before


def test_the_node_of_the_named_one_is_gone_and_all_others_restart(group: Group) -> None:
    """Nobody is promoted; they are there, read-only, for whoever knows more."""
    group.form()
    a, b, c = group.data
    before = group.keys(a)
    for pod in group.pods:
        pod.kill()
    group.brisk()
    group.start(b, c, *group.sentinels[:2])
    for pod in (b, c):
        says(pod, f"following: 2 of 3 sentinels name {a.label}")
        assert pod.port_is_open()
        assert not pod.is_ready()
    eventually(
        "Sentinel finds nobody to promote",
        lambda: any("-failover-abort-no-good-slave" in s.log() for s in group.sentinels[:2]),
    )
    assert never_promoted(b)
    assert never_promoted(c)
    assert group.keys(b) == group.keys(c) == before
    b.ask("REPLICAOF", "NO", "ONE")
    group.wait_ready(b)


def test_a_replica_follows_the_successor_although_sentinel_never_met_it(group: Group) -> None:
    """C comes up for the first time while the master is gone: the failover does not know it."""
    a, b, c = group.data
    members = (group.config / "members").read_text().splitlines()
    group.write_members([line for line in members if c.name not in line])
    group.remember(a)
    for sentinel in group.sentinels:
        sentinel.edit(f"sentinel known-replica mymaster {c.address} {REDIS_PORT}\n", "")
    group.give_data(a)
    group.start(a, b, *group.sentinels)
    group.wait_ready(a, b)
    eventually(
        "the sentinels see B up", lambda: all(s.flags_of(b.address) == "slave" for s in group.sentinels)
    )
    group.write_members(members)
    a.kill()
    c.start()
    says(c, f"of 3 sentinels name {a.label}")
    group.hurry()
    eventually("B is master", lambda: b.role() == "master")
    group.wait_ready(c)
    assert c.info()["master_host"] == b.address
    # A majority is enough, and it may have been asked in the instant in which the third sentinel learned of B.
    says(c, f"of 3 sentinels name {b.label}")


def test_an_address_that_is_no_member_is_not_followed(group: Group) -> None:
    a = group.data[0]
    stranger = Pod(group, "data", "stranger", a.address.rpartition(".")[0] + ".99")
    group.remember(stranger)
    a.watch_cli()
    # The sentinels' own members file knows the stranger; this pod's does not.
    known = (group.config / "members").read_text().splitlines()
    group.write_members([*known, f"data stranger {stranger.address}"])
    group.start_sentinels()
    group.write_members(known)
    a.start()
    says(a, f"3 of 3 sentinels name {stranger.address} with epoch 3, which is no member")
    asked = len(a.calls("INFO"))
    eventually("several more rounds", lambda: len(a.calls("INFO")) > asked + 6)
    assert a.info(socket=True)["master_host"] == "127.0.0.1"


def test_a_pod_that_is_not_named_in_its_members_file_waits_for_its_line(group: Group) -> None:
    a = group.data[0]
    lines = (group.config / "members").read_text().splitlines()
    group.write_members([line for line in lines if a.name not in line])
    a.start()
    group.sentinels[0].start()
    says(a, f"waiting: the members file does not name this pod ({a.name}) yet")
    assert a.server_pid() == 0
    assert a.script("live-redis.sh")[0] == 0
    group.write_members(lines)
    says(a, "waiting, read-only")


def test_sentinels_that_refuse_the_password_are_said(group: Group) -> None:
    a = group.data[0]
    group.remember(a)
    group.start_sentinels()
    (group.auth / "sentinel-password").write_text("another")
    a.start()
    says(a, "waiting, read-only: 0 of 3 sentinels remember a master, 3 refuse our password")


def test_waiting_does_not_fill_the_log(group: Group) -> None:
    a = group.data[0]
    a.watch_cli()
    group.start(a, *group.sentinels)
    says(a, "waiting, read-only: 0 of 3 sentinels remember a master, 3 monitor nothing")
    asked = len(a.calls("INFO"))
    since = time.monotonic()
    eventually("ten more rounds", lambda: len(a.calls("INFO")) > asked + 30)
    assert time.monotonic() - since > 4, "it asks more often than every 0.5 s"
    opinions = a.opinions()
    assert len(opinions) == len(set(opinions)), opinions
