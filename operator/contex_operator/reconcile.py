"""One reconcile, the same for create, change, restart and failover: observe, judge, plan, execute, tell.

Called by the work queue with a key; answers when to look again. It remembers nothing: all state is in the cluster.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from .assist import Assistant, Key, Seen
from .children import in_force, wanted_names
from .conditions import ready_verdict
from .errors import ConfigRefused, KubeError, LeaseLost, NameTaken, OperatorError, SpecError
from .events import Recorder
from .execute import Executor
from .failpoints import Failpoints
from .handover import crash_of
from .kube import Kube
from .metrics import Metrics
from .model import Object, Observed
from .moves.step import Outcome
from .names import Reason
from .observe import observe, passwords
from .plan import SETTLED_S, SOON_S, WAITING_S, plan
from .redisio import RedisIO
from .render import Identity
from .resources import CONTEX_REDIS
from .spec import parse
from .status import Status, change, compute, invalid
from .topology import Topology, judge
from .transitions import Transition, moves, transitions

log = logging.getLogger(__name__)

NOW_S: Final = 0.0
_FOR_A_PERSON: Final = (400, 403, 422)


def _key(resource: Object) -> Key:
    metadata = resource["metadata"]
    return str(metadata["namespace"]), str(metadata["name"])


def _node_of_master(observed: Observed, topology: Topology) -> str | None:
    pod = observed.pod(topology.master.pod) if topology.master is not None else None
    return pod.node if pod is not None else None


class Reconciler:
    """`may_write(namespace)` raises LeaseLost; `term` numbers the times in office; `on_seen` hears every snapshot.

    `assistant` goes first where there is a hint of a crash.
    """

    def __init__(
        self,
        kube: Kube,
        redis: RedisIO,
        recorder: Recorder,
        *,
        may_write: Callable[[str], None],
        term: Callable[[], int],
        on_seen: Callable[[Key, Seen | None], None],
        assistant: Assistant,
        failpoints: Failpoints,
        metrics: Metrics,
    ) -> None:
        self._kube, self._redis, self._recorder, self._metrics = kube, redis, recorder, metrics
        self._may_write, self._term, self._on_seen = may_write, term, on_seen
        self._assistant, self._failpoints = assistant, failpoints

    async def __call__(self, key: Key) -> float | None:
        """Reconcile one resource. Returns seconds until the next look, None where there is nothing to look after."""
        resource: Object | None = await self._kube.get(CONTEX_REDIS, *key)
        if resource is None or "deletionTimestamp" in resource["metadata"]:
            self._on_seen(key, None)
            self._metrics.forget(key)
            return None
        try:
            self._may_write(key[0])
        except LeaseLost:
            self._metrics.forget(key)
            return None  # the standby looks on; taking over enqueues every key
        try:
            term = self._term()
            if await self._assistant(key, resource, term=term, may_write=self._in_term(term)):
                resource = await self._after_move(resource)
            return await self._reconcile(key, resource)
        except SpecError as error:
            return await self._refuse(resource, reason="Invalid", message=str(error))
        except NameTaken as error:
            await self._refuse(resource, reason="NameTaken", message=str(error))
            return WAITING_S * 10  # the other object may go

    async def _reconcile(self, key: Key, resource: Object) -> float:
        began = self._term()
        spec = parse(resource)
        who = Identity(namespace=key[0], name=key[1], uid=resource["metadata"]["uid"])
        wanted = wanted_names(who, spec)
        observed = await observe(
            self._kube, self._redis, resource=resource, spec=spec, wanted=wanted, now=time.time()
        )
        running = in_force(who, spec, observed.objects, status=observed.status)
        topology = judge(observed, sentinels=running.sentinel_pod_count)
        secret = passwords(spec, observed.objects.get(("Secret", who.children.auth_active)))
        sentinels = tuple(node.address for node in observed.sentinels if node.address)
        self._on_seen(
            key,
            Seen(
                spec=spec,
                topology=topology,
                sentinels=sentinels,
                password=secret[0],
                sentinel_password=secret[1],
                crash=crash_of(running, observed, topology),
                service=observed.objects.get(("Service", who.children.master)),
                term=began,
                replicas=tuple(n.address for n in observed.data if n.address and n is not topology.master),
                master_node=_node_of_master(observed, topology),
            ),
        )
        self._metrics.saw(key, spec=running, observed=observed, topology=topology)
        is_ready = bool(ready_verdict(running, observed, topology).status)
        fresh = (secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        decided = plan(spec, observed, topology, is_ready=is_ready, fresh=fresh)
        executor = Executor(
            self._kube,
            self._redis,
            spec=running,
            observed=observed,
            passwords=secret,
            may_write=self._in_term(began),
            failpoints=self._failpoints,
        )
        again = decided.again_s
        try:
            await executor.run(decided.actions)
        except NameTaken:
            raise
        except OperatorError as error:
            log.warning("%s/%s: %s", *key, error)
            self._metrics.failed(key)
            again = SOON_S
            if isinstance(error, ConfigRefused):
                decided = replace(decided, blocked=("ConfigRefused", str(error)))
                again = WAITING_S * 10
            if isinstance(error, KubeError) and error.status in _FOR_A_PERSON:
                # An object that the API refuses (a priority class that does not exist, a missing right) stays
                # refused until somebody mends it.
                decided = replace(decided, blocked=("RefusedByApi", str(error)))
                again = WAITING_S * 10
        if executor.outcomes:
            return await self._tell(resource, executor.outcomes)
        await self._report(resource, compute(running, observed, topology, decided))
        return again

    def _in_term(self, began: int) -> Callable[[str], None]:
        """What was decided in one term in office is not carried out in a later one: another may have led between."""

        def may_write(namespace: str) -> None:
            if self._term() != began:
                raise LeaseLost(
                    f"the Lease was lost since this was decided (term {began}, now {self._term()})"
                )
            self._may_write(namespace)

        return may_write

    async def _tell(self, resource: Object, outcomes: Sequence[Outcome]) -> float:
        """A move has made this snapshot a thing of the past: only what failed is told, and all is looked at anew."""
        await self._after_move(resource)
        for outcome in outcomes:
            if not outcome.moved:
                event = Transition(reason=outcome.reason, message=outcome.sentence, is_warning=True)
                self._metrics.did_not_move(
                    _key(resource), refused=outcome.reason == Reason.SWITCHOVER_REFUSED
                )
                await self._recorder.record(resource, event)
        return NOW_S if all(outcome.moved for outcome in outcomes) else WAITING_S

    async def _after_move(self, before: Object) -> Object:
        """The resource as a move has left it, which writes its own end into the status; the event for that."""
        metadata = before["metadata"]
        after = await self._kube.get(CONTEX_REDIS, metadata["namespace"], metadata["name"])
        if after is None:
            return before
        old, new = before.get("status") or {}, after.get("status") or {}
        self._metrics.told(_key(after), old, new)
        for event in moves(old, new):
            await self._recorder.record(after, event)
        return after

    async def _report(self, resource: Object, status: Status) -> None:
        """Write the status where it differs, and an event for each transition in it."""
        old = resource.get("status") or {}
        patch = change(old, status)
        if not patch:
            return
        key = _key(resource)
        await self._kube.merge_patch(CONTEX_REDIS, *key, {"status": patch}, subresource="status")
        self._metrics.told(key, old, status)
        for event in transitions(old, status):
            await self._recorder.record(resource, event)

    async def _refuse(self, resource: Object, *, reason: str, message: str) -> float:
        status = invalid(resource, now=time.time(), reason=reason, message=message)
        await self._report(resource, status)
        return SETTLED_S * 4
