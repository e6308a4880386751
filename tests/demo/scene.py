"""One fault: writers through each Contex pod, the fault, what happened when, and what the data say
afterwards.

The outage of Redis is measured through Contex pods that live: one writer for each pod's own address, with a
deadline of one second, and the longest gap that the slowest of them saw. A Contex pod that dies with its
node answers nobody, whatever Redis does; its writer is reported beside, and its acknowledged writes are
looked for like all others.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from tests.demo import data, report
from tests.demo.install import Installation
from tests.demo.state import Pod, Snapshot, State
from tests.demo.target import DemoError, Target
from tests.workload.checker import Gap, check
from tests.workload.history import Op
from tests.workload.process import WorkloadError, Writers
from tests.workload.writers import project_stream

CONTEX_APP: Final = "contex"
INTERVAL_MS: Final = 20
TIMEOUT_MS: Final = 1000
_STEADY_S: Final = 2.0
_BACK_WITHIN_S: Final = 60.0
_GREEN_WITHIN_S: Final = 180.0


@dataclass(frozen=True)
class Result:
    """What one scene gives to be shown."""

    figures: report.Figures
    timeline: list[str]


class Stage:
    """Where scenes are played, one after the other."""

    def __init__(
        self, target: Target, installation: Installation, state: State, *, status: Callable[[str], None]
    ) -> None:
        self._target, self._installed, self._state, self._status = target, installation, state, status

    # -- the scenes -----------------------------------------------------------------------------------------

    def kill_master(self) -> Result:
        """SIGKILL to the master's redis-server."""
        before = self.master()
        pod = self._state.snapshot().pods[before]
        with self._writing() as writing:
            self._target.kill_redis(self._installed.namespace, before)
            began = time.monotonic()
            done = report.Event(began, f"SIGKILL to the Redis server in {before} on {pod.node}")

            def restarted(now: Snapshot) -> bool:
                return before in now.pods and now.pods[before].restarts > pod.restarts

            self._wait_for_writes(writing, since=began, through=set(writing.pods))
            green = self._wait_green(since=began, only_when=restarted)
            return self._conclude(
                writing,
                title=f"redis-server of {before} killed",
                done=done,
                before=before,
                green=green,
                bound=report.Bound(self._installed.down_after_s, 2.0),
            )

    def power_off(self) -> tuple[Result, str]:
        """The node with the master dies; returns its name, too. When that cannot be shown, it is powered on
        again.
        """
        before = self.master()
        node = self._state.snapshot().pods[before].node
        try:
            return self._power_off(node, before=before), node
        except BaseException:
            self._target.power_on(node)
            raise

    def _power_off(self, node: str, *, before: str) -> Result:
        with self._writing() as writing:
            self._target.power_off(node)
            began = time.monotonic()
            done = report.Event(began, f"{node} is powered off, and {before} with it")
            self._wait_for_writes(writing, since=began, through=self._living(writing, without=node))
            self._wait(
                lambda now: (
                    not now.nodes.get(node, True)
                    and all(not pod.is_ready for pod in now.pods.values() if pod.node == node)
                ),
                within_s=_BACK_WITHIN_S,
                what=f"the cluster notices that {node} is gone",
            )
            return self._conclude(
                writing,
                title=f"{node} powered off",
                done=done,
                before=before,
                green=None,
                green_note=f"not before {node} is back",
                bound=report.Bound(self._installed.down_after_s, 3.5),
                without=node,
            )

    def power_on(self, node: str) -> Result:
        """The node comes back."""
        before = self.master()
        with self._writing() as writing:
            began = time.monotonic()
            self._target.power_on(node)
            done = report.Event(began, f"{node} is powered on")
            green = self._wait_green(since=began, only_when=lambda now: now.nodes.get(node, False))
            return self._conclude(
                writing, title=f"{node} powered on", done=done, before=before, green=green, bound=None
            )

    def master(self) -> str:
        """The pod that the ContexRedis calls master. Raises DemoError when there is none."""
        name = self._state.snapshot().resource.master
        if name not in self._state.snapshot().pods:
            raise DemoError(f"the ContexRedis names no master that runs (it says {name or 'nothing'!r})")
        return name

    # -- writers --------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[_Writing]:
        """One writer for each Ready Contex pod, all of them steady when the context is entered."""
        project = f"demo-{secrets.token_hex(3)}"
        pods = [p for p in self._state.snapshot().pods.values() if p.app == CONTEX_APP and p.is_ready]
        if not pods:
            raise DemoError("no Contex pod is Ready: nothing can be written through it")
        with ExitStack() as stack:
            writers = {}
            for pod in pods:
                url = stack.enter_context(self._target.contex_url(self._installed.namespace, pod))
                pace = ("--interval-ms", str(INTERVAL_MS), "--timeout-ms", str(TIMEOUT_MS))
                words = (
                    "--client",
                    f"{project}-{pod.name}",
                    *pace,
                    "http",
                    "--url",
                    url,
                    "--project",
                    project,
                )
                started = Writers(words, wrap=self._target.wrap)
                stack.callback(started.kill)
                writers[pod.name] = started
            writing = _Writing(project, {pod.name: pod for pod in pods}, writers)
            self._status("writing through " + ", ".join(writers))
            began = time.monotonic()
            for writer in writers.values():
                writer.wait_for_acks(5, within_s=20)
            self._hold(writing, since=began, seconds=_STEADY_S)
            yield writing

    def _living(self, writing: _Writing, *, without: str | None) -> set[str]:
        return {name for name, pod in writing.pods.items() if pod.node != without}

    def _wait_for_writes(self, writing: _Writing, *, since: float, through: set[str]) -> None:
        """Until writes that were begun after the fault are acknowledged through each of these Contex pods."""
        self._status("waiting for Contex to write again")
        for name in sorted(through):
            try:
                writing.writers[name].wait_for_acks(10, within_s=_BACK_WITHIN_S, after=since)
            except WorkloadError as error:
                raise DemoError(f"Contex does not write again through {name}: {error}") from error

    def _hold(self, writing: _Writing, *, since: float, seconds: float) -> None:
        """Let the writers run on; raises DemoError when one of them has died."""
        while time.monotonic() - since < seconds:
            for writer in writing.writers.values():
                writer.ops()
            time.sleep(0.1)

    # -- waiting --------------------------------------------------------------------------------------------

    def _wait(self, holds: Callable[[Snapshot], bool], *, within_s: float, what: str) -> None:
        deadline = time.monotonic() + within_s
        while not holds(self._state.snapshot()):
            if time.monotonic() > deadline:
                raise DemoError(f"not within {within_s:g} s: {what}")
            self._status(f"waiting until {what}")
            time.sleep(0.1)

    def _wait_green(self, *, since: float, only_when: Callable[[Snapshot], bool]) -> float:
        """Seconds from `since` until all nodes, pods and the ContexRedis are Ready and all links up.

        `only_when` must have come true before: right after a fault everything still looks green.
        """
        deadline = time.monotonic() + _GREEN_WITHIN_S
        while True:
            now = self._state.snapshot()
            missing = now.not_green() if only_when(now) else ["the cluster has not noticed yet"]
            if not missing:
                passed = time.monotonic() - since
                if data.links_are_up(self._target, self._installed.namespace, self._installed.data_pods):
                    return passed
                missing = ["a replica's link is not up"]
            if time.monotonic() > deadline:
                raise DemoError(f"not green within {_GREEN_WITHIN_S:g} s: {'; '.join(missing)}")
            self._status(f"{time.monotonic() - since:4.0f} s, waiting for green: {', '.join(missing)}")
            time.sleep(0.1)

    # -- the end --------------------------------------------------------------------------------------------

    def _conclude(
        self,
        writing: _Writing,
        *,
        title: str,
        done: report.Event,
        before: str,
        green: float | None,
        bound: report.Bound | None,
        green_note: str = "",
        without: str | None = None,
    ) -> Result:
        """Let it run on a moment, end the writers, read the data, judge."""
        self._hold(writing, since=time.monotonic(), seconds=_STEADY_S)
        histories = {name: writer.stop() for name, writer in writing.writers.items()}
        living = self._living(writing, without=without)
        self._status("reading what the Redis pods hold")
        pods = self._state.snapshot().pods
        readable = [name for name in self._installed.data_pods if name in pods and pods[name].node != without]
        master, held = data.read(
            self._target, self._installed.namespace, readable, stream=project_stream(writing.project)
        )
        everything = [op for ops in histories.values() for op in ops]
        slowest, gap = report.slowest_gap({name: histories[name] for name in living})
        figures = report.Figures(
            title=title,
            gap=gap,
            slowest=slowest,
            counts=report.count([op for name in living for op in histories[name]]),
            verdict=check(everything, data=held, master=master),
            master_before=before,
            master_after=master,
            green_after_s=green,
            green_note=green_note,
            bound=bound,
            dead={name: report.count(ops) for name, ops in histories.items() if name not in living},
            read_from=readable,
        )
        events = [done, *self._state.events(since=done.at), *_writes(histories, gap, slowest, green, done.at)]
        return Result(figures, report.timeline(events, since=done.at))


@dataclass(frozen=True)
class _Writing:
    """The writers of one scene, by Contex pod."""

    project: str
    pods: Mapping[str, Pod]
    writers: Mapping[str, Writers]


def _writes(
    histories: Mapping[str, list[Op]], gap: Gap, slowest: str, green: float | None, began: float
) -> list[report.Event]:
    """What the writers have to say for the timeline."""
    events = []
    if gap.seconds > 0.5:
        events += [
            report.Event(gap.since, f"the last write through {slowest} is acknowledged"),
            report.Event(gap.until, f"writes through {slowest} are acknowledged again ({gap.seconds:.2f} s)"),
        ]
    if green is not None:
        events.append(report.Event(began + green, "everything is green: pods, links, ContexRedis"))
    return events
