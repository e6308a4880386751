"""The words of a move: deeds, steps, what came of them, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..views import Command


@dataclass(frozen=True, kw_only=True)
class Member:
    """A process that takes part: its pod, its identity's address and its run id as they were observed."""

    pod: str
    address: str
    run_id: str = ""  # of a data node; empty where it is unknown: then no command reaches it
    is_sentinel: bool = False


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One command to one member, over the move's own connection to the very process that was observed.

    `changes` False = it only reads. Comes back as the reply, or as the RedisError instead of one.
    """

    member: str  # the pod
    command: Command
    changes: bool = False

    def __str__(self) -> str:
        return f"{' '.join(str(word) for word in self.command[:2])} on {self.member}"


@dataclass(frozen=True, kw_only=True)
class Knock:
    """A TCP connection to a pod's own address, closed at once. Comes back as the model's Reach: UP = accepted."""

    address: str

    def __str__(self) -> str:
        return f"knock at {self.address}"


@dataclass(frozen=True, kw_only=True)
class Peek:
    """INFO replication by a new connection to an address, whoever answers there. Comes back like Ask."""

    address: str

    def __str__(self) -> str:
        return f"look who answers at {self.address}"


@dataclass(frozen=True, kw_only=True)
class LookAtPod:
    """The pod object as the API has it now. Comes back as the model's Pod, None where it is gone, or KubeError."""

    pod: str

    def __str__(self) -> str:
        return f"look at pod {self.pod}"


@dataclass(frozen=True, kw_only=True)
class Remember:
    """Fields of status, bound to the state of the resource that the move knows. Comes back as None or KubeError."""

    fields: Mapping[str, Any]

    def __str__(self) -> str:
        return f"write {', '.join(self.fields)} to status"


@dataclass(frozen=True, kw_only=True)
class MoveService:
    """The one write of the master Service's selector, bound to the state that was observed (rule 13)."""

    to: str

    def __str__(self) -> str:
        return f"lead the master Service to {self.to}"


@dataclass(frozen=True, kw_only=True)
class ProbeService:
    """A new connection through the master Service. Comes back as the run id of whoever answers, or RedisError."""

    def __str__(self) -> str:
        return "ask who answers at the master Service"


Deed = Ask | Knock | Peek | LookAtPod | Remember | MoveService | ProbeService
READS = (Knock, Peek, LookAtPod, ProbeService)


def changes(deed: Deed) -> bool:
    """Whether it may change anything, where it is done at all."""
    return not isinstance(deed, READS) and getattr(deed, "changes", True)


class TooLate(Exception):
    """Instead of an answer: the deed was not done, for its time had passed (rule 13)."""


class Unanswered(Exception):
    """Instead of an answer: the step had enough without it. Whether the deed was done, or will be, is unknown."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Deeds that are done at the same time. `after_s` is waited before; `until` is a monotonic time after which
    none of them may begin any more.

    Without `enough` all answers are waited for. With it, only until it says True of the results so far (Unanswered
    in the place of those still missing), and for the others `grace_s` more: a majority needs nobody's slowest disk.
    """

    name: str
    deeds: tuple[Deed, ...]
    after_s: float = 0.0
    until: float | None = None
    enough: Callable[[Sequence[object]], bool] | None = None
    grace_s: float = 0.0

    @property
    def changes(self) -> bool:
        return any(changes(deed) for deed in self.deeds)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """`results` in the order of the deeds; `began` and `at` are monotonic seconds before and after them."""

    results: tuple[object, ...]
    began: float
    at: float

    def __getitem__(self, index: int) -> object:
        return self.results[index]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`moved` says whether the target is master by the sentinels' majority; `sentence` what happened, for people.

    `milliseconds` is how long nobody could write, as far as the operator can tell. `reason` is the event's where
    it did not move.
    """

    moved: bool
    sentence: str
    milliseconds: int | None = None
    reason: str = "NotMoved"


Move = Generator[Step, Answers, Outcome]
