"""Where the laboratory keeps things: the one module that knows the layout of its folders.

What costs time to make lives in the user's cache and survives everything (`cache_dir()`); what belongs to a
running laboratory lives under `state_dir(name)` and is gone after `lab down`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from lab.errors import UsageError

DEFAULT_NAME = "default"
NAME_VARIABLE = "CONTEX_LAB"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")


def lab_name(name: str | None = None) -> str:
    """The checked name of a laboratory: `name`, else $CONTEX_LAB, else "default"."""
    chosen = name or os.environ.get(NAME_VARIABLE) or DEFAULT_NAME
    if not _NAME.fullmatch(chosen):
        raise UsageError(
            f"{chosen!r} is no name for a laboratory: use up to 20 lower-case letters, digits and inner dashes"
        )
    return chosen


def package_dir() -> Path:
    """The folder of this package (`lab/`)."""
    return Path(__file__).resolve().parent


def project_dir() -> Path:
    """The top of the repository."""
    return package_dir().parent


def modules_dir() -> Path:
    """One folder for each tool's go.mod and go.sum."""
    return package_dir() / "modules"


def cache_dir() -> Path:
    """$XDG_CACHE_HOME/contex-lab, or ~/.cache/contex-lab: tools, images, wheels, logs of builds."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    # The XDG specification says that a relative path is to be ignored.
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "contex-lab"


def tools_dir() -> Path:
    """Built binaries, `<tool>-<version>-<hash>/<binary>`."""
    return cache_dir() / "tools"


def images_dir() -> Path:
    """Image archives, `<name>-<hash>.tar`."""
    return cache_dir() / "images"


def build_logs_dir() -> Path:
    """Logs of builds of tools and images."""
    return cache_dir() / "logs"


def state_root() -> Path:
    """The parent of every laboratory's state (always on the machine, never in a home folder: it belongs to root)."""
    return Path("/var/lib/contex-lab")


def state_dir(name: str) -> Path:
    """All files of the laboratory `name`; removed by `lab down`."""
    return state_root() / lab_name(name)
