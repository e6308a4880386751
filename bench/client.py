"""`python -m bench.client`: contex_redis beside redis-py, on real redis-servers on loopback.

    overhead   what a command costs: both clients take turns in one process, a batch each, in an order that is drawn
               anew for each pair, so that whatever else the machine does meets both; the median of the pairs' ratios
    failover   what a lost master costs: both write into one set at the same time, ten tasks each, and meet the same
               fault: errors that reached the caller, and the longest call

redis-py's client is made as Contex makes it (in sentinel mode with the arguments as the shim hands them on).
Exit codes: 0, 1 when p50 costs more than `--most` percent or a planned failover an error, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis
from contex_redis import Settings, build, read
from prometheus_client import CollectorRegistry
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from tests.component.harness.processes import Child, free_ports, wait_until
from tests.workload.loopback import MASTER_NAME, LoopbackSet, Node, within

COMMANDS: Final[dict[str, tuple[Any, ...]]] = {
    "PING": ("PING",),
    "GET": ("GET", "bench"),
    "XADD": ("XADD", "bench-stream", "MAXLEN", "~", 1000, "*", "data", "x" * 200),
}
PLAIN, OURS = "redis-py", "contex_redis"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.client",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="overhead|failover")
    overhead = commands.add_parser("overhead", help="what a command costs")
    overhead.set_defaults(handler=_overhead)
    overhead.add_argument("--pairs", type=_count, default=200, help="batches of each client (default: 200)")
    overhead.add_argument("--batch", type=_count, default=200, help="commands in a batch (default: 200)")
    overhead.add_argument("--most", type=float, default=5.0, help="percent at p50 (default: 5)")
    failover = commands.add_parser("failover", help="what a lost master costs")
    failover.set_defaults(handler=_failover)
    failover.add_argument("--n", type=_count, default=5, help="repetitions of each fault (default: 5)")
    arguments = parser.parse_args(argv)
    handler: Callable[[argparse.Namespace], int] = arguments.handler
    return handler(arguments)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be a whole number, at least 2")
    return int(text)


def _overhead(arguments: argparse.Namespace) -> int:
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = Child(["redis-server", "--port", str(port), *options], log=Path(folder) / "log")
        try:
            client = redis.Redis(port=port)
            wait_until(lambda: _answers(client), within_s=30, what="redis-server answers")
            client.close()
            overheads = asyncio.run(_measure(port, pairs=arguments.pairs, batch=arguments.batch))
        finally:
            server.kill()
    return 0 if max(overheads.values()) <= arguments.most else 1


def _answers(client: redis.Redis) -> str:
    try:
        return "ok" if client.ping() else "no"
    except redis.RedisError as error:
        return str(error)


async def _measure(port: int, *, pairs: int, batch: int) -> dict[str, float]:
    settings = read({"REDIS_URL": f"redis://127.0.0.1:{port}"})
    clients = {PLAIN: _plain(settings), OURS: build(settings, metrics=CollectorRegistry())}
    print(
        f"redis-py {redis.__version__}, Python {platform.python_version()}, {pairs} pairs of {batch} commands"
    )
    print("| command | redis-py p50 | contex_redis p50 | overhead at p50 | redis-py p99 | contex_redis p99 |")
    print("|---|---|---|---|---|---|")
    overheads = {}
    for name, command in COMMANDS.items():
        times: dict[str, list[float]] = {PLAIN: [], OURS: []}
        ratios = []
        for client in clients.values():
            await _batch(client, command, batch)
        for _ in range(pairs):
            order = random.sample(list(clients), 2)
            taken = {each: await _batch(clients[each], command, batch) for each in order}
            for each, samples in taken.items():
                times[each] += samples
            ratios.append(statistics.median(taken[OURS]) / statistics.median(taken[PLAIN]))
        overheads[name] = (statistics.median(ratios) - 1) * 100
        p50 = {each: statistics.median(samples) * 1e6 for each, samples in times.items()}
        p99 = {each: statistics.quantiles(samples, n=100)[98] * 1e6 for each, samples in times.items()}
        print(
            f"| {name} | {p50[PLAIN]:.0f} µs | {p50[OURS]:.0f} µs | {overheads[name]:+.1f} % "
            f"| {p99[PLAIN]:.0f} µs | {p99[OURS]:.0f} µs |",
            flush=True,
        )
    for client in clients.values():
        await client.aclose()
    return overheads


def _plain(settings: Settings) -> Redis:
    pool: Any = ConnectionPool.from_url(
        settings.url,
        max_connections=settings.max_connections,
        socket_timeout=settings.socket_timeout_s,
        socket_connect_timeout=settings.socket_connect_timeout_s,
        socket_keepalive=settings.socket_keepalive,
        health_check_interval=settings.health_check_interval_s,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis(connection_pool=pool)


async def _batch(client: Redis, command: tuple[Any, ...], count: int) -> list[float]:
    gc.collect()
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        await client.execute_command(*command)  # type: ignore[no-untyped-call, unused-ignore]
        taken.append(time.perf_counter() - started)
    return taken


# -- failover ---------------------------------------------------------------------------------------------------------

DOWN_AFTER_MS: Final = 3000
TASKS: Final = 10
FAULTS: Final = ("planned failover", "master killed", "master frozen")


@dataclass
class Seen:
    """What one client's callers have met in one repetition."""

    writes: int = 0
    errors: int = 0
    longest_s: float = 0.0
    last_ok: float = 0.0


