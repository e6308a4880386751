"""The operator's connections to Redis and Sentinel, against real servers on addresses of their own on loopback.

Each way in which a server can be away is provoked, because decisions hang on the difference: only a refused
connection speaks of a process that is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from contex_operator.errors import RedisAnswer, RedisError, RedisUnreachable
from contex_operator.model import Reach
from contex_operator.redisio import READ_DEADLINE_S, SILENT_DEADLINE_S, RedisIO, endpoint
from contex_operator.views import (
    DATA_COMMANDS,
    WRITER_COMMANDS,
    Command,
    Reply,
    data_node,
    parse_info,
    parse_pairs,
    reach_of,
    sentinel_commands,
    sentinel_node,
    writers,
)

from tests.component.harness.processes import Child

PASSWORD = "secret/of:these@tests"
_addresses = itertools.count(1)


def new_address() -> str:
    """An address of loopback that no other test run uses."""
    pid = os.getpid()
    return f"127.{128 + pid // 250 % 100}.{pid % 250 + 1}.{next(_addresses)}"


class Server:
    """A redis-server or a sentinel at an address of its own; `frozen` and `killed` are its faults."""

    def __init__(
        self, home: Path, *lines: str, sentinel: bool = False, password: str | None = PASSWORD
    ) -> None:
        self.address, self.port = new_address(), 26379 if sentinel else 6379
        self.password = password
        self._home = home / self.address
        self._sentinel = sentinel
        self._lines = lines
        self.start()

    def start(self) -> None:
        directory = self._home / "fresh"
        directory.mkdir(parents=True, exist_ok=True)
        conf = directory / "redis.conf"
        lines = [f"bind {self.address}", f"port {self.port}", "protected-mode no", f"dir {self._home}"]
        lines += [f"requirepass {self.password}"] if self.password else []
        lines += [] if self._sentinel else ['save ""', f"replica-announce-ip {self.address}"]
        conf.write_text("\n".join([*lines, *self._lines]) + "\n")
        argv = ["redis-server", str(conf), *(["--sentinel"] if self._sentinel else [])]
        self._child = Child(argv, log=self._home / "log")
        deadline = time.monotonic() + 20
        while not self._listens():
            assert time.monotonic() < deadline, f"does not listen: {self._child.tail()}"
            time.sleep(0.02)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), timeout=1):
            return True
        return False

    def kill(self) -> None:
        if self._child.is_running:
            os.kill(self._child.pid, signal.SIGCONT)
        self._child.kill()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        os.kill(self._child.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._child.pid, signal.SIGCONT)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    servers: list[Server] = []

    def start(*lines: str, **options: Any) -> Server:
        servers.append(Server(tmp_path, *lines, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
async def io() -> AsyncIterator[RedisIO]:
    redis = RedisIO()
    yield redis
    await redis.close()


async def ask(io: RedisIO, server: Server, *commands: Command, **options: Any) -> list[Reply]:
    options = {"password": server.password, **options}
    return await io.read(server.address, server.port, commands or [("PING",)], **options)


async def command(io: RedisIO, server: Server, *words: str | int, run_id: str | None = None) -> Reply:
    return await io.change(server.address, server.port, words, password=server.password, run_id=run_id)


async def info(io: RedisIO, server: Server) -> dict[str, str]:
    return parse_info((await ask(io, server, ("INFO",)))[0])


async def until(
    what: str, look: Callable[[], Any], *, within_s: float = 30.0, interval_s: float = 0.1
) -> None:
    """Poll `look` (a coroutine function) until its answer is true."""
    deadline = time.monotonic() + within_s
    seen: object = None
    while time.monotonic() < deadline:
        try:
            seen = await look()
        except RedisError as error:
            seen = error
        else:
            if seen:
                return
        await asyncio.sleep(interval_s)
    raise AssertionError(f"not within {within_s} s: {what}; last seen: {seen}")


async def failure(io: RedisIO, server: Server, **options: Any) -> tuple[RedisError, float]:
    """How a question ends that gets no answer, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(RedisError) as caught:
        await ask(io, server, **options)
    return caught.value, time.monotonic() - began


