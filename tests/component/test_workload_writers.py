"""What the writers call acknowledged, failed and unknown, against real redis-servers in each of those
situations.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.workload import reading
from tests.workload.checker import check
from tests.workload.history import Op, Result, dump, load
from tests.workload.loopback import LoopbackSet, Node, within
from tests.workload.process import (
    PASSWORD_VARIABLE,
    PROJECT,
    SENTINEL_PASSWORD_VARIABLE,
    WorkloadError,
    Writers,
)
from tests.workload.writers import Access, stream_of

SECRETS = Access("geheim one", "geheim two")
ENV = {PASSWORD_VARIABLE: "geheim one", SENTINEL_PASSWORD_VARIABLE: "geheim two"}


@pytest.fixture(scope="module")
def redis_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSet]:
    """One set for all tests here: each puts back what it changed."""
    with LoopbackSet(
        tmp_path_factory.mktemp("set"), replicas=1, down_after_ms=60_000, access=SECRETS
    ) as redis_set:
        yield redis_set


def to(node: Node, kind: str, client: str, *more: str) -> Writers:
    arguments = ("--client", client, "--interval-ms", "5", "--timeout-ms", "300", *more, kind)
    return Writers((*arguments, "--address", f"{node.address}:{node.port}"), env=ENV)


def through_sentinels(redis_set: LoopbackSet, client: str) -> Writers:
    arguments = ("--client", client, "--interval-ms", "5", "--timeout-ms", "300", "sentinel")
    return Writers((*arguments, "--sentinels", redis_set.sentinel_addresses), env=ENV)


def outcomes(ops: Sequence[Op]) -> set[tuple[Result, str]]:
    """Results with the first word of their reason."""
    return {(op.result, (op.reason or "").split(":")[0]) for op in ops}


def wait_for(writers: Writers, result: Result, count: int = 5, within_s: float = 30.0) -> list[Op]:
    found: list[Op] = []

    def enough() -> bool:
        found[:] = [op for op in writers.ops() if op.result is result]
        return len(found) >= count

    within(within_s, enough, what=f"{count} writes are {result}")
    return found


@pytest.mark.parametrize("kind", ["sentinel", "kept", "fresh"])
def test_acknowledged_writes_are_there_and_name_the_process_that_took_them(
    redis_set: LoopbackSet, kind: str
) -> None:
    master, replica = redis_set.nodes
    client = f"plain-{kind}"
    writers = through_sentinels(redis_set, client) if kind == "sentinel" else to(master, kind, client)
    with writers:
        writers.wait_for_acks(20, within_s=30)
        history = writers.stop()
    nodes = {"master": master.client, "replica": replica.client}
    within(30, lambda: reading.settled(reading.replication(nodes)), what="the replica has caught up")
    found = check(history, data=reading.read_all(nodes, [stream_of(client)]), master="master")
    assert found.is_clean, found.sentence()
    assert found.acked == len(history) >= 20
    assert {op.node for op in history} == {master.command("INFO", "server")["run_id"]}


def test_a_kept_connection_is_one_and_fresh_ones_are_many(redis_set: LoopbackSet) -> None:
    master = redis_set.nodes[0]

    def connections_for(kind: str) -> int:
        before = int(master.command("INFO", "stats")["total_connections_received"])
        with to(master, kind, f"count-{kind}") as writers:
            writers.wait_for_acks(30, within_s=30)
        return int(master.command("INFO", "stats")["total_connections_received"]) - before

    assert connections_for("kept") < 10  # one of ours, and Sentinel's and the replica's now and then
    assert connections_for("fresh") >= 30


@pytest.mark.parametrize("kind", ["kept", "fresh"])
def test_nobody_listens_is_a_certain_failure(redis_set: LoopbackSet, kind: str) -> None:
    address = redis_set.nodes[0].address
    with Writers(("--interval-ms", "5", kind, "--address", f"{address}:9"), env=ENV) as writers:
        wait_for(writers, Result.FAILED)
        history = writers.stop()
    assert outcomes(history) == {(Result.FAILED, "CONNECT")}


def test_a_replica_refuses_for_certain_and_the_kept_connection_stays_with_it(redis_set: LoopbackSet) -> None:
    replica = redis_set.nodes[1]
    with to(replica, "kept", "stuck") as writers:
        first = wait_for(writers, Result.FAILED)
        ids = {c["id"] for c in replica.command("CLIENT LIST") if c["cmd"] == "xadd"}
        wait_for(writers, Result.FAILED, count=len(first) + 20)
        assert {c["id"] for c in replica.command("CLIENT LIST") if c["cmd"] == "xadd"} == ids
        history = writers.stop()
    assert outcomes(history) == {(Result.FAILED, "READONLY")}
    assert redis_set.nodes[0].client.exists(stream_of("stuck")) == 0


def test_too_few_replicas_is_a_certain_failure(redis_set: LoopbackSet) -> None:
    master = redis_set.nodes[0]
    master.client.config_set("min-replicas-to-write", 5)
    try:
        with through_sentinels(redis_set, "few") as writers:
            wait_for(writers, Result.FAILED)
            history = writers.stop()
    finally:
        master.client.config_set("min-replicas-to-write", 0)
    assert outcomes(history) == {(Result.FAILED, "NOREPLICAS")}
    assert reading.values(master.client, [stream_of("few")]) == []


@pytest.mark.parametrize("kind", ["sentinel", "kept"])
def test_no_answer_is_unknown_and_never_failed(redis_set: LoopbackSet, kind: str) -> None:
    """A frozen Redis takes the write into its socket and executes it when it thaws: "failed" would be a
    lie.
    """
    master = redis_set.nodes[0]
    client = f"frozen-{kind}"
    writers = through_sentinels(redis_set, client) if kind == "sentinel" else to(master, kind, client)
    with writers:
        writers.wait_for_acks(5, within_s=30)
        master.process.send_signal(signal.SIGSTOP)
        try:
            unknown = wait_for(writers, Result.UNKNOWN, count=1)
        finally:
            master.process.send_signal(signal.SIGCONT)
        writers.wait_for_acks(5, within_s=30, after=time.monotonic())
        history = writers.stop()
    values = reading.values(master.client, [stream_of(client)])
    assert unknown[0].value in values, "the first write that got no answer was executed after the thaw"
    found = check(history, data={"master": values}, master="master")
    assert found.is_clean, found.sentence()
    assert found.unknown_present >= 1


def test_a_killed_connection_is_made_anew_and_what_was_under_way_is_unknown(redis_set: LoopbackSet) -> None:
    master = redis_set.nodes[0]
    with to(master, "kept", "killed") as writers:
        writers.wait_for_acks(5, within_s=30)
        master.command("CLIENT PAUSE", 5000, "WRITE")
        try:
            paused = time.monotonic()
            within(
                30,
                lambda: any(c["cmd"] == "xadd" and "b" in c["flags"] for c in master.command("CLIENT LIST")),
                what="a write waits",
            )
            master.command("CLIENT KILL", "TYPE", "normal")
            cut = wait_for(writers, Result.UNKNOWN, count=1)
        finally:
            master.command("CLIENT UNPAUSE")
        writers.wait_for_acks(5, within_s=30, after=time.monotonic())
        history = writers.stop()
    assert cut[0].completed >= paused
    found = check(history, data={"m": reading.values(master.client, [stream_of("killed")])}, master="m")
    assert found.is_clean, found.sentence()


def test_a_connection_that_was_closed_while_idle_costs_no_write(redis_set: LoopbackSet) -> None:
    """An application's pool looks before it sends; what it sends into a closed connection would be unknown."""
    master = redis_set.nodes[0]
    with to(master, "kept", "idle", "--interval-ms", "500") as writers:
        writers.wait_for_acks(1, within_s=30)
        master.command("CLIENT KILL", "TYPE", "normal")
        writers.wait_for_acks(3, within_s=30)
        history = writers.stop()
    assert {op.result for op in history} == {Result.OK}


