"""Pods under Pod Security `restricted`, and an operator that may do what it does and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.examples import EVERYTHING, SENTINEL_AUTH
from tests.chart.rendering import Manifests, Object, merged, nested, render


def pods(manifests: Manifests) -> list[tuple[str, Object]]:
    """(name, pod spec) of everything that the chart itself runs."""
    found = [
        (body["metadata"]["name"], body["spec"]["template"]["spec"]) for body in manifests.all("Deployment")
    ]
    found += [(body["metadata"]["name"], body["spec"]["template"]["spec"]) for body in manifests.hooks("Job")]
    return found + [(body["metadata"]["name"], body["spec"]) for body in manifests.all("Pod")]


@pytest.mark.parametrize("values", [{}, SENTINEL_AUTH, EVERYTHING], ids=["default", "auth", "everything"])
def test_f62_every_pod_is_restricted(values: dict[str, Any]) -> None:
    found = pods(render(values))
    assert len(found) == 4
    for name, pod in found:
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        for container in pod["containers"] + pod.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (name, container["name"])
            assert container["resources"]["requests"]["memory"], name
            assert container["resources"]["limits"]["memory"], name


def test_only_the_operator_has_a_token_for_the_api() -> None:
    tokens = {name: pod["automountServiceAccountToken"] for name, pod in pods(render(SENTINEL_AUTH))}
    assert tokens == {
        "contex": False,
        "contex-redis-test": False,
        "contex-operator": True,
        "contex-operator-crd": True,
    }
    for account in render().all("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_contex_runs_as_user_1000_and_the_operator_as_65532() -> None:
    users = {name: pod["securityContext"]["runAsUser"] for name, pod in pods(render())}
    assert users["contex"] == 1000
    assert users["contex-operator"] == users["contex-operator-crd"] == 65532


def test_on_a_read_only_root_tmp_is_writable() -> None:
    for name, pod in pods(render()):
        if name in ("contex", "contex-operator"):
            assert pod["containers"][0]["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
            assert pod["volumes"] == [{"name": "tmp", "emptyDir": {}}]


def rules(*, cluster_wide: bool) -> set[tuple[str, str, str]]:
    """(group, resource, verb) that the operator is granted."""
    manifests = render(nested("operator.clusterWide", cluster_wide))
    role = manifests.one("ClusterRole" if cluster_wide else "Role")
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("cluster_wide", [False, True])
def test_the_operator_has_no_wildcard_and_no_way_to_more_rights(cluster_wide: bool) -> None:
    granted = rules(cluster_wide=cluster_wide)
    assert not [rule for rule in granted if "*" in "".join(rule)]
    assert not [
        rule for rule in granted if rule[2] in ("escalate", "bind", "impersonate", "deletecollection")
    ]
    assert not [rule for rule in granted if rule[0] in ("rbac.authorization.k8s.io", "apiextensions.k8s.io")]
    assert not [
        rule for rule in granted if rule[1] in ("namespaces", "nodes", "pods/exec", "serviceaccounts")
    ]


def test_the_operator_cannot_change_what_the_user_owns() -> None:
    granted = rules(cluster_wide=False)
    verbs = {resource: {v for _, r, v in granted if r == resource} for _, resource, _ in granted}
    # patch: a request by annotation is good once and taken off; the spec is nobody's but the user's (below).
    assert verbs["contexredises"] == {"get", "list", "watch", "patch"}
    assert verbs["contexredises/status"] == {"patch"}
    assert "delete" not in verbs["persistentvolumeclaims"]
    assert verbs["deployments"] == {"get", "list", "watch", "patch"}
    assert verbs["events"] == {"create", "patch"}


def test_a_cluster_wide_operator_may_only_look_for_leases_besides() -> None:
    assert rules(cluster_wide=True) - rules(cluster_wide=False) == {("coordination.k8s.io", "leases", "list")}


def test_a_release_in_a_namespace_needs_no_rights_outside_of_it() -> None:
    beyond = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"}
    manifests = render(merged(SENTINEL_AUTH, {"ingress": {"enabled": True}}))
    assert not [kind for kind in beyond if manifests.has(kind)]
    # But for the moment in which an upgrade looks after the definition, which belongs to the whole cluster.
    kinds = {body["kind"] for body in render(nested("crds.upgrade", False)).objects}
    assert not kinds & beyond
