"""The simulator's set, changed on purpose: templates with revisions, pods that come and go, what sentinels remember.

Held against the rules at each command: a pod is deleted only from a set that is whole without it and never while it is
the master (rule 8), a sentinel forgets only while every other one knows everything (rule 7), the role is handed over
only to a replica in sync. `hand_over` stands for the switchover, which is tested elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from contex_operator.actions import Action, DeleteChild, DeletePod, SentinelReset, SetConfig, SwitchOver
from contex_operator.children import in_force
from contex_operator.model import DataNode, KnownReplica, Observed, Pod, Replica, SentinelNode, utc
from contex_operator.moves.facts import Course
from contex_operator.names import Children
from contex_operator.render import data_pods, directives, sentinel_pods
from contex_operator.spec import parse
from contex_operator.spec_config import is_comparable, needs_restart
from contex_operator.views import ANNOUNCED

from tests.unit.apiserver import ApiServer, Refused, merge_patch
from tests.unit.simulator import Redis, Sentinel, Simulator
from tests.unit.world import NAME, NOW, WHO, address_of, pod_of, resource

BROKEN = "no-such-image"  # a pod of this image never starts
CHILDREN = Children(NAME)
SETS = (CHILDREN.master, CHILDREN.replica, CHILDREN.sentinel)


class RevisionedApi(ApiServer):
    """Knows the revision of each StatefulSet's template, as the StatefulSet controller does."""

    def __init__(self) -> None:
        super().__init__()
        self.revisions: dict[str, dict[str, Any]] = {}
        self.lagging = False  # the StatefulSet controller sleeps

    def _store(
        self,
        key: tuple[str, str],
        body: Mapping[str, Any],
        metadata: dict[str, Any],
        live: dict[str, Any] | None = None,
    ) -> None:
        super()._store(key, body, metadata, live)
        if key[0] != "StatefulSet":
            return
        stored = self.objects[key]
        changed = live is None or live["spec"] != stored["spec"]
        generation = (live["metadata"]["generation"] if live else 0) + changed
        stored["metadata"]["generation"] = generation
        if live is not None:
            stored["status"] = live["status"]
        if not self.lagging:
            self.catch_up(key[1])

    def catch_up(self, name: str) -> None:
        """The StatefulSet controller looks."""
        stored = self.objects["StatefulSet", name]
        template = stored["spec"]["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
        revision = f"{name}-{digest}"
        self.revisions[revision] = {
            "kind": "ControllerRevision",
            "metadata": {"name": revision},
            "data": {"spec": {"template": {**template, "$patch": "replace"}}},
        }
        stored["status"] = {
            "observedGeneration": stored["metadata"]["generation"],
            "updateRevision": revision,
            "replicas": stored["spec"]["replicas"],
        }


class ChangingSet(Simulator):
    """A cluster with one ContexRedis whose spec `change` changes. A tick is a second."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.api: RevisionedApi = RevisionedApi()
        self.now = NOW
        self.revision: dict[str, str] = {}  # of each pod that exists
        self.image: dict[str, str] = {}
        self.made: dict[str, int] = {}  # how often a pod of the name was made
        self.created_at: dict[str, float] = {}
        self.priority: dict[str, int] = {}
        self._lowered_by: dict[str, str] = {}  # the process whose priority the operator has put to 0
        self.away: dict[str, int] = {}  # sentinels: ticks until the pod is there again
        self.config: dict[str, dict[str, str]] = {}  # what each process has in force
        self.announced: dict[str, str] = {}
        self.conf_read: dict[
            str, str
        ] = {}  # pods whose mounted redis.conf is an older one than the ConfigMap's
        self.used: dict[str, int] = {}  # memory of each process, where a test says it
        self.refused: set[str] = set()  # directives that no node takes
        self.known: dict[str, dict[str, int]] = {}  # sentinel pod → replica address → priority shown
        self.peers: dict[str, set[str]] = {}
        self.resets: list[tuple[float, str]] = []
        self.handovers: list[tuple[str, str]] = []
        self.deleted: list[str] = []
        self.redis.clear()
        self.sentinels.clear()

    @property
    def conf(self) -> str:
        """redis.conf in the ConfigMap."""
        return str(self.api.objects["ConfigMap", CHILDREN.config]["data"]["redis.conf"])

    def change(self, **spec: Any) -> None:
        merged = {**self.resource["spec"], **spec}
        generation = self.resource["metadata"]["generation"] + 1
        self.resource = resource({key: value for key, value in merged.items() if value is not None})
        self.resource["metadata"]["generation"] = generation
        self.spec = parse(self.resource)

    # --- pods --------------------------------------------------------------------------------------------------

    def _running(self, name: str) -> int:
        live = self.api.objects.get(("StatefulSet", name))
        return int(live["spec"]["replicas"]) if live else 0

    def write(self) -> None:
        if self.spec.is_sentinel_mode or len(self.redis) > 1:
            super().write()
        elif self.masters:
            self.acknowledged.append(len(self.acknowledged) + 1)
            self.masters[0].writes += (self.acknowledged[-1],)

    def _kubelets(self) -> None:
        self.now += 1
        for name in SETS:
            wanted = [f"{name}-{i}" for i in range(self._running(name))]
            existing = [pod for pod in self.revision if pod.rsplit("-", 1)[0] == name]
            for pod in existing:
                if pod not in wanted:
                    self._remove(pod)
            for pod in wanted:
                self._run(pod, name)

    def _remove(self, pod: str) -> None:
        del self.revision[pod]
        self.roles.pop(pod, None)
        self._lowered_by.pop(pod, None)
        if pod in self.redis:
            assert not self.redis[pod].is_master, f"{pod} was scaled away as master"
            shown = [known.get(address_of(pod), 0) for known in self.known.values()]
            assert not any(shown), f"{pod} was scaled away while sentinels would promote it"
        self.redis.pop(pod, None)
        self.sentinels.pop(pod, None)
        self.known.pop(pod, None)
        self.peers.pop(pod, None)

    def _run(self, pod: str, name: str) -> None:
        if pod not in self.revision:
            live = self.api.objects["StatefulSet", name]
            self.revision[pod] = live["status"]["updateRevision"]
            self.image[pod] = live["spec"]["template"]["spec"]["containers"][0]["image"]
            self.made[pod] = self.made.get(pod, 0) + 1
            self.created_at[pod] = self.now
        if name == CHILDREN.sentinel:
            sentinel = self.sentinels.setdefault(pod, Sentinel(pod))
            self.away[pod] = max(self.away.get(pod, 0) - 1, 0)
            sentinel.up = not self.away[pod] and not self.is_broken(pod)
            return
        node = self.redis.setdefault(pod, Redis(pod))
        node.has_pod = True
        if not node.up and node.down_for > 0:
            node.down_for -= 1
        elif not node.up and not self.is_broken(pod):
            self._start(pod, node)

    def _start(self, pod: str, node: Redis) -> None:
        is_alone = self._is_standalone_file()
        self.priority[pod] = 100 if is_alone else 0
        self.announced[pod] = "" if is_alone else node.address
        self.config[pod] = directives(self.conf_read.get(pod) or self.conf)
        node.start()
        if is_alone:
            node.role = "master"

    def _is_standalone_file(self) -> bool:
        settings = self.api.objects["ConfigMap", CHILDREN.config]["data"]["settings"]
        return "MODE=standalone" in settings

    def is_broken(self, pod: str) -> bool:
        return BROKEN in self.image[pod]

    def tick(self) -> None:
        super().tick()
        for pod, node in self.redis.items():
            if node.synced and self.priority.get(pod) == 0 and pod not in self._lowered:
                self.priority[pod] = 100
        for pod, sentinel in self.sentinels.items():
            if not sentinel.up or not sentinel.master:
                continue
            known = self.known.setdefault(pod, {})
            known |= {n.address: self.priority[n.pod] for n in self.redis.values() if n.linked and n.up}
            known.pop(sentinel.master, None)
            others = (o for o in self.sentinels.values() if o.up and o.master and o is not sentinel)
            self.peers.setdefault(pod, set()).update(address_of(other.pod) for other in others)

    @property
    def _lowered(self) -> set[str]:
        return {
            pod for pod, by in self._lowered_by.items() if pod in self.redis and by == self.redis[pod].run_id
        }

    # --- the operator ------------------------------------------------------------------------------------------

    def observe(self) -> Observed:
        objects = {**self.api.objects}
        for name, body in self.api.revisions.items():
            objects["ControllerRevision", name] = body
        data, sentinels = self._members()
        return Observed(
            resource={**self.resource, "status": self.status},
            now=self.now,
            objects=objects,
            pods=tuple(self._see_pods()),
            data=tuple(self._see_data(self.redis.get(pod) or Redis(pod)) for pod in data),
            sentinels=tuple(
                self._see_sentinel(self.sentinels.get(pod) or Sentinel(pod)) for pod in sentinels
            ),
        )

    def _members(self) -> tuple[list[str], list[str]]:
        held = in_force(WHO, self.spec, self.api.objects, status=self.status)
        return list(data_pods(WHO, held)), list(sentinel_pods(WHO, held))

    def _see_pods(self) -> Iterator[Pod]:
        for pod, revision in self.revision.items():
            node, sentinel = self.redis.get(pod), self.sentinels.get(pod)
            if (node is not None and not node.has_pod) or self.away.get(pod):
                continue
            waiting = "ImagePullBackOff: no such image" if self.is_broken(pod) else None
            ready = bool(node and node.up and (node.is_master or node.linked)) or bool(
                sentinel and sentinel.up
            )
            seen = pod_of(
                pod,
                ready=ready,
                role=self.roles.get(pod),
                revision=revision,
                waiting=waiting,
                phase="Pending" if waiting else "Running",
                created_at=self.created_at[pod],
            )
            yield replace(seen, uid=f"{pod}#{self.made[pod]}")

    def _see_data(self, node: Redis) -> DataNode:
        seen = super()._see_data(node)
        if not seen.is_up:
            return seen
        replicas = [n for n in self.redis.values() if n.linked and n.up and n.follows == node.address]
        shown = tuple(Replica(address=n.address, online=True, offset=0, lag_s=0) for n in replicas)
        has = {k: v for k, v in self.config[node.pod].items() if is_comparable(k)}
        if self.sentinels:
            has[ANNOUNCED] = self.announced[node.pod]
        used = self.used.get(node.pod)
        priority = self.priority[node.pod]
        return replace(seen, priority=priority, replicas=shown, config=has, used_memory=used)

    def _see_sentinel(self, sentinel: Sentinel) -> SentinelNode:
        seen = super()._see_sentinel(sentinel)
        if not seen.monitors:
            return seen
        known, peers = self.known.get(sentinel.pod, {}), self.peers.get(sentinel.pod, set())
        linked = {n.address for n in self.redis.values() if n.linked and n.up}
        alive = {address_of(other.pod) for other in self.sentinels.values() if other.up}
        return replace(
            seen,
            replicas=tuple(
                KnownReplica(
                    address=address,
                    flags=frozenset({"slave"} if address in linked else {"slave", "s_down"}),
                    priority=priority,
                    offset=0,
                    link_up=address in linked,
                )
                for address, priority in known.items()
            ),
            peers=tuple(peers),
            peers_down=tuple(peers - alive),
            quorum_ok=len(peers & alive) + 1
            >= max((len(peers) + 1) // 2 + 1, sentinel.settings.get("quorum", 0)),
        )

    def hand_over(self, course: Course) -> None:
        """A switchover as it should be, without a write in between."""
        (old,) = self.masters
        new = self.redis[course.new.pod]
        assert old.pod == course.old.pod
        assert new.linked, f"{new.pod} is handed the role and is not in sync"
        assert set(self.acknowledged) <= set(new.writes)
        assert len(course.sentinels) == len(self.sentinels)
        agreed = self.agreed()
        assert agreed is not None
        new.role, new.follows, new.linked = "master", None, False
        old.role, old.follows, old.synced = "slave", new.address, True
        for sentinel in self.sentinels.values():
            sentinel.master, sentinel.epoch = new.address, agreed[1] + 1
        self.handovers.append((old.pod, new.pod))
        self.status = merge_patch(self.status, course.done("Switchover", time=utc(self.now), milliseconds=50))

    def carry_out(self, action: Action) -> None:
        match action:
            case SwitchOver(course=course):
                self.hand_over(course)
            case DeletePod():
                self._delete_pod(action)
            case SetConfig(values={"replica-priority": priority}):
                node = self._process(action.pod, action.run_id)
                self.priority[action.pod] = int(priority)
                if int(priority):
                    self._lowered_by.pop(action.pod, None)
                else:
                    self._lowered_by[action.pod] = node.run_id
            case SetConfig(values={"replica-announce-ip": address}):
                self._process(action.pod, action.run_id)
                self.announced[action.pod] = address
            case SetConfig(values=values):
                self._process(action.pod, action.run_id)
                if self.refused & set(values):
                    raise Refused(f"{action.pod} does not take {', '.join(values)}")
                assert not any(needs_restart(name) for name in values)
                self.config[action.pod] |= values
            case SentinelReset():
                self._reset(action.pod)
            case DeleteChild(kind="StatefulSet"):
                self._delete_set(action)
            case DeleteChild():
                live = self.api.objects.pop((action.kind, action.name))
                assert live["metadata"]["uid"] == action.uid
                assert not any(address_of(action.name) in known for known in self.known.values())
                assert not any(address_of(action.name) in peers for peers in self.peers.values())
            case _:
                super().carry_out(action)

    def _check_service(self, body: Mapping[str, Any]) -> None:
        if self.sentinels:
            super()._check_service(body)

    def _delete_set(self, action: DeleteChild) -> None:
        live = self.api.objects.pop(("StatefulSet", action.name))
        assert live["metadata"]["uid"] == action.uid
        (master,) = self.masters
        assert master.pod == CHILDREN.master_pod()
        if action.name == CHILDREN.sentinel:
            for node in self.redis.values():
                assert node is master or node.linked
                assert node is master or self.priority[node.pod] == 0, f"{node.pod} could be promoted"
        else:
            assert not self.sentinels, "the replicas go before the sentinels"

    def _delete_pod(self, action: DeletePod) -> None:
        pod = action.pod
        assert action.uid == f"{pod}#{self.made[pod]}", "another pod of that name"
        self.deleted.append(pod)
        if not self.is_broken(pod):
            self._is_whole_without(pod)
        del self.revision[pod]
        if pod in self.sentinels:
            self.away[pod] = 2
            self.sentinels[pod].up = False
        else:
            self.delete(pod, down_for=2)
            self._lowered_by.pop(pod, None)

    def _is_whole_without(self, pod: str) -> None:
        for node in self.redis.values():
            if node.pod == pod:
                assert not node.is_master, f"{pod} is deleted as master"
            else:
                assert node.is_master or node.linked, f"{pod} is deleted while {node.pod} is away"
        for sentinel in self.sentinels.values():
            assert sentinel.up, f"{pod} is deleted while {sentinel.pod} is away"

    def _reset(self, pod: str) -> None:
        self._is_whole_without(pod)
        everybody = {address_of(other) for other in self.sentinels}
        replicas = {n.address for n in self.redis.values() if not n.is_master}
        for other, known in self.known.items():
            assert replicas <= set(known), f"{pod} forgets while {other} does not know every replica"
            assert everybody - {address_of(other)} <= self.peers[other]
        if self.resets:
            assert self.now - self.resets[-1][0] >= 30, "two sentinels forget at the same time"
        self.resets.append((self.now, pod))
        self.known[pod], self.peers[pod] = {}, set()
