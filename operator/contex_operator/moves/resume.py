"""What a predecessor left half done: judged by what the members say now, never by the intent alone (rule 5).

A successor never reuses an epoch and never sends an old hello. The cases, in this order:

  ENDED      a majority of the sentinels names a node that says master: the move is over, or never was
  COMPLETE   the target says master, and the old one refuses, or is no master: fresh votes, fresh epoch, hello
  DEMOTE     the target says master, and the old one accepts and says so too: no hello, the target steps back
  DROP       the target is no master: nothing was done; Sentinel may wait twice its failover-timeout after votes
  WAIT       it cannot be known yet

Pure; called by plan, and `complete` by conduct.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

from ..model import Observed, Reach
from ..topology import Topology, View
from . import failover, switchover
from .announce import announce, win_votes
from .facts import (
    Course,
    ask_ids,
    ask_nodes,
    ask_sentinels,
    close_clients,
    node_view,
    sentinel_ids,
    sentinel_views,
    unpause,
)
from .step import Move, Outcome, Peek, Remember, Step

NAME: Final = "completion"
REASONS: Final[Mapping[str, str]] = {
    switchover.NAME: switchover.REASON,
    failover.NAME: failover.REASON,
}


class Case(enum.Enum):
    """What is to be done with an intent of a move."""

    ENDED = "ended"
    COMPLETE = "complete"
    DEMOTE = "demote"
    DROP = "drop"
    WAIT = "wait"


def judge_intent(observed: Observed, topology: Topology, intent: Mapping[str, Any]) -> Case:
    """Which of the cases this snapshot is."""
    target, old = observed.node_of(str(intent["pod"])), observed.node_of(str(intent["from"]))
    target_is_master = target is not None and target.is_master
    old_is_master = old is not None and old.is_master
    if old is not None and old.failing_over:
        return Case.WAIT
    if target_is_master and old_is_master:
        named = topology.master
        # The sentinels' word decides which of the two steps back; where they have none, nothing is done.
        if named is None:
            return Case.WAIT
        return Case.DEMOTE if named.pod == intent["from"] else Case.ENDED
    if topology.master is not None:
        return Case.ENDED
    if topology.view is View.MINORITY or topology.view is View.BARE:
        return Case.WAIT
    if target_is_master:
        gone = old is None or old.reach is Reach.REFUSED or (old.is_up and old.role == "slave")
        return Case.COMPLETE if gone else Case.WAIT
    if target is not None and target.is_up:
        return Case.DROP
    return Case.WAIT if target is not None and target.reach is Reach.TIMEOUT else Case.DROP


def complete(course: Course, *, procedure: str, time: str) -> Move:
    """Fresh votes, fresh epoch, hello: the target has the data and the role, the sentinels have to hear of it."""
    look = yield Step(
        name="look",
        deeds=(
            *ask_nodes((course.new,)),
            Peek(address=course.old.address),
            *ask_sentinels(course),
            *ask_ids(course),
        ),
    )
    count = len(course.sentinels)
    views = sentinel_views(course, look, first=2)
    if node_view(look[0]).role != "master":
        return Outcome(moved=False, sentence=f"{course.new.pod} is no master any more")
    if node_view(look[1]).role == "master":
        return Outcome(moved=False, sentence=f"{course.old.pod} is master too: nothing is announced")
    known = {course.old.address, course.new.address}
    strange = [f"{pod} names {view.address}" for pod, view in views.items() if view.address not in known]
    if strange or len(views) < course.majority:
        why = strange[0] if strange else f"only {len(views)} of {course.sentinel_count} sentinels answer"
        return Outcome(moved=False, sentence=f"the move to {course.new.pod} is not completed: {why}")
    named = {pod: view.address for pod, view in views.items()}
    above = max(view.epoch for view in views.values())
    epoch = yield from win_votes(course, named=named, above=max(above, course.epoch))
    if epoch is None:
        return Outcome(
            moved=False,
            sentence=f"the move to {course.new.pod} is not completed: no majority of the sentinels voted for it",
        )
    ids = sentinel_ids(course, look, first=2 + count)
    agreed = yield from announce(course, ids=ids, epoch=epoch, move_service=True)
    cut = close_clients(course.old)
    resume_writes = unpause(course.old)
    ended = yield Step(name="cut", deeds=(cut, resume_writes))
    if not agreed:
        return Outcome(moved=False, sentence=f"not enough sentinels name {course.new.pod} yet")
    done = course.done(REASONS[procedure], time=time, milliseconds=round((ended.at - look.began) * 1000))
    yield Step(name="done", deeds=(Remember(fields=done),))
    return Outcome(
        moved=True, sentence=f"{course.new.pod} is master now; a move that was interrupted is completed"
    )
