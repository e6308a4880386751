"""The row Connection Failures: from Contex's pod to the sentinels and to the master."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from contex_operator import names
from contex_operator.contexenv import sentinel_hosts
from contex_operator.names import Condition
from contex_operator.render import Identity
from contex_operator.spec import Spec, Wiring

from ..facts import ContexPod, Facts, Seen
from ..policies import End, blocking
from .finding import Found, Row, Severity, check

# Labels of the operator's pods that the next of them has too.
_LASTING = ("app.kubernetes.io/name", "app.kubernetes.io/instance")
_DENIALS = ("NOAUTH", "WRONGPASS", "without any password", "invalid username")


def is_denial(error: str | None) -> bool:
    """Does this error speak of a password?"""
    return error is not None and any(word in error for word in _DENIALS)


def expected_hosts(facts: Facts, spec: Spec) -> str:
    """What REDIS_SENTINEL_HOSTS should be."""
    who = Identity(namespace=facts.namespace, name=facts.name, uid=facts.observed.uid)
    return sentinel_hosts(who, spec)


def set_variable(facts: Facts, pod: ContexPod, variable: str, value: str) -> str:
    """The command that gives Contex this variable: the operator's hand where it wires the Deployment."""
    wired = facts.spec is not None and pod.deployment in {d.name for d in facts.spec.contex.deployments}
    if wired and facts.spec is not None and facts.spec.contex.wiring is Wiring.PATCH:
        return facts.patch('{"contex":{"takeOver":true}}')
    return facts.kubectl(
        "set", "env", f"deployment/{pod.deployment}", "-c", pod.container, f"{variable}={value}"
    )


@check("contex-sentinel-hosts", Row.CONNECTION)
def contex_sentinel_hosts(facts: Facts) -> Iterator[Found]:
    """Does REDIS_SENTINEL_HOSTS name the sentinels of this resource, and nobody else?"""
    if facts.spec is None or not facts.spec.is_sentinel_mode:
        return
    ours = {*(node.pod for node in facts.observed.sentinels), facts.children.sentinel}
    ours |= {str(node.address) for node in facts.observed.sentinels}
    for pod in _distinct(facts, "REDIS_SENTINEL_HOSTS"):
        if not pod.is_sentinel_mode:
            continue
        told = pod.env.get("REDIS_SENTINEL_HOSTS", "")
        hosts = [part.strip() for part in told.split(",") if part.strip()]
        strange = [host for host in hosts if _label(host) not in ours]
        if hosts and not strange:
            continue
        said = f"{', '.join(strange)} is none of them" if strange else "it is empty"
        yield Found(
            finding=f"REDIS_SENTINEL_HOSTS of Deployment {pod.deployment} does not name the sentinels of {facts.name}",
            proof=f"{pod.name} has REDIS_SENTINEL_HOSTS={told}: {said}",
            cure=set_variable(facts, pod, "REDIS_SENTINEL_HOSTS", expected_hosts(facts, facts.spec)),
        )


@check("contex-sentinel-unreachable", Row.CONNECTION)
def contex_sentinel_unreachable(facts: Facts) -> Iterator[Found]:
    """Can Contex's pod reach every sentinel on port 26379?"""
    for pod in facts.contex:
        missed = [seen for seen in pod.sentinels if seen.error and not is_denial(seen.error)]
        if not missed:
            continue
        yield Found(
            finding=f"{pod.name} reaches {len(pod.sentinels) - len(missed)} of {len(pod.sentinels)} sentinels",
            proof="; ".join(f"{pod.name} → {seen.host}:{seen.port}: {seen.error}" for seen in missed),
            cure=facts.kubectl("get", "pods,services,networkpolicies", "-o", "wide"),
            severity=Severity.ERROR if len(missed) == len(pod.sentinels) else Severity.WARNING,
        )


@check("contex-master-name", Row.CONNECTION)
def contex_master_name(facts: Facts) -> Iterator[Found]:
    """Is REDIS_SENTINEL_MASTER the name that the sentinels monitor?"""
    if facts.spec is None or not facts.spec.is_sentinel_mode:
        return
    right = facts.spec.sentinel.master_name
    for pod in _distinct(facts, "REDIS_SENTINEL_MASTER"):
        if not pod.is_sentinel_mode or pod.master_name == right:
            continue
        asked = next((seen for seen in pod.sentinels if seen.error is None), None)
        said = f"; {asked.host} knows no master of that name" if asked and asked.answer is None else ""
        yield Found(
            finding=f"Contex asks for master {pod.master_name}, and the sentinels monitor {right}",
            proof=f"{pod.name} has REDIS_SENTINEL_MASTER={pod.master_name}{said}",
            cure=set_variable(facts, pod, "REDIS_SENTINEL_MASTER", right),
        )


