"""The bench's pure parts: percentiles, which gap belongs to a fault, errors by kind, lines of samples, the page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import figures, report
from bench.samples import ClientFigures, Run, Sample, dump, load, parse
from tests.workload.history import Op, Result

NUMBERS = st.lists(st.floats(min_value=0, max_value=1000), min_size=1, max_size=60)


def ack(at: float, *, took: float = 0.001, client: str = "c") -> Op:
    return Op(client, f"{client}-{at}", invoked=at - took, completed=at, result=Result.OK, node="n")


def refusal(at: float, reason: str, result: Result = Result.FAILED) -> Op:
    return Op("c", f"x-{at}", invoked=at, completed=at, result=result, reason=reason)


class TestPercentiles:
    @given(NUMBERS)
    def test_nearest_rank_is_measured_and_covers_its_share(self, numbers: list[float]) -> None:
        for share in (0.5, 0.95, 0.99, 1.0):
            found = figures.percentile(numbers, share)
            assert found in numbers
            assert sum(n <= found for n in numbers) >= share * len(numbers)
            assert sum(n < found for n in numbers) < share * len(numbers)

    def test_p95_is_the_maximum_up_to_twenty_and_not_beyond(self) -> None:
        assert figures.summary([float(n) for n in range(1, 20)]).p95 == 19
        assert figures.summary([float(n) for n in range(1, 21)]).p95 == 19
        assert figures.summary([float(n) for n in range(1, 41)]).p95 == 38

    def test_median_of_an_even_number_is_between_the_middle_two(self) -> None:
        found = figures.summary([4.0, 1.0, 3.0, 2.0])
        assert (found.n, found.median, found.max) == (4, 2.5, 4.0)

    def test_nothing_has_no_summary(self) -> None:
        with pytest.raises(ValueError, match="nothing"):
            figures.summary([])


class TestTheGapOfAFault:
    def test_an_outage_counts_from_the_last_write_before_the_fault(self) -> None:
        history = [ack(1.0), ack(2.0), ack(5.0), ack(5.1)]
        found = figures.outage(history, at=2.5, until=5.1)
        assert (found.since, found.until) == (2.0, 5.0)

    def test_a_longer_gap_before_the_fault_is_not_the_faults(self) -> None:
        history = [ack(1.0), ack(9.0), ack(9.5), ack(10.0)]
        assert figures.outage(history, at=9.2, until=10.0).seconds == pytest.approx(0.5)

    def test_a_longer_gap_after_the_watch_is_not_the_faults(self) -> None:
        history = [ack(1.0), ack(2.0), ack(2.5), ack(20.0)]
        assert figures.outage(history, at=1.5, until=2.5).seconds == pytest.approx(1.0)

    def test_who_never_comes_back_is_away_until_the_watch_ends(self) -> None:
        history = [ack(1.0), refusal(3.0, "READONLY: no")]
        assert figures.outage(history, at=1.0, until=31.0).seconds == pytest.approx(30.0)
        assert not figures.is_back(history, after=2.0, count=1)

    def test_without_a_write_before_the_fault_there_is_no_outage_to_tell(self) -> None:
        with pytest.raises(ValueError, match="before the fault"):
            figures.outage([ack(5.0)], at=1.0, until=6.0)

    def test_a_write_that_was_under_way_at_the_fault_does_not_make_a_client_back(self) -> None:
        history = [ack(2.1, took=0.2)]
        assert not figures.is_back(history, after=2.0, count=1)
        assert figures.is_back([ack(2.3, took=0.2)], after=2.0, count=1)


class TestErrors:
    def test_kinds_are_redis_words_and_what_the_kernel_said(self) -> None:
        history = [
            refusal(1, "READONLY: ReadOnlyError: You can't write against a read only replica."),
            refusal(2, "READONLY: ReadOnlyError: You can't write against a read only replica."),
            refusal(
                3, "CONNECT: ConnectionError: Error 111 connecting to 10.0.0.1:6379. Connect call failed"
            ),
            refusal(4, "CONNECT: TimeoutError: Timeout connecting to server"),
            refusal(5, "ConnectionError: Connection closed by server.", Result.UNKNOWN),
            refusal(99, "LOADING: later"),
        ]
        assert figures.errors_by_kind(history, since=1, until=10) == {
            "READONLY": 2,
            "CONNECT (connection refused)": 1,
            "CONNECT (timeout)": 1,
            "no answer (closed)": 1,
        }

    def test_acknowledged_writes_are_no_errors(self) -> None:
        assert figures.errors_by_kind([ack(1.0)], since=0, until=2) == {}


def sample(
    outage_s: float, *, is_back: bool = True, lost: int | None = 0, subject: str = "contex", **fields: object
) -> Sample:
    seen = ClientFigures(outage_s=outage_s, is_back=is_back, acked=10, lost=lost, errors={"READONLY": 3})
    base: dict[str, object] = {
        "run": "r1",
        "number": 1,
        "scenario": "crash",
        "subject": subject,
        "profile": "balanced",
        "image": "redis:7-alpine",
        "clients": {"sentinel": seen},
        "green_s": 2.0,
    }
    return Sample(**(base | fields))  # type: ignore[arg-type]


class TestLines:
    @given(st.floats(min_value=0, max_value=100), st.booleans(), st.one_of(st.none(), st.integers(0, 9)))
    def test_what_is_written_is_read_back(self, outage_s: float, is_back: bool, lost: int | None) -> None:
        one = sample(outage_s, is_back=is_back, lost=lost, marks={"m": 1.0}, notes=("a", "b"))
        assert parse(dump(one)) == one
        run = Run("r1", {"machine": "two cores"})
        assert list(load([dump(run), "", dump(one)])) == [run, one]

    def test_another_line_is_refused_and_shown(self) -> None:
        with pytest.raises(ValueError, match=r"not a line of the bench.*nonsense"):
            parse('{"nonsense": 1}')


class TestPage:
    TITLES = {"crash": "crash of the master", "switchover": "planned switchover"}  # noqa: RUF012

    def page(self, *lines: Sample | Run) -> str:
        return report.page(lines, titles=self.TITLES)

    def test_samples_of_several_runs_are_one_row(self) -> None:
        text = self.page(sample(0.1), sample(0.3, run="r2"), sample(0.2))
        assert (
            "| contex | balanced | redis:7-alpine | sentinel | 3 | 0.200 s | 0.300 s | 0.300 s | 0 |" in text
        )
        assert "switchover" not in text

    def test_who_did_not_come_back_is_no_figure_but_a_bound(self) -> None:
        text = self.page(sample(0.1), sample(30.0, is_back=False))
        assert "> 30.0 s (1 not back)" in text
        assert "READONLY 3.0" in text

    def test_losses_are_counted_and_unknown_ones_are_said(self) -> None:
        text = self.page(sample(0.1, lost=4), sample(0.1, lost=0), sample(0.1, lost=None))
        assert "4 in 1 of 2, at most 4; 1 not to be told" in text

    def test_what_must_not_happen_stands_below_the_table(self) -> None:
        text = self.page(
            sample(0.1, two_masters_s=2.0), sample(0.1, resurrected=1), sample(0.1, green_s=None)
        )
        assert "**1 repetitions with two masters**" in text
        assert "**1 resurrected writes**" in text
        assert "1 never" in text

    def test_a_rival_is_compared_by_medians_with_what_was_measured_alike(self) -> None:
        text = self.page(
            sample(0.1),
            sample(0.2, profile="strict"),
            sample(5.0, subject="plain"),
            sample(5.0, subject="plain"),
        )
        assert "- plain against contex, `sentinel`: 5.000 s / 0.100 s = **50 times**" in text
        assert text.count("against") == 1

    def test_runs_without_samples_are_not_mentioned(self) -> None:
        text = self.page(Run("r1", {"machine": "A"}), Run("r9", {"machine": "B"}), sample(0.1))
        assert "machine: A" in text
        assert "machine: B" not in text
