"""The children's bodies: stable pod templates, the documented names, no secret, and what counts as a difference."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from contex_operator import names
from contex_operator.compare import first_difference
from contex_operator.render import (
    Body,
    Identity,
    budgets,
    checksum,
    config_maps,
    data_pods,
    members_file,
    plain_config_map,
    redis_conf,
    secret,
    sentinel_pods,
    services,
    settings_file,
    stateful_sets,
)
from contex_operator.spec import Spec

from tests.unit.world import DATA, SENTINELS, WHO, M, address_of, replicated, standalone

ADDRESSES = {pod: address_of(pod) for pod in (*DATA, *SENTINELS)}

# Hashes of the pod templates that this version renders for a default resource. Where one changes, every pod of every
# installation is replaced after an upgrade of the operator alone.
GOLDEN = {
    "standalone redis-master": "4c3309d70e1cd6bb",
    "sentinel redis-master": "4c3309d70e1cd6bb",
    "sentinel redis-replica": "1e5f5a81c12b5024",
    "sentinel redis-sentinel": "0b5bbbe60de225fc",
}


def everything(spec: Spec, who: Identity = WHO) -> list[Body]:
    """All children that come from templates."""
    addresses = {pod: address_of(pod) for pod in (*data_pods(who, spec), *sentinel_pods(who, spec))}
    return [
        *services(who, spec, master_pod=None, recorded=addresses),
        *config_maps(who, spec, addresses=addresses),
        *stateful_sets(who, spec),
        *budgets(who, spec),
    ]


def by_name(bodies: list[Body], kind: str) -> dict[str, Body]:
    return {body["metadata"]["name"]: body for body in bodies if body["kind"] == kind}


def container_of(body: Body) -> Mapping[str, Any]:
    (container,) = body["spec"]["template"]["spec"]["containers"]
    found: Mapping[str, Any] = container
    return found


# --- an upgrade of the operator rolls no pod (F35) ----------------------------------------------------------------


@pytest.mark.parametrize("which", GOLDEN)
def test_the_pod_templates_are_those_of_the_last_version(which: str) -> None:
    mode, name = which.split()
    spec = standalone() if mode == "standalone" else replicated()
    template = by_name(stateful_sets(WHO, spec), "StatefulSet")[name]["spec"]["template"]
    assert checksum(template) == GOLDEN[which], (
        f"the pod template of {name} has changed: every pod of every installation would be replaced after an upgrade "
        f"of the operator alone. Where that is meant, write {checksum(template)} into GOLDEN and say so in the "
        f"changelog; else keep the template as it was. It is now:\n{json.dumps(template, indent=1, sort_keys=True)}"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"sentinel": {"downAfterMilliseconds": 5000}},
        {"sentinel": {"quorum": 3}},
        {"sentinel": {"failoverTimeoutMilliseconds": 30000}},
        {"sentinel": {"parallelSyncs": 2}},
        {"contex": {"wiring": "none"}},
        {"contex": {"database": 3}},
        {"paused": True},
        {"config": {"maxmemory-policy": "allkeys-lru"}},
        {"durability": "strict"},
        {"durability": "available"},
    ],
)
def test_what_takes_effect_at_run_time_changes_no_pod_template(fields: dict[str, Any]) -> None:
    before, after = stateful_sets(WHO, replicated()), stateful_sets(WHO, replicated(**fields))
    assert [body["spec"]["template"] for body in before] == [body["spec"]["template"] for body in after]


@pytest.mark.parametrize(
    "fields",
    [{"config": {"databases": 32}}, {"config": {"loadmodule": "/x.so"}}, {"config": {"io-threads": 2}}],
)
def test_what_redis_reads_at_its_start_changes_the_template_of_the_data_pods_alone(
    fields: dict[str, Any],
) -> None:
    before = by_name(stateful_sets(WHO, replicated()), "StatefulSet")
    after = by_name(stateful_sets(WHO, replicated(**fields)), "StatefulSet")
    changed = [name for name in before if before[name]["spec"]["template"] != after[name]["spec"]["template"]]
    assert changed == ["redis-master", "redis-replica"]


def test_rendering_twice_gives_the_same_bytes() -> None:
    assert json.dumps(everything(replicated())) == json.dumps(everything(replicated()))


# --- names --------------------------------------------------------------------------------------------------------


def names_of(spec: Spec) -> dict[str, set[str]]:
    bodies = everything(spec)
    return {kind: set(by_name(bodies, kind)) for kind in {body["kind"] for body in bodies}}


def test_a_resource_called_redis_gives_the_documented_names() -> None:
    assert names_of(replicated()) == {
        "StatefulSet": {"redis-master", "redis-replica", "redis-sentinel"},
        "Service": {"redis-master", "redis-replica", "redis-sentinel", "redis-nodes", *DATA, *SENTINELS},
        "ConfigMap": {"redis-config", "redis-sentinel-config"},
        "PodDisruptionBudget": {"redis-nodes", "redis-sentinel"},
    }
    assert (data_pods(WHO, replicated()), sentinel_pods(WHO, replicated())) == (DATA, SENTINELS)


def test_a_standalone_redis_has_one_pod_with_an_identity_and_no_budget() -> None:
    assert names_of(standalone()) == {
        "StatefulSet": {"redis-master"},
        "Service": {"redis-master", "redis-replica", "redis-nodes", M},
        "ConfigMap": {"redis-config"},
    }


def test_the_documented_labels_find_the_pods() -> None:
    sets = by_name(stateful_sets(WHO, replicated()), "StatefulSet")
    labels = {name: body["spec"]["template"]["metadata"]["labels"]["app"] for name, body in sets.items()}
    assert labels == {"redis-master": "redis", "redis-replica": "redis", "redis-sentinel": "redis-sentinel"}


def test_every_selector_contains_the_resource() -> None:
    for body in everything(replicated()):
        if body["kind"] == "ConfigMap":
            continue
        selector = body["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        assert selector[names.LABEL_CLUSTER] == "redis", body["metadata"]["name"]


def test_selectors_and_budgets_find_exactly_their_pods() -> None:
    bodies = everything(replicated())
    templates = {
        name: body["spec"]["template"]["metadata"]["labels"]
        for name, body in by_name(bodies, "StatefulSet").items()
    }

    def found(selector: Mapping[str, str]) -> set[str]:
        return {name for name, labels in templates.items() if selector.items() <= labels.items()}

    for name, body in by_name(bodies, "StatefulSet").items():
        assert found(body["spec"]["selector"]["matchLabels"]) == {name}
    pdbs = by_name(bodies, "PodDisruptionBudget")
    assert found(pdbs["redis-nodes"]["spec"]["selector"]["matchLabels"]) == {"redis-master", "redis-replica"}
    assert found(pdbs["redis-sentinel"]["spec"]["selector"]["matchLabels"]) == {"redis-sentinel"}
    assert {pdb["spec"]["maxUnavailable"] for pdb in pdbs.values()} == {1}
    assert found(by_name(bodies, "Service")["redis-nodes"]["spec"]["selector"]) == {
        "redis-master",
        "redis-replica",
    }


def test_two_resources_select_nothing_of_each_other() -> None:
    other = Identity(namespace="shop", name="redis-master", uid="uid-of-redis-master")
    ours = by_name(stateful_sets(WHO, replicated()), "StatefulSet")["redis-master"]
    for body in everything(replicated(), other):
        if body["kind"] != "ConfigMap":
            selector = body["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            labels = ours["spec"]["template"]["metadata"]["labels"]
            assert not selector.items() <= labels.items(), body["metadata"]["name"]


@pytest.mark.parametrize("spec", [standalone(), replicated()], ids=["standalone", "sentinel"])
def test_every_child_is_labelled_and_owned(spec: Spec) -> None:
    for body in everything(spec):
        metadata = body["metadata"]
        assert metadata["namespace"] == "shop"
        assert metadata["labels"][names.LABEL_CLUSTER] == "redis"
        assert metadata["labels"][names.LABEL_MANAGED_BY] == names.MANAGER
        (owner,) = metadata["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (WHO.uid, True)
        assert owner["kind"] == names.KIND
        assert metadata["annotations"][names.ANNOTATION_APPLIED]


def test_the_longest_name_still_fits_into_every_label() -> None:
    long = "r" * names.MAX_NAME_LENGTH
    who = Identity(namespace="shop", name=long, uid="u")
    spec = replicated(replicas=20, sentinel={"replicas": 9})
    for body in everything(spec, who):
        name = body["metadata"]["name"]
        assert len(name) <= 63
        if body["kind"] == "StatefulSet":  # its pods carry name and revision hash as a label
            assert len(f"{name}-0123456789") <= 63


# --- the master Service and the identities ------------------------------------------------------------------------


def test_the_master_service_selects_one_pod_by_name_or_nobody() -> None:
    def selector(pod: str | None) -> Mapping[str, str]:
        bodies = services(WHO, replicated(), master_pod=pod, recorded={})
        found: Mapping[str, str] = by_name(bodies, "Service")["redis-master"]["spec"]["selector"]
        return found

    assert selector(M) == {names.LABEL_CLUSTER: "redis", names.LABEL_POD_NAME: M}
    nobody = selector(None)[names.LABEL_POD_NAME]
    assert nobody not in DATA
    assert not re.search(r"-\d+$", nobody), "a pod of a StatefulSet could be called so"


def test_an_identity_is_one_pods_alone_and_asks_for_its_recorded_address() -> None:
    bodies = by_name(services(WHO, replicated(), master_pod=None, recorded={M: "10.96.7.7"}), "Service")
    for pod in (*DATA, *SENTINELS):
        spec = bodies[pod]["spec"]
        assert spec["selector"] == {names.LABEL_CLUSTER: "redis", names.LABEL_POD_NAME: pod}
        assert spec["publishNotReadyAddresses"] is True
        assert spec["ipFamilyPolicy"] == "SingleStack"
        assert spec["ports"][0]["port"] == (26379 if "sentinel" in pod else 6379)
        assert spec.get("clusterIP") == ("10.96.7.7" if pod == M else None)


def test_a_recorded_address_is_no_difference_to_what_was_applied() -> None:
    before = by_name(services(WHO, replicated(), master_pod=None, recorded={}), "Service")[M]
    after = by_name(services(WHO, replicated(), master_pod=None, recorded=ADDRESSES), "Service")[M]
    annotation = names.ANNOTATION_APPLIED
    assert before["metadata"]["annotations"][annotation] == after["metadata"]["annotations"][annotation]


def test_the_headless_services_stay_headless() -> None:
    recorded = ADDRESSES | {"redis-nodes": "10.96.9.9", "redis-sentinel": "10.96.9.8"}
    bodies = by_name(services(WHO, replicated(), master_pod=None, recorded=recorded), "Service")
    assert {bodies[name]["spec"]["clusterIP"] for name in ("redis-nodes", "redis-sentinel")} == {"None"}


# --- no secret, no address where none may be ----------------------------------------------------------------------


@pytest.mark.parametrize("spec", [standalone(), replicated()], ids=["standalone", "sentinel"])
def test_passwords_are_mounted_as_files_and_stand_nowhere(spec: Spec) -> None:
    for body in everything(spec):
        if body["kind"] != "StatefulSet":
            continue
        pod = body["spec"]["template"]["spec"]
        assert not [e for e in container_of(body)["env"] if "secretKeyRef" in e.get("valueFrom", {})]
        (volume,) = (volume for volume in pod["volumes"] if "secret" in volume)
        assert volume["secret"]["secretName"] == "redis-auth-active"
        assert volume["secret"]["defaultMode"] == 0o440
        assert {"name": "auth", "mountPath": "/etc/contex-redis/auth", "readOnly": True} in container_of(
            body
        )["volumeMounts"]
    lines = (redis_conf(spec) + settings_file(spec)).splitlines()
    written = [line for line in lines if not line.startswith("#")]
    assert not [line for line in written if re.search(r"requirepass|masterauth|auth-pass|password", line)]


def test_without_passwords_no_secret_is_mounted() -> None:
    for body in stateful_sets(WHO, replicated(auth={"enabled": False})):
        assert not [v for v in body["spec"]["template"]["spec"]["volumes"] if "secret" in v]


def test_addresses_stand_in_members_and_in_no_pod_template() -> None:
    spec = replicated()
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", json.dumps(stateful_sets(WHO, spec)))
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", redis_conf(spec) + settings_file(spec))
    maps = by_name(config_maps(WHO, spec, addresses=ADDRESSES), "ConfigMap")
    assert maps["redis-config"]["data"]["members"] == maps["redis-sentinel-config"]["data"]["members"]


def test_members_have_their_addresses_and_sentinels_a_fixed_id() -> None:
    lines = members_file(WHO, replicated(), addresses=ADDRESSES).splitlines()
    assert lines[:3] == [f"data {pod} {address_of(pod)}" for pod in DATA]
    for line, pod in zip(lines[3:], SENTINELS, strict=True):
        kind, name, address, myid = line.split()
        assert (kind, name, address) == ("sentinel", pod, address_of(pod))
        assert myid == names.sentinel_myid(namespace="shop", pod=pod, name="redis")
        assert re.fullmatch("[0-9a-f]{40}", myid)
    assert len({line.split()[3] for line in lines[3:]}) == 3


def test_the_same_sentinel_in_another_namespace_has_another_id() -> None:
    ids = {names.sentinel_myid(namespace=n, pod="redis-sentinel-0", name="redis") for n in ("a", "b")}
    assert len(ids) == 2


def test_members_need_every_address() -> None:
    with pytest.raises(KeyError, match="redis-replica-1"):
        members_file(
            WHO, replicated(), addresses={p: a for p, a in ADDRESSES.items() if p != "redis-replica-1"}
        )


# --- restricted pods (F62) ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [standalone(), replicated()], ids=["standalone", "sentinel"])
def test_all_pods_run_under_pod_security_restricted(spec: Spec) -> None:
    for body in stateful_sets(WHO, spec):
        pod = body["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        context = container_of(body)["securityContext"]
        assert context == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not [v for v in pod["volumes"] if v.keys() - {"name", "configMap", "secret", "emptyDir"}]


def test_no_environment_of_other_services_reaches_the_pods() -> None:
    """A Service called redis would put REDIS_PORT=tcp://… into them."""
    assert all(
        b["spec"]["template"]["spec"]["enableServiceLinks"] is False for b in stateful_sets(WHO, replicated())
    )


