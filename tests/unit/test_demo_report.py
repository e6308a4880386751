"""The demo's figures: what breaks a promise, and how everything reads."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tests.demo.report import Bound, Event, Figures, busy_note, count, slowest_gap, table, timeline
from tests.demo.terminal import Terminal, width_of
from tests.workload.checker import Divergence, Gap, Overlap, Verdict
from tests.workload.history import Op, Result

LOST = Op("c", "c-1", 1.0, 1.1, Result.OK)
CLEAN = Verdict(
    acked=1234,
    failed=5,
    unknown=2,
    unknown_present=1,
    lost=(),
    resurrected=(),
    duplicated=(),
    unexpected=(),
    diverged={},
    two_masters=(),
)
FIGURES = Figures(
    title="node2 powered off",
    gap=Gap(5.0, 10.0, 15.0),
    slowest="contex-a",
    counts={Result.OK: 1234, Result.FAILED: 5, Result.UNKNOWN: 2},
    verdict=CLEAN,
    master_before="redis-master-0",
    master_after="redis-replica-1",
    green_after_s=None,
    green_note="not before node2 is back",
    bound=Bound(3.0, 3.5),
    read_from=("redis-replica-0", "redis-replica-1"),
)


def test_nothing_is_broken_up_to_the_bound_itself() -> None:
    assert replace(FIGURES, gap=Gap(6.5, 0, 6.5)).broken() == []


def test_an_outage_beyond_the_bound_is_broken_and_says_where_the_bound_is_from() -> None:
    assert replace(FIGURES, gap=Gap(6.51, 0, 6.51)).broken() == [
        "node2 powered off: the outage was 6.51 s (at most 6.5 s: down-after 3 s + 3.5 s)"
    ]


def test_without_a_bound_no_outage_is_too_long() -> None:
    assert replace(FIGURES, bound=None, gap=Gap(100, 0, 100)).broken() == []


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (replace(CLEAN, lost=(LOST,)), "1 acknowledged writes are lost"),
        (replace(CLEAN, resurrected=(LOST,)), "1 refused writes are there"),
        (replace(CLEAN, duplicated=("a",), unexpected=("b",)), "2 writes are there that nobody made"),
        (
            replace(CLEAN, diverged={"r": Divergence(("a",), (), is_reordered=False)}),
            "r differs from the master (1 missing, 0 extra)",
        ),
        (
            replace(CLEAN, two_masters=(Overlap(("a", "b"), 1.0, 3.5, 9),)),
            "two masters took writes for 2.50 s",
        ),
    ],
)
def test_whatever_the_checker_finds_breaks_the_promise(verdict: Verdict, sentence: str) -> None:
    assert replace(FIGURES, verdict=verdict).broken() == [f"node2 powered off: {sentence}"]


def test_the_rows_of_a_power_off() -> None:
    dead = {"contex-b": {Result.OK: 10, Result.FAILED: 7, Result.UNKNOWN: 1}}
    assert table(replace(FIGURES, dead=dead).rows()) == [
        "outage                5.00 s   (at most 6.5 s: down-after 3 s + 3.5 s)",
        "writes acknowledged   1,234",
        "       failed         5",
        "       unknown        2",
        "       lost           0   (looked for on redis-replica-0, redis-replica-1)",
        "master                redis-master-0 -> redis-replica-1",
        "everything green      not before node2 is back",
        "not counted           contex-b, on the dead node: 10 acknowledged, 7 failed, 1 unknown",
    ]


def test_the_rows_of_a_crash_tell_when_all_was_green() -> None:
    assert ("everything green", "after 12.3 s") in replace(FIGURES, green_after_s=12.34).rows()


def test_lost_writes_are_counted_in_the_table() -> None:
    rows = dict(replace(FIGURES, verdict=replace(CLEAN, lost=(LOST, LOST))).rows())
    assert rows["       lost"].startswith("2 ")


def test_the_slowest_writer_gives_the_outage() -> None:
    def acks(client: str, *at: float) -> list[Op]:
        return [Op(client, f"{client}{t}", t, t, Result.OK) for t in at]

    name, gap = slowest_gap({"a": acks("a", 0, 1, 2), "b": acks("b", 0, 0.5, 2), "none": []})
    assert (name, gap.seconds) == ("b", 1.5)
    with pytest.raises(ValueError, match="no write was tried"):
        slowest_gap({"none": []})


def test_every_result_is_counted_also_when_there_is_none_of_it() -> None:
    assert count([LOST]) == {Result.OK: 1, Result.FAILED: 0, Result.UNKNOWN: 0}


def test_the_timeline_is_in_order_and_leaves_out_what_is_old_or_said_already() -> None:
    events = [
        Event(12.5, "the master is b", by="sentinel-1"),
        Event(10.0, "killed"),
        Event(12.4, "the master is b", by="sentinel-0"),
        Event(8.9, "long ago"),
        Event(9.5, "last write"),
        Event(13.0, "pod is Ready"),
        Event(14.0, "pod is Ready"),
    ]
    assert timeline(events, since=10.0) == [
        "   -0.50 s  last write",
        "   +0.00 s  killed",
        "   +2.40 s  the master is b (sentinel-0)",
        "   +3.00 s  pod is Ready",
        "   +4.00 s  pod is Ready",
    ]


@pytest.mark.parametrize(("load", "said"), [(0.1, False), (3.0, False), (3.1, True), (59.4, True)])
def test_a_busy_machine_is_mentioned(load: float, said: bool) -> None:
    assert bool(busy_note(load, cores=2)) is said


class Tty(io.StringIO):
    """A stream that says that a person looks at it."""

    def isatty(self) -> bool:
        return True


class TestTheTerminal:
    def test_a_file_gets_plain_lines_and_no_status(self) -> None:
        out = io.StringIO()
        terminal = Terminal(out)
        terminal.status("waiting")
        terminal.line(terminal.paint("hello", "red", "bold"))
        assert out.getvalue() == "hello\n"

    def test_a_terminal_gets_colour_and_a_status_that_the_next_line_replaces(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        out = Tty()
        terminal = Terminal(out)
        terminal.status("waiting")
        terminal.line(terminal.paint("hello", "red"))
        assert "waiting" in out.getvalue()
        assert out.getvalue().endswith("\r\x1b[2K\x1b[31mhello\x1b[0m\n")
        assert width_of(terminal.paint("hello", "red")) == 5

    @pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
    def test_who_wants_no_colour_gets_none(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)
        assert Terminal(Tty()).paint("hello", "red") == "hello"
