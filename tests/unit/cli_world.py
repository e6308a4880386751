"""Small worlds for the tests of the command line: facts of the documented set with Contex beside it, all healthy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contex_operator import names
from contex_operator.cli.facts import ContexPod, Facts, Knock, Seen, Vitals
from contex_operator.cli.policies import End
from contex_operator.model import Object, Observed
from contex_operator.spec import Spec
from contex_operator.topology import judge

from tests.unit.world import DATA, NAMESPACE, SENTINELS, M, address_of, healthy, replicated, resource

HOSTS = ",".join(f"{pod}.redis-sentinel:26379" for pod in SENTINELS)
CONTEX_LABELS = {"app": "contex"}
CONTEX_IP = "10.1.0.7"
OPERATOR = End(
    pod="operator-0",
    labels={"app.kubernetes.io/name": "contex-redis-operator", "pod-template-hash": "2"},
    ip="10.1.0.9",
)


def conditions(**states: tuple[str, str, str]) -> dict[str, Any]:
    """A status with these conditions: type=(status, reason, message)."""
    return {
        "conditions": [
            {"type": kind, "status": status, "reason": reason, "message": message}
            for kind, (status, reason, message) in states.items()
        ]
    }


def pod_body(name: str, **spec: Any) -> Object:
    """A pod of the set as the API has it."""
    labels = {names.LABEL_CLUSTER: "redis", names.LABEL_POD_NAME: name}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"podIP": "10.1.0.1"}}


def service(name: str, address: str, **selector: str) -> Object:
    return {
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": address, "selector": selector},
    }


def services(*, leads_to: str = M, sentinels: int = 3) -> dict[tuple[str, str], Object | None]:
    """The Services of the set, each pod's own and the master's, and the StatefulSet of its sentinels."""
    own = {("Service", pod): service(pod, address_of(pod)) for pod in (*DATA, *SENTINELS)}
    to_master = service("redis-master", "10.96.9.9", **{names.LABEL_POD_NAME: leads_to})
    stateful_set = {"metadata": {"name": "redis-sentinel"}, "spec": {"replicas": sentinels}}
    return {**own, ("Service", "redis-master"): to_master, ("StatefulSet", "redis-sentinel"): stateful_set}


def contex(**fields: Any) -> ContexPod:
    """A pod of Contex in sentinel mode that could be asked and has everything right."""
    defaults: dict[str, Any] = {
        "name": "contex-1",
        "deployment": "contex",
        "container": "contex",
        "ip": CONTEX_IP,
        "labels": CONTEX_LABELS | {"pod-template-hash": "1", "topology.kubernetes.io/zone": "a"},
        "selector": CONTEX_LABELS,
        "env": env(),
        "sources": {
            "REDIS_PASSWORD": ("redis-auth-active", "password"),
            "REDIS_SENTINEL_PASSWORD": ("redis-auth-active", "sentinel-password"),
        },
        "is_asked": True,
        "sentinels": tuple(
            seen(f"{pod}.redis-sentinel", answer=(address_of(M), "6379")) for pod in SENTINELS
        ),
        "master": seen(address_of(M), port=6379, answer="master"),
    }
    return ContexPod(**defaults | fields)


def env(**changed: str) -> dict[str, str]:
    return {
        "REDIS_MODE": "sentinel",
        "REDIS_SENTINEL_HOSTS": HOSTS,
        "REDIS_SENTINEL_MASTER": "mymaster",
        **changed,
    }


def seen(host: str, port: int = 26379, **fields: Any) -> Seen:
    return Seen(host=host, port=port, **fields)


def vitals(**fields: Any) -> Vitals:
    defaults: dict[str, Any] = {
        "memory_used": 10 * 2**20,
        "memory_max": 100 * 2**20,
        "clients": 20,
        "clients_max": 10_000,
        "rejected": 0,
        "aof": "on",
        "connections": {CONTEX_IP: 3},
    }
    return Vitals(**defaults | fields)


def lease(renewed: str = "2023-11-14T22:13:19.000000Z") -> Object:
    return {
        "metadata": {"name": names.LEASE, "namespace": NAMESPACE},
        "spec": {"holderIdentity": "operator-0_1", "renewTime": renewed},
    }


def policy(
    name: str, *, pods: Mapping[str, Any] | None = None, types: tuple[str, ...] = ("Ingress",), **rules: Any
) -> Object:
    spec = {"podSelector": pods or {}, "policyTypes": list(types), **rules}
    return {"metadata": {"name": name}, "spec": spec}


def facts(
    observed: Observed | None = None,
    *,
    spec: Spec | None = None,
    status: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Facts:
    """Facts of a set in which nothing is amiss but what is said."""
    spec = spec or replicated(contex={"deployments": [{"name": "contex"}]})
    observed = observed or healthy(resource=resource(status=status), objects=services())
    topology = judge(observed, sentinels=spec.sentinel_pod_count)
    defaults: dict[str, Any] = {
        "vitals": {pod: vitals() for pod in DATA},
        "knocks": tuple(
            Knock(source=source, target=target, port=6379)
            for source in DATA
            for target in DATA
            if source != target
        ),
        "latency_ms": dict.fromkeys(SENTINELS, (0.3, 2.0)),
        "contex": (contex(),),
        "pods": {pod: pod_body(pod) for pod in (*DATA, *SENTINELS)},
        "namespace_labels": {"kubernetes.io/metadata.name": NAMESPACE},
        "operator": OPERATOR,
        "lease": lease(),
        "lease_age_s": 1.0,
    }
    return Facts(observed=observed, topology=topology, spec=spec, **defaults | fields)
