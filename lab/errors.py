"""The laboratory's errors: every one is a single sentence that says what is wrong and what would be right.

LabError                exit code 1
├── UsageError          exit code 2   the command line or the Python call is wrong (bad name, no such node)
├── Unsupported         exit code 2   the machine lacks something that cannot be installed (root, cgroups, namespaces)
├── NotUp               exit code 2   the verb needs a laboratory that is up, and there is none of that name
├── WaitTimeout         a condition was not met in time; carries the last state that was seen
├── CommandFailed       a child process failed; carries its exit code and the last lines that it wrote
└── BuildFailed         a tool or an image could not be built; carries the path of the log
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

TAIL_LINES = 20


def tail(text: str, *, lines: int = TAIL_LINES) -> str:
    """The last `lines` lines of `text`, without trailing blank ones."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


class LabError(Exception):
    """Base of all errors of this package; `str()` is a sentence for people, `exit_code` the process's."""

    exit_code = 1


class UsageError(LabError):
    """The caller asked for something that does not exist or is not allowed."""

    exit_code = 2


class Unsupported(LabError):
    """This machine cannot run a laboratory; the message names what is missing."""

    exit_code = 2


class NotUp(LabError):
    """The verb needs a laboratory that is up."""

    exit_code = 2


class WaitTimeout(LabError):
    """A wait reached its deadline; `last` is the last state that it saw."""

    def __init__(self, what: str, *, seconds: float, last: object) -> None:
        self.what, self.seconds, self.last = what, seconds, last
        super().__init__(f"{what} did not come true within {seconds:g} s; last seen: {last}")


class CommandFailed(LabError):
    """A child process ended with a non-zero exit code (`returncode`); `output` is what it wrote."""

    def __init__(self, argv: Sequence[str], *, returncode: int, output: str) -> None:
        self.argv, self.returncode, self.output = tuple(argv), returncode, output
        shown = " ".join(self.argv)
        shown = shown if len(shown) <= 300 else shown[:297] + "..."
        said = tail(output)
        super().__init__(
            f"`{shown}` ended with {returncode}" + (f":\n{said}" if said else " and said nothing")
        )


class BuildFailed(LabError):
    """A build failed: the message carries the last lines of its log and `log`, the path of all of it."""

    def __init__(self, what: str, *, log: Path, output: str) -> None:
        self.what, self.log = what, log
        super().__init__(
            f"building {what} failed; the whole log is in {log}, its last lines are:\n{tail(output)}"
        )
