"""Facts as rows and sentences. Pure; what a terminal does with them is its own concern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from contex_operator import quantity
from contex_operator.model import DataNode, SentinelNode
from contex_operator.names import Condition

from .facts import Facts


class Tone(StrEnum):
    """How good what a cell says is."""

    GOOD = "good"
    BAD = "bad"
    CALM = "calm"


@dataclass(frozen=True, kw_only=True)
class PodRow:
    """One data pod."""

    pod: str
    node: str
    zone: str
    role: str
    link: str
    lag: str
    memory: str
    aof: str
    tone: Tone = Tone.CALM


@dataclass(frozen=True, kw_only=True)
class SentinelRow:
    """One sentinel's view."""

    sentinel: str
    node: str
    zone: str
    master: str
    epoch: str
    promotable: str  # replicas that it would promote, of all that it knows
    others: str  # sentinels that it sees, of all that it knows
    quorum: str
    tone: Tone = Tone.CALM


@dataclass(frozen=True, kw_only=True)
class ConditionRow:
    """A condition in words."""

    type: str
    status: str
    since: str
    words: str
    tone: Tone


# True is good news for these, bad news for those; Progressing and ContexWired=Unknown are neither.
_GOOD_WHEN_TRUE = {Condition.READY, Condition.FAILOVER_READY, Condition.SPEC_VALID, Condition.CONTEX_WIRED}
_BAD_WHEN_TRUE = {Condition.DEGRADED, Condition.DATA_LOSS_RISK, Condition.AUTH_CHANGED}


def pod_rows(facts: Facts) -> list[PodRow]:
    return [_pod_row(facts, node) for node in facts.observed.data]


def _pod_row(facts: Facts, node: DataNode) -> PodRow:
    pod, vitals, master = facts.observed.pod(node.pod), facts.vitals.get(node.pod), facts.topology.master
    where = pod.node if pod else None
    link, lag, is_bad = "–", "–", not node.is_up
    if not node.is_up:
        link = "no pod" if pod is None else node.reach.value
    elif node.role == "slave":
        link = "syncing" if node.syncing else "up" if node.link_up else "down"
        is_bad = not node.link_up
        if master is None or node.master_address != master.address:  # whom it follows is news
            link += f" ← {facts.pod_at(node.master_address) or node.master_address or 'nobody'}"
            is_bad = True
        seen = next((r for r in master.replicas if r.address == node.address), None) if master else None
        if seen is not None and master is not None:
            lag = f"{quantity.for_people(max(0, (master.offset or 0) - seen.offset))}B {seen.lag_s}s"
    elif master is not node:
        is_bad = True
    role = {"master": "master", "slave": "replica"}.get(node.role or "", "unknown")
    if node.is_master and node is not master:
        role = "SECOND MASTER" if master else "master (not agreed)"
    return PodRow(
        pod=node.pod,
        node=where or "–",
        zone=facts.zones.get(where or "", "–"),
        role=role,
        link=link,
        lag=lag,
        memory=_memory(vitals.memory_used, vitals.memory_max) if vitals else "–",
        aof=vitals.aof if vitals else "–",
        tone=Tone.BAD if is_bad else Tone.GOOD if node is master else Tone.CALM,
    )


def _memory(used: int | None, most: int | None) -> str:
    if used is None:
        return "–"
    share = f" / {quantity.for_people(most)} {100 * used // most}%" if most else ""
    return quantity.for_people(used) + share


def sentinel_rows(facts: Facts) -> list[SentinelRow]:
    return [_sentinel_row(facts, node) for node in facts.observed.sentinels]


def _sentinel_row(facts: Facts, node: SentinelNode) -> SentinelRow:
    pod = facts.observed.pod(node.pod)
    where = pod.node if pod else None
    dash = "–"
    if not node.is_up or not node.monitors:
        said = ("no pod" if pod is None else node.reach.value) if not node.is_up else "monitors nothing"
        return SentinelRow(
            sentinel=node.pod, node=where or dash, zone=facts.zones.get(where or "", dash), master=said,
            epoch=dash, promotable=dash, others=dash, quorum=dash, tone=Tone.BAD,
        )  # fmt: skip
    flags = sorted(node.flags - {"master"})
    agrees = facts.topology.address == node.master_address
    master = (facts.pod_at(node.master_address) or str(node.master_address)) + (
        f" ({', '.join(flags)})" if flags else ""
    )
    promotable = sum(replica.is_promotable for replica in node.replicas)
    return SentinelRow(
        sentinel=node.pod,
        node=where or dash,
        zone=facts.zones.get(where or "", dash),
        master=master,
        epoch=str(node.config_epoch),
        promotable=f"{promotable}/{len(node.replicas)}",
        others=f"{len(node.peers) - len(node.peers_down)}/{len(node.peers)}",
        quorum=("ok" if node.quorum_ok else "not met") + (", TILT" if node.tilt else ""),
        tone=Tone.CALM if agrees and node.quorum_ok and not flags and not node.tilt else Tone.BAD,
    )


def condition_rows(facts: Facts) -> list[ConditionRow]:
    rows = []
    for kind, condition in facts.conditions.items():
        status = str(condition.get("status"))
        tone = Tone.CALM
        if kind in _GOOD_WHEN_TRUE and status != "Unknown":
            tone = Tone.GOOD if status == "True" else Tone.BAD
        elif kind in _BAD_WHEN_TRUE and status == "True":
            tone = Tone.BAD
        rows.append(
            ConditionRow(
                type=kind,
                status=status,
                since=str(condition.get("lastTransitionTime", "–")),
                words=f"{condition.get('reason')}: {condition.get('message')}",
                tone=tone,
            )
        )
    return rows


def headline(facts: Facts) -> str:
    """The resource in one sentence."""
    status = facts.observed.status
    mode = (
        facts.spec.mode.value if facts.spec else str((facts.observed.resource.get("spec") or {}).get("mode"))
    )
    master = facts.topology.master.pod if facts.topology.master else "none"
    parts = [f"{facts.namespace}/{facts.name}", mode, str(status.get("phase", "unknown")), f"master {master}"]
    last = status.get("lastFailover")
    if last:
        parts.append(f"last moved {last.get('time')} from {last.get('from')} ({last.get('reason')})")
    return " · ".join(parts)


def as_data(facts: Facts) -> dict[str, Any]:
    """Everything that `status` shows, for programs."""
    status: Mapping[str, Any] = facts.observed.status
    return {
        "name": facts.name,
        "namespace": facts.namespace,
        "phase": status.get("phase"),
        "master": facts.topology.master.pod if facts.topology.master else None,
        "lastFailover": status.get("lastFailover"),
        "pods": [_plain(row) for row in pod_rows(facts)],
        "sentinels": [_plain(row) for row in sentinel_rows(facts)],
        "conditions": list(status.get("conditions") or ()),
        "unseen": [asdict(one) for one in facts.unseen],
    }


def _plain(row: PodRow | SentinelRow) -> dict[str, Any]:
    fields = asdict(row)
    return {key: value for key, value in fields.items() if key != "tone"} | {"ok": row.tone is not Tone.BAD}
