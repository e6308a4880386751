"""Writing to a terminal or a file: colour and the moving line only where a person looks."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import Final, TextIO

_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_MARKUP: Final = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """Lines to a stream. `status()` overwrites itself on a terminal and is silent elsewhere."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._is_tty = stream.isatty()
        self._is_coloured = (
            self._is_tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )
        self._has_status = False

    def line(self, text: str = "") -> None:
        """One line."""
        self._clear()
        self._stream.write(text + "\n")
        self._stream.flush()

    def heading(self, text: str) -> None:
        """A blank line and a line that stands out."""
        self.line()
        self.line(self.paint(text, "bold"))

    def status(self, text: str) -> None:
        """What is being waited for, on a terminal only; the next line replaces it."""
        if not self._is_tty:
            return
        width = shutil.get_terminal_size().columns - 1
        self._clear()
        self._stream.write(self.paint(f"  … {text}"[:width], "dim"))
        self._stream.flush()
        self._has_status = True

    def paint(self, text: str, *styles: str) -> str:
        """The text in colour, where there is colour."""
        if not self._is_coloured or not styles:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"

    def _clear(self) -> None:
        if self._has_status:
            self._stream.write("\r\x1b[2K")
            self._has_status = False


def width_of(text: str) -> int:
    """Columns that a text takes, colour left out."""
    return len(_MARKUP.sub("", text))
