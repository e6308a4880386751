"""Hands for moves: carries out what a move yields, step by step, and tells it what came of each.

The deeds of a step are done at the same time, over connections that this move alone uses; where a step has enough
without the last of them, its questions are withdrawn, and its commands go on beside the next step: a member answers
one after another, so that none overtakes another. Directly before each step that changes anything the clock is read
and the Lease is asked (rule 13); a step whose time has passed is not begun. Called by execute and assist.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import assert_never

from . import names
from .children import pinned
from .errors import KubeError, RedisError
from .failpoints import Failpoints
from .kube import Kube
from .model import Object, Reach
from .moves.step import (
    Answers,
    Ask,
    Deed,
    Knock,
    LookAtPod,
    Member,
    Move,
    MoveService,
    Outcome,
    Peek,
    ProbeService,
    Remember,
    Step,
    TooLate,
    Unanswered,
    changes,
)
from .redisio import RedisIO, Session
from .render import Body
from .resources import CONTEX_REDIS, POD, SERVICE
from .views import identity_address, parse_info, pod_view, reach_of

log = logging.getLogger(__name__)

ASK_S = 0.5  # for one answer: as long as a proof of death or a pause may be old
KNOCK_S = 0.2
PROBE_S = 0.3
KUBE_S = 2.0


class Conductor:
    """Carries out one move of one resource.

    `resource` and `service` (the master Service) are the bodies as they were read; each write is bound to their
    state, and after a write to the state that it made. `service_body(pod)` renders the Service that leads to a pod.
    """

    def __init__(
        self,
        kube: Kube,
        redis: RedisIO,
        *,
        resource: Object,
        service: Object,
        service_body: Callable[[str], Body],
        members: Sequence[Member],
        passwords: tuple[str | None, str | None],
        may_write: Callable[[str], None],
        failpoints: Failpoints,
    ) -> None:
        self._kube, self._redis = kube, redis
        self._resource, self._service, self._service_body = resource, service, service_body
        self._password, self._sentinel_password = passwords
        self._may_write, self._failpoints = may_write, failpoints
        self._namespace = str(resource["metadata"]["namespace"])
        self._name = str(resource["metadata"]["name"])
        self._sessions = {member.pod: self._session(member) for member in members}
        self._late: set[asyncio.Task[object]] = set()  # deeds of steps that had enough without them

    def _session(self, member: Member) -> Session:
        if member.is_sentinel:
            return self._redis.session(
                member.address, names.SENTINEL_PORT, password=self._sentinel_password, run_id=None
            )
        return self._redis.session(
            member.address, names.REDIS_PORT, password=self._password, run_id=member.run_id
        )

    async def run(self, move: Move, *, name: str) -> Outcome:
        """The move's outcome. Raises LeaseLost in the middle of it: its end is then a successor's (rule 5)."""
        began = time.monotonic()
        trace: list[str] = []
        answers: Answers | None = None
        try:
            while True:
                try:
                    step = next(move) if answers is None else move.send(answers)
                except StopIteration as stop:
                    outcome: Outcome = stop.value
                    if self._late:
                        await asyncio.wait(self._late)  # each has its deadline
                    log.info(
                        "%s/%s: %s: %s (%s)",
                        self._namespace,
                        self._name,
                        name,
                        outcome.sentence,
                        " ".join(trace),
                    )
                    return outcome
                answers = await self._step(step, name=name)
                if not trace or not trace[-1].startswith(f"{step.name} "):
                    trace.append(f"{step.name} .{round((answers.at - began) * 1000):03d}")
        finally:
            move.close()
            for task in self._late:
                task.cancel()
            for session in self._sessions.values():
                await session.close()

    async def _step(self, step: Step, *, name: str) -> Answers:
        if step.after_s:
            await asyncio.sleep(step.after_s)
        self._failpoints.at(f"{name}.{step.name}.before")
        if step.changes:
            self._may_write(self._namespace)
        began = time.monotonic()
        if step.until is not None and began > step.until:
            return Answers(results=tuple(TooLate() for _ in step.deeds), began=began, at=began)
        results = await self._together(step)
        self._failpoints.at(f"{name}.{step.name}.after")
        return Answers(results=tuple(results), began=began, at=time.monotonic())

    async def _together(self, step: Step) -> Sequence[object]:
        """What came of the deeds of a step, in their order."""
        if step.enough is None:
            return await asyncio.gather(*(self._try(deed) for deed in step.deeds))
        tasks = [asyncio.create_task(self._try(deed)) for deed in step.deeds]
        for task in tasks:
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        missing = set(tasks)
        while missing and not step.enough(_so_far(tasks)):
            _, missing = await asyncio.wait(missing, return_when=asyncio.FIRST_COMPLETED)
        if missing and step.grace_s:
            await asyncio.wait(missing, timeout=step.grace_s)
        results = _so_far(tasks)
        for deed, task in zip(step.deeds, tasks, strict=True):
            if not changes(deed):
                task.cancel()
        return results

    async def _try(self, deed: Deed) -> object:
        """What came of it; an error of ours in its place."""
        try:
            return await self._do(deed)
        except (RedisError, KubeError) as error:
            log.debug("%s: %s", deed, error)
            return error

    async def _do(self, deed: Deed) -> object:
        match deed:
            case Ask(member=member, command=command):
                return await self._sessions[member].ask(command, deadline_s=ASK_S)
            case Knock(address=address):
                error = await self._redis.knock(address, names.REDIS_PORT, deadline_s=KNOCK_S)
                return Reach.UP if error is None else reach_of(error)
            case Peek(address=address):
                return await self._once(address, ("INFO", "replication"), deadline_s=KNOCK_S)
            case LookAtPod(pod=pod):
                body = await self._kube.get(POD, self._namespace, pod)
                return None if body is None else pod_view(body)
            case Remember(fields=fields):
                await self._remember(dict(fields))
                return None
            case MoveService(to=to):
                await self._move_service(to)
                return None
            case ProbeService():
                there = identity_address(self._service)
                if there is None:
                    return None
                info = await self._once(there, ("INFO", "server"), deadline_s=PROBE_S)
                return parse_info(info).get("run_id")
            case _:
                assert_never(deed)

    async def _once(self, address: str, command: tuple[str, ...], *, deadline_s: float) -> object:
        session = self._redis.session(address, names.REDIS_PORT, password=self._password, run_id=None)
        try:
            return await session.ask(command, deadline_s=deadline_s)
        finally:
            await session.close()

    async def _remember(self, fields: dict[str, object]) -> None:
        self._resource = await self._kube.merge_patch(
            CONTEX_REDIS,
            self._namespace,
            self._name,
            {"status": fields},
            subresource="status",
            resource_version=self._resource["metadata"]["resourceVersion"],
        )

    async def _move_service(self, to: str) -> None:
        body = pinned(self._service_body(to), self._service, version=True)
        self._service = await self._kube.apply(SERVICE, body, manager=names.MANAGER)


def _so_far(tasks: Sequence[asyncio.Task[object]]) -> list[object]:
    return [task.result() if task.done() else Unanswered() for task in tasks]
