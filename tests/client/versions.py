"""The versions of redis-py and Python that the client and the shim promise, made available on any machine.

redis-py is pure Python: each version lies in a folder of its own in the laboratory's cache, and is put on PYTHONPATH.
A Python is the machine's own where it has it, else Debian's, unpacked into the cache and started by its own loader.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab.building import exclusive, fingerprint, run_logged, work_folder
from lab.images import debian
from lab.paths import cache_dir

PROJECT: Final = Path(__file__).resolve().parents[2]
# One of the oldest line that is promised, the one that Contex as published uses, and the newest.
REDIS_PY: Final = {"5": "5.3.1", "7": "7.1.0", "8": "8.1.0"}
# Beside redis-py: what it and the client need on one Python or another, all of it pure Python.
_BESIDE: Final = ("prometheus_client==0.22.1", "PyJWT==2.10.1", "async-timeout==5.0.1")
# The Debian suite that has a Python. None has 3.12: there it is the machine's own, or none.
_SUITES: Final = {"3.11": "bookworm", "3.13": "trixie", "3.14": "forky"}
PROMISED: Final = ("3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True)
class Python:
    """An interpreter: how it is started, and what it needs in its environment."""

    version: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)


@functools.cache
def redis_py(major: str) -> Path:
    """The folder with this version of redis-py and what it needs."""
    wanted = (f"redis=={REDIS_PY[major]}", *_BESIDE)
    folder = cache_dir() / "clients" / f"redis-{REDIS_PY[major]}-{fingerprint(wanted)}"
    with exclusive(folder.name):
        if not folder.exists():
            with work_folder(folder.parent, label=folder.name) as work:
                argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
                target = [
                    "--only-binary=:all:",
                    "--disable-pip-version-check",
                    "--target",
                    str(work / "site"),
                ]
                run_logged(f"redis-py {REDIS_PY[major]}", [*argv, *target, *wanted], log=folder.name)
                (work / "site").rename(folder)
    return folder


def pythons() -> tuple[Python, ...]:
    """All that are promised and can be had here: everything but 3.12, and that where the machine has it."""
    return tuple(found for version in PROMISED if (found := python(version)) is not None)


@functools.cache
def python(version: str) -> Python | None:
    """The machine's own Python of this version, or Debian's; None where neither exists."""
    own = _own(version)
    if own is not None:
        return Python(version, (str(own),))
    return _debian(version, _SUITES[version]) if version in _SUITES else None


def _own(version: str) -> Path | None:
    found = shutil.which(f"python{version}")
    places = [Path(found)] if found else []
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places += sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
    # A shim of pyenv's is no Python: it asks which version the current folder wants.
    return next((path for path in places if "shims" not in path.parts), None)


def _debian(version: str, suite: str) -> Python:
    packages = debian.Suite(suite).packages((f"python{version}-minimal", f"libpython{version}-stdlib"))
    name = f"python-{fingerprint([(each.name, each.version) for each in packages])}"
    tree = cache_dir() / "clients" / name
    with exclusive(name):
        if not tree.exists():
            with work_folder(tree.parent, label=name) as work:
                debian.unpack(packages, work / "tree", leave_out=("./usr/share/doc", "./var"))
                (work / "tree").rename(tree)
    loader = next(iter(sorted((tree / "lib64").glob("ld-*")) or sorted((tree / "usr/lib").glob("ld-*"))))
    libraries = next(iter(sorted((tree / "usr/lib").glob("*-linux-gnu*"))))
    argv = (str(loader), "--library-path", str(libraries), str(tree / f"usr/bin/python{version}"))
    return Python(version, argv, {"PYTHONHOME": str(tree / "usr")})
