"""When a failed command is repeated, and until when."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from .errors import certainly_not_executed, is_lost, is_transient, was_sent

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.25


@dataclass(frozen=True)
class Policy:
    """`retry_for_s` after its start no command is tried again. `repeat_unanswered`: also a command that was sent and
    not answered is, which may do it twice (REDIS_RETRY_ON_TIMEOUT).
    """

    retry_for_s: float
    repeat_unanswered: bool

    def may_repeat(self, error: BaseException, *, is_whole: bool = True) -> bool:
        """Whether what met `error` is tried again. `is_whole`: it was one command or one transaction, so a refusal
        means that nothing of it was executed.
        """
        if not is_transient(error):
            return False
        if is_whole and certainly_not_executed(error):
            return True
        return not was_sent(error) or self.repeat_unanswered

    def counts(self, error: BaseException) -> bool:
        """Whether `error` is one of the connection, and not an answer to a wrong command."""
        return is_lost(error) or is_transient(error) or not was_sent(error)

    def deadline(self) -> float:
        """From now, on the monotonic clock."""
        return time.monotonic() + self.retry_for_s


def pause_s(attempts: int) -> float:
    """How long to wait after that many attempts."""
    return float(min(FIRST_PAUSE_S * 1.5 ** (attempts - 1), LONGEST_PAUSE_S))
