"""Programs of Debian in the cache: fetched once, run from there, nothing installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab import programs
from lab.errors import LabError
from lab.images import debian


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_what_was_not_fetched_is_named_with_the_command(cache: Path) -> None:
    with pytest.raises(LabError, match="prometheus is not there yet; `python -m lab tools` fetches it"):
        programs.program("prometheus")


def test_what_is_there_is_not_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian.Suite, "packages", lambda *_, **__: pytest.fail("it was fetched again"))
    there = programs.PROGRAMS[0].target
    there.parent.mkdir(parents=True)
    there.touch()
    assert programs.fetch() == {"prometheus": there}
    assert programs.program("prometheus") == there


@pytest.mark.slow
def test_a_program_is_fetched_alone_and_runs(cache: Path) -> None:
    (path,) = programs.fetch().values()
    assert cache in path.parents
    assert [package.name for package in debian.Suite("trixie").packages(["prometheus"], alone=True)] == [
        "prometheus"
    ]
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("prometheus, version ")