def kind(error: BaseException) -> str:
    assert isinstance(error, RedisUnreachable), repr(error)
    return error.kind


# --- answers ------------------------------------------------------------------------------------------------------


async def test_questions_go_as_one_pipeline_and_a_refused_one_stands_in_its_place(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    server = serve()
    pong, refused, number, nothing = await ask(
        io, server, ("PING",), ("CONFIG", "GOT"), ("LASTSAVE",), ("GET", "no-such-key")
    )
    assert pong == "PONG"
    assert isinstance(refused, RedisAnswer)
    assert refused.code == "ERR"
    assert isinstance(number, int)
    assert nothing is None


async def test_a_reader_keeps_its_connection(io: RedisIO, serve: Callable[..., Server]) -> None:
    server = serve()
    first = int((await info(io, server))["total_connections_received"])
    for _ in range(5):
        await ask(io, server)
    assert int((await info(io, server))["total_connections_received"]) == first


async def test_two_questions_at_once_do_not_mix(io: RedisIO, serve: Callable[..., Server]) -> None:
    server = serve()
    answers = await asyncio.gather(*(ask(io, server, ("ECHO", f"{i}")) for i in range(20)))
    assert answers == [[f"{i}"] for i in range(20)]
    await ask(io, server)
    assert int((await info(io, server))["connected_clients"]) == 1, "connections are left open"


async def test_a_kept_connection_that_was_killed_costs_no_answer(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    server = serve()
    await ask(io, server)
    await command(io, server, "CLIENT", "KILL", "TYPE", "normal")
    assert await ask(io, server) == ["PONG"]
    server.kill()
    server.start()
    assert await ask(io, server) == ["PONG"]


async def test_forgetting_an_address_closes_what_was_kept(io: RedisIO, serve: Callable[..., Server]) -> None:
    server, other = serve(), serve()
    await ask(io, server)
    await ask(io, other)
    await io.forget(server.address)
    look = RedisIO()
    await until("it is closed", lambda: _clients(look, server, 1))
    assert await _clients(look, other, 2)
    await look.close()


async def _clients(io: RedisIO, server: Server, count: int) -> bool:
    return int((await info(io, server))["connected_clients"]) == count


async def test_what_servers_answer_is_read_as_the_model(io: RedisIO, serve: Callable[..., Server]) -> None:
    master = serve()
    replica = serve(f"replicaof {master.address} 6379", f"masterauth {PASSWORD}")
    await command(io, master, "SET", "a", "1")
    await until("the replica is in sync", lambda: _link_is_up(io, replica))
    node = data_node("redis-master-0", master.address, await ask(io, master, *DATA_COMMANDS))
    assert node.is_master
    assert node.keys == 1
    assert [r.address for r in node.replicas] == [replica.address]
    assert node.holding is not None
    assert node.holding.fresh
    (limit,) = await ask(io, master, ("CONFIG", "GET", "maxclients"))
    assert node.maxclients == int(parse_pairs(limit)["maxclients"])
    assert (node.used_memory or 0) > 500_000
    assert node.maxmemory == 0
    assert "NOREPLICAS" not in node.errors
    await command(io, master, "CONFIG", "SET", "min-replicas-to-write", "9")
    for _ in range(2):
        with pytest.raises(RedisAnswer):
            await command(io, master, "SET", "a", "2")
    await command(io, master, "CONFIG", "SET", "maxmemory", "100mb")
    node = data_node("redis-master-0", master.address, await ask(io, master, *DATA_COMMANDS))
    assert (node.errors["NOREPLICAS"], node.maxmemory) == (2, 100 * 2**20)
    node = data_node("redis-replica-0", replica.address, await ask(io, replica, *DATA_COMMANDS))
    assert node.is_synced_replica
    assert node.master_address == master.address

    bare = serve(sentinel=True)
    seen = sentinel_node(
        "redis-sentinel-0", bare.address, await ask(io, bare, *sentinel_commands("mymaster"))
    )
    assert (seen.reach, seen.monitors) == (Reach.UP, False)
    seen = sentinel_node(
        "redis-sentinel-0", bare.address, await ask(io, master, *sentinel_commands("mymaster"))
    )
    assert seen.reach is Reach.OTHER, "a plain Redis was taken for a bare sentinel"


async def test_who_writes_to_a_replica_is_told_from_who_reads(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    master = serve()
    replica = serve(f"replicaof {master.address} 6379", f"masterauth {PASSWORD}")
    await until("the replica is in sync", lambda: _link_is_up(io, replica))
    node = data_node("redis-replica-0", replica.address, await ask(io, replica, *DATA_COMMANDS))
    assert node.refused_writes == 0
    clients: list[Any] = [redis.Redis(replica.address, password=PASSWORD) for _ in range(4)]
    reader, writer, script, transaction = clients
    ids = [int(client.client_id()) for client in clients]
    try:
        reader.get("a")
        with pytest.raises(redis.ReadOnlyError):
            writer.set("a", 1)
        with pytest.raises(redis.ResponseError):
            script.eval("return redis.call('set', KEYS[1], 1)", 1, "a")
        with pytest.raises(redis.RedisError):
            transaction.pipeline().set("a", 1).execute()
        node = data_node("redis-replica-0", replica.address, await ask(io, replica, *DATA_COMMANDS))
        assert node.refused_writes >= 2
        found = {client.id: client.writes for client in writers(await ask(io, replica, *WRITER_COMMANDS))}
        assert found == {ids[1]: True, ids[2]: None, ids[3]: None}
    finally:
        for client in clients:
            client.close()


async def _link_is_up(io: RedisIO, server: Server) -> bool:
    return (await info(io, server))["master_link_status"] == "up"


# --- passwords ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["wrong", None])
@pytest.mark.parametrize("sentinel", [False, True])
async def test_another_password_is_denied(
    io: RedisIO, serve: Callable[..., Server], password: str | None, sentinel: bool
) -> None:
    server = serve(sentinel=sentinel)
    error, _ = await failure(io, server, password=password)
    assert isinstance(error, RedisAnswer)
    assert error.code in ("NOAUTH", "WRONGPASS")
    assert reach_of(error) is Reach.DENIED
    assert PASSWORD not in str(error)


async def test_a_server_without_a_password_is_not_ours(io: RedisIO, serve: Callable[..., Server]) -> None:
    server = serve(password=None)
    error, _ = await failure(io, server, password=PASSWORD)
    assert reach_of(error) is Reach.DENIED


# --- ways to be away ----------------------------------------------------------------------------------------------


async def test_refused_nobody_listens(io: RedisIO, serve: Callable[..., Server]) -> None:
    server = serve()
    await ask(io, server)
    server.kill()
    error, took_s = await failure(io, server)
    assert kind(error) == "refused"
    assert took_s < READ_DEADLINE_S
    assert str(error) == f"{server.address}:6379: connection refused"


async def test_timeout_a_frozen_process_is_silent(io: RedisIO, serve: Callable[..., Server]) -> None:
    server = serve()
    await ask(io, server)
    with server.frozen():
        error, took_s = await failure(io, server)
    assert kind(error) == "timeout"
    assert took_s >= READ_DEADLINE_S * 0.9


async def test_a_silent_address_gets_less_patience_until_it_answers(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    server = serve()
    with server.frozen():
        _, first_s = await failure(io, server)
        _, second_s = await failure(io, server)
        _, third_s = await failure(io, server)
    assert first_s >= READ_DEADLINE_S * 0.9
    assert min(second_s, third_s) >= SILENT_DEADLINE_S * 0.9
    assert max(second_s, third_s) < READ_DEADLINE_S * 0.9, "a dead node holds up what the others say"
    await until("it answers again", lambda: ask(io, server))
    with server.frozen():
        _, again_s = await failure(io, server)
    assert again_s >= READ_DEADLINE_S * 0.9


async def test_patience_for_one_address_is_not_lost_for_another(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    silent, other = serve(), serve()
    with silent.frozen(), other.frozen():
        await failure(io, silent)
        _, took_s = await failure(io, other)
    assert took_s >= READ_DEADLINE_S * 0.9


async def test_timeout_a_black_hole_takes_no_connection(io: RedisIO) -> None:
    """A dead node behind its Service: the SYN is never answered."""
    address = new_address()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, 6379))
        listener.listen(0)
        for _ in range(3):  # the queue of waiting connections is full then
            each = stack.enter_context(socket.socket())
            each.setblocking(False)
            each.connect_ex((address, 6379))
        began = time.monotonic()
        with pytest.raises(RedisUnreachable) as caught:
            await io.read(address, 6379, [("PING",)], password=None)
    assert caught.value.kind == "timeout"
    assert READ_DEADLINE_S * 0.9 <= time.monotonic() - began < READ_DEADLINE_S * 5


@contextlib.asynccontextmanager
async def impostor(says: bytes, *, resets: bool = False) -> AsyncIterator[str]:
    """Something at the port that is no Redis: it says that and closes, by FIN or by RST."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if resets:
            at_once = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.write(says)
        await writer.drain()
        writer.close()

    address = new_address()
    async with await asyncio.start_server(serve, address, 6379):
        yield address


@pytest.mark.parametrize("resets", [False, True])
async def test_closed_an_accept_and_close_is_no_refusal(io: RedisIO, resets: bool) -> None:
    """A proxy in between: it says nothing about the process behind it."""
    async with impostor(b"", resets=resets) as address:
        with pytest.raises(RedisUnreachable) as caught:
            await io.read(address, 6379, [("PING",)], password=None)
    assert caught.value.kind == "closed"


async def test_other_what_speaks_another_language(io: RedisIO) -> None:
    async with impostor(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        with pytest.raises(RedisUnreachable) as caught:
            await io.read(address, 6379, [("PING",)], password=None)
    assert caught.value.kind == "other"


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES])
async def test_other_no_way_there_is_no_refusal(
    io: RedisIO, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async def no_way(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(asyncio, "open_connection", no_way)
    with pytest.raises(RedisUnreachable) as caught:
        await io.read(new_address(), 6379, [("PING",)], password=None)
    assert caught.value.kind == "other"


# --- changes ------------------------------------------------------------------------------------------------------


async def test_a_change_reaches_the_process_that_was_meant(io: RedisIO, serve: Callable[..., Server]) -> None:
    server = serve()
    run_id = (await info(io, server))["run_id"]
    assert await command(io, server, "CONFIG", "SET", "maxclients", "777", run_id=run_id) == "OK"
    assert await ask(io, server, ("CONFIG", "GET", "maxclients")) == [["maxclients", "777"]]


async def test_another_process_at_the_address_is_left_alone(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    server = serve()
    meant = (await info(io, server))["run_id"]
    server.kill()
    server.start()
    before = await ask(io, server, ("CONFIG", "GET", "maxclients"))
    with pytest.raises(RedisAnswer) as caught:
        await command(io, server, "CONFIG", "SET", "maxclients", "777", run_id=meant)
    assert caught.value.code == "WRONGRUN"
    assert meant in str(caught.value)
    assert await ask(io, server, ("CONFIG", "GET", "maxclients")) == before


async def test_a_change_leaves_no_connection_behind(io: RedisIO, serve: Callable[..., Server]) -> None:
    server = serve()
    for _ in range(3):
        await command(io, server, "CONFIG", "SET", "maxclients", "777")
    await until("they are closed", lambda: _clients(io, server, 1))


async def test_refused_changes_carry_the_code_of_the_server(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    nobody = new_address()
    replica = serve(f"replicaof {nobody} 6379", "min-replicas-to-write 3")
    with pytest.raises(RedisAnswer) as caught:
        await command(io, replica, "SET", "a", "1")
    assert caught.value.code == "READONLY"
    await command(io, replica, "REPLICAOF", "NO", "ONE")
    with pytest.raises(RedisAnswer) as caught:
        await command(io, replica, "SET", "a", "1")
    assert caught.value.code == "NOREPLICAS"
    with pytest.raises(RedisAnswer) as caught:
        await command(io, replica, "NO-SUCH-COMMAND")
    assert caught.value.code == "ERR"


async def test_a_change_on_a_server_that_loads_is_answered_not_lost(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    server = serve("enable-debug-command yes")
    await command(io, server, "DEBUG", "POPULATE", "20000")
    await command(io, server, "SAVE")
    server.kill()
    server._lines = ("key-load-delay 2000", "loading-process-events-interval-bytes 1024")
    server.start()
    with pytest.raises(RedisAnswer) as caught:
        await command(io, server, "REPLICAOF", "NO", "ONE")
    assert caught.value.code == "LOADING"


async def test_a_change_that_gets_no_answer_has_its_deadline(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    server = serve()
    began = time.monotonic()
    with server.frozen(), pytest.raises(RedisUnreachable) as caught:
        await io.change(server.address, 6379, ("PING",), password=PASSWORD, run_id=None, deadline_s=0.5)
    assert caught.value.kind == "timeout"
    assert time.monotonic() - began < 5
    server.kill()
    with pytest.raises(RedisUnreachable) as caught:
        await command(io, server, "PING")
    assert caught.value.kind == "refused"


# --- several commands over one connection ------------------------------------------------------------------------


@pytest.mark.parametrize("give_up", ["deadline", "cancelled"])
async def test_the_answer_to_a_command_that_was_given_up_is_never_taken_for_another(
    io: RedisIO, serve: Callable[..., Server], give_up: str
) -> None:
    """A move goes on when it has heard enough, and may ask the same member again while that still owes an answer."""
    server = serve()
    session = io.session(server.address, 6379, password=PASSWORD, run_id=None)
    try:
        assert await session.ask(("PING",), deadline_s=5) == "PONG"
        with server.frozen():
            first = asyncio.create_task(
                session.ask(("ECHO", "first"), deadline_s=0.2 if give_up == "deadline" else 30)
            )
            await asyncio.sleep(0)  # it has the turn
            second = asyncio.create_task(session.ask(("ECHO", "second"), deadline_s=30))
            impatient = asyncio.create_task(session.ask(("ECHO", "third"), deadline_s=0.1))
            with pytest.raises(RedisUnreachable):
                await impatient  # whoever waits for its turn in vain takes nothing from those before it
            if give_up == "cancelled":
                first.cancel()
            with pytest.raises((RedisUnreachable, asyncio.CancelledError)):
                await first
        assert await second == "second"
    finally:
        await session.close()


# --- the standing connection to the master ------------------------------------------------------------------------


async def standing(io: RedisIO, server: Server) -> asyncio.Task[RedisError]:
    """A standing connection that has been made."""
    task = asyncio.create_task(io.wait_closed(server.address, server.port, password=server.password))
    look = RedisIO()
    await until("the standing connection is there", lambda: _clients(look, server, 2), interval_s=0.02)
    await look.close()
    return task


async def test_the_end_of_the_process_ends_the_standing_connection_at_once(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    server = serve()
    task = await standing(io, server)
    began = time.monotonic()
    server.kill()
    error = await asyncio.wait_for(task, 5)
    assert kind(error) == "closed"
    assert time.monotonic() - began < 1
    again, _ = await failure(io, server)
    assert kind(again) == "refused"


async def test_silence_does_not_end_the_standing_connection(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    server = serve()
    task = await standing(io, server)
    with server.frozen():
        done, _ = await asyncio.wait({task}, timeout=READ_DEADLINE_S * 1.5)
    assert not done, "silence was taken for an end"
    server.kill()
    assert kind(await asyncio.wait_for(task, 5)) == "closed"


async def test_a_standing_connection_that_cannot_be_made_is_raised(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    server = serve()
    with pytest.raises(RedisAnswer):
        await io.wait_closed(server.address, 6379, password="wrong")
    server.kill()
    with pytest.raises(RedisUnreachable) as caught:
        await io.wait_closed(server.address, 6379, password=PASSWORD)
    assert caught.value.kind == "refused"


# --- announcements ------------------------------------------------------------------------------------------------


async def heard(messages: AsyncIterator[str], *, within_s: float = 20.0) -> str:
    return await asyncio.wait_for(anext(messages), within_s)


async def test_a_switch_of_the_master_is_heard(io: RedisIO, serve: Callable[..., Server]) -> None:
    master = serve(f"masterauth {PASSWORD}")
    replica = serve(f"replicaof {master.address} 6379", f"masterauth {PASSWORD}")
    await until("the replica is in sync", lambda: _link_is_up(io, replica))
    sentinel = serve(
        f"sentinel monitor mymaster {master.address} 6379 1",
        f"sentinel auth-pass mymaster {PASSWORD}",
        sentinel=True,
    )
    await until("the sentinel knows the replica", lambda: _knows_a_replica(io, sentinel))
    messages = io.listen(sentinel.address, sentinel.port, ["+switch-master", "+sdown"], password=PASSWORD)
    assert await heard(messages) == "", "the subscription stands"
    assert await command(io, sentinel, "SENTINEL", "FAILOVER", "mymaster") == "OK"
    said = await heard(messages)
    assert said == f"+switch-master mymaster {master.address} 6379 {replica.address} 6379"
    await messages.aclose()  # type: ignore[attr-defined]


async def _knows_a_replica(io: RedisIO, sentinel: Server) -> bool:
    replies = await ask(io, sentinel, *sentinel_commands("mymaster"))
    return any(r.is_promotable and r.link_up for r in sentinel_node("s", sentinel.address, replies).replicas)


async def test_a_long_silence_is_no_end_and_what_comes_after_is_heard(
    io: RedisIO, serve: Callable[..., Server]
) -> None:
    server = serve()
    messages = io.listen(server.address, server.port, ["+odown", "-odown"], password=PASSWORD)
    assert await heard(messages) == ""
    waiting = asyncio.ensure_future(anext(messages))
    done, _ = await asyncio.wait({waiting}, timeout=READ_DEADLINE_S * 1.5)
    assert not done
    await command(io, server, "PUBLISH", "-odown", "master mymaster")
    assert await asyncio.wait_for(waiting, 5) == "-odown master mymaster"


async def test_a_subscription_that_breaks_is_raised(io: RedisIO, serve: Callable[..., Server]) -> None:
    server = serve()
    messages = io.listen(server.address, server.port, ["+odown"], password=PASSWORD)
    assert await heard(messages) == ""
    server.kill()
    with pytest.raises(RedisUnreachable) as caught:
        await heard(messages)
    assert caught.value.kind == "closed"
    with pytest.raises(RedisUnreachable) as caught:
        await heard(io.listen(server.address, server.port, ["+odown"], password=PASSWORD))
    assert caught.value.kind == "refused"


async def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert endpoint("fd00::1", 6379) == "[fd00::1]:6379"
    assert endpoint("10.0.0.1", 6379) == "10.0.0.1:6379"
