"""The only module that opens a socket to a Redis or a Sentinel; every question has its deadline here.

Readers keep one connection per address, because a reconcile asks every member each time. A command that changes
something always goes over a fresh connection, behind a look at the run id: an address may have changed hands
since it was observed (rule 9; OT-CONTAINER-KIT/redis-operator#1883, spotahome/redis-operator#550).
Called by observe (reads) and execute (changes).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Final

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError as RedisLibraryError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .errors import RedisAnswer, RedisError, RedisUnreachable
from .views import Command, Reply, parse_info

READ_DEADLINE_S: Final = 1.0
# An address that was silent last time is asked with less patience: a dead node must not hold up what the others say.
SILENT_DEADLINE_S: Final = 0.25
KEEPALIVE: Final = {socket.TCP_KEEPIDLE: 2, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 3}
CHANGE_DEADLINE_S: Final = 2.0


def endpoint(address: str, port: int) -> str:
    """`host:port`, with brackets where the host is an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _translate(where: str, error: BaseException) -> RedisError:
    """Our error for one of redis-py's or the kernel's; only ECONNREFUSED becomes `refused`."""
    code = getattr(error, "status_code", None)
    if code is not None or isinstance(error, (AuthenticationError, ResponseError)):
        return _answer(where, error, code=code)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return RedisUnreachable(where, "refused", "connection refused")
        if isinstance(cause, (ConnectionResetError, BrokenPipeError)):  # asyncio's own have no errno
            return RedisUnreachable(where, "closed", "connection was closed by the other side")
        if isinstance(cause, (TimeoutError, RedisTimeoutError)):
            return RedisUnreachable(where, "timeout", "no answer within the deadline")
        cause = cause.__cause__ or cause.__context__
    text = str(error)
    if "refused" in text.lower():  # asyncio joins the errors of several addresses into one text
        return RedisUnreachable(where, "refused", "connection refused")
    if isinstance(error, RedisConnectionError) and "closed" in text.lower():
        return RedisUnreachable(where, "closed", "connection was closed by the other side")
    return RedisUnreachable(where, "other", text or type(error).__name__)


def _answer(where: str, error: BaseException, *, code: str | None) -> RedisAnswer:
    """An error reply with its code, which redis-py cuts off where it knows it."""
    if isinstance(error, AuthenticationError) and code in (None, "ERR"):
        code = "NOAUTH"  # also where no password is set there: it is not ours
    if code is None and not str(error).split(" ", 1)[0].isupper():
        code = "ERR"
    return RedisAnswer(where, f"{code} {error}" if code else str(error))


class RedisIO:
    """Asks and commands Redis and Sentinel processes by address; holds the idle connections of readers."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int, str | None], Connection] = {}
        self._silent: set[tuple[str, int]] = set()

    async def read(
        self,
        address: str,
        port: int,
        commands: Sequence[Command],
        *,
        password: str | None,
        deadline_s: float = READ_DEADLINE_S,
    ) -> list[Reply]:
        """Send commands that change nothing, as one pipeline.

        Returns one reply per command, a refused one as RedisAnswer in its place.
        Raises RedisUnreachable, or RedisAnswer where the password is refused.
        """
        key = (address, port, password)
        where = endpoint(address, port)
        if (address, port) in self._silent:
            deadline_s = min(deadline_s, SILENT_DEADLINE_S)
        try:
            async with asyncio.timeout(deadline_s):
                kept = self._idle.pop(key, None)
                if kept is not None:
                    try:
                        return await self._exchange(kept, key, commands)
                    except (OSError, RedisLibraryError):
                        pass  # an idle connection may have been killed (Sentinel does): ask once more, freshly
                connection = _connection(address, port, password=password, deadline_s=deadline_s)
                try:
                    await _connect(connection)
                except BaseException:
                    await connection.disconnect(nowait=True)
                    raise
                replies = await self._exchange(connection, key, commands)
                self._silent.discard((address, port))
                return replies
        except (OSError, RedisLibraryError, TimeoutError) as error:
            translated = _translate(where, error)
            if isinstance(translated, RedisUnreachable) and translated.kind == "timeout":
                self._silent.add((address, port))
            else:
                self._silent.discard((address, port))
            raise translated from error

    async def change(
        self,
        address: str,
        port: int,
        command: Command,
        *,
        password: str | None,
        run_id: str | None,
        deadline_s: float = CHANGE_DEADLINE_S,
    ) -> Reply:
        """Send one command that changes something, to the process with that run id only.

        Raises RedisUnreachable (whether it was carried out is then unknown) and RedisAnswer, with code WRONGRUN
        where another process answers at the address by now.
        """
        session = self.session(address, port, password=password, run_id=run_id)
        try:
            return await session.ask(command, deadline_s=deadline_s)
        finally:
            await session.close()

    def session(self, address: str, port: int, *, password: str | None, run_id: str | None) -> Session:
        """A connection of one's own for several commands in a row; opened with the first of them."""
        return Session(address, port, password=password, run_id=run_id)

    async def knock(self, address: str, port: int, *, deadline_s: float) -> RedisUnreachable | None:
        """Make a TCP connection and close it: None where it is accepted. Only `refused` speaks of the process."""
        where = endpoint(address, port)
        try:
            async with asyncio.timeout(deadline_s):
                _, writer = await asyncio.open_connection(address, port)
        except (OSError, TimeoutError) as error:
            translated = _translate(where, error)
            return translated if isinstance(translated, RedisUnreachable) else None
        writer.close()
        return None

    async def listen(
        self, address: str, port: int, channels: Sequence[str], *, password: str | None
    ) -> AsyncIterator[str]:
        """The channel name and payload of each message, `channel payload`, until the connection breaks.

        Yields "" once when the subscription stands: what happened before it was missed. Raises RedisError when it
        cannot be made or ends. A dead peer ends it after KEEPALIVE probes of the kernel, not by silence.
        """
        where = endpoint(address, port)
        connection = _connection(address, port, password=password, deadline_s=READ_DEADLINE_S)
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                await _connect(connection)
                await connection.send_command("SUBSCRIBE", *channels)
            connection.socket_timeout = (
                None  # from here on silence is normal; the kernel's probes find a dead peer
            )
            while True:
                message = await connection.read_response()
                if not isinstance(message, list) or not message:
                    continue
                if message[0] == "subscribe" and message[2] == len(channels):
                    yield ""
                elif message[0] == "message":
                    yield f"{message[1]} {message[2]}"
        except (OSError, RedisLibraryError, TimeoutError) as error:
            raise _translate(where, error) from error
        finally:
            await connection.disconnect(nowait=True)

    async def wait_closed(self, address: str, port: int, *, password: str | None) -> RedisError:
        """Hold a standing connection and return how it ended: `closed` is the fastest sign of a crash.

        Raises RedisError where it cannot be made.
        """
        where = endpoint(address, port)
        connection = _connection(address, port, password=password, deadline_s=READ_DEADLINE_S)
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                await _connect(connection)
            connection.socket_timeout = None
            try:
                await connection.read_response()
            except (OSError, RedisLibraryError, TimeoutError) as error:
                return _translate(where, error)
            return RedisUnreachable(where, "other", "spoke without being asked")
        except (OSError, RedisLibraryError, TimeoutError) as error:
            raise _translate(where, error) from error
        finally:
            await connection.disconnect(nowait=True)

    async def forget(self, address: str) -> None:
        """Close the kept connections to an address that no member has any more."""
        for key in [key for key in self._idle if key[0] == address]:
            await self._idle.pop(key).disconnect(nowait=True)

    async def close(self) -> None:
        for address in {key[0] for key in self._idle}:
            await self.forget(address)

    async def _exchange(
        self, connection: Connection, key: tuple[str, int, str | None], commands: Sequence[Command]
    ) -> list[Reply]:
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            replies: list[Reply] = []
            for _ in commands:
                try:
                    replies.append(await connection.read_response())
                except ResponseError as error:
                    replies.append(_translate(endpoint(key[0], key[1]), error))
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        previous = self._idle.pop(key, None)
        if previous is not None:
            await previous.disconnect(nowait=True)
        self._idle[key] = connection
        return replies


