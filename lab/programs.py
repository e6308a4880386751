"""Programs of Debian that tests run as they are, from the cache: nothing is installed, and no service of theirs begins.

Only programs that need nothing but libc: what else their packages depend on (users, units, pages) is left out.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.building import exclusive, work_folder
from lab.errors import LabError
from lab.images import debian
from lab.paths import tools_dir

_SUITE: Final = "trixie"


@dataclass(frozen=True)
class Program:
    """`path` is where it lies in the package of its name."""

    name: str
    path: str

    @property
    def target(self) -> Path:
        """Where it is, once it was fetched."""
        return tools_dir() / f"debian-{self.name}" / self.name

    def fetch(self) -> Path:
        """Fetch it where it is missing.

        Raises BuildFailed where apt cannot, Unsupported where no mirror is known.
        """
        with exclusive("programs"):
            if not self.target.exists():
                self._lay()
        return self.target

    def _lay(self) -> None:
        packages = debian.Suite(_SUITE).packages([self.name], alone=True)
        with work_folder(tools_dir(), label=self.name) as folder:
            debian.unpack(packages, folder / "tree")
            self.target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder / "tree" / self.path, self.target)


PROGRAMS: Final = (Program("prometheus", "usr/bin/prometheus"),)


def fetch() -> dict[str, Path]:
    """All of them by name."""
    return {program.name: program.fetch() for program in PROGRAMS}


def program(name: str) -> Path:
    """The path of one. Raises LabError when it was not fetched yet."""
    (found,) = (program for program in PROGRAMS if program.name == name)
    if not found.target.exists():
        raise LabError(f"{name} is not there yet; `python -m lab tools` fetches it")
    return found.target
