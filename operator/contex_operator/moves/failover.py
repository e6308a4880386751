"""Assisted failover: a proven crash of the master's process is healed in a tenth of a second instead of seconds.

Proof of death, all four, each seen anew here: the operator's standing connection to the pod's own address was closed
by the other side (that is why this move begins); that address refuses – ECONNREFUSED and nothing else, for silence is
no proof, and a Service without endpoints refuses while a cut-off Redis serves; the pod object is the same uid at the
same address; a majority of the sentinels has lost its link as well, so that it is not a firewall between two of us.
Then votes, and the replica with the most data. Where one of the four is missing, nothing is done: Sentinel will act
after down-after, as ever. Every irreversible command is sent within PROOF_S of the proof (rule 13).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from .. import names
from ..model import Pod, Reach
from ..topology import HANDS_OFF
from .announce import announce, win_votes
from .facts import (
    Course,
    NodeView,
    SentinelView,
    ask_ids,
    ask_nodes,
    ask_sentinels,
    failures,
    has_answered,
    node_view,
    sentinel_ids,
    sentinel_view,
    sentinel_views,
)
from .step import Answers, Ask, Knock, LookAtPod, Member, Move, Outcome, Peek, Remember, Step, TooLate

NAME: Final = "failover"
REASON: Final = "AssistedFailover"  # in status.lastFailover

PROOF_S: Final = 0.5
PROOFS: Final = 4  # down-after ends it not much later
# A dying process still accepts for some milliseconds, or resets; the sentinels see it some later. A machine that is
# short of processor time lets single questions expire: a proof is given up after this time, and after so many looks.
PROVE_WITHIN_S: Final = 1.0
LOOKS_AT_LEAST: Final = 3
POLL_S: Final = 0.003
# What a look sees of the pod object, the sentinels and the replicas may be this old when the address refuses; the
# refusal itself, which takes a millisecond, is seen anew where the look was slow.
LOOK_IS_GOOD_FOR_S: Final = 1.0
SLOWEST_S: Final = 0.05  # for what a minority of the sentinels has to say, once a majority has spoken
FRESH_LINK_S: Final = 5  # a replica whose link broke earlier than that had stopped following before the crash


@dataclass(frozen=True, kw_only=True)
class Crash:
    """A standing connection to the master was closed. What was known of the set when it stood."""

    old: Member
    pod_uid: str
    pod_address: str
    others: tuple[Member, ...]
    sentinels: tuple[Member, ...]
    sentinel_count: int
    master_name: str
    epoch: int
    down_after_ms: int

    def course(self, new: Member) -> Course:
        return Course(
            old=self.old,
            new=new,
            others=tuple(member for member in self.others if member.pod != new.pod),
            sentinels=self.sentinels,
            sentinel_count=self.sentinel_count,
            master_name=self.master_name,
            epoch=self.epoch,
            down_after_ms=self.down_after_ms,
            why=f"the process of {self.old.pod} has ended",
        )


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The proof of death stood at `at` (monotonic seconds); `new` holds the most data of those that answer."""

    at: float
    new: Member
    ids: dict[str, str]


def failover(crash: Crash, *, broke_at: float, time: str) -> Move:
    """The move. `broke_at` is when the standing connection was seen to be closed; `time` the same for status."""
    proof = yield from _prove(crash)
    if isinstance(proof, str):
        return Outcome(moved=False, sentence=f"left to Sentinel: {proof}")
    course = crash.course(proof.new)
    noted = yield Step(name="intent", deeds=(Remember(fields={"intent": course.intent(NAME, time=time)}),))
    if failures(noted):
        return Outcome(moved=False, sentence=f"left to Sentinel: {failures(noted)[0]}")
    won = yield from _promote(course, crash, proof=proof, at=noted.at)
    if isinstance(won, str):
        return (yield from _leave(won))
    sure = yield from _look_once_more(course, crash)
    if sure is not None:
        return (yield from _step_back(course, sure))
    agreed = yield from announce(course, ids=won.ids, epoch=won.epoch, move_service=True)
    if not agreed:
        return Outcome(
            moved=False, sentence=f"{course.new.pod} is master, but no majority of the sentinels names it yet"
        )
    done = yield Step(
        name="done",
        deeds=(Remember(fields=course.done(REASON, time=time, milliseconds=_since(won.promoted, broke_at))),),
    )
    return Outcome(
        moved=True,
        sentence=f"{course.new.pod} took over from {course.old.pod}, whose process had ended",
        milliseconds=_since(done, broke_at),
    )


@dataclass(frozen=True, kw_only=True)
class Won:
    """The target is promoted, and a majority of the sentinels has voted for `epoch`."""

    epoch: int
    ids: dict[str, str]
    promoted: Answers


