"""The operator as a process beside the tests, for what a pod cannot show: its death or standstill at a chosen step.

(The first process of a container cannot be killed or stopped from inside.) It runs from the work tree, with the
rights of whoever runs the tests, and holds the Lease like any other.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from contex_operator.failpoints import VARIABLE

from tests.e2e.support.eventually import eventually

PROJECT = Path(__file__).resolve().parents[3]
STOPPED = "T"


class OperatorProcess:
    """One operator for one namespace; `failpoint` as in failpoints.py. A context manager: killed at the end."""

    def __init__(self, namespace: str, *, name: str, failpoint: str = "") -> None:
        self.name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        env = os.environ | {
            "OPERATOR_NAMESPACE": namespace,
            "WATCH_NAMESPACE": namespace,
            "POD_NAME": name,
            "HTTP_PORT": str(_free_port()),
            "PYTHONPATH": str(PROJECT / "operator"),
            VARIABLE: failpoint,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "contex_operator"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(f"--- {self.name}\n{self.log()[-4000:]}\n")
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def log(self) -> str:
        """Everything that it has written."""
        return os.pread(self._log.fileno(), 10_000_000, 0).decode(errors="replace")

    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def is_stopped(self) -> bool:
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return stat[0] == STOPPED

    def wait_halted(self, word: str, *, within_s: float) -> None:
        """Until the failpoint was met: the process is dead (KILL) or stands still (STOP)."""
        halted = self.is_dead if word == "KILL" else self.is_stopped
        eventually(halted, within_s=within_s, describe=f"{self.name} meets its failpoint", every_s=0.01)

    def go_on(self) -> None:
        """After STOP."""
        self._process.send_signal(signal.SIGCONT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
