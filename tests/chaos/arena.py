"""One namespace with an operator, a set and writers, in which rounds are played one after the other."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from contex_operator.spec_types import DURABILITY_PROFILES, Durability, DurabilityProfile

from lab import LabError
from tests.chaos import hands
from tests.chaos.bounds import Done, windows
from tests.chaos.judging import Findings, violations
from tests.chaos.planning import KINDS, Round, Step
from tests.e2e.support import green, spaces
from tests.e2e.support.checkout import moves
from tests.e2e.support.cluster import Cluster, Json, KubectlFailed
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command
from tests.workload.checker import Verdict, longest_gap
from tests.workload.history import Op
from tests.workload.process import WorkloadError, Writers

OPERATORS: Final = 2
MARKS: Final = "chaos:rounds"
INTERVAL_MS: Final = 10
# Name of a client -> (kind, timeout). Patient ones hold on to a connection that answers nothing.
CLIENTS: Final = {
    "sentinel": ("sentinel", 500),
    "kept": ("kept", 500),
    "fresh": ("fresh", 500),
    "patient": ("kept", 5000),
}
STEADY_ACKS: Final = 50
BACK_WITHIN_S: Final = 30.0
# Green without help: Sentinel's second attempt after one that failed comes 2 x failover-timeout later (20 s), a
# container that failed is held back by the kubelet for up to 40 s more, then a full copy.
GREEN_S: Final = 120.0
NODE_S: Final = 60.0  # a node that was without power boots and starts its pods
ROLLOUT_S: Final = 240.0


@dataclass(frozen=True)
class Outcome:
    """What became of a round. `timeline` is for people: what was done when, and what was seen."""

    round: Round
    violations: list[str]
    timeline: list[str]
    figures: Json
    history: list[Op] = field(repr=False)


class Arena:
    """Made with `opened()`. Rounds are played in it as long as they end green."""

    def __init__(self, redis_set: RedisSet, profile: DurabilityProfile) -> None:
        self.redis_set, self._profile = redis_set, profile
        self._master = redis_set.wait_master()
        self._marks: set[int] = set()

    def play(self, this: Round) -> Outcome:
        """One round: writers, faults and moves, everything undone, green, verdict. What breaks it off is a violation
        as well: before a round all is green, and after it all has to be."""
        timeline = Timeline(time.monotonic())
        try:
            return self._play(this, timeline)
        except (AssertionError, WorkloadError, *UNREACHABLE) as error:
            broken = f"broken off: {type(error).__name__}: {error}"
            return Outcome(this, [broken], timeline.lines(), {}, [])

    def _play(self, this: Round, timeline: Timeline) -> Outcome:
        self._master = self.redis_set.wait_master()
        with ExitStack() as stack:
            running = self._writers(stack)
            for each in running.values():
                each.wait_for_acks(STEADY_ACKS, within_s=20)
            began = timeline.began = time.monotonic()
            done = self._carry_out(this, timeline)
            green_s, wrong = self._wait_whole(this, timeline)
            silent = _silent(running)
            history = [op for each in running.values() for op in each.stop()]
        verdict = self._verdict(history, timeline)
        allowed = windows(done, self._profile)
        found = Findings(
            verdict=verdict,
            allowed=allowed,
            done=done,
            not_green=wrong,
            marks_expected=frozenset(self._marks),
            marks=self._read_marks() if verdict is not None else {},
            silent=silent,
        )
        bad = violations(found)
        for window in allowed:
            timeline.add(f"may be lost until {window.until - began:.2f} s: {window.why}", at=window.since)
        for op in (verdict.lost if verdict else ())[:20]:
            timeline.add(f"lost: {op.value}, acknowledged by {(op.node or '?')[:8]}", at=op.completed)
        for at, text in _terms(history):
            timeline.add(text, at=at)
        if not bad:
            self._leave_mark(this.number, history)
        figures = _figures(verdict, history, green_s=green_s, began=began)
        return Outcome(this, bad, timeline.lines(), figures, history)

    # -- parts of a round -------------------------------------------------------------------------------------

    def _writers(self, stack: ExitStack) -> dict[str, Writers]:
        tag = secrets.token_hex(2)
        running = {}
        for name, (kind, timeout_ms) in CLIENTS.items():
            each = self.redis_set.writers(
                kind, client=f"{name}-{tag}", interval_ms=INTERVAL_MS, timeout_ms=timeout_ms
            )
            stack.callback(each.kill)
            running[name] = each
        return running

    def _carry_out(self, this: Round, timeline: Timeline) -> list[Done]:
        """All steps at their times, and their undos; nothing is left in force."""
        done: list[Done] = []
        pending: list[tuple[float, int, Callable[[], None]]] = []  # when, which of `done`, undo
        steps = list(this.steps)
        try:
            while steps or pending:
                now = time.monotonic() - timeline.began
                due = [each for each in pending if each[0] <= now]
                if due:
                    pending.remove(due[0])
                    self._undo(due[0], done, timeline)
                elif steps and steps[0].at_s <= now:
                    self._begin(steps.pop(0), this, done, pending, timeline)
                else:
                    time.sleep(0.01)
        finally:
            for each in pending:
                with contextlib.suppress(LabError):
                    each[2]()
        return done

    def _begin(
        self,
        step: Step,
        this: Round,
        done: list[Done],
        pending: list[tuple[float, int, Callable[[], None]]],
        timeline: Timeline,
    ) -> None:
        with contextlib.suppress(*UNREACHABLE):
            self._master = self.redis_set.master() or self._master
        scene = hands.Scene(self.redis_set, self._master, this.number)
        began = time.monotonic()
        try:
            hit = step.choose(hands.candidates(scene, step.target))
            hits_master = hands.hits_master(scene, step, hit)
            began = time.monotonic()
            undo = hands.carry_out(scene, step, hit)
        except (LabError, KubectlFailed, ValueError) as error:
            # Two faults at once: the second one's victim may be gone already.
            timeline.add(f"{step.kind} {step.target} could not be done: {error}", at=began)
            return
        now = time.monotonic()
        lasting = f" for {step.for_s:g} s" if undo else ""
        what = f"{step.kind} {hit}{lasting}" + (" (hits the master)" if hits_master else "")
        timeline.add(what, at=began)
        done.append(Done(step.kind, step.target, hit, hits_master, began, now))
        if undo:
            pending.append((now - timeline.began + step.for_s, len(done) - 1, undo))

    def _undo(self, due: tuple[float, int, Callable[[], None]], done: list[Done], timeline: Timeline) -> None:
        _, index, undo = due
        undoing = time.monotonic()
        undo()
        each = replace(done[index], undoing=undoing, undone=time.monotonic())
        done[index] = each
        timeline.add(f"{each.kind} {each.hit} undone", at=undoing)

    def _wait_whole(self, this: Round, timeline: Timeline) -> tuple[float | None, list[str]]:
        """Green, and every move carried out: (after how long, what is wrong at the end)."""
        began = time.monotonic()
        rolls = any(step.kind == "rollout" for step in this.steps)
        within_s = GREEN_S + (NODE_S if this.has_node_fault else 0) + (ROLLOUT_S if rolls else 0)
        wrong: list[str] = []

        def whole() -> bool:
            wrong[:] = green.not_green(self.redis_set)
            wrong.extend(() if wrong else self._unfinished(this))
            return not wrong

        try:
            eventually(whole, within_s=within_s, describe="green", passing=UNREACHABLE, every_s=0.25)
        except AssertionError as error:
            timeline.add("not green: " + "; ".join(wrong), at=time.monotonic())
            return None, wrong or [str(error)]
        timeline.add("green", at=time.monotonic())
        return time.monotonic() - began, []

    def _unfinished(self, this: Round) -> list[str]:
        """Moves that were asked for and are not carried out."""
        kinds = {step.kind for step in this.steps if KINDS[step.kind].is_move}
        resource = self.redis_set.resource()
        annotations = resource["metadata"].get("annotations") or {}
        left = []
        if not spaces.is_led(self.redis_set.cluster, self.redis_set.namespace):
            left.append("no operator leads")
        if moves().switchover in annotations:
            left.append("the annotation that asks for a switchover is still there")
        if (resource["status"].get("intent") or {}) != {}:
            left.append(f"an intent is left: {resource['status']['intent']}")
        pods = self.redis_set.pods()
        if "rollout" in kinds:
            old = [
                name
                for name, pod in pods.items()
                if (pod["metadata"].get("annotations") or {}).get("chaos/round") != str(this.number)
            ]
            left += [f"{name} is not rolled" for name in old]
        data, sentinels = self.redis_set.members()
        extra = sorted(set(pods) - {*data, *sentinels})
        return left + [f"{name} is too many" for name in extra]

    def _verdict(self, history: list[Op], timeline: Timeline) -> Verdict | None:
        try:
            return self.redis_set.judge(history, within_s=60)
        except AssertionError as error:
            timeline.add(f"no verdict: {error}", at=time.monotonic())
            return None

    def _read_marks(self) -> dict[str, frozenset[int]]:
        return {
            pod: frozenset(int(each) for each in command(node, "SMEMBERS", MARKS))
            for pod, node in self.redis_set.nodes().items()
        }

    def _leave_mark(self, number: int, history: list[Op]) -> None:
        """What this round wrote goes, its mark stays: later rounds must not lose what earlier ones left."""
        master = self.redis_set.node(self.redis_set.wait_master())
        for client in sorted({op.client for op in history}):
            command(master, "DEL", f"workload:{client}")
        command(master, "SADD", MARKS, number)
        replicas = len(self.redis_set.data_pods()) - 1
        if command(master, "WAIT", replicas, 5000) < replicas:
            raise AssertionError(f"the mark of round {number} did not reach {replicas} replicas within 5 s")
        self._marks.add(number)


class Timeline:
    """What happened when, seconds since the round's beginning."""

    def __init__(self, began: float) -> None:
        self.began = began
        self._said: list[tuple[float, str]] = []

    def add(self, text: str, *, at: float) -> None:
        """One line."""
        self._said.append((at, text))

    def lines(self) -> list[str]:
        """In the order of time."""
        return [f"{at - self.began:8.2f} s  {text}" for at, text in sorted(self._said)]


