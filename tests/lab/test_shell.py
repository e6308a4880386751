"""Child processes and waits."""

from __future__ import annotations

import time

import pytest

from lab.errors import CommandFailed, Unsupported, WaitTimeout
from lab.shell import run, wait_until


def test_run_returns_what_the_command_said_and_adds_to_the_environment() -> None:
    done = run(["sh", "-c", 'cat; echo "$GREETING"; echo oops >&2'], input="in\n", env={"GREETING": "hello"})
    assert done.stdout == "in\nhello\n"
    assert done.stderr == "oops\n"


def test_run_raises_with_both_outputs_unless_told_otherwise() -> None:
    with pytest.raises(CommandFailed, match=r"ended with 7:\nsaid\ncomplained") as caught:
        run(["sh", "-c", "echo said; echo complained >&2; exit 7"])
    assert caught.value.returncode == 7
    assert run(["sh", "-c", "exit 7"], check=False).returncode == 7


def test_a_missing_program_is_named() -> None:
    with pytest.raises(Unsupported, match="'no-such-program' is missing"):
        run(["no-such-program"])


def test_a_wait_returns_the_state_as_soon_as_it_is_true() -> None:
    answers = iter([(False, 1), (False, 2), (True, 3)])
    assert wait_until("three", lambda: next(answers), seconds=5, every_s=0.001) == 3


def test_a_wait_ends_at_its_deadline_with_the_last_state() -> None:
    started = time.monotonic()
    with pytest.raises(WaitTimeout, match=r"pigs fly .* last seen: on the ground") as caught:
        wait_until("pigs fly", lambda: (False, "on the ground"), seconds=0.2, every_s=0.01)
    assert caught.value.last == "on the ground"
    assert 0.2 <= time.monotonic() - started < 2


def test_a_wait_looks_once_more_when_the_deadline_passed_unseen() -> None:
    def slow_then_true() -> tuple[bool, str]:
        seen.append(time.monotonic())
        time.sleep(0.05)
        return len(seen) > 1, "slow"

    seen: list[float] = []
    assert wait_until("it is true late", slow_then_true, seconds=0.01, every_s=0.001) == "slow"
