"""A tiny model of a set: API server, Redis, Sentinel, start gate and clients, on which whole plans are carried out.

It knows the rules that the real parts keep (facts are tested elsewhere, on real servers) and nothing of the
operator's reasons. Every command of the operator is held against what is true at that moment: a model run fails when
a command makes a second master, speaks over the sentinels' heads, or throws an acknowledged write away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from contex_operator import names
from contex_operator.actions import (
    Action,
    Apply,
    Create,
    Follow,
    KillClients,
    MakeMaster,
    Monitor,
    RaiseEpoch,
    RememberInStatus,
    SentinelSet,
    SetConfig,
    SetRole,
)
from contex_operator.children import in_force
from contex_operator.conditions import ready_verdict
from contex_operator.model import DataNode, Holding, KnownReplica, Observed, Pod, Reach, SentinelNode
from contex_operator.plan import SETTLED_S, Plan, plan
from contex_operator.render import data_pods, sentinel_pods
from contex_operator.routing import served_pod
from contex_operator.spec import parse
from contex_operator.status import change, compute
from contex_operator.topology import judge

from tests.unit.apiserver import ApiServer, Refused, merge_patch
from tests.unit.world import FRESH_PASSWORDS, NOW, WHO, address_of, pod_of, resource


@dataclass
class Redis:
    """A data pod: its volume outlives the process, `synced` is true from the first completed sync of the process."""

    pod: str
    writes: tuple[int, ...] = ()  # on the volume, and in memory
    used: bool = False  # the volume has held a data set
    epoch: int | None = None  # recorded for the next start, with was_master
    was_master: bool | None = None
    up: bool = False
    starts: int = 0
    role: str = "slave"
    follows: str | None = None  # an address
    linked: bool = False
    synced: bool = False
    holding: Holding | None = None
    down_for: int = 0  # ticks until the kubelet starts it again
    has_pod: bool = False
    fence: int = 1  # min-replicas-to-write
    priority: int = 100  # once it has synced

    @property
    def address(self) -> str:
        return address_of(self.pod)

    @property
    def is_master(self) -> bool:
        return self.up and self.role == "master"

    @property
    def run_id(self) -> str:
        return f"{self.pod}#{self.starts}"

    def start(self) -> None:
        """As the start script: read-only, follows nobody, and says what it found."""
        known = self.epoch is not None and self.was_master is not None
        self.holding = Holding(
            fresh=not self.used,
            has_data=self.used,
            epoch=self.epoch if self.used and known else None,
            was_master=self.was_master if self.used and known else None,
        )
        self.up = self.has_pod = True
        self.role, self.follows = "slave", None
        self.linked = self.synced = False
        self.fence, self.priority = 1, 100
        self.starts += 1


@dataclass
class Sentinel:
    pod: str
    up: bool = False
    master: str | None = None  # an address; None: bare
    epoch: int = 0
    settings: dict[str, int] = field(default_factory=dict)


class Simulator:
    """A cluster with one ContexRedis in sentinel mode. `tick` lets time pass, `reconcile` runs the operator once."""

    def __init__(self, **spec: Any) -> None:
        self.resource = resource({"mode": "sentinel", **spec})
        self.spec = parse(self.resource)
        self.api = ApiServer()
        self.status: dict[str, Any] = {}
        self.redis = {pod: Redis(pod) for pod in data_pods(WHO, self.spec)}
        self.sentinels = {pod: Sentinel(pod) for pod in sentinel_pods(WHO, self.spec)}
        self.roles: dict[str, str] = {}
        self.hidden: set[str] = set()  # alive, and out of the operator's sight
        self.acknowledged: list[int] = []
        self.volumes_lost = 0

    @property
    def masters(self) -> list[Redis]:
        return [node for node in self.redis.values() if node.is_master]

    def agreed(self) -> tuple[str, int] | None:
        """What a majority of all sentinels names."""
        named = Counter((s.master, s.epoch) for s in self.sentinels.values() if s.up and s.master)
        found, votes = max(named.items(), key=lambda item: item[1], default=((None, 0), 0))
        return (str(found[0]), found[1]) if votes >= self.spec.majority else None

    def has_closed_port(self, node: Redis) -> bool:
        """Named, but empty: the start gate keeps the port closed, so that Sentinel chooses another."""
        agreed = self.agreed()
        return bool(node.up and not node.used and not node.is_master and agreed and agreed[0] == node.address)

    def nobody_can_be_promoted(self) -> bool:
        """The sentinels name a node without data, and no replica was in sync when it went: nobody but people can
        choose then.
        """
        named = next((n for n in self.redis.values() if self.has_closed_port(n)), None)
        return named is not None and not any(n.synced for n in self.redis.values())

    # --- faults ------------------------------------------------------------------------------------------------

    def crash(self, pod: str, *, down_for: int = 0) -> None:
        """The container ends; its pod and its label stay, and the kubelet starts it after `down_for` ticks."""
        node = self.redis[pod]
        node.up = node.linked = node.synced = False
        node.down_for = down_for

    def delete(self, pod: str, *, down_for: int = 1) -> None:
        """The pod is deleted; another one of its name mounts the same volume after `down_for` ticks."""
        self.crash(pod, down_for=down_for)
        self.redis[pod].has_pod = False
        self.roles.pop(pod, None)

    def lose_volume(self, pod: str) -> None:
        self.delete(pod)
        node = self.redis[pod]
        node.writes, node.used, node.epoch, node.was_master = (), False, None, None
        self.volumes_lost += 1

    def forget(self, pod: str) -> None:
        """A sentinel comes back without its volume; not in the very second in which it alone knows a new master."""
        sentinel = self.sentinels[pod]
        others = [other.epoch for other in self.sentinels.values() if other is not sentinel]
        if sentinel.epoch <= max(others):
            sentinel.master, sentinel.epoch = None, 0

    def write(self) -> None:
        """A client writes through the master Service, under min-replicas-to-write 1."""
        pod = served_pod(self.api.objects.get(("Service", WHO.children.master)))
        node = self.redis.get(pod or "")
        replicas = [n for n in self.redis.values() if node and n.linked and n.follows == node.address]
        if node is None or not node.is_master or not replicas:
            return
        number = len(self.acknowledged) + 1
        self.acknowledged.append(number)
        for each in (node, *replicas):
            each.writes += (number,)

    # --- time --------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One step of everybody but the operator."""
        if ("StatefulSet", WHO.children.master) not in self.api.objects:
            return
        self._kubelets()
        self._sentinels_learn()
        self._failover()
        for node in self.redis.values():
            self._gate(node)
        self._replicate()

    def _kubelets(self) -> None:
        for node in self.redis.values():
            if not node.up and node.down_for > 0:
                node.down_for -= 1
            elif not node.up:
                node.start()
        for sentinel in self.sentinels.values():
            sentinel.up = True

    def _sentinels_learn(self) -> None:
        known = [s for s in self.sentinels.values() if s.up and s.master]
        newest = max(known, key=lambda s: s.epoch, default=None)
        agreed = self.agreed()
        for sentinel in self.sentinels.values():
            if sentinel.master and newest:  # hello messages
                sentinel.master, sentinel.epoch = newest.master, newest.epoch
            elif sentinel.up and agreed:  # the start script of a bare one
                sentinel.master, sentinel.epoch = agreed

    def _failover(self) -> None:
        agreed = self.agreed()
        if agreed is None or any(n.is_master and n.address == agreed[0] for n in self.redis.values()):
            return
        able = [n for n in self.redis.values() if n.up and n.synced and not n.is_master]
        if able:
            best = max(able, key=lambda node: len(node.writes))
            best.role, best.follows, best.linked = "master", None, False
            leader = next(s for s in self.sentinels.values() if s.up and s.master == agreed[0])
            leader.master, leader.epoch = best.address, agreed[1] + 1

    def _gate(self, node: Redis) -> None:
        """The start gate of a waiting pod, and Sentinel's order to one that follows, or is, the wrong one."""
        agreed = self.agreed()
        if agreed is None or not node.up:
            return
        masters = {other.address for other in self.masters if other is not node}
        if agreed[0] in masters:
            node.role, node.follows = "slave", agreed[0]
        elif agreed[0] == node.address and node.follows is None and node.used and not masters:
            node.role = "master"

    def _replicate(self) -> None:
        agreed = self.agreed()
        for node in self.redis.values():
            source = next((n for n in self.redis.values() if n.address == node.follows and n.is_master), None)
            node.linked = node.up and source is not None
            if source is not None and node.up:
                node.writes, node.synced = source.writes, True
            if node.is_master or node.linked:
                leader = node.address if node.is_master else node.follows
                node.used, node.was_master = True, node.is_master
                node.epoch = agreed[1] if agreed and agreed[0] == leader else None

    # --- the operator ------------------------------------------------------------------------------------------

    def observe(self) -> Observed:
        data = tuple(self._see_data(node) for node in self.redis.values())
        return Observed(
            resource={**self.resource, "status": self.status},
            now=NOW,
            objects=dict(self.api.objects),
            pods=tuple(self._see_pods()),
            data=data,
            sentinels=tuple(self._see_sentinel(sentinel) for sentinel in self.sentinels.values()),
        )

    def _see_pods(self) -> Iterator[Pod]:
        for node in self.redis.values():
            if node.has_pod:
                ready = node.is_master or node.linked
                yield pod_of(node.pod, ready=ready, role=self.roles.get(node.pod))
        yield from (pod_of(sentinel.pod) for sentinel in self.sentinels.values() if sentinel.up)

    def _see_data(self, node: Redis) -> DataNode:
        if ("Service", node.pod) not in self.api.objects:
            return DataNode(pod=node.pod, address=None, reach=Reach.NO_ADDRESS)
        if not node.up or self.has_closed_port(node) or node.pod in self.hidden:
            reach = Reach.TIMEOUT if node.pod in self.hidden else Reach.REFUSED
            return DataNode(pod=node.pod, address=node.address, reach=reach)
        return DataNode(
            pod=node.pod,
            address=node.address,
            reach=Reach.UP,
            role=node.role,
            run_id=node.run_id,
            offset=len(node.writes),
            master_address=None if node.role == "master" else node.follows or "127.0.0.1",
            link_up=node.linked,
            priority=node.priority if node.synced else 0,
            min_replicas=node.fence,
            keys=len(node.writes),
            holding=node.holding,
            normal_clients=1,
        )

    def _see_sentinel(self, sentinel: Sentinel) -> SentinelNode:
        address = address_of(sentinel.pod)
        if not sentinel.up or sentinel.pod in self.hidden:
            return SentinelNode(pod=sentinel.pod, address=address, reach=Reach.TIMEOUT)
        if sentinel.master is None:
            return SentinelNode(pod=sentinel.pod, address=address, reach=Reach.UP)
        others = [s for s in self.sentinels.values() if s.up and s.master and s is not sentinel]
        alive = any(n.is_master and n.address == sentinel.master for n in self.redis.values())
        return SentinelNode(
            pod=sentinel.pod,
            address=address,
            reach=Reach.UP,
            monitors=True,
            master_address=sentinel.master,
            config_epoch=sentinel.epoch,
            flags=frozenset({"master"} if alive else {"master", "s_down"}),
            replicas=tuple(
                KnownReplica(
                    address=n.address, flags=frozenset({"slave"}), priority=100, offset=0, link_up=True
                )
                for n in self.redis.values()
                if n.linked and n.synced and n.follows == sentinel.master
            ),
            peers=tuple(address_of(other.pod) for other in others),
            settings=dict(sentinel.settings),
            quorum_ok=len(others) + 1 >= self.spec.majority,
        )

    def reconcile(self, *, interrupt_after: int | None = None) -> Plan:
        """One run of the operator; with `interrupt_after` its process dies after so many actions."""
        observed = self.observe()
        running = in_force(WHO, self.spec, observed.objects, status=observed.status)
        topology = judge(observed, sentinels=running.sentinel_pod_count)
        is_ready = bool(ready_verdict(running, observed, topology).status)
        decided = plan(self.spec, observed, topology, is_ready=is_ready, fresh=FRESH_PASSWORDS)
        for action in decided.actions[:interrupt_after]:
            try:
                self.carry_out(action)
            except Refused:
                return decided
        if interrupt_after is None or interrupt_after >= len(decided.actions):
            status = compute(running, observed, topology, decided)
            self.status = merge_patch(self.status, change(observed.status, status))
        return decided

    def settle(self, *, rounds: int = 60) -> Plan:
        """Reconcile and let time pass until nothing is left to do, or a risk stops it for good; the last plan."""
        stopped = 0
        for _ in range(rounds):
            decided = self.reconcile()
            stopped = stopped + 1 if decided.risk and not decided.actions else 0
            if not decided.actions and (decided.again_s == SETTLED_S or stopped > 5):
                return decided
            self.tick()
        raise AssertionError(f"not settled after {rounds} rounds: {decided}\n{self.describe()}")

    def describe(self) -> str:
        lines = [*map(str, self.redis.values()), *map(str, self.sentinels.values()), str(self.status)]
        return "\n".join(lines)

    def carry_out(self, action: Action) -> None:
        match action:
            case Create(body=body):
                self.api.create(body)
            case Apply(body=body):
                self.api.apply(body)
                self._check_service(body)
            case RememberInStatus():
                self.status = merge_patch(self.status, action.fields)
            case SetRole():
                self._set_role(action)
            case MakeMaster():
                self._make_master(action)
            case Follow():
                self._follow(action)
            case Monitor():
                sentinel = self.sentinels[action.pod]
                assert sentinel.master in (None, action.master), "MONITOR of another master"
                if sentinel.master is None:
                    sentinel.master, sentinel.epoch = action.master, 0
                sentinel.settings = {"quorum": action.quorum, **action.settings}
            case SentinelSet():
                self.sentinels[action.pod].settings |= action.settings
            case SetConfig():
                node = self._process(action.pod, action.run_id)
                node.fence = int(action.values.get("min-replicas-to-write", node.fence))
                node.priority = int(action.values.get("replica-priority", node.priority))
            case RaiseEpoch():
                assert self.agreed() == (action.course.new.address, action.course.epoch)
                for sentinel in self.sentinels.values():
                    sentinel.epoch = action.above + 1
            case KillClients():
                self._process(action.pod, action.run_id)
            case _:
                raise AssertionError(f"not modelled: {action}")

    def _process(self, pod: str, run_id: str) -> Redis:
        node = self.redis[pod]
        if not node.up or node.run_id != run_id:
            raise Refused(f"{pod} is another process by now")
        return node

    def _check_service(self, body: Mapping[str, Any]) -> None:
        """The master Service leads to nobody, or to the node that is master by the sentinels' majority."""
        pod = served_pod(body) if body["metadata"]["name"] == WHO.children.master else None
        if pod is not None:
            agreed = self.agreed()
            assert agreed is not None
            assert agreed[0] == address_of(pod)
            assert self.redis[pod].is_master

    def _set_role(self, action: SetRole) -> None:
        if action.role is None:
            self.roles.pop(action.pod, None)
            return
        if action.role == names.ROLE_MASTER:
            assert names.ROLE_MASTER not in self.roles.values(), "two pods are labelled master"
        self.roles[action.pod] = action.role

    def _make_master(self, action: MakeMaster) -> None:
        node = self._process(action.pod, action.run_id)
        assert (self.status.get("intent") or {}).get("pod") == action.pod, "no intent was written"
        assert not [m.pod for m in self.masters if m is not node], "a second master"
        monitoring = [s for s in self.sentinels.values() if s.master]
        assert len(monitoring) < self.spec.majority, "over the heads of the sentinels"
        if self.volumes_lost <= 1:
            missing = set(self.acknowledged) - set(node.writes)
            assert not missing, f"{action.pod} lacks acknowledged writes {missing}"
        node.role, node.follows = "master", None

    def _follow(self, action: Follow) -> None:
        node = self._process(action.pod, action.run_id)
        leader = next(n for n in self.redis.values() if n.address == action.master)
        thrown_away = set(self.acknowledged) & set(node.writes) - set(leader.writes)
        assert not thrown_away, f"{action.pod} throws {thrown_away} away to follow {leader.pod}"
        node.role, node.follows, node.linked = "slave", action.master, False
