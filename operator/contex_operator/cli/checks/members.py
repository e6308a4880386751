"""The usual suspects among the pods, their replication and what they stand on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contex_operator import names, quantity
from contex_operator.model import Reach
from contex_operator.topology import View
from contex_operator.views import identity_address

from ..facts import Facts
from .finding import Found, Row, Severity, check

FULL: Final = 0.85
LAG_BYTES: Final = 16 * 2**20
LAG_S: Final = 10
FENCED: Final = 9999  # min-replicas-to-write of a node that may not take writes
_SIDECARS: Final = ("istio-proxy", "linkerd-proxy", "envoy", "kuma-sidecar")


def _describe(facts: Facts, pod: str) -> str:
    return facts.kubectl("describe", "pod", pod)


@check("no-master", Row.USUAL)
def no_master(facts: Facts) -> Iterator[Found]:
    """Is there a master?"""
    topology = facts.topology
    if topology.master is not None or topology.view in (View.MINORITY, View.SPLIT):
        return
    named = facts.pod_at(topology.address)
    yield Found(
        finding="no node serves as master: nothing can be written",
        proof=f"the sentinels name {named or topology.address}, which does not say that it is master"
        if topology.address
        else "no node says role:master"
        + (", and the sentinels name none" if facts.sentinels_expected else ""),
        cure=facts.kubectl("logs", named or facts.children.master_pod(), "--tail", "50"),
    )


@check("pod-not-ready", Row.USUAL)
def pod_not_ready(facts: Facts) -> Iterator[Found]:
    """Is every pod there, and ready?"""
    for name in facts.observed.members:
        pod = facts.observed.pod(name)
        if pod is None:
            yield Found(
                finding=f"there is no pod {name}",
                proof="its StatefulSet has not made it",
                cure=facts.kubectl("describe", "statefulset", name.rpartition("-")[0]),
            )
        elif not pod.ready:
            state = (
                "it is being deleted" if pod.terminating else pod.waiting or f"phase {pod.phase}, not ready"
            )
            yield Found(
                finding=f"{name} is not ready",
                proof=f"{name} on {pod.node or 'no node'}: {state}",
                cure=_describe(facts, name),
            )


@check("member-silent", Row.USUAL)
def member_silent(facts: Facts) -> Iterator[Found]:
    """Does the server in every pod answer its own redis-cli?"""
    for node in facts.servers:
        pod = facts.observed.pod(node.pod)
        if pod is not None and pod.ready and node.reach in (Reach.REFUSED, Reach.TIMEOUT):
            yield Found(
                finding=f"the server in {node.pod} does not answer",
                proof=f"redis-cli in {node.pod}: {node.reach.value}",
                cure=facts.kubectl("logs", node.pod, "--tail", "50"),
            )


@check("members-cannot-talk", Row.USUAL)
def members_cannot_talk(facts: Facts) -> Iterator[Found]:
    """Does every pod of the set reach every other by the address that it announces?"""
    up = {node.pod for node in facts.servers if node.reach is Reach.UP}
    cut: dict[str, list[str]] = {}
    for knock in facts.knocks:
        if knock.is_unreached and knock.target in up:
            cut.setdefault(knock.target, []).append(
                f"{knock.source} → {knock.target}:{knock.port}: {knock.error}"
            )
    for target, proofs in cut.items():
        yield Found(
            finding=f"{target} serves, but {len(proofs)} pods of the set do not reach it",
            proof="; ".join(proofs[:3]),
            cure=facts.kubectl("get", "networkpolicies,endpointslices"),
        )


@check("replica-link-down", Row.USUAL)
def replica_link_down(facts: Facts) -> Iterator[Found]:
    """Is every replica connected to the master?"""
    for node in facts.observed.data:
        if not node.is_up or node.role != "slave" or node.link_up:
            continue
        since = facts.vitals[node.pod].link_down_s if node.pod in facts.vitals else None
        leader = facts.pod_at(node.master_address) or node.master_address or "nobody"
        yield Found(
            finding=f"{node.pod} is not connected to its master",
            proof=f"{node.pod} follows {leader}, link down"
            + (f" for {since} s" if since is not None else "")
            + (", a full sync is running" if node.syncing else ""),
            cure=facts.kubectl("logs", node.pod, "--tail", "50"),
        )


@check("replica-lag", Row.USUAL)
def replica_lag(facts: Facts) -> Iterator[Found]:
    """How far behind are the replicas?"""
    master = facts.topology.master
    for replica in master.replicas if master else ():
        behind = max(0, (master.offset or 0) - replica.offset) if master else 0
        if behind > LAG_BYTES or replica.lag_s > LAG_S:
            pod = facts.pod_at(replica.address) or replica.address
            yield Found(
                finding=f"{pod} lags behind: what it lacks is lost where the master dies now",
                proof=f"{quantity.for_people(behind)} bytes behind, last heard of {replica.lag_s} s ago",
                cure=facts.kubectl("top", "pod", "-l", f"{names.LABEL_CLUSTER}={facts.name}"),
                severity=Severity.WARNING,
            )


@check("service-astray", Row.USUAL)
def service_astray(facts: Facts) -> Iterator[Found]:
    """Does the master's Service lead to the master?"""
    service, master = facts.service(facts.children.master), facts.topology.master
    if service is None or master is None:
        return
    leads_to = ((service.get("spec") or {}).get("selector") or {}).get(names.LABEL_POD_NAME)
    if leads_to != master.pod:
        yield Found(
            finding=f"Service {facts.children.master} leads to {leads_to}, and the master is {master.pod}",
            proof=f"its selector has {names.LABEL_POD_NAME}={leads_to}",
            cure=facts.kubectl(
                "patch", "service", facts.children.master, "--type", "merge", "-p",
                f'{{"spec":{{"selector":{{"{names.LABEL_POD_NAME}":"{master.pod}"}}}}}}',
            ),
        )  # fmt: skip


