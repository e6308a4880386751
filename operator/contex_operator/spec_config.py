"""What may stand in `.spec.config`: the user's directives of redis.conf, with values that Redis takes.

Two judgements. `OWNED` names the directives that would break what the operator promises; the CRD refuses the
same ones (a test keeps the two equal). `KNOWN` has the values of the common directives of Redis 6.2 to 8 and
Valkey 8 to 9, so that a typo is a sentence in the resource's status and not a pod that cannot start; a directive
that it does not know is left to Redis. Lowest layer but for quantity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from . import quantity

NAME: Final = re.compile(r"[a-z][a-z0-9._-]*")  # Redis itself ignores case: `PORT` would get past a refusal
MAX_VALUE_LENGTH: Final = 1024

# Sentinels, replicas, probes and the operator need connections of their own, and they must not be closed for
# being idle: Sentinel pings once a second.
MIN_MAXCLIENTS: Final = 32
MIN_TIMEOUT_S: Final = 10

# What holds where config does not say: Redis' own defaults and those of the rendered redis.conf.
DEFAULT_DATABASES: Final = 16
DEFAULT_REPL_PING_S: Final = 10
DEFAULT_REPL_TIMEOUT_S: Final = 30
DEFAULT_REPL_BACKLOG: Final = "64mb"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedDirectives:
    """Directives that the operator sets itself, by name and by how they begin; `instead` says where to go."""

    names: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    instead: str

    def contain(self, name: str) -> bool:
        return name in self.names or name.startswith(self.prefixes)


OWNED: Final = (
    OwnedDirectives(
        names=("requirepass", "masterauth", "masteruser", "primaryauth", "primaryuser", "user", "aclfile"),
        instead="passwords come from spec.auth",
    ),
    OwnedDirectives(
        names=(
            "appendonly", "appendfsync", "no-appendfsync-on-rewrite", "rdbchecksum", "replica-read-only",
            "slave-read-only", "replica-ignore-maxmemory", "slave-ignore-maxmemory", "min-replicas-to-write",
            "min-replicas-max-lag", "min-slaves-to-write", "min-slaves-max-lag",
        ),
        prefixes=("aof-load-",),
        instead="what a fault may cost is chosen with spec.durability",
    ),
    OwnedDirectives(
        names=("dir", "dbfilename", "appendfilename", "appenddirname"),
        instead="the data lie on the volume of spec.persistence",
    ),
    OwnedDirectives(
        names=("port", "bind", "bind-source-addr", "protected-mode"),
        prefixes=("replica-announce", "slave-announce", "unixsocket", "tls-", "rdma-", "cluster-"),
        instead="the operator gives each pod its address and port",
    ),
    OwnedDirectives(
        names=("replicaof", "slaveof", "primaryof", "replica-priority", "slave-priority", "sentinel"),
        instead="who is master is decided by the sentinels",
    ),
    OwnedDirectives(
        names=("daemonize", "supervised", "pidfile", "logfile", "include", "rename-command"),
        prefixes=("syslog-", "shutdown-"),
        instead="the operator starts, stops and watches the process",
    ),
)  # fmt: skip

# "can't set immutable config": what CONFIG SET answers on at least one of Redis 7.0, 8.0 and Valkey 9.1 (asked of real
# servers: tests/component/test_spec_config.py for the first), and what loads code.
NEEDS_RESTART: Final = frozenset(
    {
        "always-show-logo", "aof-rewrite-cpulist", "aof_rewrite_cpulist", "bgsave-cpulist", "bgsave_cpulist",
        "bio-cpulist", "bio_cpulist", "databases", "disable-thp", "enable-debug-command", "enable-module-command",
        "enable-protected-configs", "hash-seed", "io-threads", "io-threads-do-reads", "loadmodule", "mptcp",
        "repl-mptcp", "server-cpulist", "server_cpulist", "set-proc-title", "socket-mark-id", "tcp-backlog",
    }
)  # fmt: skip

# Directives whose value Redis shows in another form than it takes.
_SHOWN_OTHERWISE: Final = frozenset(
    {"save", "client-output-buffer-limit", "notify-keyspace-events", "maxmemory-clients"}
)
_OURS_AT_RUN_TIME: Final = ("appendfsync", "min-replicas-to-write", "min-replicas-max-lag")

Check = Callable[[Sequence[str]], str | None]  # the value's arguments → what is wrong with them


def owner_of(name: str) -> str | None:
    """Where to go instead, for a directive that the operator owns; None for the user's own."""
    return next((owned.instead for owned in OWNED if owned.contain(name)), None)


