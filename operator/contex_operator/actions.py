"""What a plan can ask for, as plain values: execute carries them out in order and stops at the first failure.

An action names the object or process that it means as it was observed (uid, resourceVersion, run id), so that it
cannot hit another one that has taken its place since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .model import Object
from .moves.facts import Course


@dataclass(frozen=True, kw_only=True)
class Create:
    """POST a child: the API refuses a name that is taken."""

    body: Object

    def __str__(self) -> str:
        return f"create {self.body['kind']} {self.body['metadata']['name']}"


@dataclass(frozen=True, kw_only=True)
class Apply:
    """Server-side apply of a child that is ours already; `why` is the first difference found."""

    body: Object
    why: str

    def __str__(self) -> str:
        return f"apply {self.body['kind']} {self.body['metadata']['name']} ({self.why})"


@dataclass(frozen=True, kw_only=True)
class SetRole:
    """Give a pod its role label, or take it away (None)."""

    pod: str
    uid: str
    role: str | None

    def __str__(self) -> str:
        return f"label {self.pod} role={self.role}"


@dataclass(frozen=True, kw_only=True)
class RememberInStatus:
    """Write facts into status before the step that follows: intent, identities, the initialized mark."""

    fields: Mapping[str, Any]

    def __str__(self) -> str:
        return f"write {', '.join(self.fields)} to status"


@dataclass(frozen=True, kw_only=True)
class MakeMaster:
    """REPLICAOF NO ONE, at a proven-fresh bootstrap or in a cold start only (rule 5)."""

    pod: str
    address: str
    run_id: str

    def __str__(self) -> str:
        return f"make {self.pod} ({self.address}) the master"


@dataclass(frozen=True, kw_only=True)
class Follow:
    """REPLICAOF the master's address."""

    pod: str
    address: str
    run_id: str
    master: str

    def __str__(self) -> str:
        return f"let {self.pod} follow {self.master}"


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """Make a bare sentinel monitor the master, with all its settings."""

    pod: str
    address: str
    master_name: str
    master: str
    quorum: int
    settings: Mapping[str, int]

    def __str__(self) -> str:
        return f"let {self.pod} monitor {self.master}"


@dataclass(frozen=True, kw_only=True)
class SentinelSet:
    """SENTINEL SET of the settings that differ, on one sentinel."""

    pod: str
    address: str
    master_name: str
    settings: Mapping[str, int]

    def __str__(self) -> str:
        return f"set {', '.join(f'{k}={v}' for k, v in self.settings.items())} on {self.pod}"


@dataclass(frozen=True, kw_only=True)
class KillClients:
    """CLIENT KILL on a node that clients took for the master: they would stay, and read old data.

    `ids` names those that are meant; without it all normal clients are.
    """

    pod: str
    address: str
    run_id: str
    ids: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.ids:
            return f"close {len(self.ids)} clients of {self.pod} that took it for the master"
        return f"close the clients of {self.pod}"


@dataclass(frozen=True, kw_only=True)
class SentinelReset:
    """SENTINEL RESET on one sentinel, which then finds its replicas and peers anew (rule 7)."""

    pod: str
    address: str
    master_name: str

    def __str__(self) -> str:
        return f"reset {self.pod}"


@dataclass(frozen=True, kw_only=True)
class SentinelAnnounce:
    """Let a sentinel tell its peers this address, by which it is asked."""

    pod: str
    address: str

    def __str__(self) -> str:
        return f"let {self.pod} announce {self.address}"


@dataclass(frozen=True, kw_only=True)
class Relink:
    """CLIENT KILL TYPE master on a replica: it comes back at once, and says by which address it is known."""

    pod: str
    address: str
    run_id: str

    def __str__(self) -> str:
        return f"let {self.pod} introduce itself anew"


@dataclass(frozen=True, kw_only=True)
class SetConfig:
    """CONFIG SET of these directives on one data node."""

    pod: str
    address: str
    run_id: str
    values: Mapping[str, str]

    def __str__(self) -> str:
        return f"set {', '.join(f'{k} {v}' for k, v in self.values.items())} on {self.pod}"


@dataclass(frozen=True, kw_only=True)
class DeleteChild:
    """Take away an object of ours that nothing needs any more."""

    kind: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"delete {self.kind} {self.name}"


@dataclass(frozen=True, kw_only=True)
class DeletePod:
    """Take a pod away, so that its StatefulSet makes it anew; `why` is a part of a sentence."""

    pod: str
    uid: str
    why: str

    def __str__(self) -> str:
        return f"delete {self.pod} ({self.why})"


@dataclass(frozen=True, kw_only=True)
class WireDeployment:
    """Server-side apply of our env entries to a foreign Deployment, after `removals` (a JSON patch) where given."""

    body: Object
    removals: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"wire Deployment {self.body['metadata']['name']}"


@dataclass(frozen=True, kw_only=True)
class DropAnnotation:
    """Take a person's request off the resource, before it is acted on: it is good once."""

    annotation: str
    refused: str | None = None  # why it is not acted on at all

    def __str__(self) -> str:
        return f"take annotation {self.annotation} off"


@dataclass(frozen=True, kw_only=True)
class SwitchOver:
    """Hand the master's role over; `fast` by votes, else by Sentinel's own command (procedure B)."""

    course: Course
    fast: bool

    def __str__(self) -> str:
        course = self.course
        return f"switch over from {course.old.pod} to {course.new.pod}: {course.why}"


@dataclass(frozen=True, kw_only=True)
class RaiseEpoch:
    """Announce the master anew, with a config-epoch above what any volume knows: after a cold start."""

    course: Course
    above: int

    def __str__(self) -> str:
        return f"raise the config-epoch of {self.course.new.pod} above {self.above}"


@dataclass(frozen=True, kw_only=True)
class CompleteMove:
    """Tell the sentinels of a move that an earlier process did not end."""

    course: Course
    procedure: str

    def __str__(self) -> str:
        return f"complete the {self.procedure} to {self.course.new.pod}"


Action = (
    Create
    | DropAnnotation
    | SwitchOver
    | CompleteMove
    | RaiseEpoch
    | Apply
    | SetRole
    | RememberInStatus
    | MakeMaster
    | Follow
    | Monitor
    | SentinelSet
    | KillClients
    | SentinelReset
    | SentinelAnnounce
    | Relink
    | SetConfig
    | DeleteChild
    | DeletePod
    | WireDeployment
)
