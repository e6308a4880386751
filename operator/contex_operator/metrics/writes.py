"""Whether anybody would take a write now."""

from __future__ import annotations

from ..refusal import refusal
from .definitions import Look


def writes_refused(look: Look) -> bool:
    """No master, or a master that would answer NOREPLICAS, OOM or MISCONF."""
    master = look.topology.master
    return master is None or master.loading or refusal(master) is not None
