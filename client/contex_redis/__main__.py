"""`python -m contex_redis check`: is the Redis that this environment is wired to a master that answers?

For `kubectl exec` and for a readiness probe: one line, and the exit code 0 (yes), 1 (no, and why) or 2 (a wrong
variable or command line). It writes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from .connecting import build, failed
from .settings import SENTINEL, Settings, SettingsError, read


def main(argv: Sequence[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m contex_redis", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="check")
    check = commands.add_parser("check", help="ask for the master, and ask it who it is")
    check.add_argument(
        "--within", type=_seconds, default=5.0, metavar="SECONDS", help="for the whole check (default: 5)"
    )
    arguments = parser.parse_args(argv)
    try:
        settings = read(env)
    except SettingsError as error:
        print(error)
        return 2
    is_good, line = asyncio.run(_check(settings, within_s=arguments.within))
    print(line)
    return 0 if is_good else 1


async def _check(settings: Settings, *, within_s: float) -> tuple[bool, str]:
    started = time.monotonic()
    client = build(settings, retry_for_s=within_s, metrics=CollectorRegistry())
    try:
        async with asyncio.timeout(within_s):
            await client.execute_command("PING")
            role = cast("Sequence[Any]", await client.execute_command("ROLE"))
            where = cast("Any", client.connection_pool).on_master.last
    except TimeoutError:
        last = cast("Any", client.connection_pool).last_error
        return False, failed(settings, last or TimeoutError(f"no answer within {within_s:g} s"))
    except (RedisError, OSError) as error:
        return False, failed(settings, error)
    finally:
        await client.aclose()
    word = role[0].decode() if isinstance(role[0], bytes) else str(role[0])
    at = f"{where[0]}:{where[1]}"
    if word != "master":
        return False, f"Not the master | address={at} role={word}: writes are refused there"
    via = "sentinel" if settings.mode == SENTINEL else "url"
    took_ms = round((time.monotonic() - started) * 1000)
    return True, f"OK | address={at} role=master via={via} replicas={len(role[2])} took_ms={took_ms}"


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 600:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be a number of seconds up to 600")
    return value


if __name__ == "__main__":
    sys.exit(main())
