"""What a move is about, and what its own looks at the members say. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .. import names
from ..model import Object
from ..views import canonical, parse_info, parse_pairs
from .step import Answers, Ask, Member, Unanswered

INFO = ("INFO", "replication")


@dataclass(frozen=True, kw_only=True)
class Course:
    """A move: from `old` to `new`; `others` are the remaining data pods that answered, `sentinels` all that did.

    `sentinel_count` counts all that the spec asks for: majorities are of those. `min_replicas` is what the profile's
    min-replicas-to-write asks of a new master.
    """

    old: Member
    new: Member
    others: tuple[Member, ...]
    sentinels: tuple[Member, ...]
    sentinel_count: int
    master_name: str
    epoch: int  # the config-epoch that the sentinels agreed on
    down_after_ms: int
    why: str
    candidate: str = field(default_factory=lambda: secrets.token_hex(20))  # random per attempt (rule 5)

    @property
    def members(self) -> tuple[Member, ...]:
        return (self.old, self.new, *self.others, *self.sentinels)

    @property
    def majority(self) -> int:
        return self.sentinel_count // 2 + 1

    def intent(self, procedure: str, *, time: str) -> Object:
        """What a successor has to know, for status; `time` as Kubernetes spells it."""
        return {
            "procedure": procedure,
            "pod": self.new.pod,
            "address": self.new.address,
            "from": self.old.pod,
            "fromAddress": self.old.address,
            "candidate": self.candidate,
            "epoch": self.epoch,
            "reason": self.why,
            "time": time,
        }

    def done(self, reason: str, *, time: str, milliseconds: int) -> Object:
        """Fields of status once the sentinels' majority names the target: the intent goes with them."""
        return {
            "intent": None,
            "lastMaster": self.new.pod,
            "lastFailover": {
                "time": time,
                "from": self.old.pod,
                "to": self.new.pod,
                "reason": reason,
                "message": self.why,
                "milliseconds": milliseconds,
            },
        }


@dataclass(frozen=True, kw_only=True)
class NodeView:
    """INFO replication of one data node; `role` is None where it did not answer."""

    role: str | None = None
    offset: int = -1
    follows: str | None = None
    link_up: bool = False
    online: frozenset[str] = frozenset()  # addresses of its online replicas
    failover_state: str | None = None
    priority: int = 0
    syncing: bool = False
    link_down_s: int = -1


def node_view(reply: object) -> NodeView:
    """From the reply to INFO replication; an error is a node without a role."""
    info = parse_info(reply)
    role = info.get("role")
    if role is None:
        return NodeView()
    is_master = role == "master"
    online = set()
    for key, value in info.items():
        if key.startswith("slave") and key[5:].isdigit() and "state=online" in value:
            words: Mapping[str, str] = dict(w.split("=", 1) for w in value.split(",") if "=" in w)
            online.add(canonical(words.get("ip", "")))
    return NodeView(
        role=role,
        offset=int(info.get("master_repl_offset" if is_master else "slave_repl_offset", -1)),
        follows=None if is_master else canonical(info.get("master_host", "")),
        link_up=info.get("master_link_status") == "up",
        online=frozenset(online),
        failover_state=info.get("master_failover_state"),
        priority=int(info.get("slave_priority", 0)),
        syncing=info.get("master_sync_in_progress") == "1",
        link_down_s=int(info.get("master_link_down_since_seconds", -1)),
    )


@dataclass(frozen=True, kw_only=True)
class SentinelView:
    """SENTINEL MASTER of one sentinel."""

    address: str
    epoch: int
    flags: frozenset[str]


def sentinel_view(reply: object) -> SentinelView | None:
    fields = parse_pairs(reply)
    if "config-epoch" not in fields:
        return None
    return SentinelView(
        address=canonical(fields["ip"]),
        epoch=int(fields["config-epoch"]),
        flags=frozenset(fields["flags"].split(",")),
    )


def close_clients(member: Member) -> Ask:
    """Close the connections of clients there; Redis spares the one that asks."""
    return Ask(member=member.pod, command=("CLIENT", "KILL", "TYPE", "normal"), changes=True)


def unpause(member: Member) -> Ask:
    return Ask(member=member.pod, command=("CLIENT", "UNPAUSE"), changes=True)


def swap_roles(course: Course) -> Ask:
    """FAILOVER TO the target, without waiting for its next acknowledgement: the offsets were compared before."""
    command = ("FAILOVER", "TO", course.new.address, names.REDIS_PORT, "FORCE", "TIMEOUT", 1)
    return Ask(member=course.old.pod, command=command, changes=True)


def ask_nodes(members: Sequence[Member]) -> tuple[Ask, ...]:
    return tuple(Ask(member=m.pod, command=INFO) for m in members)


def ask_sentinels(course: Course) -> tuple[Ask, ...]:
    return tuple(
        Ask(member=s.pod, command=("SENTINEL", "MASTER", course.master_name)) for s in course.sentinels
    )


def ask_ids(course: Course) -> tuple[Ask, ...]:
    return tuple(Ask(member=s.pod, command=("SENTINEL", "MYID")) for s in course.sentinels)


def sentinel_views(course: Course, answers: Answers, *, first: int) -> dict[str, SentinelView]:
    """Who answered, and what: from the replies that begin at index `first`."""
    replies = answers.results[first : first + len(course.sentinels)]
    views = {s.pod: sentinel_view(r) for s, r in zip(course.sentinels, replies, strict=True)}
    return {pod: view for pod, view in views.items() if view is not None}


def sentinel_ids(course: Course, answers: Answers, *, first: int) -> dict[str, str]:
    """The sentinels' run ids, from the replies that begin at index `first`."""
    replies = answers.results[first : first + len(course.sentinels)]
    pairs = zip(course.sentinels, replies, strict=True)
    return {s.pod: reply for s, reply in pairs if isinstance(reply, str)}


def has_answered(result: object) -> bool:
    """Whether the answer was waited for: an error is one."""
    return not isinstance(result, Unanswered)


def failures(answers: Answers) -> list[str]:
    """The errors among the results, as sentences."""
    return [str(result) for result in answers.results if isinstance(result, Exception)]