@check("contex-master-unreachable", Row.CONNECTION)
def contex_master_unreachable(facts: Facts) -> Iterator[Found]:
    """Can Contex's pod reach the Redis master on port 6379?"""
    for pod in facts.contex:
        seen = pod.master
        if seen is None or seen.error is None or is_denial(seen.error):
            continue
        yield Found(
            finding=f"{pod.name} does not reach the Redis master",
            proof=f"{pod.name} → {_place(facts, seen)}: {seen.error}",
            cure=facts.kubectl("get", "pods,services,endpointslices,networkpolicies", "-o", "wide"),
        )


@check("contex-reads-only", Row.CONNECTION)
def contex_reads_only(facts: Facts) -> Iterator[Found]:
    """Does Contex's connection lead to the master, or to a replica that refuses its writes?"""
    for pod in facts.contex:
        seen = pod.master
        if seen is not None and seen.answer == "slave":
            yield Found(
                finding=f"{pod.name} is led to a replica: its writes are refused (READONLY)",
                proof=f"{pod.name} → {_place(facts, seen)}: role:slave",
                cure=_lead_to_master(facts, pod),
            )


def _lead_to_master(facts: Facts, pod: ContexPod) -> str:
    """Contex in standalone mode has to be led to the Service of the master; its URL lies in a Secret."""
    if facts.spec is not None and pod.deployment in {d.name for d in facts.spec.contex.deployments}:
        return facts.patch('{"contex":{"takeOver":true}}')
    return facts.kubectl(
        "patch", "deployment", pod.deployment, "--type", "strategic", "-p",
        json.dumps({"spec": {"template": {"spec": {"containers": [{"name": pod.container, "env": [{
            "name": "REDIS_URL", "value": None, "valueFrom": {"secretKeyRef": {
                "name": facts.children.contex_env, "key": "url"}}}]}]}}}}),
    )  # fmt: skip


@check("contex-log", Row.CONNECTION)
def contex_log(facts: Facts) -> Iterator[Found]:
    """Where Contex does not run: what do its last words say of Redis?"""
    for pod in facts.contex:
        if pod.is_asked or not pod.log:
            continue
        yield Found(
            finding=f"{pod.name} does not stay up, and its log speaks of Redis",
            proof=pod.log[-1],
            cure=facts.kubectl("logs", pod.name, "-c", pod.container, "--previous"),
        )


@check("contex-environment", Row.CONNECTION)
def contex_environment(facts: Facts) -> Iterator[Found]:
    """Can Contex's process read its own environment?"""
    for pod in facts.contex:
        if pod.problem:
            yield Found(
                finding=f"the environment of {pod.name} does not say where Redis is",
                proof=pod.problem,
                cure=facts.kubectl("set", "env", f"deployment/{pod.deployment}", "--list"),
            )


@check("contex-not-wired", Row.CONNECTION)
def contex_not_wired(facts: Facts) -> Iterator[Found]:
    """Has the operator given Contex's Deployments their environment?"""
    condition = facts.conditions.get(Condition.CONTEX_WIRED, {})
    if condition.get("status") != "False" or condition.get("reason") == "Pending":
        return
    cures = {"EnvOwnedElsewhere": facts.patch('{"contex":{"takeOver":true}}')}
    yield Found(
        finding="Contex is not wired to this Redis",
        proof=f"{condition.get('reason')}: {condition.get('message')}",
        cure=cures.get(str(condition.get("reason")), facts.kubectl("get", "deployments", "-o", "wide")),
    )


