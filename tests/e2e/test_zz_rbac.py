"""The operator's rights, held against what it did in all the tests before: to be run after them, as .ci/test does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import CHART
from tests.e2e.support.cluster import Cluster

ACCOUNT = "-operator"  # how the chart calls the operator's ServiceAccount


@pytest.mark.gate
@pytest.mark.node_fault  # it comes last
def test_every_right_of_the_roles_was_used(cluster: Cluster) -> None:
    assert cluster.lab is not None
    granted, wide = set(_granted("Role")), set(_granted("ClusterRole", "--set", "operator.clusterWide=true"))
    assert granted, "the chart renders no Role"
    assert granted < wide, "the chart renders no ClusterRole that may do more"
    used = set()
    with cluster.lab.audit_log.open() as lines:
        for line in lines:
            entry = json.loads(line)
            user = entry["user"].get("username", "")  # none where a request was refused as anonymous
            if user.startswith("system:serviceaccount:") and user.endswith(ACCOUNT):
                reference = entry.get("objectRef") or {}
                resource = reference.get("resource", "")
                if reference.get("subresource"):
                    resource += f"/{reference['subresource']}"
                used.add((reference.get("apiGroup", ""), resource, entry["verb"]))
    assert not wide - used, f"granted and never used: {sorted(wide - used)}"


def _granted(kind: str, *words: str) -> Iterator[tuple[str, str, str]]:
    """(group, resource, verb) of every rule in the chart's roles of that kind; `words` are helm's, to render them."""
    argv = ["helm", "template", "contex", str(CHART), "--no-hooks", "--set", "operator.enabled=true", *words]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    bodies: list[dict[str, Any]] = [body for body in yaml.safe_load_all(text) if body]
    for body in bodies:
        if body["kind"] == kind:
            for rule in body["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        yield from ((group, resource, verb) for verb in rule["verbs"])
