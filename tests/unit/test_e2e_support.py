"""The end-to-end tests' own tools: waits that say what they saw, turns, and which cluster may be used at all."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.synchronize import Event

import pytest

from tests.e2e.support.cluster import NoCluster, connect
from tests.e2e.support.eventually import eventually, never
from tests.e2e.support.turns import turn


class TestEventually:
    def test_it_returns_what_came_true(self) -> None:
        answers = iter([0, None, "", 7])
        assert eventually(lambda: next(answers), within_s=5, describe="a number", every_s=0) == 7

    def test_it_says_what_was_seen_last(self) -> None:
        with pytest.raises(AssertionError, match=r"not within 0.05 s: two; last seen \(\d+ looks\): \[\]"):
            eventually(list, within_s=0.05, describe="two", every_s=0.01)

    def test_an_exception_that_may_pass_is_what_was_seen(self) -> None:
        def refuse() -> bool:
            raise ConnectionError("refused")

        with pytest.raises(AssertionError, match=r"last seen .*ConnectionError: refused"):
            eventually(refuse, within_s=0.05, describe="x", every_s=0.01, passing=(ConnectionError,))

    def test_any_other_exception_ends_the_wait(self) -> None:
        def broken() -> bool:
            raise KeyError("x")

        with pytest.raises(KeyError):
            eventually(broken, within_s=5, describe="x", passing=(ConnectionError,))

    def test_it_looks_once_more_when_time_is_up(self) -> None:
        assert eventually(lambda: True, within_s=0, describe="at once")


class TestNever:
    def test_it_lasts_its_time(self) -> None:
        began = time.monotonic()
        never(lambda: False, for_s=0.1, describe="x", every_s=0.01)
        assert time.monotonic() - began >= 0.1

    def test_it_fails_as_soon_as_it_happens(self) -> None:
        with pytest.raises(AssertionError, match="two masters; seen: 2"):
            never(lambda: 2, for_s=60, describe="two masters")


def _hold(name: str, alone: bool, has: Event, release: Event) -> None:
    with turn(name, alone=alone):
        has.set()
        release.wait(30)


class TestTurns:
    @pytest.mark.parametrize(
        ("first_alone", "second_alone", "together"),
        [(False, False, True), (True, False, False), (False, True, False), (True, True, False)],
    )
    def test_only_those_that_harm_no_node_run_side_by_side(
        self, first_alone: bool, second_alone: bool, together: bool
    ) -> None:
        context = multiprocessing.get_context("spawn")
        events = [context.Event() for _ in range(4)]
        name = f"unit-{time.monotonic_ns()}"
        first = context.Process(target=_hold, args=(name, first_alone, events[0], events[1]))
        second = context.Process(target=_hold, args=(name, second_alone, events[2], events[3]))
        try:
            first.start()
            assert events[0].wait(30)
            second.start()
            assert events[2].wait(30 if together else 1.5) is together
            events[1].set()
            assert events[2].wait(30)
        finally:
            for event in events:
                event.set()
            for process in (first, second):
                if process.pid is not None:
                    process.join(30)

    def test_laboratories_of_other_names_do_not_wait_for_each_other(self) -> None:
        with turn("unit-a", alone=True), turn("unit-b", alone=True):
            pass


class TestWhichCluster:
    def test_another_cluster_must_be_named(self) -> None:
        with pytest.raises(NoCluster, match="LAB=none needs KUBE_CONTEXT"):
            connect({"LAB": "none"})

    def test_without_a_laboratory_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONTEX_LAB", "nowhere-to-be-found")
        with pytest.raises(NoCluster, match="`python -m lab up`"):
            connect({})
