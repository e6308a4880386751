"""Progress of long steps, for people: `[3/6] helm v3.22.0 … 41 s`.

On a terminal the line is rewritten as the step goes on; elsewhere (a pipe, a CI log) a line is written when a
step begins, once in a while as it goes on, and when it ends. A step that had nothing to do writes nothing.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

QUIET_INTERVAL_S = 15.0
TERMINAL_INTERVAL_S = 0.5
NOTE_LENGTH = 70


def duration(seconds: float) -> str:
    """`0.4 s`, `41 s`, `3 min 20 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


class Step:
    """One step of a plan, as a context manager; `note()` says how far it is."""

    def __init__(self, title: str, *, number: int, of: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._head = f"[{number}/{of}] {title} …"
        self._terminal = self._stream.isatty()
        self._started = self._written = time.monotonic()
        self._width = 0

    def __enter__(self) -> Step:
        self._started = self._written = time.monotonic()
        self._write(self._head, last=not self._terminal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        took = duration(time.monotonic() - self._started)
        self._write(
            f"{self._head} {took}" if error is None else f"{self._head} failed after {took}", last=True
        )

    def note(self, text: str) -> None:
        """Say how far the step is, or show a line of its output; most calls write nothing: call it often."""
        now = time.monotonic()
        if now - self._written < (TERMINAL_INTERVAL_S if self._terminal else QUIET_INTERVAL_S):
            return
        self._written = now
        shown = text.strip()[:NOTE_LENGTH]
        self._write(f"{self._head} {shown}, {duration(now - self._started)}", last=not self._terminal)

    def _write(self, text: str, *, last: bool) -> None:
        if self._terminal:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text)
        if last:
            self._stream.write("\n")
            self._width = 0
        self._stream.flush()
