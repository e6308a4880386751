"""What came back from the scripts in pods, as values. Pure.

`redis-cli` prints into a pipe one element of a reply per line, nested ones too, and an error reply as its text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contex_operator.errors import RedisAnswer
from contex_operator.model import DataNode, Reach, SentinelNode
from contex_operator.views import (
    DATA_COMMANDS,
    Command,
    Reply,
    canonical,
    data_node,
    parse_info,
    parse_pairs,
    sentinel_commands,
    sentinel_node,
)

from .facts import Knock, Seen, Vitals
from .questions import DATA_QUESTIONS, MARK, key_of

_ERROR: Final = re.compile(r"(?:NO|WRONG|READONLY|LOADING|MASTERDOWN|MISCONF|ERR |IDONTKNOW|AUTH failed)")
_KILLED: Final = (124, 137, 143)  # what `timeout` of coreutils and of BusyBox end with
_LOG_WORDS: Final = re.compile(
    r"NOAUTH|WRONGPASS|invalid username-password|Failed to connect to Redis|No master found|MasterNotFound"
    r"|Too many connections|MaxConnections|REDIS_MAX_CONNECTIONS|READONLY|NOREPLICAS|Connection refused|"
    r"Name or service not known|Temporary failure in name resolution|TimeoutError",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one question printed, and how redis-cli ended."""

    text: str
    code: int

    @property
    def is_unconnected(self) -> bool:
        return self.text.startswith("Could not connect") or self.code in _KILLED

    @property
    def error(self) -> str | None:
        """Why this is no answer, in one line; None where it is one."""
        if self.code in _KILLED:
            return "no answer within 4 s"
        first = self.text.strip().split("\n", 1)[0]
        if self.text.startswith("Could not connect"):
            return first.rsplit(": ", 1)[-1]
        return first if _ERROR.match(first) or self.code else None


def answers(printed: str) -> dict[str, Answer]:
    """The answers of a script by their keys."""
    found: dict[str, Answer] = {}
    for block in printed.split(f"{MARK} ")[1:]:
        head, _, text = block.partition("\n")
        code, _, key = head.partition(" ")
        found[key] = Answer(text=text.replace("\r\n", "\n").rstrip("\n"), code=int(code))
    return found


def _reply(answer: Answer | None, address: str, *, as_list: bool) -> Reply:
    if answer is None:
        return None
    error = answer.error
    if error is not None:
        return RedisAnswer(address, error.removeprefix("AUTH failed: "))
    return answer.text.split("\n") if as_list else answer.text


def _entries(reply: Reply) -> Reply:
    """A list of replies that was printed as one: each entry begins with its `name`."""
    if not isinstance(reply, list):
        return reply
    entries: list[list[str]] = []
    for i in range(0, len(reply) - 1, 2):
        if reply[i] == "name":
            entries.append([])
        if entries:
            entries[-1] += [reply[i], reply[i + 1]]
    return entries


def _unreached(own: Sequence[Answer]) -> Reach | None:
    first = own[0] if own else None
    if first is None:
        return Reach.OTHER
    if not first.is_unconnected:
        return None
    if first.code in _KILLED:
        return Reach.TIMEOUT
    return Reach.REFUSED if "refused" in first.text else Reach.OTHER


def _own(found: Mapping[str, Answer], questions: Sequence[Command]) -> list[Answer]:
    return [found[key_of(question)] for question in questions if key_of(question) in found]


def data_view(pod: str, address: str | None, found: Mapping[str, Answer]) -> DataNode:
    """A data pod as the model knows it."""
    reach = _unreached(_own(found, DATA_QUESTIONS))
    if reach is not None:
        return DataNode(pod=pod, address=address, reach=reach)
    replies = [
        _reply(found.get(key_of(question)), address or pod, as_list=question[0] == "CONFIG")
        for question in DATA_COMMANDS
    ]
    return data_node(pod, address or "", replies)


def sentinel_view(
    pod: str, address: str | None, found: Mapping[str, Answer], *, master_name: str
) -> SentinelNode:
    """A sentinel pod as the model knows it."""
    questions = sentinel_commands(master_name)
    reach = _unreached(_own(found, questions))
    if reach is not None:
        return SentinelNode(pod=pod, address=address, reach=reach)
    master, replicas, peers, quorum, info = (
        _reply(found.get(key_of(question)), address or pod, as_list=number < 3)
        for number, question in enumerate(questions)
    )
    return sentinel_node(pod, address or "", [master, _entries(replicas), _entries(peers), quorum, info])


