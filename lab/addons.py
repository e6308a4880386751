"""What a cluster needs before it is one: DNS, the right of kube-proxy and of the recycler, the StorageClass."""

from __future__ import annotations

from typing import Any

from lab import network, volumes
from lab.pki import CLUSTER

Json = dict[str, Any]
SYSTEM = "kube-system"
DNS_LABEL = {"k8s-app": "kube-dns"}
DNS_REPLICAS = 2
RBAC = "rbac.authorization.k8s.io"
COREFILE = """.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        ttl 5
    }
    cache 5
    loadbalance
}
"""


def _meta(name: str, *, namespace: str | None = None, **more: Any) -> Json:
    return {"name": name, **({"namespace": namespace} if namespace else {}), **more}


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> Json:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


def _role(name: str, *rules: Json) -> Json:
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": _meta(name), "rules": list(rules)}


def _binding(name: str, *, role: str, subject: Json) -> Json:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": _meta(name),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }


def _user(name: str) -> Json:
    return {"kind": "User", "apiGroup": RBAC, "name": name}


def _dns_rights() -> list[Json]:
    watch = ["list", "watch"]
    account = {"kind": "ServiceAccount", "name": "coredns", "namespace": SYSTEM}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta("coredns", namespace=SYSTEM)},
        _role(
            "system:coredns",
            _rule([""], ["endpoints", "services", "pods", "namespaces"], watch),
            _rule(["discovery.k8s.io"], ["endpointslices"], watch),
        ),
        _binding("system:coredns", role="system:coredns", subject=account),
    ]


def _dns_deployment(image: str) -> Json:
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": DNS_LABEL},
    }
    container = {
        "name": "coredns",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "resources": {"requests": {"cpu": "10m", "memory": "30Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
    }
    pod = {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "topologySpreadConstraints": [spread],
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta("coredns", namespace=SYSTEM, labels=DNS_LABEL),
        "spec": {
            "replicas": DNS_REPLICAS,
            "selector": {"matchLabels": DNS_LABEL},
            "template": {"metadata": {"labels": DNS_LABEL}, "spec": pod},
        },
    }


def _dns_service() -> Json:
    ports = [{"name": f"dns-{kind.lower()}", "port": 53, "protocol": kind} for kind in ("UDP", "TCP")]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta("kube-dns", namespace=SYSTEM, labels=DNS_LABEL),
        "spec": {"clusterIP": network.DNS_SERVICE, "selector": DNS_LABEL, "ports": ports},
    }


def objects(*, dns_image: str) -> Json:
    """All objects, as one List for kubectl."""
    recycler = f"{CLUSTER}-recycler"
    corefile = {"Corefile": COREFILE}
    items = [
        _binding("node-proxier", role="system:node-proxier", subject=_user("system:kube-proxy")),
        _role(recycler, _rule([""], ["persistentvolumes"], ["get", "list", "watch", "create", "delete"])),
        _binding(recycler, role=recycler, subject=_user(recycler)),
        volumes.storage_class(),
        *_dns_rights(),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _meta("coredns", namespace=SYSTEM),
            "data": corefile,
        },
        _dns_service(),
        _dns_deployment(dns_image),
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}
