"""No majority of the sentinels remembers: the master is chosen by data, never by ordinal, age or key count.

  1. A sentinel that does remember: the node that the highest config-epoch names wins at once, where it is there with
     its data and no copy knows a newer configuration. So many copies may be missing as a master has to have replicas:
     a newer one that took writes has left its trace on a copy that is there.
  2. Else every expected copy is compared, a claim without a pod is one too. A node that runs as master has taken the
     last acknowledged writes. Where none does, each data pod says what it knew when it last ran (the config-epoch of
     its last configuration, and whether it was master in it); the master of the highest epoch took them.
  3. A copy that is missing for 60 s, or copies that contradict each other: nothing is chosen, DataLossRisk says why,
     and with which command a person decides (the annotation `elect-without`, good once).

The same command helps where the sentinels remember a node that does not serve and no replica that is there may be
promoted: `stuck` raises the priority of the best copy, and Sentinel promotes it. Pure; called by plan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .. import names
from ..actions import Action, DropAnnotation, SetConfig
from ..model import DataNode, Observed, Reach, SentinelNode, seconds
from ..spec import Spec
from ..topology import Topology, View
from .elect import carry_out, remember_intent
from .step import Step

NAME = "coldStart"
PATIENCE_S = 60.0  # a pod that was deleted with all others is back within that


def cold_start(spec: Spec, observed: Observed, *, strangers: tuple[str, ...]) -> Step:
    """The next step of a cold start. `strangers` are claims that no pod of the spec would mount."""
    intent = observed.status.get("intent") or {}
    if intent.get("procedure") == NAME:
        return carry_out(spec, observed, intent=intent)
    without = excused(observed)
    known = _remembered(observed)
    known = known if not isinstance(known, DataNode) or known.pod not in without else None
    missing = [n.pod for n in observed.data if _is_missing(n) and n.pod not in without]
    if isinstance(known, DataNode) and _wins_at_once(spec, observed, known, missing=missing):
        return _begin(known, without)
    if missing:
        return _wait_for(observed, missing)
    unmounted = tuple(claim for claim in strangers if claim.removeprefix("data-") not in without)
    if unmounted and not any(node.is_master for node in observed.data):
        pods = [claim.removeprefix("data-") for claim in unmounted]
        return Step(
            note="cold start is blocked",
            risk=(
                "RetainedClaims",
                f"claims {', '.join(unmounted)} hold data that no pod would mount; raise spec.replicas to what it "
                f"was, or do without them: {command(observed, pods)}",
            ),
        )
    chosen = choose(tuple(n for n in observed.data if n.pod not in without), narrowed=bool(without))
    if isinstance(known, str):
        chosen = known
    if isinstance(chosen, DataNode):
        against = [s for s in _remembering(observed) if s.master_address != chosen.address]
        against = [s for s in against if _pod_at(observed, s.master_address) not in without]
        if not against:
            return _begin(chosen, without)
        said = " and ".join(f"{s.pod} names {s.master_address}" for s in against)
        chosen = f"the data speak for {chosen.pod} ({chosen.address}), but {said}"
    hint = f"if you know which copies to do without: {command(observed, ['<pod>', '…'])}"
    return Step(note="cold start is blocked", risk=("DivergentData", f"{chosen}; {hint}"))


def _begin(chosen: DataNode, without: frozenset[str]) -> Step:
    if not without:
        return remember_intent(NAME, chosen)
    # The request goes first: one that stayed would decide another time, too.
    step = remember_intent(NAME, chosen, without=sorted(without))
    drop: Action = DropAnnotation(annotation=names.ANNOTATION_ELECT_WITHOUT)
    return replace(step, actions=(drop, *step.actions))


def _wait_for(observed: Observed, missing: list[str]) -> Step:
    named = ", ".join(missing)
    note = f"every copy of the data has to be seen before one is chosen; waiting for {named}"
    return Step(
        note=note,
        missing=tuple(missing),
        risk=(
            "CopyMissing",
            f"no master can be chosen while {named} may hold newer data and does not answer; bring it back, or do "
            f"without what only it has: {command(observed, missing)}",
        )
        if _is_overdue(observed, missing)
        else None,
    )


def _is_missing(node: DataNode) -> bool:
    return node.reach is not Reach.UP or node.loading


def _is_overdue(observed: Observed, missing: Iterable[str]) -> bool:
    """Has one of them been missing for long? status.missing says since when."""
    since = observed.status.get("missing") or {}
    times = [seconds(since[pod]) for pod in missing if pod in since]
    return bool(times) and observed.now - min(times) >= PATIENCE_S


# --- what a person may say -----------------------------------------------------------------------------------------


def excused(observed: Observed) -> frozenset[str]:
    """The pods whose copies a person wants to do without."""
    annotations = observed.resource["metadata"].get("annotations") or {}
    text = str(annotations.get(names.ANNOTATION_ELECT_WITHOUT, ""))
    return frozenset(part.strip() for part in text.split(",")) - {""}


def command(observed: Observed, pods: Iterable[str]) -> str:
    """The one command that says so."""
    return (
        f"kubectl annotate contexredis {observed.name} -n {observed.namespace} "
        f"{names.ANNOTATION_ELECT_WITHOUT}={','.join(pods)}"
    )


def unasked(observed: Observed) -> tuple[Action, ...]:
    """A request that was made while there is nothing to elect is taken off: it was for now, not for another time."""
    return (DropAnnotation(annotation=names.ANNOTATION_ELECT_WITHOUT),) if excused(observed) else ()


# --- a sentinel that remembers -------------------------------------------------------------------------------------


def _remembering(observed: Observed) -> list[SentinelNode]:
    return [s for s in observed.sentinels if s.is_up and s.monitors]


def _remembered(observed: Observed) -> DataNode | str | None:
    """The node that the highest config-epoch names, None where no sentinel remembers one of ours, or a sentence
    where two remember differently.
    """
    remembering = _remembering(observed)
    if not remembering:
        return None
    newest = max(s.config_epoch or 0 for s in remembering)
    naming = {s.master_address: s.pod for s in remembering if (s.config_epoch or 0) == newest}
    if len(naming) > 1:
        said = " and ".join(f"{pod} names {address}" for address, pod in naming.items())
        return f"two sentinels remember different masters of epoch {newest}: {said}"
    (address,) = naming
    return observed.node_at(address)


def _wins_at_once(spec: Spec, observed: Observed, known: DataNode, *, missing: list[str]) -> bool:
    newest = max(s.config_epoch or 0 for s in _remembering(observed))
    if _is_missing(known) or not _holds_data(known):
        return False
    if len(missing) > spec.profile.min_replicas_to_write:
        return False
    for node in observed.data:
        if node is known or _is_missing(node) or not _holds_data(node):
            continue
        recorded = node.holding.epoch if node.holding is not None else None
        if node.is_master or recorded is None or recorded > newest:
            return False
    return True


def _pod_at(observed: Observed, address: str | None) -> str | None:
    node = observed.node_at(address)
    return None if node is None else node.pod


# --- the comparison ------------------------------------------------------------------------------------------------


def _holds_data(node: DataNode) -> bool:
    """A process that has synced since its start holds more than its start found."""
    return node.holding is None or node.holding.has_data or bool(node.keys)


def choose(nodes: tuple[DataNode, ...], *, narrowed: bool = False) -> DataNode | str:
    """The node with the newest data, or a sentence why none can be chosen. All nodes must have answered.

    `narrowed`: a person has left copies out, perhaps the last master's; then a replica of it will do.
    """
    running = [node for node in nodes if node.is_master]
    if running:
        return _running_master(nodes, running)
    holders = [node for node in nodes if _holds_data(node)]
    if not holders:
        return "every volume is empty although this resource held data before; restore one before it starts again"
    if len(holders) == 1:
        return holders[0]
    unknown = [
        n.pod for n in holders if n.holding is None or not n.holding.has_data or n.holding.epoch is None
    ]
    if unknown:
        return f"{', '.join(unknown)} holds data and does not know which configuration they are from"
    newest = max(node.holding.epoch or 0 for node in holders if node.holding)
    last = [n for n in holders if n.holding and n.holding.epoch == newest]
    masters = [n for n in last if n.holding and n.holding.was_master]
    if len(masters) == 1:
        return masters[0]
    if masters:
        claimants = " and ".join(node.pod for node in masters)
        return f"{claimants} were both master in configuration epoch {newest}"
    if narrowed and len(last) == 1:
        return last[0]
    replicas = f"; {' and '.join(n.pod for n in last)} were its replicas: leave one" if narrowed else ""
    return f"the master of the newest configuration (epoch {newest}) holds no data any more{replicas}"


def _running_master(nodes: tuple[DataNode, ...], running: list[DataNode]) -> DataNode | str:
    """The one node that runs as master, unless another may have been master after it."""
    claimants = [
        node
        for node in nodes
        if node.is_master
        or (node.holding and node.holding.was_master and node.master_address != running[0].address)
    ]
    if claimants == running[:1]:
        return running[0]
    return f"{' and '.join(node.pod for node in claimants)} have both been master, and no sentinel knows the last"


# --- the sentinels remember, and nobody can be promoted -----------------------------------------------------------


def stuck(observed: Observed, topology: Topology) -> Step | None:
    """The named node does not serve (its volume is empty, its node is gone), and Sentinel may promote nobody."""
    named = observed.node_at(topology.address)
    if topology.view is not View.AGREED or topology.master is not None or named is None or named.is_up:
        return None
    others = [node for node in observed.data if node is not named and node.is_up]
    if any(node.priority for node in others):
        return None  # Sentinel's affair
    without = excused(observed)
    note = f"{named.pod}, which the sentinels name, does not serve, and no replica has completed a sync since its start"
    if named.pod in without:
        left = tuple(node for node in others if node.pod not in without and not node.loading)
        chosen = choose(left, narrowed=True)
        if isinstance(chosen, DataNode):
            # Sentinel's next attempt follows within 2 x failover-timeout.
            promote = SetConfig(
                pod=chosen.pod,
                address=str(chosen.address),
                run_id=str(chosen.run_id),
                values={"replica-priority": "100"},
            )
            drop = DropAnnotation(annotation=names.ANNOTATION_ELECT_WITHOUT)
            return Step(note=f"{note}; {chosen.pod} may be promoted now", actions=(drop, promote))
        note = f"{note}; {chosen}"
    if not _is_overdue(observed, [named.pod]):
        return Step(note=note, missing=(named.pod,))
    return Step(
        note=note,
        missing=(named.pod,),
        risk=(
            "NothingToPromote",
            f"{note}: mend {named.pod}, or do without what only it had: {command(observed, [named.pod])}",
        ),
    )
