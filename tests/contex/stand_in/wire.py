"""One command on one connection, and what is known of it afterwards: done, not done, or unknown.

redis-py's clients hide the difference between "could not connect" and "sent, and no answer came", and retry
over it. Whoever counts writes needs it, so the three steps (connect, send, read) are taken here one by one.
The writers of `tests.workload` use this module as well.

    WireError
    ├── NotDone       the command certainly was not executed; `code` is Redis' error word, or "CONNECT"
    └── Unanswered    the command may or may not have been executed
"""

from __future__ import annotations

from typing import Any, Final, cast

from contex_redis.errors import TRANSIENT as REFUSED_FOR_NOW
from contex_redis.errors import describe, error_code
from redis.asyncio.connection import AbstractConnection, Connection
from redis.asyncio.sentinel import SentinelManagedConnection
from redis.exceptions import RedisError

RUN_ID_HEADER: Final = "X-Redis-Run-Id"  # of an HTTP answer: which Redis process acknowledged
CONNECT: Final = "CONNECT"
# Answers that another node, or the same one a moment later, would not give. Redis gives them before it
# executes.
TRANSIENT: Final = REFUSED_FOR_NOW | {CONNECT}


class WireError(Exception):
    """Base of both; the message is one line without secrets."""


class NotDone(WireError):
    """The command certainly was not executed."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)

    @property
    def is_transient(self) -> bool:
        """True when the same command may succeed a moment later or elsewhere."""
        return self.code in TRANSIENT


class Unanswered(WireError):
    """The command was sent, or begun to be sent, and its answer never came."""


class Identified(AbstractConnection):
    """A connection that knows which process it talks to: `run_id`, read once after each connect.

    An address does not tell: a Service's address leads to another process after a failover.
    """

    run_id: str | None = None

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        self.run_id = None
        await super().on_connect_check_health(check_health=check_health)
        await self.send_command("INFO", "server", check_health=False)
        for line in cast("bytes", await self.read_response(disable_decoding=True)).splitlines():
            if line.startswith(b"run_id:"):
                self.run_id = line.removeprefix(b"run_id:").decode()


class PlainConnection(Identified, Connection):
    """To one fixed address."""


class SentinelConnection(Identified, SentinelManagedConnection):
    """To the master that the sentinels name, asked again at every connect.

    redis-py's own class asks only in `connect()`: a retry or health check inside a command reconnects to
    the old master without asking (redis-py #3874, open in 7.x and 8.x). And it turns READONLY into a
    ConnectionError, which hides that the command certainly was not executed.
    """

    async def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        if retry_socket_connect and not self.is_connected and self.connection_pool.is_master:
            self.host, self.port = await self.connection_pool.get_master_address()
        await super().connect_check_health(check_health, retry_socket_connect=False)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        return await Connection.read_response(self, *args, **kwargs)


async def connect(connection: AbstractConnection) -> None:
    """Connect and authenticate; a connection that the other side has closed meanwhile is made anew. Raises
    NotDone.
    """
    try:
        if connection.is_connected and await connection.can_read_destructive():  # type: ignore[no-untyped-call, unused-ignore]
            await connection.disconnect()
        await connection.connect()  # type: ignore[no-untyped-call, unused-ignore]
    except (RedisError, OSError) as error:
        await connection.disconnect(nowait=True)
        raise not_connected(error) from error


async def ask(connection: AbstractConnection, *command: str | bytes | int) -> Any:
    """Send `command` on a connected connection and return its reply, undecoded. Raises NotDone or Unanswered.

    A connection that gave no answer is closed (a late answer would be taken for the next command's).
    """
    try:
        await connection.send_command(*command, check_health=False)
        return await connection.read_response(disable_decoding=True)
    except (RedisError, OSError) as error:
        code = error_code(error)
        if code is not None:
            # Redis refused. For a single plain command that means: before executing it.
            raise NotDone(code, describe(error)) from error
        await connection.disconnect(nowait=True)
        raise Unanswered(describe(error)) from error
    except BaseException:
        await connection.disconnect(nowait=True)
        raise


def not_connected(error: BaseException) -> NotDone:
    """What a failed connect means for the command that was to follow."""
    code = error_code(error)
    # "ERR max number of clients reached" is a matter of connecting, like a refusal by the kernel.
    return NotDone(CONNECT if code in (None, "ERR") else str(code), describe(error))
