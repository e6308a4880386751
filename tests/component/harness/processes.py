"""Child processes that end with the tests, and free ports on loopback."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _die_with_parent() -> None:
    # A test run that is killed must not leave servers behind.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A server process with its output in `log`; ended by `stop`, or by the kernel when the tests die."""

    def __init__(self, argv: Sequence[str], *, log: Path) -> None:
        self.argv = list(argv)
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self) -> None:
        """SIGKILL and wait: nothing of its state is wanted."""
        if self.is_running:
            self._process.kill()
        self._process.wait(timeout=10)


def wait_until(check: Callable[[], object], *, within_s: float, what: str, interval_s: float = 0.05) -> None:
    """Poll `check` until it says "ok"; anything else is the state that the failure shows."""
    deadline = time.monotonic() + within_s
    while (state := check()) != "ok":
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} not within {within_s:g} s; last seen: {state}")
        time.sleep(interval_s)
