"""`python -m contex_redis check` on a real set: one line and an exit code for people and probes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import pytest

from tests.client.acting import SECRETS, by_sentinels, by_url
from tests.client.versions import PROJECT
from tests.workload.loopback import LoopbackSet


@pytest.fixture(scope="module")
def redis_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSet]:
    """A set that no test fails over."""
    with LoopbackSet(
        tmp_path_factory.mktemp("set"), replicas=1, down_after_ms=60_000, access=SECRETS
    ) as made:
        yield made


def check(env: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """The exit code, and all that was said."""
    done = subprocess.run(
        [sys.executable, "-m", "contex_redis", *(arguments or ("check",))],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT / "client"), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_through_the_sentinels_and_by_url(redis_set: LoopbackSet) -> None:
    address = redis_set.nodes[0].address
    code, line = check(by_sentinels(redis_set))
    assert code == 0, line
    assert line.startswith(f"OK | address={address}:6379 role=master via=sentinel replicas=1 took_ms=")
    code, line = check(by_url(address))
    assert (code, line.split(" took")[0]) == (
        0,
        f"OK | address={address}:6379 role=master via=url replicas=1",
    )


def test_password_and_database_may_stand_beside_the_url(redis_set: LoopbackSet) -> None:
    env = {"REDIS_URL": f"redis://{redis_set.nodes[0].address}", "REDIS_DB": "3"}
    assert check({**env, "REDIS_PASSWORD": str(SECRETS.password)})[0] == 0
    code, line = check(env)
    assert (code, line.strip()) == (
        1,
        "Failed to connect to Redis | reason=AuthenticationError: Authentication required.",
    )


def test_a_replica_is_not_what_contex_needs(redis_set: LoopbackSet) -> None:
    address = redis_set.nodes[1].address
    code, line = check(by_url(address))
    assert (code, line.strip()) == (
        1,
        f"Not the master | address={address}:6379 role=slave: writes are refused there",
    )


def test_a_wrong_name_of_the_master_is_named(redis_set: LoopbackSet) -> None:
    code, line = check(by_sentinels(redis_set, REDIS_SENTINEL_MASTER="main"), "check", "--within", "5")
    assert code == 1
    assert line.startswith(
        "Failed to connect to Redis via Sentinel | master_name=main reason=MasterNotFoundError"
    )
    assert "No such master with that name" in line


def test_a_frozen_redis_is_given_up_in_time(redis_set: LoopbackSet) -> None:
    master = redis_set.nodes[0]
    master.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        code, line = check(by_url(master.address, REDIS_SOCKET_TIMEOUT="30"), "check", "--within", "1")
        took = time.monotonic() - began
    finally:
        master.process.send_signal(signal.SIGCONT)
    assert code == 1
    assert line.strip() == "Failed to connect to Redis | reason=TimeoutError: no answer within 1 s"
    assert took < 28


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "--within", "soon"), "'soon' is not allowed: it must be a number of seconds up to 600"),
        (("check", "--within", "0"), "'0' is not allowed"),
        (("chek",), "invalid choice: 'chek'"),
    ],
)
def test_a_wrong_command_line_is_refused_by_name(arguments: tuple[str, ...], said: str) -> None:
    code, line = check({}, *arguments)
    assert code == 2
    assert said in line


def test_a_wrong_variable_is_refused_by_name() -> None:
    code, line = check({"REDIS_MODE": "cluster"})
    assert (code, line.strip()) == (2, "REDIS_MODE is 'cluster': it must be 'standalone' or 'sentinel'")
