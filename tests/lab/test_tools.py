"""The tools: what is pinned, where binaries lie, what happens when Go is missing or a build fails."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import tools
from lab.errors import BuildFailed, LabError, Unsupported
from lab.paths import modules_dir

KUBECONFORM = next(entry for entry in tools.TOOLS if entry.name == "kubeconform")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pinned modules that a test may change, and a cache of its own."""
    copy = tmp_path / "modules"
    shutil.copytree(modules_dir(), copy)
    monkeypatch.setattr(tools, "modules_dir", lambda: copy)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return copy


def fake_go(folder: Path, monkeypatch: pytest.MonkeyPatch, *, build: str, version: str = "go1.99.0") -> Path:
    """Put a `go` into PATH that answers `go env` and runs `build` (shell) for `go build`; returns its call log."""
    calls = folder / "calls"
    calls.touch()
    program = folder / "bin/go"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n'
        f'if [ "$1" = env ]; then echo {version}; echo local; exit; fi\n'
        'if [ "$1" = list ]; then echo package; exit; fi\n'
        'while [ "$1" != -o ]; do shift; done\nout=$2\n' + build
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return calls


@pytest.mark.parametrize("entry", tools.TOOLS, ids=lambda entry: entry.name)
def test_go_mod_pins_exactly_what_is_built(entry: tools.Tool) -> None:
    text = (entry.folder / "go.mod").read_text()
    directives = re.findall(r"^tool ([^(\s]+)$", text, re.MULTILINE)
    block = re.search(r"^tool \(\n(.*?)\n\)", text, re.MULTILINE | re.DOTALL)
    directives += block[1].split() if block else []

    assert sorted(directives) == sorted(entry.package(binary) for binary in entry.binaries)
    assert re.fullmatch(r"v\d+\.\d+\.\d+", entry.version)
    assert f"{entry.module} {entry.version} h1:" in (entry.folder / "go.sum").read_text()


def test_folder_follows_every_input(modules: Path) -> None:
    first = KUBECONFORM.target
    with (modules / "kubeconform/go.sum").open("a") as sums:
        sums.write("\n")
    other_sums = KUBECONFORM.target
    other_flags = tools.Tool(**{**vars(KUBECONFORM), "build_tags": "x"}).target

    assert first.name.startswith(f"kubeconform-{KUBECONFORM.version}-")
    assert len({first, other_sums, other_flags}) == 3


def test_unknown_tool_is_named_with_those_that_exist() -> None:
    with pytest.raises(LabError, match=r"k3s is no tool .* there are coredns, .* kubectl"):
        tools.tool("k3s")
    with pytest.raises(LabError, match=r"k3s is no tool .* there are kubernetes, etcd"):
        tools.tools(["k3s"])


def test_tool_that_is_not_built_says_what_builds_it(modules: Path) -> None:
    with pytest.raises(LabError, match="kubectl is not built yet; `python -m lab tools` builds it"):
        tools.tool("kubectl")


def test_built_once_is_not_built_again(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = fake_go(tmp_path, monkeypatch, build='echo binary > "$out"')

    paths = tools.tools(["kubeconform"])
    built = calls.read_text()
    again = tools.tools(["kubeconform"])

    assert paths == again == {"kubeconform": tools.tool("kubeconform")}
    assert paths["kubeconform"].read_text() == "binary\n"
    assert "-mod=readonly" in built
    assert calls.read_text() == built, "the second run called go"
    shown = capsys.readouterr().err
    assert re.search(r"\[1/1\] kubeconform v0\.\d+\.\d+ … \d+(\.\d)? s\n", shown), shown


def test_half_built_folder_is_built_again(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_go(tmp_path, monkeypatch, build='echo binary > "$out"')
    KUBECONFORM.target.mkdir(parents=True)

    assert tools.tools(["kubeconform"])["kubeconform"].exists()


def test_tool_with_some_of_its_binaries_is_not_built(modules: Path) -> None:
    kubernetes = next(entry for entry in tools.TOOLS if entry.name == "kubernetes")
    kubernetes.target.mkdir(parents=True)
    (kubernetes.target / "kubectl").touch()

    assert not kubernetes.is_built


def test_failed_build_shows_the_end_of_its_log_and_leaves_nothing(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_go(tmp_path, monkeypatch, build="for i in $(seq 30); do echo line $i; done; exit 1")

    with pytest.raises(BuildFailed) as failure:
        tools.tools(["kubeconform"])

    message = str(failure.value)
    assert message.startswith("building kubeconform v")
    assert message.endswith("\n".join(f"line {number}" for number in range(11, 31)))
    assert str(failure.value.log) in message
    assert failure.value.log.read_text().splitlines()[1] == "line 1"
    assert list(KUBECONFORM.target.parent.iterdir()) == []


def test_missing_go_says_which_one_is_needed(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(Unsupported, match=r"there is no `go` in PATH; the tools need Go 1\.\d+"):
        tools.tools(["kubeconform"])


def test_old_go_says_which_one_is_needed(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_go(tmp_path, monkeypatch, build="exit 1", version="go1.19.8")

    with pytest.raises(Unsupported, match=r"`go` in PATH is go1\.19\.8; the tools need Go 1\.\d+"):
        tools.tools(["kubeconform"])


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (("h1:", "h1:A"), "malformed go.sum|SECURITY ERROR"),
        (("github.com/yannh", "github.com/other"), "go.sum"),
    ],
)
def test_what_go_sum_does_not_know_is_not_built(
    modules: Path, monkeypatch: pytest.MonkeyPatch, damage: tuple[str, str], complaint: str
) -> None:
    sums = modules / "kubeconform/go.sum"
    sums.write_text(sums.read_text().replace(*damage))
    monkeypatch.setenv("GOFLAGS", "-mod=mod")  # a user's setting must not open the door

    with pytest.raises(BuildFailed, match=complaint):
        tools.tools(["kubeconform"])


@pytest.mark.parametrize(
    ("binary", "arguments"),
    [
        ("kubectl", ["version", "--client"]),
        ("kube-apiserver", ["--version"]),
        ("kubelet", ["--version"]),
        ("etcd", ["--version"]),
        ("coredns", ["-version"]),
        ("helm", ["version"]),
        ("helm4", ["version"]),
        ("kubeconform", ["-v"]),
        ("promtool", ["--version"]),
    ],
)
def test_binaries_say_the_pinned_version(binary: str, arguments: list[str]) -> None:
    entry = next(entry for entry in tools.TOOLS if binary in entry.binaries)
    path = tools.tools([entry.name])[binary]

    said = subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout

    assert re.search(rf"(?<!\d)(?<!\.){re.escape(entry.version.removeprefix('v'))}(?![\d.])", said), said


@pytest.mark.parametrize("name", ["helm", "helm4"])
def test_helm_renders_for_the_clusters_own_version(name: str, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: x\nversion: 0.1.0\n")
    (tmp_path / "templates/v.yaml").write_text("version: {{ .Capabilities.KubeVersion.Minor | quote }}\n")
    helm = tools.tools([name])[name]
    kubernetes = next(entry for entry in tools.TOOLS if entry.name == "kubernetes")

    shown = subprocess.run([helm, "template", tmp_path], capture_output=True, text=True, check=True).stdout

    assert abs(int(re.findall(r'version: "(\d+)"', shown)[0]) - int(kubernetes.version.split(".")[1])) <= 1
