"""Taking a laboratory away, whole or in ruins: processes, loop devices, control groups, files.

What is ended is found by what is provably the laboratory's: its control groups, and the network and mount
namespaces of its hosts while they live. Nothing is found by name or by a stored pid.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import cgroups, loops, paths
from lab.errors import LabError, UsageError
from lab.hosts import HOSTS, NODES, Host
from lab.layout import Layout
from lab.shell import run, wait_until


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """One `up` or `down` of a laboratory at a time. The lock is free when its holder dies; its file does not stay."""
    root = paths.state_root()
    file = root / f".{paths.lab_name(name)}.lock"
    handle = _locked(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it is not empty while there are laboratories
            root.rmdir()
        os.close(handle)


def _locked(file: Path) -> int:
    """A locked handle of the file that is there now: whoever waited for one that was removed begins again."""
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # somebody has removed the folder meanwhile
            continue
        try:
            _lock(handle)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), file.stat()):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another `up` or `down` of this laboratory …", file=sys.stderr, flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)


def residents(name: str) -> set[int]:
    """Processes in the network or mount namespace of one of the laboratory's living hosts, wherever they come from."""
    ids: set[str] = set()
    for host in HOSTS:
        ids |= Host(name, host).namespace_ids()
    return {pid for pid in _all_pids() if ids and ids & _namespaces(pid)}


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _namespaces(pid: int) -> set[str]:
    found = set()
    for kind in ("net", "mnt"):
        with contextlib.suppress(OSError):
            found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
    return found


def refuse_from_inside(name: str) -> None:
    """Raises UsageError when this very process lives in the laboratory, as one started by `lab run` does."""
    if os.getpid() in cgroups.lab_group(name).all_members() or os.getpid() in residents(name):
        raise UsageError(f"this process runs inside the laboratory {name!r}; take it down from outside of it")


def volume_files(name: str) -> list[Path]:
    """The files behind all volumes of the laboratory, as far as they are there."""
    lab = Layout(name)
    return [file for node in NODES for file in sorted((lab.node_disk(node) / "volumes").glob("*.ext4"))]


def wipe(name: str) -> None:
    """Remove everything of the laboratory `name`, in whatever state it is; nothing there is fine, too.

    Raises UsageError from inside of it, WaitTimeout (with what is left) where something does not go.
    """
    refuse_from_inside(name)
    lab = Layout(name)
    files = volume_files(name)
    devices = set(loops.attached(files)) | _recorded_devices(lab)
    group = cgroups.lab_group(name)
    with _held(residents(name)) as strangers:
        group.kill_all()
        _end(strangers)
    _unmount_below(lab.root)
    loops.wait_detached(files)
    loops.remove_devices(sorted(devices))
    group.remove()
    cgroups.remove_top()
    _remove_files(lab.root)


@contextmanager
def _held(pids: set[int]) -> Iterator[list[int]]:
    """Handles of processes: they keep meaning the same process, where a pid may be given to another one."""
    handles: list[int] = []
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                handles.append(os.pidfd_open(pid))
        yield handles
    finally:
        for handle in handles:
            os.close(handle)


def _end(handles: list[int]) -> None:
    def probe() -> tuple[bool, str]:
        left = [handle for handle in handles if not select.select([handle], [], [], 0)[0]]
        for handle in left:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        return not left, f"{len(left)} are left"

    wait_until("all processes in the laboratory's namespaces are gone", probe, seconds=30, every_s=0.02)


def record_devices(lab: Layout) -> None:
    """Remember the loop devices of the volumes, for the case that they are found detached later."""
    numbers = _recorded_devices(lab) | set(loops.attached(volume_files(lab.name)))
    (lab.root / "loops.json").write_text(json.dumps(sorted(numbers)))


def _recorded_devices(lab: Layout) -> set[int]:
    with contextlib.suppress(OSError, ValueError):
        return set(json.loads((lab.root / "loops.json").read_text()))
    return set()


def _unmount_below(root: Path) -> None:
    """Unmount what is mounted below `root` in the machine's own namespace. `up` mounts nothing there; this is for
    whoever has mounted one of the laboratory's volumes by hand."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for target in sorted((m for m in mounts if m == str(root) or m.startswith(f"{root}/")), reverse=True):
        run(["umount", "--lazy", target])


def _remove_files(root: Path) -> None:
    if not root.exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        left = next((str(path) for path in root.rglob("*")), str(root))
        raise LabError(f"{root} cannot be removed; {left} is still there")
