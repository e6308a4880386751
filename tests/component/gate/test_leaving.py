"""The preStop hook: a master that leaves hands over, loses nothing, and says so where it cannot (F07, F10, F29)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import pytest

from tests.component.gate.groups import Group
from tests.component.gate.pods import MASTER_NAME, REDIS_PORT, SENTINEL_PORT, Pod, as_fields, eventually
from tests.workload import reading
from tests.workload.checker import Verdict, check, longest_gap
from tests.workload.history import Op
from tests.workload.process import PASSWORD_VARIABLE, SENTINEL_PASSWORD_VARIABLE, Writers
from tests.workload.writers import stream_of

DOWN_AFTER_MS = 2000
GRACE_S = 60


class Hook:
    """One run of the hook, as the kubelet runs it beside the container."""

    def __init__(self, pod: Pod, **env: str) -> None:
        self.pod = pod
        self._began = time.monotonic()
        self._child = subprocess.Popen(
            [*pod.group.shell.command, str(pod.group.config / "stop-redis.sh")],
            env=pod.environment() | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def wait(self, within_s: float = 50) -> tuple[int, float]:
        """Its exit status, and how long it took."""
        status = self._child.wait(within_s)
        return status, time.monotonic() - self._began

    def kill(self) -> None:
        """As at the end of the grace period."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()


def said(pod: Pod, words: str) -> bool:
    """Whether `kubectl logs` would show these words."""
    return any(words in line for line in pod.opinions())


def will_say(pod: Pod, words: str, within_s: float = 30) -> None:
    eventually(f"the log of {pod.name} has: {words}", lambda: said(pod, words), within_s)


def form(group: Group) -> Group:
    """A healthy group, and from then on Sentinel's usual patience."""
    group.form()
    group.settings["DOWN_AFTER_MS"] = DOWN_AFTER_MS
    group.write()
    group.down_after(DOWN_AFTER_MS)
    return group


@pytest.fixture
def formed(group: Group) -> Group:
    """A healthy group with durability balanced whose sentinels ask the replicas every 3 s, not every 10."""
    group.redis_conf += "min-replicas-to-write 1\nmin-replicas-max-lag 3\n"
    group.write()
    form(group)
    for sentinel in group.sentinels:
        sentinel.ask("SENTINEL", "DEBUG", "INFO-PERIOD", 3000)
        for pod in group.data[1:]:
            eventually(
                f"{sentinel.name} has seen the priority of {pod.name}",
                lambda sentinel=sentinel, pod=pod: shown_priority(sentinel, pod) == "100",  # type: ignore[misc]
            )
    return group


@pytest.fixture
def writers() -> Iterator[Callable[..., Writers]]:
    """`writers(group, "sentinel")`: a client that asks the sentinels; `"kept"`: one that stays at the first pod."""
    with contextlib.ExitStack() as stack:

        def start(group: Group, kind: str) -> Writers:
            where = {
                "kept": ("--address", f"{group.data[0].address}:{REDIS_PORT}"),
                "sentinel": (
                    "--sentinels",
                    ",".join(f"{s.address}:{SENTINEL_PORT}" for s in group.sentinels),
                ),
            }[kind]
            started = Writers(
                ("--client", kind, "--interval-ms", "5", kind, *where),
                env={
                    PASSWORD_VARIABLE: str(group.password),
                    SENTINEL_PASSWORD_VARIABLE: str(group.sentinel_password),
                },
            )
            stack.callback(started.kill)
            started.wait_for_acks(50, within_s=30)
            return started

        yield start


def judge(group: Group, history: list[Op]) -> Verdict:
    """Once all running pods hold the same."""
    living = {
        pod.name: reading.connect(pod.address, REDIS_PORT, password=group.password)
        for pod in group.data
        if pod.process is not None
    }
    eventually("replicas are synced", lambda: reading.settled(reading.replication(living)), 60)
    (master,) = group.masters()
    data = reading.read_all(living, [stream_of(client) for client in sorted({op.client for op in history})])
    return check(history, data=data, master=master.name)


def switches(group: Group) -> int:
    return sum("+switch-master" in sentinel.log() for sentinel in group.sentinels)


def shown_priority(sentinel: Pod, pod: Pod) -> str | None:
    entries = [as_fields(entry) for entry in sentinel.ask("SENTINEL", "REPLICAS", MASTER_NAME)]
    return next((entry["slave-priority"] for entry in entries if entry["ip"] == pod.address), None)


def priorities(group: Group) -> set[str]:
    return {pod.config("replica-priority") for pod in group.data if pod.process is not None}