def _promote(course: Course, crash: Crash, *, proof: Proof, at: float) -> Generator[Step, Answers, Won | str]:
    """Votes, then the promotion, each within PROOF_S of a proof; else prove again (rule 13). Or why nothing was done.

    Votes are not given up lightly: whoever has given one starts no election of its own for twice the
    failover-timeout, and a sentinel answers only when the vote is on its disk (measured: 0.65 s on a busy one). The
    slowest of them is not waited for; where a majority is slow, they are asked again and answer at once, with the
    vote that they gave; the candidate's id makes it ours. That ends with the proof at the latest: when Sentinel
    itself holds the master for down.
    """
    promote = Ask(member=course.new.pod, command=("REPLICAOF", "NO", "ONE"), changes=True)
    monitored = {sentinel.pod: crash.old.address for sentinel in crash.sentinels}
    epoch: int | None = None
    for _ in range(PROOFS):
        if at - proof.at > PROOF_S / 2:
            again = yield from _prove(crash)
            if isinstance(again, str):
                return again
            if again.new != course.new:
                return f"{again.new.pod} has more data than {course.new.pod}"
            proof = again
        until = proof.at + PROOF_S
        if epoch is None:
            epoch = yield from win_votes(course, named=monitored, above=crash.epoch, until=until)
        if epoch is not None:
            promoted = yield Step(name="promote", deeds=(promote,), until=until)
            if not isinstance(promoted[0], TooLate):
                return Won(epoch=epoch, ids=proof.ids, promoted=promoted)
        at = until
    return (
        "no majority of the sentinels voted for it in time"
        if epoch is None
        else "the proof of death was too old"
    )


def _since(answers: Answers, broke_at: float) -> int:
    return max(0, round((answers.at - broke_at) * 1000))


def _prove(crash: Crash) -> Generator[Step, Answers, Proof | str]:
    """The proof, or a sentence that says which part of it is missing."""
    began: float | None = None
    wait, looks = 0.0, 0
    while True:
        seen = yield Step(
            name="prove",
            deeds=(
                Knock(address=crash.pod_address),
                Peek(address=crash.pod_address),
                LookAtPod(pod=crash.old.pod),
                *ask_nodes(crash.others),
                *_ask_all_of_sentinels(crash),
            ),
            after_s=wait,
            enough=_majority_spoke(crash),
            grace_s=SLOWEST_S,
        )
        began, looks = seen.began if began is None else began, looks + 1
        found = _judge(crash, seen)
        if isinstance(found, Proof):
            if seen.at - seen.began <= PROOF_S / 2:
                return found
            found = yield from _renew(crash, found)
            if isinstance(found, Proof):
                return found
        sentence, may_come = found
        if not may_come or (seen.at - began > PROVE_WITHIN_S and looks >= LOOKS_AT_LEAST):
            return sentence
        wait = POLL_S


def _renew(crash: Crash, slow: Proof) -> Generator[Step, Answers, Proof | tuple[str, bool]]:
    """The proof after a look that took so long that votes and promotion would come too late by it (rule 13).

    What can change within a second is who answers at the address. So that is asked once more, and the proof counts
    from there; a pod object, sentinels and replicas that were seen longer ago than that are looked at again.
    """
    knocked = yield Step(
        name="knock", deeds=(Knock(address=crash.pod_address), Peek(address=crash.pod_address))
    )
    answers = _who_answers(crash, knocked[0], knocked[1])
    if answers is not None:
        return answers
    if knocked.began - slow.at > LOOK_IS_GOOD_FOR_S:
        return f"a look took {knocked.began - slow.at:.1f} s, which is too old for a proof", True
    return replace(slow, at=knocked.began)


def _majority_spoke(crash: Crash) -> Callable[[Sequence[object]], bool]:
    """When a look for the proof has answers enough: all but those of a minority of the sentinels."""
    first, count = 3 + len(crash.others), len(crash.sentinels)

    def enough(results: Sequence[object]) -> bool:
        told = [results[first + i :: count] for i in range(count)]  # view, id and TILT of each sentinel
        spoke = sum(
            all(map(has_answered, replies)) and sentinel_view(replies[0]) is not None for replies in told
        )
        return spoke > crash.sentinel_count // 2 and all(map(has_answered, results[:first]))

    return enough


def _ask_all_of_sentinels(crash: Crash) -> tuple[Ask, ...]:
    course = crash.course(crash.old)
    tilt = tuple(Ask(member=s.pod, command=("INFO", "sentinel")) for s in crash.sentinels)
    return (*ask_sentinels(course), *ask_ids(course), *tilt)


