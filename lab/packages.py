"""The Debian packages that the laboratory and the project's tests need, installed with apt-get where missing.

What is missing is asked of dpkg alone: a second run costs some milliseconds and needs neither root nor network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable

from lab.building import exclusive, run_logged
from lab.errors import Unsupported
from lab.progress import Step

# package -> what needs it
PACKAGES: dict[str, str] = {
    "containerd": "runs the nodes' containers",
    "runc": "runs the nodes' containers",
    "containernetworking-plugins": "the pods' network",
    "iptables": "kube-proxy, partitions",
    "ipset": "kube-proxy, network policies",
    "conntrack": "kube-proxy",
    "iproute2": "the nodes' network",
    "util-linux": "namespaces: nsenter, unshare",
    "e2fsprogs": "volumes of a real size",
    "procps": "processes of nodes and pods",
    "buildah": "builds the Dockerfiles",
    "podman": "runs docker-compose.sentinel.yml in its test",
    "netavark": "podman's network",
    "aardvark-dns": "podman's names of containers",
    "gcc": "compiles the pause binary and the clock library of the images",
    "libc6-dev": "compiles the pause binary and the clock library of the images",
    "debian-archive-keyring": "verifies the packages that go into the images",
    "ca-certificates": "package registries",
    "redis-server": "component tests",
    "redis-tools": "component tests",
    "busybox-static": "component tests: the shell and tools of an Alpine image",
    "shellcheck": "checks the scripts that run in pods",
}


def missing(names: Iterable[str] = PACKAGES) -> tuple[str, ...]:
    """The names among `names` that are not installed.

    Raises Unsupported on a machine without dpkg.
    """
    wanted = tuple(names)
    query = shutil.which("dpkg-query")
    if query is None:
        raise Unsupported(
            "this machine has no dpkg-query; the laboratory needs Debian 12 or newer, "
            "for its container runtime and its images are made of Debian's packages"
        )
    shown = subprocess.run(
        [query, "--show", "--showformat", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,  # it fails as soon as one name is unknown to it, and still lists the others
    ).stdout
    installed = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    return tuple(name for name in wanted if name not in installed)


def install_missing(names: Iterable[str] = PACKAGES) -> tuple[str, ...]:
    """Install what is missing among `names` and return it; nothing is upgraded or removed.

    Raises Unsupported without root or apt-get, BuildFailed (with apt's last lines) when apt-get fails.
    """
    wanted = tuple(names)
    if not missing(wanted):
        return ()
    with exclusive("packages"):
        absent = missing(wanted)
        if absent:
            _install(absent)
    return absent


def _install(names: tuple[str, ...]) -> None:
    line = " ".join(names)
    if shutil.which("apt-get") is None:
        raise Unsupported(f"these Debian packages are missing, and there is no apt-get here: {line}")
    if os.geteuid() != 0:
        raise Unsupported(f"these Debian packages are missing; run `apt-get install {line}` as root")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    with Step(f"Debian packages: {line}", number=1, of=1) as step:
        run_logged("the package lists", ["apt-get", "update"], log="packages", env=env, on_line=step.note)
        run_logged(
            "the Debian packages",
            # Nothing that is installed already may change: this is somebody's machine.
            ["apt-get", "install", "--yes", "--no-install-recommends", "--no-upgrade", "--no-remove", *names],
            log="packages",
            env=env,
            on_line=step.note,
            append=True,
        )
