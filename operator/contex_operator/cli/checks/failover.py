"""The rows Failover Not Working, Split Brain and Slow Failover: what the sentinels see, and how they are set."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from contex_operator import names, quantity
from contex_operator.model import SentinelNode
from contex_operator.topology import View, failover_blockers, quorum_at_risk

from ..facts import Facts
from .finding import Found, Row, Severity, check

SLOW_DOWN_AFTER_MS: Final = 5000
SLOW_FAILOVER_TIMEOUT_MS: Final = 60_000
FAST_DOWN_AFTER_MS: Final = 3000  # what the operator sets by itself
FAST_FAILOVER_TIMEOUT_MS: Final = 10_000
SLOW_LATENCY_MS: Final = 20.0
LEAST_CPU: Final = Decimal("0.05")
_OF_OTHER_CHECKS: Final = ("Standalone", "QuorumLost", "SentinelsBare", "SentinelsDisagree", "NoMaster")


def _set(facts: Facts, sentinel: str, option: str, value: int) -> str:
    name = facts.spec.sentinel.master_name if facts.spec else "mymaster"
    words = ("redis-cli", "-p", str(names.SENTINEL_PORT), "SENTINEL", "SET", name, option, str(value))
    return facts.kubectl("exec", sentinel, "--", *words)


def _logs(facts: Facts, pod: str) -> str:
    return facts.kubectl("logs", pod, "--tail", "100")


@check("quorum-lost", Row.FAILOVER)
def quorum_lost(facts: Facts) -> Iterator[Found]:
    """Does a majority of the sentinels answer?"""
    if facts.topology.view is not View.MINORITY:
        return
    silent = [f"{node.pod} ({node.reach.value})" for node in facts.observed.sentinels if not node.is_up]
    yield Found(
        finding=f"{facts.topology.unrest}, {facts.topology.majority} are needed to elect a new master",
        proof=f"no answer from {', '.join(silent)}",
        cure=facts.kubectl("get", "pods", "-l", f"{names.LABEL_CLUSTER}={facts.name}", "-o", "wide"),
    )


@check("sentinels-monitor-nothing", Row.FAILOVER)
def sentinels_monitor_nothing(facts: Facts) -> Iterator[Found]:
    """Does every sentinel that answers monitor the master?"""
    for node in facts.observed.sentinels:
        if node.is_up and not node.monitors:
            yield Found(
                finding=f"{node.pod} monitors nothing: it can neither vote nor tell who is master",
                proof=f"SENTINEL MASTER has no answer from {node.pod}",
                cure=_logs(facts, node.pod),
                severity=Severity.ERROR if facts.topology.view is View.BARE else Severity.WARNING,
            )


@check("quorum-setting", Row.FAILOVER)
def quorum_setting(facts: Facts) -> Iterator[Found]:
    """Is the quorum that each sentinel uses a number of sentinels that there are?"""
    if facts.spec is None:
        return
    wanted, count = facts.spec.sentinel.quorum, facts.sentinels_expected
    for node in facts.observed.sentinels:
        quorum = node.settings.get("quorum")
        if quorum is None or quorum == wanted:
            continue
        impossible = quorum > count
        yield Found(
            finding=f"{node.pod} asks for a quorum of {quorum}"
            + (f", and there are {count} sentinels: it never declares the master down" if impossible else ""),
            proof=f"{node.pod}: quorum {quorum}; spec.sentinel.quorum {wanted} of {count}",
            cure=_set(facts, node.pod, "quorum", wanted),
            severity=Severity.ERROR if impossible else Severity.WARNING,
        )


@check("quorum-unreachable", Row.FAILOVER)
def quorum_unreachable(facts: Facts) -> Iterator[Found]:
    """Does each sentinel see enough others for an election?"""
    for node in facts.observed.sentinels:
        is_possible = (
            node.settings.get("quorum", 0) <= facts.sentinels_expected
        )  # else: quorum-setting says so
        if node.is_up and node.monitors and not node.quorum_ok and is_possible:
            down = [facts.pod_at(address) or address for address in node.peers_down]
            yield Found(
                finding=f"{node.pod} does not see enough sentinels for an election",
                proof=f"{node.pod}: CKQUORUM says no; it knows {len(node.peers)} others"
                + (f", of which it sees {', '.join(down)} down" if down else ""),
                cure=_logs(facts, node.pod),
            )


@check("sentinel-count", Row.FAILOVER)
def sentinel_count(facts: Facts) -> Iterator[Found]:
    """Are there as many sentinels as the spec asks for (three at least, an odd number)?"""
    live = facts.observed.objects.get(("StatefulSet", facts.children.sentinel))
    if facts.spec is None or live is None or not facts.spec.is_sentinel_mode:
        return
    wanted, count = facts.sentinels_expected, (live.get("spec") or {}).get("replicas", 1)
    if count < wanted:
        yield Found(
            finding=f"{count} of {wanted} sentinels are to run: {facts.spec.majority} must agree on every failover",
            proof=f"StatefulSet {facts.children.sentinel} has replicas {count}, spec.sentinel.replicas is {wanted}",
            cure=facts.kubectl("scale", "statefulset", facts.children.sentinel, "--replicas", str(wanted)),
            severity=Severity.ERROR if count < facts.spec.majority else Severity.WARNING,
        )


@check("quorum-at-risk", Row.FAILOVER)
def quorum_on_one_node(facts: Facts) -> Iterator[Found]:
    """Do the sentinels stand on different nodes?"""
    node = quorum_at_risk(facts.observed, sentinels=facts.sentinels_expected)
    if node is None or facts.sentinels_expected < 3:
        return
    pods = {sentinel.pod for sentinel in facts.observed.sentinels}
    there = sorted(pod.name for pod in facts.observed.pods if pod.node == node and pod.name in pods)
    yield Found(
        finding=f"node {node} carries a majority of the sentinels: its loss would end every failover",
        proof=f"on {node}: {', '.join(there)}",
        cure=facts.kubectl("delete", "pod", there[-1]),
        severity=Severity.WARNING,
    )


@check("failover-not-ready", Row.FAILOVER)
def failover_not_ready(facts: Facts) -> Iterator[Found]:
    """Would a crash of the master now heal by itself?"""
    blockers = failover_blockers(facts.observed, facts.topology, sentinels=facts.sentinels_expected)
    if blockers is None or blockers[0] in _OF_OTHER_CHECKS:
        return
    yield Found(
        finding="a crash of the master now would not heal by itself",
        proof=f"{blockers[0]}: {blockers[1]}",
        cure=f"kubectl contexredis status {facts.name} -n {facts.namespace}",
    )


@check("ghost-peers", Row.FAILOVER)
def ghost_peers(facts: Facts) -> Iterator[Found]:
    """Does a sentinel count others that are none of this resource's?"""
    ours = {node.address for node in facts.observed.sentinels}
    for node in facts.observed.sentinels:
        strange = [peer for peer in node.peers if peer not in ours]
        if strange:
            yield Found(
                finding=f"{node.pod} counts sentinels that are none of {facts.name}'s: its majority is another",
                proof=f"{node.pod} knows {', '.join(strange)}",
                cure=facts.kubectl("get", "services", "-l", f"{names.LABEL_CLUSTER}={facts.name}"),
                severity=Severity.WARNING,
            )