def test_mesh_sidecars_are_declined_unless_asked_for() -> None:
    def annotations(spec: Spec) -> Mapping[str, str]:
        found: Mapping[str, str] = stateful_sets(WHO, spec)[0]["spec"]["template"]["metadata"]["annotations"]
        return found

    assert annotations(replicated())["sidecar.istio.io/inject"] == "false"
    assert annotations(replicated())["linkerd.io/inject"] == "disabled"
    asked = annotations(replicated(podAnnotations={"sidecar.istio.io/inject": "true", "team": "x"}))
    assert (asked["sidecar.istio.io/inject"], asked["team"]) == ("true", "x")


def test_pods_start_together_and_are_replaced_by_the_operator_alone() -> None:
    for body in stateful_sets(WHO, replicated()):
        assert body["spec"]["podManagementPolicy"] == "Parallel"
        assert body["spec"]["updateStrategy"] == {"type": "OnDelete"}
        assert body["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Retain"


def test_liveness_knows_nothing_of_replication() -> None:
    for body in stateful_sets(WHO, replicated()):
        command = container_of(body)["livenessProbe"]["exec"]["command"]
        assert re.search(r"live-(redis|sentinel)\.sh$", command[-1])


def test_every_script_that_a_pod_calls_is_in_its_config_map() -> None:
    spec = replicated()
    maps = by_name(config_maps(WHO, spec, addresses=ADDRESSES), "ConfigMap")
    for body in stateful_sets(WHO, spec):
        volumes = {v["name"]: v for v in body["spec"]["template"]["spec"]["volumes"]}
        config = volumes["config"]["configMap"]
        items = {item["path"]: item["key"] for item in config["items"]}
        assert set(items.values()) == set(maps[config["name"]]["data"])
        assert config["defaultMode"] == 0o555
        called = re.findall(r"/opt/contex-redis/([\w.-]+)", json.dumps(container_of(body)["command"]))
        for probe in ("livenessProbe", "readinessProbe"):
            called += re.findall(r"/opt/contex-redis/([\w.-]+)", json.dumps(container_of(body)[probe]))
        assert set(called) <= set(items)
        assert {"bin/redis-cli", "bin/valkey-cli"} <= set(items)


# --- volumes, resources, what the user writes ---------------------------------------------------------------------


def test_volumes_have_one_size_for_all_data_pods() -> None:
    sets = by_name(stateful_sets(WHO, replicated(persistence={"size": "3Gi"})), "StatefulSet")
    sizes = {
        name: body["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
        for name, body in sets.items()
    }
    assert sizes == {"redis-master": "3Gi", "redis-replica": "3Gi", "redis-sentinel": "128Mi"}


def test_without_persistence_the_data_live_in_the_pod() -> None:
    for body in stateful_sets(WHO, replicated(persistence={"enabled": False})):
        assert "volumeClaimTemplates" not in body["spec"]
        assert {"name": "data", "emptyDir": {}} in body["spec"]["template"]["spec"]["volumes"]


@pytest.mark.parametrize(("retain", "policy"), [(True, "Retain"), (False, "Delete")])
def test_retain_says_what_becomes_of_the_volumes(retain: bool, policy: str) -> None:
    for body in stateful_sets(WHO, replicated(persistence={"retain": retain})):
        assert body["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == policy


def test_values_with_quotes_and_yaml_in_them_arrive_as_they_are() -> None:
    nasty = "a: \"b\" 'c' {{ d }} <e> & # f"
    body = stateful_sets(WHO, replicated(podAnnotations={"example.com/note": nasty}))[0]
    assert body["spec"]["template"]["metadata"]["annotations"]["example.com/note"] == nasty


def test_redis_conf_by_durability() -> None:
    def directives(**fields: Any) -> dict[str, str]:
        lines = redis_conf(replicated(**fields)).splitlines()
        return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))

    assert directives()["min-replicas-to-write"] == "1"
    assert directives()["min-replicas-max-lag"] == "3"
    assert directives()["appendfsync"] == "everysec"
    assert directives(replicas=1)["min-replicas-to-write"] == "0"
    assert directives(durability="available")["min-replicas-to-write"] == "0"
    strict = directives(durability="strict")
    assert (strict["appendfsync"], strict["min-replicas-max-lag"]) == ("always", "2")
    assert directives(config={"maxmemory": "100mb"})["maxmemory"] == "100mb"
    assert int(directives()["maxmemory"]) == int(512 * 2**20 * 0.6)
    assert directives(resources={})["maxmemory"] == "0"


def test_settings_are_plain_shell_assignments() -> None:
    text = settings_file(replicated(sentinel={"masterName": "main", "quorum": 3}))
    assert re.fullmatch(r"([A-Z_]+=[A-Za-z0-9._-]+\n)+", text)
    assert "MASTER_NAME=main\n" in text
    assert "QUORUM=3\n" in text
    assert settings_file(standalone()) == "MODE=standalone\n"


def test_a_secret_without_owner_stays_with_the_volumes() -> None:
    body = secret(WHO, "redis-auth", {"password": "eA=="}, owned=False)
    assert "ownerReferences" not in body["metadata"]
    assert secret(WHO, "redis-auth", {}, owned=True)["metadata"]["ownerReferences"]
    assert plain_config_map(WHO, "redis-contex-env", {"A": "1"})["data"] == {"A": "1"}


# --- differences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "live", "path"),
    [
        ({"spec": {"a": 1}}, {"spec": {"a": 1, "defaulted": 2}}, None),
        ({"spec": {"a": 1}}, {"spec": {"a": 2}}, ".spec.a"),
        ({"spec": {"a": 1}}, {"spec": {}}, ".spec.a"),
        ({"spec": {"a": 1}}, {}, ".spec"),
        ({"a": {}, "b": [], "c": None}, {}, None),
        ({"a": {"b": 1}}, {"a": "text"}, ".a"),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, ".a"),
        ({"a": [1, 2]}, {"a": [2, 1]}, ".a[0]"),
        ({"a": [1]}, {"a": {"0": 1}}, ".a"),
        ({"a": True}, {"a": False}, ".a"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "defaulted": 2}]}, None),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}, {"b": 2}]}, ".a"),
    ],
)
def test_the_first_difference(wanted: Any, live: Any, path: str | None) -> None:
    assert first_difference(wanted, live) == path