def test_a_wrong_password_is_a_certain_failure_and_is_nowhere_repeated(redis_set: LoopbackSet) -> None:
    address = f"{redis_set.nodes[0].address}:{redis_set.nodes[0].port}"
    wrong = Writers(("--interval-ms", "5", "kept", "--address", address), env={PASSWORD_VARIABLE: "falsch"})
    with wrong as writers:
        wait_for(writers, Result.FAILED)
        history = writers.stop()
    assert outcomes(history) == {(Result.FAILED, "WRONGPASS")}
    assert "falsch" not in str(history)


def test_several_clients_have_names_and_values_of_their_own(redis_set: LoopbackSet) -> None:
    with to(redis_set.nodes[0], "kept", "team", "--clients", "3") as writers:
        within(
            30,
            lambda: {op.client for op in writers.ops()} == {"team.1", "team.2", "team.3"},
            what="all write",
        )
        history = writers.stop()
    assert len({op.value for op in history}) == len(history)


def test_the_interval_is_from_start_to_start(redis_set: LoopbackSet) -> None:
    with to(redis_set.nodes[0], "kept", "slow", "--interval-ms", "100") as writers:
        history = writers.wait_for_acks(11, within_s=30)
    took = history[10].invoked - history[0].invoked
    assert 0.95 < took < 2.0


