"""From sentinel to standalone: a Redis that restarts when the sentinels are gone already has nobody left to ask.

Its start gate waits for them, with a configuration that was mounted when there were some, and would wait for ever.
Nobody can have been promoted in its place: the master's role was led to it, the others' priorities were 0, and the
sentinels' end came last (scale.dismantle). So it becomes master again where its own data are intact, and everybody
else that is still there was asked and is no master: the conditions of the start gate (rule 4) that are left.
Called by plan.
"""

from __future__ import annotations

from typing import Final

from ..actions import MakeMaster, RememberInStatus
from ..model import DataNode, Observed, Pod
from ..names import COMPONENT_SENTINEL
from ..render import Identity
from ..topology import Topology
from ..views import canonical
from .elect import remember_intent
from .step import Step

NAME: Final = "alone"
NOBODY: Final = canonical("127.0.0.1")  # whom a pod follows that waits at its start gate


def serve_again(who: Identity, observed: Observed, topology: Topology) -> Step | None:
    """The next step for a Redis that waits at its gate in a set without sentinels, None where none does."""
    keeper = observed.node_of(who.children.master_pod())
    intent = observed.status.get("intent") or {}
    if keeper is not None and keeper is topology.master and intent.get("procedure") == NAME:
        forget = RememberInStatus(fields={"intent": None})
        return Step(note=f"{keeper.pod} serves again", actions=(forget,))
    if topology.master is not None or keeper is None or not _waits(keeper):
        return None
    if not observed.status.get("initialized"):
        return None
    what = f"{keeper.pod} waits for sentinels that are gone"
    ending = [pod.name for pod in observed.pods if pod.component == COMPONENT_SENTINEL]
    if ending:
        return Step(note=f"{what}; first {', '.join(ending)} has to end")
    masters = [node.pod for node in topology.second_masters]
    if masters:
        return Step(
            note=f"{what}, and {' and '.join(masters)} say they are masters",
            risk=(
                "DivergentData",
                f"{what}, and {' and '.join(masters)} says role:master: nothing is changed",
            ),
        )
    if keeper.loading:
        return Step(note=f"{what}; it is loading its data")
    if keeper.holding is None or not keeper.holding.has_data:
        return Step(
            note=f"{what}, and holds no data any more",
            risk=(
                "NothingToPromote",
                f"{keeper.pod}, which is to be the only Redis, has lost its data; set spec.mode back to sentinel, so "
                "that the other copies are compared, and bring missing ones back",
            ),
        )
    others = [node for node in observed.data if node is not keeper]
    silent = [node.pod for node in others if not node.is_up and _is_there(observed.pod(node.pod))]
    if silent:
        return Step(note=f"{what}; {', '.join(silent)} has to be asked before it serves again")
    newer = [node.pod for node in others if _knows_better(node, keeper)]
    if newer:
        named = ", ".join(newer)
        return Step(
            note=f"{what}, and {named} has gone on without it",
            risk=(
                "DivergentData",
                f"{named} has gone on with the data of {keeper.pod} under another master; set spec.mode back to "
                "sentinel, so that all copies are compared",
            ),
        )
    if intent.get("procedure") != NAME:
        return remember_intent(NAME, keeper)
    make = MakeMaster(pod=keeper.pod, address=str(keeper.address), run_id=str(keeper.run_id))
    return Step(note=f"{what}; its data are intact, and it serves again", actions=(make,))


def _waits(node: DataNode) -> bool:
    return node.is_up and node.role == "slave" and node.master_address == NOBODY and node.run_id is not None


def _is_there(pod: Pod | None) -> bool:
    return pod is not None and not pod.terminating


def _knows_better(node: DataNode, keeper: DataNode) -> bool:
    """It was master after the keeper, by a newer configuration or by the keeper's own replication id."""
    if not node.is_up or keeper.holding is None:
        return False
    if (
        node.replid2 is not None
        and node.replid2 == keeper.replid
        and (node.offset or 0) > (keeper.offset or 0)
    ):
        return True
    epochs = (node.holding.epoch if node.holding else None, keeper.holding.epoch)
    was_master = bool(node.holding and node.holding.was_master)
    return was_master and None not in epochs and (epochs[0] or 0) > (epochs[1] or 0)
