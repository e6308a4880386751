"""What builds share: locks between processes, logs of commands, folders that vanish."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.building import exclusive, fingerprint, run_logged, work_folder
from lab.errors import BuildFailed
from lab.paths import build_logs_dir, project_dir

TRY_LOCK = """
import fcntl, sys
try:
    fcntl.flock(open(sys.argv[1], "w"), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(7)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "contex-lab"


def test_lock_keeps_another_process_out_until_it_is_given_back(cache: Path) -> None:
    def another() -> int:
        return subprocess.run([sys.executable, "-c", TRY_LOCK, cache / "locks/x"], check=False).returncode

    with exclusive("x"):
        assert another() == 7
    assert another() == 0


def test_output_is_returned_logged_and_shown_line_by_line() -> None:
    seen: list[str] = []

    output = run_logged("x", ["sh", "-c", "echo one; echo two >&2"], log="x", on_line=seen.append)

    assert output == "one\ntwo\n"
    assert seen == ["one\n", "two\n"]
    assert (build_logs_dir() / "x.log").read_text() == "$ sh -c echo one; echo two >&2\none\ntwo\n"


def test_second_command_of_a_build_is_logged_behind_the_first() -> None:
    run_logged("x", ["echo", "one"], log="x")
    run_logged("x", ["echo", "two"], log="x", append=True)

    assert (build_logs_dir() / "x.log").read_text() == "$ echo one\none\n$ echo two\ntwo\n"


def test_failure_names_the_log_and_shows_its_end() -> None:
    with pytest.raises(BuildFailed) as failure:
        run_logged("the thing", ["sh", "-c", "seq 25; exit 3"], log="x")

    lines = str(failure.value).splitlines()
    assert lines[0].startswith(f"building the thing failed; the whole log is in {build_logs_dir() / 'x.log'}")
    assert lines[1:] == [str(number) for number in range(6, 26)]


def test_variables_are_added_to_the_processs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "a")

    assert run_logged("x", ["sh", "-c", "echo $OWN $ADDED"], log="x", env={"ADDED": "b"}) == "a b\n"


def test_work_folder_vanishes_even_after_a_failure(tmp_path: Path) -> None:
    def fail() -> None:
        with work_folder(tmp_path / "p", label="x") as folder:
            (folder / "file").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((tmp_path / "p").iterdir()) == []


def test_fingerprint_depends_on_values_and_not_on_their_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(["a", "b"]) != fingerprint(["ab"])


def test_the_laboratory_needs_nothing_but_the_standard_library() -> None:
    script = (
        "import sys, pkgutil, importlib, lab\n"
        "names = [m.name for m in pkgutil.walk_packages(lab.__path__, 'lab.') if not m.name.endswith('__main__')]\n"
        "[importlib.import_module(name) for name in names]\n"
        "tops = {name.partition('.')[0] for name in sys.modules}\n"
        "print(len(names), sorted(t for t in tops - {'lab'} if t not in sys.stdlib_module_names and t != '__main__'))\n"
    )

    said = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(project_dir())!r})\n{script}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    count, _, foreign = said.stdout.strip().partition(" ")
    assert said.returncode == 0, said.stderr
    assert int(count) > 20
    assert foreign == "[]"
