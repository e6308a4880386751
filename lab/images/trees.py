"""File trees of images: BusyBox's commands, the libraries that programs need, users, and what can go."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import CommandFailed, LabError

_PT_DYNAMIC = 2
# Whatever a container runtime mounts or a program expects to find.
_FOLDERS = ("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/local/bin", "var")
# Loaded by name at run time, never named in a program's header.
_ALWAYS = (
    "libc.so",
    "libm.so",
    "libpthread.so",
    "libdl.so",
    "librt.so",
    "libresolv.so",
    "libgcc_s.so",
    "ld-linux",
)


def furnish(tree: Path, *, users: Mapping[str, tuple[int, int]]) -> None:
    """The folders and account files that every image has; `users` are name to (uid, gid), root and nobody apart."""
    for name in _FOLDERS:
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    accounts = {"root": (0, 0), **users, "nobody": (65534, 65534)}
    passwd = [
        f"{name}:x:{uid}:{gid}::{'/root' if uid == 0 else '/'}:/bin/sh"
        for name, (uid, gid) in accounts.items()
    ]
    group = [f"{name}:x:{gid}:" for name, (_, gid) in accounts.items()]
    (tree / "etc/passwd").write_text("\n".join(passwd) + "\n")
    (tree / "etc/group").write_text("\n".join(group) + "\n")
    (tree / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")


def install_busybox(tree: Path) -> None:
    """A link for each command of the tree's own /bin/busybox, but where the tree has a program of that name."""
    binary = tree / "usr/bin/busybox"
    listed = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout
    for applet in listed.split():
        link = tree / "usr/bin" / applet
        if not os.path.lexists(link):
            link.symlink_to("busybox")


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def library_folder(tree: Path) -> Path:
    """The folder of the tree's shared libraries (usr/lib/x86_64-linux-gnu)."""
    (folder,) = (tree / "usr/lib").glob("*-linux-gnu")
    return folder


def keep_needed_libraries(tree: Path, programs: Sequence[Path], *, keep: Sequence[str] = ()) -> None:
    """Remove all under usr/lib (gconv, engines, systemd's units …) but what `programs` load, locales, and `keep`.

    The tree's own loader is asked, so the machine's libraries never answer for the image's.
    """
    folder = library_folder(tree)
    needed: set[str] = set()
    for program in programs:
        needed |= _needed(tree, program=program, folder=folder)
    kept = {name for name in needed if (folder / name).exists()}
    kept |= {(folder / name).resolve().name for name in kept}
    kept |= {folder.name, "locale", *keep}
    for entry in [*folder.iterdir(), *folder.parent.iterdir()]:
        if entry.name not in kept and not entry.name.startswith(_ALWAYS):
            remove(entry)


def _needed(tree: Path, *, program: Path, folder: Path) -> set[str]:
    loader = next(folder.glob("ld-linux-*.so.*"))
    argv = [str(loader), "--inhibit-cache", "--library-path", str(folder), "--list", str(program)]
    listed = subprocess.run(argv, capture_output=True, text=True, check=False)
    absent = [line.split()[0] for line in listed.stdout.splitlines() if line.endswith("not found")]
    if absent:
        raise LabError(
            f"{program.relative_to(tree)} needs {', '.join(absent)}, which no chosen package holds"
        )
    if listed.returncode:
        raise CommandFailed(argv, returncode=listed.returncode, output=listed.stderr)
    return {Path(line.split()[0]).name for line in listed.stdout.splitlines() if line.strip()}


def dynamic_programs(*folders: Path) -> list[Path]:
    """The ELF files below `folders` that load libraries, static ones and links left out."""
    files = sorted(path for folder in folders for path in folder.rglob("*"))
    return [path for path in files if path.is_file() and not path.is_symlink() and _is_dynamic(path)]


def _is_dynamic(path: Path) -> bool:
    """Whether a file is a 64-bit little-endian ELF file with a dynamic section (ELF specification, part 1)."""
    with path.open("rb") as stream:
        head = stream.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return False
        (offset,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        stream.seek(offset)
        table = stream.read(size * count)
    return any(struct.unpack_from("<I", table, index * size)[0] == _PT_DYNAMIC for index in range(count))
