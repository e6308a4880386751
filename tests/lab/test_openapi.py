"""The descriptions of the API: which there are, who vouches for them, and what is said where one is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lab import openapi, tools
from lab.errors import BuildFailed, LabError
from lab.paths import modules_dir


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pinned modules that a test may change, and a cache of its own."""
    copy = tmp_path / "modules"
    shutil.copytree(modules_dir(), copy)
    monkeypatch.setattr(openapi, "modules_dir", lambda: copy)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return copy


def test_the_newest_is_that_of_the_laboratorys_cluster() -> None:
    kubernetes = next(entry for entry in tools.TOOLS if entry.name == "kubernetes")
    assert openapi.versions()[-1] == kubernetes.version


def test_each_describes_its_own_version() -> None:
    for version, path in openapi.fetch().items():
        assert path == openapi.description(version)
        described = json.loads(path.read_text())
        assert "io.k8s.api.apps.v1.Deployment" in described["definitions"], version


def test_one_that_is_missing_is_said_with_what_fetches_it(fresh: Path) -> None:
    with pytest.raises(LabError, match=r"`python -m lab tools` fetches it"):
        openapi.description(openapi.versions()[0])


def test_another_content_than_the_pinned_one_is_refused(fresh: Path) -> None:
    sums = fresh / "openapi" / "go.sum"
    first = openapi.versions()[0]
    lines = [
        line.replace("h1:", "h1:AAAA", 1)[: len(line)]
        if line.startswith(f"k8s.io/kubernetes {first} ")
        else line
        for line in sums.read_text().splitlines()
    ]
    sums.write_text("\n".join(lines) + "\n")
    with pytest.raises(BuildFailed, match="checksum mismatch"):
        openapi.fetch()
    with pytest.raises(LabError):
        openapi.description(first)
