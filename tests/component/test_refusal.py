"""A real master refuses a write exactly when the operator says so, and for that reason."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from contex_operator.redisio import RedisIO
from contex_operator.refusal import Cause, Refusal, refusal
from contex_operator.views import DATA_COMMANDS, config_commands, data_node

from tests.workload.loopback import REDIS_PORT, LoopbackSet, Node


@pytest.fixture
def one_replica(tmp_path: Path) -> Iterator[LoopbackSet]:
    with LoopbackSet(tmp_path, replicas=1) as made:
        yield made


async def told(node: Node) -> Refusal | None:
    io = RedisIO()
    try:
        commands = (*DATA_COMMANDS, *config_commands(["save", "stop-writes-on-bgsave-error"]))
        replies = await io.read(node.address, REDIS_PORT, commands, password=None)
    finally:
        await io.close()
    return refusal(data_node(node.name, node.address, replies))


def error_of_a_write(node: Node) -> str:
    try:
        node.command("SET", "canary", "x")
    except redis.RedisError as error:
        return str(error)
    return ""


async def agree(node: Node, cause: Cause | None, error: str) -> None:
    """Until the operator's word is `cause` and Redis' own is `error` ("" = it takes writes)."""
    deadline = time.monotonic() + 30
    while True:
        found, said = await told(node), error_of_a_write(node)
        if (found.cause if found else None) is cause and (error in said if error else not said):
            return
        assert time.monotonic() < deadline, (found, said)


async def test_too_few_replicas(one_replica: LoopbackSet) -> None:
    master, replica = one_replica.nodes
    master.command("CONFIG SET", "min-replicas-to-write", 1)
    await agree(master, None, "")
    replica.kill()
    await agree(master, Cause.TOO_FEW_REPLICAS, "NOREPLICAS")
    one_replica.restart(replica)
    await agree(master, None, "")


async def test_a_full_memory(one_replica: LoopbackSet) -> None:
    master = one_replica.nodes[0]
    master.command("SET", "big", "x" * 5_000_000)
    await agree(master, None, "")
    master.command("CONFIG SET", "maxmemory", 2_000_000)
    await agree(master, Cause.MEMORY_FULL, "maxmemory")
    master.command("CONFIG SET", "maxmemory-policy", "volatile-lru")
    await agree(master, Cause.MEMORY_FULL, "maxmemory")
    master.command("CONFIG SET", "maxmemory", 0)
    await agree(master, None, "")


async def test_a_dump_that_failed(one_replica: LoopbackSet, tmp_path: Path) -> None:
    """The directory is gone under the process; without save points nobody minds."""
    master = one_replica.nodes[0]
    master.command("CONFIG SET", "save", "3600 1")
    shutil.rmtree(tmp_path / master.name)
    master.command("BGSAVE")
    await agree(master, Cause.DUMP_FAILED, "snapshot")
    master.command("CONFIG SET", "save", "")
    await agree(master, None, "")