def test_sigterm_ends_it_and_the_file_holds_the_whole_history(redis_set: LoopbackSet, tmp_path: Path) -> None:
    file = tmp_path / "history"
    node = redis_set.nodes[0]
    command = [sys.executable, "-m", "tests.workload", "write", "--client", "filed", "--interval-ms", "5"]
    command += ["--history", str(file), "kept", "--address", f"{node.address}:{node.port}"]
    child = subprocess.Popen(command, cwd=PROJECT, env=ENV)
    try:
        within(30, lambda: file.exists() and len(file.read_text().splitlines()) >= 10, what="ten writes")
        child.terminate()
        assert child.wait(5) == 0
    finally:
        child.kill()
        child.wait()
    found = check(
        load(file.read_text().splitlines()),
        data={"m": reading.values(node.client, [stream_of("filed")])},
        master="m",
    )
    assert found.is_clean, found.sentence()
    assert found.acked >= 10


def test_the_child_ends_when_its_parent_is_gone(redis_set: LoopbackSet) -> None:
    node = redis_set.nodes[0]
    script = (
        "import sys, time\n"
        "from tests.workload.process import Writers\n"
        f"w = Writers(('--client', 'orphan', 'kept', '--address', '{node.address}:{node.port}'))\n"
        "w.wait_for_acks(1, within_s=30)\n"
        "print('writing', flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT, env=ENV, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"writing\n"
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()
    within(
        30,
        lambda: not any(c["cmd"] == "xadd" for c in node.command("CLIENT LIST")),
        what="the writer is gone",
    )


def test_a_wrong_command_line_is_said_by_whoever_waits() -> None:
    with (
        pytest.raises(WorkloadError, match="no HOST:PORT"),
        Writers(("kept", "--address", "nowhere")) as writers,
    ):
        writers.wait_for_acks(1, within_s=30)


def test_read_and_check_are_commands_and_a_loss_is_exit_code_one(
    redis_set: LoopbackSet, tmp_path: Path
) -> None:
    node = redis_set.nodes[0]
    with to(node, "kept", "judged") as writers:
        writers.wait_for_acks(3, within_s=30)
        history = writers.stop()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.workload", *arguments]
        return subprocess.run(command, cwd=PROJECT, env=ENV, text=True, capture_output=True, check=False)

    (tmp_path / "history").write_text("\n".join(dump(op) for op in history))
    read = run("read", "--node", f"m={node.address}:{node.port}", "--stream", stream_of("judged"))
    (tmp_path / "data").write_text(read.stdout)
    arguments = ("check", "--history", f"{tmp_path}/history", "--data", f"{tmp_path}/data", "--master", "m")
    clean = run(*arguments)
    assert clean.returncode == 0, clean.stderr
    assert "0 lost" in clean.stdout
    (tmp_path / "data").write_text(read.stdout.replace(history[1].value, "gone"))
    lossy = run(*arguments)
    assert lossy.returncode == 1
    assert "1 lost" in lossy.stdout
    assert "1 unexpected" in lossy.stdout
