"""Planned switchover in a twentieth of a second: nothing acknowledged is lost, and no client stays behind.

The order is the result of measurement: the master Service moves first, by one write (open connections stay with the
old master; new ones reach the target and are refused as READONLY until it is master, but are never stuck), and only
when one's own probe arrives at the target the writes are paused. From the pause on every millisecond is somebody's
wait. Votes are cast as late as possible: cast without a hello, they keep Sentinel from a failover for twice its
failover-timeout. Everything before FAILOVER is undone by UNPAUSE and by leading the Service back; the pause ends by
itself, so that an operator that dies here leaves nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from .announce import announce, elected, win_votes
from .facts import (
    Course,
    ask_ids,
    ask_nodes,
    ask_sentinels,
    close_clients,
    failures,
    node_view,
    sentinel_ids,
    sentinel_views,
    swap_roles,
    unpause,
)
from .step import Answers, Ask, Move, MoveService, Outcome, ProbeService, Remember, Step, TooLate
from .votes import ballot, count

NAME: Final = "switchover"
REASON: Final = "Switchover"  # in status.lastFailover

PAUSE_MS: Final = (
    1900  # below any down-after: a longer pause would block Sentinel's own PUBLISH and look like death
)
LOOK_WITHIN_S: Final = 1.2  # short: preStop begins a move of its own 5 s after the deletion (rule 8)
LOOK_EVERY_S: Final = 0.1
FAILOVER_WITHIN_S: Final = 0.5  # of the answer to PAUSE (rule 13)
PROBE_AT_LEAST_S: Final = 0.15
PROBE_AT_MOST_S: Final = 3.0  # kube-proxy may sit out a period of a second, and a busy one more than that
SWAP_WITHIN_S: Final = 0.8
POLL_S: Final = 0.001
MAX_LAG_BYTES: Final = 1_000_000
KILL_EVERY_S: Final = 0.05
KILL_FOR_S: Final = (
    1.6  # the nodes whose kube-proxy is later than ours: their clients come back to the old master
)


def switchover(course: Course, *, time: str) -> Move:
    """The move. `time` is when it was decided, for the intent."""
    old, new = course.old, course.new
    look = yield from _look(course)
    if isinstance(look, str):
        return Outcome(moved=False, sentence=f"no switchover to {new.pod}: {look}")
    ids = sentinel_ids(course, look, first=2 + len(course.sentinels))

    noted = yield Step(name="intent", deeds=(Remember(fields={"intent": course.intent(NAME, time=time)}),))
    if failures(noted):
        return Outcome(moved=False, sentence=f"no switchover to {new.pod}: {failures(noted)[0]}")
    led = yield Step(name="service", deeds=(MoveService(to=new.pod),))
    if failures(led):
        return (yield from undo(course, why=failures(led)[0], paused=False))
    arrived = yield from arrive(course, since=led.at)
    if not arrived:
        why = f"new connections through the master Service do not reach it within {PROBE_AT_MOST_S:g} s"
        return (yield from undo(course, why=why, paused=False))

    pause = Ask(member=old.pod, command=("CLIENT", "PAUSE", PAUSE_MS, "WRITE"), changes=True)
    paused = yield Step(name="pause", deeds=(pause,))
    if failures(paused):
        return (yield from undo(course, why=failures(paused)[0], paused=True))
    latest = paused.began + FAILOVER_WITHIN_S
    is_level = yield from level(course, until=latest)
    if not is_level:
        why = f"it did not catch up with {old.pod} within {FAILOVER_WITHIN_S:g} s"
        return (yield from undo(course, why=why, paused=True))

    swap = swap_roles(course)
    epoch = course.epoch + 1
    monitored = {sentinel.pod: old.address for sentinel in course.sentinels}
    votes = ballot(monitored, epoch=epoch, candidate=course.candidate)
    swapping = yield Step(
        name="swap", deeds=(swap, *votes), until=latest, enough=elected(course, epoch=epoch, first=1)
    )
    if isinstance(swapping[0], TooLate):
        return (yield from undo(course, why="the pause was too old", paused=True))
    # An error or a lost answer to FAILOVER decides nothing: what both say of themselves does.
    has_become = yield from became(course, began=swapping.began)
    if not has_become:
        return (
            yield from undo(
                course, why=f"{old.pod} did not hand over ({swapping[0]})", paused=True, abort=True
            )
        )

    won, highest = count(swapping.results[1:], epoch=epoch, candidate=course.candidate)
    if won < course.majority:
        again = yield from win_votes(course, named=monitored, above=max(epoch, highest))
        if again is None:
            return Outcome(
                moved=False,
                sentence=f"{new.pod} is master, but no majority of the sentinels has voted for it yet",
            )
        epoch = again
    agreed = yield from announce(course, ids=ids, epoch=epoch)
    cut = close_clients(old)
    resume_writes = unpause(old)
    cutting = yield Step(name="cut", deeds=(cut, resume_writes))
    milliseconds = round((cutting.began - paused.began) * 1000)
    if agreed:
        yield Step(
            name="done", deeds=(Remember(fields=course.done(REASON, time=time, milliseconds=milliseconds)),)
        )
    while cutting.at - paused.began < KILL_FOR_S:
        cutting = yield Step(name="cut again", deeds=(cut,), after_s=KILL_EVERY_S)
    said = "the sentinels agree" if agreed else "not all sentinels agree yet"
    return Outcome(
        moved=agreed, sentence=f"{new.pod} took over from {old.pod}; {said}", milliseconds=milliseconds
    )


def _look(course: Course) -> Generator[Step, Answers, Answers | str]:
    """A look at everybody who takes part that objects to nothing; or what the last one objected to.

    It is repeated for LOOK_WITHIN_S: a sentinel that writes its file, or a replica that is a moment behind, is no
    reason to refuse what somebody asked for, and nothing has been changed yet.
    """
    began: float | None = None
    wait = 0.0
    while True:
        look = yield Step(
            name="look",
            deeds=(*ask_nodes((course.old, course.new)), *ask_sentinels(course), *ask_ids(course)),
            after_s=wait,
        )
        began = look.began if began is None else began
        objection = _objection(course, look)
        if objection is None:
            return look
        if look.at - began >= LOOK_WITHIN_S:
            return objection
        wait = LOOK_EVERY_S


def _objection(course: Course, look: Answers) -> str | None:
    """Why this switchover must not begin, by a look of its own; None where it may."""
    old, new = node_view(look[0]), node_view(look[1])
    if old.role != "master":
        return f"{course.old.pod} is no master"
    if new.role != "slave" or new.follows != course.old.address or not new.link_up:
        return f"{course.new.pod} is not in sync with {course.old.pod}"
    if course.new.address not in old.online:
        return f"{course.old.pod} does not list it as online"
    if old.offset - new.offset > MAX_LAG_BYTES:
        return f"it is {old.offset - new.offset} bytes behind"
    if old.failover_state not in (None, "no-failover"):
        return f"{course.old.pod} is in a failover of its own"
    views = sentinel_views(course, look, first=2)
    if len(views) < course.sentinel_count:
        return f"only {len(views)} of {course.sentinel_count} sentinels answer"
    for pod, view in views.items():
        if (view.address, view.epoch) != (course.old.address, course.epoch) or view.flags != {"master"}:
            return f"{pod} shows {view.address} at epoch {view.epoch} as {', '.join(sorted(view.flags))}"
    ids = sentinel_ids(course, look, first=2 + len(course.sentinels))
    if len(ids) < len(course.sentinels):
        return "not every sentinel tells its id"
    return None


def arrive(course: Course, *, since: float) -> Generator[Step, Answers, bool]:
    """Until our own new connection through the Service reaches the target."""
    while True:
        probe = yield Step(name="probe", deeds=(ProbeService(),), after_s=0.02)
        waited = probe.at - since
        if probe[0] == course.new.run_id and waited >= PROBE_AT_LEAST_S:
            return True
        if waited > PROBE_AT_MOST_S:
            return False


def level(course: Course, *, until: float) -> Generator[Step, Answers, bool]:
    """Until the target holds everything that the paused master has acknowledged."""
    wait = 0.0
    while True:
        compared = yield Step(name="level", deeds=ask_nodes((course.old, course.new)), after_s=wait)
        old, new = node_view(compared[0]), node_view(compared[1])
        if old.role != "master" or new.role != "slave":
            return False
        if new.link_up and new.offset >= old.offset >= 0:
            return True
        if compared.at >= until:
            return False
        wait = POLL_S


def became(course: Course, *, began: float) -> Generator[Step, Answers, bool]:
    """Until the target is master and the old one is none."""
    while True:
        asked = yield Step(name="became", deeds=ask_nodes((course.new, course.old)), after_s=POLL_S)
        new, old = node_view(asked[0]), node_view(asked[1])
        if new.role == "master" and old.role != "master":
            return True
        if asked.at - began > SWAP_WITHIN_S:
            return False


def undo(course: Course, *, why: str, paused: bool, abort: bool = False) -> Move:
    """Back to the old master, which has never stopped being one; the intent goes last."""
    old = course.old
    if abort:
        yield Step(name="abort", deeds=(Ask(member=old.pod, command=("FAILOVER", "ABORT"), changes=True),))
        asked = yield Step(name="after abort", deeds=ask_nodes((old, course.new)))
        if node_view(asked[0]).role != "master" or node_view(asked[1]).role == "master":
            # Not ours to guess: the next look at everything decides it by rule 5.
            return Outcome(moved=False, sentence=f"the switchover to {course.new.pod} is unclear: {why}")
    back: list[Ask | MoveService] = [MoveService(to=old.pod)]
    if paused:
        back.append(unpause(old))
    undone = yield Step(name="undo", deeds=tuple(back))
    # Who has connected through the Service meanwhile sits at the target, which stays a replica.
    cut = close_clients(course.new)
    cutting = undone
    while cutting.at - undone.began < KILL_FOR_S:
        cutting = yield Step(name="cut target", deeds=(cut,), after_s=KILL_EVERY_S)
    if not failures(undone):
        yield Step(name="forget", deeds=(Remember(fields={"intent": None}),))
    return Outcome(moved=False, sentence=f"no switchover to {course.new.pod}: {why}; {old.pod} serves on")
