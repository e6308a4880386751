"""The scripts that are run in pods. POSIX sh for our own pods, Python's standard library for Contex's.

No password is ever an argument: the `redis-cli` of our pods reads its own from a file, and Contex's process has it in
its environment. What they print holds none either.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Final

from contex_operator import names
from contex_operator.views import DATA_COMMANDS, Command

MARK: Final = "@@contexredis"
DEADLINE_S: Final = 4  # of one question

DATA_QUESTIONS: Final[tuple[Command, ...]] = (
    *DATA_COMMANDS,  # the operator's own, so that its views read the answers
    ("CONFIG", "GET", "maxclients"),
    ("CLIENT", "LIST"),
)


def script(
    port: int,
    questions: Iterable[Command],
    *,
    knocks: Iterable[tuple[str, int]] = (),
    latency_of: str | None = None,
) -> str:
    """Ask the server of this pod, and knock (PING) at others; `latency_of` is measured for a second.

    The knocks go out side by side, so that ten black holes cost one deadline; only what fits into one write of a pipe
    may be printed side by side, so INFO comes before them.
    """
    lines = [
        "ask() { key=$1; shift; said=$(timeout "
        + str(DEADLINE_S)
        + " redis-cli \"$@\" 2>&1); code=$?; printf '%s %s %s\\n%s\\n' "
        + shlex.quote(MARK)
        + ' "$code" "$key" "$said"; }'
    ]
    for question in questions:
        words = " ".join(shlex.quote(str(word)) for word in question)
        lines.append(f"ask {shlex.quote(key_of(question))} -p {port} {words}")
    for host, target in knocks:
        lines.append(f"ask knock:{shlex.quote(host)}:{target} -h {shlex.quote(host)} -p {target} PING &")
    if latency_of is not None:
        lines.append(f"ask latency -h {shlex.quote(latency_of)} -p {names.REDIS_PORT} --raw --latency -i 1 &")
    lines.append("wait")
    return "\n".join(lines)


def key_of(question: Command) -> str:
    """How the answer to this question is called."""
    return "own:" + " ".join(map(str, question))


# Run by the Python of Contex's own container, with its environment: names resolved, connections made and passwords
# used exactly where Contex does it. Prints one JSON object without any password.
CONTEX_PROBE: Final = r"""
import json, os, socket, time
from urllib.parse import unquote, urlsplit
env = os.environ
SHOWN = ("REDIS_MODE", "REDIS_SENTINEL_HOSTS", "REDIS_SENTINEL_MASTER", "REDIS_DB", "REDIS_MAX_CONNECTIONS",
         "REDIS_SOCKET_TIMEOUT", "REDIS_SOCKET_CONNECT_TIMEOUT")
def command(stream, *words):
    sent = b"*%d\r\n" % len(words)
    for word in words:
        data = word.encode()
        sent += b"$%d\r\n%s\r\n" % (len(data), data)
    stream.write(sent)
    stream.flush()
    return reply(stream)
def reply(stream):
    line = stream.readline()
    if not line:
        raise ConnectionError("the connection was closed")
    kind, rest = line[:1], line[1:-2].decode(errors="replace")
    if kind in b"+:":
        return rest
    if kind == b"-":
        raise ValueError(rest)
    if int(rest) < 0:
        return None
    if kind == b"$":
        return stream.read(int(rest) + 2)[:-2].decode(errors="replace")
    return [reply(stream) for _ in range(int(rest))]
def knock(host, port, password, user, *words):
    seen = {"host": host, "port": port, "answer": None, "error": None, "ms": None}
    began = time.monotonic()
    try:
        with socket.create_connection((host, port), 3) as sock:
            sock.settimeout(3)
            seen["address"] = sock.getpeername()[0]
            with sock.makefile("rwb") as stream:
                seen["error"] = "no answer"
                if password:
                    command(stream, "AUTH", *((user, password) if user else (password,)))
                command(stream, "PING")
                seen["ms"] = round((time.monotonic() - began) * 1000, 1)
                seen["answer"] = command(stream, *words)
                seen["error"] = None
    except socket.gaierror:
        seen["error"] = "the name does not resolve"
    except ConnectionRefusedError:
        seen["error"] = "connection refused"
    except (TimeoutError, socket.timeout):
        seen["error"] = "no answer within 3 s"
    except (OSError, ValueError) as error:
        seen["error"] = str(error)
    return seen
told = {"env": {key: env[key] for key in SHOWN if key in env}, "sentinels": [], "master": None,
        "has_password": bool(env.get("REDIS_PASSWORD")), "problem": None}
try:
    if env.get("REDIS_MODE", "standalone") == "sentinel":
        name = env.get("REDIS_SENTINEL_MASTER", "mymaster")
        for part in env.get("REDIS_SENTINEL_HOSTS", "").split(","):
            if part.strip():
                host, _, port = part.strip().rpartition(":")
                told["sentinels"].append(knock(host.strip("[]"), int(port), env.get("REDIS_SENTINEL_PASSWORD"), None,
                                               "SENTINEL", "get-master-addr-by-name", name))
        named = next((seen["answer"] for seen in told["sentinels"] if seen["answer"]), None)
        if named:
            told["master"] = knock(named[0], int(named[1]), env.get("REDIS_PASSWORD"), None, "ROLE")
    else:
        url = urlsplit(env.get("REDIS_URL", "redis://redis:6379"))
        told["has_password"] = bool(url.password)
        if url.scheme != "redis" or not url.hostname:
            told["problem"] = "REDIS_URL is not a redis:// URL with a host"
        else:
            told["master"] = knock(url.hostname, url.port or 6379, unquote(url.password or "") or None,
                                   unquote(url.username or "") or None, "ROLE")
except ValueError as error:
    told["problem"] = "the environment cannot be read: " + type(error).__name__
if told["master"] and isinstance(told["master"]["answer"], list):
    told["master"]["answer"] = told["master"]["answer"][0]
print(json.dumps(told))
"""
