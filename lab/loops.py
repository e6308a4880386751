"""Loop devices whose backing file belongs to a laboratory.

The kernel detaches a volume's loop device when the mount namespace of its node is gone, a moment after its last
process. Until then the file must not be mounted again; and the device node that the kernel made for it would stay.
Devices are recognised by device and inode number of their backing file, since the path that the kernel shows is the
one inside the node.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.shell import wait_until

_GET_STATUS64, _CONTROL_REMOVE = 0x4C05, 0x4C81
_STATUS = struct.Struct(
    "<QQ216x"
)  # lo_device, lo_inode of struct loop_info64 (linux/loop.h), 232 bytes in all
CONTROL = Path("/dev/loop-control")
# The kernel makes this many at its start (CONFIG_BLK_DEV_LOOP_MIN_COUNT); they are not ours to remove.
BUILT_IN = 8


def _identity(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino


def _backing(number: int) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        handle = os.open(f"/dev/loop{number}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            answer = fcntl.ioctl(handle, _GET_STATUS64, bytes(_STATUS.size))
        finally:
            os.close(handle)
        device, inode = _STATUS.unpack(answer)
        return device, inode
    return None


def attached(files: Iterable[Path]) -> dict[int, Path]:
    """Numbers of the loop devices that stand on one of `files` now."""
    wanted: dict[tuple[int, int], Path] = {}
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            wanted[_identity(file)] = file
    found: dict[int, Path] = {}
    for entry in Path("/sys/block").glob("loop*"):
        number = int(entry.name.removeprefix("loop"))
        backing = _backing(number) if (entry / "loop" / "backing_file").exists() else None
        if backing in wanted:
            found[number] = wanted[backing]
    return found


def wait_detached(files: list[Path], *, seconds: float = 30) -> None:
    """Wait until no loop device stands on any of `files`; raises WaitTimeout with those that remain."""

    def probe() -> tuple[bool, list[str]]:
        left = [f"/dev/loop{number} on {file}" for number, file in sorted(attached(files).items())]
        return not left, left

    wait_until("the volumes' loop devices are detached", probe, seconds=seconds, every_s=0.02)


def remove_devices(numbers: Iterable[int]) -> None:
    """Remove loop devices from the machine; those that are in use (again) stay."""
    chosen = [number for number in numbers if number >= BUILT_IN]
    if not chosen or not CONTROL.exists():
        return
    control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)

    def remove(number: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.ioctl(control, _CONTROL_REMOVE, number)

    try:
        with ThreadPoolExecutor(max_workers=len(chosen)) as pool:  # each waits some 40 ms in the kernel
            list(pool.map(remove, chosen))
    finally:
        os.close(control)
