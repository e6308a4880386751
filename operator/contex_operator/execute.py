"""Hands that act: one action after another, stopped by the first failure; nothing is decided here.

The Kubernetes client refuses each write when the Lease may be lost (rule 13); commands to Redis ask the same guard
directly before they are sent. Called by reconcile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import assert_never

from . import names
from .actions import (
    Action,
    Apply,
    CompleteMove,
    Create,
    DeleteChild,
    DeletePod,
    DropAnnotation,
    Follow,
    KillClients,
    MakeMaster,
    Monitor,
    RaiseEpoch,
    Relink,
    RememberInStatus,
    SentinelAnnounce,
    SentinelReset,
    SentinelSet,
    SetConfig,
    SetRole,
    SwitchOver,
    WireDeployment,
)
from .conduct import Conductor
from .errors import AlreadyExists, ConfigRefused, KubeError, NameTaken, OperatorError, RedisAnswer
from .failpoints import Failpoints
from .identities import lost_entry
from .kube import Kube
from .model import Object, Observed, utc
from .moves import by_sentinel, epoch, resume, switchover
from .moves.facts import Course, node_view
from .moves.step import Move, Outcome
from .redisio import RedisIO
from .render import Identity, master_service
from .resources import BY_KIND, CONTEX_REDIS, DEPLOYMENT, POD
from .spec import Spec
from .views import Command, canonical, config_commands, parse_pairs

log = logging.getLogger(__name__)


class Executor:
    """Carries out actions of one resource.

    `may_write` raises LeaseLost where this process must not change anything now. `passwords` are the data nodes'
    and the sentinels'.
    """

    def __init__(
        self,
        kube: Kube,
        redis: RedisIO,
        *,
        spec: Spec,
        observed: Observed,
        passwords: tuple[str | None, str | None],
        may_write: Callable[[str], None],
        failpoints: Failpoints,
    ) -> None:
        self._kube = kube
        self._redis = redis
        self._spec = spec
        self._observed = observed
        self._resource: Object = observed.resource  # as our own writes have left it
        self._passwords = passwords
        self._password, self._sentinel_password = passwords
        self._may_write = may_write
        self._failpoints = failpoints
        self.outcomes: list[Outcome] = []  # of the moves that were made
        self._service_moved: float | None = None  # in this run: when (the loop's time) a Service was changed

    async def run(self, actions: Sequence[Action]) -> None:
        """All actions in order. Raises the first failure; the next reconcile decides anew."""
        for action in actions:
            self._may_write(self._observed.namespace)
            log.info("%s/%s: %s", self._observed.namespace, self._observed.name, action)
            await self._one(action)

    async def _one(self, action: Action) -> None:
        match action:
            case Create(body=body):
                await self._create(action)
            case Apply(body=body):
                await self._kube.apply(BY_KIND[body["kind"]], body, manager=names.MANAGER)
                if body["kind"] == "Service":
                    self._service_moved = asyncio.get_running_loop().time()
            case SetRole():
                await self._set_role(action)
            case RememberInStatus():
                await self._patch_resource({"status": dict(action.fields)}, subresource="status")
            case DropAnnotation(annotation=annotation, refused=refused):
                await self._patch_resource({"metadata": {"annotations": {annotation: None}}})
                if refused:
                    reason = names.Reason.SWITCHOVER_REFUSED
                    self.outcomes.append(Outcome(moved=False, sentence=refused, reason=reason))
            case SwitchOver(course=course, fast=fast):
                begin = switchover.switchover if fast else by_sentinel.switchover_by_sentinel
                move = begin(course, time=utc(self._observed.now))
                await self._move(move, course, name=switchover.NAME if fast else by_sentinel.NAME)
            case RaiseEpoch(course=course, above=above):
                move = epoch.raise_epoch(course, above=above, time=utc(self._observed.now))
                await self._move(move, course, name=epoch.NAME)
            case CompleteMove(course=course, procedure=procedure):
                move = resume.complete(course, procedure=procedure, time=utc(self._observed.now))
                await self._move(move, course, name=resume.NAME)
            case MakeMaster():
                await self._data(action.address, ("REPLICAOF", "NO", "ONE"), run_id=action.run_id)
            case Follow():
                await self._follow(action)
            case KillClients():
                await self._kill_clients(action)
            case Monitor():
                await self._monitor(action)
            case SentinelSet():
                await self._sentinel(action.address, _set_command(action.master_name, action.settings))
            case SentinelReset():
                await self._sentinel(action.address, ("SENTINEL", "RESET", action.master_name))
            case SentinelAnnounce():
                announce: Command = ("SENTINEL", "CONFIG", "SET", "announce-ip", action.address)
                await self._sentinel(action.address, announce)
            case Relink():
                cut: Command = ("CLIENT", "KILL", "TYPE", "master")
                await self._data(action.address, cut, run_id=action.run_id)
            case SetConfig():
                await self._set_config(action)
            case DeleteChild():
                await self._kube.delete(
                    BY_KIND[action.kind], self._observed.namespace, action.name, uid=action.uid
                )
            case DeletePod():
                await self._kube.delete(POD, self._observed.namespace, action.pod, uid=action.uid)
            case WireDeployment():
                await self._wire(action)
            case _:
                assert_never(action)

    async def _set_config(self, action: SetConfig) -> None:
        """All directives or none. Redis before 7.0 takes one at a time: what it took is taken back there."""
        pairs = [word for pair in action.values.items() for word in pair]
        try:
            await self._data(action.address, ("CONFIG", "SET", *pairs), run_id=action.run_id)
        except RedisAnswer as error:
            if len(action.values) > 1 and "wrong number of arguments" in error.message:
                await self._set_one_by_one(action)
            elif error.code == "ERR":
                raise ConfigRefused(action.pod, action.values, error.message) from error
            else:
                raise

    async def _set_one_by_one(self, action: SetConfig) -> None:
        questions = config_commands(action.values)
        replies = await self._redis.read(action.address, names.REDIS_PORT, questions, password=self._password)
        before = {name: value for reply in replies for name, value in parse_pairs(reply).items()}
        done: list[str] = []
        for name, value in action.values.items():
            try:
                await self._data(action.address, ("CONFIG", "SET", name, value), run_id=action.run_id)
            except RedisAnswer as error:
                for earlier in done:
                    back: Command = ("CONFIG", "SET", earlier, before[earlier])
                    await self._data(action.address, back, run_id=action.run_id)
                raise ConfigRefused(action.pod, [name], error.message) from error
            done.append(name)

    async def _patch_resource(self, patch: dict[str, object], *, subresource: str | None = None) -> None:
        self._resource = await self._kube.merge_patch(
            CONTEX_REDIS,
            self._observed.namespace,
            self._observed.name,
            patch,
            subresource=subresource,
            resource_version=self._resource["metadata"]["resourceVersion"],
        )

    async def _move(self, move: Move, course: Course, *, name: str) -> None:
        who = Identity(namespace=self._observed.namespace, name=self._observed.name, uid=self._observed.uid)
        service = self._observed.objects[("Service", who.children.master)]
        assert service is not None, "a move is planned beside a master Service only"
        conductor = Conductor(
            self._kube,
            self._redis,
            resource=self._resource,
            service=service,
            service_body=lambda pod: master_service(who, self._spec, pod),
            members=course.members,
            passwords=self._passwords,
            may_write=self._may_write,
            failpoints=self._failpoints,
        )
        self.outcomes.append(await conductor.run(move, name=name))

    async def _create(self, action: Create) -> None:
        body = action.body
        try:
            await self._kube.create(BY_KIND[body["kind"]], body)
        except AlreadyExists as error:
            raise NameTaken(body["kind"], body["metadata"]["name"], "somebody else") from error
        except KubeError as error:
            if error.status == 422 and any(field.startswith("spec.clusterIP") for field in error.fields):
                await self._remember_lost(body)
            raise

    async def _remember_lost(self, service: Object) -> None:
        """The address that this Service has to have is another's: when that was seen first."""
        address, pod = canonical(service["spec"]["clusterIP"]), service["metadata"]["name"]
        if address not in (self._observed.status.get("formerAddresses") or {}):
            entry = lost_entry(pod, now=self._observed.now)
            await self._patch_resource(
                {"status": {"formerAddresses": {address: entry}}}, subresource="status"
            )

    async def _set_role(self, action: SetRole) -> None:
        metadata: dict[str, object] = {
            "name": action.pod,
            "namespace": self._observed.namespace,
            "uid": action.uid,
        }
        if action.role is not None:
            metadata["labels"] = {names.LABEL_ROLE: action.role}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        await self._kube.apply(POD, body, manager=names.MANAGER_ROLES)

    async def _follow(self, action: Follow) -> None:
        """Not without a last look at the leader: two nodes that follow each other would leave no master at all."""
        commands: tuple[Command, ...] = (("INFO", "replication"),)
        replies = await self._redis.read(action.master, names.REDIS_PORT, commands, password=self._password)
        leader = node_view(replies[0])
        if leader.role != "master" or leader.failover_state not in (None, "no-failover"):
            raise OperatorError(f"{action.pod} is not told to follow {action.master}, which is no master now")
        command: Command = ("REPLICAOF", action.master, names.REDIS_PORT)
        await self._data(action.address, command, run_id=action.run_id)

    async def _monitor(self, action: Monitor) -> None:
        # The password first would need the master: MONITOR, then everything else before the first link is up.
        monitor: Command = (
            "SENTINEL",
            "MONITOR",
            action.master_name,
            action.master,
            names.REDIS_PORT,
            action.quorum,
        )
        try:
            await self._sentinel(action.address, monitor)
        except RedisAnswer as error:
            if "Duplicate" not in error.message:
                raise
        if self._password:
            secret: Command = ("SENTINEL", "SET", action.master_name, "auth-pass", self._password)
            await self._sentinel(action.address, secret)
        await self._sentinel(action.address, _set_command(action.master_name, action.settings))

    async def _wire(self, action: WireDeployment) -> None:
        metadata = action.body["metadata"]
        if action.removals:
            await self._kube.json_patch(
                DEPLOYMENT,
                metadata["namespace"],
                metadata["name"],
                list(action.removals),
                manager=names.MANAGER_CONTEX,
            )
        await self._kube.apply(DEPLOYMENT, action.body, manager=names.MANAGER_CONTEX)

    async def _kill_clients(self, action: KillClients) -> None:
        """Once; and again and again where the Service has moved just now, until the latest kube-proxy has followed:
        before that, who is closed comes back to the same node, and a plain client then stays on READONLY for good.
        Clients that are named are closed once: who comes back is seen again.
        """
        for number in action.ids:
            await self._data(action.address, ("CLIENT", "KILL", "ID", number), run_id=action.run_id)
        if action.ids:
            return
        while True:
            await self._data(action.address, ("CLIENT", "KILL", "TYPE", "normal"), run_id=action.run_id)
            moved, now = self._service_moved, asyncio.get_running_loop().time()
            if moved is None or now - moved >= switchover.KILL_FOR_S:
                return
            await asyncio.sleep(switchover.KILL_EVERY_S)

    async def _data(self, address: str, command: Command, *, run_id: str) -> None:
        self._may_write(self._observed.namespace)
        await self._redis.change(address, names.REDIS_PORT, command, password=self._password, run_id=run_id)

    async def _sentinel(self, address: str, command: Command) -> None:
        self._may_write(self._observed.namespace)
        await self._redis.change(
            address, names.SENTINEL_PORT, command, password=self._sentinel_password, run_id=None
        )


def _set_command(master_name: str, settings: object) -> Command:
    assert isinstance(settings, dict)
    pairs = [part for key, value in settings.items() for part in (str(key), int(value))]
    return ("SENTINEL", "SET", master_name, *pairs)
