"""One application on one client, for a process with any Python and any redis-py: it needs neither pytest nor a venv.

    actor.py package|published [--interval-ms N] [--tasks N] [--pipeline] [--subscribe]

Writes one value after the other into the stream `actor`, wired by the environment, and says of each in a line of JSON
what became of it. Ends, with the metrics as its last line, when its standard input is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
STREAM = "actor"
STAND_IN = str(Path(__file__).resolve().parents[1] / "contex" / "stand_in")


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=["package", "published"])
    parser.add_argument("--interval-ms", type=int, default=20)
    parser.add_argument("--retry-for-s", type=float, default=10.0)
    parser.add_argument("--pipeline", action="store_true")
    parser.add_argument("--subscribe", action="store_true")
    arguments = parser.parse_args()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    if arguments.client == "package":
        from contex_redis import connect

        redis: Any = await connect(retry_for_s=arguments.retry_for_s)
    else:
        # By its folder: the laboratory's packages are not there for every Python.
        sys.path.append(STAND_IN)
        import published  # type: ignore[import-not-found, unused-ignore]

        redis, sentinel = published.client(os.environ)
        await redis.ping()
        if sentinel is not None:
            host, port = await sentinel.discover_master(os.environ.get("REDIS_SENTINEL_MASTER", "mymaster"))
            logging.info("Connected to Redis via Sentinel | master_host=%s master_port=%s", host, port)
    say(pool=redis.connection_pool.max_connections)
    others = [asyncio.create_task(listen(redis))] if arguments.subscribe else []
    await write(redis, ended, pause_s=arguments.interval_ms / 1000, in_pipeline=arguments.pipeline)
    for task in others:
        task.cancel()
    if arguments.client == "package":
        from prometheus_client import generate_latest

        say(metrics=generate_latest().decode())
    await redis.aclose()


async def write(redis: Any, ended: asyncio.Event, *, pause_s: float, in_pipeline: bool) -> None:
    number = 0
    while not ended.is_set():
        number += 1
        started = time.monotonic()
        attempt: Callable[[], Awaitable[Any]]
        if in_pipeline:
            pipe = redis.pipeline()
            pipe.xadd(STREAM, {"value": f"{os.getpid()}-{number}"})
            pipe.incr("actor-count")
            attempt = pipe.execute
        else:

            def attempt(number: int = number) -> Awaitable[Any]:
                done: Awaitable[Any] = redis.xadd(STREAM, {"value": f"{os.getpid()}-{number}"})
                return done

        error = None
        try:
            await attempt()
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"
        say(value=number, error=error, at=time.monotonic(), took_s=round(time.monotonic() - started, 4))
        try:
            await asyncio.wait_for(ended.wait(), pause_s)
        except TimeoutError:
            continue


async def listen(redis: Any) -> None:
    pubsub = redis.pubsub()
    await pubsub.subscribe("actor")
    while True:
        try:
            message = await pubsub.get_message(timeout=0.2)
        except Exception as caught:
            say(heard=None, error=f"{type(caught).__name__}: {caught}")
            await asyncio.sleep(0.1)
            continue
        if message is not None and message["type"] == "message":
            say(heard=message["data"].decode())


asyncio.run(main())
