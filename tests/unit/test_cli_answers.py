"""What the scripts in pods print, run for real in a shell with a redis-cli that answers as the recorded servers did."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contex_operator.cli import answers
from contex_operator.cli.questions import CONTEX_PROBE, DATA_QUESTIONS, key_of, script
from contex_operator.model import Reach
from contex_operator.views import sentinel_commands

from tests.unit.test_views import replies
from tests.unit.test_views import sentinel as recorded_sentinel

Printed = Callable[[dict[str, str]], dict[str, answers.Answer]]


def flat(reply: Any) -> str:
    """A reply as redis-cli prints it into a pipe: one element per line, nested ones too."""
    if isinstance(reply, list):
        return "\n".join(flat(one) for one in reply)
    return str(reply)


@pytest.fixture
def shell(tmp_path: Path) -> Callable[[str, dict[str, str]], dict[str, answers.Answer]]:
    """Runs a script with a redis-cli that prints what is given for its words, or is not reached."""

    def run(words: str, said: dict[str, str]) -> dict[str, answers.Answer]:
        cases = []
        for number, (ending, text) in enumerate(said.items()):
            (tmp_path / str(number)).write_text(text + "\n", newline="")
            cases.append(f"*{shlex.quote(ending)}) exec cat {tmp_path / str(number)} ;;")
        cli = tmp_path / "redis-cli"
        cli.write_text(
            '#!/bin/sh\ncase "$*" in\n' + "\n".join(cases) + "\nesac\n"
            "echo Could not connect to Redis at x:1: Connection refused; exit 1\n"
        )
        cli.chmod(0o755)
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        ran = subprocess.run(
            ["sh", "-c", words], capture_output=True, text=True, env=env, check=True, timeout=60
        )
        assert ran.stderr == ""
        return answers.answers(ran.stdout)

    return run


def test_a_sentinel_is_seen_as_the_operator_sees_it(shell: Callable[..., dict[str, answers.Answer]]) -> None:
    questions = sentinel_commands("mymaster")
    said = {" ".join(map(str, q)): flat(r) for q, r in zip(questions, replies("sentinel-whole"), strict=True)}
    found = shell(script(26379, questions), said)
    assert set(found) == {key_of(question) for question in questions}
    seen = answers.sentinel_view("redis-sentinel-0", "127.88.3.1", found, master_name="mymaster")
    assert seen == recorded_sentinel("sentinel-whole")


def test_a_sentinel_that_monitors_nothing(shell: Callable[..., dict[str, answers.Answer]]) -> None:
    questions = sentinel_commands("mymaster")
    said = {" ".join(map(str, q)): "ERR No such master with that name" for q in questions} | {
        "INFO sentinel": "sentinel_tilt:0"
    }
    seen = answers.sentinel_view("s", None, shell(script(26379, questions), said), master_name="mymaster")
    assert (seen.reach, seen.monitors) == (Reach.UP, False)


INFO = "\r\n".join(
    (
        "# Replication",
        "role:master",
        "connected_slaves:1",
        "slave0:ip=10.0.0.2,port=6379,state=online,offset=90,lag=1",
        "master_repl_offset:100",
        "connected_clients:7",
        "used_memory:1048576",
        "maxmemory:4194304",
        "rejected_connections:2",
        "aof_enabled:1",
        "aof_last_write_status:err",
        "rdb_last_bgsave_status:ok",
    )
)
CLIENTS = (
    "id=3 addr=10.1.0.7:40000 laddr=10.1.0.1:6379 fd=8 name= flags=N cmd=get user=default\n"
    "id=4 addr=10.1.0.7:40001 laddr=10.1.0.1:6379 fd=9 name= flags=P cmd=subscribe user=default\n"
    "id=5 addr=10.0.0.2:40002 laddr=10.1.0.1:6379 fd=9 name= flags=S cmd=replconf user=default\n"
    "id=6 addr=[fd00::7]:40002 laddr=x fd=9 name= flags=N cmd=ping user=default\n"
    "id=7 addr=127.0.0.1:4 laddr=x fd=9 name= flags=N cmd=client|list user=default"
)
DATA_SAID = {
    "INFO": INFO,
    "replica-priority": "replica-priority\n100",
    "min-replicas-to-write": "min-replicas-to-write\n1",
    "maxclients": "maxclients\n10000",
    "CLIENT LIST": CLIENTS,
    "-h 10.0.0.2 -p 6379 PING": "PONG",
    "-h 10.0.0.3 -p 6379 PING": "AUTH failed: WRONGPASS invalid username-password pair\nNOAUTH …",
}


def test_a_data_pod_and_its_knocks(shell: Callable[..., dict[str, answers.Answer]]) -> None:
    knocks = [("10.0.0.2", 6379), ("10.0.0.3", 6379), ("10.0.0.4", 26379)]
    found = shell(script(6379, DATA_QUESTIONS, knocks=knocks), DATA_SAID)
    node = answers.data_view("redis-master-0", "10.0.0.1", found)
    assert (node.role, node.offset, node.min_replicas, node.replicas[0].address) == (
        "master",
        100,
        1,
        "10.0.0.2",
    )
    vitals = answers.vitals(found)
    assert (vitals.memory_used, vitals.memory_max, vitals.clients_max) == (2**20, 2**22, 10000)
    assert (vitals.aof, vitals.rejected) == ("failing", 2)
    assert vitals.connections == {"10.1.0.7": 2, "fd00::7": 1}, (
        "replicas and the one that asks are no clients"
    )
    pods = {"10.0.0.2": "a", "10.0.0.3": "b", "10.0.0.4": "c"}
    first, second, third = answers.knocks("m", found, pods=pods)
    assert (first.target, first.error) == ("a", None)
    assert second.is_denied
    assert not second.is_unreached
    assert third.is_unreached
    assert third.error == "Connection refused"


@pytest.mark.parametrize(
    ("text", "code", "reach"),
    [
        ("Could not connect to Redis at 127.0.0.1:6379: Connection refused", 1, Reach.REFUSED),
        ("Could not connect to Redis at 127.0.0.1:6379: No route to host", 1, Reach.OTHER),
        ("", 124, Reach.TIMEOUT),
        ("", 143, Reach.TIMEOUT),
        ("NOAUTH Authentication required.", 0, Reach.DENIED),
        ("AUTH failed: WRONGPASS invalid username-password pair", 0, Reach.DENIED),
    ],
)
def test_how_a_server_is_not_reached(text: str, code: int, reach: Reach) -> None:
    found = {key_of(question): answers.Answer(text=text, code=code) for question in DATA_QUESTIONS}
    assert answers.data_view("m", "10.0.0.1", found).reach is reach


def test_a_container_that_printed_nothing_is_no_healthy_one() -> None:
    assert answers.data_view("m", "10.0.0.1", {}).reach is Reach.OTHER
    assert answers.told_by_contex("Traceback: no module named json") is None


def test_latency() -> None:
    assert answers.latency({"latency": answers.Answer(text="0 105 3.86 58", code=0)}) == (3.86, 105.0)
    assert answers.latency({"latency": answers.Answer(text="", code=124)}) is None


def test_the_probe_in_contex_says_what_it_met_and_no_password() -> None:
    env = {
        "REDIS_MODE": "sentinel",
        "REDIS_SENTINEL_HOSTS": "127.0.0.1:1,nowhere.invalid:26379",
        "REDIS_PASSWORD": "very-secret",
        "REDIS_SENTINEL_PASSWORD": "also-secret",
    }
    ran = subprocess.run(
        [sys.executable, "-c", CONTEX_PROBE], capture_output=True, text=True, env=env, check=True, timeout=60
    )
    assert "secret" not in ran.stdout + ran.stderr
    told = answers.told_by_contex(ran.stdout)
    assert told is not None
    assert [seen.error for seen in told["sentinels"]] == ["connection refused", "the name does not resolve"]
    assert told["master"] is None


def test_the_probe_reads_what_cannot_be_read() -> None:
    env = {"REDIS_URL": "redis://:very-secret@host:port/0"}
    ran = subprocess.run(
        [sys.executable, "-c", CONTEX_PROBE], capture_output=True, text=True, env=env, check=True, timeout=60
    )
    assert "secret" not in ran.stdout + ran.stderr
    told = answers.told_by_contex(ran.stdout)
    assert told is not None
    assert "cannot be read" in str(told["problem"])


def test_lines_of_a_log_that_speak_of_trouble() -> None:
    log = "all is well\nFailed to connect to Redis via Sentinel | x\nGET /health 200\nNOAUTH Authentication required.\n"
    assert answers.troubled_lines(log) == (
        "Failed to connect to Redis via Sentinel | x",
        "NOAUTH Authentication required.",
    )


def test_a_long_answer_is_not_torn_by_the_knocks_beside_it(
    shell: Callable[..., dict[str, answers.Answer]],
) -> None:
    """More than one write of a pipe holds, while twenty knocks end: each answer stays whole."""
    long = INFO + "\n" + "\n".join(f"filler_{number}:{'x' * 60}" for number in range(2000))
    knocks = [(f"10.0.1.{number}", 6379) for number in range(20)]
    words = script(6379, DATA_QUESTIONS, knocks=knocks)
    beside = [line.endswith("&") for line in words.splitlines() if line.startswith("ask ")]
    assert beside == sorted(beside), "something is printed beside an answer of any length"
    found = shell(words, DATA_SAID | {"INFO": long})
    assert found["own:INFO"].text == long.replace("\r\n", "\n")
    assert {one.text for key, one in found.items() if key.startswith("knock:10.0.1")} == {
        "Could not connect to Redis at x:1: Connection refused"
    }
