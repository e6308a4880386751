"""Rounds one after the other: a log line for each, everything a person needs for one that failed."""

from __future__ import annotations

import json
import math
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import arena, hands
from tests.chaos.planning import plan
from tests.e2e.support import diagnosis, spaces
from tests.e2e.support.cluster import Cluster
from tests.workload.history import dump


@dataclass(frozen=True)
class Settings:
    """What a campaign is played with. `reports` is the folder for what failed, `log` gets a line for each round."""

    seed: int
    durability: str
    image: str
    reports: Path
    log: Path | None = None
    keep_going: bool = False
    keep: bool = False  # the namespaces


class Campaign:
    """Plays rounds on one cluster; a round that failed costs its namespace, the next one begins in a new one."""

    def __init__(self, cluster: Cluster, settings: Settings, *, say: Callable[[str], None]) -> None:
        self._cluster, self._settings, self._say = cluster, settings, say

    def run(self, numbers: Iterable[int], *, for_s: float | None = None) -> list[arena.Outcome]:
        """Play these rounds, none that would begin later than `for_s` seconds from now; returns all outcomes. Stops
        at the first that failed unless told to go on."""
        left = list(numbers)
        until = math.inf if for_s is None else time.monotonic() + for_s
        outcomes: list[arena.Outcome] = []
        while left and time.monotonic() < until:
            with self._arena() as place:
                while left and time.monotonic() < until:
                    outcomes.append(self._round(place, left.pop(0)))
                    if outcomes[-1].violations:
                        break
            if outcomes and outcomes[-1].violations and not self._settings.keep_going:
                break
        return outcomes

    @contextmanager
    def _arena(self) -> Iterator[arena.Arena]:
        name = f"chaos-{self._settings.seed}-{secrets.token_hex(2)}"
        self._say(f"a new set in {name}, durability {self._settings.durability}, {self._settings.image}")
        with (
            spaces.own_namespace(self._cluster, name, keep=self._settings.keep),
            arena.opened(
                self._cluster, name, durability=self._settings.durability, image=self._settings.image
            ) as place,
        ):
            yield place

    def _round(self, place: arena.Arena, number: int) -> arena.Outcome:
        this = plan(self._settings.seed, number, moves=hands.known_moves())
        self._say(str(this))
        outcome = place.play(this)
        self._log(outcome)
        figures = ", ".join(f"{name} {value}" for name, value in outcome.figures.items())
        self._say(f"  {'FAILED' if outcome.violations else 'clean'}: {figures}")
        if outcome.violations:
            for text in (*outcome.violations, *outcome.timeline):
                self._say(f"  {text}")
            again = f"python -m tests.chaos --seed {this.seed} --only {number}"
            self._say(f"  again: {again}; everything: {self._report(place, outcome)}")
        return outcome

    def _log(self, outcome: arena.Outcome) -> None:
        if self._settings.log is None:
            return
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seed": outcome.round.seed,
            "round": outcome.round.number,
            "durability": self._settings.durability,
            "image": self._settings.image,
            "steps": [str(step) for step in outcome.round.steps],
            "violations": outcome.violations,
            "load": round(os.getloadavg()[0], 1),
        } | outcome.figures
        with self._settings.log.open("a") as out:
            print(json.dumps(line), file=out)

    def _report(self, place: arena.Arena, outcome: arena.Outcome) -> Path:
        """The plan, the timeline, the state of everything and the history, as files; returns their folder."""
        folder = self._settings.reports / f"seed{outcome.round.seed}-round{outcome.round.number}"
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join([str(outcome.round), *outcome.violations, "", *outcome.timeline, ""])
        namespace = place.redis_set.namespace
        (folder / "round.txt").write_text(text)
        (folder / "state.txt").write_text(diagnosis.diagnose(self._cluster, namespace, lines=2000))
        (folder / "history.jsonl").write_text("\n".join(map(dump, outcome.history)) + "\n")
        return folder