@check("two-masters", Row.SPLIT_BRAIN)
def two_masters(facts: Facts) -> Iterator[Found]:
    """Does only one node say that it is master?"""
    for second in facts.topology.second_masters:
        true = facts.topology.master
        if true is None and len(facts.topology.second_masters) < 2:
            continue  # one that nobody contests: no second one
        beside = f"beside {true.pod}, which the sentinels name" if true else "and the sentinels name neither"
        leader = true or next(n for n in facts.topology.second_masters if n is not second)
        words = ("redis-cli", "REPLICAOF", str(leader.address), str(names.REDIS_PORT))
        yield Found(
            finding=f"{second.pod} says that it is master, {beside}",
            proof=f"{second.pod}: role:master, {second.normal_clients} clients, offset {second.offset}",
            cure=facts.kubectl("exec", second.pod, "--", *words)
            if true
            else f"kubectl contexredis status {facts.name} -n {facts.namespace}",
        )


@check("sentinels-disagree", Row.SPLIT_BRAIN)
def sentinels_disagree(facts: Facts) -> Iterator[Found]:
    """Do the sentinels name one master?"""
    named = {
        node.pod: facts.pod_at(node.master_address) or str(node.master_address)
        for node in facts.observed.sentinels
        if node.is_up and node.monitors
    }
    if len(set(named.values())) > 1:
        yield Found(
            finding="the sentinels name different masters",
            proof=", ".join(f"{pod} names {master}" for pod, master in named.items()),
            cure=_logs(facts, next(iter(named))),
            severity=Severity.ERROR if facts.topology.view is View.SPLIT else Severity.WARNING,
        )