class Session:
    """Several commands in a row to one process: where `run_id` is given, to that very process or to none.

    A connection is made when it is needed; each time the run id is asked first. One that was found closed (Sentinel
    closes all clients of a node that it promotes) is made anew, and the command sent again: everything that is sent
    over a session may be sent twice. Commands of several tasks follow one another; one that is given up closes the
    connection, so that its answer is never taken for that of the next.
    """

    def __init__(self, address: str, port: int, *, password: str | None, run_id: str | None) -> None:
        self._address, self._port, self._password, self._run_id = address, port, password, run_id
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def ask(self, command: Command, *, deadline_s: float) -> Reply:
        """The reply. Raises RedisAnswer for an error reply (code WRONGRUN where another process answers), and
        RedisUnreachable; whether the command was carried out is then unknown.
        """
        where = endpoint(self._address, self._port)
        try:
            async with asyncio.timeout(deadline_s), self._turn:
                return await self._ask(command, deadline_s=deadline_s)
        except (OSError, RedisLibraryError, TimeoutError) as error:
            raise _translate(where, error) from error

    async def _ask(self, command: Command, *, deadline_s: float) -> Reply:
        """For whoever has the turn: nobody else may close the connection."""
        try:
            if self._connection is not None:
                try:
                    return await self._exchange(self._connection, command)
                except (OSError, RedisConnectionError):
                    await self.close()
            return await self._exchange(await self._open(deadline_s), command)
        except ResponseError:
            raise
        except BaseException:
            await self.close()
            raise

    @staticmethod
    async def _exchange(connection: Connection, command: Command) -> Reply:
        await connection.send_command(*command, check_health=False)
        reply: Reply = await connection.read_response()
        return reply

    async def _open(self, deadline_s: float) -> Connection:
        made = _connection(self._address, self._port, password=self._password, deadline_s=deadline_s)
        try:
            await _connect(made)
            if self._run_id is not None:
                await made.send_command("INFO", "server")
                found = parse_info(await made.read_response()).get("run_id")
                if found != self._run_id:
                    where = endpoint(self._address, self._port)
                    raise RedisAnswer(where, f"WRONGRUN run id is {found}, expected {self._run_id}")
        except BaseException:
            await made.disconnect(nowait=True)
            raise
        self._connection = made
        return made

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


async def _connect(connection: Connection) -> None:
    await connection.connect()  # type: ignore[no-untyped-call]  # redis-py 7


def _connection(address: str, port: int, *, password: str | None, deadline_s: float) -> Connection:
    return Connection(
        host=address,
        port=port,
        password=password,
        socket_timeout=deadline_s,
        socket_connect_timeout=deadline_s,
        socket_keepalive=True,
        socket_keepalive_options=KEEPALIVE,
        decode_responses=True,
        encoding_errors="replace",
        retry=Retry(NoBackoff(), 0),
        driver_info=None,  # no CLIENT SETINFO: one round trip less
    )
