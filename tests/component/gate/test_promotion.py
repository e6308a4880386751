"""Design rule 4, clause by clause: when a data pod may become master by itself, and when it must not.

The pod under test is the first one, A. Sentinels are real and remember A as master unless a test says otherwise;
the other data pods are plain redis-servers without a gate wherever their word has to be a given one.
"""

from __future__ import annotations

import os
import signal
import socket
import time

from tests.component.gate.checks import has_said, never_promoted, says, stays_out
from tests.component.gate.groups import Group
from tests.component.gate.pods import MASTER_NAME, REDIS_PORT, eventually


def test_a_majority_of_sentinels_is_needed(group: Group) -> None:
    a = group.data[0]
    group.remember(a)
    group.give_data(a)
    a.watch_cli()
    with group.plain_replicas():
        group.start(a, group.sentinels[0])
        says(a, "waiting, read-only: 1 of 3 sentinels remember a master")
        stays_out(a)
        assert a.info(socket=False)["role"] == "slave"
        # The second one makes it a majority.
        group.start(group.sentinels[1])
        eventually("A is master", lambda: a.role(socket=False) == "master")
        assert a.ask("DBSIZE") == 50


def test_the_majority_must_know_the_newest_configuration(group: Group) -> None:
    a, b, c = group.data
    old, older, newest = group.sentinels
    group.give_data(a)
    group.remember(a, epoch=3, sentinels=[old, older])
    group.remember(b, epoch=4, sentinels=[newest])
    for sentinel in group.sentinels:  # They must not tell each other.
        sentinel.drop_lines("known-sentinel")
    a.watch_cli()
    with group.plain(c) as rc:
        rc.ask("REPLICAOF", "127.0.0.1", 1)
        rc.ask("CONFIG", "SET", "requirepass", "another password")  # no hello goes through it
        group.start_sentinels()
        a.start()
        says(a, "waiting: only 1 of 3 sentinels know the newest configuration (epoch 4)")
        stays_out(a)
        assert not a.port_is_open()


def test_another_pod_says_master(group: Group) -> None:
    a, b, _ = group.data
    group.remember(a)
    group.give_data(a)
    a.watch_cli()
    with group.plain_replicas() as (rb, rc):
        rb.ask("REPLICAOF", "NO", "ONE")
        rb.ask("SET", "taken by", "b")
        rc.ask("REPLICAOF", b.address, REDIS_PORT)
        group.start_sentinels()
        a.start()
        says(a, f"{b.label} says it is master")
        stays_out(a)
        assert not a.port_is_open()
        # Sentinel sees A down and names B: A follows it.
        group.hurry()
        eventually("A follows B", lambda: a.ask("GET", "taken by") == "b")
        assert never_promoted(a)


def continued_elsewhere(group: Group, recorded_offset: int | None) -> tuple[str, int]:
    """B goes on with A's data under a replication id of its own, then follows nobody. Returns A's id and offset."""
    a, b, _ = group.data
    a.data.mkdir(parents=True)
    with group.plain(a, directory=a.data) as ra:
        ra.ask("SET", "before", "1")
        b.ask("REPLICAOF", a.address, REDIS_PORT)
        eventually("B has synced", lambda: b.info()["master_link_status"] == "up")
        ra.ask("SET", "both", "1")
        info = ra.info()
        replid, offset = str(info["master_replid"]), int(info["master_repl_offset"])
        eventually("B has all", lambda: b.info()["master_repl_offset"] >= offset)
        b.ask("REPLICAOF", "NO", "ONE")
        b.ask("SET", "only on b", "1")
        b.ask("REPLICAOF", "127.0.0.1", 1)
        assert b.info()["master_replid2"] == replid
    (a.data / "contex-initialised").touch()
    kept = offset if recorded_offset is None else recorded_offset
    (a.data / "contex-state").write_text(
        f"replid={replid}\noffset={kept}\nrole=master\nmaster={a.address}\nepoch=3\n"
    )
    return replid, offset


def test_another_pod_went_on_with_my_data(group: Group) -> None:
    a, b, _ = group.data
    a.watch_cli()
    with group.plain_replicas() as (rb, _rc):
        replid, _ = continued_elsewhere(group, None)
        group.remember(a)
        group.start_sentinels()
        a.start()
        says(a, f"{b.label} has gone on with this pod's data (replication id {replid})")
        stays_out(a)
        assert not a.port_is_open()
        rb.ask("CONFIG", "SET", "replica-priority", 100)
        group.hurry()
        eventually("A follows B", lambda: a.ask("GET", "only on b") == "1")
        assert never_promoted(a)


def test_another_pod_went_on_but_not_further_than_me(group: Group) -> None:
    a = group.data[0]
    with group.plain_replicas():
        continued_elsewhere(group, 10**9)
        group.remember(a)
        group.start(a, *group.sentinels)
        eventually("A is master", lambda: a.role(socket=False) == "master")


