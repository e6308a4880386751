"""The only module that knows all the others: wires them together, runs them, and ends them in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import Any, cast

import kopf

from . import __version__, handlers, names, probes
from .assist import Assistant, Key, Seen
from .config import Config
from .errors import OperatorError
from .events import Recorder
from .failpoints import Failpoints
from .kube import Kube
from .lease import LOOK_EVERY_S, REQUEST_S, Elector, Neighbours, Placement, guard, identity_of
from .metrics import Metrics
from .reconcile import Reconciler
from .redisio import RedisIO
from .resources import POD
from .watch import Watcher
from .workqueue import WorkQueue

log = logging.getLogger("contex_operator")

OPERATOR_PODS = "app.kubernetes.io/name=contex-redis-operator"  # as the chart labels them
DRAIN_S = 10.0  # how long running reconciles may take to end before the Lease is given back


class App:
    """One operator process: it watches always, and acts while it holds the Lease."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stop = asyncio.Event()
        self._watching = asyncio.Event()
        self._known: set[Key] = set()
        self._wired: dict[Key, frozenset[str]] = {}
        self._master_nodes: dict[Key, str] = {}

    async def run(self) -> int:
        """Until SIGTERM or SIGINT. Returns the exit code: 1 where a part that must not end has ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with contextlib.AsyncExitStack() as stack:
            elector, neighbours = await self._election(stack)
            may_write = guard(elector, neighbours)
            kube = await stack.enter_async_context(await Kube.connect(may_write=may_write))
            self._kube = kube
            self._metrics = Metrics(version=__version__, is_leader=lambda: elector.is_leader)
            redis = RedisIO()
            stack.push_async_callback(redis.close)
            recorder = Recorder(kube, instance=self._config.pod)
            failpoints = Failpoints(self._config.failpoint)
            self._assistant = Assistant(kube, redis, failpoints=failpoints)
            reconciler = Reconciler(
                kube,
                redis,
                recorder,
                may_write=may_write,
                term=lambda: elector.term,
                on_seen=self._seen,
                assistant=self._assistant,
                failpoints=failpoints,
                metrics=self._metrics,
            )
            self._queue = WorkQueue(self._metrics.timed(reconciler))
            self._metrics.watch_queue(
                depth=lambda: self._queue.depth,
                oldest_wait_s=self._queue.oldest_wait_s,
                longest_run_s=self._queue.longest_run_s,
                is_watching=self._watching.is_set,
            )
            stack.push_async_callback(self._queue.close)
            self._watcher = Watcher(redis, self._queue.add, on_break=self._assistant.broke)
            stack.push_async_callback(self._watcher.close)
            runner = await probes.serve(
                self._config.port,
                longest_run_s=self._queue.longest_run_s,
                is_ready=self._watching.is_set,
                metrics=self._metrics.text,
            )
            stack.push_async_callback(runner.cleanup)
            return await self._until_stopped(elector, neighbours)

    async def _election(self, stack: contextlib.AsyncExitStack) -> tuple[Elector, Neighbours | None]:
        config = self._config
        lease_api = await stack.enter_async_context(await Kube.connect(deadline_s=REQUEST_S))
        elector = Elector(
            lease_api,
            namespace=config.namespace,
            identity=identity_of(config.pod),
            scope=names.SCOPE_CLUSTER if config.is_cluster_wide else names.SCOPE_NAMESPACE,
            on_acquired=self._took_over,
            on_lost=self._stepped_down,
        )
        if not config.is_cluster_wide:
            return elector, None
        return elector, Neighbours(lease_api, namespace=config.namespace)

    async def _until_stopped(self, elector: Elector, neighbours: Neighbours | None) -> int:
        """Run the long-lived parts; the end of one of them ends the process, so that Kubernetes starts it anew."""
        if neighbours is not None:
            await neighbours.wait_until_alone(self._stop)
        lease_stop = asyncio.Event()
        lease = asyncio.create_task(elector.run(lease_stop), name="lease")
        parts = [asyncio.create_task(self._inform(), name="watching"), lease]
        if neighbours is not None:
            look = neighbours.run(lease_stop, elector=elector)
            parts.append(asyncio.create_task(look, name="neighbours"))
        if self._config.node:
            parts.append(asyncio.create_task(self._place(elector, lease_stop), name="placement"))
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait({*parts, stopped}, return_when=asyncio.FIRST_COMPLETED)
        failed = [] if self._stop.is_set() else [task for task in parts if task.done()]
        for task in failed:
            log.error("%s has ended: %s", task.get_name(), _reason(task))
        # Order: nothing new is begun, what runs is ended, and only then may a standby begin.
        self._stop.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._queue.drain()
        lease_stop.set()
        await asyncio.wait({lease})
        await elector.release()
        await asyncio.gather(*parts, return_exceptions=True)
        stopped.cancel()
        return 1 if failed else 0

    async def _place(self, elector: Elector, stop: asyncio.Event) -> None:
        """Hand the Lease over where the leader sits beside a master; never while a move is under way."""
        placement = Placement(
            own_node=self._config.node,
            own_pod=self._config.pod,
            pods=lambda: self._kube.list(POD, self._config.namespace, labels=OPERATOR_PODS),
            masters=lambda: tuple(self._master_nodes.values()),
            step_aside=lambda: elector.step_aside(when=self._is_idle),
        )
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await stop.wait()
            if elector.is_leader and self._is_idle():
                try:
                    await placement.look()
                except OperatorError as error:
                    log.debug("placement: %s", error)

    def _is_idle(self) -> bool:
        """Nothing is being reconciled just now: the Lease can go without breaking off a move."""
        return not self._queue.longest_run_s()

    async def _inform(self) -> None:
        registry = kopf.OperatorRegistry()
        handlers.register(registry, enqueue=self._enqueue, deployment_changed=self._deployment_changed)
        namespace = self._config.watch_namespace
        await kopf.operator(
            registry=registry,
            settings=handlers.settings(),
            # Without it kopf asks for the name of the user, which an arbitrary uid in a container does not have.
            identity=cast("Any", self._config.pod),
            standalone=True,
            clusterwide=namespace is None,
            namespaces=[namespace] if namespace else [],
            stop_flag=self._stop,
            ready_flag=self._watching,
        )

    def _enqueue(self, key: Key) -> None:
        self._known.add(key)
        self._queue.add(key)

    def _took_over(self) -> None:
        self._metrics.clear()
        for key in self._known:
            self._queue.add(key)

    def _stepped_down(self, _why: str) -> None:
        self._metrics.clear()

    def _deployment_changed(self, namespace: str, name: str) -> None:
        for key, wired in self._wired.items():
            if key[0] == namespace and name in wired:
                self._queue.add(key)

    def _seen(self, key: Key, seen: Seen | None) -> None:
        self._watcher.seen(key, seen)
        self._assistant.seen(key, seen)
        if seen is None or seen.master_node is None:
            self._master_nodes.pop(key, None)
        else:
            self._master_nodes[key] = seen.master_node
        if seen is None:
            self._known.discard(key)
            self._wired.pop(key, None)
        else:
            self._wired[key] = frozenset(d.name for d in seen.spec.contex.deployments)


def _reason(task: asyncio.Task[None]) -> str:
    error = None if task.cancelled() else task.exception()
    return str(error) if error is not None else "without a reason"


async def run(config: Config) -> int:
    """The operator's whole life; returns its exit code."""
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)-7s %(name)s %(message)s")
    logging.getLogger("kopf").setLevel(logging.WARNING)
    scope = "all namespaces" if config.is_cluster_wide else f"namespace {config.watch_namespace}"
    log.info("contex-redis-operator %s for %s", __version__, scope)
    try:
        return await App(config).run()
    except OperatorError as error:
        log.error("%s", error)
        return 1
