"""The checker on small worlds that are tried completely, and on random histories against brute force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workload.checker import Gap, check, divergences, longest_gap, two_masters
from tests.workload.history import Op, Result


def op(
    value: str,
    result: Result = Result.OK,
    *,
    at: float = 0.0,
    took: float = 0.001,
    node: str | None = None,
    client: str = "c",
) -> Op:
    return Op(client, value, invoked=at, completed=at + took, result=result, node=node)


class TestTheSetOfWrites:
    def test_every_world_of_three_writes(self) -> None:
        """Each write: three results, and absent, present or twice in the master: 729 worlds, none left out."""
        names = ("a", "b", "c")
        worlds = 0
        for results in product(Result, repeat=3):
            history = [op(name, result) for name, result in zip(names, results, strict=True)]
            for copies in product((0, 1, 2), repeat=3):
                data = [name for name, count in zip(names, copies, strict=True) for _ in range(count)]
                found = check(history, data={"m": data}, master="m")
                outcome = dict(zip(names, zip(results, copies, strict=True), strict=True))

                def named(
                    result: Result, *, present: bool, world: dict[str, tuple[Result, int]] = outcome
                ) -> set[str]:
                    return {name for name, (r, n) in world.items() if r is result and bool(n) is present}

                assert {o.value for o in found.lost} == named(Result.OK, present=False)
                assert {o.value for o in found.resurrected} == named(Result.FAILED, present=True)
                assert found.unknown_present == len(named(Result.UNKNOWN, present=True))
                assert set(found.duplicated) == {name for name, (_, n) in outcome.items() if n == 2}
                assert (found.acked, found.failed, found.unknown) == tuple(results.count(r) for r in Result)
                assert found.unexpected == ()
                broken = bool(found.lost or found.resurrected or found.duplicated)
                assert found.is_clean is not broken
                worlds += 1
        assert worlds == 3**3 * 3**3

    def test_a_value_that_nobody_tried_is_unexpected(self) -> None:
        found = check([op("a")], data={"m": ["a", "stranger"]}, master="m")
        assert found.unexpected == ("stranger",)
        assert not found.is_clean

    def test_an_empty_history_over_empty_data_is_clean(self) -> None:
        assert check([], data={"m": []}, master="m").is_clean

    def test_the_masters_data_are_needed(self) -> None:
        with pytest.raises(ValueError, match=r"data of the master 'm' are missing.*\['r'\]"):
            check([], data={"r": []}, master="m")

    def test_a_history_with_one_value_twice_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"more than once: \['a'\]"):
            check([op("a"), op("b"), op("a", at=5)], data={"m": []}, master="m")

    def test_what_only_a_replica_holds_does_not_save_a_write(self) -> None:
        found = check([op("a")], data={"m": [], "r": ["a"]}, master="m")
        assert [o.value for o in found.lost] == ["a"]
        assert found.diverged["r"].extra == ("a",)


class TestDivergence:
    @pytest.mark.parametrize("order", list(permutations("abc")))
    def test_the_order_counts(self, order: tuple[str, ...]) -> None:
        found = divergences({"m": list("abc"), "r": list(order)}, master="m")
        assert ("r" in found) is (order != tuple("abc"))
        if found:
            assert found["r"].is_reordered
            assert not found["r"].missing
            assert not found["r"].extra

    @given(
        master=st.lists(st.sampled_from("abcd"), max_size=5),
        replica=st.lists(st.sampled_from("abcd"), max_size=5),
    )
    def test_silence_means_equality_and_the_difference_explains_itself(
        self, master: list[str], replica: list[str]
    ) -> None:
        found = divergences({"m": master, "r": replica}, master="m")
        assert (not found) is (master == replica)
        if found:
            difference = found["r"]
            assert sorted([*master, *difference.extra]) == sorted([*replica, *difference.missing])
            assert not set(difference.missing) & set(difference.extra)

    def test_each_node_is_judged_alone(self) -> None:
        found = divergences(
            {"m": ["a", "b"], "r1": ["a"], "r2": ["a", "b"], "r3": ["a", "b", "b"]}, master="m"
        )
        assert set(found) == {"r1", "r3"}
        assert str(found["r1"]) == "1 missing, 0 extra"
        assert str(found["r3"]) == "0 missing, 1 extra"


times = st.floats(min_value=0, max_value=100, allow_nan=False).map(lambda t: round(t, 3))


@st.composite
def histories(draw: st.DrawFn, nodes: Sequence[str | None] = (None,)) -> list[Op]:
    count = draw(st.integers(1, 12))
    return [
        op(
            f"v{i}",
            draw(st.sampled_from(list(Result))),
            at=draw(times),
            took=draw(st.floats(0, 3).map(lambda t: round(t, 3))),
            node=draw(st.sampled_from(list(nodes))),
        )
        for i in range(count)
    ]


class TestTheLongestGap:
    @given(histories())
    def test_no_acknowledgement_lies_in_it_and_no_longer_stretch_is_free(self, history: list[Op]) -> None:
        gap = longest_gap(history)
        acks = [o.completed for o in history if o.is_acked]
        start, end = min(o.invoked for o in history), max(o.completed for o in history)
        assert gap.seconds == gap.until - gap.since
        assert start <= gap.since <= gap.until <= end
        assert not [t for t in acks if gap.since < t < gap.until]
        marks = [start, *acks, end]
        free = [
            b - a
            for a in marks
            for b in marks
            if a <= b and not [t for t in acks if a < t < b] and start <= a
        ]
        assert gap.seconds == max(free)

    def test_writes_that_never_came_back_make_a_gap_to_the_end(self) -> None:
        history = [op("a", at=0), op("b", at=1), *(op(f"x{i}", Result.FAILED, at=2 + i) for i in range(5))]
        gap = longest_gap(history)
        assert (gap.since, gap.until) == (1.001, 6.001)
        assert gap.seconds == pytest.approx(5.0)

    def test_the_time_before_the_first_acknowledgement_counts(self) -> None:
        history = [op("a", Result.FAILED, at=0), op("b", at=4), op("c", at=5)]
        assert longest_gap(history) == Gap(seconds=4.001, since=0, until=4.001)

    def test_an_answer_counts_when_it_arrives_not_when_it_was_asked_for(self) -> None:
        history = [op("a", at=0), op("b", at=0.1, took=5.0), op("c", at=5.2)]
        assert longest_gap(history).seconds == pytest.approx(5.099)

    def test_nobody_acknowledged_means_all_of_the_time(self) -> None:
        assert longest_gap([op("a", Result.UNKNOWN, at=1, took=2)]) == Gap(2.0, 1, 3)

    def test_only_the_time_in_question_is_looked_at(self) -> None:
        history = [op("a", at=0), op("b", at=10), op("c", at=10.5), op("d", at=12)]
        assert longest_gap(history, since=10.0).seconds == pytest.approx(1.5)
        assert longest_gap(history, since=10.0, until=20.0).since == pytest.approx(12.001)

    def test_of_equal_gaps_the_first_is_named(self) -> None:
        history = [op(f"v{i}", at=i, took=0) for i in range(4)]
        assert longest_gap(history) == Gap(1, 0, 1)

    def test_no_history_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no client wrote"):
            longest_gap([])

    def test_a_time_that_ends_before_it_begins_is_refused(self) -> None:
        with pytest.raises(ValueError, match="before it begins"):
            longest_gap([op("a")], since=5, until=4)


def brute_force(history: list[Op], term: float) -> set[tuple[str, str]]:
    """Pairs of nodes that took turns, by trying every triple."""
    acks = [o for o in history if o.is_acked and o.node is not None]
    found = set()
    for before, middle, after in product(acks, repeat=3):
        if (
            before.node == after.node != middle.node
            and before.completed < middle.invoked
            and middle.completed < after.invoked
            and after.invoked - before.completed < term
        ):
            pair = sorted((str(before.node), str(middle.node)))
            found.add((pair[0], pair[1]))
    return found


class TestTwoMasters:
    @given(histories(nodes=("A", "B", "C", None)), st.floats(0.5, 50))
    def test_as_brute_force_finds_them(self, history: list[Op], term: float) -> None:
        found = two_masters(history, shortest_term_s=term)
        assert {overlap.nodes for overlap in found} == brute_force(history, term)
        for overlap in found:
            assert overlap.since < overlap.until
            assert overlap.acked >= 1

    @given(histories(nodes=("A", "B", "C")))
    def test_the_order_of_the_lines_does_not_matter(self, history: list[Op]) -> None:
        assert two_masters(history, shortest_term_s=20) == two_masters(history[::-1], shortest_term_s=20)

    def test_a_failover_is_no_overlap(self) -> None:
        history = [op(f"a{i}", at=i / 10, node="A") for i in range(10)]
        history += [op(f"b{i}", at=3 + i / 10, node="B") for i in range(10)]
        assert two_masters(history) == ()

    def test_a_switchover_and_back_is_no_overlap(self) -> None:
        history = [op(f"a{i}", at=i / 10, node="A") for i in range(10)]
        history += [op(f"b{i}", at=1 + i / 10, node="B") for i in range(20)]
        history += [op(f"c{i}", at=3 + i / 10, node="A") for i in range(10)]
        assert two_masters(history) == ()

    def test_an_answer_under_way_during_the_move_is_no_overlap(self) -> None:
        """A's last answer may reach its client after B's first: they were under way at the same time."""
        history = [op("a1", at=0, node="A"), op("a2", at=1, took=0.5, node="A", client="slow")]
        history += [op("b1", at=1.2, node="B"), op("b2", at=1.3, node="B")]
        assert two_masters(history) == ()

    @pytest.mark.parametrize(
        ("invoked", "completed"), [(0.9, 1.2), (1.1, 1.4)], ids=["begun before", "ended after"]
    )
    def test_only_what_lies_strictly_in_between_is_proof(self, invoked: float, completed: float) -> None:
        history = [op("a1", at=0, took=1.0, node="A"), op("a2", at=1.3, node="A")]
        history.append(op("b", at=invoked, took=completed - invoked, node="B", client="other"))
        assert two_masters(history) == ()
        history[-1] = op("b", at=1.1, took=0.1, node="B", client="other")
        assert len(two_masters(history)) == 1

    def test_a_zombie_that_goes_on_is_seen_with_its_time_and_its_writes(self) -> None:
        history = [op(f"a{i}", at=i / 10, node="A", client="staying") for i in range(50)]
        history += [op(f"b{i}", at=2 + i / 10 + 0.05, node="B", client="late") for i in range(50)]
        (overlap,) = two_masters(history)
        assert overlap.nodes == ("A", "B")
        assert overlap.since == pytest.approx(2.0, abs=0.06)
        assert overlap.until == pytest.approx(4.9, abs=0.06)
        assert overlap.acked == pytest.approx(58, abs=2)

    def test_refused_writes_prove_nothing(self) -> None:
        history = [op(f"a{i}", at=i / 10, node="A") for i in range(50)]
        history += [op(f"b{i}", Result.FAILED, at=2.05 + i / 10, node="B") for i in range(20)]
        assert two_masters(history) == ()


class TestTheSentence:
    def test_it_names_all_that_was_found(self) -> None:
        history = [op("a", at=1), op("b", at=3), op("c", Result.FAILED), op("d", Result.UNKNOWN)]
        found = check(history, data={"m": ["c", "d", "d", "x"], "r": ["c"]}, master="m")
        assert found.sentence() == (
            "2 acknowledged, 1 failed, 1 unknown; 2 lost (acknowledged over 2.00 s); 1 resurrected; 1 duplicated; "
            "1 unexpected; r differs from the master (3 missing, 0 extra)"
        )

    def test_a_clean_run_says_zero_lost(self) -> None:
        assert check([op("a")], data={"m": ["a"]}, master="m").sentence() == (
            "1 acknowledged, 0 failed, 0 unknown; 0 lost"
        )

    def test_two_masters_are_in_it(self) -> None:
        acks = [replace(op(f"{i}", at=i / 10), node="AB"[i % 2]) for i in range(6)]
        found = check(acks, data={"m": [o.value for o in acks]}, master="m")
        assert "two masters for 0.50 s, 6 writes (A and B)" in found.sentence()
        assert not found.is_clean
