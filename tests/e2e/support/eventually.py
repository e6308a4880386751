"""Waiting: poll a predicate until a deadline, and report the last state that was seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    predicate: Callable[[], T],
    *,
    within_s: float,
    describe: str,
    every_s: float = 0.1,
    passing: tuple[type[Exception], ...] = (),
) -> T:
    """Call `predicate` until it returns something true, and return that.

    Exceptions of the types in `passing` count as "not yet". Raises AssertionError "not within N s:
    `describe`" with the last value or exception, and how often it was asked.
    """
    deadline = time.monotonic() + within_s
    asked = 0
    while True:
        asked += 1
        last: object
        try:
            value = predicate()
        except passing as error:
            last = f"{type(error).__name__}: {error}"
        else:
            if value:
                return value
            last = repr(value)
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within_s:g} s: {describe}; last seen ({asked} looks): {last}")
        time.sleep(every_s)


def never(predicate: Callable[[], object], *, for_s: float, describe: str, every_s: float = 0.1) -> None:
    """Raises AssertionError as soon as `predicate` is true within `for_s` seconds: `describe` must not
    happen.
    """
    began = time.monotonic()
    while (passed := time.monotonic() - began) < for_s:
        value = predicate()
        assert not value, f"after {passed:.1f} s: {describe}; seen: {value!r}"
        time.sleep(every_s)
