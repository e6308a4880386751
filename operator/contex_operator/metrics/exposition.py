"""Metrics: what is counted as it happens, the last look at each resource, and the text that Prometheus reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from prometheus_client import Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import Counter, MetricWrapperBase
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from ..model import Observed
from ..moves.failover import REASON as ASSISTED
from ..moves.switchover import REASON as SWITCHOVER
from ..spec import Spec
from ..topology import Topology
from .definitions import RESOURCE, Definition, Look
from .members import DATA, SENTINELS
from .resources import RESOURCES

Key = tuple[str, str]  # namespace, name

FAILOVERS: Final = (ASSISTED, "SentinelFailover", "ColdStart")  # reasons in status.lastFailover
RESULTS: Final = ("moved", "not_moved", "refused")
_MOVE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_RUN_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# When a series began is nothing that anybody asks for here, and each would be one series more.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one operator process. All but `text` is called from the event loop and takes microseconds."""

    def __init__(self, *, version: str, is_leader: Callable[[], bool]) -> None:
        self._is_leader = is_leader
        self._looks: dict[Key, Look] = {}
        self._reconciled: dict[Key, float] = {}  # seconds since the epoch
        self._sampled: list[tuple[Gauge, Callable[[], float]]] = []
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._of_operator(version)
        self._of_resources()
        self._registry.register(_OfResources(self._families))

    def _of_operator(self, version: str) -> None:
        build = self._gauge("build_info", "The version that runs; always 1.", "version")
        build.labels(version).set(1)
        self._sample(
            "lease_held",
            "1 in the process that holds the Lease and may act, 0 in a standby.",
            self._is_leader,
        )
        self._sample(
            "resources",
            "Resources that this process looks after.",
            lambda: len(self._looks) if self._is_leader() else 0,
        )
        self._runs = Histogram(
            "contexredis_operator_reconcile_duration_seconds",
            "How long a reconcile took, whatever came of it.",
            buckets=_RUN_BUCKETS,
            registry=self._registry,
        )

    def _of_resources(self) -> None:
        """What is counted of a resource. In no registry: only the leader tells it."""
        self._errors = Counter(
            "contexredis_operator_reconcile_errors",
            "Reconciles in which something failed; the log says what.",
            RESOURCE,
            registry=None,
        )
        self._failovers = Counter(
            "contexredis_failovers",
            "Moves of the master that nobody had planned, by whose doing they were.",
            (*RESOURCE, "reason"),
            registry=None,
        )
        self._failover_durations = Histogram(
            "contexredis_failover_duration_seconds",
            "How long nobody could write in an unplanned move, as far as the operator can tell.",
            (*RESOURCE, "reason"),
            buckets=_MOVE_BUCKETS,
            registry=None,
        )
        self._switchovers = Counter(
            "contexredis_switchovers",
            "Planned moves of the master, by what came of them.",
            (*RESOURCE, "result"),
            registry=None,
        )
        self._switchover_durations = Histogram(
            "contexredis_switchover_duration_seconds",
            "How long nobody could write in a planned move.",
            RESOURCE,
            buckets=_MOVE_BUCKETS,
            registry=None,
        )

    @property
    def _counted(self) -> tuple[MetricWrapperBase, ...]:
        return (
            self._errors,
            self._failovers,
            self._failover_durations,
            self._switchovers,
            self._switchover_durations,
        )

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(f"contexredis_operator_{name}", help, labels, registry=self._registry)

    def _sample(self, name: str, help: str, read: Callable[[], float]) -> None:
        """A gauge that is read whenever Prometheus asks."""
        self._sampled.append((self._gauge(name, help), read))

    def watch_queue(
        self,
        *,
        depth: Callable[[], int],
        oldest_wait_s: Callable[[], float],
        longest_run_s: Callable[[], float],
        is_watching: Callable[[], bool],
    ) -> None:
        """Tell of the work queue and the informers, whenever Prometheus asks."""
        told: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("queue_depth", "Resources that wait for a reconcile that was asked for.", depth),
            ("queue_oldest_wait_seconds", "How long the first of them has waited.", oldest_wait_s),
            ("longest_run_seconds", "How long the longest reconcile under way has taken.", longest_run_s),
            ("watching", "1 once the watches of the Kubernetes API have been opened.", is_watching),
        )
        for name, help, read in told:
            self._sample(name, help, read)

    def timed(
        self, work: Callable[[Key], Awaitable[float | None]]
    ) -> Callable[[Key], Awaitable[float | None]]:
        """`work`, with its durations and failures counted while this process leads."""

        async def run(key: Key) -> float | None:
            began = time.monotonic()
            try:
                again = await work(key)
                if again is not None:
                    self._reconciled[key] = time.time()
                return again
            except Exception:
                self.failed(key)
                raise
            finally:
                if self._is_leader():
                    self._runs.observe(time.monotonic() - began)

        return run

    # -- what a reconcile tells -----------------------------------------------------------------------------

    def saw(self, key: Key, *, spec: Spec, observed: Observed, topology: Topology) -> None:
        """What was observed, before anything is done about it."""
        if key not in self._looks:
            self._begin(key)
        self._looks[key] = Look(spec=spec, observed=observed, topology=topology, status=observed.status)

    def told(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """The status has been written: what it says now, and a move of the master where it tells of one."""
        look = self._looks.get(key)
        if look is not None:
            self._looks[key] = replace(look, status=after)
        moved = after.get("lastFailover")
        if moved and moved != before.get("lastFailover"):
            self._moved(key, moved)

    def _moved(self, key: Key, moved: Mapping[str, Any]) -> None:
        reason, milliseconds = str(moved.get("reason")), moved.get("milliseconds")
        if reason == SWITCHOVER:
            self._switchovers.labels(*key, "moved").inc()
            durations = self._switchover_durations.labels(*key)
        else:
            self._failovers.labels(*key, reason).inc()
            durations = self._failover_durations.labels(*key, reason)
        if milliseconds is not None:
            durations.observe(milliseconds / 1000)

    def did_not_move(self, key: Key, *, refused: bool) -> None:
        """A planned move has not been made: refused before it began, or given up."""
        self._switchovers.labels(*key, "refused" if refused else "not_moved").inc()

    def failed(self, key: Key) -> None:
        """Something in a reconcile went wrong."""
        if self._is_leader():
            self._errors.labels(*key).inc()

    def forget(self, key: Key) -> None:
        """The resource is gone, or somebody else's."""
        self._looks.pop(key, None)
        self._reconciled.pop(key, None)
        labels = dict(zip(RESOURCE, key, strict=True))
        for metric in self._counted:
            metric.remove_by_labels(labels)

    def clear(self) -> None:
        """A time in office begins or ends: what was seen in an earlier one is not told in a later one."""
        self._looks.clear()
        self._reconciled.clear()
        for metric in self._counted:
            metric.clear()

    def _begin(self, key: Key) -> None:
        """A counter that is born with its first event hides it from `increase()`: each begins at 0."""
        self._errors.labels(*key)
        self._switchover_durations.labels(*key)
        for reason in FAILOVERS:
            self._failovers.labels(*key, reason)
            self._failover_durations.labels(*key, reason)
        for result in RESULTS:
            self._switchovers.labels(*key, result)

    # -- what Prometheus reads ------------------------------------------------------------------------------

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The exposition in the format that the header Accept asks for, and its content type."""
        for gauge, read in self._sampled:  # here and not in the thread, beside which the queue would change
            gauge.set(read())
        encode, content_type = choose_encoder(accept)
        return await asyncio.to_thread(encode, self._registry), content_type

    def _families(self) -> Iterable[Metric]:
        if not self._is_leader():
            return
        looks = dict(self._looks)
        for definition in (*RESOURCES, *DATA, *SENTINELS):
            yield _family(definition, looks)
        yield self._last_reconciles()
        for metric in self._counted:
            yield from metric.collect()

    def _last_reconciles(self) -> Metric:
        family = GaugeMetricFamily(
            "contexredis_last_reconcile_timestamp_seconds",
            "When a reconcile ended last without an error, whether or not the spec could be carried out.",
            labels=RESOURCE,
        )
        for key, at in dict(self._reconciled).items():
            family.add_metric(key, at)
        return family


class _OfResources(Collector):
    """The series that come and go with resources and with the Lease."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()

    def describe(self) -> Iterable[Metric]:
        """Nothing is claimed beforehand: the names are known to be different."""
        return ()


def _family(definition: Definition, looks: Mapping[Key, Look]) -> Metric:
    labels = (*RESOURCE, *definition.labels)
    make = CounterMetricFamily if definition.is_counter else GaugeMetricFamily
    family = make(definition.name, definition.help, labels=labels)
    for key, look in looks.items():
        for own, value in definition.points(look):
            family.add_metric([*key, *own], value)
    return family