def test_asked_twice_half_a_second_apart_and_directly_before(group: Group) -> None:
    a, b, c = group.data
    group.remember(a)
    group.give_data(a)
    a.watch_cli()
    with group.plain_replicas() as (_rb, _rc):
        group.start_sentinels()
        a.start()
        eventually("A is master", lambda: a.role(socket=False) == "master")
    ((_, promoted),) = a.spans("REPLICAOF", "NO", "ONE")
    # The votes are re-read each time, too.
    asked = [a.spans("-h", pod.address)[-3:] for pod in (b, c, *group.sentinels)]
    first, second, third = ([spans[i] for spans in asked] for i in range(3))
    assert max(ended for ended, _ in first) + 0.5 <= min(begun for _, begun in second)
    assert max(ended for ended, _ in second) <= promoted <= min(begun for _, begun in third)
    assert promoted - max(ended for ended, _ in second) < 1.0, (
        "the second answers were old when they were used"
    )


def test_the_second_answer_counts(group: Group) -> None:
    a, b, _c = group.data
    group.remember(a)
    group.give_data(a)
    # After A's first question to B, somebody promotes B.
    a.watch_cli(
        f'case "$*" in *{b.address}*INFO*) [ "$again" != 0 ] || cli -h {b.address} REPLICAOF NO ONE ;; esac'
    )
    with group.plain_replicas() as (_rb, _rc):
        group.start_sentinels()
        a.start()
        says(a, f"{b.label} says it is master")
        assert never_promoted(a)


def test_votes_are_read_again(group: Group) -> None:
    a, b, _c = group.data
    group.remember(a)
    group.give_data(a)
    removal = "; ".join(f"sentinel -h {s.address} SENTINEL REMOVE {MASTER_NAME}" for s in group.sentinels[:2])
    a.watch_cli(f'case "$*" in *{b.address}*INFO*) [ "$again" != 0 ] || {{ {removal}; }} ;; esac')
    with group.plain_replicas() as (_rb, _rc):
        group.start_sentinels()
        a.start()
        says(a, "waiting, read-only: 1 of 3 sentinels remember a master, 2 monitor nothing")
        assert never_promoted(a)


def test_looks_once_more_after_promoting_and_steps_back(group: Group) -> None:
    a, b, _c = group.data
    group.redis_conf += "min-replicas-to-write 1\n"
    group.write()
    group.remember(a)
    group.give_data(a)
    # B is promoted in the very moment in which A is.
    a.watch_cli(f'case "$*" in *REPLICAOF*NO*ONE*) cli -h {b.address} REPLICAOF NO ONE ;; esac')
    with group.plain_replicas() as (rb, _rc):
        rb.ask("CONFIG", "SET", "replica-priority", 100)
        group.start_sentinels()
        a.start()
        says(a, "this pod was named and promoted, and has stepped back before it took a write: " + b.label)
        rb.ask("SET", "taken by", "b")
        says(a, f"which is this pod, but {b.label} says it is master")
        assert not a.port_is_open()
        assert a.role() == "slave"
        assert a.config("min-replicas-to-write", socket=True) == "1"
        assert not (a.run / "promoting").exists()
        group.hurry()
        eventually("A follows B", lambda: a.ask("GET", "taken by") == "b")
        assert len(a.calls("REPLICAOF", "NO", "ONE")) == 1


def test_a_stalled_pod_does_not_act_on_old_answers(group: Group) -> None:
    a, b, _c = group.data
    group.remember(a)
    group.give_data(a)
    # The whole shell stands still directly after the second round of questions, and B is promoted meanwhile.
    stop = 'case "$*" in *CONFIG*SET*min-replicas-to-write*99*) touch stopped; kill -STOP {} ;; esac'
    with group.plain_replicas() as (rb, _rc):
        group.start_sentinels()
        a.watch_cli(stop.replace("{}", "$(cat gate-pid)"))
        a.start()
        assert a.process is not None
        (a.home / "shim" / "gate-pid").write_text(str(a.process.pid))
        stopped = a.home / "shim" / "stopped"
        eventually("A stands still before it promotes itself", stopped.exists)
        since = time.monotonic()
        eventually("its answers are old", lambda: time.monotonic() - since > 4.2)
        rb.ask("REPLICAOF", "NO", "ONE")
        a.watch_cli()
        os.kill(a.process.pid, signal.SIGCONT)
        says(a, f"{b.label} says it is master")
        assert never_promoted(a)


def test_a_pod_that_cannot_be_asked_counts_as_absent_only_when_a_majority_shows_it_down(group: Group) -> None:
    a, b, c = group.brisk().data
    group.remember(a)
    group.give_data(a)
    for sentinel in group.sentinels[1:]:  # Only one of three has ever heard of B.
        conf = sentinel.data / "sentinel.conf"
        conf.write_text("".join(line for line in conf.read_text().splitlines(True) if b.address not in line))
    a.watch_cli()
    with group.plain(c) as rc:
        rc.ask("REPLICAOF", "127.0.0.1", 1)
        rc.ask("CONFIG", "SET", "replica-priority", 0)
        group.start_sentinels()  # first: with nobody to ask yet the port opens, read-only
        a.start()
        eventually(
            "one sentinel holds B for down",
            lambda: "s_down" in (group.sentinels[0].flags_of(b.address) or ""),
        )
        says(a, f"{b.label} cannot be asked, and no majority of sentinels shows it down")
        stays_out(a)
        assert not a.port_is_open()


