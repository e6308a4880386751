"""Four ways in which a client reaches Redis, each a loop that writes one unique value after the other.

    sentinel   asks the sentinels for the master at each connect, as redis-py does it
    kept       one connection to a fixed address, kept while it lives; never asks who the master is: the
    unmodified
               application behind the master Service, stuck on READONLY when nobody cuts its connection
    fresh      a new connection to a fixed address for each write: what a new client meets at that moment
    http       the Contex stand-in's publish endpoint

A loop never repeats a value: after a failure it goes on with the next one. So a value that is there twice
was not written twice by the client, and "unknown" stays unknown.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
from contex_redis.errors import describe
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.contex.stand_in import wire
from tests.workload.history import Op, Result

FIELD: Final = "value"


def stream_of(client: str) -> str:
    """The key that a client's writes go to (http clients: see `project_stream`)."""
    return f"workload:{client}"


def project_stream(project: str) -> str:
    """The key that Contex keeps a project's events in."""
    return f"project:{project}:events"


@dataclass(frozen=True)
class Pace:
    """`interval_s` from one write's start to the next one's (0: as fast as answers come), `timeout_s` for
    each of connecting and answering.
    """

    interval_s: float = 0.02
    timeout_s: float = 0.5


@dataclass(frozen=True)
class Outcome:
    """What one attempt came to."""

    result: Result
    node: str | None = None
    reason: str | None = None


class Writer(ABC):
    """One client. `run()` until `stop()`; each write is handed to `record` when its outcome is known."""

    def __init__(self, client: str, *, pace: Pace, record: Callable[[Op], None]) -> None:
        self.client = client
        self._pace = pace
        self._record = record
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End after the write that is under way."""
        self._stop.set()

    async def run(self) -> None:
        """Write until stopped. A write that is cut off by cancellation is recorded as unknown."""
        number = 0
        try:
            while not self._stop.is_set():
                number += 1
                started = time.monotonic()
                await self._one(f"{self.client}-{number:07d}")
                await self._rest(self._pace.interval_s - (time.monotonic() - started))
        finally:
            await self.aclose()

    async def _one(self, value: str) -> None:
        invoked = time.monotonic()
        outcome = Outcome(Result.UNKNOWN, reason="the writer was stopped")
        try:
            outcome = await self.write(value)
        finally:
            op = Op(
                self.client, value, invoked, time.monotonic(), outcome.result, outcome.node, outcome.reason
            )
            self._record(op)

    async def _rest(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    @abstractmethod
    async def write(self, value: str) -> Outcome:
        """Try once to write `value`."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what is open."""


@dataclass(frozen=True)
class Access:
    """Passwords of Redis and of the sentinels; None: no authentication."""

    password: str | None = None
    sentinel_password: str | None = None


class SentinelWriter(Writer):
    """Through the sentinels, by redis-py's own pool and discovery (no retries: each attempt is one
    operation).
    """

    def __init__(
        self,
        client: str,
        *,
        sentinels: Sequence[tuple[str, int]],
        master_name: str,
        access: Access,
        pace: Pace,
        record: Callable[[Op], None],
    ) -> None:
        super().__init__(client, pace=pace, record=record)
        limits: dict[str, Any] = {
            "socket_timeout": pace.timeout_s,
            "socket_connect_timeout": pace.timeout_s,
            "retry": Retry(NoBackoff(), 0),
        }
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call, unused-ignore]
            list(sentinels), sentinel_kwargs=limits | {"password": access.sentinel_password}
        )
        self._pool = SentinelConnectionPool(  # type: ignore[no-untyped-call, unused-ignore]
            master_name,
            self._sentinel,
            connection_class=wire.SentinelConnection,
            max_connections=1,
            password=access.password,
            **limits,
        )

    async def write(self, value: str) -> Outcome:
        try:
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call, unused-ignore]
        except (RedisError, OSError) as error:
            return _refused(wire.not_connected(error))
        try:
            # What redis-py's clients do on READONLY, and must do on NOREPLICAS: leave, and ask the
            # sentinels again.
            return await append(connection, stream_of(self.client), value, leave_on=wire.TRANSIENT)
        finally:
            await self._pool.release(connection)

    async def aclose(self) -> None:
        await self._pool.aclose()
        for sentinel in self._sentinel.sentinels:
            await sentinel.aclose()


class AddressWriter(Writer):
    """To one fixed address: the connection is kept, or (`fresh=True`) a new one is made for each write."""

    def __init__(
        self,
        client: str,
        *,
        address: tuple[str, int],
        fresh: bool,
        access: Access,
        pace: Pace,
        record: Callable[[Op], None],
    ) -> None:
        super().__init__(client, pace=pace, record=record)
        self._fresh = fresh
        self._connection = wire.PlainConnection(
            host=address[0],
            port=address[1],
            password=access.password,
            socket_timeout=pace.timeout_s,
            socket_connect_timeout=pace.timeout_s,
            retry=Retry(NoBackoff(), 0),
        )

    async def write(self, value: str) -> Outcome:
        try:
            await wire.connect(self._connection)
        except wire.NotDone as error:
            return _refused(error)
        try:
            return await append(self._connection, stream_of(self.client), value, leave_on=frozenset())
        finally:
            if self._fresh:
                await self._connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        await self._connection.disconnect()


class HttpWriter(Writer):
    """Through a Contex stand-in at `base_url`, into `project`."""

    def __init__(
        self, client: str, *, base_url: str, project: str, pace: Pace, record: Callable[[Op], None]
    ) -> None:
        super().__init__(client, pace=pace, record=record)
        self._project = project
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=httpx.Timeout(pace.timeout_s),
            limits=httpx.Limits(max_connections=1),
            trust_env=False,
        )

    async def write(self, value: str) -> Outcome:
        body = {"project_id": self._project, "data_key": value, "data": {}}
        try:
            response = await self._http.post("/api/v1/data/publish", json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Outcome(Result.FAILED, reason=describe(error))
        except httpx.HTTPError as error:
            return Outcome(Result.UNKNOWN, reason=describe(error))
        return from_response(response)

    async def aclose(self) -> None:
        await self._http.aclose()


async def append(
    connection: AbstractConnection, stream: str, value: str, *, leave_on: frozenset[str]
) -> Outcome:
    """Write `value` over a connected `connection`, which is closed after an error whose word is in
    `leave_on`.
    """
    try:
        await wire.ask(connection, "XADD", stream, "*", FIELD, value)
    except wire.NotDone as error:
        if error.code in leave_on:
            await connection.disconnect(nowait=True)
        return _refused(error)
    except wire.Unanswered as error:
        return Outcome(Result.UNKNOWN, reason=str(error))
    return Outcome(Result.OK, node=getattr(connection, "run_id", None))


def _refused(error: wire.NotDone) -> Outcome:
    return Outcome(Result.FAILED, reason=f"{error.code}: {error}")


def from_response(response: httpx.Response) -> Outcome:
    """Only a 200 is an acknowledgement, and only an answer that says so itself is a certain failure."""
    if response.status_code == 200:
        return Outcome(Result.OK, node=response.headers.get(wire.RUN_ID_HEADER) or None)
    reason = f"HTTP {response.status_code}"
    try:
        answer = response.json()
        reason += f": {answer['detail']}"
        is_known = answer["unknown"] is False
    except (ValueError, KeyError, TypeError):
        is_known = False
    return Outcome(Result.FAILED if is_known else Result.UNKNOWN, reason=reason)
