"""The programs that no package registry serves ready-made, built from pinned Go modules.

`modules/<tool>/go.mod` names version and package of each tool, its go.sum the hash of everything that goes in: the
build runs with -mod=readonly, so nothing else can. Binaries lie in the user's cache under
`tools/<tool>-<version>-<hash>/`, where the hash covers go.mod, go.sum and the build's flags: whoever has them all, in
whatever clone, builds nothing. (-trimpath is left out on purpose: nothing here is published.)
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import openapi
from lab.building import exclusive, file_hash, fingerprint, run_logged, work_folder
from lab.errors import LabError, Unsupported
from lab.paths import modules_dir, tools_dir
from lab.progress import Step

_KUBERNETES = "k8s.io/kubernetes"
_HELM = "helm.sh/helm/v3"
_HELM4 = "helm.sh/helm/v4"


@dataclass(frozen=True)
class Tool:
    """One Go module and the binaries that are built from it.

    `binaries` maps a binary's name to its package below `module` ("" is the module itself). `flags` are linker
    settings, package variable to value, in which {version}, {bare} (without v) and {minor} stand for those of the
    module, {kube_minor} for that of the Kubernetes libraries that it requires.
    """

    name: str
    module: str
    binaries: dict[str, str]
    flags: dict[str, str]
    build_tags: str = ""

    @property
    def folder(self) -> Path:
        """Where its go.mod and go.sum are."""
        return modules_dir() / self.name

    @property
    def version(self) -> str:
        """The pinned version of its module, "v1.37.2"."""
        return self._required(self.module)

    @property
    def target(self) -> Path:
        """Where its binaries are, once they are built."""
        sums = [file_hash(self.folder / name) for name in ("go.mod", "go.sum")]
        return tools_dir() / f"{self.name}-{self.version}-{fingerprint(sums, self.arguments)}"

    @property
    def is_built(self) -> bool:
        """Whether every binary is there; a folder appears only when all of its binaries are built."""
        return all((self.target / name).exists() for name in self.binaries)

    @property
    def arguments(self) -> list[str]:
        """The arguments of `go build` that decide what comes out of it."""
        version = self.version
        words = {"version": version, "bare": version.removeprefix("v"), "minor": version.split(".")[1]}
        if "{kube_minor}" in "".join(self.flags.values()):
            words["kube_minor"] = self._required("k8s.io/client-go").split(".")[1]
        settings = [f"-X {variable}={value.format(**words)}" for variable, value in self.flags.items()]
        tags = [f"-tags={self.build_tags}"] if self.build_tags else []
        return ["-mod=readonly", "-buildvcs=false", *tags, "-ldflags=" + " ".join(["-s", "-w", *settings])]

    def package(self, binary: str) -> str:
        """The import path of a binary's main package."""
        below = self.binaries[binary]
        return f"{self.module}/{below}" if below else self.module

    def _required(self, module: str) -> str:
        text = (self.folder / "go.mod").read_text()
        match = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
        if match is None:
            raise LabError(f"{self.folder / 'go.mod'} requires no {module}; it must pin one version of it")
        return match[1]


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="kubernetes",
        module=_KUBERNETES,
        binaries={
            name: f"cmd/{name}"
            for name in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubectl",
            )
        },
        # Without them the API server calls itself v0.0.0 and clients refuse it.
        flags={
            "k8s.io/component-base/version.gitVersion": "{version}",
            "k8s.io/component-base/version.gitMajor": "1",
            "k8s.io/component-base/version.gitMinor": "{minor}",
        },
    ),
    Tool(name="etcd", module="go.etcd.io/etcd/server/v3", binaries={"etcd": ""}, flags={}),
    Tool(name="coredns", module="github.com/coredns/coredns", binaries={"coredns": ""}, flags={}),
    Tool(
        name="helm",
        module=_HELM,
        binaries={"helm": "cmd/helm"},
        # Without the last four `helm template` and `helm lint` take Kubernetes 1.20 for the cluster's version.
        flags={
            f"{_HELM}/internal/version.version": "{version}",
            f"{_HELM}/pkg/chartutil.k8sVersionMajor": "1",
            f"{_HELM}/pkg/chartutil.k8sVersionMinor": "{kube_minor}",
            f"{_HELM}/pkg/lint/rules.k8sVersionMajor": "1",
            f"{_HELM}/pkg/lint/rules.k8sVersionMinor": "{kube_minor}",
        },
    ),
    # Beside the other for the chart's tests: people have either.
    Tool(
        name="helm4",
        module=_HELM4,
        binaries={"helm4": "cmd/helm"},
        flags={f"{_HELM4}/internal/version.version": "{version}"},
    ),
    Tool(
        name="kubeconform",
        module="github.com/yannh/kubeconform",
        binaries={"kubeconform": "cmd/kubeconform"},
        flags={"main.version": "{version}"},
    ),
    Tool(
        name="promtool",
        module="github.com/prometheus/prometheus",
        binaries={"promtool": "cmd/promtool"},
        flags={"github.com/prometheus/common/version.Version": "{bare}"},
        # Service discovery of forty clouds: rules are checked without it, and one of its modules is withdrawn.
        build_tags="remove_all_sd",
    ),
)