@check("slow-failover-settings", Row.SLOW)
def slow_settings(facts: Facts) -> Iterator[Found]:
    """How long do the sentinels wait before they act?"""
    if facts.spec is None:
        return
    sentinel = facts.spec.sentinel
    yield from _slow(
        facts,
        "down-after-milliseconds",
        most=SLOW_DOWN_AFTER_MS,
        wanted=sentinel.down_after_ms,
        effect="a failover takes at least that long",
        patch=f'{{"sentinel":{{"downAfterMilliseconds":{FAST_DOWN_AFTER_MS}}}}}',
    )
    yield from _slow(
        facts,
        "failover-timeout",
        most=SLOW_FAILOVER_TIMEOUT_MS,
        wanted=sentinel.failover_timeout_ms,
        effect="a failover that fails is tried again after twice that",
        patch=f'{{"sentinel":{{"downAfterMilliseconds":{FAST_DOWN_AFTER_MS},'
        f'"failoverTimeoutMilliseconds":{FAST_FAILOVER_TIMEOUT_MS}}}}}',
    )


def _slow(facts: Facts, option: str, *, most: int, wanted: int, effect: str, patch: str) -> Iterator[Found]:
    """Sentinels whose `option` is above `most`: by the spec, mended there, or by somebody's hand, one by one."""
    slow = [node for node in facts.observed.sentinels if node.settings.get(option, 0) > most]
    groups = [slow] if wanted > most and slow else [[node] for node in slow]
    for nodes in groups:
        yield Found(
            finding=f"{option} is {nodes[0].settings[option]} ms: {effect}",
            proof="; ".join(f"{node.pod}: {option} {node.settings[option]}" for node in nodes),
            cure=facts.patch(patch) if wanted > most else _set(facts, nodes[0].pod, option, wanted),
            severity=Severity.WARNING,
        )


@check("network-latency", Row.SLOW)
def network_latency(facts: Facts) -> Iterator[Found]:
    """How far is the master from the sentinels?"""
    for pod, (average, highest) in facts.latency_ms.items():
        if average > SLOW_LATENCY_MS:
            yield Found(
                finding=f"{pod} waits {average:g} ms for an answer of the master",
                proof=f"redis-cli --latency from {pod} for 1 s: average {average:g} ms, highest {highest:g} ms",
                cure=facts.kubectl("get", "pods", "-l", f"{names.LABEL_CLUSTER}={facts.name}", "-o", "wide"),
                severity=Severity.WARNING,
            )


@check("sentinel-starved", Row.SLOW)
def sentinel_starved(facts: Facts) -> Iterator[Found]:
    """Have the sentinels the CPU and memory that they need to see in time?"""
    cure = facts.patch('{"sentinel":{"resources":{"limits":{"cpu":"200m","memory":"256Mi"}}}}')
    for node in facts.observed.sentinels:
        for proof in _starving(facts, node):
            yield Found(
                finding=f"{node.pod} has too little to work with: it notices and votes late",
                proof=f"{node.pod}: {proof}",
                cure=cure,
                severity=Severity.WARNING,
            )


def _starving(facts: Facts, node: SentinelNode) -> Iterator[str]:
    if node.tilt:
        yield "it is in TILT: its clock jumped, or it was stopped for more than 2 s"
    body = facts.pods.get(node.pod) or {}
    for status in (body.get("status") or {}).get("containerStatuses") or ():
        last = (status.get("lastState") or {}).get("terminated") or {}
        if last.get("reason") == "OOMKilled":
            yield f"killed for want of memory at {last.get('finishedAt')} ({status.get('restartCount')} restarts)"
    for container in (body.get("spec") or {}).get("containers") or ():
        limit = ((container.get("resources") or {}).get("limits") or {}).get("cpu")
        if limit is not None and quantity.amount(str(limit)) < LEAST_CPU:
            yield f"its CPU limit is {limit}"
