"""The resource's definition on a real API server: what it fills in, what it refuses and with which sentence."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from contex_operator import names
from contex_operator import spec as specs
from contex_operator.spec import Mode

from lab.tools import tool
from tests import spec_cases
from tests.component.harness.cluster import ApiError, Cluster
from tests.component.harness.processes import wait_until
from tests.spec_cases import Changed, Refused

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
CRD_FILE = ROOT / "helm" / "contex" / "crds" / "contexredises.yaml"
EXAMPLE = ROOT / "k8s" / "examples" / "contexredis.yaml"


def resource(spec: Json, *, name: str = "redis") -> Json:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": copy.deepcopy(spec),
    }


def collection(namespace: str) -> str:
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}"


def create(cluster: Cluster, namespace: str, spec: Json, *, name: str = "redis") -> Json:
    return cluster.api("POST", collection(namespace), resource(spec, name=name))


def replace(cluster: Cluster, namespace: str, spec: Json, *, version: str) -> Json:
    body = resource(spec)
    body["metadata"]["resourceVersion"] = version
    return cluster.api("PUT", f"{collection(namespace)}/redis", body)


def causes(error: ApiError) -> list[tuple[str, str]]:
    """Field and sentence of everything that the API server found wrong."""
    assert error.status == 422, error
    status = json.loads(str(error).partition(": ")[2])
    return [(cause.get("field", ""), cause["message"]) for cause in status["details"]["causes"]]


def kubectl(cluster: Cluster, *arguments: str, text: str | None = None) -> str:
    done = subprocess.run(
        [str(tool("kubectl")), "--kubeconfig", str(cluster.kubeconfig), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "spec", [{}, {"mode": "sentinel"}, {"sentinel": {}, "contex": {}, "persistence": {}}]
)
def test_what_the_api_server_fills_in_is_what_the_parser_would(
    cluster: Cluster, namespace: str, spec: Json
) -> None:
    stored = create(cluster, namespace, spec)
    assert stored["spec"]["sentinel"]["masterName"] == "mymaster"
    assert specs.parse(stored) == specs.parse(resource(spec))


def test_a_resource_without_spec_is_refused(cluster: Cluster, namespace: str) -> None:
    body = resource({})
    del body["spec"]
    with pytest.raises(ApiError) as caught:
        cluster.api("POST", collection(namespace), body)
    assert causes(caught.value)[0][0] == "spec"


@pytest.mark.parametrize("refused", spec_cases.REFUSED, ids=lambda refused: refused.case)
def test_is_refused_with_a_sentence(cluster: Cluster, namespace: str, refused: Refused) -> None:
    with pytest.raises(ApiError) as caught:
        create(cluster, namespace, refused.spec, name=refused.name)
    found = causes(caught.value)
    place, says = refused.api_at or refused.at, refused.api_says or refused.says
    assert any(at == place and says in message for at, message in found), found


@pytest.mark.parametrize("where", spec_cases.OWNED_DIRECTIVES)
def test_a_directive_of_the_operator_is_refused_by_name(cluster: Cluster, namespace: str, where: str) -> None:
    for directive in spec_cases.OWNED_DIRECTIVES[where]:
        with pytest.raises(ApiError) as caught:
            create(cluster, namespace, {"config": {directive: "1"}})
        ((field, message),) = causes(caught.value)
        assert field == "spec.config"
        named, _, rest = message.removeprefix("Invalid value: ").partition(" cannot be set in config: ")
        assert directive == named or directive.startswith(named.removesuffix("…"))
        assert where in rest


def test_every_wrong_directive_beside_good_ones_is_found(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(ApiError) as caught:
        create(cluster, namespace, {"config": {"hz": 20, "port": 1, "tls-port": 1, "requirepass": "x"}})
    messages = [message for _, message in causes(caught.value)]
    assert len(messages) == 2  # one for each place to go instead
    assert any("port cannot be set" in message for message in messages)
    assert any("requirepass cannot be set" in message for message in messages)


def test_the_users_directives_are_taken(cluster: Cluster, namespace: str) -> None:
    stored = create(cluster, namespace, {"config": spec_cases.USERS_DIRECTIVES})
    assert stored["spec"]["config"] == spec_cases.USERS_DIRECTIVES
    assert specs.parse(stored).config["hz"] == "20"


@pytest.mark.parametrize("change", spec_cases.CHANGED, ids=lambda change: change.case)
def test_what_cannot_change_later_is_refused(cluster: Cluster, namespace: str, change: Changed) -> None:
    stored = create(cluster, namespace, change.before)
    with pytest.raises(ApiError) as caught:
        replace(cluster, namespace, change.after, version=stored["metadata"]["resourceVersion"])
    found = causes(caught.value)
    assert [at for at, _ in found] == [change.at]
    assert change.says in found[0][1]


@pytest.mark.parametrize("change", spec_cases.FREE_CHANGES)
def test_what_can_change_later_goes_through(cluster: Cluster, namespace: str, change: str) -> None:
    before, after = spec_cases.FREE_CHANGES[change]
    stored = create(cluster, namespace, before)
    changed = replace(cluster, namespace, after, version=stored["metadata"]["resourceVersion"])
    assert specs.parse(changed) == specs.parse(resource(after))


def test_a_null_stays_and_is_left_to_the_platform(cluster: Cluster, namespace: str) -> None:
    spec = {"securityContext": {"runAsUser": None, "fsGroup": None, "seccompProfile": None}}
    path = f"{collection(namespace)}/redis?fieldManager=user&force=true"
    for stored in (
        create(cluster, namespace, spec),
        cluster.api("PATCH", path, resource(spec), content_type="application/apply-patch+yaml"),
    ):
        context = specs.parse(stored).security_context
        assert not {"runAsUser", "fsGroup", "seccompProfile"} & set(context)
        assert context["runAsGroup"] == 1000


def test_affinity_and_tolerations_come_through_as_written(cluster: Cluster, namespace: str) -> None:
    term = {
        "labelSelector": {
            "matchLabels": {"app": "x"},
            "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
        },
        "namespaceSelector": {"matchLabels": {"team": "x"}},
        "namespaces": ["other"],
        "topologyKey": "kubernetes.io/hostname",
        "matchLabelKeys": ["one"],
        "mismatchLabelKeys": ["two"],
    }
    node = {
        "matchExpressions": [{"key": "disk", "operator": "Gt", "values": ["1"]}],
        "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n"]}],
    }
    pods = {
        "requiredDuringSchedulingIgnoredDuringExecution": [term],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}],
    }
    spec = {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [node]},
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": node}],
            },
            "podAffinity": pods,
            "podAntiAffinity": pods,
        },
        "tolerations": [
            {"operator": "Exists"},
            {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5},
        ],
    }
    parsed = specs.parse(create(cluster, namespace, spec))
    assert parsed.affinity == spec["affinity"]
    assert list(parsed.tolerations) == spec["tolerations"]


def test_the_scale_subresource_speaks_of_replicas(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, {"mode": "sentinel"})
    path = f"{collection(namespace)}/redis"
    status = {"replicas": 2, "selector": "redis.contex.io/cluster=redis"}
    cluster.api("PATCH", f"{path}/status", {"status": status}, content_type="application/merge-patch+json")
    scale = cluster.api("GET", f"{path}/scale")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == status
    kubectl(cluster, "-n", namespace, "scale", "cxr/redis", "--replicas", "4")
    assert cluster.api("GET", path)["spec"]["replicas"] == 4
    scale["spec"]["replicas"] = 0
    del scale["metadata"]["resourceVersion"]
    with pytest.raises(ApiError) as caught:
        cluster.api("PUT", f"{path}/scale", scale)
    assert ("spec.replicas", "at least 1 replica") in [
        (at, "at least 1 replica") for at, message in causes(caught.value) if "at least 1 replica" in message
    ]


STATUS: Json = {
    "observedGeneration": 1,
    "phase": "Ready",
    "master": {"pod": "redis-replica-1", "address": "10.0.0.7"},
    "lastMaster": "redis-replica-1",
    "replicas": 2,
    "readyReplicas": 2,
    "ready": "3/3",
    "sentinels": "3/3",
    "selector": "redis.contex.io/cluster=redis",
    "sentinelHosts": "redis-sentinel-0.redis-sentinel:26379",
    "endpoints": {"master": "redis-master:6379"},
    "addresses": {"redis-master-0": "10.0.0.5"},
    "initialized": True,
    "lastFailover": {
        "time": "2026-01-02T03:04:05Z",
        "from": "redis-master-0",
        "to": "redis-replica-1",
        "reason": "Crash",
        "milliseconds": 4200,
    },
    "intent": {"procedure": "bootstrap", "step": {"any": ["thing"]}},
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "AllWell",
            "message": "",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
            "observedGeneration": 1,
        }
    ],
}


def test_status_keeps_every_field_and_leaves_spec_alone(cluster: Cluster, namespace: str) -> None:
    stored = create(cluster, namespace, {"mode": "sentinel"})
    patch = {"spec": {"mode": "standalone", "paused": True}, "status": STATUS}
    path = f"{collection(namespace)}/redis/status"
    after = cluster.api("PATCH", path, patch, content_type="application/merge-patch+json")
    assert after["status"] == STATUS
    assert after["spec"] == stored["spec"]
    assert after["metadata"]["generation"] == 1


def test_kubectl_shows_the_columns_by_short_name_and_under_all(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, {"mode": "sentinel"})
    path = f"{collection(namespace)}/redis/status"
    cluster.api("PATCH", path, {"status": STATUS}, content_type="application/merge-patch+json")
    header, row = kubectl(cluster, "-n", namespace, "get", "cxr").splitlines()
    assert header.split() == ["NAME", "MODE", "MASTER", "READY", "SENTINELS", "STATUS", "AGE"]
    assert row.split()[:-1] == ["redis", Mode.SENTINEL, "redis-replica-1", "3/3", "3/3", "Ready"]
    assert "contexredis.redis.contex.io/redis" in kubectl(cluster, "-n", namespace, "get", "all")


def test_the_example_is_taken_and_means_what_it_says(cluster: Cluster, namespace: str) -> None:
    said = kubectl(cluster, "-n", namespace, "apply", "-f", str(EXAMPLE))
    assert said == "contexredis.redis.contex.io/redis created\n"
    spec = specs.parse(cluster.api("GET", f"{collection(namespace)}/redis"))
    assert (spec.mode, spec.data_pod_count, spec.sentinel_pod_count) == (Mode.SENTINEL, 3, 3)
    assert spec.persistence.size == "10Gi"


def test_a_field_that_there_is_not_is_refused_by_kubectl(cluster: Cluster, namespace: str) -> None:
    body = json.dumps(resource({"sentinel": {"downAfter": 3000}}))
    with pytest.raises(AssertionError, match=r'unknown field "spec\.sentinel\.downAfter"'):
        kubectl(cluster, "-n", namespace, "apply", "-f", "-", text=body)


@pytest.mark.parametrize("way", [["create"], ["apply"], ["apply", "--server-side"]], ids=" ".join)
def test_f38_the_definition_can_be_brought_in_every_way(cluster: Cluster, way: list[str]) -> None:
    """Under another name, because the session's API server has it already."""
    word = "x" + "".join(way).replace("-", "")
    definition = yaml.safe_load(CRD_FILE.read_text())
    definition["metadata"]["name"] = f"{word}s.redis.contex.io"
    definition["spec"]["names"] = {"plural": f"{word}s", "singular": word, "kind": word.capitalize()}
    said = kubectl(cluster, *way, "-f", "-", text=json.dumps(definition))
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition['metadata']['name']}"
    try:
        assert definition["metadata"]["name"] in said

        def is_established() -> str:
            conditions = cluster.api("GET", path).get("status", {}).get("conditions") or []
            found = {one["type"]: one["status"] for one in conditions}
            return "ok" if found.get("Established") == "True" else str(conditions)

        wait_until(is_established, within_s=15, what=f"{word} to be established")
        conditions = cluster.api("GET", path)["status"]["conditions"]
        assert "NonStructuralSchema" not in {condition["type"] for condition in conditions}
    finally:
        cluster.api("DELETE", path)
