"""Values of the directives that the parser knows: those that Redis takes, and those that it refuses.

One table for the parser's tests and for those that ask a real redis-server. `AFTER_7_0`,
`DEPENDS_ON_BUILD` and `OURS` are the places where the two may differ.
"""

from __future__ import annotations

_YES_NO = (
    "activedefrag", "activerehashing", "aof-rewrite-incremental-fsync", "aof-use-rdb-preamble", "crash-log-enabled",
    "dynamic-hz", "jemalloc-bg-thread", "lazyfree-lazy-eviction", "lazyfree-lazy-expire",
    "lazyfree-lazy-server-del", "lazyfree-lazy-user-del", "lazyfree-lazy-user-flush", "rdb-del-sync-files",
    "rdb-save-incremental-fsync", "rdbcompression", "repl-disable-tcp-nodelay", "repl-diskless-sync",
    "replica-lazy-flush", "replica-serve-stale-data", "set-proc-title", "stop-writes-on-bgsave-error",
)  # fmt: skip
_COUNTS = (
    "acllog-max-len", "auto-aof-rewrite-percentage", "hash-max-ziplist-entries", "latency-monitor-threshold",
    "lfu-decay-time", "lfu-log-factor", "list-compress-depth", "lua-time-limit", "repl-backlog-ttl",
    "repl-diskless-sync-delay", "set-max-intset-entries", "slowlog-max-len", "stream-node-max-entries",
    "tcp-backlog", "tcp-keepalive", "tracking-table-max-keys", "zset-max-ziplist-entries",
)  # fmt: skip
_SIZES = ("auto-aof-rewrite-min-size", "client-query-buffer-limit", "maxmemory", "stream-node-max-bytes")

GOOD: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_YES_NO, ("yes", "no", "YES")),
    **dict.fromkeys(_COUNTS, ("0", "1", "100")),
    **dict.fromkeys(_SIZES, ("1048576", "100mb", "1gb", "1Gb")),
    "active-expire-effort": ("1", "10"),
    "client-output-buffer-limit": (
        "replica 256mb 64mb 60",
        "normal 0 0 0 pubsub 32mb 8mb 60",
        "slave 1gb 0 0",
    ),
    "databases": ("1", "16"),
    "hz": ("1", "500"),
    "io-threads": ("1", "4"),
    "loglevel": ("debug", "verbose", "notice", "warning", "nothing"),
    "maxclients": ("32", "10000"),
    "maxmemory-clients": ("0", "100mb", "5%", "100%"),
    "maxmemory-policy": (
        "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu",
        "volatile-random", "volatile-ttl", "allkeys-lrm", "volatile-lrm",
    ),
    "maxmemory-samples": ("1", "5"),
    "notify-keyspace-events": ('""', "Ex", "KEA", "Kg$lshzxetdmn"),
    "proto-max-bulk-len": ("1mb", "512mb"),
    "repl-backlog-size": ("1mb", "256mb"),
    "repl-diskless-load": ("disabled", "on-empty-db", "swapdb", "flush-before-load"),
    "repl-ping-replica-period": ("1", "10"),
    "repl-timeout": ("1", "60"),
    "save": ('""', "3600 1", "3600 1 300 100 60 10000"),
    "slowlog-log-slower-than": ("-1", "0", "10000"),
    "timeout": ("0", "10", "300"),
}  # fmt: skip

WRONG: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_YES_NO, ("true", "1", "yes no")),
    **dict.fromkeys(_COUNTS, ("-1", "many", "1.5", "1 2")),
    **dict.fromkeys(_SIZES, ("1Mi", "lots", "1 gb")),
    "active-expire-effort": ("0", "11", "x"),
    "client-output-buffer-limit": (
        "replica 256mb 64mb",
        "everyone 0 0 0",
        "replica a b c",
        "replica 1mb 1mb -1",
    ),
    "databases": ("0", "-1", "x", "2147483648"),
    "hz": ("0", "501", "fast"),
    "io-threads": ("0", "129"),
    "loglevel": ("info", "quiet"),
    "maxclients": ("31", "0", "x"),
    "maxmemory-clients": ("101%", "x%", "1Mi"),
    "maxmemory-policy": ("allkeys", "lru", "allkeys-lru volatile-lru"),
    "maxmemory-samples": ("0", "x"),
    "notify-keyspace-events": ("q", "Ex w"),
    "proto-max-bulk-len": ("1023kb", "x"),
    "repl-backlog-size": ("0", "x"),
    "repl-diskless-load": ("yes", "enabled"),
    "repl-ping-replica-period": ("0", "x"),
    "repl-timeout": ("0", "x"),
    "save": ("3600", "0 0", "a b", '"" 1'),
    "slowlog-log-slower-than": ("-2", "x"),
    "timeout": ("-1", "9", "1", "x"),
}

# Good values that came after Redis 7.0.
AFTER_7_0 = {
    ("loglevel", "nothing"),
    ("maxmemory-policy", "allkeys-lrm"),
    ("maxmemory-policy", "volatile-lrm"),
    ("repl-diskless-load", "flush-before-load"),
}

# Good values that a Redis without a jemalloc of its own refuses (Debian's).
DEPENDS_ON_BUILD = {("activedefrag", "yes"), ("activedefrag", "YES")}

# Values that Redis would take and the operator does not: what breaks beside Redis itself.
OURS = {
    ("hz", "0"),
    ("hz", "501"),
    ("maxclients", "31"),
    ("timeout", "9"),
    ("timeout", "1"),
}
