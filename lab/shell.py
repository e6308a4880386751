"""Child processes and waits: the two things that every module of the laboratory does.

A wait polls a predicate with a deadline and reports the last state that it saw; nothing here sleeps to synchronise.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from lab.errors import CommandFailed, Unsupported, WaitTimeout

T = TypeVar("T")
Argument = str | os.PathLike[str]


def run(
    argv: Sequence[Argument],
    *,
    input: str | None = None,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command and return its output as text; `env` is added to this process's environment.

    Raises CommandFailed (with what the command wrote) on a non-zero exit code when `check`, Unsupported where
    the program does not exist, subprocess.TimeoutExpired after `timeout_s`.
    """
    command = [os.fspath(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=None if env is None else {**os.environ, **env},
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise Unsupported(
            f"the program {command[0]!r} is missing; `python -m lab up` installs what it needs"
        ) from error
    if check and done.returncode != 0:
        raise CommandFailed(command, returncode=done.returncode, output=done.stdout + done.stderr)
    return done


def wait_until(what: str, probe: Callable[[], tuple[bool, T]], *, seconds: float, every_s: float = 0.1) -> T:
    """Call `probe` until it returns (True, state) and return that state.

    Raises WaitTimeout, which names `what` and the last state, after `seconds`. The probe runs once more after the
    deadline, so that a machine that stood still for a while is not blamed on the thing that is waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= deadline
        done, state = probe()
        if done:
            return state
        if late:
            raise WaitTimeout(what, seconds=seconds, last=state)
        time.sleep(every_s)
