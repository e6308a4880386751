"""What a person would look at after a failure, as one text: resources, events, logs, the sentinels' view."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.e2e.support.cluster import Cluster, KubectlFailed


def diagnose(cluster: Cluster, namespace: str, *, lines: int = 60) -> str:
    """Never raises: what cannot be had is said instead. `lines` is how much of each log is shown, its end."""
    parts = [
        _section("contexredis", lambda: cluster.kubectl("get", "contexredis", "-n", namespace, "-o", "yaml")),
        _section(
            "objects",
            lambda: cluster.kubectl(
                "get", "pods,svc,endpointslices,sts,pvc,pdb", "-n", namespace, "-o", "wide"
            ),
        ),
        _section(
            "events",
            lambda: cluster.kubectl(
                "get", "events", "-n", namespace, "--sort-by=.metadata.creationTimestamp"
            ),
        ),
        _section("nodes", lambda: cluster.kubectl("get", "nodes", "-o", "wide")),
    ]
    for pod in _names(cluster, namespace):
        parts.append(_section(f"describe {pod}", partial(_described, cluster, namespace, pod)))
        parts.append(_section(f"logs {pod}", partial(_logs, cluster, namespace, pod, lines)))
    return "\n".join(parts)


def _names(cluster: Cluster, namespace: str) -> list[str]:
    try:
        return [pod["metadata"]["name"] for pod in cluster.items("pods", namespace)]
    except KubectlFailed:
        return []


def _described(cluster: Cluster, namespace: str, pod: str) -> str:
    return cluster.kubectl("describe", "pod", pod, "-n", namespace)


def _logs(cluster: Cluster, namespace: str, pod: str, lines: int) -> str:
    words = ("logs", pod, "-n", namespace, "--all-containers", "--timestamps", f"--tail={lines}")
    text = cluster.kubectl(*words)
    try:
        before = cluster.kubectl(*words, "--previous")
    except KubectlFailed:
        return text
    return f"{text}--- of the container before ---\n{before}"


def _section(title: str, read: Callable[[], str]) -> str:
    try:
        text = read().rstrip()
    except KubectlFailed as error:
        text = f"(not to be had: {error})"
    return f"===== {title}\n{text}\n"
