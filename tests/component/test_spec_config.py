"""The values of directives, asked of a real redis-server: with what the parser takes, Redis starts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from contex_operator import spec_config

from tests.e2e.support.eventually import eventually
from tests.redis_directives import AFTER_7_0, DEPENDS_ON_BUILD, GOOD, OURS, WRONG

QUOTING = (
    "plain",
    '"quoted"',
    "'quoted'",
    'half"open',
    "it's",
    '"a"b',
    '"a" b',
    r'"a\"b"',
    r"'a\'b'",
    r'"a\"',
    r'"a\\"',
    r"'a\\'b'",
    'in"side"',
)


def start_error(folder: Path, *lines: str) -> str | None:
    """What redis-server says about these lines at its start; None where it takes them.

    All lines are read before the port is opened, and the port cannot be opened: the process ends in any case.
    """
    conf = folder / "redis.conf"
    conf.write_text("\n".join((f"dir {folder}", *lines, "bind 192.0.2.1", "port 1")) + "\n")
    done = subprocess.run(
        ["redis-server", str(conf)], capture_output=True, text=True, timeout=10, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 1, output
    return None if "Failed listening on port" in output else output


def test_the_question_itself_works(tmp_path: Path) -> None:
    assert start_error(tmp_path, "maxmemory 1gb") is None
    assert "FATAL CONFIG FILE ERROR" in (start_error(tmp_path, "no-such-directive 1") or "")


@pytest.mark.parametrize("name", GOOD)
def test_redis_starts_with_every_value_that_the_parser_takes(tmp_path: Path, name: str) -> None:
    elsewhere = AFTER_7_0 | DEPENDS_ON_BUILD
    lines = [f"{name} {value}" for value in GOOD[name] if (name, value) not in elsewhere]
    assert lines
    assert start_error(tmp_path, *lines) is None


@pytest.mark.parametrize("name", WRONG)
def test_redis_refuses_what_the_parser_refuses_for_it(tmp_path: Path, name: str) -> None:
    taken = [value for value in WRONG[name] if start_error(tmp_path, f"{name} {value}") is None]
    assert set(taken) == {value for other, value in OURS if other == name}


@pytest.mark.parametrize("value", QUOTING)
def test_redis_and_the_parser_agree_about_quotes(tmp_path: Path, value: str) -> None:
    said = start_error(tmp_path, f"proc-title-template {value}")
    if spec_config.split_arguments(value) is None:
        assert "Unbalanced quotes in configuration line" in (said or "")
    else:
        assert "Unbalanced quotes" not in (said or "")


@pytest.mark.parametrize("line", ["PORT 2", "RequirePass x", "AppendOnly no", "Masterauth x", "SAVE 1 1"])
def test_redis_does_not_care_about_case_so_the_parser_must(tmp_path: Path, line: str) -> None:
    """Why names in capitals are refused: Redis would take them past the list of owned directives."""
    assert start_error(tmp_path, line) is None
    assert not spec_config.NAME.fullmatch(line.split()[0])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[redis.Redis]:
    """A redis-server that answers over its socket."""
    socket = tmp_path / "s"
    options = ("--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path), "--save", "")
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(socket), decode_responses=True)
    try:
        eventually(
            client.ping, within_s=10, describe="redis-server answers", passing=(redis.ConnectionError,)
        )
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


def said_to_config_set(server: redis.Redis, name: str, value: str) -> str:
    try:
        return str(server.execute_command("CONFIG SET", name, value))  # type: ignore[no-untyped-call]  # redis-py 7
    except redis.ResponseError as error:
        return str(error)


def test_what_needs_a_restart_is_what_a_running_redis_refuses(server: redis.Redis) -> None:
    has = server.config_get("*")
    assert isinstance(has, dict)
    mine = {name for name in has if spec_config.owner_of(name) is None}
    refused = {name for name in mine if "immutable" in said_to_config_set(server, name, has[name])}
    assert refused == {name for name in mine if spec_config.needs_restart(name)}


@pytest.mark.parametrize("name", GOOD)
def test_a_running_redis_takes_every_value_and_shows_one_that_means_the_same(
    server: redis.Redis, name: str
) -> None:
    if spec_config.needs_restart(name):
        assert "immutable" in said_to_config_set(server, name, GOOD[name][0])
        return
    for value in GOOD[name]:
        if (name, value) in AFTER_7_0 | DEPENDS_ON_BUILD:
            continue
        words = " ".join(spec_config.split_arguments(value) or [])
        assert said_to_config_set(server, name, words) in ("True", "OK"), value
        if spec_config.is_comparable(name):
            shown = server.config_get(name)
            assert isinstance(shown, dict)
            assert spec_config.is_same(shown[name], value), (value, shown)