def _judge(crash: Crash, seen: Answers) -> Proof | tuple[str, bool]:
    """The proof, or (what is missing, whether it may still come within milliseconds)."""
    pod = seen[2]
    if not isinstance(pod, Pod):
        return f"pod {crash.old.pod} is gone or unknown", pod is not None
    if (pod.uid, pod.ip) != (crash.pod_uid, crash.pod_address):
        return f"pod {crash.old.pod} is not the one whose connection was closed", False
    if pod.terminating:
        return f"pod {crash.old.pod} is being deleted, which may take its address away", False
    answers = _who_answers(crash, seen[0], seen[1])
    if answers is not None:
        return answers

    first = 3 + len(crash.others)
    course = crash.course(crash.old)
    views = sentinel_views(course, seen, first=first)
    count = len(crash.sentinels)
    problem = _sentinels_problem(crash, views, tilts=seen.results[first + 2 * count : first + 3 * count])
    if problem:
        return problem
    lost = sum("disconnected" in view.flags or "s_down" in view.flags for view in views.values())
    if lost < course.majority:
        return f"only {lost} of {crash.sentinel_count} sentinels have lost it too", True

    nodes = [node_view(reply) for reply in seen.results[3:first]]
    best = _best(crash, nodes)
    if isinstance(best, str):
        return best, not all(node.role for node in nodes)
    return Proof(at=seen.began, new=best, ids=sentinel_ids(course, seen, first=first + count))


def _who_answers(crash: Crash, knocked: object, peeked: object) -> tuple[str, bool] | None:
    """None where the pod's own address refuses, and nothing else; else (what it does instead, whether that may end)."""
    if node_view(peeked).role is not None:
        return f"{crash.old.pod} answers at {crash.pod_address}", False
    if knocked is Reach.UP:
        return f"{crash.old.pod} still accepts connections at {crash.pod_address}", True
    if knocked is not Reach.REFUSED:
        silent = f"{crash.old.pod} does not refuse connections at {crash.pod_address}"
        return f"{silent}: silence proves nothing", True
    return None


def _sentinels_problem(
    crash: Crash, views: dict[str, SentinelView], *, tilts: tuple[object, ...]
) -> tuple[str, bool] | None:
    if len(views) < crash.sentinel_count // 2 + 1:
        return f"only {len(views)} of {crash.sentinel_count} sentinels answer", True
    for pod, view in views.items():
        if (view.address, view.epoch) != (crash.old.address, crash.epoch):
            return f"{pod} names {view.address} at epoch {view.epoch}", False
        if view.flags & HANDS_OFF:
            return f"{pod} shows it as {', '.join(sorted(view.flags & HANDS_OFF))} already", False
    if any("sentinel_tilt:1" in str(tilt) for tilt in tilts):
        return "a sentinel is in TILT", False
    return None


def _best(crash: Crash, nodes: list[NodeView]) -> Member | str:
    """The replica with the most data, or why none may be promoted. Nobody who answers may hold more than it."""
    pairs = list(zip(crash.others, nodes, strict=True))
    for member, node in pairs:
        if node.role == "master":
            return f"{member.pod} says it is master"
    answering = [(member, node) for member, node in pairs if node.role == "slave"]
    able = [(member, node) for member, node in answering if _is_promotable(crash, node)]
    if not able:
        return "no replica that is in sync answers"
    member, node = max(able, key=lambda pair: pair[1].offset)
    more = [
        m.pod for m, other in answering if other.follows == crash.old.address and other.offset > node.offset
    ]
    if more:
        return f"{', '.join(more)} holds more data and cannot be promoted"
    return member


def _is_promotable(crash: Crash, node: NodeView) -> bool:
    """It followed the dead master until now, has completed a sync (its priority is raised then) and runs none."""
    follows = node.follows == crash.old.address and (node.link_up or 0 <= node.link_down_s <= FRESH_LINK_S)
    return follows and node.priority > 0 and not node.syncing and node.offset > 0


def _look_once_more(course: Course, crash: Crash) -> Generator[Step, Answers, str | None]:
    """After the promotion and before the hello: why it has to be undone, None where it stands (rule 4)."""
    seen = yield Step(
        name="look again",
        deeds=(*ask_nodes((course.new,)), Peek(address=crash.pod_address), *ask_nodes(course.others)),
    )
    if node_view(seen[0]).role != "master":
        return f"{course.new.pod} did not become master"
    if node_view(seen[1]).role == "master":
        return f"{course.old.pod} is back and says it is master"
    for member, reply in zip(course.others, seen.results[2:], strict=True):
        if node_view(reply).role == "master":
            return f"{member.pod} says it is master"
    return None


def _leave(why: str) -> Move:
    """Nothing was promoted: the intent goes, and Sentinel acts."""
    yield Step(name="forget", deeds=(Remember(fields={"intent": None}),))
    return Outcome(moved=False, sentence=f"left to Sentinel: {why}")


def _step_back(course: Course, why: str) -> Move:
    """The promotion is undone; nobody was told of it."""
    back = Ask(
        member=course.new.pod, command=("REPLICAOF", course.old.address, names.REDIS_PORT), changes=True
    )
    undone = yield Step(name="step back", deeds=(back,))
    if failures(undone):
        return Outcome(moved=False, sentence=f"{course.new.pod} could not be led back: {failures(undone)[0]}")
    return (yield from _leave(f"{why}; {course.new.pod} follows again"))
