"""The command line: words, exit codes, one sentence for an error."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from lab import cgroups, machine
from lab.cli import main, parser, split_command
from lab.errors import Unsupported
from lab.paths import project_dir

ABSENT = "pytest-absent"  # a laboratory that nobody brings up


@pytest.mark.parametrize(
    ("argv", "own", "passed"),
    [
        ("kubectl -n kube-system get pods", "kubectl", "-n kube-system get pods"),
        ("kubectl --help", "kubectl", "--help"),
        ("--name two helm install x y --set a=b", "--name two helm", "install x y --set a=b"),
        ("exec-node node1 -- ls -l", "exec-node node1", "ls -l"),
        ("exec-node node1 ls -l", "exec-node node1", "ls -l"),
        ("run -- pytest -m gate", "run", "pytest -m gate"),
        ("run -- sh -c run", "run", "sh -c run"),
        ("--name run status", "--name run status", ""),
        ("freeze t/p --container kubectl", "freeze t/p --container kubectl", ""),
        ("kill t/p kubectl", "kill t/p kubectl", ""),
        ("run --help", "run --help", ""),
        ("", "", ""),
    ],
)
def test_what_follows_a_passing_verb_belongs_to_the_other_program(argv: str, own: str, passed: str) -> None:
    assert split_command(argv.split()) == (own.split(), passed.split())


def test_a_signal_is_given_by_name_or_number() -> None:
    for text in ("KILL", "kill", "SIGKILL", "9"):
        assert parser().parse_args(["kill", "a/b", "x", "--signal", text]).signal == signal.SIGKILL


def test_an_unknown_signal_is_refused_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["kill", "a/b", "x", "--signal", "nonsense"])
    assert caught.value.code == 2
    assert "'nonsense' is no signal" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "kubectl get nodes",
        "helm list",
        "exec-node node1 true",
        "run true",
        "load",
        "kill a/b c",
        "freeze node1",
        "thaw node1",
        "power-off node1",
        "power-on node1",
        "cut node1",
        "join node1",
        "partition --a node1 --b node2",
        "dns off",
        "dns on",
        "clock a/b 5",
        "fill-disk a/b",
        "heal",
    ],
)
def test_every_verb_refuses_when_the_laboratory_is_not_up(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--name", ABSENT, *words.split()]) == 2
    said = capsys.readouterr().err
    assert said == f"lab: the laboratory '{ABSENT}' is not up; start it with `python -m lab up`\n"


def test_status_says_so_too_and_down_has_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--name", ABSENT, "status"]) == 2
    assert capsys.readouterr().out == f"the laboratory '{ABSENT}' is not up\n"
    assert main(["--name", ABSENT, "down"]) == 0


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """What `up` says on a machine that cannot carry it."""
    assert main(["--name", ABSENT, "up"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def test_without_root_one_sentence_says_so() -> None:
    # Another user may not be able to read this folder or this Python: the code comes through standard input.
    command = "import os, sys; os.setuid(65534); from lab.cli import main; sys.exit(main(['up']))"
    warm = f"import lab.cli; {command}"
    done = subprocess.run(
        [sys.executable, "-c", warm], cwd=project_dir(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "lab: the laboratory makes namespaces, mounts and control groups, so it needs root: run it with sudo\n"
    )


def test_without_control_groups_one_sentence_names_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cgroups, "MOUNT", tmp_path)
    assert "lacks the cgroup v1 hierarchies cpu, cpuacct, cpuset, memory, devices, freezer" in refusal(capsys)


def test_without_namespaces_one_sentence_names_them() -> None:
    # Inside a user namespace that has no right to make further ones, as in an unprivileged container.
    code = "import sys; from lab.cli import main; sys.exit(main(['--name', 'pytest-absent', 'up']))"
    bounded = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", sys.executable, "-c", code]
    done = subprocess.run(bounded, cwd=project_dir(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("lab: this machine gives no mount and pid namespaces (")
    assert done.stderr.count("\n") == 1


def test_without_network_namespaces_one_sentence_names_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = machine._try
    monkeypatch.setattr(machine, "_try", lambda argv: "not permitted" if "--net" in argv else real(argv))
    assert "no network namespaces with bridges, veth links and iptables (not permitted)" in refusal(capsys)


def test_a_machine_that_can_is_not_refused() -> None:
    try:
        machine.check()
    except Unsupported as error:
        pytest.fail(f"this machine carries laboratories, but: {error}")
