"""What ends a command before it has anything to say: one sentence, and the exit code."""

from __future__ import annotations

from typing import Final

FOUND: Final = 1  # doctor found something; a wish was refused
USAGE: Final = 2  # the command line, the cluster or the resource is not what was asked for


class Stop(Exception):
    """Ends the command with `message` on stderr and `code`."""

    def __init__(self, message: str, *, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code