def test_f07_f10_f29_a_leaving_master_hands_over_under_load(
    formed: Group, writers: Callable[..., Writers]
) -> None:
    a, b, c = formed.data
    asking, staying = writers(formed, "sentinel"), writers(formed, "kept")
    at = time.monotonic()
    with Hook(a) as hook:
        assert hook.wait()[0] == 0, a.opinions()
    assert switches(formed) == 3, "no failover was seen (F29)"
    left = time.monotonic()
    assert a.term() == 0
    assert time.monotonic() - left < 5, "the server did not end in its share of the grace period (F10)"
    asking.wait_for_acks(50, within_s=20, after=time.monotonic())
    history = [*asking.stop(), *staying.stop()]
    verdict = judge(formed, history)
    assert verdict.is_clean, verdict.sentence()
    (new,) = formed.masters()
    assert new in (b, c)
    assert said(a, f"handed over to {new.label}")
    assert longest_gap([op for op in history if op.client == "sentinel"], since=at).seconds < 3
    assert priorities(formed) == {"100"}
    assert a.recorded()["role"] == "slave", "its next start would claim to hold the newest data"
    a.start()
    formed.wait_ready(a, b, c)
    assert formed.masters() == [new]


def test_f29_the_sentinels_own_slow_clock_is_waited_for(group: Group) -> None:
    """As in a cluster: a sentinel asks a replica for its priority once in ten seconds."""
    a = form(group).data[0]
    with Hook(a) as hook:
        status, took = hook.wait()
    assert status == 0, a.opinions()
    assert took < GRACE_S - 15, "the server needs a share of the grace period"
    assert switches(group) == 3
    assert priorities(group) == {"100"}


def test_a_replica_just_goes(formed: Group) -> None:
    b = formed.data[1]
    with Hook(b) as hook:
        status, took = hook.wait()
    assert (status, switches(formed)) == (0, 0)
    assert took < 1.5
    assert not said(b, "leaving")


def test_a_standalone_redis_just_goes(new_group: Callable[..., Group]) -> None:
    group = new_group(data=1, sentinels=0)
    group.settings = {"MODE": "standalone"}
    group.write()
    a = group.start().data[0]
    eventually("A answers", lambda: a.ask("PING"))
    with Hook(a) as hook:
        assert hook.wait()[0] == 0
    assert a.term() == 0


def test_f07_the_operator_was_faster(formed: Group) -> None:
    """The operator moves it while the hook looks on: the hook commands nothing."""
    a, b, c = formed.data
    a.watch_cli()
    with Hook(a) as hook:
        will_say(a, "leaving, and this pod is master")
        b.ask("CONFIG", "SET", "replica-priority", 1)
        executing = formed.sentinels[0]
        eventually("the sentinel prefers B", lambda: shown_priority(executing, b) == "1")
        a.ask("FAILOVER", "TO", b.address, REDIS_PORT, "FORCE", "TIMEOUT", 1)
        eventually("B is master", lambda: b.role() == "master" and a.role() == "slave")
        executing.ask("SENTINEL", "FAILOVER", MASTER_NAME)
        assert hook.wait()[0] == 0, a.opinions()
    assert said(a, f"handed over to {b.label}")
    for word in ("PAUSE", "FAILOVER", "replica-priority"):
        assert not a.calls(word), f"it commanded {word}"
    formed.wait_ready(b, c)
    assert formed.masters() == [b]


def test_f30_a_swap_of_which_nobody_told_the_sentinels_is_ended(formed: Group) -> None:
    """The operator died between swap and hello. Sentinel alone would take twenty seconds and may choose C."""
    a, b, c = formed.data
    for sentinel in formed.sentinels:
        sentinel.ask("SENTINEL", "DEBUG", "INFO-PERIOD", 10_000)
    with Hook(a) as hook:
        will_say(a, "leaving, and this pod is master")
        a.ask("FAILOVER", "TO", b.address, REDIS_PORT, "FORCE", "TIMEOUT", 1)
        assert hook.wait()[0] == 0, a.opinions()
    assert a.term() == 0
    eventually("all sentinels name B", lambda: formed.named() == b.address)
    formed.wait_ready(b, c)
    assert formed.masters() == [b]
    assert priorities(formed) == {"100"}


def test_no_replica_in_sync(formed: Group) -> None:
    """They are there, but one has no link and the other one must not be promoted."""
    a, b, c = formed.data
    b.ask("CONFIG", "SET", "masterauth", "wrong")
    b.ask("CLIENT", "KILL", "TYPE", "master")
    a.ask("CLIENT", "KILL", "TYPE", "replica")
    c.ask("CONFIG", "SET", "replica-priority", 0)
    eventually("C is linked again", lambda: c.info()["master_link_status"] == "up")
    with Hook(a, STOP_IMPOSSIBLE_CS="800") as hook:
        status, took = hook.wait()
    assert status == 1
    assert 8 <= took < 15
    why = [
        line
        for line in a.opinions()
        if "leaving as master, not handed over: no replica can take over" in line
    ]
    assert len(why) == 1, a.opinions()
    assert f"{b.label} is not connected" in why[0]
    assert f"{c.label} must not be promoted (priority 0)" in why[0]
    assert switches(formed) == 0
    assert formed.masters() == [a]
    # It is no silent end for good: with a replica in sync, the next one moves.
    c.ask("CONFIG", "SET", "replica-priority", 100)
    with Hook(a) as hook:
        assert hook.wait()[0] == 0, a.opinions()
    assert formed.masters() == [c]


