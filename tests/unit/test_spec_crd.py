"""The CRD and the parser say the same: fields, defaults, enumerations, bounds, directives."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from contex_operator import names, render, spec_config, spec_pod, status
from contex_operator import spec as specs
from contex_operator.errors import SpecError
from contex_operator.plan import Plan
from contex_operator.spec import Connection, Durability, Mode, PullPolicy, Spec, Wiring
from contex_operator.topology import judge

from tests.unit.world import R0, M, healthy, replicated

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
CRD: Json = yaml.safe_load((ROOT / "helm" / "contex" / "crds" / "contexredises.yaml").read_text())
VERSION: Json = CRD["spec"]["versions"][0]
SCHEMA: Json = VERSION["schema"]["openAPIV3Schema"]
SPEC: Json = SCHEMA["properties"]["spec"]

# Fields without a default in the schema: absent means something of its own there.
WITHOUT_DEFAULT = {
    "affinity",
    "priorityClassName",
    "persistence.storageClassName",
    "auth.secretName",
    "sentinel.quorum",
    "contex.connection",
    "contex.sentinelShim",
    "securityContext.supplementalGroups",
    "securityContext.seLinuxOptions",
}


def fields(schema: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Every field below an object, outer ones first; lists and maps count as one field."""
    for name, part in schema.get("properties", {}).items():
        yield (*path, name), part
        yield from fields(part, (*path, name))


