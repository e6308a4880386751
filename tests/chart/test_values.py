"""values.yaml, its schema and the README say the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import yaml

from tests.chart.readme import NEEDED, README, VALUES, needed, undescribed, values, with_table
from tests.chart.rendering import CHART, DOCUMENTED, VALUES_HA

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def resolved(schema: Any) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    return dict(schema)


def schema_paths(schema: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every property that the schema names."""
    for key, value in resolved(schema).get("properties", {}).items():
        inner = resolved(value)
        if "properties" in inner:
            yield from schema_paths(inner, (*path, key))
        else:
            yield ".".join((*path, key))


def test_the_readme_has_the_table_of_values() -> None:
    text = README.read_text()
    assert text == with_table(text), "run: python -m tests.chart.readme"


def test_the_chart_knows_which_values_it_needs() -> None:
    assert NEEDED.read_text() == needed(), "run: python -m tests.chart.readme"


def test_every_value_is_described() -> None:
    assert undescribed() == []


def test_every_value_has_a_schema_and_every_schema_a_value() -> None:
    free = ("resources", "ingress.hosts", "ingress.tls")  # described as a whole
    described = {value.path for value in values()}
    known = set(schema_paths(SCHEMA)) - {"global"}
    known = {path for path in known if not any(part in path for part in (".requests", ".limits", ".claims"))}
    described -= {path for path in described if path.endswith(free)}
    known -= {path for path in known if path.endswith(free)}
    described -= {"resources"}
    assert known - described == set(), "in the schema only"
    assert described - known == set(), "in values.yaml only"


def test_no_object_of_the_schema_takes_unknown_names() -> None:
    def closed(schema: Any, path: str) -> Iterator[str]:
        node = resolved(schema)
        if "properties" in node and node.get("additionalProperties") is not False and "items" not in path:
            yield path
        for key, value in node.get("properties", {}).items():
            yield from closed(value, f"{path}.{key}")

    assert list(closed(SCHEMA, "")) == []


def test_the_schema_is_a_schema_and_the_files_fit_it() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    defaults = yaml.safe_load(VALUES.read_text())
    jsonschema.Draft7Validator(SCHEMA).validate(defaults)
    for path in (VALUES_HA, DOCUMENTED):
        jsonschema.Draft7Validator(SCHEMA).validate(yaml.safe_load(path.read_text()))


def test_values_that_people_have_today_keep_their_names_and_defaults() -> None:
    defaults = yaml.safe_load(VALUES.read_text())
    redis, contex = defaults["redis"], defaults["contex"]
    assert defaults["replicaCount"] == 2
    assert defaults["image"]["repository"] == "ghcr.io/cahoots-org/contex"
    assert defaults["service"]["port"] == 8001
    assert defaults["resources"] == {
        "limits": {"cpu": "1000m", "memory": "2Gi"},
        "requests": {"cpu": "250m", "memory": "512Mi"},
    }
    assert defaults["autoscaling"] == {
        "enabled": True,
        "minReplicas": 2,
        "maxReplicas": 10,
        "targetCPUUtilizationPercentage": 70,
        "targetMemoryUtilizationPercentage": 80,
    }
    assert contex["redis"]["mode"] == "standalone"
    assert contex["redis"]["url"] == "redis://redis:6379"
    assert contex["redis"]["sentinel"]["master"] == "mymaster"
    assert redis["architecture"] == "standalone"
    assert redis["auth"]["enabled"] is False
    assert redis["replica"]["replicaCount"] == 2
    for part in ("master", "replica"):
        assert redis[part]["persistence"]["size"] == "8Gi"
    assert redis["sentinel"]["enabled"] is False
    for name in (
        *("imagePullSecrets", "nameOverride", "fullnameOverride", "serviceAccount", "podAnnotations"),
        *("podSecurityContext", "securityContext", "ingress", "nodeSelector", "tolerations", "affinity"),
        *("serviceMonitor", "livenessProbe", "startupProbe", "readinessProbe"),
    ):
        assert name in defaults, name
    for section, names in {
        "security": "apiKeySalt rateLimitEnabled rateLimitRequests corsOrigins",
        "similarity": "threshold maxMatches maxContextSize",
        "hybridSearch": "enabled rrfK vectorBoost",
        "logging": "level json",
        "tracing": "enabled endpoint",
        "opensearch": "url",
    }.items():
        assert set(names.split()) <= set(contex[section]), section
