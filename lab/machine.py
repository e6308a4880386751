"""What a machine must have to carry a laboratory; what is missing is named in one sentence (exit code 2)."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from lab import cgroups
from lab.errors import Unsupported

# Programs of the base system; those of the laboratory itself are installed by `lab.packages`.
PROGRAMS = ("unshare", "nsenter", "mount", "openssl", "bash")
# inotify instances. A laboratory that runs has 36; the rest is for its start and for another one that starts meanwhile.
WATCHERS: Final = 96
WATCHERS_LIMIT: Final = Path("/proc/sys/fs/inotify/max_user_instances")


def check_root() -> None:
    """Raises Unsupported for anybody but root."""
    if os.geteuid() != 0:
        raise Unsupported(
            "the laboratory makes namespaces, mounts and control groups, so it needs root: run it with sudo"
        )


def check() -> None:
    """Raises Unsupported with one sentence where this machine cannot run a laboratory."""
    check_root()
    cgroups.hierarchies()
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        raise Unsupported(f"the programs {', '.join(absent)} are missing on this machine")
    _check_namespaces()
    _check_network()


def make_room_for_watchers() -> None:
    """Let one more laboratory watch its files: a kubelet without inotify never becomes Ready, and says so in its log
    only. The kernel's limit (128 by default) is one for all laboratories and whatever else root runs; it is raised
    where it has to be, and never lowered. Raises Unsupported where it cannot be raised.
    """
    if _can_watch(WATCHERS):
        return
    limit = int(WATCHERS_LIMIT.read_text())
    try:
        WATCHERS_LIMIT.write_text(str(raised := max(1024, 2 * limit)))
    except OSError as error:
        raise Unsupported(
            f"this machine has no {WATCHERS} inotify instances left of {limit}, and {WATCHERS_LIMIT} cannot be raised "
            f"({error.strerror})"
        ) from error
    print(f"{WATCHERS_LIMIT} raised from {limit} to {raised}", file=sys.stderr, flush=True)


def _can_watch(count: int) -> bool:
    """Whether so many inotify instances can be had at once; they are given back."""
    libc = ctypes.CDLL(None, use_errno=True)
    handles: list[int] = []
    try:
        while len(handles) < count:
            handle = libc.inotify_init1(os.O_CLOEXEC)
            if handle < 0:
                if (number := ctypes.get_errno()) == errno.EMFILE:
                    return False
                raise OSError(number, os.strerror(number))
            handles.append(handle)
        return True
    finally:
        for handle in handles:
            os.close(handle)


def _check_namespaces() -> None:
    tried = _try(
        ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "mount", "-t", "proc", "proc", "/proc"]
    )
    if tried:
        raise Unsupported(
            f"this machine gives no mount and pid namespaces ({tried}); a container needs to be privileged"
        )


def _check_network() -> None:
    make = [
        "ip link add lab0 type bridge",
        "ip link add lab1 type veth peer name lab2",
        "iptables -t mangle -L >/dev/null",
    ]
    tried = _try(["unshare", "--net", "sh", "-c", " && ".join(make)])
    if tried:
        raise Unsupported(
            f"this machine gives no network namespaces with bridges, veth links and iptables ({tried})"
        )


def _try(argv: list[str]) -> str:
    """What the command said when it failed; empty when it went well."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
