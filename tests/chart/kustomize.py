"""k8s/ as kustomize builds it, and the operator's manifests there, which are made of the chart.

python -m tests.chart.kustomize        writes k8s/operator/operator.yaml
"""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from lab.tools import tool
from tests.chart.rendering import ROOT, Manifests, Object, render

K8S: Final = ROOT / "k8s"
OPERATOR: Final = K8S / "operator" / "operator.yaml"
OVERLAYS: Final = ("dev", "gitops", "prod", "sentinel", "standalone")
_HEAD: Final = "# Made of the chart by `python -m tests.chart.kustomize`, do not edit.\n"
_VALUES: Final[dict[str, Any]] = {
    "contex": {"enabled": False},
    "redis": {"enabled": False},
    "operator": {"enabled": True},
    "crds": {"upgrade": False},
}


@functools.cache
def build(folder: str) -> Manifests:
    """`kubectl kustomize k8s/<folder>`."""
    return Manifests(kustomize(K8S / folder))


def kustomize(folder: Path) -> str:
    """What `kubectl kustomize` prints; raises AssertionError with what it says instead."""
    argv = [str(tool("kubectl")), "kustomize", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # warnings of deprecated fields
    return done.stdout


def operator() -> str:
    """The chart's operator for a namespace that kustomize names."""
    return _HEAD + yaml.safe_dump_all(
        [_for_kustomize(body) for body in render(_VALUES).objects], sort_keys=False, width=110
    )


def _for_kustomize(body: Object) -> Object:
    labels = body["metadata"]["labels"]
    # They speak of Helm.
    for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
        del labels[label]
    if body["kind"] == "Deployment":
        (container,) = body["spec"]["template"]["spec"]["containers"]
        (watched,) = (entry for entry in container["env"] if entry["name"] == "WATCH_NAMESPACE")
        del watched["value"]
        watched["valueFrom"] = {"fieldRef": {"fieldPath": "metadata.namespace"}}
    return body


if __name__ == "__main__":
    OPERATOR.write_text(operator())
