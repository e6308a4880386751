"""Commands that work next to the cluster start themselves there, wherever they were typed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import Lab


def go_inside(module: str, argv: Sequence[str]) -> None:
    """Become the same `python -m module …` in the laboratory's client host; returns at once where this is it, or
    where LAB=none names another cluster. Raises LabError when the laboratory is not up."""
    if os.environ.get("LAB") == "none":
        return
    lab = Lab()
    lab.require_up()
    if str(Path("/proc/self/ns/net").readlink()) in lab.host("client").namespace_ids():
        return
    command = lab.client_argv(sys.executable, "-m", module, *argv)
    sys.stdout.flush()
    os.execvp(command[0], command)
