"""Names of laboratories, the folders that follow from them, and the sentences of errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import paths
from lab.errors import CommandFailed, NotUp, Unsupported, UsageError, WaitTimeout


def test_a_laboratory_is_named_by_argument_then_environment_then_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(paths.NAME_VARIABLE, raising=False)
    assert paths.lab_name() == "default"
    monkeypatch.setenv(paths.NAME_VARIABLE, "second")
    assert paths.lab_name() == "second"
    assert paths.lab_name("third") == "third"


@pytest.mark.parametrize("name", ["Upper", "a b", "-a", "a-", "../etc", "a/b", "x" * 21, "a.b"])
def test_a_name_that_could_mean_another_folder_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="lower-case letters"):
        paths.state_dir(name)


def test_the_cache_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert paths.cache_dir() == Path("/somewhere/contex-lab")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert paths.cache_dir() == Path("/home/somebody/.cache/contex-lab")


def test_errors_that_mean_a_wrong_call_or_machine_have_exit_code_2() -> None:
    assert {kind.exit_code for kind in (UsageError, Unsupported, NotUp)} == {2}
    assert WaitTimeout("x", seconds=1, last="y").exit_code == 1


def test_a_wait_that_fails_says_what_it_saw_last() -> None:
    error = WaitTimeout("three nodes are Ready", seconds=90, last="node1 NotReady")
    assert str(error) == "three nodes are Ready did not come true within 90 s; last seen: node1 NotReady"


def test_a_failed_command_shows_the_end_of_what_it_said() -> None:
    error = CommandFailed(["helm", "install"], returncode=3, output="\n".join(f"line {i}" for i in range(50)))
    assert str(error).startswith("`helm install` ended with 3:\nline 30")
    assert str(error).endswith("line 49")
