"""After a cold start: the sentinels begin at config-epoch 0 again, and the volumes know a higher one.

A copy that was away (done without, on a node that is still dead) would later seem newer than all that was written
since. So the present configuration is announced again, by votes and a hello, with an epoch above everything that any
volume knows. Nothing changes for anybody else: the address is the same. In the same way the sentinels learn a new
address of the same master (identities): to them it looks like a failover, and it is none. The price: sentinels that
have voted wait 2 x failover-timeout before they begin a failover of their own, which is told by FailoverReady.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from .announce import announce, win_votes
from .facts import (
    Course,
    SentinelView,
    ask_ids,
    ask_nodes,
    ask_sentinels,
    node_view,
    sentinel_ids,
    sentinel_views,
)
from .step import Move, Outcome, Remember, Step

NAME: Final = "raiseEpoch"


def raise_epoch(course: Course, *, above: int, time: str) -> Move:
    """The move; `course` leads from the master to itself, by the address that the sentinels know to the one that it
    has. `time` is when it was decided.
    """
    master = course.new
    look = yield Step(name="look", deeds=(*ask_nodes((master,)), *ask_sentinels(course), *ask_ids(course)))
    views = sentinel_views(course, look, first=1)
    objection = _objection(course, views)
    if node_view(look[0]).role != "master" or objection:
        why = objection or f"{master.pod} is no master"
        return Outcome(moved=False, sentence=f"the config-epoch is not raised: {why}")
    cast = yield Step(name="cast", deeds=(Remember(fields={"votesCast": time}),))
    if cast[0] is not None:
        return Outcome(moved=False, sentence=f"the config-epoch is not raised: {cast[0]}")
    named = {pod: view.address for pod, view in views.items()}
    above = max(above, *(view.epoch for view in views.values()))
    epoch = yield from win_votes(course, named=named, above=above)
    if epoch is None:
        return Outcome(
            moved=False, sentence="the config-epoch is not raised: no majority of the sentinels voted for it"
        )
    ids = sentinel_ids(course, look, first=1 + len(course.sentinels))
    told = course if _is_rename(course) else replace(course, others=())
    agreed = yield from announce(told, ids=ids, epoch=epoch)
    return Outcome(
        moved=agreed,
        sentence=f"the sentinels know {master.pod} at {master.address} with config-epoch {epoch}",
    )


def _is_rename(course: Course) -> bool:
    return course.old.address != course.new.address


def _objection(course: Course, views: Mapping[str, SentinelView]) -> str | None:
    """Under a new address a majority will do, and it may have lost the link to the old one: that cannot wait."""
    may_show = {"master", "s_down", "disconnected"} if _is_rename(course) else {"master"}
    for pod, view in views.items():
        if view.address != course.old.address or not view.flags <= may_show:
            return f"{pod} shows {view.address} as {', '.join(sorted(view.flags))}"
    needed = course.majority if _is_rename(course) else course.sentinel_count
    return f"only {len(views)} of {course.sentinel_count} sentinels answer" if len(views) < needed else None
