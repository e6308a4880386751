"""Steps that a bootstrap and a cold start share: make one node master, let all follow, tell the sentinels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..actions import Action, Follow, MakeMaster, Monitor, RememberInStatus
from ..model import DataNode, Observed
from ..spec import Spec
from .step import Step


def sentinel_settings(spec: Spec) -> dict[str, int]:
    """The settings of SENTINEL SET besides the quorum, by their names there."""
    return {
        "down-after-milliseconds": spec.sentinel.down_after_ms,
        "failover-timeout": spec.sentinel.failover_timeout_ms,
        "parallel-syncs": spec.sentinel.parallel_syncs,
    }


def remember_intent(procedure: str, node: DataNode, **facts: Any) -> Step:
    """Write down who is to become master, before anything is done (rule 3)."""
    intent = {"procedure": procedure, "pod": node.pod, "address": node.address, **facts}
    return Step(
        note=f"{node.pod} is to become master ({procedure})",
        actions=(RememberInStatus(fields={"intent": intent}),),
    )


def carry_out(spec: Spec, observed: Observed, *, intent: Mapping[str, Any]) -> Step:
    """The next step of an intent whose pod is to be master; done when the sentinels agree on it.

    An intent may be old: whatever has happened since it was written is looked at again before each command.
    """
    chosen = observed.node_of(str(intent["pod"]))
    if chosen is None or not chosen.is_up or chosen.run_id is None:
        return Step(note=f"waiting for {intent['pod']}, which is to become master")
    if chosen.loading:
        return Step(note=f"waiting for {chosen.pod} to load its data")
    rivals = ", ".join(n.pod for n in observed.data if n.is_master and n.pod != chosen.pod)
    if rivals and chosen.is_master:
        return Step(
            note=f"{rivals} says role:master beside {chosen.pod}: nothing is changed",
            risk=("DivergentData", f"{chosen.pod} and {rivals} are both master, and no sentinel names one"),
        )
    objection = _objection(spec, observed, chosen)
    if objection:
        return Step(note=f"{chosen.pod} was to become master; now {objection}: nothing is changed")
    if not chosen.is_master:
        lost = _holds_nothing(chosen) and not all(_holds_nothing(node) for node in observed.data)
        if lost or rivals:
            why = f"{rivals} is master by now" if rivals else f"{chosen.pod} has lost its data"
            forget = RememberInStatus(fields={"intent": None})
            return Step(note=f"{why}: the choice is made anew", actions=(forget,))
        make = MakeMaster(pod=chosen.pod, address=str(chosen.address), run_id=chosen.run_id)
        return Step(note=f"{chosen.pod} becomes master", actions=(make, *_followers(observed, chosen)))
    followers = _followers(observed, chosen)
    if followers:
        return Step(note=f"the other nodes follow {chosen.pod}", actions=followers)
    # A copy that a person does without is not waited for.
    without = intent.get("without") or ()
    replicas = [n for n in observed.data if n.pod != chosen.pod and (n.is_up or n.pod not in without)]
    linked = sum(node.is_synced_replica for node in replicas)
    if linked < len(replicas):
        return Step(note=f"{linked} of {len(replicas)} replicas are in sync with {chosen.pod}")
    monitors: tuple[Action, ...] = tuple(
        Monitor(
            pod=sentinel.pod,
            address=str(sentinel.address),
            master_name=spec.sentinel.master_name,
            master=str(chosen.address),
            quorum=spec.sentinel.quorum,
            settings=sentinel_settings(spec),
        )
        for sentinel in observed.sentinels
        if sentinel.is_up and not sentinel.monitors
    )
    if monitors:
        return Step(note=f"the sentinels monitor {chosen.pod}", actions=monitors)
    return Step(note=f"waiting for a majority of the sentinels to name {chosen.pod}")


def _objection(spec: Spec, observed: Observed, chosen: DataNode) -> str | None:
    """Why an intent must not be carried on now: the sentinels decide, or too few of them can be asked."""
    answering = [sentinel for sentinel in observed.sentinels if sentinel.is_up]
    if len(answering) < spec.majority:
        return f"only {len(answering)} of {spec.sentinel.replicas} sentinels answer"
    monitoring = [sentinel for sentinel in answering if sentinel.monitors]
    elsewhere = [sentinel.pod for sentinel in monitoring if sentinel.master_address != chosen.address]
    if elsewhere:
        return f"{', '.join(elsewhere)} names another master"
    if not chosen.is_master and len(monitoring) >= spec.majority:
        return "a majority of the sentinels monitors it, and they decide"
    return None


def _holds_nothing(node: DataNode) -> bool:
    return node.holding is not None and not node.holding.has_data and not node.keys


def _followers(observed: Observed, chosen: DataNode) -> tuple[Action, ...]:
    return tuple(
        Follow(pod=node.pod, address=str(node.address), run_id=str(node.run_id), master=str(chosen.address))
        for node in observed.data
        if node.is_up and node.pod != chosen.pod and node.master_address != chosen.address
    )
