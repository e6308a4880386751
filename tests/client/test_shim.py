"""The shim under every Python and redis-py that it promises: Contex as published starts, writes and fails over in
sentinel mode with it, and only with it; and it leaves alone what it does not know.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.client.acting import SECRETS, SHIM, Actor, by_sentinels, now
from tests.client.versions import PROMISED, REDIS_PY, Python, pythons, redis_py
from tests.workload.loopback import MASTER_NAME, LoopbackSet, within

FILE = SHIM / "sitecustomize.py"
ALL = [(python, major) for python in pythons() for major in REDIS_PY]
HANDED_ON = "Sentinel shim | handed on connection_pool_kwargs: health_check_interval, max_connections"


@pytest.fixture(scope="module")
def redis_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSet]:
    with LoopbackSet(tmp_path_factory.mktemp("set"), down_after_ms=2000, access=SECRETS) as made:
        yield made


def run(python: Python, major: str, code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """A few lines of Python with the shim, and `path` behind it."""
    whole = os.pathsep.join(map(str, [SHIM, *path, redis_py(major)]))
    return subprocess.run(
        [*python.argv, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": whole, "PYTHONDONTWRITEBYTECODE": "1", **python.env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_python_that_is_promised_is_tried() -> None:
    """Debian has no 3.12: there the machine's own is tried, where it has one."""
    found = {python.version for python in pythons()}
    assert set(PROMISED) - found <= {"3.12"}
    for python in pythons():
        said = run(python, "7", "import sys; print('%d.%d' % sys.version_info[:2])")
        assert said.stdout.strip() == python.version, said.stderr


def test_without_it_published_contex_ends_with_a_type_error(redis_set: LoopbackSet, tmp_path: Path) -> None:
    env = by_sentinels(redis_set)
    for major in REDIS_PY:
        with Actor(tmp_path / major, "published", env=env, python=ALL[0][0], redis_major=major) as actor:
            assert actor.process.wait(60) == 1
            assert "unexpected keyword argument 'connection_pool_kwargs'" in actor.log


def test_with_it_published_contex_starts_writes_and_follows_a_failover(
    redis_set: LoopbackSet, tmp_path: Path
) -> None:
    env = by_sentinels(redis_set, REDIS_MAX_CONNECTIONS="7")
    with ExitStack() as stack:
        actors = {}
        for python, major in ALL:
            folder = tmp_path / f"{python.version}-{major}"
            actors[python.version, major] = stack.enter_context(
                Actor(
                    folder,
                    "published",
                    "--interval-ms",
                    "100",
                    env=env,
                    python=python,
                    redis_major=major,
                    with_shim=True,
                )
            )
        for actor in actors.values():
            actor.wait_for_writes(3, within_s=120)
            assert actor.said[0] == {"pool": 7}
            assert actor.log.count(HANDED_ON) == 1
            assert "Connected to Redis via Sentinel" in actor.log
        old = redis_set.master()
        assert old is not None
        redis_set.sentinels[0].command("SENTINEL FAILOVER", MASTER_NAME)
        within(60, lambda: redis_set.master() not in (None, old), what="another master")
        changed = now()
        for actor in actors.values():
            actor.wait_for_writes(10, after=changed + 1, within_s=120)
            settled = [each for each in actor.errors if each["at"] > changed + 5]
            assert not settled, "a connection is stuck with the old master"
        for actor in actors.values():
            actor.stop()


RECONNECTS = """
import asyncio
from redis.asyncio.sentinel import Sentinel

asked = []


class Asked(Sentinel):
    async def discover_master(self, name):
        asked.append(name)
        return "127.0.0.1", 9


async def main():
    redis = Asked([]).master_for("m", connection_pool_kwargs=None)
    connection = redis.connection_pool.make_connection()
    connection.host, connection.port = "127.0.0.1", 10
    try:
        await connection.send_command("PING")
    except Exception as error:
        print(asked, error)


asyncio.run(main())
"""


@pytest.mark.parametrize(("python", "major"), ALL, ids=lambda each: getattr(each, "version", each))
def test_a_connection_that_is_made_again_inside_a_command_asks_the_sentinels(
    python: Python, major: str
) -> None:
    said = run(python, major, RECONNECTS)
    assert said.stdout.startswith("['m']"), said.stdout + said.stderr
    assert "127.0.0.1:9." in said.stdout


def test_a_redis_py_that_it_does_not_know_is_left_as_it_is(tmp_path: Path) -> None:
    module = tmp_path / "redis" / "asyncio" / "sentinel.py"
    module.parent.mkdir(parents=True)
    for folder in (module.parent, module.parent.parent):
        (folder / "__init__.py").touch()
    code = "import redis.asyncio.sentinel as s; print(s.Sentinel.master_for.__qualname__)"
    for text, why in (
        (
            "class Sentinel:\n    def master_for(self, name): ...\n",
            "no attribute 'SentinelManagedConnection'",
        ),
        (
            "class SentinelManagedConnection: ...\nclass Sentinel:\n    def master_for(self, name): ...\n",
            "Sentinel.master_for takes no further keyword arguments",
        ),
    ):
        module.write_text(text)
        said = run(ALL[0][0], "7", code, tmp_path)
        assert said.stdout.strip() == "Sentinel.master_for"
        assert "Sentinel shim | stepped aside, this redis-py is unknown to it" in said.stderr
        assert why in said.stderr


def test_a_redis_py_that_has_learned_it_is_left_as_it_is(tmp_path: Path) -> None:
    module = tmp_path / "redis" / "asyncio" / "sentinel.py"
    module.parent.mkdir(parents=True)
    for folder in (module.parent, module.parent.parent):
        (folder / "__init__.py").touch()
    module.write_text(
        "class SentinelManagedConnection:\n"
        "    async def connect_check_health(self): ...\n"
        "class Sentinel:\n"
        "    def master_for(self, name, connection_pool_kwargs=None): return connection_pool_kwargs\n"
        "    def slave_for(self, name, connection_pool_kwargs=None): ...\n"
    )
    code = "import redis.asyncio.sentinel as s; print(s.Sentinel().master_for('m', connection_pool_kwargs=7))"
    said = run(ALL[0][0], "7", code, tmp_path)
    assert (said.stdout.strip(), said.stderr) == ("7", "")


def test_without_redis_nothing_is_imported_and_another_sitecustomize_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the other one')\n")
    said = run(
        ALL[0][0], "7", "import sys; print('redis' in sys.modules, 'asyncio' in sys.modules)", tmp_path
    )
    assert (said.stdout.split("\n")[:2], said.stderr) == (["the other one", "False False"], "")
