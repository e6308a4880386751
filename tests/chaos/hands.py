"""Carries faults and moves out: one small function each, by the names of `planning`.

Every fault that lasts returns its undo. Nobody's faults are undone but one's own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lab.faults import Faults
from tests.chaos.planning import KINDS, Effect, Step, Target
from tests.e2e.support import spaces
from tests.e2e.support.checkout import moves
from tests.e2e.support.redis_set import RedisSet

Undo = Callable[[], None]
CONTROL: Final = "control"
REPLICAS: Final = (2, 3)  # between these a set is scaled


@dataclass(frozen=True)
class Scene:
    """Where a step is carried out: the set, who is (or was last) its master, and the round's number."""

    redis_set: RedisSet
    master: str
    number: int

    @property
    def faults(self) -> Faults:
        """The laboratory's verbs."""
        lab = self.redis_set.cluster.lab
        assert lab is not None
        return lab.faults

    @property
    def namespace(self) -> str:
        return self.redis_set.namespace

    def nodes(self) -> tuple[str, ...]:
        """All nodes of the laboratory."""
        lab = self.redis_set.cluster.lab
        assert lab is not None
        return lab.nodes

    def kubectl(self, *words: str) -> str:
        """kubectl in the set's namespace."""
        return self.redis_set.cluster.kubectl(*words, "-n", self.namespace)


def known_moves() -> tuple[str, ...]:
    """The planned moves that this checkout's operator knows."""
    found = moves()
    words = (
        ("switchover", found.switchover is not None),
        ("rollout", found.rollout),
        ("scale-up", found.scale_down),  # what cannot be lowered again is not raised either
        ("scale-down", found.scale_down),
    )
    return tuple(word for word, is_known in words if is_known)


def candidates(scene: Scene, target: Target) -> list[str]:
    """What fits a target now."""
    redis_set = scene.redis_set
    if target is Target.MASTER:
        return [scene.master]
    if target is Target.REPLICA:
        return [pod for pod in redis_set.data_pods() if pod != scene.master]
    if target is Target.DATA:
        return list(redis_set.data_pods())
    if target is Target.SENTINEL:
        return list(redis_set.sentinel_pods())
    if target is Target.POD:
        return [*redis_set.data_pods(), *redis_set.sentinel_pods()]
    if target is Target.MASTER_NODE:
        return [redis_set.node_of(scene.master)]
    if target is Target.NODE:
        return list(scene.nodes())
    if target is Target.LEADER:
        holder = spaces.leader(redis_set.cluster, scene.namespace)
        return [holder] if holder in operators(scene) else operators(scene)
    return [target.value]


def operators(scene: Scene) -> list[str]:
    """The operator's pods."""
    found = scene.redis_set.cluster.items("pods", scene.namespace, labels=spaces.OPERATOR_LABEL)
    return [pod["metadata"]["name"] for pod in found]


def hits_master(scene: Scene, step: Step, hit: str) -> bool:
    """Whether the master is among those that a fault hits."""
    if step.target is Target.ALL:
        return True
    if step.target in (Target.NODE, Target.MASTER_NODE):
        return KINDS[step.kind].effect is not Effect.NONE and scene.redis_set.node_of(scene.master) == hit
    return hit == scene.master


def carry_out(scene: Scene, step: Step, hit: str) -> Undo | None:
    """Do it; returns its undo, None where there is none. Raises LabError, KubectlFailed."""
    return _HANDS[step.kind](scene, step, hit)


# -- processes and pods -------------------------------------------------------------------------------------


def _process_of(scene: Scene, pod: str) -> str:
    image = scene.redis_set.resource()["spec"]["image"]
    family = "valkey" if "valkey" in image else "redis"
    return f"{family}-{'sentinel' if pod in scene.redis_set.sentinel_pods() else 'server'}"


def _kill(scene: Scene, _: Step, hit: str) -> None:
    scene.faults.kill(scene.namespace, hit, _process_of(scene, hit))


def _terminate(scene: Scene, _: Step, hit: str) -> None:
    scene.faults.kill(scene.namespace, hit, _process_of(scene, hit), signal=signal.SIGTERM)


def _freeze(scene: Scene, _: Step, hit: str) -> Undo:
    return scene.faults.freeze(f"{scene.namespace}/{hit}").undo


def _delete(scene: Scene, _: Step, hit: str) -> None:
    scene.kubectl("delete", "pod", hit, "--wait=false")


