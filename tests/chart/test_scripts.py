"""The scripts of the chart's pods, run as they are: under dash and BusyBox, with redis-cli or valkey-cli only."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from tests.chart.rendering import CHART
from tests.component.harness.processes import Child, free_ports, wait_until
from tests.workload.loopback import LoopbackSet, Node
from tests.workload.writers import Access

WAIT = CHART / "files" / "wait-for-redis.sh"
TEST = CHART / "files" / "test-redis.sh"
# What the scripts use of an image; all of it is in Alpine's BusyBox and in Debian's slim images.
COMMANDS = ("timeout", "tr", "sed", "sleep", "date", "hostname")
NOBODY = "127.255.255.254"


class Shell:
    """A shell with the commands of one kind of image and nothing else in its PATH."""

    def __init__(self, folder: Path, *, kind: str, cli: str) -> None:
        self.path = folder / "bin"
        self.path.mkdir()
        busybox = shutil.which("busybox")
        assert busybox
        for command in COMMANDS:
            found = busybox if kind == "busybox" else shutil.which(command)
            assert found, command
            (self.path / command).symlink_to(found)
        redis_cli = shutil.which("redis-cli")
        assert redis_cli
        (self.path / cli).symlink_to(redis_cli)
        self.argv = [busybox, "sh"] if kind == "busybox" else [str(shutil.which("dash"))]
        self.log = folder / "script.log"

    def start(self, script: Path, **environment: str) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [*self.argv, "-c", script.read_text()],
                env={"PATH": str(self.path), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.path,
            )

    def run(self, script: Path, **environment: str) -> tuple[int, str]:
        """(exit code, output)."""
        process = self.start(script, **environment)
        try:
            code = process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail(f"still running after 40 s; it said: {self.said()}")
        return code, self.said()

    def said(self) -> str:
        return self.log.read_text()


@pytest.fixture(params=["dash, redis-cli", "busybox, valkey-cli"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    kind, cli = request.param.split(", ")
    return Shell(tmp_path, kind=kind, cli=cli)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSet]:
    """A whole set with passwords."""
    access = Access(password="pass word", sentinel_password="other$word")
    with LoopbackSet(tmp_path_factory.mktemp("set"), access=access) as running:
        yield running


def info(node: Node, section: str) -> dict[str, Any]:
    return cast("dict[str, Any]", node.client.info(section))


@pytest.mark.parametrize("script", [WAIT, TEST], ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


class TestWaiting:
    def test_it_waits_for_a_master_that_asks_for_a_password(self, shell: Shell, tmp_path: Path) -> None:
        (port,) = free_ports(1)
        process = shell.start(WAIT, MASTER="127.0.0.1", PORT=str(port))
        try:
            wait_until(
                lambda: "ok" if f"waiting for a master at 127.0.0.1:{port}" in shell.said() else shell.said(),
                within_s=10,
                what="the script says what it waits for",
            )
            assert process.poll() is None
            server = Child(
                ["redis-server", "--port", str(port), "--requirepass", "hush", "--dir", str(tmp_path)],
                log=tmp_path / "redis.log",
            )
            try:
                assert process.wait(timeout=15) == 0
            finally:
                server.kill()
        finally:
            process.kill()
            process.wait()
        assert shell.said().endswith("Redis answers\n")
        assert shell.said().count("waiting for") == 1

    def test_a_whole_set_is_not_waited_for(self, shell: Shell, guarded: LoopbackSet) -> None:
        address = guarded.nodes[0].address
        code, said = shell.run(WAIT, MASTER=address, NODES=address, SENTINELS=guarded.sentinel_addresses)
        assert (code, said) == (0, "Redis answers\n")

    def test_one_sentinel_of_all_is_enough(self, shell: Shell, guarded: LoopbackSet) -> None:
        address = guarded.nodes[0].address
        sentinels = f"{NOBODY}:26379,{guarded.sentinels[2].address}:26379"
        code, said = shell.run(WAIT, MASTER=address, NODES=address, SENTINELS=sentinels)
        assert (code, said) == (0, "Redis answers\n")

    def test_where_only_the_service_of_the_master_is_behind_it_waits_a_short_time(
        self, shell: Shell, guarded: LoopbackSet
    ) -> None:
        started = time.monotonic()
        code, said = shell.run(
            WAIT,
            MASTER=NOBODY,
            NODES=guarded.nodes[0].address,
            SENTINELS=guarded.sentinel_addresses,
            PATIENCE="3",
        )
        assert code == 0
        assert said.endswith(f"waiting for a master at {NOBODY}:6379\nRedis answers\n")
        assert time.monotonic() - started > 2, "patience counts whole seconds of the clock"

    def test_patience_begins_when_only_the_master_is_missing(
        self, shell: Shell, guarded: LoopbackSet, tmp_path: Path
    ) -> None:
        (port,) = free_ports(1)
        address = guarded.nodes[0].address
        process = shell.start(WAIT, MASTER=NOBODY, NODES=address, SENTINELS=f"127.0.0.1:{port}", PATIENCE="2")
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=4)
            late = Child(
                ["redis-server", "--port", str(port), "--dir", str(tmp_path)], log=tmp_path / "redis.log"
            )
            try:
                assert process.wait(timeout=20) == 0
            finally:
                late.kill()
        finally:
            process.kill()
            process.wait()
        assert shell.said().splitlines() == [
            f"waiting for a sentinel at 127.0.0.1:{port}",
            f"waiting for a master at {NOBODY}:6379",
            "Redis answers",
        ]

    @pytest.mark.parametrize("missing", ["sentinels", "nodes"])
    def test_without_sentinels_or_data_it_waits_on(
        self, shell: Shell, guarded: LoopbackSet, missing: str
    ) -> None:
        address = guarded.nodes[0].address
        sentinels = f"{NOBODY}:26379" if missing == "sentinels" else guarded.sentinel_addresses
        nodes = NOBODY if missing == "nodes" else address
        wanted = f"a sentinel at {NOBODY}:26379" if missing == "sentinels" else f"a data pod at {NOBODY}:6379"
        process = shell.start(WAIT, MASTER=address, NODES=nodes, SENTINELS=sentinels, PATIENCE="0")
        try:
            wait_until(
                lambda: "ok" if f"waiting for {wanted}\n" in shell.said() else shell.said(),
                within_s=10,
                what="the script says what it waits for",
            )
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=3)
        finally:
            process.kill()
            process.wait()

    def test_a_black_hole_costs_seconds_and_not_for_ever(self, shell: Shell, guarded: LoopbackSet) -> None:
        node = guarded.nodes[2]
        node.process.send_signal(signal.SIGSTOP)  # accepts connections and never answers
        try:
            process = shell.start(WAIT, MASTER=node.address)
            wait_until(
                lambda: "ok" if "waiting for a master" in shell.said() else shell.said(),
                within_s=8,
                what="the script gives up on an address that does not answer",
            )
        finally:
            node.process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=15) == 0
        assert "Terminated" not in shell.said()


class TestTesting:
    ENVIRONMENT: ClassVar = {
        "REDIS_PASSWORD": "pass word",
        "SENTINEL_PASSWORD": "other$word",
        "MASTER_NAME": "mymaster",
    }

    def test_it_writes_through_sentinels_and_service(self, shell: Shell, guarded: LoopbackSet) -> None:
        master = guarded.nodes[0]
        sentinels = f"{NOBODY}:26379,{guarded.sentinel_addresses}"
        before = info(master, "commandstats").get("cmdstat_set", {"calls": 0})["calls"]
        code, said = shell.run(
            TEST, MASTER=master.address, SENTINELS=sentinels, DATABASE="3", **self.ENVIRONMENT
        )
        assert code == 0, said
        assert said.splitlines() == [
            "ok     write and read through the sentinels",
            f"ok     write and read through the Service {master.address}",
        ]
        assert info(master, "commandstats")["cmdstat_set"]["calls"] == before + 2
        keyspace = info(master, "keyspace")
        assert keyspace["db3"]["expires"] == keyspace["db3"]["keys"], "what the test leaves behind expires"
        assert "db0" not in keyspace

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"REDIS_PASSWORD": "wrong"}, "FAILED write and read through the sentinels: writing at"),
            ({"SENTINEL_PASSWORD": "wrong"}, "says: "),
            ({"SENTINEL_PASSWORD": ""}, "NOAUTH"),
            ({"MASTER_NAME": "unknown"}, "FAILED write and read through the sentinels: sentinel"),
            ({"SENTINELS": f"{NOBODY}:26379"}, "no connection"),
            (
                {"MASTER": NOBODY},
                f"FAILED write and read through the Service {NOBODY}: writing at {NOBODY}:6379",
            ),
        ],
        ids=[
            "password",
            "sentinel password",
            "no sentinel password",
            "master name",
            "no sentinel",
            "no Service",
        ],
    )
    def test_it_fails_with_what_was_answered(
        self, shell: Shell, guarded: LoopbackSet, change: dict[str, str], sentence: str
    ) -> None:
        environment = {
            "MASTER": guarded.nodes[0].address,
            "SENTINELS": guarded.sentinels[0].address + ":26379",
            "DEADLINE": "1",
            **self.ENVIRONMENT,
            **change,
        }
        code, said = shell.run(TEST, **environment)
        assert code == 1, said
        assert sentence in said
        assert "other$word" not in said
        assert "pass word" not in said

    def test_a_service_that_leads_to_a_replica_fails(self, shell: Shell, guarded: LoopbackSet) -> None:
        code, said = shell.run(
            TEST, MASTER=guarded.nodes[1].address, DEADLINE="1", REDIS_PASSWORD="pass word"
        )
        assert code == 1
        assert "READONLY" in said

    def test_without_sentinels_and_passwords(self, shell: Shell, tmp_path: Path) -> None:
        (port,) = free_ports(1)
        server = Child(
            ["redis-server", "--port", str(port), "--dir", str(tmp_path)], log=tmp_path / "redis.log"
        )
        try:
            code, said = shell.run(TEST, MASTER="127.0.0.1", PORT=str(port))
        finally:
            server.kill()
        assert (code, said) == (0, "ok     write and read through the Service 127.0.0.1\n")