def test_things_with_names_are_compared_by_name() -> None:
    wanted = {"containers": [{"name": "redis", "image": "a"}, {"name": "more", "image": "b"}]}
    live: list[dict[str, Any]] = [
        {"name": "injected"},
        {"name": "more", "image": "b"},
        {"name": "redis", "image": "a", "x": 1},
    ]
    assert first_difference(wanted, {"containers": live}) is None
    assert first_difference(wanted, {"containers": live[:2]}) == ".containers.redis"
    live[2]["image"] = "c"
    assert first_difference(wanted, {"containers": live}) == ".containers.redis.image"


@pytest.mark.parametrize(
    ("wanted", "live", "same"),
    [
        ("1000m", "1", True),
        ("1024Mi", "1Gi", True),
        ("0.5", "500m", True),
        ("1Gi", "1G", False),
        ("1", "x", False),
    ],
)
def test_quantities_are_equal_when_their_amounts_are(wanted: str, live: str, same: bool) -> None:
    def body(amount: str) -> Any:
        return {"spec": {"resources": {"limits": {"memory": amount}}}}

    assert (first_difference(body(wanted), body(live)) is None) is same


def test_only_quantities_may_be_spelled_otherwise() -> None:
    assert first_difference({"data": {"a": "1000m"}}, {"data": {"a": "1"}}) == ".data.a"


def test_a_checksum_knows_the_value_and_not_the_order_of_keys() -> None:
    assert checksum({"a": 1, "b": 2}) == checksum({"b": 2, "a": 1})
    assert checksum({"a": 1}) != checksum({"a": 2})
    assert re.fullmatch("[0-9a-f]{16}", checksum({}))
