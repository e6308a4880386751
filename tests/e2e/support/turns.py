"""Who may run at the same time: tests that harm a node run alone, all others side by side.

A file lock does it for all workers on the machine: shared for the many, exclusive for the few. The few are
also collected last, so that nobody waits long.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(laboratory: str, *, alone: bool) -> Iterator[None]:
    """Hold one's turn; waits as long as others need."""
    path = Path(tempfile.gettempdir()) / f"contex-e2e-{laboratory}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)
