"""Hosts of a laboratory: sets of Linux namespaces with a pid 1 of their own.

`control` runs the control plane, `node1`…`node3` are the cluster's nodes, `client` is where tests and writers
run. A host has its own network, mount and pid namespace (nodes also uts and ipc); it keeps the machine's file
system, apart from what its init script mounts over it. Ending its pid 1 is a power-off: the kernel kills everything
inside with no goodbye, and with the last process go its namespaces, its mounts and its end of the network link.

A host's pid 1 is found through its control group (`lab.cgroups`), never through a file that may be stale.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.cgroups import Group, hierarchies, lab_group
from lab.errors import LabError, NotUp
from lab.paths import package_dir
from lab.shell import wait_until

CONTROL, CLIENT = "control", "client"
NODES = ("node1", "node2", "node3")
HOSTS = (CONTROL, *NODES, CLIENT)
NAMESPACES = ("net", "mnt", "pid", "uts", "ipc")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Joins the groups given before "--" and becomes the command after it; 0 is "the process that writes".
_JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'


def joined(groups: list[Path], argv: list[str]) -> list[str]:
    """argv that puts itself into the given control groups (folders) before it becomes `argv`."""
    return ["/bin/sh", "-c", _JOIN, "sh", *map(str, groups), "--", *argv]


def clean_environment(**extra: str) -> dict[str, str]:
    """What a daemon of the laboratory sees: nothing of the caller's environment, neither secrets nor proxies."""
    return {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", **extra}


def spawn_detached(
    argv: list[str], *, environment: Mapping[str, str], log: Path, pass_fds: tuple[int, ...] = ()
) -> None:
    """Start a process that nobody waits for, in a session of its own, with its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        # The outer shell ends at once. It would ignore SIGINT in what it starts in the background: hence env.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", "setsid", "env", "--default-signal", *argv],
            env=clean_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            pass_fds=pass_fds,
            check=True,
        )


def _nested_pids(pid: int) -> list[int]:
    """The process's number in each pid namespace, from ours to its own; empty when it is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(number) for number in line.split()[1:]]
    return []


@dataclass(frozen=True)
class Boot:
    """A host whose pid 1 runs and waits for `go()`, so that its network can be made first."""

    host: Host
    pid: int
    _pipe: int

    def go(self) -> None:
        """Let the init script go on with what needs the network or the API."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, b"go\n")
        os.close(self._pipe)


class Host:
    """One host of the laboratory `lab` (a name)."""

    def __init__(self, lab: str, name: str) -> None:
        self.lab, self.name = lab, name
        self.group: Group = lab_group(lab) / name

    def __repr__(self) -> str:
        return f"Host({self.lab!r}, {self.name!r})"

    @property
    def pid(self) -> int | None:
        """pid 1 of the host as this machine numbers it; None when the host is off."""
        for pid in self.group.members(recursive=False):
            numbers = _nested_pids(pid)
            if len(numbers) == 2 and numbers[1] == 1:
                return pid
        return None

    def require_pid(self) -> int:
        """pid 1 of the host; raises NotUp when the host is off."""
        pid = self.pid
        if pid is None:
            if not lab_group(self.lab).exists:
                raise NotUp(f"the laboratory {self.lab!r} is not up; start it with `python -m lab up`")
            raise NotUp(f"{self.name} of the laboratory {self.lab!r} is powered off")
        return pid

    def enter_argv(self, *namespaces: str) -> list[str]:
        """nsenter and its options for the given namespaces (all of the host's when none are given).

        Raises NotUp when the host is off.
        """
        options = {"net": "--net", "mnt": "--mount", "pid": "--pid", "uts": "--uts", "ipc": "--ipc"}
        chosen = namespaces or NAMESPACES
        return ["nsenter", f"--target={self.require_pid()}", *(options[kind] for kind in chosen)]

    def namespace_ids(self) -> set[str]:
        """Identity (kernel's inode name) of the host's network and mount namespace; empty when it is off."""
        pid = self.pid
        found: set[str] = set()
        for kind in ("net", "mnt"):
            with contextlib.suppress(OSError):
                if pid is not None:
                    found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
        return found

    def boot(self, *, environment: Mapping[str, str], log: Path) -> Boot:
        """Start pid 1 from `scripts/<control|node|client>-init.sh` and return as soon as it runs.

        `environment` is all that the script sees beside PATH; its words and those of its children go to `log`.
        Raises LabError when the host runs already, WaitTimeout when its pid 1 does not come.
        """
        if self.pid is not None:
            raise LabError(f"{self.name} of the laboratory {self.lab!r} runs already")
        kinds = hierarchies()
        self.group.create(kinds)
        role = "node" if self.name in NODES else self.name
        init = ["bash", str(package_dir() / "scripts" / f"{role}-init.sh")]
        unshare = [
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child=KILL",
            "--",
        ]
        receive, send = os.pipe()
        spawn_detached(
            joined(self._folders(kinds), unshare + init),
            environment={"LAB_GO": str(receive), "LAB_HOST": self.name, **environment},
            log=log,
            pass_fds=(receive,),
        )
        os.close(receive)
        wait_until(
            f"pid 1 of {self.name} runs", lambda: (self.pid is not None, self.pid), seconds=30, every_s=0.01
        )
        return Boot(self, self.require_pid(), send)

    def _folders(self, kinds: tuple[str, ...]) -> list[Path]:
        return [self.group.folder(kind) for kind in kinds]

    def kill(self) -> None:
        """Power off: end pid 1, wait until everything of the host is gone, and remove its control groups."""
        pid = self.pid
        if pid is not None:
            self.group.thaw_all()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Containers' processes die with the pid namespace; what is left are processes outside it, like unshare.
        self.group.kill_all()
        # A power cycle leaves no groups; stale ones cost kubelet 3 s each at the next start.
        self.group.remove()
