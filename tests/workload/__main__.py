"""`python -m tests.workload`: write (JSON lines of history), read (what nodes hold), check (the verdict).

Passwords come from the environment only: WORKLOAD_PASSWORD and WORKLOAD_SENTINEL_PASSWORD.
Exit codes: 0, 1 when `check` found something, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from tests.workload import checker, reading
from tests.workload.history import Op, dump, load
from tests.workload.process import PASSWORD_VARIABLE, SENTINEL_PASSWORD_VARIABLE
from tests.workload.writers import Access, AddressWriter, HttpWriter, Pace, SentinelWriter, Writer


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    handler: Callable[[argparse.Namespace], int] = arguments.handler
    return handler(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.workload", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="write|read|check")

    write = commands.add_parser("write", help="write until stopped; one line of JSON for each write")
    write.set_defaults(handler=_write)
    write.add_argument(
        "--client", default=f"w{secrets.token_hex(3)}", help="name of the client (default: random)"
    )
    write.add_argument("--clients", type=int, default=1, help="how many of them, named NAME.1, NAME.2, …")
    write.add_argument("--interval-ms", type=float, default=20.0)
    write.add_argument(
        "--timeout-ms", type=float, default=500.0, help="for connecting and for an answer, each"
    )
    write.add_argument("--duration", type=float, help="seconds; default: until SIGTERM or SIGINT")
    write.add_argument("--history", type=Path, help="append to this file (default: standard output)")
    write.add_argument("--stop-with-stdin", action="store_true", help="end when standard input is closed")
    kinds = write.add_subparsers(dest="kind", required=True, metavar="sentinel|kept|fresh|http")
    kind = kinds.add_parser("sentinel", help="ask the sentinels for the master at each connect")
    kind.add_argument("--sentinels", type=_addresses, required=True, metavar="HOST:PORT,…")
    kind.add_argument("--master-name", default="mymaster")
    for name, text in (
        ("kept", "one connection, kept while it lives"),
        ("fresh", "a new one for each write"),
    ):
        kind = kinds.add_parser(name, help=f"a fixed address: {text}")
        kind.add_argument("--address", type=_address, required=True, metavar="HOST:PORT")
    kind = kinds.add_parser("http", help="the publish endpoint of a Contex stand-in")
    kind.add_argument("--url", required=True, metavar="http://HOST:PORT")
    kind.add_argument("--project", required=True)

    read = commands.add_parser("read", help="what nodes hold, as a JSON object: node -> values")
    read.set_defaults(handler=_read)
    read.add_argument("--node", type=_named_address, action="append", required=True, metavar="NAME=HOST:PORT")
    read.add_argument("--stream", action="append", required=True, metavar="KEY")

    check = commands.add_parser("check", help="the verdict on histories and the data read afterwards")
    check.set_defaults(handler=_check)
    check.add_argument("--history", type=Path, action="append", required=True)
    check.add_argument("--data", type=Path, required=True, help="what `read` printed")
    check.add_argument("--master", required=True, help="the node in it that is the master")
    return parser


def _write(arguments: argparse.Namespace) -> int:
    with ExitStack() as stack:
        out: IO[str] = sys.stdout
        if arguments.history:
            out = stack.enter_context(arguments.history.open("a"))

        def record(op: Op) -> None:
            print(dump(op), file=out, flush=True)

        names = [arguments.client]
        if arguments.clients > 1:
            names = [f"{arguments.client}.{i + 1}" for i in range(arguments.clients)]
        asyncio.run(_run([_writer(name, arguments, record) for name in names], arguments))
    return 0


async def _run(writers: Sequence[Writer], arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for writer in writers:
            writer.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if arguments.duration is not None:
        loop.call_later(arguments.duration, stop)
    if arguments.stop_with_stdin:
        stdin = sys.stdin.fileno()

        def read_stdin() -> None:
            if not os.read(stdin, 4096):
                loop.remove_reader(stdin)
                stop()

        loop.add_reader(stdin, read_stdin)
    await asyncio.gather(*(writer.run() for writer in writers))


def _writer(client: str, arguments: argparse.Namespace, record: Callable[[Op], None]) -> Writer:
    pace = Pace(interval_s=arguments.interval_ms / 1000, timeout_s=arguments.timeout_ms / 1000)
    access = Access(_secret(PASSWORD_VARIABLE), _secret(SENTINEL_PASSWORD_VARIABLE))
    if arguments.kind == "sentinel":
        return SentinelWriter(
            client,
            sentinels=arguments.sentinels,
            master_name=arguments.master_name,
            access=access,
            pace=pace,
            record=record,
        )
    if arguments.kind == "http":
        return HttpWriter(client, base_url=arguments.url, project=arguments.project, pace=pace, record=record)
    fresh = arguments.kind == "fresh"
    return AddressWriter(
        client, address=arguments.address, fresh=fresh, access=access, pace=pace, record=record
    )


def _read(arguments: argparse.Namespace) -> int:
    password = _secret(PASSWORD_VARIABLE)
    nodes = {name: reading.connect(host, port, password=password) for name, (host, port) in arguments.node}
    print(json.dumps(reading.read_all(nodes, arguments.stream)))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    history: list[Op] = []
    for path in arguments.history:
        history.extend(load(path.read_text().splitlines()))
    verdict = checker.check(history, data=json.loads(arguments.data.read_text()), master=arguments.master)
    gap = checker.longest_gap(history)
    print(verdict.sentence())
    where = f"from {gap.since:.3f} to {gap.until:.3f}"
    print(f"longest gap between acknowledged writes {gap.seconds:.3f} s, {where}")
    return 0 if verdict.is_clean else 1


def _secret(variable: str) -> str | None:
    return os.environ.get(variable) or None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _addresses(text: str) -> list[tuple[str, int]]:
    return [_address(part) for part in text.split(",")]


def _named_address(text: str) -> tuple[str, tuple[str, int]]:
    name, separator, address = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=HOST:PORT")
    return name, _address(address)


if __name__ == "__main__":
    sys.exit(main())