def needs_restart(name: str) -> bool:
    """Is it read at the start only?"""
    return name in NEEDS_RESTART


def is_comparable(name: str) -> bool:
    """Can the value that CONFIG GET shows be held against the one that was set?"""
    if needs_restart(name) or name in _SHOWN_OTHERWISE:
        return False
    return name in KNOWN or name in _OURS_AT_RUN_TIME


def is_same(one: str, other: str) -> bool:
    """Do two spellings of a comparable directive's value mean the same?"""

    def meaning(text: str) -> object:
        try:
            return quantity.redis_memory(text)
        except ValueError:
            return " ".join(split_arguments(text) or []).lower()

    return meaning(one) == meaning(other)


def problem(name: str, value: str) -> str | None:
    """What is wrong with a directive, as the rest of a sentence that begins with its name; None: nothing."""
    if instead := owner_of(name):
        return f"cannot be set in config: {instead}"
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        return "has a line break or another control character in its value; a directive is one line"
    arguments = split_arguments(value)
    if arguments is None:
        return "has unbalanced quotes in its value"
    check = KNOWN.get(name)
    return check(arguments) if check else None


def problem_between(config: Mapping[str, str]) -> tuple[str, str] | None:
    """A pair of directives that cannot work together: the name to blame and the rest of its sentence.

    Every single directive has passed `problem` before.
    """
    timeout = int(config.get("repl-timeout", DEFAULT_REPL_TIMEOUT_S))
    ping = int(config.get("repl-ping-replica-period", DEFAULT_REPL_PING_S))
    if timeout <= ping:
        name = "repl-timeout" if "repl-timeout" in config else "repl-ping-replica-period"
        return name, f"lets an idle replication link time out: repl-timeout, {timeout}, must be above " + (
            f"repl-ping-replica-period, {ping}"
        )
    return None


def backlog_bytes(config: Mapping[str, str]) -> int:
    """The size of the replication backlog, the user's or the operator's."""
    return quantity.redis_memory(config.get("repl-backlog-size", DEFAULT_REPL_BACKLOG))


def split_arguments(line: str) -> list[str] | None:
    """The arguments of a line of redis.conf, as Redis' sdssplitargs() splits it; None: quotes do not match.

    Escapes inside of double quotes are kept as they are: nothing here needs their meaning.
    """
    arguments: list[str] = []
    rest = line.strip()
    while rest:
        argument, end = "", 0
        while end < len(rest) and not rest[end].isspace():
            if rest[end] not in "\"'":
                argument += rest[end]
                end += 1
                continue
            closing = _closing_quote(rest, end)
            if closing is None or rest[closing + 1 : closing + 2].strip():
                return None
            argument += rest[end + 1 : closing]
            end = closing + 1
            break
        arguments.append(argument)
        rest = rest[end:].lstrip()
    return arguments


def _closing_quote(text: str, opening: int) -> int | None:
    position = opening + 1
    while position < len(text):
        # Between double quotes a backslash escapes anything, between single quotes only the quote itself.
        if text[position] == "\\" and (text[opening] == '"' or text[position + 1 : position + 2] == "'"):
            position += 2
        elif text[position] == text[opening]:
            return position
        else:
            position += 1
    return None


def _single(check: Callable[[str], str | None]) -> Check:
    def judge(arguments: Sequence[str]) -> str | None:
        if len(arguments) != 1:
            return f"takes one value, not {len(arguments)}"
        return check(arguments[0])

    return judge


def _one_of(*words: str) -> Check:
    def judge(word: str) -> str | None:
        return None if word.lower() in words else f"must be one of {', '.join(words)}, not {word}"

    return _single(judge)


def _integer(low: int, high: int = 2**31 - 1, *, zero: bool = False) -> Check:
    """Whole numbers from `low` to `high`; `zero` allows 0 beside them."""

    def judge(text: str) -> str | None:
        number = int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
        if number is not None and (low <= number <= high or (zero and number == 0)):
            return None
        bounds = f"at least {low}" if high == 2**31 - 1 else f"from {low} to {high}"
        return f"must be a whole number {bounds}{', or 0' if zero else ''}, not {text}"

    return _single(judge)


