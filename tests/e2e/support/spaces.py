"""Namespaces with an operator and ContexRedis resources in them: what tests, chaos and bench all begin with."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from contex_operator.names import API_VERSION, KIND, LEASE

from tests.e2e.support.cluster import Cluster, KubectlFailed
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import RedisSet

PROJECT: Final = Path(__file__).resolve().parents[3]
CHART: Final = PROJECT / "helm" / "contex"
RELEASE: Final = "operator"
OPERATOR_LABEL: Final = "app.kubernetes.io/name=contex-redis-operator"


def apply_crds(cluster: Cluster) -> None:
    """The checkout's CRD, established."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
    cluster.kubectl(
        "wait", "--for=condition=Established", "crd/contexredises.redis.contex.io", "--timeout=30s"
    )


@contextmanager
def own_namespace(
    cluster: Cluster, name: str, *, keep: bool, pod_security: str = "restricted"
) -> Iterator[str]:
    """A fresh namespace in which a Pod Security level is enforced; deleted at the end unless `keep`."""
    labels = {"pod-security.kubernetes.io/enforce": pod_security}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        yield name
    finally:
        if not keep:
            remove_namespace(cluster, name)


def remove_namespace(cluster: Cluster, name: str) -> None:
    """Nobody is served there any more: the pods need not take their leave. Gone pods free their volumes."""
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    with contextlib.suppress(KubectlFailed):
        cluster.kubectl("delete", "pods", "--all", "-n", name, "--grace-period=1", "--wait=false")


def install_operator(cluster: Cluster, namespace: str, *, replicas: int = 1, **values: str) -> None:
    """Install or upgrade the chart's operator alone and wait until it runs.

    `values` are further `--set`s, with "__" for dots.
    """
    settings = {
        "contex.enabled": "false",
        "redis.enabled": "false",
        "operator.enabled": "true",
        "operator.replicas": str(replicas),
        "crds.upgrade": "false",  # the definition is the checkout's already
    } | {name.replace("__", "."): value for name, value in values.items()}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    cluster.helm("upgrade", "--install", "--skip-crds", RELEASE, str(CHART), "-n", namespace, *words)
    deployment = operator_deployment(cluster, namespace)
    cluster.kubectl("rollout", "status", f"deployment/{deployment}", "-n", namespace, "--timeout=60s")


def operator_deployment(cluster: Cluster, namespace: str) -> str:
    """The name of the operator's Deployment in a namespace."""
    (found,) = cluster.items("deployments", namespace, labels=OPERATOR_LABEL)
    return str(found["metadata"]["name"])


def scale_operator(cluster: Cluster, namespace: str, replicas: int) -> None:
    """Set the operator's replicas and wait until so many run."""
    name = operator_deployment(cluster, namespace)
    cluster.kubectl("scale", f"deployment/{name}", "-n", namespace, f"--replicas={replicas}")
    cluster.kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, "--timeout=60s")
    eventually(
        lambda: len(cluster.items("pods", namespace, labels=OPERATOR_LABEL)) == replicas,
        within_s=60,
        describe=f"{replicas} pods of the operator",
    )


def leader(cluster: Cluster, namespace: str) -> str:
    """The pod of the operator that holds the Lease of a namespace; "" = nobody."""
    lease = cluster.find("lease", LEASE, namespace)
    return str((lease or {"spec": {}})["spec"].get("holderIdentity") or "").split("_")[0]


def is_led(cluster: Cluster, namespace: str) -> bool:
    """Whether a pod that is there holds the Lease and has renewed it within its duration."""
    lease = cluster.find("lease", LEASE, namespace)
    spec = (lease or {}).get("spec") or {}
    if not spec.get("renewTime"):
        return False
    age_s = (datetime.now(UTC) - datetime.fromisoformat(spec["renewTime"])).total_seconds()
    pods = {pod["metadata"]["name"] for pod in cluster.items("pods", namespace, labels=OPERATOR_LABEL)}
    return age_s < spec["leaseDurationSeconds"] and str(spec.get("holderIdentity")).split("_")[0] in pods


def create(
    cluster: Cluster, namespace: str, name: str = "redis", *, ready_within_s: float | None = 60.0, **spec: Any
) -> RedisSet:
    """Apply a ContexRedis (mode sentinel and small volumes unless said otherwise) and wait until it is Ready."""
    body = {"mode": "sentinel", "persistence": {"size": "1Gi"}} | spec
    resource = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": body}
    cluster.apply(resource, namespace=namespace)
    redis_set = RedisSet(cluster, namespace=namespace, name=name)
    if ready_within_s is not None:
        redis_set.wait_ready(within_s=ready_within_s)
    return redis_set


def unready(cluster: Cluster) -> list[str]:
    """Nodes that are not Ready, and pods of the cluster's own that are not (its DNS)."""
    objects = [*cluster.items("nodes"), *cluster.items("pods", "kube-system")]
    return [
        each["metadata"]["name"]
        for each in objects
        if not any(
            c["type"] == "Ready" and c["status"] == "True" for c in each["status"].get("conditions", ())
        )
    ]


def nodes_are_ready(cluster: Cluster, *, within_s: float) -> float:
    """Wait until every node is Ready and the cluster's DNS has all its pods; returns how long it took."""
    began = time.monotonic()

    def whole() -> bool:
        bad = unready(cluster)
        if bad:
            raise KubectlFailed(f"not ready: {', '.join(bad)}")
        return True

    eventually(
        whole, within_s=within_s, describe="all nodes and kube-system are Ready", passing=(KubectlFailed,)
    )
    return time.monotonic() - began
