"""The parser of the resource: defaults, what follows from the fields, and every refusal with its place."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from contex_operator import spec as specs
from contex_operator.errors import SpecError
from contex_operator.spec import (
    Connection,
    Contex,
    ContexDeployment,
    Durability,
    Mode,
    PullPolicy,
    Spec,
    Wiring,
)
from hypothesis import given
from hypothesis import strategies as st

from tests import spec_cases
from tests.spec_cases import Refused

Json = dict[str, Any]


def parse(spec: Json | None = None, *, name: str = "redis") -> Spec:
    return specs.parse({"metadata": {"name": name, "namespace": "demo"}, "spec": spec or {}})


def refusal(spec: Json, *, name: str = "redis") -> SpecError:
    with pytest.raises(SpecError) as caught:
        parse(spec, name=name)
    return caught.value


def test_an_empty_spec_is_a_standalone_redis_with_everything_sensible() -> None:
    spec = parse()
    assert spec.mode is Mode.STANDALONE
    assert spec.image == "redis:7-alpine"
    assert spec.image_pull_policy is PullPolicy.IF_NOT_PRESENT
    assert (spec.replicas, spec.durability) == (2, Durability.BALANCED)
    assert (spec.persistence.enabled, spec.persistence.size, spec.persistence.retain) == (True, "8Gi", True)
    assert spec.persistence.storage_class_name is None
    assert (spec.auth.enabled, spec.auth.secret_name) == (True, None)
    assert spec.affinity is None
    assert spec.security_context["runAsUser"] == 999
    assert spec.security_context["fsGroup"] == 1000
    assert spec.security_context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not spec.paused
    assert spec.contex == Contex(
        deployments=(),
        wiring=Wiring.PATCH,
        take_over=False,
        sentinel_shim=False,
        connection=Connection.SERVICE,
        database=0,
        max_connections=50,
        socket_timeout_s=5,
        socket_connect_timeout_s=5,
        socket_keepalive=True,
        retry_on_timeout=True,
        health_check_interval_s=30,
    )


def test_a_body_without_spec_is_an_empty_spec() -> None:
    assert specs.parse({"metadata": {"name": "redis"}}) == parse()


def test_mode_sentinel_has_a_master_two_replicas_and_three_sentinels() -> None:
    spec = parse({"mode": "sentinel"})
    assert (spec.replica_pod_count, spec.data_pod_count, spec.sentinel_pod_count) == (2, 3, 3)
    assert (spec.majority, spec.sentinel.quorum) == (2, 2)
    assert spec.sentinel.master_name == "mymaster"
    assert (spec.sentinel.down_after_ms, spec.sentinel.failover_timeout_ms) == (3000, 10000)
    assert spec.sentinel.parallel_syncs == 1
    assert spec.contex.connection is Connection.SENTINEL


def test_mode_standalone_runs_one_pod_whatever_replicas_and_sentinels_say() -> None:
    spec = parse({"replicas": 5, "sentinel": {"replicas": 7}})
    assert (spec.replica_pod_count, spec.data_pod_count, spec.sentinel_pod_count) == (0, 1, 0)
    assert spec.replicas == 5


@pytest.mark.parametrize(("sentinels", "majority"), [(3, 2), (5, 3), (7, 4), (9, 5)])
def test_the_quorum_is_the_majority_unless_written(sentinels: int, majority: int) -> None:
    spec = parse({"mode": "sentinel", "sentinel": {"replicas": sentinels}})
    assert (spec.majority, spec.sentinel.quorum) == (majority, majority)
    written = parse({"mode": "sentinel", "sentinel": {"replicas": sentinels, "quorum": sentinels}})
    assert (written.majority, written.sentinel.quorum) == (majority, sentinels)


@pytest.mark.parametrize(
    ("fields", "fsync", "min_replicas", "max_lag_s"),
    [
        ({"mode": "sentinel", "durability": "available"}, "everysec", 0, 10),
        ({"mode": "sentinel", "durability": "balanced"}, "everysec", 1, 3),
        ({"mode": "sentinel", "durability": "balanced", "replicas": 5}, "everysec", 1, 3),
        ({"mode": "sentinel", "durability": "balanced", "replicas": 1}, "everysec", 0, 3),
        ({"mode": "sentinel", "durability": "strict"}, "always", 1, 2),
        ({"mode": "standalone", "durability": "balanced"}, "everysec", 0, 3),
        ({"mode": "standalone", "durability": "strict"}, "always", 0, 2),
    ],
)
def test_durability_means_these_numbers(fields: Json, fsync: str, min_replicas: int, max_lag_s: int) -> None:
    profile = parse(fields).profile
    assert (profile.appendfsync, profile.min_replicas_to_write) == (fsync, min_replicas)
    assert profile.min_replicas_max_lag_s == max_lag_s


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, int(512 * 2**20 * 0.6)),
        ({"resources": {"limits": {"memory": "1G"}}}, 600_000_000),
        ({"resources": {"limits": {"cpu": "1"}}}, None),
        ({"config": {"maxmemory": "100mb"}}, None),
    ],
)
def test_maxmemory_is_a_share_of_the_limit_unless_the_user_has_one(
    fields: Json, expected: int | None
) -> None:
    assert parse(fields).default_maxmemory_bytes == expected


def test_written_resources_replace_the_default_as_a_whole() -> None:
    spec = parse({"resources": {"limits": {"memory": "1Gi", "cpu": 2}}})
    assert spec.resources == {"limits": {"memory": "1Gi", "cpu": "2"}}
    assert parse({"resources": {}}).resources == {}
    assert parse({"sentinel": {"resources": {"requests": {"cpu": "1m"}}}}).sentinel.resources == {
        "requests": {"cpu": "1m"}
    }


def test_a_null_in_the_security_context_leaves_it_to_the_platform() -> None:
    spec = parse({"securityContext": {"runAsUser": None, "seccompProfile": None, "fsGroup": 4}})
    assert spec.security_context == {
        "runAsGroup": 1000,
        "runAsNonRoot": True,
        "fsGroup": 4,
        "fsGroupChangePolicy": "OnRootMismatch",
    }


def test_deployments_name_their_container_or_mean_contex() -> None:
    spec = parse({"contex": {"deployments": [{"name": "a"}, {"name": "b.c", "container": "web"}]}})
    assert spec.contex.deployments == (
        ContexDeployment(name="a", container="contex"),
        ContexDeployment(name="b.c", container="web"),
    )


def test_what_goes_into_pods_word_for_word_is_a_copy() -> None:
    written: Json = {
        "tolerations": [{"key": "a", "effect": "NoExecute", "tolerationSeconds": 5}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "securityContext": {"seLinuxOptions": {"level": "s0"}, "supplementalGroups": [5]},
    }
    before = copy.deepcopy(written)
    spec = parse(written)
    written["tolerations"][0]["key"] = "changed"
    written["affinity"]["nodeAffinity"].clear()
    written["securityContext"]["seLinuxOptions"].clear()
    assert list(spec.tolerations) == before["tolerations"]
    assert spec.affinity == before["affinity"]
    assert spec.security_context["seLinuxOptions"] == {"level": "s0"}
    assert spec.security_context["supplementalGroups"] == [5]


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0},
        {"key": "a", "operator": "Equal", "value": "b"},
        {"key": "a", "value": "b", "effect": "PreferNoSchedule"},
    ],
)
def test_takes_tolerations_that_kubernetes_takes(toleration: Json) -> None:
    assert parse({"tolerations": [toleration]}).tolerations == (toleration,)


def test_takes_the_least_ids() -> None:
    ids: Json = {"runAsUser": 1, "runAsGroup": 1, "fsGroup": 1, "supplementalGroups": [1]}
    context = parse({"securityContext": ids}).security_context
    assert {name: context[name] for name in ids} == ids


def test_the_default_security_context_is_nobodys_to_change() -> None:
    profile: Any = parse().security_context["seccompProfile"]
    profile["type"] = "Unconfined"
    assert parse().security_context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_a_field_of_a_newer_release_is_passed_over() -> None:
    assert parse({"future": {"a": 1}, "sentinel": {"later": True}}) == parse()


def test_config_takes_numbers_and_writes_an_empty_value_as_redis_reads_it() -> None:
    spec = parse({"config": {"hz": 20, "save": "", "maxmemory-policy": " allkeys-lru "}})
    assert spec.config == {"hz": "20", "save": '""', "maxmemory-policy": "allkeys-lru"}


@pytest.mark.parametrize("refused", spec_cases.REFUSED, ids=lambda refused: refused.case)
def test_refuses_what_the_api_server_refuses(refused: Refused) -> None:
    error = refusal(refused.spec, name=refused.name)
    assert error.path.startswith(f".{refused.at}")
    assert refused.says in error.message
    assert str(error) == f"{error.path}: {error.message}"
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("where", "name"),
    [(where, name) for where, found in spec_cases.OWNED_DIRECTIVES.items() for name in found],
)
def test_refuses_a_directive_that_the_operator_owns_and_says_where_to_go(where: str, name: str) -> None:
    error = refusal({"config": {name: "1"}})
    assert error.path == f".spec.config.{name}"
    assert error.message.startswith(f"{name} cannot be set in config: ")
    assert where in error.message


@pytest.mark.parametrize("name", spec_cases.USERS_DIRECTIVES)
def test_takes_the_users_directives(name: str) -> None:
    assert name in parse({"config": {name: spec_cases.USERS_DIRECTIVES[name]}}).config


@pytest.mark.parametrize("change", spec_cases.CHANGED, ids=lambda change: change.case)
def test_both_sides_of_a_refused_change_are_fine_by_themselves(change: spec_cases.Changed) -> None:
    parse(change.before)
    parse(change.after)


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        (
            {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
            ".spec.resources.requests.memory",
            "a request of 2Gi is above the limit of 1Gi",
        ),
        (
            {"sentinel": {"resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": 1}}}},
            ".spec.sentinel.resources.requests.cpu",
            "a request of 1500m is above the limit of 1",
        ),
        (
            {"resources": {"limits": {"memory": "31Mi"}}},
            ".spec.resources.limits.memory",
            "31Mi is too little: Redis needs at least 32Mi",
        ),
        (
            {"resources": {"limits": {"memory": "512m"}}},
            ".spec.resources.limits.memory",
            "512m is too little",
        ),
        (
            {"mode": "sentinel", "resources": {"limits": {"memory": "95Mi"}}},
            ".spec.resources.limits.memory",
            "Redis with a replication backlog of 64Mi needs at least 96Mi",
        ),
        (
            {
                "mode": "sentinel",
                "config": {"repl-backlog-size": "1gb"},
                "resources": {"limits": {"memory": "1Gi"}},
            },
            ".spec.resources.limits.memory",
            "a replication backlog of 1Gi needs at least 1Gi",
        ),
        (
            {"sentinel": {"resources": {"limits": {"memory": "16Mi"}}}},
            ".spec.sentinel.resources.limits.memory",
            "a sentinel needs at least 32Mi",
        ),
        (
            {"resources": {"limits": {"mem": "1Gi"}}},
            ".spec.resources.limits",
            "'mem' is no resource of a container; use cpu or memory",
        ),
        (
            {"config": {"maxmemory": "513mb"}},
            ".spec.config.maxmemory",
            "513mb is above the memory limit of 512Mi",
        ),
        ({"config": {"maxmemory": "1 gb"}}, ".spec.config.maxmemory", "takes one value, not 2"),
        (
            {"config": {"databases": 4}, "contex": {"database": 4}},
            ".spec.contex.database",
            "4 is not among the 4 databases",
        ),
        ({"config": {"hz": "1" * 1025}}, ".spec.config.hz", "is longer than 1024"),
        (
            {"config": {"repl-timeout": 10}},
            ".spec.config.repl-timeout",
            "repl-timeout, 10, must be above repl-ping-replica-period, 10",
        ),
        (
            {"config": {"repl-ping-replica-period": 30}},
            ".spec.config.repl-ping-replica-period",
            "repl-timeout, 30, must be above repl-ping-replica-period, 30",
        ),
        ({"persistence": {"size": "8"}}, ".spec.persistence.size", "must be at least 64Mi, like 8Gi, not 8"),
        ({"podLabels": {"a b": "c"}}, ".spec.podLabels", "'a b' is no key of a label"),
        ({"podLabels": {"a": "c d"}}, ".spec.podLabels.a", "63 letters"),
        ({"podAnnotations": {"/a": "c"}}, ".spec.podAnnotations", "'/a' is no key of a label"),
        ({"nodeSelector": {"disk": "s s d"}}, ".spec.nodeSelector.disk", "63 letters"),
        ({"tolerations": {}}, ".spec.tolerations", "must be a list, not an object"),
        ({"persistence": []}, ".spec.persistence", "must be an object, not a list"),
        ({"paused": "no"}, ".spec.paused", "must be true or false, not a string"),
        ({"replicas": True}, ".spec.replicas", "must be a whole number, not true or false"),
        ({"image": 7}, ".spec.image", "must be a string, not a number"),
        ({"replicas": 21}, ".spec.replicas", "must be from 0 to 20, not 21"),
        (
            {"sentinel": {"replicas": 11}},
            ".spec.sentinel.replicas",
            "must be from 0 to 9, not 11",
        ),
        ({"imagePullSecrets": [{}]}, ".spec.imagePullSecrets[0].name", "is missing"),
        ({"auth": {"secretName": "No Such"}}, ".spec.auth.secretName", "must be the name of a Secret"),
    ],
)
def test_refuses_what_only_the_operator_can_see(fields: Json, path: str, says: str) -> None:
    error = refusal(fields)
    assert error.path == path
    assert says in error.message


def test_limits_at_the_edge_are_taken() -> None:
    assert parse({"resources": {"limits": {"memory": "32Mi"}}}).memory_limit_bytes == 2**25
    parse({"mode": "sentinel", "resources": {"limits": {"memory": "96Mi"}}})
    parse({"resources": {"requests": {"memory": "1024Mi"}, "limits": {"memory": "1Gi"}}})
    parse({"config": {"maxmemory": "512mb"}})
    parse({"config": {"x": "1" * 1024}})
    parse({"persistence": {"size": "64Mi"}})
    parse({"sentinel": {"quorum": 2}})
    parse({"config": {"databases": 4}, "contex": {"database": 3}})
    parse({"mode": "sentinel", "durability": "strict", "replicas": 2})
    parse({"mode": "sentinel", "replicas": 1})
    parse({"sentinel": {"downAfterMilliseconds": 2000, "failoverTimeoutMilliseconds": 2000}})
    parse({}, name="r" * 43)


def test_a_body_without_a_name_is_refused() -> None:
    with pytest.raises(SpecError, match=r"\.metadata\.name: is missing"):
        specs.parse({"spec": {}})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_SECTIONS = ("persistence", "resources", "securityContext", "auth", "sentinel", "contex")


@given(data=st.data())
def test_whatever_comes_is_a_spec_or_a_spec_error(data: st.DataObject) -> None:
    fields = st.sampled_from(
        ["mode", "image", "imagePullSecrets", "replicas", "config", "nodeSelector", "tolerations", "affinity",
         "podLabels", "podAnnotations", "paused", "enabled", "size", "storageClassName", "limits", "requests",
         "quorum", "masterName", "downAfterMilliseconds", "deployments", "wiring", "database", "secretName",
         "seccompProfile", "seLinuxOptions", "supplementalGroups", "runAsUser", *_SECTIONS]
    )  # fmt: skip
    flat = st.dictionaries(fields, _JSON, max_size=4)
    spec = data.draw(st.dictionaries(fields, _JSON | flat | st.lists(flat, max_size=2), max_size=5))
    try:
        parse(spec)
    except SpecError as error:
        assert error.path.startswith(".spec")  # noqa: PT017 - the other outcome is fine as well
