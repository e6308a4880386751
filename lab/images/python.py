"""The base of the project's own images: Python and pip on Debian's libraries, as little as `python:3.13-slim` allows.

What runs on it runs on `python:<minor>-slim`, which has all of this and more: the same minor version, the same
places (`python`, `python3` and `pip` in /usr/local/bin), a POSIX shell. It lacks what no server needs: package
manager, documentation, tests, Tk, curses, SQLite, time zones but UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.building import run_logged
from lab.images import archive, debian, trees
from lab.images.recipe import Settings, source_of, write_tree

_MINOR = "3.13"
_SUITE = "trixie"
_PACKAGES = (
    f"python{_MINOR}-minimal",
    f"libpython{_MINOR}-stdlib",
    "libc-bin",
    "busybox-static",
    "python3-pip-whl",
)
# Their modules go too: see _UNUSED.
_WITHOUT = (
    "ca-certificates", "debconf", "dpkg", "libdb5.3t64", "libncursesw6", "libreadline8t64", "libsqlite3-0",
    "libtinfo6", "media-types", "netbase", "openssl", "openssl-provider-legacy", "readline-common", "tar", "tzdata",
)  # fmt: skip
_LEAVE_OUT = (
    "./etc/?*", "./sbin", "./usr/sbin", "./usr/libexec", "./usr/share/binfmts", "./usr/share/bug", "./usr/share/doc",
    "./usr/share/initramfs-tools", "./usr/share/libc-bin", "./usr/share/lintian", "./usr/share/man", "./var",
)  # fmt: skip
# Of the standard library, as glob patterns: what needs a library that is left out, and what only people use.
_UNUSED = (
    "EXTERNALLY-MANAGED", "__phello__", "curses", "dbm", "ensurepip", "idlelib", "pydoc_data", "sitecustomize.py",
    "sqlite3", "test", "tkinter", "turtle.py", "turtledemo", "LICENSE.txt",
    "lib-dynload/_curses*", "lib-dynload/_dbm*", "lib-dynload/_sqlite3*", "lib-dynload/_*test*",
    "lib-dynload/_xx*", "lib-dynload/readline*", "lib-dynload/xx*",
)  # fmt: skip
_PIP = """#!/usr/local/bin/python
import glob
import sys

sys.path[0] = glob.glob("/usr/share/python-wheels/pip-*.whl")[0]
from pip._internal.cli.main import main

sys.exit(main())
"""


@dataclass(frozen=True)
class PythonImage:
    """`localhost/python-base:lab`, given as BASE to the project's Dockerfiles."""

    name: str = "python-base"
    tags: tuple[str, ...] = ("localhost/python-base:lab",)

    needs = ()

    def inputs(self) -> Mapping[str, object]:
        """Versions of all packages, and the code that makes an image of them."""
        return {
            "packages": [(package.name, package.version) for package in self._packages()],
            "sources": [*map(source_of, (__name__, trees.__name__, archive.__name__))],
        }

    def build(self, target: Path, *, work: Path) -> None:
        """See Recipe; needs root, for the tree's own Python compiles its library."""
        tree = work / "tree"
        packages = self._packages()
        tools = [package for package in packages if package.name in _PACKAGES and package.name != "libc-bin"]
        debian.unpack(tools, tree, leave_out=_LEAVE_OUT)
        libraries = [package for package in packages if package not in tools]
        debian.unpack(libraries, tree, leave_out=(*_LEAVE_OUT, "./bin", "./usr/bin"))
        library = tree / f"usr/lib/python{_MINOR}"
        for pattern in _UNUSED:
            for path in library.glob(pattern):
                trees.remove(path)
        programs = trees.dynamic_programs(tree / "usr/bin", library)
        trees.keep_needed_libraries(tree, programs, keep=[library.name])
        trees.furnish(tree, users={})
        trees.install_busybox(tree)
        self._name_programs(tree)
        # Checked neither by time nor by content: the files never change, and layers reset their times.
        compiler = ["python", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        argv = ["chroot", str(tree), *compiler, f"/usr/lib/python{_MINOR}"]
        run_logged("Python's library", argv, log=f"image-{self.name}")
        settings = Settings(
            command=("python3",),
            environment={
                "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG": "C.UTF-8",
            },
        )
        write_tree(target, tree, tags=self.tags, settings=settings)

    def _packages(self) -> tuple[debian.Package, ...]:
        return debian.Suite(_SUITE).packages(_PACKAGES, without=_WITHOUT)

    def _name_programs(self, tree: Path) -> None:
        """The names that `python:3.13-slim` has, where it has them."""
        folder = tree / "usr/local/bin"
        for name in ("python", "python3", f"python{_MINOR}"):
            (folder / name).symlink_to(f"../../bin/python{_MINOR}")
        for name in ("pip", "pip3"):
            (folder / name).write_text(_PIP)
            (folder / name).chmod(0o755)