def vitals(found: Mapping[str, Answer]) -> Vitals:
    """What INFO, maxclients and CLIENT LIST say of a data pod."""

    def text(question: Command) -> str:
        answer = found.get(key_of(question))
        return answer.text if answer is not None and answer.error is None else ""

    info = parse_info(text(("INFO",)))
    most = parse_pairs(text(("CONFIG", "GET", "maxclients")).split("\n")).get("maxclients")
    aof = "–"
    if "aof_enabled" in info:
        aof = "on" if info["aof_enabled"] == "1" else "off"
        if (
            info.get("aof_last_write_status", "ok") != "ok"
            or info.get("aof_last_bgrewrite_status", "ok") != "ok"
        ):
            aof = "failing"
    return Vitals(
        memory_used=_number(info.get("used_memory")),
        memory_max=_number(info.get("maxmemory")),
        clients=_number(info.get("connected_clients")),
        clients_max=_number(most),
        rejected=_number(info.get("rejected_connections")),
        evicted=_number(info.get("evicted_keys")),
        aof=aof,
        rdb_ok=info.get("rdb_last_bgsave_status", "ok") == "ok",
        link_down_s=_number(info.get("master_link_down_since_seconds")),
        good_replicas=_number(info.get("min_slaves_good_slaves")),
        connections=connections(text(("CLIENT", "LIST"))),
    )


def connections(listing: str) -> dict[str, int]:
    """CLIENT LIST's clients by their address; replicas, and the one that asks, are left out."""
    counted: Counter[str] = Counter()
    for line in listing.splitlines():
        fields = dict(part.split("=", 1) for part in line.split(" ") if "=" in part)
        if (
            "addr" not in fields
            or set(fields.get("flags", "")) & {"S", "M"}
            or fields.get("cmd", "").startswith("client")
        ):
            continue
        counted[canonical(fields["addr"].rpartition(":")[0].strip("[]"))] += 1
    return dict(counted)


def knocks(source: str, found: Mapping[str, Answer], *, pods: Mapping[str, str]) -> tuple[Knock, ...]:
    """The PINGs from `source`; `pods` has the pod of each address."""
    seen = []
    for key, answer in found.items():
        if not key.startswith("knock:"):
            continue
        address, _, port = key.removeprefix("knock:").rpartition(":")
        seen.append(
            Knock(source=source, target=pods.get(address, address), port=int(port), error=_refusal(answer))
        )
    return tuple(sorted(seen, key=lambda knock: (knock.port, knock.target)))


def _refusal(answer: Answer) -> str | None:
    if answer.text.strip().endswith("PONG") and not answer.text.startswith("AUTH failed"):
        return None
    return answer.error or answer.text.strip() or "no answer"


def latency(found: Mapping[str, Answer]) -> tuple[float, float] | None:
    """Average and highest round trip in ms, from `redis-cli --latency`: `min max avg count`."""
    answer = found.get("latency")
    words = answer.text.split() if answer is not None and answer.error is None else []
    try:
        _, highest, average, _ = (float(word) for word in words)
    except ValueError:
        return None
    return average, highest


def told_by_contex(printed: str) -> dict[str, Any] | None:
    """What the probe in Contex's container printed: fields of ContexPod; None where it printed something else."""
    try:
        told = json.loads(printed.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    if not isinstance(told, dict) or not isinstance(told.get("env"), dict):
        return None
    master = told.get("master")
    return {
        "env": told["env"],
        "sentinels": tuple(_seen(one) for one in told.get("sentinels") or ()),
        "master": _seen(master) if master else None,
        "problem": told.get("problem"),
    }


def _seen(told: Mapping[str, Any]) -> Seen:
    answer = told.get("answer")
    return Seen(
        host=str(told["host"]),
        port=int(told["port"]),
        answer=tuple(answer) if isinstance(answer, list) else answer,
        error=told.get("error"),
        ms=told.get("ms"),
        address=told.get("address"),
    )


def troubled_lines(log: str, *, most: int = 3) -> tuple[str, ...]:
    """The newest lines of a log that speak of Redis and of trouble, each cut to a line's length."""
    found = [line.strip() for line in log.splitlines() if _LOG_WORDS.search(line)]
    return tuple(line[:240] for line in found[-most:])


def decoded(value: str) -> str:
    """A Secret's value as text; "" for what is none."""
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, ValueError):
        return ""


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else None
