"""Planned switchover by Sentinel's own command: procedure B, for where votes are not wanted or not to be had.

The swap itself is the same (writes paused, equal offsets, FAILOVER TO the target), then one sentinel is told to fail
over, and the target is the only one with priority 1. A second longer than the fast way, for Sentinel waits for its
next INFO; nothing acknowledged is lost either. Source: measured (`SENTINEL FAILOVER` alone lost hundreds of writes).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from ..views import canonical, parse_pairs
from . import switchover
from .facts import (
    Course,
    ask_nodes,
    ask_sentinels,
    close_clients,
    failures,
    node_view,
    sentinel_views,
    swap_roles,
    unpause,
)
from .step import Answers, Ask, Move, MoveService, Outcome, Remember, Step
from .switchover import KILL_EVERY_S, KILL_FOR_S, REASON, arrive, became, level, undo

NAME: Final = "bySentinel"
PREFERRED: Final = 1
USUAL: Final = 100
PREFERENCE_WITHIN_S: Final = 12.0  # Sentinel asks a replica for INFO every 10 s
NAMED_WITHIN_S: Final = 8.0
POLL_S: Final = 0.02


def switchover_by_sentinel(course: Course, *, time: str) -> Move:
    """The move. `time` is when it was decided, for the intent."""
    old, new = course.old, course.new
    look = yield Step(name="look", deeds=(*ask_nodes((old, new)), *ask_sentinels(course)))
    first, second = node_view(look[0]), node_view(look[1])
    views = sentinel_views(course, look, first=2)
    if first.role != "master" or second.follows != old.address or not second.link_up:
        return Outcome(moved=False, sentence=f"no switchover to {new.pod}: it is not in sync with {old.pod}")
    calm = [v for v in views.values() if v.address == old.address and v.flags == {"master"}]
    if len(calm) < course.majority or len(calm) < len(views):
        return Outcome(moved=False, sentence=f"no switchover to {new.pod}: the sentinels are not calm")
    noted = yield Step(
        name="intent", deeds=(Remember(fields={"intent": course.intent(switchover.NAME, time=time)}),)
    )
    if failures(noted):
        return Outcome(moved=False, sentence=f"no switchover to {new.pod}: {failures(noted)[0]}")
    executing = [s for s in course.sentinels if s.pod in views][-1]
    prefer = Ask(member=new.pod, command=("CONFIG", "SET", "replica-priority", PREFERRED), changes=True)
    yield Step(name="prefer", deeds=(prefer,))
    preferred = yield from _preferred(course, executing=executing.pod)
    usual = Ask(member=new.pod, command=("CONFIG", "SET", "replica-priority", USUAL), changes=True)
    if not preferred:
        yield Step(name="usual", deeds=(usual,))
        why = f"{executing.pod} does not see its priority"
        return (yield from undo(course, why=why, paused=False))
    led = yield Step(name="service", deeds=(MoveService(to=new.pod),))
    if failures(led) or not (yield from arrive(course, since=led.at)):
        yield Step(name="usual", deeds=(usual,))
        return (yield from undo(course, why="the master Service does not lead to it", paused=False))
    pause_ms = min(course.down_after_ms - 500, 3000)
    pause = Ask(member=old.pod, command=("CLIENT", "PAUSE", pause_ms, "WRITE"), changes=True)
    paused = yield Step(name="pause", deeds=(pause,))
    latest = paused.began + min(1.0, pause_ms / 1000 / 2)
    if failures(paused) or not (yield from level(course, until=latest)):
        yield Step(name="usual", deeds=(usual,))
        return (yield from undo(course, why=f"it did not catch up with {old.pod}", paused=True))
    swap = swap_roles(course)
    swapping = yield Step(name="swap", deeds=(swap,), until=latest)
    if not (yield from became(course, began=swapping.began)):
        yield Step(name="usual", deeds=(usual,))
        return (yield from undo(course, why=f"{old.pod} did not hand over", paused=True, abort=True))
    resume_writes = unpause(old)
    tell = Ask(member=executing.pod, command=("SENTINEL", "FAILOVER", course.master_name), changes=True)
    yield Step(name="failover", deeds=(resume_writes, tell))
    agreed = yield from _named(course)
    cut = close_clients(old)
    cutting = yield Step(name="cut", deeds=(cut, usual))
    milliseconds = round((cutting.began - paused.began) * 1000)
    if not agreed:
        return Outcome(moved=False, sentence=f"{new.pod} is master, and the sentinels do not name it yet")
    yield Step(
        name="done", deeds=(Remember(fields=course.done(REASON, time=time, milliseconds=milliseconds)),)
    )
    began = cutting.at
    while cutting.at - began < KILL_FOR_S:
        cutting = yield Step(name="cut again", deeds=(cut,), after_s=KILL_EVERY_S)
    return Outcome(moved=True, sentence=f"{new.pod} took over from {old.pod}", milliseconds=milliseconds)


def _preferred(course: Course, *, executing: str) -> Generator[Step, Answers, bool]:
    """Until the executing sentinel shows the target, and nobody else, with the preferred priority."""
    command = ("SENTINEL", "REPLICAS", course.master_name)
    began: float | None = None
    while True:
        asked = yield Step(name="preference", deeds=(Ask(member=executing, command=command),), after_s=0.2)
        began = asked.began if began is None else began
        shown = [parse_pairs(entry) for entry in asked[0]] if isinstance(asked[0], list) else []
        best = [canonical(r.get("ip", "")) for r in shown if r.get("slave-priority") == str(PREFERRED)]
        if best == [course.new.address]:
            return True
        if asked.at - began > PREFERENCE_WITHIN_S:
            return False


def _named(course: Course) -> Generator[Step, Answers, bool]:
    """Until all sentinels that answer, at least a majority, name the target; Sentinel closes our connections once."""
    began: float | None = None
    while True:
        asked = yield Step(name="named", deeds=ask_sentinels(course), after_s=POLL_S)
        began = asked.began if began is None else began
        views = sentinel_views(course, asked, first=0)
        naming = sum(view.address == course.new.address for view in views.values())
        if naming >= course.majority and naming == len(views):
            return True
        if asked.at - began > NAMED_WITHIN_S:
            return naming >= course.majority
