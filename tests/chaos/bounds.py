"""Which acknowledged writes a round may have cost at most. Pure; the numbers come from the durability's profile.

A planned move, a process that ends, a fault that is over before Sentinel can act, and everything done to the
operator cost nothing. What is inherent in asynchronous
replication costs a window of time, and a write that was acknowledged outside of all windows must be there:

    power-off of the master's node    what was under way at that instant (measured: 0 to 40 writes of thousands)
    a master that others do not see   until it refuses writes for want of replicas: max-lag + 1 s (measured: 0 to
                                      1.6 s; Redis takes the age in whole seconds, and looks once a second), and
                                      what is under way when it is seen again; without the fence (`available`)
                                      until Sentinel demotes it after that
    a master that only sends nothing  the fence does not hold: it hears the replicas' acknowledgements, each anew with
                                      TCP's next retransmission, and Redis asks for their age alone, not for the
                                      offset in them: until it is seen again
    two such faults at once           from the first one's beginning on: of two copies both may be hit
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from contex_operator.spec_types import DurabilityProfile

from tests.chaos.planning import KINDS, Effect, Target
from tests.workload.history import Op

# What the machine adds: between a fault and the instant that was noted for it, and to every timer.
NOISE_S: Final = 0.5
ON_THE_WIRE_S: Final = 0.2
FENCE_S: Final = 2.0  # refreshGoodSlavesCount: whole seconds, asked for once a second
RESUME_S: Final = 1.0  # what waits in sockets when a master is seen again
DOWN_AFTER_S: Final = 3.0  # the resource's default: before that nobody takes a master's place
# Faults that keep what the master sends from the others, and let through what they send.
DEAF_FENCE: Final = frozenset({"partition-out"})
DEMOTED_WITHIN_S: Final = 20.0  # Sentinel's convert-to-slave: 8 s and an INFO period


@dataclass(frozen=True)
class Done:
    """A step as it was carried out: when it was begun, done, begun to be undone and undone (monotonic seconds)."""

    kind: str
    target: Target
    hit: str  # the pod or node
    hits_master: bool
    began: float
    done: float
    undoing: float | None = None
    undone: float | None = None

    @property
    def effect(self) -> Effect:
        """What it can do to the writes that its victim acknowledged."""
        return KINDS[self.kind].effect

    @property
    def over(self) -> float:
        """The last instant at which it was certainly in force or being undone."""
        return self.undone if self.undone is not None else self.done


@dataclass(frozen=True)
class Window:
    """Writes acknowledged between two instants may be lost, for a reason."""

    since: float
    until: float
    why: str

    def covers(self, op: Op) -> bool:
        """Whether the write was acknowledged, or under way, in it."""
        return op.completed >= self.since and op.invoked <= self.until


def windows(done: Iterable[Done], profile: DurabilityProfile) -> list[Window]:
    """All windows of a round."""
    every = sorted(done, key=lambda each: each.began)
    found = [window for each in every for window in _windows_of(each, profile)]
    return found + _of_two(every, profile)


def beyond(lost: Iterable[Op], allowed: Sequence[Window]) -> list[Op]:
    """The lost writes that no window excuses."""
    return [op for op in lost if not any(window.covers(op) for window in allowed)]


def _windows_of(each: Done, profile: DurabilityProfile) -> list[Window]:
    if not each.hits_master:
        return []
    what = f"{each.kind} of {each.hit}"
    if each.effect is Effect.VANISHES:
        return [Window(each.began - ON_THE_WIRE_S, each.done + ON_THE_WIRE_S + NOISE_S, what)]
    if each.effect is not Effect.SILENCES or each.over - each.began < DOWN_AFTER_S - NOISE_S:
        return []
    if not profile.min_replicas_to_write:
        until = each.over + DEMOTED_WITHIN_S
        return [Window(each.began - ON_THE_WIRE_S, until, f"{what}, and nothing fences the master")]
    if each.kind in DEAF_FENCE:
        until = each.over + RESUME_S + NOISE_S
        return [Window(each.began - ON_THE_WIRE_S, until, f"{what}, which the fence does not notice")]
    fenced = each.done + profile.min_replicas_max_lag_s + FENCE_S + NOISE_S
    found = [Window(each.began - ON_THE_WIRE_S, fenced, f"{what}, until the fence")]
    if each.undoing is not None and each.undone is not None:
        resumed = each.undone + RESUME_S + NOISE_S
        found.append(Window(each.undoing, resumed, f"{what}, what waited for its end"))
    return found


def _of_two(every: Sequence[Done], profile: DurabilityProfile) -> list[Window]:
    """Two faults at once that hit data, one of them more than the end of a process.

    A write is on the master and on one replica when it is acknowledged, no more. Where one of the two stalls or goes
    while the other is away, the third copy decides, and it may be as old as the first of these faults.
    """
    hits = [each for each in every if each.effect is not Effect.NONE and _hits_data(each)]
    strong = [each for each in hits if each.effect is not Effect.ENDS]
    if len(hits) < 2 or not strong:
        return []
    lag_s = profile.min_replicas_max_lag_s if profile.min_replicas_to_write else DEMOTED_WITHIN_S
    until = max(each.over for each in hits) + lag_s + FENCE_S + NOISE_S
    why = "two faults at once: " + ", ".join(f"{each.kind} of {each.hit}" for each in hits)
    return [Window(hits[0].began - ON_THE_WIRE_S, until, why)]


def _hits_data(each: Done) -> bool:
    return each.target is not Target.SENTINEL and "-sentinel-" not in each.hit
