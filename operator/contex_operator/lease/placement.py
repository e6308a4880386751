"""Where the leader had better not be: on the node of a master, for then both would die at once.

After the death of such a node the master Service would wait for the Lease to end. So a leader whose node carries a
master hands the Lease to a standby whose node carries none. Pure, but for `Placement`'s looks. Called by app.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
# The same finding so often in a row: right after a failover or a start nothing is settled.
LOOKS: Final = 3


def better_node(own: str, *, masters: Iterable[str], standbys: Iterable[str]) -> str | None:
    """A node with a standby that carries no master, while ours does; None where it is well as it is."""
    carrying = set(masters)
    if own not in carrying:
        return None
    return next((node for node in sorted(set(standbys)) if node not in carrying), None)


def standby_nodes(pods: Iterable[Mapping[str, Any]], *, own_pod: str) -> list[str]:
    """Nodes of the other operator pods that are ready and stay."""
    found = []
    for pod in pods:
        conditions = {c["type"]: c["status"] for c in (pod.get("status") or {}).get("conditions") or []}
        node = (pod.get("spec") or {}).get("nodeName")
        metadata = pod["metadata"]
        stays = "deletionTimestamp" not in metadata and conditions.get("Ready") == "True"
        if stays and node and metadata["name"] != own_pod:
            found.append(str(node))
    return found


class Placement:
    """Looks every LOOK_EVERY_S; after LOOKS equal findings `step_aside` is called.

    `pods` lists the operator's pods; `masters` are the nodes of the masters that this operator looks after.
    """

    def __init__(
        self,
        *,
        own_node: str,
        own_pod: str,
        pods: Callable[[], Awaitable[Iterable[Mapping[str, Any]]]],
        masters: Callable[[], Iterable[str]],
        step_aside: Callable[[], None],
    ) -> None:
        self._own_node, self._own_pod = own_node, own_pod
        self._pods, self._masters, self._step_aside = pods, masters, step_aside
        self._findings: list[str | None] = []

    async def look(self) -> bool:
        """One look; True when the Lease is to be given away. Raises KubeError."""
        masters = tuple(self._masters())
        if self._own_node not in masters:  # the usual case costs no question
            self._findings.clear()
            return False
        standbys = standby_nodes(await self._pods(), own_pod=self._own_pod)
        found = better_node(self._own_node, masters=masters, standbys=standbys)
        self._findings = [*self._findings, found][-LOOKS:]
        if found is None or self._findings != [found] * LOOKS:
            return False
        self._findings.clear()
        log.info("node %s carries a master: the Lease goes to the standby on %s", self._own_node, found)
        self._step_aside()
        return True
