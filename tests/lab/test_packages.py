"""Debian packages: what is missing is found without root and network, and installed without changing anything else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab import packages
from lab.errors import BuildFailed, Unsupported


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with bash and grep installed, gcc removed but not purged, and an apt-get that installs all else."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "state").write_text("bash installed\ngrep installed\ngcc config-files\n")
    (programs / "dpkg-query").write_text(f"#!/bin/sh\ncat {tmp_path}/state\nexit 1\n")
    (programs / "apt-get").write_text(f'#!/bin/sh\necho $DEBIAN_FRONTEND "$@" >> {tmp_path}/calls\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def test_missing_are_those_that_are_not_installed(machine: Path) -> None:
    assert packages.missing(["bash", "gcc", "grep", "runc"]) == ("gcc", "runc")


def test_nothing_missing_asks_nobody(machine: Path) -> None:
    assert packages.install_missing(["bash", "grep"]) == ()
    assert not (machine / "calls").exists()


def test_only_what_is_missing_is_installed_and_nothing_else_changes(machine: Path) -> None:
    assert packages.install_missing(["bash", "runc"]) == ("runc",)

    update, install = (machine / "calls").read_text().splitlines()
    assert update == "noninteractive update"
    assert install.split()[-1] == "runc"
    assert "bash" not in install
    assert {"--no-upgrade", "--no-remove", "--no-install-recommends"} < set(install.split())


def test_without_root_the_command_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(Unsupported, match="missing; run `apt-get install gcc runc` as root"):
        packages.install_missing(["gcc", "runc"])


def test_machine_that_is_no_debian_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(Unsupported, match="no dpkg-query; the laboratory needs Debian 12 or newer"):
        packages.install_missing()


def test_failure_shows_what_apt_said(machine: Path) -> None:
    (machine / "bin/apt-get").write_text("#!/bin/sh\necho E: Unable to locate package runc\nexit 100\n")

    with pytest.raises(BuildFailed, match="E: Unable to locate package runc"):
        packages.install_missing(["runc"])
