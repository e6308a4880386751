"""Helm 4 renders and refuses what Helm 3 does, on which all other tests run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chart.examples import EVERYTHING, EXTERNAL_SENTINEL, SENTINEL, SENTINEL_AUTH
from tests.chart.rendering import CHART, DOCUMENTED, VALUES_HA, Manifests, helm, merged, nested, render


def template(folder: Path, values: dict[str, Any], files: list[Path]) -> Any:
    given = folder / "values.json"
    given.write_text(json.dumps(values))
    argv = [f"--values={path}" for path in (*files, given)]
    return helm("template", "contex", str(CHART), "--namespace=default", *argv, binary="helm4")


@pytest.mark.parametrize("files", [[], [VALUES_HA], [DOCUMENTED]], ids=["default", "ha", "documented"])
def test_lint_finds_nothing(files: list[Path]) -> None:
    done = helm("lint", "--strict", str(CHART), *(f"--values={path}" for path in files), binary="helm4")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "files"),
    [
        ({}, []),
        ({}, [VALUES_HA]),
        ({}, [DOCUMENTED]),
        (EVERYTHING, []),
        (EXTERNAL_SENTINEL, []),
        (SENTINEL_AUTH, []),
    ],
    ids=["default", "ha", "documented", "everything", "external", "auth"],
)
def test_both_render_the_same(values: dict[str, Any], files: list[Path], tmp_path: Path) -> None:
    done = template(tmp_path, values, files)
    assert done.returncode == 0, done.stderr
    newer, older = Manifests(done.stdout), render(values, files=files)
    assert by_name(newer) == by_name(older)


def by_name(manifests: Manifests) -> dict[str, Any]:
    return {f"{body['kind']}/{body['metadata']['name']}": body for body in manifests.objects}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            nested("redis.sentinel.qourum", 2),
            "at '/redis/sentinel': additional properties 'qourum' not allowed",
        ),
        (nested("redis.replica.replicaCount", "2"), "at '/redis/replica/replicaCount'"),
        (merged(SENTINEL, nested("redis.sentinel.quorum", 4)), "set redis.sentinel.quorum=2, a majority"),
    ],
    ids=["unknown name", "wrong type", "contradiction"],
)
def test_it_refuses_with_the_same_words(values: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    done = template(tmp_path, values, [])
    assert done.returncode != 0
    assert sentence in done.stderr
