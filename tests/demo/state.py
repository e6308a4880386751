"""What the cluster looks like at a moment, as the watches tell it. Parsing of their lines is pure."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import Final

from tests.demo.report import Event

# What the watches print: one line for each event (kubectl's jsonpath; it aligns
# tabs, so the fields are separated by bars).
_READY: Final = '{.object.status.conditions[?(@.type=="Ready")].status}'
POD_LINE: Final = (
    "{.type}|{.object.metadata.name}|{.object.spec.nodeName}|{.object.status.podIP}|"
    + _READY
    + "|{.object.status.containerStatuses[0].restartCount}|{.object.status.phase}|"
    '{.object.metadata.labels.app\\.kubernetes\\.io/name}{"\\n"}'
)
RESOURCE_LINE: Final = (
    "{.object.status.phase}|" + _READY + "|{.object.status.master.pod}|{.object.metadata.generation}|"
    '{.object.status.observedGeneration}{"\\n"}'
)
SERVICE_LINE: Final = '{.object.spec.selector.statefulset\\.kubernetes\\.io/pod-name}{"\\n"}'
NODE_LINE: Final = "{.object.metadata.name}|" + _READY + '{"\\n"}'


@dataclass(frozen=True)
class Pod:
    """One pod of the release."""

    name: str
    node: str
    address: str
    is_ready: bool
    restarts: int
    app: str  # app.kubernetes.io/name


@dataclass(frozen=True)
class Resource:
    """The ContexRedis."""

    phase: str = ""
    is_ready: bool = False
    master: str = ""


@dataclass(frozen=True)
class Snapshot:
    """All of it at one moment."""

    pods: dict[str, Pod] = field(default_factory=dict)
    nodes: dict[str, bool] = field(default_factory=dict)  # ready?
    resource: Resource = field(default_factory=Resource)
    service: str = ""  # the pod that the master Service leads to

    def not_green(self) -> list[str]:
        """What keeps the API's picture from being green; empty when all nodes, pods and the ContexRedis are
        Ready.
        """
        found = [f"{name} is not Ready" for name, ready in sorted(self.nodes.items()) if not ready]
        found += [f"{pod.name} is not Ready" for _, pod in sorted(self.pods.items()) if not pod.is_ready]
        if not self.resource.is_ready:
            found.append(f"the ContexRedis is not Ready ({self.resource.phase or 'no status yet'})")
        return found


def parse_pod(line: str) -> tuple[str, Pod | None]:
    """(name, pod) of a line of the pods' watch; None when it is gone or has done its work."""
    kind, name, node, address, ready, restarts, phase, app = _fields(line, 8)
    if kind == "DELETED" or phase == "Succeeded":
        return name, None
    return name, Pod(name, node, address, ready == "True", int(restarts or 0), app)


def parse_resource(line: str) -> Resource:
    """The ContexRedis of a line of its watch; Ready counts only for the present generation."""
    phase, ready, master, generation, observed = _fields(line, 5)
    return Resource(phase, ready == "True" and generation == observed, master)


def parse_node(line: str) -> tuple[str, bool]:
    """(name, is it ready) of a line of the nodes' watch."""
    name, ready = _fields(line, 2)
    return name, ready == "True"


def _fields(line: str, count: int) -> list[str]:
    fields = line.rstrip("\n").split("|")
    if len(fields) != count:
        raise ValueError(f"a watch printed {len(fields)} fields instead of {count}: {line!r}")
    return fields


class State:
    """The latest snapshot and everything that changed, fed by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._events: list[Event] = []
        self._failure: Exception | None = None

    def snapshot(self) -> Snapshot:
        """The latest. Raises what a watch has failed with: there is no picture without it."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            return self._snapshot

    def fail(self, error: Exception) -> None:
        """A watch has failed for good."""
        with self._lock:
            self._failure = error

    def events(self, *, since: float) -> list[Event]:
        """What happened from an instant on."""
        with self._lock:
            return [event for event in self._events if event.at >= since]

    def say(self, text: str, *, by: str) -> None:
        """Add what somebody else saw."""
        with self._lock:
            self._events.append(Event(time.monotonic(), text, by))

    def pod_line(self, line: str) -> None:
        """A line of the pods' watch."""
        name, pod = parse_pod(line)
        with self._lock:
            before = self._snapshot.pods.get(name)
            pods = {k: v for k, v in self._snapshot.pods.items() if k != name}
            if pod is not None:
                pods[name] = pod
            self._change(replace(self._snapshot, pods=pods), said_of_pod(before, pod))

    def node_line(self, line: str) -> None:
        """A line of the nodes' watch."""
        name, ready = parse_node(line)
        with self._lock:
            before = self._snapshot.nodes.get(name, ready)
            text = None if before == ready else f"node {name} is {'Ready' if ready else 'NotReady'}"
            self._change(replace(self._snapshot, nodes=self._snapshot.nodes | {name: ready}), text)

    def resource_line(self, line: str) -> None:
        """A line of the ContexRedis' watch."""
        now = parse_resource(line)
        with self._lock:
            before = self._snapshot.resource
            text = f"ContexRedis: {now.phase}, master {now.master or 'unknown'}" if now != before else None
            self._change(replace(self._snapshot, resource=now), text)

    def service_line(self, line: str) -> None:
        """A line of the master Service's watch."""
        pod = line.strip()
        with self._lock:
            text = None if pod == self._snapshot.service else f"the master Service leads to {pod or 'nobody'}"
            self._change(replace(self._snapshot, service=pod), text)

    def _change(self, snapshot: Snapshot, text: str | None) -> None:
        self._snapshot = snapshot
        if text:
            self._events.append(Event(time.monotonic(), text))


def said_of_pod(before: Pod | None, after: Pod | None) -> str | None:
    """The one thing worth a line about a pod's change, or None."""
    if before is None or after is None:
        return None
    if after.restarts > before.restarts:
        return f"{after.name} was started again by its kubelet"
    if after.is_ready != before.is_ready:
        return f"{after.name} is {'Ready' if after.is_ready else 'not Ready'}"
    return None