def _failover(arguments: argparse.Namespace) -> int:
    print(
        f"redis-py {redis.__version__}, {arguments.n} repetitions, {TASKS} tasks, down-after {DOWN_AFTER_MS} ms"
    )
    print("| fault | client | errors, median (max) | longest call, median (max) |")
    print("|---|---|---|---|")
    is_good = True
    for fault in FAULTS:
        found: dict[str, list[Seen]] = {PLAIN: [], OURS: []}
        for _ in range(arguments.n):
            with (
                tempfile.TemporaryDirectory() as folder,
                LoopbackSet(Path(folder), down_after_ms=DOWN_AFTER_MS) as made,
            ):
                for name, seen in asyncio.run(_meet(fault, made)).items():
                    found[name].append(seen)
        for name, each in found.items():
            errors, longest = [s.errors for s in each], [s.longest_s for s in each]
            print(
                f"| {fault} | {name} | {statistics.median(errors):.0f} ({max(errors)}) "
                f"| {statistics.median(longest):.2f} s ({max(longest):.2f} s) |",
                flush=True,
            )
        is_good = is_good and not (fault == FAULTS[0] and any(s.errors for s in found[OURS]))
    return 0 if is_good else 1


async def _meet(fault: str, redis_set: LoopbackSet) -> dict[str, Seen]:
    env = {"REDIS_MODE": "sentinel", "REDIS_SENTINEL_HOSTS": redis_set.sentinel_addresses}
    settings = read(env)
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call, unused-ignore]
        settings.sentinel_hosts, sentinel_kwargs={"socket_timeout": 5, "socket_connect_timeout": 5}
    )
    limits = {
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "max_connections": 50,
        "health_check_interval": 30,
    }
    clients: dict[str, Any] = {
        PLAIN: sentinel.master_for(MASTER_NAME, **limits),
        OURS: build(settings, metrics=CollectorRegistry()),
    }
    seen = {name: Seen() for name in clients}
    ended = asyncio.Event()
    tasks = [
        asyncio.create_task(_write(client, seen[name], ended))
        for name, client in clients.items()
        for _ in range(TASKS)
    ]
    old = redis_set.nodes[0]
    await _until(lambda: all(each.writes > 10 * TASKS for each in seen.values()))
    if fault == FAULTS[0]:
        await asyncio.to_thread(redis_set.sentinels[0].command, "SENTINEL FAILOVER", MASTER_NAME)
    else:
        old.process.send_signal(signal.SIGKILL if fault == FAULTS[1] else signal.SIGSTOP)
    await asyncio.to_thread(_moved, redis_set, old)
    moved = time.monotonic()
    await _until(lambda: all(each.last_ok > moved + 2 for each in seen.values()))
    ended.set()
    await asyncio.gather(*tasks)
    for client in clients.values():
        await client.aclose()
    for each in sentinel.sentinels:
        await each.aclose()
    return seen


async def _write(client: Any, seen: Seen, ended: asyncio.Event) -> None:
    while not ended.is_set():
        started = time.monotonic()
        try:
            await client.xadd("bench", {"data": "x" * 200})
            seen.last_ok = time.monotonic()
        except (redis.RedisError, OSError):
            seen.errors += 1
        seen.writes += 1
        seen.longest_s = max(seen.longest_s, time.monotonic() - started)
        await asyncio.sleep(0.02)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def _moved(redis_set: LoopbackSet, old: Node) -> None:
    """A majority of the sentinels names another master."""

    def named() -> bool:
        return sum(redis_set.named_master(each) != old.address for each in redis_set.sentinels) >= 2

    within(60, named, what="another master")


if __name__ == "__main__":
    sys.exit(main())
