"""Where traffic goes: the master Service by one write, then the labels, then the clients of a demoted master.

Pure. Order and hazard: the Service first, because two label writes leave nobody served for over a second; a former
master's label goes before anybody gets a new one; its clients are closed only after the Service has moved, else they
reconnect to the old node and read old data.
"""

from __future__ import annotations

from typing import Final

from . import names
from .actions import Action, Apply, KillClients, SetRole
from .children import pinned
from .model import DataNode, Object, Observed, Pod, seconds
from .names import Children
from .render import NO_POD, Body
from .topology import Topology


def served_pod(service: Object | None) -> str | None:
    """The pod that the master Service selects now, None where it selects none."""
    selector = ((service or {}).get("spec") or {}).get("selector") or {}
    pod = selector.get(names.LABEL_POD_NAME)
    return None if pod in (None, NO_POD) else str(pod)


def move_service(observed: Observed, *, body: Body, to: str) -> list[Action]:
    """The one write that moves the master Service; it carries the state that was observed (rule 13).

    Where it led to a node that never was master, its clients are cut off there: a switchover that was undone leaves
    them with the target, where they would read READONLY for ever. (A former master's go with its label.)
    """
    live = observed.objects.get(("Service", body["metadata"]["name"]))
    if live is None or served_pod(live) == to:
        return []
    moved: list[Action] = [Apply(body=pinned(body, live, version=True), why=f"leads to {to}")]
    left = observed.node_of(served_pod(live) or "")
    pod = observed.pod(left.pod) if left is not None else None
    was_replica = pod is not None and pod.role == names.ROLE_REPLICA
    if left is not None and was_replica and left.is_up and left.role == "slave" and left.run_id:
        cut = KillClients(pod=left.pod, address=str(left.address), run_id=left.run_id)
        moved.append(cut)
    return moved


def label_roles(observed: Observed, topology: Topology, *, service_moved: bool) -> list[Action]:
    """Role labels by the truth; without a truth only a label that is proven wrong goes."""
    gone: list[Action] = []
    given: list[Action] = []
    for node in observed.data:
        pod = observed.pod(node.pod)
        if pod is None:
            continue
        role = _role(node, pod, topology)
        if role == pod.role:
            continue
        if pod.role is not None:
            gone.append(SetRole(pod=pod.name, uid=pod.uid, role=None))
        if role is None or pod.terminating:  # who is leaving loses a wrong label and gets no new one
            continue
        if role == names.ROLE_REPLICA and service_moved and node.normal_clients and node.run_id:
            given.append(KillClients(pod=pod.name, address=str(node.address), run_id=node.run_id))
        given.append(SetRole(pod=pod.name, uid=pod.uid, role=role))
    return gone + given


# That long after a move of the master a client with a script or a transaction is taken for one that it left behind.
LEFT_BEHIND_S: Final = 60.0


def close_strays(observed: Observed, topology: Topology) -> list[Action]:
    """Close the connections of clients that write to a replica: they took it for the master.

    Closing a demoted master's clients once, or for some time, is not enough: a kube-proxy that follows late leads them
    back, and a plain client then stays on READONLY for good. Who only reads is left alone. Only where the master
    Service leads to the master already, else they would come back at once.
    """
    service = observed.objects.get(("Service", Children(observed.name).master))
    if topology.master is None or served_pod(service) != topology.master.pod:
        return []
    moved = (observed.status.get("lastFailover") or {}).get("time")
    recently = moved is not None and observed.now - seconds(moved) < LEFT_BEHIND_S
    actions: list[Action] = []
    for node in observed.data:
        ids = tuple(client.id for client in node.writers if client.writes or recently)
        if ids and node.role == "slave" and node.run_id:
            actions.append(KillClients(pod=node.pod, address=str(node.address), run_id=node.run_id, ids=ids))
    return actions


def _role(node: DataNode, pod: Pod, topology: Topology) -> str | None:
    if topology.master is None:
        wrong = pod.role == names.ROLE_MASTER and node.is_up and not node.is_master
        return None if wrong else pod.role
    if node.pod == topology.master.pod:
        return names.ROLE_MASTER
    if node.is_up and node.role == "slave":
        return names.ROLE_REPLICA
    # Down or unknown: it was a replica for all we know; a former master is nothing until it says so itself.
    return pod.role if pod.role == names.ROLE_REPLICA else None