def tool(name: str) -> Path:
    """The path of a built binary ("kubectl").

    Raises LabError when there is no such binary, or when it has not been built yet.
    """
    for entry in TOOLS:
        if name in entry.binaries:
            if not entry.is_built:
                raise LabError(f"{name} is not built yet; `python -m lab tools` builds it")
            return entry.target / name
    known = ", ".join(sorted(binary for entry in TOOLS for binary in entry.binaries))
    raise LabError(f"{name} is no tool of the laboratory; there are {known}")


def tools(names: Sequence[str] = ()) -> dict[str, Path]:
    """Build what is missing (all tools, or those whose module is named) and return each binary's path.

    Raises Unsupported without Go, BuildFailed when a build fails, LabError for an unknown name.
    """
    unknown = sorted(set(names) - {entry.name for entry in TOOLS})
    if unknown:
        known = ", ".join(entry.name for entry in TOOLS)
        raise LabError(f"{', '.join(unknown)} is no tool of the laboratory; there are {known}")
    wanted = [entry for entry in TOOLS if not names or entry.name in names]
    if not all(entry.is_built for entry in wanted):
        _check_go()
        with exclusive("tools"):
            for number, entry in enumerate(wanted, start=1):
                if not entry.is_built:
                    _build(entry, number=number, of=len(wanted))
    return {binary: entry.target / binary for entry in wanted for binary in entry.binaries}


def main(argv: Sequence[str]) -> int:
    """`python -m lab tools`: build what is missing and list all binaries; without names, what only tests use is fetched
    as well.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lab tools",
        description="Build the cluster's binaries, and fetch those of Debian that only tests use.",
    )
    known = ", ".join(entry.name for entry in TOOLS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {known}")
    from lab import programs  # here, because images need tools

    names = parser.parse_args(argv).names
    found = tools(names) | ({} if names else programs.fetch())
    for name, path in found.items():
        print(f"{name:26}{path}")
    if not names:
        openapi.fetch()
    return 0


def _check_go() -> None:
    needed = max(_go_version(entry) for entry in TOOLS)
    text = ".".join(str(part) for part in needed)
    go = shutil.which("go")
    if go is None:
        raise Unsupported(
            f"there is no `go` in PATH; the tools need Go {text} or newer, which Debian's packages do not have: "
            "unpack a Go distribution and put its bin folder into PATH"
        )
    # Newer Go fetches the version that go.mod asks for by itself, unless it was told to stay what it is.
    shown = subprocess.run(
        [go, "env", "GOVERSION", "GOTOOLCHAIN"], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.split()
    present = _numbers(shown[0].removeprefix("go"))
    if present < needed and (len(shown) < 2 or shown[1] == "local"):
        raise Unsupported(f"`go` in PATH is {shown[0]}; the tools need Go {text} or newer")


def _go_version(entry: Tool) -> tuple[int, ...]:
    match = re.search(r"^go (\S+)$", (entry.folder / "go.mod").read_text(), re.MULTILINE)
    return _numbers(match[1]) if match else (0,)


def _numbers(version: str) -> tuple[int, ...]:
    """`1.26.8` as (1, 26, 8); what follows a number in its part ("1.26rc1") is left out."""
    return tuple(int(match[0]) for part in version.split(".") if (match := re.match(r"\d+", part)))


def _build(entry: Tool, *, number: int, of: int) -> None:
    title = f"{entry.name} {entry.version}"
    with Step(title, number=number, of=of) as step, work_folder(tools_dir(), label=entry.name) as folder:
        packages = [entry.package(binary) for binary in entry.binaries]
        listed = _go(entry, ["list", "-deps", *entry.arguments, *packages], on_line=step.note)
        total = sum(not line.startswith("go: ") for line in listed.splitlines())
        compiled = 0

        def count(_: str) -> None:
            nonlocal compiled
            compiled += 1  # -v names each package that is compiled; those in Go's cache are not named
            step.note(f"{compiled} packages compiled of {total} at most")

        # Into a folder go binaries named after their packages; a single one is named here (etcd's would be `v3`).
        output = f"{folder}/" if len(packages) > 1 else f"{folder}/{next(iter(entry.binaries))}"
        _go(entry, ["build", "-v", *entry.arguments, "-o", output, *packages], on_line=count)
        target = entry.target
        shutil.rmtree(target, ignore_errors=True)  # an incomplete one, from before an interruption
        folder.chmod(0o755)  # work folders are private
        folder.rename(target)


def _go(entry: Tool, arguments: Sequence[str], *, on_line: Callable[[str], None]) -> str:
    return run_logged(
        f"{entry.name} {entry.version}",
        ["go", *arguments],
        log=f"tool-{entry.name}",
        cwd=entry.folder,
        # The user's own GOFLAGS must neither loosen -mod=readonly nor change what the hash stands for.
        env={"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
        on_line=on_line,
    )