def described(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every field of the whole schema, those inside of lists included."""
    for name, part in schema.get("properties", {}).items():
        yield f"{path}.{name}", part
        yield from described(part, f"{path}.{name}")
    items = schema.get("items")
    if items:
        yield from described(items, f"{path}[]")


def with_defaults(schema: Json, value: Any) -> Any:
    """What the API server stores for `value`."""
    if isinstance(value, dict) and "properties" in schema:
        filled = dict(value)
        for name, part in schema["properties"].items():
            if name not in filled and "default" in part:
                filled[name] = copy.deepcopy(part["default"])
            if filled.get(name) is not None:
                filled[name] = with_defaults(part, filled[name])
        return filled
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(schema["items"], item) for item in value]
    return value


def nested(path: tuple[str, ...], value: Any) -> Json:
    for name in reversed(path):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def parse(spec: Json) -> Spec:
    return specs.parse({"metadata": {"name": "redis"}, "spec": spec})


def leaves(*types: str) -> list[tuple[tuple[str, ...], Json]]:
    """Fields of these types outside of what goes into pods word for word."""
    return [
        (path, part)
        for path, part in fields(SPEC)
        if path[0] != "affinity" and "properties" not in part and part.get("type") in types
    ]


def named(found: list[tuple[tuple[str, ...], Json]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("path", "part"), found, ids=[".".join(path) for path, _ in found])


def test_the_names_are_those_of_the_operator() -> None:
    assert CRD["metadata"]["name"] == f"{names.PLURAL}.{names.GROUP}"
    assert CRD["spec"]["group"] == names.GROUP
    assert CRD["spec"]["names"]["kind"] == names.KIND
    assert CRD["spec"]["names"]["plural"] == names.PLURAL
    assert VERSION["name"] == names.VERSION


@pytest.mark.parametrize(
    "written", [{}, {"mode": "sentinel"}, {"persistence": {}, "sentinel": {}, "contex": {}}]
)
def test_every_default_of_the_crd_is_the_parsers(written: Json) -> None:
    filled = with_defaults(SPEC, written)
    assert filled["sentinel"]["masterName"] == "mymaster"
    assert filled["securityContext"]["runAsUser"] == 999
    assert parse(filled) == parse(written)


def test_every_field_has_a_default_but_those_that_mean_something_when_absent() -> None:
    without = {
        ".".join(path)
        for path, part in fields(SPEC)
        if "default" not in part and not (path[0] == "affinity" and len(path) > 1)
    }
    inner = {
        "resources.requests",
        "resources.limits",
        "sentinel.resources.requests",
        "sentinel.resources.limits",
    }
    inner |= {"securityContext.seccompProfile.type", "securityContext.seccompProfile.localhostProfile"}
    inner |= {f"securityContext.seLinuxOptions.{name}" for name in ("level", "role", "type", "user")}
    assert without == WITHOUT_DEFAULT | inner


def test_the_defaults_of_objects_agree_with_those_of_their_fields() -> None:
    for path, part in fields(SPEC):
        for name, value in (
            (part.get("default") or {}).items() if isinstance(part.get("default"), dict) else ()
        ):
            inner = part.get("properties", {}).get(name, {})
            if "default" in inner:
                assert inner["default"] == value, f"{'.'.join(path)}.{name}"


WRONG = {
    "string": 7,
    "integer": "7",
    "boolean": "true",
    "array": {"a": 1},
    "object": ["a"],
}


@named([(path, part) for path, part in fields(SPEC) if path[0] != "affinity" or len(path) == 1])
def test_the_parser_reads_every_field(path: tuple[str, ...], part: Json) -> None:
    with pytest.raises(SpecError) as caught:
        parse(nested(path, WRONG[part["type"]]))
    assert caught.value.path == f".spec.{'.'.join(path)}"


@pytest.mark.parametrize(
    ("path", "name", "part"),
    [
        (path, name, part)
        for path, listed in fields(SPEC)
        if listed["type"] == "array" and path[0] != "affinity"
        for name, part in listed["items"].get("properties", {}).items()
    ],
)
def test_the_parser_reads_every_field_of_the_items_of_lists(
    path: tuple[str, ...], name: str, part: Json
) -> None:
    with pytest.raises(SpecError) as caught:
        parse(nested(path, [{"name": "a", "key": "a", name: WRONG[part["type"]]}]))
    assert caught.value.path == f".spec.{'.'.join(path)}[0].{name}"


ENUMERATED = [(path, part) for path, part in leaves("string") if "enum" in part]


@named(ENUMERATED)
def test_the_parser_takes_every_word_of_an_enumeration_and_no_other(
    path: tuple[str, ...], part: Json
) -> None:
    for word in part["enum"]:
        companions: Json = {"mode": "sentinel"} if path == ("contex", "connection") else {}
        if word == "Localhost":
            continue  # needs a file beside it; has a test of its own
        parse({**companions, **nested(path, word)})
    with pytest.raises(SpecError):
        parse(nested(path, "nonsense"))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("mode",), Mode),
        (("durability",), Durability),
        (("imagePullPolicy",), PullPolicy),
        (("contex", "wiring"), Wiring),
        (("contex", "connection"), Connection),
    ],
)
def test_every_enumeration_of_the_parser_is_the_crds(path: tuple[str, ...], words: Any) -> None:
    part = dict(fields(SPEC))[path]
    assert part["enum"] == [str(word) for word in words]


@named([(path, part) for path, part in leaves("integer") if "minimum" in part])
def test_the_least_number_is_the_same(path: tuple[str, ...], part: Json) -> None:
    low = part["minimum"]
    if path != ("sentinel", "quorum"):  # its least is the majority
        parse(nested(path, low))
    with pytest.raises(SpecError):
        parse(nested(path, low - 1))


@named([(path, part) for path, part in leaves("integer")])
def test_the_largest_number_is_the_same(path: tuple[str, ...], part: Json) -> None:
    high = part["maximum"]
    companions: Json = {
        "sentinel.quorum": {"replicas": high},
        "sentinel.downAfterMilliseconds": {"failoverTimeoutMilliseconds": 3_600_000},
    }.get(".".join(path), {})

    def written(number: int) -> Json:
        body = nested(path, number)
        return {path[0]: {**companions, **body[path[0]]}} if companions else body

    parse(written(high))
    with pytest.raises(SpecError) as caught:
        parse(written(high + 1))
    assert caught.value.path == f".spec.{'.'.join(path)}"


def _rules(schema: Json) -> list[str]:
    return [rule["rule"] for rule in schema["x-kubernetes-validations"]]


def _words(rule: str) -> set[str]:
    return set(re.findall(r"'([^']+)'", rule))


def test_the_crd_refuses_exactly_the_directives_of_the_parser() -> None:
    rules = _rules(SPEC["properties"]["config"])
    groups = [{*owned.names, *owned.prefixes} for owned in spec_config.OWNED]
    assert [_words(rule) for rule in rules[1:]] == groups
    for rule, owned in zip(
        SPEC["properties"]["config"]["x-kubernetes-validations"][1:], spec_config.OWNED, strict=True
    ):
        assert rule["messageExpression"].endswith(f"' cannot be set in config: {owned.instead}'")


def test_the_crd_refuses_exactly_the_labels_of_the_parser() -> None:
    (rule,) = _rules(SPEC["properties"]["podLabels"])
    assert _words(rule) == {*spec_pod.OWNED_LABELS, *spec_pod.OWNED_LABEL_PREFIXES}


def test_every_field_is_described_in_words() -> None:
    for path, part in described(SCHEMA):
        if path != ".metadata":
            assert len(part.get("description", "")) >= 5, path


def test_every_default_stands_in_its_description() -> None:
    for path, part in fields(SPEC):
        default = part.get("default")
        if isinstance(default, (str, int)) and not isinstance(default, bool):
            assert f"Default: {default}" in part["description"].replace(", redis", "."), ".".join(path)
        elif isinstance(default, bool):
            assert f"Default: {json.dumps(default)}." in part["description"], ".".join(path)


def test_f38_the_crd_stays_small() -> None:
    """kubectl apply keeps a copy of the whole in an annotation of at most 262144 bytes."""
    assert len((ROOT / "helm" / "contex" / "crds" / "contexredises.yaml").read_bytes()) < 100_000
    assert len(json.dumps(CRD)) < 100_000


def pruned(schema: Json, value: Any) -> Any:
    """What is left of `value` when the API server has dropped the fields that the schema does not have."""
    if schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema:
        return value
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return {name: pruned(known[name], part) for name, part in value.items() if name in known}
    if isinstance(value, list):
        return [pruned(schema["items"], item) for item in value]
    return value


def test_no_field_of_status_that_the_operator_writes_is_dropped() -> None:
    """Otherwise it would find it missing each time and write it again for ever."""
    before = {
        "lastMaster": R0,
        "initialized": True,
        "addresses": {M: "10.96.1.1"},
        "intent": {"procedure": "bootstrap", "pod": M},
    }
    observed = healthy(status=before)
    written = status.compute(
        replicated(), observed, judge(observed, sentinels=3), Plan(actions=(), again_s=1)
    )
    assert {"lastFailover", "master", "sentinelHosts", *before} <= set(written)
    assert pruned(SCHEMA["properties"]["status"], written) == written


def test_the_parser_reckons_with_the_defaults_of_the_rendered_redis_conf() -> None:
    lines = render.redis_conf(replicated()).splitlines()
    assert f"repl-backlog-size {spec_config.DEFAULT_REPL_BACKLOG}" in lines
    assert f"repl-timeout {spec_config.DEFAULT_REPL_TIMEOUT_S}" in lines
    for directive in ("repl-ping-replica-period", "databases"):
        assert not any(line.startswith(directive) for line in lines)


def remembered_fields() -> Iterator[str]:
    """The fields of the status that any procedure or move writes: RememberInStatus(fields={...}), Remember(...)."""
    for path in (ROOT / "operator" / "contex_operator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in ("RememberInStatus", "Remember"):
                yield from _keys(next((k.value for k in node.keywords if k.arg == "fields"), None))


def _keys(literal: ast.expr | None) -> Iterator[str]:
    if isinstance(literal, ast.Dict):
        for key in literal.keys:
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value


def test_whatever_is_remembered_in_the_status_is_in_the_schema() -> None:
    """The API drops a field that the schema does not know, and says nothing."""
    written = set(remembered_fields())
    assert {"intent", "votesCast", "initialized"} <= written, "this test is blind"
    assert written <= SCHEMA["properties"]["status"]["properties"].keys()
