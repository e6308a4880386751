"""Threads that watch while a test does something else: sentinels' announcements, and a Service's endpoints."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import redis
from contex_operator.names import SENTINEL_PORT

from tests.e2e.support.redis_set import RedisSet


@dataclass(frozen=True)
class Announcement:
    """One message of one sentinel; `at` is time.monotonic()."""

    at: float
    sentinel: str
    channel: str
    text: str


class Announcements:
    """Everything that the sentinels announce, by pub/sub, while this context is entered.

    A sentinel announces `+reset-master` for every SENTINEL RESET and `+switch-master` for every new master.
    """

    def __init__(self, redis_set: RedisSet) -> None:
        self._set = redis_set
        self._lock = threading.Lock()
        self._heard: list[Announcement] = []
        self._clients: list[redis.Redis] = []  # one that is collected closes its listener's connection
        self._listeners: list[redis.client.PubSub] = []
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        for pod in self._set.sentinel_pods():
            client = redis.Redis(
                host=self._set.address(pod),
                port=SENTINEL_PORT,
                password=self._set.sentinel_password,
                decode_responses=True,
                socket_connect_timeout=2,
            )
            self._clients.append(client)
            listener = client.pubsub()  # type: ignore[no-untyped-call]  # redis-py 7
            listener.psubscribe("*")
            assert listener.get_message(timeout=5) is not None, f"{pod} does not confirm a subscription"
            thread = threading.Thread(target=self._listen, args=(pod, listener), daemon=True)
            thread.start()
            self._listeners.append(listener)
            self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=5)
        for listener in self._listeners:
            listener.close()
        for client in self._clients:
            client.close()

    def heard(self, *channels: str) -> list[Announcement]:
        """What was announced so far on these channels (on all of them when none is named), in order."""
        with self._lock:
            return [one for one in self._heard if not channels or one.channel in channels]

    def _listen(self, pod: str, listener: redis.client.PubSub) -> None:
        while not self._stop.is_set():
            try:
                message = listener.get_message(ignore_subscribe_messages=True, timeout=0.2)
            except (redis.ConnectionError, redis.TimeoutError, OSError):
                return  # the sentinel has died with its node: the others tell
            if message is not None:
                one = Announcement(time.monotonic(), pod, str(message["channel"]), str(message["data"]))
                with self._lock:
                    self._heard.append(one)


@dataclass(frozen=True)
class Endpoints:
    """The addresses of a Service at an instant of time.monotonic(), as its EndpointSlices listed them."""

    at: float
    addresses: tuple[str, ...]


class EndpointWatch:
    """Every state of a Service's endpoints while this context is entered, as the API shows it."""

    def __init__(self, redis_set: RedisSet, service: str) -> None:
        self._lock = threading.Lock()
        self._states: list[Endpoints] = []
        self._slices: dict[str, tuple[str, ...]] = {}
        context = redis_set.cluster.context
        argv: Sequence[str] = [
            "kubectl",
            *(("--context", context) if context else ()),
            *("get", "endpointslices", "-n", redis_set.namespace),
            *("-l", f"kubernetes.io/service-name={service}"),
            *("--watch", "--output-watch-events", "-o", "json"),
        ]
        self._child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.terminate()
        self._child.wait(timeout=10)
        self._thread.join(timeout=5)
        if self._child.stdout is not None:
            self._child.stdout.close()

    def states(self) -> list[Endpoints]:
        """All states so far, the first is what it was at the start."""
        with self._lock:
            return list(self._states)

    def _read(self) -> None:
        assert self._child.stdout is not None
        decoder = json.JSONDecoder()
        pending = ""
        for line in self._child.stdout:
            pending += line
            try:
                event, end = decoder.raw_decode(pending.lstrip())
            except json.JSONDecodeError:
                continue
            pending = pending.lstrip()[end:]
            self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        body = event["object"]
        addresses = tuple(a for one in body.get("endpoints") or () for a in one["addresses"])
        with self._lock:
            self._slices[body["metadata"]["name"]] = () if event["type"] == "DELETED" else addresses
            every = tuple(sorted(a for found in self._slices.values() for a in found))
            self._states.append(Endpoints(time.monotonic(), every))
