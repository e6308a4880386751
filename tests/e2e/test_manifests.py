"""k8s/: each overlay on a cluster that knows nothing of it, and once more after a change."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import PROJECT
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import RedisSet

OVERLAYS = ("dev", "gitops", "prod", "sentinel", "standalone")


@pytest.fixture
def tree(tmp_path: Path, namespace: str) -> Path:
    """k8s/ for the test's own namespace, with volumes that the laboratory has."""
    shutil.copytree(PROJECT / "k8s", tmp_path / "k8s")
    for path in (tmp_path / "k8s").rglob("*.yaml"):
        text = re.sub(r"(?m)^(\s*size:) 8Gi", r"\1 1Gi", path.read_text())
        text = re.sub(r"(?m)^namespace: .*$", f"namespace: {namespace}", text)
        if path.name == "namespace.yaml":
            text = re.sub(r"(?m)^  name: .*$", f"  name: {namespace}", text)
        path.write_text(text)
    return tmp_path / "k8s"


@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_brings_contex_and_its_redis(
    overlay: str, tree: Path, cluster: Cluster, namespace: str
) -> None:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(PROJECT / "k8s" / "crds"))
    apply = ("apply", "-k", str(tree / "overlays" / overlay))
    cluster.kubectl(*apply)
    redis_set = RedisSet(cluster, namespace=namespace, name="redis")
    redis_set.wait_ready(within_s=180)
    _rolled_out(cluster, namespace)
    line = "Connected to Redis" if overlay in ("dev", "standalone") else "Connected to Redis via Sentinel"
    eventually(
        lambda: line in cluster.kubectl("logs", "deployment/contex", "-n", namespace),
        within_s=60,
        describe=f"Contex logs {line!r}",
    )
    uids = {name: pod["metadata"]["uid"] for name, pod in redis_set.pods().items()}

    settings = tree / "base" / "configmap.yaml"
    settings.write_text(settings.read_text().replace('max_matches: "10"', 'max_matches: "11"'))
    cluster.kubectl(*apply)
    _rolled_out(cluster, namespace)
    program = "import os; print(os.environ['MAX_MATCHES'])"
    said = cluster.kubectl("exec", "deployment/contex", "-n", namespace, "--", "python", "-c", program)
    assert said.strip() == "11"
    redis_set.wait_ready(within_s=60)
    assert {name: pod["metadata"]["uid"] for name, pod in redis_set.pods().items()} == uids
    redis_set.close()


def _rolled_out(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl(
        *("rollout", "status", "deployment/contex", "-n", namespace, "--timeout=180s"), timeout_s=200
    )