@check("network-policy", Row.CONNECTION)
def network_policy(facts: Facts) -> Iterator[Found]:
    """Do the NetworkPolicies let Contex and the set's own pods reach Redis (6379) and the sentinels (26379)?"""
    blocked: dict[tuple[str, tuple[str, ...], str, int], list[tuple[str, str]]] = {}
    for who, source, target, port in _connections(facts):
        held = blocking(facts.policies, source, target, port, namespace_labels=facts.namespace_labels)
        if held is not None:
            blocked.setdefault((*held, who, port), []).append((source.pod, target.pod))
    for (direction, policies, who, port), pairs in blocked.items():
        near, far = pairs[0]
        really = any(_is_cut(facts, *pair, port) for pair in pairs)
        effect = "and no answer comes through" if really else "though this network still lets it through now"
        yield Found(
            finding=f"{direction} to port {port} is not allowed for {who}: NetworkPolicy {', '.join(policies)}",
            proof=f"{near} → {far}:{port} meets no rule that allows it ({len(pairs)} such pairs), {effect}",
            cure=_allowance(facts, direction, port, source=near),
            severity=Severity.ERROR if really else Severity.WARNING,
        )


def _connections(facts: Facts) -> Iterator[tuple[str, End, End, int]]:
    data = [_end(facts, node.pod) for node in facts.observed.data]
    sentinels = [_end(facts, node.pod) for node in facts.observed.sentinels]
    for pod in facts.contex:
        own = End(pod=pod.name, labels=pod.labels, ip=pod.ip)
        for target in data:
            yield "Contex", own, target, names.REDIS_PORT
        for target in sentinels if pod.is_sentinel_mode else ():
            yield "Contex", own, target, names.SENTINEL_PORT
    if facts.operator is not None:
        for target in data:
            yield "the operator", facts.operator, target, names.REDIS_PORT
        for target in sentinels:
            yield "the operator", facts.operator, target, names.SENTINEL_PORT
    for source in (*data, *sentinels):
        for target in data:
            if target != source:
                yield "the set's own pods", source, target, names.REDIS_PORT
        for target in sentinels:
            if target != source:
                yield "the set's own pods", source, target, names.SENTINEL_PORT


def _end(facts: Facts, pod: str) -> End:
    body = facts.pods.get(pod) or {}
    labels = (body.get("metadata") or {}).get("labels") or {
        names.LABEL_CLUSTER: facts.name,
        names.LABEL_POD_NAME: pod,
    }
    return End(pod=pod, labels=labels, ip=(body.get("status") or {}).get("podIP"))


def _is_cut(facts: Facts, source: str, target: str, port: int) -> bool:
    for pod in facts.contex:
        if pod.name == source:
            seen = [one for one in (*pod.sentinels, pod.master) if one is not None and one.port == port]
            return any(one.error and not is_denial(one.error) for one in seen)
    return any(
        knock.is_unreached
        for knock in facts.knocks
        if (knock.source, knock.target, knock.port) == (source, target, port)
    )


def _allowance(facts: Facts, direction: str, port: int, *, source: str) -> str:
    """One more policy, since policies only add: the command that applies it."""
    who, other = "members", None
    for pod in facts.contex:
        if pod.name == source:
            who, other = "contex", dict(pod.selector)
    if facts.operator is not None and facts.operator.pod == source:
        who, other = (
            "operator",
            {key: facts.operator.labels[key] for key in _LASTING if key in facts.operator.labels},
        )
    ours: Mapping[str, Any] = {"matchLabels": {names.LABEL_CLUSTER: facts.name}}
    theirs = ours if other is None else {"matchLabels": other}
    own, far = (ours, theirs) if direction == "Ingress" else (theirs, ours)
    rule: dict[str, Any] = {
        "from" if direction == "Ingress" else "to": [{"podSelector": far}],
        "ports": [{"port": port}],
    }
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{facts.name}-{who}-{direction.lower()}-{port}"},
        "spec": {"podSelector": own, "policyTypes": [direction], direction.lower(): [rule]},
    }
    return f"echo '{json.dumps(policy)}' | " + facts.kubectl("apply", "-f", "-")


def _distinct(facts: Facts, variable: str) -> list[ContexPod]:
    """One pod for each value that a Deployment's pods have: in the middle of a rollout there are two."""
    chosen: dict[tuple[str, str | None], ContexPod] = {}
    for pod in facts.contex:
        key = pod.deployment, pod.env.get(variable)
        if key not in chosen or (pod.is_asked and not chosen[key].is_asked):
            chosen[key] = pod
    return list(chosen.values())


def _label(host: str) -> str:
    name = host.rpartition(":")[0] or host
    return name.strip("[]") if name.replace(".", "").isdigit() or "[" in name else name.split(".", 1)[0]


def _place(facts: Facts, seen: Seen) -> str:
    pod = facts.pod_at(seen.address) or facts.pod_at(seen.host)
    return f"{seen.host}:{seen.port}" + (f" ({pod})" if pod else "")