@check("identity-changed", Row.USUAL)
def identity_changed(facts: Facts) -> Iterator[Found]:
    """Has every pod's own Service the address that the set knows it by?"""
    for pod, known in (facts.observed.status.get("addresses") or {}).items():
        if pod not in facts.observed.members:
            continue
        service = facts.service(pod)
        now = identity_address(service)
        if now != known:
            yield Found(
                finding=f"the address of {pod} has changed: the others look for it where it is not",
                proof=f"Service {pod} has {now or 'no address'}, the set knows {known}",
                cure=facts.kubectl("delete", "service", pod)
                if service is not None
                else facts.kubectl("get", "services", "-l", f"{names.LABEL_CLUSTER}={facts.name}"),
            )


@check("writes-refused", Row.USUAL)
def writes_refused(facts: Facts) -> Iterator[Found]:
    """Has the master the replicas without which it refuses writes?"""
    master = facts.topology.master
    if master is None or not master.min_replicas:
        return
    online = sum(replica.online for replica in master.replicas)
    vitals = facts.vitals.get(master.pod)
    good = vitals.good_replicas if vitals is not None and vitals.good_replicas is not None else online
    if good < master.min_replicas:
        fenced = master.min_replicas >= FENCED
        yield Found(
            finding=f"{master.pod} refuses writes (NOREPLICAS)" + (": it is fenced" if fenced else ""),
            proof=f"min-replicas-to-write {master.min_replicas}, and {good} replicas are connected and in time",
            cure=f"kubectl contexredis status {facts.name} -n {facts.namespace}"
            if fenced
            else facts.kubectl(
                "get", "pods", "-l", f"{names.LABEL_COMPONENT}={names.COMPONENT_REPLICA}", "-o", "wide"
            ),
        )


@check("memory-full", Row.USUAL)
def memory_full(facts: Facts) -> Iterator[Found]:
    """Is there memory left?"""
    for pod, vitals in facts.vitals.items():
        used, most = vitals.memory_used, vitals.memory_max
        if not used or not most or used < FULL * most:
            continue
        limit = facts.spec.memory_limit_bytes if facts.spec else None
        cure = f'{{"resources":{{"limits":{{"memory":"{quantity.for_people(2 * (limit or most))}"}}}}}}'
        yield Found(
            finding=f"{pod} has used {100 * used // most} % of its memory; at 100 % it refuses writes or evicts keys",
            proof=f"{pod}: used_memory {quantity.for_people(used)}, maxmemory {quantity.for_people(most)}",
            cure=facts.patch(cure),
            severity=Severity.WARNING,
        )


@check("disk-failing", Row.USUAL)
def disk_failing(facts: Facts) -> Iterator[Found]:
    """Do writes reach the disk?"""
    for pod, vitals in facts.vitals.items():
        if vitals.aof == "failing" or not vitals.rdb_ok:
            yield Found(
                finding=f"{pod} cannot write to its volume",
                proof=f"{pod}: the last write of {'the AOF' if vitals.aof == 'failing' else 'a dump'} failed",
                cure=facts.kubectl("exec", pod, "--", "df", "-h", "/data"),
            )


@check("mesh-sidecar", Row.USUAL)
def mesh_sidecar(facts: Facts) -> Iterator[Found]:
    """Are the pods free of a service mesh's proxy, which answers for servers that are dead?"""
    for name, body in facts.pods.items():
        spec = body.get("spec") or {}
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        found = next((one["name"] for one in containers if one["name"] in _SIDECARS), None)
        if found is not None:
            yield Found(
                finding=f"{name} has a service mesh's proxy in it",
                proof=f"container {found}",
                cure=facts.patch(
                    '{"podAnnotations":{"sidecar.istio.io/inject":"false","linkerd.io/inject":"disabled"}}'
                ),
                severity=Severity.WARNING,
            )
