"""Every manifest against the API's own description, strictly: no unknown field, no wrong type, no doubled key."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.openapi import versions
from lab.tools import tool
from tests.chart.examples import EVERYTHING, EXTERNAL_SENTINEL, SENTINEL_AUTH
from tests.chart.kustomize import OVERLAYS, build
from tests.chart.rendering import DOCUMENTED, VALUES_HA, Manifests, merged, nested, render
from tests.chart.schemas import crd_schemas, kubernetes_schemas

CASES: list[tuple[dict[str, Any], list[Path]]] = [
    ({}, []),
    ({}, [VALUES_HA]),
    ({}, [DOCUMENTED]),
    (EVERYTHING, []),
    (EXTERNAL_SENTINEL, []),
    (merged(SENTINEL_AUTH, nested("contex.redis.wiring", "operator")), []),
    ({"autoscaling": {"enabled": False}, "ingress": {"enabled": True}}, []),
]


@pytest.fixture(scope="session")
def custom(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The schemas of the project's own kinds."""
    return crd_schemas(tmp_path_factory.mktemp("crds") / "schemas")


@pytest.fixture(scope="session")
def schemas(custom: str) -> list[str]:
    """All schemas, those of the newest Kubernetes."""
    return [kubernetes_schemas(versions()[-1]), custom]


def kubeconform(manifests: str, schemas: list[str]) -> dict[str, Any]:
    """kubeconform's report."""
    argv = [str(tool("kubeconform")), "-strict", "-output", "json", "-verbose", "-summary"]
    argv += [word for location in schemas for word in ("-schema-location", location)]
    done = subprocess.run(argv, input=manifests, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_the_supported_versions_are_checked() -> None:
    assert [version.rsplit(".", 1)[0] for version in versions()] == ["v1.34", "v1.35", "v1.36", "v1.37"]


@pytest.mark.parametrize("version", versions())
def test_every_manifest_of_the_chart_is_valid(version: str, custom: str) -> None:
    assert_valid([render(values, files=files, namespace="shop") for values, files in CASES], version, custom)


@pytest.mark.parametrize("version", versions())
def test_every_manifest_for_kubectl_is_valid(version: str, custom: str) -> None:
    built = [build("base"), *(build(f"overlays/{overlay}") for overlay in OVERLAYS)]
    assert_valid(built, version, custom)


def assert_valid(manifests: list[Manifests], version: str, custom: str) -> None:
    """In one run: kubeconform reads the schemas anew in each."""
    text = "\n---\n".join(each.text for each in manifests)
    report = kubeconform(text, [kubernetes_schemas(version), custom])
    wrong = [each for each in report["resources"] if each["status"] != "statusValid"]
    assert not wrong, wrong
    assert report["summary"]["valid"] == sum(len(each.objects) for each in manifests)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("terminationGracePeriodSeconds: 30", "terminationGracePeriodSecond: 30"),
        ("terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: soon"),
        ("  durability: balanced", "  durabilty: balanced"),
        ("  mode: standalone", "  mode: cluster"),
        ("    maxConnections: 50", "    maxConnections: many"),
    ],
)
def test_the_check_sees_what_is_wrong(good: str, bad: str, schemas: list[str]) -> None:
    text = render().text
    assert good in text
    report = kubeconform(text.replace(good, bad), schemas)
    assert report["summary"]["invalid"] == 1, report
