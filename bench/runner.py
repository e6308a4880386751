"""Repetitions: green, writers, fault, everybody back, green again, verdict. One after the other, never two at once."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from bench import figures
from bench.samples import ClientFigures, Run, Sample
from bench.scenarios import NotArranged, Scenario, Strike
from bench.subjects import SUBJECTS, Subject
from tests.e2e.support import spaces
from tests.e2e.support.cluster import Cluster, KubectlFailed
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import UNREACHABLE
from tests.e2e.support.turns import turn
from tests.workload.checker import Verdict
from tests.workload.history import Op
from tests.workload.process import WorkloadError, Writers

INTERVAL_MS: Final = 5
TIMEOUT_MS: Final = 500
STEADY_ACKS: Final = 100  # of each client before the fault
BACK_ACKS: Final = 50  # acknowledged in a row of time: then a client is back
_EFFECT_WITHIN_S: Final = 60.0
_SETTLED_WITHIN_S: Final = 60.0


@dataclass(frozen=True)
class Cell:
    """What is repeated: a scenario against a subject."""

    scenario: Scenario
    subject: str
    profile: str
    image: str


class Bench:
    """Runs cells on one cluster; samples are handed to `record` as soon as they are there."""

    def __init__(
        self, cluster: Cluster, run: Run, *, record: Callable[[Sample], None], say: Callable[[str], None]
    ) -> None:
        self._cluster, self._run, self._record, self._say = cluster, run, record, say

    def cell(self, cell: Cell, n: int) -> None:
        """`n` repetitions. A subject that does not become green again is thrown away and made anew; after three
        such, the rest of the cell is left out (it says so)."""
        missing = cell.scenario.missing() if cell.subject == "contex" else None
        if missing or cell.subject not in cell.scenario.subjects:
            self._say(f"{_title(cell)}: left out, {missing or 'not a scenario for it'}")
            return
        done = failures = 0
        while done < n and failures < 3:
            try:
                with self._subject(cell) as subject:
                    while done < n:
                        sample = self._repetition(cell, subject, number=done + 1)
                        done += 1
                        if sample.green_s is None:
                            break
            except (AssertionError, KubectlFailed, WorkloadError, NotArranged) as error:
                failures += 1
                self._say(f"{_title(cell)}: {error}")

    @contextmanager
    def _subject(self, cell: Cell) -> Iterator[Subject]:
        kind = SUBJECTS[cell.subject]
        name = re.sub(r"[^a-z0-9]+", "-", f"bench-{cell.subject}-{cell.scenario.name}-{secrets.token_hex(2)}")
        with spaces.own_namespace(self._cluster, name, keep=False, pod_security=kind.pod_security):
            subject = kind(self._cluster, name, profile=cell.profile, image=cell.image)
            self._say(f"{_title(cell)}: installing in {name}")
            subject.install()
            try:
                yield subject
            finally:
                subject.close()

    def _repetition(self, cell: Cell, subject: Subject, *, number: int) -> Sample:
        lab = self._cluster.lab.name if self._cluster.lab else str(self._cluster.context)
        with turn(lab, alone=True), ExitStack() as stack:
            scenario = cell.scenario
            _wait_green(subject, within_s=scenario.green_within_s)
            if scenario.restore is not None:
                stack.callback(_quietly(scenario.restore), subject)
            scenario.prepare(subject)
            running = self._writers(subject, number, stack)
            struck = scenario.strike(subject, stack)
            sample = self._watch(cell, subject, struck, running, number=number)
        self._record(sample)
        self._say(_line(cell, sample))
        return sample

    def _writers(self, subject: Subject, number: int, stack: ExitStack) -> dict[str, Writers]:
        running = {}
        for kind in subject.clients:
            client = f"{kind}-{number}-{secrets.token_hex(2)}"
            running[kind] = subject.redis_set.writers(
                kind, client=client, interval_ms=INTERVAL_MS, timeout_ms=TIMEOUT_MS
            )
            stack.callback(running[kind].kill)
        for each in running.values():
            each.wait_for_acks(STEADY_ACKS, within_s=20)
        return running

    def _watch(
        self, cell: Cell, subject: Subject, struck: Strike, running: Mapping[str, Writers], *, number: int
    ) -> Sample:
        scenario, notes = cell.scenario, list[str]()
        try:
            eventually(
                struck.has_happened,
                within_s=max(_EFFECT_WITHIN_S, scenario.green_within_s),
                describe=f"{scenario.title} has had its effect",
                passing=UNREACHABLE,
            )
        except AssertionError as error:
            notes.append(str(error))
        back = _wait_back(running, after=time.monotonic(), within_s=scenario.back_within_s)
        until = time.monotonic()
        began = struck.at
        if scenario.restore is not None:
            began = time.monotonic()
            scenario.restore(subject)
        green_s: float | None = None
        try:
            _wait_green(subject, within_s=scenario.green_within_s)
            green_s = time.monotonic() - began
        except AssertionError as error:
            notes.append(str(error))
        if scenario.restore is None:
            until = time.monotonic()  # a planned move and a crash are over when all is whole
        marks = struck.marks()
        histories = {kind: each.stop() for kind, each in running.items()}
        verdict = _verdict(subject, histories, notes)
        return Sample(
            run=self._run.run,
            number=number,
            scenario=scenario.name,
            subject=cell.subject,
            profile=cell.profile,
            image=cell.image,
            clients={
                kind: _client(ops, verdict, at=struck.at, until=until, back=kind in back)
                for kind, ops in histories.items()
            },
            green_s=green_s,
            resurrected=len(verdict.resurrected) if verdict else 0,
            diverged=len(verdict.diverged) if verdict else 0,
            two_masters_s=max((o.seconds for o in verdict.two_masters), default=0.0) if verdict else 0.0,
            load=round(os.getloadavg()[0], 1),
            marks=marks,
            notes=tuple(notes),
        )


def _quietly(restore: Callable[[Subject], None]) -> Callable[[Subject], None]:
    """For the way out after a failure: what is whole already is no reason to fail."""

    def again(subject: Subject) -> None:
        try:
            restore(subject)
        except (AssertionError, KubectlFailed):
            return

    return again


def _wait_green(subject: Subject, *, within_s: float) -> None:
    last: list[str] = []

    def green() -> bool:
        last[:] = subject.not_green()
        return not last

    try:
        eventually(green, within_s=within_s, describe="green", passing=UNREACHABLE, every_s=0.25)
    except AssertionError:
        raise AssertionError(f"not green within {within_s:g} s: {'; '.join(last)}") from None


def _wait_back(running: Mapping[str, Writers], *, after: float, within_s: float) -> set[str]:
    """The clients that get acknowledgements again; waits until all do, or the time is over."""
    deadline = time.monotonic() + within_s
    while True:
        back = {k for k, each in running.items() if figures.is_back(each.ops(), after=after, count=BACK_ACKS)}
        if len(back) == len(running) or time.monotonic() > deadline:
            return back
        time.sleep(0.1)


def _verdict(subject: Subject, histories: Mapping[str, list[Op]], notes: list[str]) -> Verdict | None:
    try:
        every = [op for ops in histories.values() for op in ops]
        return subject.redis_set.judge(every, within_s=_SETTLED_WITHIN_S)
    except AssertionError as error:
        notes.append(f"no verdict on the data: {error}")
        return None


def _client(ops: list[Op], verdict: Verdict | None, *, at: float, until: float, back: bool) -> ClientFigures:
    lost = {op.value for op in verdict.lost} if verdict else set()
    return ClientFigures(
        outage_s=round(figures.outage(ops, at=at, until=until).seconds, 4),
        is_back=back,
        acked=sum(op.is_acked for op in ops),
        lost=sum(op.value in lost for op in ops) if verdict else None,
        errors=figures.errors_by_kind(ops, since=at, until=until),
    )


def _title(cell: Cell) -> str:
    return f"{cell.scenario.name} · {cell.subject} · {cell.profile} · {cell.image}"


def _line(cell: Cell, sample: Sample) -> str:
    clients = ", ".join(
        f"{kind} {'' if seen.is_back else '>'}{seen.outage_s:.3f} s"
        + (f" ({seen.lost} lost)" if seen.lost else "")
        for kind, seen in sample.clients.items()
    )
    green = "not green" if sample.green_s is None else f"green after {sample.green_s:.1f} s"
    notes = f"; {'; '.join(sample.notes)}" if sample.notes else ""
    return f"{_title(cell)} #{sample.number}: {clients}; {green}{notes}"
