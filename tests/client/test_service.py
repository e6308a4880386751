"""Behind an address that does not say where it leads, such as the master's Service: who stays with a demoted master.

The address is a real forwarder: new connections go to where it leads, open ones stay where they are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from contex_redis import Metrics, build, connect, read
from contex_redis.errors import PoolExhausted
from prometheus_client import CollectorRegistry
from redis.exceptions import ReadOnlyError, ResponseError

from tests.client.acting import IN_A_URL, SECRETS, by_sentinels
from tests.contex.stand_in import published
from tests.workload.loopback import LoopbackSet, Node


@pytest.fixture(scope="module")
def redis_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSet]:
    """A set whose second node, a replica, is what a demoted master is."""
    with LoopbackSet(
        tmp_path_factory.mktemp("set"), replicas=1, down_after_ms=60_000, access=SECRETS
    ) as made:
        yield made


class Service:
    """Leads to `node` at an address of its own."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self.node.address, self.node.port)
        await asyncio.gather(_copy(reader, back), _copy(there, writer))

    @property
    def env(self) -> dict[str, str]:
        return {"REDIS_URL": f"redis://:{IN_A_URL}@127.0.0.1:{self.port}", "REDIS_SOCKET_TIMEOUT": "5"}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def service(redis_set: LoopbackSet) -> AsyncIterator[Service]:
    made = Service(redis_set.nodes[0])
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Any]:
    """redis-py's annotations let each command be synchronous too: untyped here."""
    made = await connect(service.env, metrics=CollectorRegistry())
    yield made
    await made.aclose()


async def test_published_contex_stays_with_a_demoted_master_until_its_connection_is_cut(
    service: Service, redis_set: LoopbackSet
) -> None:
    service.node = replica = redis_set.nodes[1]
    redis: Any = published.client(service.env)[0]
    with pytest.raises(ReadOnlyError):
        await redis.set("a", 1)
    service.node = redis_set.nodes[0]
    for _ in range(3):
        with pytest.raises(ReadOnlyError):
            await redis.set("a", 1)
    replica.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await redis.set("a", 1)
    await redis.aclose()


async def test_the_package_leaves_a_demoted_master_by_itself(
    service: Service, redis_set: LoopbackSet, client: Any
) -> None:
    service.node = redis_set.nodes[1]
    await client.connection_pool.disconnect()
    assert await client.get("nothing") is None, "it reads from a replica without noticing"
    task = asyncio.create_task(client.set("a", 2))
    await asyncio.sleep(0.2)
    assert not task.done(), "READONLY is no error yet"
    service.node = redis_set.nodes[0]
    assert await asyncio.wait_for(task, 10)
    assert await client.get("a") == b"2"


async def test_a_transaction_at_a_demoted_master_is_done_once_at_the_next(
    service: Service, redis_set: LoopbackSet, client: Any
) -> None:
    await client.delete("count")
    service.node = redis_set.nodes[1]
    await client.connection_pool.disconnect()
    pipe = client.pipeline().incr("count").incr("count")
    task = asyncio.create_task(pipe.execute())
    await asyncio.sleep(0.2)
    service.node = redis_set.nodes[0]
    assert await asyncio.wait_for(task, 10) == [1, 2]


async def test_what_is_wrong_with_the_command_is_told_at_once(client: Any) -> None:
    await client.set("text", "x")
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await client.lpush("text", "y")
    async with client.pipeline() as pipe:
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await pipe.set("other", 1).lpush("text", "y").execute()
    assert loop.time() - began < 2


async def test_a_full_pool_says_so_at_once_and_shows_in_the_metric(service: Service) -> None:
    registry = CollectorRegistry()
    settings = read(service.env | {"REDIS_MAX_CONNECTIONS": "2"})
    client: Any = build(settings, metrics=Metrics(registry))
    waiting = [asyncio.create_task(client.blpop(["nothing"], timeout=2)) for _ in range(2)]
    while registry.get_sample_value("contex_redis_connections", {"pool": "master"}) != 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    with pytest.raises(PoolExhausted, match="REDIS_MAX_CONNECTIONS exceeded: all 2 connections are in use"):
        await client.get("a")
    assert registry.get_sample_value("contex_redis_connection_errors_total", {"kind": "pool_exhausted"}) == 1
    assert await asyncio.gather(*waiting) == [None, None]
    assert registry.get_sample_value("contex_redis_connections", {"pool": "master"}) == 0
    await client.aclose()


async def test_a_transaction_that_watches_works_as_in_redis_py(client: Any) -> None:
    await client.set("n", 1)

    async def add(pipe: Any) -> None:
        value = int(await pipe.get("n"))
        pipe.multi()
        pipe.set("n", value + 1)

    assert await client.transaction(add, "n") == [True]
    assert await client.get("n") == b"2"


async def test_a_connection_that_is_made_again_inside_a_command_asks_the_sentinels(
    redis_set: LoopbackSet,
) -> None:
    settings = read(by_sentinels(redis_set))
    client = build(settings, metrics=CollectorRegistry())
    connection: Any = client.connection_pool.make_connection()  # type: ignore[no-untyped-call, unused-ignore]
    connection.host, connection.port = redis_set.nodes[1].address, 6379
    await connection.send_command("PING")
    assert connection.host == redis_set.nodes[0].address
    await connection.disconnect()
    await client.aclose()


async def test_password_and_database_of_their_own_variables_count_where_the_url_has_none(
    redis_set: LoopbackSet,
) -> None:
    node = redis_set.nodes[0]
    env = {"REDIS_URL": f"redis://{node.address}", "REDIS_PASSWORD": str(SECRETS.password), "REDIS_DB": "3"}
    client: Any = await connect(env, metrics=CollectorRegistry())
    await client.set("there", 1)
    assert "db3" in node.command("INFO", "keyspace")
    await client.delete("there")
    await client.aclose()
