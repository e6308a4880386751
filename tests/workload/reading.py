"""What the nodes hold: every value of the given streams, read from one node after the other.

Read when the writers have ended; `settled()` says whether the replicas have caught up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_PAGE = 2000


def connect(host: str, port: int, *, password: str | None, timeout_s: float = 2.0) -> redis.Redis:
    """A client of one node, for reading: no retries, every call has its deadline."""
    return redis.Redis(
        host=host,
        port=port,
        password=password,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def values(node: redis.Redis, streams: Iterable[str]) -> list[str]:
    """Every value in `streams` on this node, stream by stream, in the stream's order.

    The value is an entry's first field: `value` of the plain writers, `data_key` of Contex' events.
    """
    found: list[str] = []
    for stream in streams:
        first = "-"
        while True:
            page = cast("list[tuple[str, dict[str, str]]]", node.xrange(stream, first, "+", count=_PAGE))
            found.extend(next(iter(fields.values())) for _, fields in page)
            if len(page) < _PAGE:
                break
            first = f"({page[-1][0]}"
    return found


def read_all(nodes: Mapping[str, redis.Redis], streams: Iterable[str]) -> dict[str, list[str]]:
    """The same for each node by name: what `checker.check` takes as data."""
    wanted = list(streams)
    return {name: values(node, wanted) for name, node in nodes.items()}


def replication(nodes: Mapping[str, redis.Redis]) -> dict[str, dict[str, Any]]:
    """INFO replication of every node. The masters are asked before the others, so that `settled()` is no
    race.
    """
    infos = {name: cast("dict[str, Any]", node.info("replication")) for name, node in nodes.items()}
    later = [name for name, info in infos.items() if info["role"] != "master"]
    return infos | {name: cast("dict[str, Any]", nodes[name].info("replication")) for name in later}


def settled(infos: Mapping[str, Mapping[str, Any]]) -> bool:
    """True when exactly one node is a master and every other one its synced replica that has reached its
    offset.

    For infos that `replication()` read: the master's offset grows by itself (PING, Sentinel's PUBLISH).
    """
    masters = [info for info in infos.values() if info["role"] == "master"]
    replicas = [info for info in infos.values() if info["role"] != "master"]
    return len(masters) == 1 and all(
        info["master_link_status"] == "up"
        and not info["master_sync_in_progress"]
        and info["master_replid"] == masters[0]["master_replid"]
        and info["slave_repl_offset"] >= masters[0]["master_repl_offset"]
        for info in replicas
    )