def _delete_now(scene: Scene, _: Step, hit: str) -> None:
    scene.kubectl("delete", "pod", hit, "--wait=false", "--force", "--grace-period=0")


def _delete_all_data(scene: Scene, _: Step, __: str) -> None:
    names = scene.redis_set.data_pods()
    scene.kubectl(
        "delete", "pod", *names, "--wait=false", "--force", "--grace-period=0", "--ignore-not-found"
    )


def _of_operators(scene: Scene, step: Step, hit: str) -> list[str]:
    return operators(scene) if step.target is Target.OPERATORS else [hit]


def _kill_operator(scene: Scene, step: Step, hit: str) -> None:
    for pod in _of_operators(scene, step, hit):
        scene.faults.kill(scene.namespace, pod, "python")


def _stop_operator(scene: Scene, step: Step, hit: str) -> Undo:
    undos = [scene.faults.freeze(f"{scene.namespace}/{pod}").undo for pod in _of_operators(scene, step, hit)]
    return _all(undos)


# -- nodes and network --------------------------------------------------------------------------------------


def _power_off(scene: Scene, _: Step, hit: str) -> Undo:
    return scene.faults.power_off(hit).undo


def _cut(scene: Scene, _: Step, hit: str) -> Undo:
    return scene.faults.cut(hit).undo


def _others(scene: Scene, node: str) -> list[str]:
    return [each for each in scene.nodes() if each != node]


def _partition(direction: str) -> Callable[[Scene, Step, str], Undo]:
    """A node from the other nodes; clients and the API reach both sides."""

    def partition(scene: Scene, _: Step, hit: str) -> Undo:
        return scene.faults.partition(a=[hit], b=_others(scene, hit), direction=direction).undo

    return partition


def _cut_replication(scene: Scene, _: Step, hit: str) -> Undo:
    others = [pod for pod in scene.redis_set.data_pods() if pod != hit]
    a, b = [f"{scene.namespace}/{hit}"], [f"{scene.namespace}/{pod}" for pod in others]
    return scene.faults.partition(a=a, b=b).undo


def _cut_api(scene: Scene, _: Step, hit: str) -> Undo:
    return scene.faults.partition(a=[CONTROL], b=[hit]).undo


def _dns_off(scene: Scene, _: Step, __: str) -> Undo:
    return scene.faults.dns_off().undo


# -- clocks and disks ---------------------------------------------------------------------------------------


def _clock(scene: Scene, step: Step, hit: str) -> Undo:
    return scene.faults.clock(scene.namespace, hit, step.amount).undo


def _fill_disk(scene: Scene, _: Step, hit: str) -> Undo:
    return scene.faults.fill_disk(scene.namespace, hit).undo


# -- moves --------------------------------------------------------------------------------------------------


def _switchover(scene: Scene, _: Step, __: str) -> None:
    words = ("annotate", "contexredis", scene.redis_set.name, f"{moves().switchover}=any", "--overwrite")
    scene.kubectl(*words)


def _rollout(scene: Scene, _: Step, __: str) -> None:
    scene.redis_set.configure(podAnnotations={"chaos/round": str(scene.number)})


def _scale(by: int) -> Callable[[Scene, Step, str], None]:
    def scale(scene: Scene, _: Step, __: str) -> None:
        lowest, highest = REPLICAS
        wanted = int(scene.redis_set.resource()["spec"]["replicas"]) + by
        scene.redis_set.configure(replicas=min(max(wanted, lowest), highest))

    return scale


def _all(undos: list[Undo]) -> Undo:
    def undo() -> None:
        for each in undos:
            each()

    return undo


_HANDS: Final[dict[str, Callable[[Scene, Step, str], Undo | None]]] = {
    "kill": _kill,
    "terminate": _terminate,
    "freeze": _freeze,
    "power-off": _power_off,
    "cut": _cut,
    "partition": _partition("both"),
    "partition-out": _partition("a-to-b"),
    "partition-in": _partition("b-to-a"),
    "cut-replication": _cut_replication,
    "cut-api": _cut_api,
    "dns-off": _dns_off,
    "clock": _clock,
    "fill-disk": _fill_disk,
    "delete-pod": _delete,
    "delete-pod-now": _delete_now,
    "delete-all-data": _delete_all_data,
    "kill-operator": _kill_operator,
    "stop-operator": _stop_operator,
    "switchover": _switchover,
    "rollout": _rollout,
    "scale-up": _scale(1),
    "scale-down": _scale(-1),
}
assert _HANDS.keys() == KINDS.keys(), "every kind of step has its hand"
