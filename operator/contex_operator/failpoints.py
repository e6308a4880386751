"""Where the tests stop or kill this process in the middle of a procedure: at a named step, before or after it.

Off unless CONTEX_FAILPOINT is set, like `switchover.swap.after=KILL` or `failover.votes.before=STOP`. Each is met once:
a process that was stopped and goes on does not stop again. Called by conduct.
"""

from __future__ import annotations

import logging
import os
import signal
from typing import Final

from .errors import OperatorError

log = logging.getLogger(__name__)

VARIABLE: Final = "CONTEX_FAILPOINT"
_SIGNALS: Final = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}


class Failpoints:
    """At most one point; `at` is where this process comes by."""

    def __init__(self, setting: str = "") -> None:
        self._point, _, word = setting.partition("=")
        if setting and (word not in _SIGNALS or not self._point):
            raise OperatorError(
                f"{VARIABLE} is {setting!r}; it has to be like switchover.swap.before=KILL or "
                "switchover.swap.after=STOP"
            )
        self._signal = _SIGNALS.get(word)

    def at(self, point: str) -> None:
        """Come by `procedure.step.before` or `procedure.step.after`."""
        if self._signal is None or point != self._point:
            return
        number, self._signal = self._signal, None
        log.warning("failpoint %s: %s", point, number.name)
        os.kill(os.getpid(), number)
