"""The end that switchover, failover and their completion share: votes for a fresh epoch, the hello, the followers.

Order and hazard: never a hello without a majority of votes in its own epoch (two configurations could carry the same
one); never one before the target was seen as master. A new master without replicas refuses writes where the profile
asks for one, so the others are told in the same breath as the sentinels.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final

from .. import names
from .facts import Course, ask_sentinels, has_answered, sentinel_view
from .step import Answers, Ask, MoveService, Step, TooLate
from .votes import ballot, count, hello

BALLOTS: Final = 12  # each costs a millisecond, and sentinels may know epochs that nobody else does
AGREED_WITHIN_S: Final = 2.0
LAST_WITHIN_S: Final = (
    0.15  # for the slowest sentinel, while writes may be paused: a planned move's goal is 0.2 s
)
POLL_S: Final = 0.001


def win_votes(
    course: Course, *, named: Mapping[str, str], above: int, until: float | None = None
) -> Generator[Step, Answers, int | None]:
    """An epoch above `above` that a majority of all sentinels has voted for; None where none is to be had.

    `named` maps the sentinels' pods to the address that each monitors; none is asked after `until`. A majority is
    enough: a vote that comes later is for the same candidate in the same epoch.
    """
    epoch = above + 1
    for _ in range(BALLOTS):
        deeds = ballot(named, epoch=epoch, candidate=course.candidate)
        asked = yield Step(name="votes", deeds=deeds, until=until, enough=elected(course, epoch=epoch))
        if any(isinstance(result, TooLate) for result in asked.results):
            return None
        won, highest = count(asked.results, epoch=epoch, candidate=course.candidate)
        if won >= course.majority:
            return epoch
        epoch = max(epoch, highest) + 1
    return None


def elected(course: Course, *, epoch: int, first: int = 0) -> Callable[[Sequence[object]], bool]:
    """When a ballot needs no more answers: its replies begin at index `first`, and all before are answered too."""

    def enough(results: Sequence[object]) -> bool:
        votes, _ = count(results[first:], epoch=epoch, candidate=course.candidate)
        return votes >= course.majority and all(map(has_answered, results[:first]))

    return enough


def announce(
    course: Course,
    *,
    ids: Mapping[str, str],
    epoch: int,
    move_service: bool = False,
) -> Generator[Step, Answers, bool]:
    """Tell the sentinels and the other replicas; True when a majority of the sentinels names the target.

    With `move_service` the master Service follows in the same step. Waits for a majority at most AGREED_WITHIN_S,
    and for the others LAST_WITHIN_S: a slow one learns it from its peers, too.
    """
    new = course.new
    told = hello(course.sentinels, ids=ids, master_name=course.master_name, master=new.address, epoch=epoch)
    follow = tuple(
        Ask(member=other.pod, command=("REPLICAOF", new.address, names.REDIS_PORT), changes=True)
        for other in course.others
    )
    service = (MoveService(to=new.pod),) if move_service else ()

    def most_heard(results: Sequence[object]) -> bool:
        heard = sum(map(has_answered, results[: len(told)]))
        return heard >= course.majority and all(map(has_answered, results[len(told) :]))

    def agreeing(results: Sequence[object]) -> int:
        views = [view for view in map(sentinel_view, results) if view is not None]
        return sum(view.address == new.address and view.epoch >= epoch for view in views)

    def most_agree(results: Sequence[object]) -> bool:
        return agreeing(results) >= course.majority

    began = (yield Step(name="hello", deeds=(*told, *follow, *service), enough=most_heard)).began
    wait = 0.0
    while True:
        asked = yield Step(
            name="agree",
            deeds=ask_sentinels(course),
            after_s=wait,
            enough=most_agree,
            grace_s=LAST_WITHIN_S / 3,
        )
        waited = asked.at - began
        if agreeing(asked.results) >= len(course.sentinels) or waited > AGREED_WITHIN_S:
            return most_agree(asked.results)
        if most_agree(asked.results) and waited > LAST_WITHIN_S:
            return True
        wait = POLL_S
