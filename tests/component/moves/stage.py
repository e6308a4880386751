"""A set of real redis-servers and sentinels on loopback, and around it what a move needs of Kubernetes.

`Stage` keeps a resource and a pod in memory, and a master Service that is a real forwarder: new connections go to
where it leads, open ones stay where they are, as with kube-proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from contex_operator.actions import Action
from contex_operator.conduct import Conductor
from contex_operator.errors import Conflict, OperatorError, RedisError
from contex_operator.execute import Executor
from contex_operator.failpoints import Failpoints
from contex_operator.model import DataNode, Observed, SentinelNode
from contex_operator.moves.facts import Course
from contex_operator.moves.failover import Crash
from contex_operator.moves.step import Answers, Member, Move, Outcome, Step
from contex_operator.names import LABEL_POD_NAME
from contex_operator.plan import unfinished_move
from contex_operator.procedures.mend import repair, restore
from contex_operator.redisio import RedisIO
from contex_operator.topology import judge
from contex_operator.views import (
    DATA_COMMANDS,
    data_node,
    pod_view,
    reach_of,
    sentinel_commands,
    sentinel_node,
)

from tests.unit.apiserver import merge_patch
from tests.unit.world import replicated
from tests.workload.loopback import MASTER_NAME, REDIS_PORT, SENTINEL_PORT, LoopbackSet, Node

DOWN_AFTER_MS = 2000
FAILOVER_TIMEOUT_MS = (
    4000  # whoever has voted waits twice that, and once more where an election has no winner
)
TIME = "2026-01-01T00:00:00Z"
SPEC = replicated()


class Stage:
    """`course(…)` and `crash(…)` describe moves of the set; `run` carries one out with the operator's own hands."""

    def __init__(self, redis_set: LoopbackSet) -> None:
        self.set = redis_set
        self.leads_to = redis_set.nodes[0].address
        self.resource: dict[str, Any] = {
            "metadata": {"namespace": "shop", "name": "redis", "uid": "u", "resourceVersion": "1"},
            "status": {},
        }
        self.pod_uid = "uid-1"
        self.pod_address = ""  # where it is not the node's own
        self.moves_of_service: list[str] = []
        self.service_address = redis_set.sentinels[0].address.rsplit(".", 1)[0] + ".200"

    # --- the API, as far as a move uses it

    async def merge_patch(self, *_: Any, resource_version: str, **__: Any) -> Mapping[str, Any]:
        metadata = self.resource["metadata"]
        if resource_version != metadata["resourceVersion"]:
            raise Conflict(409, "Conflict", "the object has been modified")
        self.resource = merge_patch(self.resource, copy.deepcopy(_[3]))
        self.resource["metadata"]["resourceVersion"] = str(int(resource_version) + 1)
        return copy.deepcopy(self.resource)

    async def apply(self, _: Any, body: Mapping[str, Any], **__: Any) -> Mapping[str, Any]:
        selector = body["spec"]["selector"]
        pod = selector.get("pod") or selector[LABEL_POD_NAME]
        self.leads_to = self.node(pod).address
        self.moves_of_service.append(pod)
        return self._service()

    async def get(self, _: Any, __: str, pod: str) -> Mapping[str, Any] | None:
        return self._pod(self.node(pod)) if self.pod_uid else None

    def _pod(self, node: Node) -> Mapping[str, Any]:
        return {
            "metadata": {"name": node.name, "uid": self.pod_uid, "labels": {}},
            "status": {"podIP": self.pod_address or node.address, "phase": "Running"},
        }

    def _service(self) -> Mapping[str, Any]:
        return {
            "metadata": {"name": "redis-master", "uid": "u", "resourceVersion": "1"},
            "spec": {"clusterIP": self.service_address},
        }

    # --- the forwarder

    @contextlib.asynccontextmanager
    async def service(self) -> AsyncIterator[None]:
        """The master Service, while the context is open."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                there, back = await asyncio.open_connection(self.leads_to, REDIS_PORT)
            except OSError:
                writer.transport.abort()
                return
            await asyncio.gather(_copy(reader, back), _copy(there, writer))

        server = await asyncio.start_server(serve, self.service_address, REDIS_PORT)
        try:
            yield
        finally:
            server.close()

    # --- moves

    def node(self, name: str) -> Node:
        return next(node for node in self.set.nodes if node.name == name)

    def member(self, node: Node) -> Member:
        info = cast("dict[str, Any]", node.client.info("server"))
        return Member(pod=node.name, address=node.address, run_id=str(info["run_id"]))

    def sentinels(self) -> tuple[Member, ...]:
        return tuple(
            Member(pod=s.name, address=s.address, is_sentinel=True)
            for s in self.set.sentinels
            if s.process.poll() is None
        )

    def epoch(self) -> int:
        return max(int(s.command("SENTINEL MASTER", MASTER_NAME)["config-epoch"]) for s in self.set.sentinels)

    def course(self, *, to: int = 1, old: int = 0) -> Course:
        nodes = self.set.nodes
        return Course(
            old=self.member(nodes[old]),
            new=self.member(nodes[to]),
            others=tuple(self.member(n) for i, n in enumerate(nodes) if i not in (old, to)),
            sentinels=self.sentinels(),
            sentinel_count=3,
            master_name=MASTER_NAME,
            epoch=self.epoch(),
            down_after_ms=DOWN_AFTER_MS,
            why="a test asks for it",
        )

    def crash(self) -> Crash:
        """As it was known while the first node was master."""
        nodes = self.set.nodes
        return Crash(
            old=self.member(nodes[0]),
            pod_uid=self.pod_uid,
            pod_address=nodes[0].address,
            others=tuple(self.member(node) for node in nodes[1:]),
            sentinels=self.sentinels(),
            sentinel_count=3,
            master_name=MASTER_NAME,
            epoch=self.epoch(),
            down_after_ms=DOWN_AFTER_MS,
        )

    async def run(self, move: Move, members: tuple[Member, ...], *, name: str = "move") -> Outcome:
        """Carry it out with real connections."""
        redis = RedisIO()
        conductor = Conductor(
            self,  # type: ignore[arg-type]
            redis,
            resource=copy.deepcopy(self.resource),
            service=self._service(),
            service_body=lambda pod: {
                "metadata": {"name": "redis-master"},
                "spec": {"selector": {"pod": pod}},
            },
            members=members,
            passwords=(None, None),
            may_write=lambda _: None,
            failpoints=Failpoints(),
        )
        try:
            async with self.service():
                return await conductor.run(move, name=name)
        finally:
            await redis.close()

    # --- what a successor sees and does

    async def observe(self) -> Observed:
        """The snapshot of an operator that has just started."""
        redis = RedisIO()
        try:
            data = tuple([await self._see_node(redis, node) for node in self.set.nodes])
            sentinels = tuple([await self._see_sentinel(redis, node) for node in self.set.sentinels])
        finally:
            await redis.close()
        pods = tuple(pod_view(self._pod(node)) for node in self.set.nodes)
        return Observed(
            resource=copy.deepcopy(self.resource),
            now=0.0,
            objects={("Service", "redis-master"): self._service()},
            pods=pods,
            data=data,
            sentinels=sentinels,
        )

    async def _see_node(self, redis: RedisIO, node: Node) -> DataNode:
        try:
            replies = await redis.read(node.address, REDIS_PORT, DATA_COMMANDS, password=None)
        except RedisError as error:
            return DataNode(pod=node.name, address=node.address, reach=reach_of(error))
        return data_node(node.name, node.address, replies)

    async def _see_sentinel(self, redis: RedisIO, node: Node) -> SentinelNode:
        commands = sentinel_commands(MASTER_NAME)
        try:
            replies = await redis.read(node.address, SENTINEL_PORT, commands, password=None)
        except RedisError as error:
            return SentinelNode(pod=node.name, address=node.address, reach=reach_of(error))
        return sentinel_node(node.name, node.address, replies)

    async def succeed(self) -> list[str]:
        """What a new operator does about the set until nothing is left to do: its notes."""
        notes: list[str] = []
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            observed = await self.observe()
            topology = judge(observed, sentinels=3)
            step = unfinished_move(SPEC, observed, topology) if observed.status.get("intent") else None
            if step is not None:
                notes.append(step.note)
                await self.carry_out(observed, step.actions)
            elif topology.master is not None and topology.is_calm:
                self.leads_to = str(topology.master.address)  # routing follows the truth
                staying = [node.name for node in self.set.nodes]
                due = [*repair(observed, topology), *restore(SPEC, observed, topology, staying=staying)]
                if not due:
                    return notes
                await self.carry_out(observed, due)
            await asyncio.sleep(0.05)
        raise AssertionError(f"not settled: {notes[-3:]}; {self.roles()}; {self.named()}")

    async def carry_out(self, observed: Observed, actions: Sequence[Action]) -> None:
        """With the operator's own hands."""
        redis = RedisIO()
        executor = Executor(
            self,  # type: ignore[arg-type]
            redis,
            spec=SPEC,
            observed=observed,
            passwords=(None, None),
            may_write=lambda _: None,
            failpoints=Failpoints(),
        )
        try:
            with contextlib.suppress(OperatorError):  # logged; the next look decides anew
                await executor.run(actions)
        finally:
            await redis.close()

    # --- what the members say afterwards

    def start_old_master(self) -> None:
        """The first node again, as a master and without a gate: what must never be taken for a second one."""
        self.set.restart(self.set.nodes[0])
        self.set.nodes[0].command("REPLICAOF", "NO", "ONE")

    def roles(self) -> list[str]:
        return [str(n.info()["role"]) if n.process.poll() is None else "dead" for n in self.set.nodes]

    def is_calm(self) -> bool:
        """All sentinels show a master that is up with both its replicas."""
        states = [s.command("SENTINEL MASTER", MASTER_NAME) for s in self.set.sentinels]
        linked = [n.info().get("master_link_status", "up") == "up" for n in self.set.nodes]
        return all(linked) and all(s["flags"] == "master" and s["num-slaves"] == 2 for s in states)

    def named(self) -> set[str]:
        """The pods that the sentinels name."""
        addresses = {self.set.named_master(s) for s in self.set.sentinels if s.process.poll() is None}
        return {self.set.by_address(address).name for address in addresses}


def stopping_after(move: Move, name: str) -> Move:
    """The same move by a process that dies when the first step of this name is done."""
    answers: Answers | None = None
    while True:
        try:
            step: Step = next(move) if answers is None else move.send(answers)
        except StopIteration as stop:
            raise AssertionError(f"it came to its end before {name}: {stop.value}") from None
        answers = yield step
        if step.name == name:
            move.close()
            raise Died


class Died(Exception):
    """The operator's process has ended here."""


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def stage(folder: Path, *, replicas: int = 2) -> Iterator[Stage]:
    """A settled set on a stage of its own."""
    with LoopbackSet(
        folder, replicas=replicas, down_after_ms=DOWN_AFTER_MS, failover_timeout_ms=FAILOVER_TIMEOUT_MS
    ) as redis_set:
        yield Stage(redis_set)
