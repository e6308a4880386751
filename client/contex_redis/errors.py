"""What an error of redis-py says about the command that met it: not executed, or nobody knows.

A command that certainly was not executed can be repeated without a thought. One that was sent and not answered may
have been executed; repeating it can do it twice.
"""

from __future__ import annotations

import asyncio
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

# Answers that another node, or the same one a moment later, would not give. Redis gives them before it executes.
TRANSIENT: Final = frozenset(
    {"READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "TRYAGAIN", "BUSY", "UNBLOCKED"}
)
# Those of a node that is the master no longer, or will not be one for long: ask for the master again.
LEAVE: Final = frozenset({"READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "UNBLOCKED"})
_CODES: Final[dict[type[RedisError], str]] = {
    AuthenticationError: "WRONGPASS",  # NOAUTH and WRONGPASS
    BusyLoadingError: "LOADING",
    MasterDownError: "MASTERDOWN",
    NoPermissionError: "NOPERM",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    TryAgainError: "TRYAGAIN",
}
_NOT_SENT: Final = "contex_redis_not_sent"


class PoolExhausted(RedisConnectionError):
    """All connections of the pool are in use."""


def error_code(error: BaseException) -> str | None:
    """Redis' error word when the server itself answered with an error, else None.

    redis-py strips the word from the errors that it has a class for, and some of those (LOADING, WRONGPASS) are
    ConnectionErrors to it.
    """
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    if not isinstance(error, ResponseError):
        return None
    word = str(error).split(" ", 1)[0]
    return word if word.isupper() else "ERR"


def mark_not_sent(error: BaseException) -> None:
    """Note on `error` that it happened before the command was sent."""
    setattr(error, _NOT_SENT, True)


def was_sent(error: BaseException) -> bool:
    """False when the error happened before the command was sent."""
    return not getattr(error, _NOT_SENT, False)


def is_lost(error: BaseException) -> bool:
    """True when there was no connection or no answer in time, as opposed to an answer."""
    if error_code(error) is not None:
        return False
    return isinstance(error, (RedisConnectionError, RedisTimeoutError, OSError, asyncio.TimeoutError))


def certainly_not_executed(error: BaseException) -> bool:
    """True when the one command that met `error` was not executed: Redis refused it, or it never left this process."""
    return not was_sent(error) or error_code(error) is not None


def is_transient(error: BaseException) -> bool:
    """True when the same command may succeed a moment later or at another node."""
    if isinstance(error, PoolExhausted):
        return False
    code = error_code(error)
    if code is not None:
        # "ERR max number of clients reached" is a matter of connecting, like a refusal by the kernel.
        return code in TRANSIENT or (code == "ERR" and not was_sent(error))
    return is_lost(error)


def kind_of(error: BaseException) -> str:
    """The word by which errors of the connection are counted."""
    if isinstance(error, PoolExhausted):
        return "pool_exhausted"
    code = error_code(error)
    if code is not None:
        return {"WRONGPASS": "auth", "NOPERM": "auth"}.get(code, code.lower())
    if type(error).__name__ in ("MasterNotFoundError", "SlaveNotFoundError"):
        return "no_master"
    if isinstance(error, (RedisTimeoutError, asyncio.TimeoutError)):
        return "timeout"
    return "connection"


def describe(error: BaseException) -> str:
    """One line for a log: the kind of error and its text. redis-py's errors hold no password."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
