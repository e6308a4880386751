"""Where tests stop the operator: only there, once, and never by a word that makes no sense."""

from __future__ import annotations

import os
import signal

import pytest
from contex_operator.errors import OperatorError
from contex_operator.failpoints import Failpoints


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append((pid, number)))
    return signals


@pytest.mark.parametrize(("word", "number"), [("KILL", signal.SIGKILL), ("STOP", signal.SIGSTOP)])
def test_it_is_met_at_its_point_and_once(killed: list[tuple[int, int]], word: str, number: int) -> None:
    points = Failpoints(f"switchover.swap.before={word}")
    points.at("switchover.swap.after")
    points.at("failover.swap.before")
    assert killed == []
    points.at("switchover.swap.before")
    points.at("switchover.swap.before")
    assert killed == [(os.getpid(), number)]


def test_without_a_setting_nothing_is_met(killed: list[tuple[int, int]]) -> None:
    Failpoints().at("switchover.swap.before")
    assert killed == []


@pytest.mark.parametrize("setting", ["switchover.swap.before", "switchover.swap.before=HALT", "=KILL"])
def test_a_setting_that_makes_no_sense_is_refused_by_name(setting: str) -> None:
    with pytest.raises(OperatorError, match=r"CONTEX_FAILPOINT is .* it has to be like"):
        Failpoints(setting)