@contextlib.contextmanager
def opened(cluster: Cluster, namespace: str, *, durability: str, image: str) -> Iterator[Arena]:
    """An operator (two replicas) and a set in an empty namespace, Ready and green."""
    spaces.install_operator(cluster, namespace, replicas=OPERATORS)
    redis_set = spaces.create(cluster, namespace, ready_within_s=120, durability=durability, image=image)
    try:
        green.wait_green(redis_set, within_s=60)
        yield Arena(redis_set, DURABILITY_PROFILES[Durability(durability)])
    finally:
        redis_set.close()


def _silent(running: dict[str, Writers]) -> list[str]:
    """Clients that are not served although all is green."""
    deadline, after = time.monotonic() + BACK_WITHIN_S, time.monotonic()
    waiting = set(running)
    while waiting and time.monotonic() < deadline:
        waiting = {
            name
            for name in waiting
            if sum(op.is_acked and op.invoked >= after for op in running[name].ops()) < STEADY_ACKS
        }
        time.sleep(0.05)
    return sorted(waiting)


def _terms(history: list[Op]) -> Iterator[tuple[float, str]]:
    """Which processes acknowledged, from when to when."""
    acks = [op for op in history if op.is_acked]
    for node in sorted({str(op.node) for op in acks}):
        times = [op.completed for op in acks if str(op.node) == node]
        yield min(times), f"{node[:8]} acknowledges the first of {len(times)} writes"
        yield max(times), f"{node[:8]} has acknowledged its last"


def _figures(verdict: Verdict | None, history: list[Op], *, green_s: float | None, began: float) -> Json:
    found: Json = {"green_s": None if green_s is None else round(green_s, 2)}
    for name in CLIENTS:
        own = [op for op in history if op.client.startswith(f"{name}-")]
        if own:
            found[f"outage_{name}_s"] = round(longest_gap(own, since=began).seconds, 3)
    if verdict is not None:
        found |= {
            "acked": verdict.acked,
            "failed": verdict.failed,
            "unknown": verdict.unknown,
            "lost": len(verdict.lost),
        }
    return found
