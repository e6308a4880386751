"""Writers as a child process: their clock does not stand still while the test itself waits for a command.

The child ends when its standard input is closed, so it never outlives whoever started it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.workload.history import Op, parse

PROJECT: Final = Path(__file__).resolve().parents[2]
PASSWORD_VARIABLE: Final = "WORKLOAD_PASSWORD"
SENTINEL_PASSWORD_VARIABLE: Final = "WORKLOAD_SENTINEL_PASSWORD"
_ENDS_WITHIN_S: Final = 10.0


class WorkloadError(Exception):
    """The child process failed, or did not do in time what was waited for; the message holds what it said."""


class Writers:
    """One `python -m tests.workload write …` process. A context manager: stopped at the end in any case.

    `arguments` follow `write` (for example `("kept", "--address", "10.0.0.7:6379")`); `wrap` puts the
    command into another place, such as the laboratory's client host.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        wrap: Callable[[Sequence[str]], Sequence[str]] = list,
    ) -> None:
        command = [sys.executable, "-m", "tests.workload", "write", "--stop-with-stdin", *arguments]
        self._ops: list[Op] = []
        self._broken: str | None = None
        self._lock = threading.Lock()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._child = subprocess.Popen(
            list(wrap(command)),
            cwd=PROJECT,
            env=os.environ | dict(env or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        else:  # the error at hand says more than what the child might say
            self.kill()

    def ops(self) -> list[Op]:
        """The history so far. Raises WorkloadError when the child wrote something that is no history."""
        with self._lock:
            if self._broken is not None:
                raise WorkloadError(self._broken)
            return list(self._ops)

    def wait_for_acks(self, count: int, *, within_s: float, after: float = 0.0) -> list[Op]:
        """Wait until `count` writes that were invoked at or after the instant `after` are acknowledged;
        returns the history so far. Raises WorkloadError with the last outcome that was seen.
        """
        deadline = time.monotonic() + within_s
        while True:
            ops = self.ops()
            seen = sum(op.is_acked and op.invoked >= after for op in ops)
            if seen >= count:
                return ops
            if time.monotonic() > deadline or self._child.poll() is not None:
                last = ops[-1] if ops else f"nothing; {self._said() or 'it said nothing'}"
                raise WorkloadError(
                    f"{seen} of {count} writes acknowledged within {within_s:g} s; last seen: {last}"
                )
            time.sleep(0.02)

    def stop(self) -> list[Op]:
        """End the writers and return their whole history. Raises WorkloadError when they failed; may be
        repeated.
        """
        if self._child.stdin is not None and not self._child.stdin.closed:
            self._child.stdin.close()
        try:
            code = self._child.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise WorkloadError(
                f"the writers did not end within {_ENDS_WITHIN_S:g} s: {self._said()}"
            ) from None
        self._reader.join()
        if code != 0:
            raise WorkloadError(f"the writers ended with exit code {code}: {self._said()}")
        return self.ops()

    def kill(self) -> None:
        """End the child at once; what it had under way is not in the history."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as lines:
            for line in lines:
                try:
                    op = parse(line)
                except ValueError as error:
                    with self._lock:
                        self._broken = self._broken or str(error)
                    continue
                with self._lock:
                    self._ops.append(op)

    def _said(self) -> str:
        """The end of what the child wrote to standard error."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace").strip()[-2000:]
