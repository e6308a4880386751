"""A seed and a number -> one round: which faults and moves, when, for how long, and which of the candidates is hit.

Pure, and independent of the rounds before: round 31 of seed 7 is always the same plan. Who is master when the time
has come is not part of a plan; a step names its target by what it is then ("master", "replica") and by `pick`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Effect(StrEnum):
    """What a fault can do to acknowledged writes, when it hits the master."""

    NONE = "none"  # nothing: moves, the operator, DNS
    ENDS = "ends"  # the process ends, its disk and the kernel's buffers survive
    STALLS = "stalls"  # its copies fall behind, and nobody takes its place
    SILENCES = "silences"  # it runs on, unseen by others, or stands still for a time
    VANISHES = "vanishes"  # it is gone with everything that was not yet on the wire


class Target(StrEnum):
    """What is hit."""

    MASTER = "master"
    REPLICA = "replica"
    DATA = "data"
    SENTINEL = "sentinel"
    POD = "pod"  # any pod of the set
    MASTER_NODE = "master-node"
    NODE = "node"
    LEADER = "leader"  # the operator's pod that holds the Lease
    OPERATORS = "operators"  # all of them
    ALL = "all"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Kind:
    """A kind of fault or move. `weight` is how often it is drawn beside the others, `lasts` that it is
    undone after a while."""

    name: str
    targets: tuple[Target, ...]
    effect: Effect = Effect.NONE
    lasts: bool = False
    weight: int = 2
    is_move: bool = False


FAULTS: Final = (
    Kind("kill", (Target.MASTER, Target.REPLICA, Target.SENTINEL), Effect.ENDS, weight=5),
    Kind("terminate", (Target.MASTER, Target.REPLICA), Effect.ENDS),
    Kind("freeze", (Target.MASTER, Target.REPLICA, Target.SENTINEL), Effect.SILENCES, lasts=True, weight=3),
    Kind("power-off", (Target.MASTER_NODE, Target.NODE), Effect.VANISHES, lasts=True, weight=3),
    Kind("cut", (Target.MASTER_NODE, Target.NODE), Effect.SILENCES, lasts=True, weight=2),
    Kind("partition", (Target.MASTER_NODE, Target.NODE), Effect.SILENCES, lasts=True, weight=3),
    Kind("partition-out", (Target.MASTER_NODE, Target.NODE), Effect.SILENCES, lasts=True),
    Kind("partition-in", (Target.MASTER_NODE, Target.NODE), Effect.SILENCES, lasts=True),
    Kind("cut-replication", (Target.MASTER,), Effect.STALLS, lasts=True),
    Kind("cut-api", (Target.MASTER_NODE, Target.NODE), lasts=True),
    Kind("dns-off", (Target.NOTHING,), lasts=True),
    Kind("clock", (Target.DATA, Target.SENTINEL, Target.LEADER), lasts=True),
    Kind("fill-disk", (Target.MASTER, Target.REPLICA), Effect.ENDS, lasts=True),
    Kind("delete-pod", (Target.MASTER, Target.POD), Effect.ENDS, weight=3),
    Kind("delete-pod-now", (Target.MASTER, Target.POD), Effect.ENDS, weight=3),
    Kind("delete-all-data", (Target.ALL,), Effect.ENDS, weight=1),
    Kind("kill-operator", (Target.LEADER, Target.OPERATORS), weight=3),
    Kind("stop-operator", (Target.LEADER, Target.OPERATORS), lasts=True, weight=2),
)
MOVES: Final = (
    Kind("switchover", (Target.NOTHING,), weight=4, is_move=True),
    Kind("rollout", (Target.NOTHING,), weight=1, is_move=True),
    Kind("scale-up", (Target.NOTHING,), weight=1, is_move=True),
    Kind("scale-down", (Target.NOTHING,), weight=1, is_move=True),
)
KINDS: Final = {kind.name: kind for kind in (*FAULTS, *MOVES)}

# Below, at and above down-after (3 s), and longer than a failover takes.
DURATIONS_S: Final = (1.0, 2.5, 4.0, 8.0, 12.0)
CLOCK_JUMPS_S: Final = (-3600, -30, 30, 3600)
LATEST_START_S: Final = 4.0


@dataclass(frozen=True)
class Step:
    """One fault or move: begun `at_s` after the round's beginning, undone `for_s` later (0: has no undo).

    `pick` (0 <= pick < 1) chooses among those that fit `target` when the time has come, `amount` is a fault's number
    (seconds that a clock jumps).
    """

    kind: str
    target: Target
    at_s: float
    for_s: float
    pick: float
    amount: int = 0

    def __str__(self) -> str:
        lasting = f" for {self.for_s:g} s" if self.for_s else ""
        return f"{self.at_s:.2f} s: {self.kind} {self.target}{lasting}"

    def choose(self, candidates: Sequence[str]) -> str:
        """One of the candidates; raises ValueError when there is none."""
        if not candidates:
            raise ValueError(f"{self}: there is no {self.target}")
        return sorted(candidates)[int(self.pick * len(candidates))]


@dataclass(frozen=True)
class Round:
    """One round of a campaign."""

    seed: int
    number: int
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"seed {self.seed} round {self.number}: " + " · ".join(str(step) for step in self.steps)

    @property
    def has_node_fault(self) -> bool:
        """Whether pods of others than the set are hit as well."""
        return any(step.target in (Target.NODE, Target.MASTER_NODE) for step in self.steps)


def plan(seed: int, number: int, *, moves: Iterable[str]) -> Round:
    """Round `number` of a campaign; `moves` are the planned moves that the operator knows.

    One fault, or two at once; in a third of the rounds a planned move besides, or alone.
    """
    dice = random.Random(f"{seed}/{number}")
    known = [kind for kind in MOVES if kind.name in set(moves)]
    faults = dice.choices((0, 1, 2), weights=(1, 4, 3))[0]
    wants_move = dice.random() < 0.4 or faults == 0
    steps = [_step(dice, _draw(dice, FAULTS)) for _ in range(faults)]
    if wants_move and known:
        steps.append(_step(dice, _draw(dice, known)))
    if not steps:
        steps.append(_step(dice, _draw(dice, FAULTS)))
    return Round(seed, number, tuple(sorted(_without_twins(steps), key=lambda step: step.at_s)))


def _draw(dice: random.Random, kinds: Sequence[Kind]) -> Kind:
    return dice.choices(kinds, weights=[kind.weight for kind in kinds])[0]


def _step(dice: random.Random, kind: Kind) -> Step:
    return Step(
        kind=kind.name,
        target=dice.choice(kind.targets),
        at_s=round(dice.uniform(0.0, LATEST_START_S), 2),
        for_s=dice.choice(DURATIONS_S) if kind.lasts else 0.0,
        pick=round(dice.random(), 6),
        amount=dice.choice(CLOCK_JUMPS_S) if kind.name == "clock" else 0,
    )


def _without_twins(steps: Sequence[Step]) -> list[Step]:
    """Two of one kind at one target say nothing that one of them does not."""
    unique = {(step.kind, step.target): step for step in steps}
    return list(unique.values())