def _size(low: int = 0) -> Check:
    def judge(text: str) -> str | None:
        try:
            size = quantity.redis_memory(text)
        except ValueError:
            return f"must be a size that Redis knows, like 268435456, 256mb or 1gb, not {text}"
        return None if size >= low else f"must be at least {low} bytes, not {text}"

    return _single(judge)


def _size_or_percent(text: str) -> str | None:
    if re.fullmatch(r"(100|[0-9]{1,2})%", text):
        return None
    return _size()([text])


def _save_points(arguments: Sequence[str]) -> str | None:
    if list(arguments) == [""]:
        return None
    if arguments and len(arguments) % 2 == 0 and all(re.fullmatch(r"[1-9][0-9]{0,9}", a) for a in arguments):
        return None
    return 'must be pairs of seconds and changes like "3600 1 300 100", or empty'


def _output_buffers(arguments: Sequence[str]) -> str | None:
    wrong = "must be groups of class, hard limit, soft limit and seconds, like replica 256mb 64mb 60"
    if not arguments or len(arguments) % 4:
        return wrong
    for start in range(0, len(arguments), 4):
        group, *limits, seconds = arguments[start : start + 4]
        sizes = [_size()([limit]) for limit in limits]
        if group not in ("normal", "replica", "slave", "pubsub") or any(sizes) or not seconds.isdecimal():
            return wrong
    return None


def _event_classes(flags: str) -> str | None:
    unknown = set(flags) - set("KEg$lshzxetdmnAo")
    return f"has unknown classes of events: {''.join(sorted(unknown))}" if unknown else None


_YES_NO: Final = _one_of("yes", "no")
_COUNT: Final = _integer(0)

KNOWN: Final[Mapping[str, Check]] = {
    **dict.fromkeys(
        (
            "activedefrag", "activerehashing", "aof-rewrite-incremental-fsync", "aof-use-rdb-preamble",
            "dynamic-hz", "jemalloc-bg-thread", "lazyfree-lazy-eviction", "lazyfree-lazy-expire",
            "lazyfree-lazy-server-del", "lazyfree-lazy-user-del", "lazyfree-lazy-user-flush",
            "rdb-del-sync-files", "rdb-save-incremental-fsync", "rdbcompression", "repl-disable-tcp-nodelay",
            "repl-diskless-sync", "replica-lazy-flush", "replica-serve-stale-data", "set-proc-title",
            "stop-writes-on-bgsave-error", "crash-log-enabled",
        ),
        _YES_NO,
    ),
    **dict.fromkeys(
        (
            "acllog-max-len", "hash-max-ziplist-entries", "latency-monitor-threshold", "lfu-decay-time",
            "lfu-log-factor", "list-compress-depth", "lua-time-limit", "repl-backlog-ttl",
            "repl-diskless-sync-delay", "set-max-intset-entries", "slowlog-max-len",
            "stream-node-max-entries", "tcp-keepalive", "tracking-table-max-keys", "zset-max-ziplist-entries",
            "auto-aof-rewrite-percentage",
        ),
        _COUNT,
    ),
    "active-expire-effort": _integer(1, 10),
    "auto-aof-rewrite-min-size": _size(),
    "client-output-buffer-limit": _output_buffers,
    "client-query-buffer-limit": _size(),
    "databases": _integer(1),
    "hz": _integer(1, 500),
    "io-threads": _integer(1, 128),
    "loglevel": _one_of("debug", "verbose", "notice", "warning", "nothing"),
    "maxclients": _integer(MIN_MAXCLIENTS),
    "maxmemory": _size(),
    "maxmemory-clients": _single(_size_or_percent),
    "maxmemory-policy": _one_of(
        "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-lrm", "allkeys-random",
        "volatile-lru", "volatile-lfu", "volatile-lrm", "volatile-random", "volatile-ttl",
    ),
    "maxmemory-samples": _integer(1),
    "notify-keyspace-events": _single(_event_classes),
    "proto-max-bulk-len": _size(2**20),
    "repl-backlog-size": _size(1),
    "repl-diskless-load": _one_of("disabled", "on-empty-db", "swapdb", "flush-before-load"),
    "repl-ping-replica-period": _integer(1),
    "repl-timeout": _integer(1),
    "save": _save_points,
    "slowlog-log-slower-than": _integer(-1),
    "stream-node-max-bytes": _size(),
    "tcp-backlog": _COUNT,
    "timeout": _integer(MIN_TIMEOUT_S, zero=True),
}  # fmt: skip
