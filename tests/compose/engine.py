"""A container engine of a test's own: podman with its own storage, in namespaces without an uplink."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lab.images import images
from tests.compose.made import FILE, ROOT

_PROJECT: Final = "contex"
# runc, because Debian's crun refuses hybrid cgroups; limits, because raising them takes a right that a container of
# the machine may not have.
_CONTAINERS: Final = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""
_STORAGE: Final = """\
[storage]
driver = "overlay"
graphroot = "{folder}/root"
runroot = "{folder}/run"
"""


class Engine:
    """`with Engine(folder) as engine`: has the laboratory's images; everything is gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        (self._folder / "containers.conf").write_text(_CONTAINERS)
        (self._folder / "storage.conf").write_text(_STORAGE.format(folder=self._folder))
        self._holder = subprocess.Popen(
            [
                "unshare",
                "--net",
                "--mount",
                "sh",
                "-c",
                "ip link set lo up && mkdir -p /run/netns && "
                "mount -t tmpfs tmpfs /run/netns && echo ready && exec sleep infinity",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        for image in images(["redis-7", "contex"]):
            self.podman("load", "--input", str(image.path))
        # As the guide writes it.
        self.podman("tag", "ghcr.io/cahoots-org/contex:0.1.10", "ghcr.io/cahoots-org/contex:latest")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.compose("down", "--volumes")
        finally:
            self._holder.kill()
            self._holder.wait()

    def podman(self, *words: str, check: bool = True) -> str:
        """What podman said on stdout. Raises AssertionError with all of it, unless told not to check."""
        return self._run(["podman", *words], check=check, timeout_s=120)

    def compose(self, *words: str) -> None:
        """podman-compose with the project's file."""
        program = str(Path(sys.executable).with_name("podman-compose"))
        self._run([program, "-p", _PROJECT, "-f", str(FILE), *words], check=True, timeout_s=240)

    def exec(self, container: str, *words: str) -> str:
        """The output of a command in a container, whatever its exit code: `docker exec` in the guide."""
        return self.podman("exec", container, *words, check=False).strip()

    def empty(self, volume: str) -> None:
        """Remove all that a volume holds."""
        where = self.podman("volume", "inspect", "--format={{.Mountpoint}}", f"{_PROJECT}_{volume}").strip()
        for path in Path(where).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _run(self, argv: Sequence[str], *, check: bool, timeout_s: float) -> str:
        inside = ["nsenter", f"--target={self._holder.pid}", "--net", "--mount", f"--wd={ROOT}"]
        done = subprocess.run(
            [*inside, *argv],
            env=os.environ
            | {
                "CONTAINERS_CONF": str(self._folder / "containers.conf"),
                "CONTAINERS_STORAGE_CONF": str(self._folder / "storage.conf"),
                "XDG_CONFIG_HOME": str(self._folder),
                "TMPDIR": str(self._folder),
            },
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{argv}\n{done.stdout}{done.stderr}"
        return done.stdout


def until(what: str, predicate: object, *, within_s: float) -> None:
    """Poll until `predicate()` gives the empty string; it says what is missing otherwise."""
    assert callable(predicate)
    deadline = time.monotonic() + within_s
    while missing := predicate():
        assert time.monotonic() < deadline, f"{what}: {missing} after {within_s:.0f} s"
        time.sleep(0.5)