def test_no_quorum(formed: Group) -> None:
    a = formed.data[0]
    for sentinel in formed.sentinels[:2]:
        sentinel.kill()
    with Hook(a, STOP_IMPOSSIBLE_CS="800") as hook:
        assert hook.wait()[0] == 1
    assert said(a, "leaving as master, not handed over: 1 of 3 sentinels remember a master")
    assert formed.masters() == [a]
    assert priorities(formed) == {"100"}


def test_everybody_leaves_at_once(formed: Group) -> None:
    """A resource is deleted, or all its pods: nobody waits for who does not come."""
    a = formed.data[0]
    for pod in formed.pods:
        if pod is not a:
            pod.kill()
    with Hook(a) as hook:
        status, took = hook.wait()
    assert status == 0
    assert took < 5
    assert said(a, "leaving as master: no other data pod is there to take over")


def test_one_sentinel_of_three_is_enough_less(formed: Group) -> None:
    """The last one, which would have been told, went with the same node."""
    a, b, c = formed.data
    formed.sentinels[2].kill()
    with Hook(a) as hook:
        assert hook.wait()[0] == 0, a.opinions()
    assert formed.masters()[0] in (b, c)
    assert sum("+switch-master" in s.log() for s in formed.sentinels[:2]) == 2


def test_the_sentinel_that_was_told_dies_in_the_middle(formed: Group) -> None:
    """Another one is told, and it chooses the same target."""
    a, b, c = formed.data
    last = formed.sentinels[2]
    a.watch_cli(
        f'case "$*" in *"SENTINEL FAILOVER"*) [ "$again" != 0 ] || kill -9 {last.server_pid()} ;; esac'
    )
    with Hook(a) as hook:
        assert hook.wait()[0] == 0, a.opinions()
    assert len(a.calls("FAILOVER", "SENTINEL")) >= 2
    last.kill()
    (new,) = formed.masters()
    eventually("both sentinels name it", lambda: formed.named() == new.address)
    formed.wait_ready(b, c)
    assert priorities(formed) == {"100"}


def test_a_target_that_lags_stops_nothing(formed: Group, writers: Callable[..., Writers]) -> None:
    """It freezes with the pause: the writes go on after half a second, and the other one takes over."""
    a, b, c = formed.data
    # Its own stand-in of redis-cli, which becomes the real one: a deadline has to end that one itself.
    shim = a.home / "shim"
    shim.mkdir()
    freeze = f"[ -e {shim}/once ] || kill -STOP {b.server_pid()} {c.server_pid()}; touch {shim}/once"
    real = shutil.which("redis-cli")
    (shim / "redis-cli").write_text(
        f'#!/bin/sh\ncase "$*" in *"CLIENT PAUSE"*) {freeze} ;; esac\nexec {real} "$@"\n'
    )
    (shim / "redis-cli").chmod(0o755)
    a.env["PATH"] = f"{shim}:{formed.shell.path}"
    asking = writers(formed, "sentinel")
    try:
        with Hook(a) as hook:
            will_say(a, "has not caught up within 0.5 s")
            gone = time.monotonic()
            os.kill(b.server_pid(), signal.SIGCONT)
            os.kill(c.server_pid(), signal.SIGCONT)
            asking.wait_for_acks(20, within_s=10, after=gone)
            assert hook.wait()[0] == 0, a.opinions()
    finally:
        for pod in (b, c):
            os.kill(pod.server_pid(), signal.SIGCONT)
    asking.wait_for_acks(50, within_s=20, after=time.monotonic())
    verdict = judge(formed, asking.stop())
    assert verdict.is_clean, verdict.sentence()
    assert formed.masters()[0] in (b, c)


@pytest.mark.parametrize("after", ["CLIENT PAUSE", "FAILOVER TO"])
def test_f30_the_hook_is_killed_in_the_middle(
    formed: Group, writers: Callable[..., Writers], after: str
) -> None:
    """After the pause: it expires by itself. After the swap: one master, and whoever comes next ends it."""
    a, b, c = formed.data
    hold = a.home / "hold"
    a.watch_cli(f'case "$*" in *"{after}"*) touch {hold}; while [ -e {hold} ]; do sleep 0.05; done ;; esac')
    asking = writers(formed, "sentinel")
    with Hook(a):
        eventually(f"{after} was sent", hold.exists)
    hold.unlink()
    at = time.monotonic()
    if after == "CLIENT PAUSE":
        asking.wait_for_acks(50, within_s=DOWN_AFTER_MS / 1000 + 2, after=at)
        assert formed.masters() == [a]
        assert switches(formed) == 0, "the pause made Sentinel fail over"
    else:
        eventually("one master, which is not A", lambda: a.role() == "slave" and len(formed.masters()) == 1)
        assert formed.masters()[0].config("replica-priority") == "1"
        # Sentinel alone, after down-after + 20 s, or at once by whoever looks next.
        eventually("the sentinels follow", lambda: formed.named() == formed.masters()[0].address, 60)
        asking.wait_for_acks(50, within_s=20, after=time.monotonic())
        assert formed.masters()[0] in (b, c)
    verdict = judge(formed, asking.stop())
    assert verdict.is_clean, verdict.sentence()