def test_a_pod_on_a_dead_node_is_absent(group: Group) -> None:
    a, b, c = group.brisk().data
    group.remember(a)
    group.give_data(a)
    with group.plain(c) as rc:
        rc.ask("REPLICAOF", "127.0.0.1", 1)
        rc.ask("CONFIG", "SET", "replica-priority", 0)
        # B's node is gone, and the third sentinel with it.
        group.start(a, *group.sentinels[:2])
        eventually("A is master", lambda: a.role(socket=False) == "master")
        assert any(f"{b.label} cannot be asked" in line for line in a.opinions())


def test_a_pod_with_another_password_cannot_be_asked(group: Group) -> None:
    a, b, _c = group.data
    group.remember(a)
    group.give_data(a)
    a.watch_cli()
    with group.plain_replicas() as (rb, _):
        group.start_sentinels()
        rb.ask("CONFIG", "SET", "requirepass", "another password")
        a.start()
        says(a, f"{b.label} cannot be asked")
        stays_out(a)
        assert not a.port_is_open()


def test_waits_while_a_failover_is_under_way(group: Group) -> None:
    """B is about to be promoted, but hangs: A may not use that it cannot be asked."""
    a, b, _c = group.data
    group.remember(a)
    group.give_data(a)
    with group.plain_replicas() as (rb, _rc):
        rb.ask("CONFIG", "SET", "replica-priority", 100)
        pid = int(rb.info()["process_id"])
        group.start(*group.sentinels)
        leader = group.sentinels[0]
        eventually(
            "sentinels see B up", lambda: all(s.flags_of(b.address) == "slave" for s in group.sentinels)
        )
        os.kill(pid, signal.SIGSTOP)
        try:
            leader.ask("SENTINEL", "FAILOVER", MASTER_NAME)
            a.start()
            says(a, "but a failover is under way")
            group.hurry()
            eventually(
                "B is down for all",
                lambda: all("s_down" in (s.flags_of(b.address) or "") for s in group.sentinels),
            )
            assert never_promoted(a)
            # The failover gives up after failover-timeout; then A's turn has come.
            eventually("A is master", lambda: a.role(socket=False) == "master", 20)
        finally:
            os.kill(pid, signal.SIGCONT)


def test_does_not_open_in_the_second_in_which_sentinel_fails_over(group: Group) -> None:
    """Sentinel would promote B although A has just come back: two masters for many seconds."""
    group.settings["DOWN_AFTER_MS"] = 5000
    group.write()
    a, b, _ = group.data
    group.remember(a)
    group.give_data(a)
    with group.plain_replicas() as (rb, _rc):
        rb.ask("CONFIG", "SET", "replica-priority", 100)
        group.start_sentinels()
        eventually(
            "little time is left",
            lambda: max(int(s.view()["last-ok-ping-reply"]) for s in group.sentinels) > 5000 - 1400,
        )
        a.start()
        has_said(a, f"Sentinel has heard nothing from it for so long that it is about to promote {b.label}")
        eventually("A follows B", lambda: a.info()["master_host"] == b.address)
        assert never_promoted(a)


def test_a_failover_that_fails_does_not_keep_the_master_out_for_ever(group: Group) -> None:
    """B looks promotable, but does not obey Sentinel: A's turn is between two attempts."""
    a, b, _ = group.brisk().data
    group.remember(a)
    group.give_data(a)
    with group.plain_replicas() as (rb, _rc):
        rb.ask("CONFIG", "SET", "replica-priority", 100)
        rb.ask("ACL", "SETUSER", "default", "-slaveof")
        group.start_sentinels()
        eventually(
            "Sentinel tries",
            lambda: any("+failover-state-send-slaveof-noone" in s.log() for s in group.sentinels),
        )
        a.start()
        eventually("A is master", lambda: a.role(socket=False) == "master")
        assert b.role(socket=False) == "slave"
        assert group.named() == a.address


def test_a_port_that_does_not_open_is_said(group: Group) -> None:
    a = group.data[0]
    group.remember(a)
    group.give_data(a)
    with group.plain_replicas():
        with socket.create_server((a.address, REDIS_PORT)):
            group.start_sentinels()
            a.start()
            has_said(a, f"redis-server does not open port {REDIS_PORT}: ERR")
            eventually("it is a replica again", lambda: a.role() == "slave")
        eventually("A is master", lambda: a.role(socket=False) == "master")


def test_the_epochs_and_the_role_are_recorded(group: Group) -> None:
    group.form()
    a, b, _ = group.data
    assert a.is_ready()
    state = a.recorded()
    assert (state["role"], state["master"], state["epoch"]) == ("master", a.address, "3")
    assert state["replid"] == a.info()["master_replid"]
    a.kill()
    a.start()
    eventually("A is back", lambda: a.role(socket=False) == "master")
    assert a.info()["config_file"].endswith("/intact-e3-master/redis.conf")
    b.kill()
    b.start()
    eventually("B is back", b.is_ready)
    assert b.info()["config_file"].endswith("/intact-e3-replica/redis.conf")
