"""Control groups (version 1): the laboratory's register of its own processes.

Every process of a laboratory lives below `contex-lab/<name>` in every hierarchy: only this package creates that
group, a process leaves it only when root moves it, and children are born into their parent's group. So what is
found there is provably the laboratory's, whatever has crashed: no pid files, no names. The freezer hierarchy is
the register (`members`), for a process can be found and stopped there without any limit put on it.

    contex-lab/<name>/control, node1, node2, node3, client   one group for each host, in every hierarchy
    contex-lab/<name>/node1/kubepods/…                       made by kubelet
    contex-lab/<name>/sessions, recycler                     in the freezer hierarchy only
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError, Unsupported
from lab.shell import wait_until

MOUNT = Path("/sys/fs/cgroup")
REGISTER = "freezer"
# What kubelet's cgroupfs driver writes to.
NEEDED = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
# On a machine with both versions runc puts its containers into the version 2 hierarchy ("unified"), too.
WANTED = (*NEEDED, "systemd", "unified")
TOP = "contex-lab"
KILL_DEADLINE_S = 60.0


def hierarchies() -> tuple[str, ...]:
    """The hierarchies of this machine that a laboratory uses.

    Raises Unsupported, naming them, where one that is needed is not mounted (version 1) or not writable.
    """
    absent = [kind for kind in NEEDED if not (MOUNT / kind / "cgroup.procs").is_file()]
    if absent:
        only_v2 = (MOUNT / "cgroup.controllers").is_file()
        raise Unsupported(
            f"this machine lacks the cgroup v1 hierarchies {', '.join(absent)} in {MOUNT}"
            + (": it has cgroup v2 only; boot it with systemd.unified_cgroup_hierarchy=0" if only_v2 else "")
        )
    closed = [kind for kind in NEEDED if not os.access(MOUNT / kind, os.W_OK)]
    if closed:
        raise Unsupported(f"the cgroup hierarchies {', '.join(closed)} in {MOUNT} are not writable")
    return tuple(kind for kind in WANTED if (MOUNT / kind / "cgroup.procs").is_file())


def _pids(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except (FileNotFoundError, OSError):  # a group that has just been removed answers with ENODEV
        return []


def _below(folder: Path) -> Iterator[Path]:
    """The group and all below it, the deepest first."""
    for path, _, _ in os.walk(folder, topdown=False):
        yield Path(path)


class Group:
    """One group by its path below the hierarchies, e.g. `contex-lab/default/node1`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __truediv__(self, child: str) -> Group:
        return Group(f"{self.path}/{child}")

    def __repr__(self) -> str:
        return f"Group({self.path!r})"

    def folder(self, hierarchy: str = REGISTER) -> Path:
        """Where the group is in one hierarchy."""
        return MOUNT / hierarchy / self.path

    @property
    def exists(self) -> bool:
        """Whether the register knows the group."""
        return self.folder().is_dir()

    def create(self, kinds: tuple[str, ...]) -> None:
        """Make the group, and those above it, in the hierarchies `kinds`."""
        for kind in kinds:
            folder = self.folder(kind)
            folder.mkdir(parents=True, exist_ok=True)
            if kind == "cpuset":  # a new v1 cpuset is empty, and takes no process until it is filled
                self._fill_cpuset()

    def _fill_cpuset(self) -> None:
        place = MOUNT / "cpuset"
        for part in Path(self.path).parts:
            parent, place = place, place / part
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not (place / name).read_text().strip():
                    (place / name).write_text((parent / name).read_text().strip())

    def members(self, *, recursive: bool = True) -> list[int]:
        """The processes of the group (as this process's pid namespace numbers them), with those of its subgroups."""
        if not recursive:
            return _pids(self.folder())
        return [pid for group in _below(self.folder()) for pid in _pids(group)]

    def all_members(self) -> set[int]:
        """The processes that any hierarchy knows below this group."""
        found: set[int] = set()
        for kind in WANTED:
            if (MOUNT / kind).is_dir():
                found.update(pid for group in _below(self.folder(kind)) for pid in _pids(group))
        return found

    def freeze(self, frozen: bool) -> None:
        """Stop or continue every process of the group, and wait until that is so.

        Raises LabError where the group is not there, WaitTimeout where it does not come to rest.
        """
        self._write_freezer("FROZEN" if frozen else "THAWED")

    def _write_freezer(self, wanted: str) -> None:
        state = self.folder() / "freezer.state"

        def reached() -> tuple[bool, str]:
            # FREEZING can hang behind a process that forks: writing again helps it along (kernel documentation).
            state.write_text(wanted)
            seen = state.read_text().strip()
            return seen == wanted, seen

        try:
            wait_until(f"{self.path} is {wanted}", reached, seconds=20, every_s=0.01)
        except FileNotFoundError as error:
            raise LabError(
                f"there is no group {self.path} to freeze or thaw: its processes have gone"
            ) from error

    @property
    def is_frozen(self) -> bool:
        """Whether this very group was told to freeze (a frozen parent does not count)."""
        with contextlib.suppress(OSError):
            return (self.folder() / "freezer.self_freezing").read_text().strip() == "1"
        return False

    def thaw_all(self) -> None:
        """Thaw every group below this one: a frozen process does not die of SIGKILL."""
        for group in _below(self.folder()):
            with contextlib.suppress(OSError):
                (group / "freezer.state").write_text("THAWED")

    def kill_all(self, *, deadline_s: float = KILL_DEADLINE_S) -> None:
        """End every process below this group, and wait until none is left.

        Raises WaitTimeout with the pids that remain.
        """

        def gone() -> tuple[bool, list[int]]:
            self.thaw_all()
            left = sorted(self.all_members() - {0})
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left, left

        wait_until(f"all processes of {self.path} are gone", gone, seconds=deadline_s, every_s=0.02)

    def remove(self) -> None:
        """Remove the group and all below it from every hierarchy; its processes must be gone.

        Raises WaitTimeout with what is left: the kernel may take a moment to let go of a group.
        """

        def removed() -> tuple[bool, list[str]]:
            left = []
            for kind in WANTED:
                if not self.folder(kind).is_dir():
                    continue
                for group in _below(self.folder(kind)):
                    try:
                        group.rmdir()
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        left.append(f"{group}: {error.strerror}")
            return not left, left

        wait_until(f"the groups of {self.path} are removed", removed, seconds=30, every_s=0.05)

    def memory_bytes(self) -> int:
        """Memory that the group's processes hold without page cache (memory.stat's total_rss), in bytes."""
        with contextlib.suppress(OSError, StopIteration, ValueError):
            lines = (self.folder("memory") / "memory.stat").read_text().splitlines()
            return int(next(line.split()[1] for line in lines if line.startswith("total_rss ")))
        return 0


def lab_group(name: str) -> Group:
    """The group of the laboratory `name`."""
    return Group(f"{TOP}/{name}")


def remove_top() -> None:
    """Remove the group above all laboratories where none is left."""
    for kind in WANTED:
        with contextlib.suppress(OSError):
            (MOUNT / kind / TOP).rmdir()
