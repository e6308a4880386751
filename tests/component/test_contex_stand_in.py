"""The Contex stand-in as a process against real redis-servers and sentinels: what it says, and what it
claims.

It is wired by the env contract only, in both modes, and every one of its answers is held against the data.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest

from tests.client.acting import SECRETS, by_sentinels
from tests.workload import reading
from tests.workload.checker import Verdict, check, longest_gap
from tests.workload.history import Op, Result
from tests.workload.loopback import MASTER_NAME, LoopbackSet, Node, within
from tests.workload.process import PROJECT, Writers
from tests.workload.writers import project_stream

IN_A_URL = "geheim%2Feins%3A%40"
DOWN_AFTER_MS = 2000
SHIM = PROJECT / "client" / "shim"


class StandIn:
    """`python main.py` with nothing but the given variables; its log is a file."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "stand-in.log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "main.py"],
                cwd=PROJECT / "tests" / "contex",
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(PROJECT / "client"),
                    "HOST": "127.0.0.1",
                    "PORT": str(port),
                    **env,
                },
                stdout=log,
                stderr=log,
            )
        self.http = httpx.Client(base_url=self.url, timeout=10, trust_env=False)

    def __enter__(self) -> Self:
        try:
            within(60, self._is_live, what="the stand-in serves")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def log(self) -> str:
        """Everything that it has written."""
        return self._log.read_text()

    def publish(self, key: str, data: object = None) -> httpx.Response:
        """One write into project "p"."""
        body = {"project_id": "p", "data_key": key, "data": data}
        return self.http.post("/api/v1/data/publish", json=body)

    def _is_live(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the stand-in ended with exit code {self.process.returncode}: {self.log}")
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def _end(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()


def by_url(redis_set: LoopbackSet, node: int = 0, **more: str) -> dict[str, str]:
    url = f"redis://:{IN_A_URL}@{redis_set.nodes[node].address}:6379/2"
    return {"REDIS_URL": url, "REDIS_SOCKET_TIMEOUT": "1", **more}


@pytest.fixture(scope="module")
def quiet_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSet]:
    """A set that no test fails over; each puts back what it changed."""
    with LoopbackSet(
        tmp_path_factory.mktemp("quiet"), replicas=1, down_after_ms=60_000, access=SECRETS
    ) as redis_set:
        yield redis_set


@pytest.fixture
def failing_set(tmp_path: Path) -> Iterator[LoopbackSet]:
    """A set for one test that breaks it."""
    with LoopbackSet(tmp_path, down_after_ms=DOWN_AFTER_MS, access=SECRETS) as redis_set:
        yield redis_set


class TestWired:
    def test_by_sentinels_it_says_the_documented_line_and_writes_to_the_master(
        self, quiet_set: LoopbackSet, tmp_path: Path
    ) -> None:
        master = quiet_set.nodes[0]
        with StandIn(tmp_path, by_sentinels(quiet_set)) as contex:
            answer = contex.publish("a", {"x": 1})
            assert answer.status_code == 200, answer.text
            assert answer.headers["X-Redis-Run-Id"] == master.command("INFO", "server")["run_id"]
            line = (
                f"Connected to Redis via Sentinel | master_name={MASTER_NAME} master_host={master.address} "
                "master_port=6379 sentinel_count=3"
            )
            assert line in contex.log
            assert contex.log.count("Connected to Redis") == 1
        assert reading.values(master.client, [project_stream("p")]) == ["a"]
        master.client.delete(project_stream("p"))

    def test_by_url_the_password_and_the_database_come_from_it(
        self, quiet_set: LoopbackSet, tmp_path: Path
    ) -> None:
        master = quiet_set.nodes[0]
        with StandIn(tmp_path, by_url(quiet_set, REDIS_PASSWORD="falsch", REDIS_DB="7")) as contex:
            assert contex.publish("a").status_code == 200
            assert "REDIS_PASSWORD has no effect: REDIS_URL has its own" in contex.log
            assert "REDIS_DB has no effect: REDIS_URL has its own" in contex.log
        assert master.command("INFO", "keyspace").keys() == {"db2"}
        master.client.flushall()

    def test_what_was_published_is_read_back_from_where_one_left_off(
        self, quiet_set: LoopbackSet, tmp_path: Path
    ) -> None:
        with StandIn(tmp_path, by_sentinels(quiet_set)) as contex:
            sequences = [contex.publish(f"k{i}", {"n": i}).json()["sequence"] for i in range(5)]
            events = contex.http.get("/api/v1/projects/p/events", params={"since": "0", "count": 100}).json()
            assert [e["sequence"] for e in events["events"]] == sequences
            assert events["events"][3] == {"sequence": sequences[3], "data_key": "k3", "data": {"n": 3}}
            later = contex.http.get(
                "/api/v1/projects/p/events", params={"since": sequences[1], "count": 2}
            ).json()
            assert [e["data_key"] for e in later["events"]] == ["k2", "k3"]
            assert contex.http.get("/api/v1/projects/other/events").json()["events"] == []
            assert contex.http.post("/api/v1/data/publish", json={"project_id": "p"}).status_code == 422
        quiet_set.nodes[0].client.flushall()

    def test_no_password_is_ever_in_the_log_or_an_answer(
        self, quiet_set: LoopbackSet, tmp_path: Path
    ) -> None:
        with StandIn(tmp_path, by_sentinels(quiet_set)) as first:
            answer = first.http.get("/api/v1/metrics").text
            log = first.log
        (tmp_path / "2").mkdir()
        with StandIn(tmp_path / "2", by_url(quiet_set)) as second:
            log += second.log + answer
        wrong = StandIn(
            tmp_path, by_url(quiet_set) | {"REDIS_URL": f"redis://:falsch@{quiet_set.nodes[0].address}"}
        )
        assert wrong.process.wait(60) == 3
        log += wrong.log
        wrong.http.close()
        assert "Failed to connect to Redis | reason=AuthenticationError" in log
        for secret in ("geheim", "falsch"):
            assert secret not in log

    def test_the_documented_metrics_move(self, quiet_set: LoopbackSet, tmp_path: Path) -> None:
        with StandIn(tmp_path, by_sentinels(quiet_set)) as contex:
            contex.publish("a")
            text = contex.http.get("/api/v1/metrics").text
        assert 'contex_redis_operation_duration_seconds_count{command="XADD"} 1.0' in text
        assert 'contex_redis_connections{pool="master"} 0.0' in text
        assert "contex_redis_connection_errors_total{" not in text
        quiet_set.nodes[0].client.flushall()


class TestPublished:
    """By redis-py exactly as Contex 0.1.10 uses it."""

    def test_sentinel_mode_can_not_start_without_the_shim_and_says_why(
        self, quiet_set: LoopbackSet, tmp_path: Path
    ) -> None:
        contex = StandIn(tmp_path, by_sentinels(quiet_set, CONTEX_CLIENT="published"))
        try:
            assert contex.process.wait(60) == 3
        finally:
            contex.http.close()
        assert "Failed to connect to Redis via Sentinel" in contex.log
        assert "unexpected keyword argument 'connection_pool_kwargs'" in contex.log

    def test_with_the_shim_it_starts_and_follows_a_crash(
        self, failing_set: LoopbackSet, tmp_path: Path
    ) -> None:
        env = by_sentinels(failing_set, CONTEX_CLIENT="published", PYTHONPATH=f"{SHIM}:{PROJECT / 'client'}")
        with StandIn(tmp_path, env) as contex:
            assert "Sentinel shim | handed on connection_pool_kwargs" in contex.log
            assert contex.publish("before").status_code == 200
            failing_set.nodes[0].kill()
            within(
                60, lambda: contex.publish("after").status_code == 200, what="it writes to the next master"
            )
        master = failing_set.master()
        assert master is not None
        assert "after" in reading.values(master.client, [project_stream("p")])

    def test_a_wrong_client_is_refused_by_name(self, tmp_path: Path) -> None:
        contex = StandIn(tmp_path, {"CONTEX_CLIENT": "mine"})
        try:
            assert contex.process.wait(60) == 2
        finally:
            contex.http.close()
        assert "CONTEX_CLIENT is 'mine': it must be 'package' or 'published'" in contex.log


class TestRefusals:
    def test_too_few_replicas_is_known_to_have_failed_and_does_not_make_it_unready(
        self, quiet_set: LoopbackSet, tmp_path: Path
    ) -> None:
        master = quiet_set.nodes[0]
        with StandIn(tmp_path, by_sentinels(quiet_set)) as contex:
            master.client.config_set("min-replicas-to-write", 5)
            try:
                answer = contex.publish("refused")
                assert (answer.status_code, answer.json()["unknown"]) == (503, False)
                assert answer.json()["code"] == "NOREPLICAS"
                assert contex.http.get("/api/v1/health/ready").status_code == 200
            finally:
                master.client.config_set("min-replicas-to-write", 0)
            assert contex.publish("later").status_code == 200
        assert reading.values(master.client, [project_stream("p")]) == ["later"]
        master.client.flushall()

    def test_a_refusal_that_ends_within_the_timeout_costs_no_error(
        self, quiet_set: LoopbackSet, tmp_path: Path
    ) -> None:
        master = quiet_set.nodes[0]
        with StandIn(tmp_path, by_sentinels(quiet_set, REDIS_SOCKET_TIMEOUT="5")) as contex:
            arguments = (
                "--client",
                "w",
                "--timeout-ms",
                "8000",
                "http",
                "--url",
                contex.url,
                "--project",
                "p",
            )
            before = refusals(master)
            master.client.config_set("min-replicas-to-write", 5)
            try:
                with Writers(arguments) as writers:
                    within(30, lambda: refusals(master) > before, what="a write was refused")
                    master.client.config_set("min-replicas-to-write", 0)
                    writers.wait_for_acks(5, within_s=30)
                    history = writers.stop()
            finally:
                master.client.config_set("min-replicas-to-write", 0)
        assert {op.result for op in history} == {Result.OK}
        found = check(history, data={"m": reading.values(master.client, [project_stream("p")])}, master="m")
        assert found.is_clean, found.sentence()
        master.client.flushall()

    def test_wired_by_url_it_stays_with_a_demoted_master_as_contex_does(
        self, quiet_set: LoopbackSet, tmp_path: Path
    ) -> None:
        replica = quiet_set.nodes[1]
        with StandIn(tmp_path, by_url(quiet_set, node=1, CONTEX_CLIENT="published")) as contex:
            before = refusals(replica, "READONLY")
            answers = [contex.publish(f"k{i}") for i in range(3)]
            assert {a.status_code for a in answers} == {503}
            assert {(a.json()["code"], a.json()["unknown"]) for a in answers} == {("READONLY", False)}
            mine = [c for c in replica.command("CLIENT LIST") if c["cmd"] == "xadd"]
            assert len(mine) == 1
            assert refusals(replica, "READONLY") == before + 3, "each write is tried once"
            assert contex.http.get("/api/v1/health/ready").status_code == 200


def refusals(node: Node, word: str = "NOREPLICAS") -> int:
    """How often a node has answered with this error."""
    return int(node.command("INFO", "errorstats").get(f"errorstat_{word}", {"count": 0})["count"])


def writes_hang(contex: StandIn) -> bool:
    """Three looks in a row find a connection in use: with Redis frozen, that one waits for its answer."""
    scrapes = [contex.http.get("/api/v1/metrics").text.splitlines() for _ in range(3)]
    return all('contex_redis_connections{pool="master"} 1.0' in lines for lines in scrapes)


class TestStartAndStop:
    def test_it_stops_within_three_seconds_of_sigterm_even_while_a_write_hangs(
        self, quiet_set: LoopbackSet, tmp_path: Path
    ) -> None:
        master = quiet_set.nodes[0]
        with StandIn(tmp_path, by_sentinels(quiet_set, REDIS_SOCKET_TIMEOUT="30")) as contex:
            arguments = ("--timeout-ms", "20000", "http", "--url", contex.url, "--project", "p")
            with Writers(arguments) as writers:
                writers.wait_for_acks(1, within_s=30)
                master.process.send_signal(signal.SIGSTOP)
                try:
                    within(30, lambda: writes_hang(contex), what="a write hangs")
                    seen = len(writers.ops())
                    told = time.monotonic()
                    contex.process.send_signal(signal.SIGTERM)
                    contex.process.wait(5)
                    took = time.monotonic() - told
                finally:
                    master.process.send_signal(signal.SIGCONT)
                within(30, lambda: len(writers.ops()) > seen, what="the hanging write has ended")
        assert took < 3.0
        within(30, lambda: master.client.ping(), what="the master is back")
        master.client.flushall()

    @pytest.mark.parametrize("mode", ["sentinel", "standalone"])
    def test_without_redis_it_says_why_and_ends_with_three(
        self, quiet_set: LoopbackSet, tmp_path: Path, mode: str
    ) -> None:
        address = quiet_set.nodes[0].address
        env = by_sentinels(quiet_set, REDIS_SENTINEL_HOSTS=f"{address}:9,{address}:10")
        if mode == "standalone":
            env = {"REDIS_URL": f"redis://:geheim@{address}:9"}
        contex = StandIn(tmp_path, env)
        try:
            assert contex.process.wait(60) == 3
        finally:
            contex.process.kill()
            contex.process.wait()
            contex.http.close()
        via = f"via Sentinel | master_name={MASTER_NAME} reason=" if mode == "sentinel" else "| reason="
        assert f"Failed to connect to Redis {via}" in contex.log
        assert "Connect call failed" in contex.log
        assert "geheim" not in contex.log
        assert "Traceback" not in contex.log

    def test_a_wrong_variable_ends_it_with_two_and_one_line(self, tmp_path: Path) -> None:
        contex = StandIn(tmp_path, {"REDIS_SOCKET_TIMEOUT": "0.5"})
        try:
            assert contex.process.wait(60) == 2
        finally:
            contex.http.close()
        assert "REDIS_SOCKET_TIMEOUT is '0.5': it must be a whole number, at least 1" in contex.log
        assert len(contex.log.splitlines()) == 1


class TestFailover:
    def test_a_crash_of_the_master_costs_an_outage_and_no_write(
        self, failing_set: LoopbackSet, tmp_path: Path
    ) -> None:
        old = failing_set.nodes[0]
        with StandIn(tmp_path, by_sentinels(failing_set)) as contex:
            arguments = (
                "--interval-ms",
                "10",
                "--timeout-ms",
                "1000",
                "http",
                "--url",
                contex.url,
                "--project",
                "p",
            )
            with Writers(arguments) as writers:
                writers.wait_for_acks(20, within_s=30)
                old.kill()
                killed = time.monotonic()
                writers.wait_for_acks(20, within_s=30, after=killed + 1)
                history = writers.stop()
            new = failing_set.master()
            assert new is not None
            assert f"master_host={new.address} " in contex.log
            assert contex.log.count("Connected to Redis via Sentinel") == 2
        found, gap = judged(failing_set, history), longest_gap(history)
        print(found.sentence(), gap)
        assert found.is_clean, found.sentence()
        assert gap.seconds < DOWN_AFTER_MS / 1000 + 2.5

    def test_a_frozen_master_makes_unknown_writes_and_is_left_for_the_new_one(
        self, failing_set: LoopbackSet, tmp_path: Path
    ) -> None:
        """No refusal reaches anybody here: only timeouts tell. What hung must not be called failed."""
        old = failing_set.nodes[0]
        with StandIn(tmp_path, by_sentinels(failing_set)) as contex:
            arguments = (
                "--interval-ms",
                "10",
                "--timeout-ms",
                "3000",
                "http",
                "--url",
                contex.url,
                "--project",
                "p",
            )
            with Writers(arguments) as writers:
                writers.wait_for_acks(20, within_s=30)
                old.process.send_signal(signal.SIGSTOP)
                try:
                    frozen = time.monotonic()
                    writers.wait_for_acks(20, within_s=30, after=frozen + 1)
                finally:
                    old.process.send_signal(signal.SIGCONT)
                history = writers.stop()
        unknown = [op for op in history if op.result is Result.UNKNOWN]
        assert unknown
        assert "HTTP 504" in str(unknown[0].reason)
        found, gap = judged(failing_set, history), longest_gap(history)
        print(found.sentence(), gap)
        assert not found.lost, found.sentence()
        assert not found.resurrected, found.sentence()
        assert gap.seconds < DOWN_AFTER_MS / 1000 + 4


def judged(redis_set: LoopbackSet, history: list[Op]) -> Verdict:
    """Read the data of every living node once they have settled, and judge."""
    living = {n.name: n.client for n in redis_set.nodes if n.process.poll() is None}
    within(60, lambda: reading.settled(reading.replication(living)), what="one master, and synced replicas")
    master = redis_set.master()
    assert master is not None
    return check(history, data=reading.read_all(living, [project_stream("p")]), master=master.name)
