"""Chaos' pure parts: rounds by seed, windows of allowed loss, and what a round is accused of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from contex_operator.spec_types import DURABILITY_PROFILES, Durability
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos import hands
from tests.chaos.bounds import DEAF_FENCE, Done, Window, beyond, windows
from tests.chaos.judging import Findings, violations
from tests.chaos.planning import KINDS, MOVES, Effect, Target, plan
from tests.workload.checker import check
from tests.workload.history import Op, Result

ALL_MOVES = tuple(kind.name for kind in MOVES)
BALANCED = DURABILITY_PROFILES[Durability.BALANCED]
AVAILABLE = DURABILITY_PROFILES[Durability.AVAILABLE]
STRICT = DURABILITY_PROFILES[Durability.STRICT]
LASTING = sorted(kind.name for kind in KINDS.values() if kind.effect is Effect.SILENCES)
HARMLESS = sorted(k.name for k in KINDS.values() if k.effect in (Effect.NONE, Effect.ENDS))


class TestPlans:
    @given(st.integers(0, 10_000), st.integers(1, 500))
    def test_a_round_is_its_seed_and_number(self, seed: int, number: int) -> None:
        this = plan(seed, number, moves=ALL_MOVES)
        assert this == plan(seed, number, moves=ALL_MOVES)
        assert 1 <= len(this.steps) <= 3
        assert [step.at_s for step in this.steps] == sorted(step.at_s for step in this.steps)
        for step in this.steps:
            kind = KINDS[step.kind]
            assert step.target in kind.targets
            assert (step.for_s > 0) is kind.lasts

    def test_every_fault_and_move_comes_at_every_target(self) -> None:
        rounds = [plan(1, number, moves=ALL_MOVES) for number in range(1, 3000)]
        seen = Counter((step.kind, step.target) for each in rounds for step in each.steps)
        assert {*seen} == {(kind.name, target) for kind in KINDS.values() for target in kind.targets}
        assert {len([s for s in each.steps if not KINDS[s.kind].is_move]) for each in rounds} == {0, 1, 2}

    def test_only_moves_that_are_known_are_planned(self) -> None:
        rounds = [plan(1, number, moves=()) for number in range(1, 300)]
        assert not [step for each in rounds for step in each.steps if KINDS[step.kind].is_move]
        assert all(each.steps for each in rounds)

    def test_rounds_differ(self) -> None:
        assert len({plan(1, number, moves=ALL_MOVES).steps for number in range(1, 200)}) > 190

    def test_a_pick_always_hits_somebody(self) -> None:
        step = plan(1, 1, moves=ALL_MOVES).steps[0]
        assert {step.choose(names) in names for names in (["a"], ["a", "b"], ["a", "b", "c"])} == {True}
        with pytest.raises(ValueError, match="there is no"):
            step.choose([])

    def test_every_kind_has_a_hand(self) -> None:
        assert hands._HANDS.keys() == KINDS.keys()


def done(
    kind: str, *, hits_master: bool = True, at: float = 10.0, lasts: float = 8.0, hit: str = "m"
) -> Done:
    over = (at + lasts, at + lasts + 0.1) if KINDS[kind].lasts else (None, None)
    return Done(kind, KINDS[kind].targets[0], hit, hits_master, at, at + 0.1, *over)


def ack(at: float) -> Op:
    return Op("c", f"v{at}", invoked=at - 0.001, completed=at, result=Result.OK, node="n")


def excused(at: float, steps: Sequence[Done], profile: object = BALANCED) -> bool:
    return not beyond([ack(at)], windows(steps, profile))  # type: ignore[arg-type]


class TestBounds:
    @pytest.mark.parametrize("kind", HARMLESS)
    @pytest.mark.parametrize("profile", [BALANCED, AVAILABLE, STRICT])
    def test_what_ends_a_process_or_hits_no_data_may_cost_nothing(self, kind: str, profile: object) -> None:
        assert not any(excused(at, [done(kind)], profile) for at in (9.9, 10.0, 10.1, 12.0, 18.0, 18.2))

    def test_a_master_that_hears_its_replicas_and_is_not_heard_may_lose_what_it_took_until_the_end(
        self,
    ) -> None:
        steps = [done("partition-out")]
        assert excused(10.0, steps)
        assert excused(17.0, steps)
        assert not excused(9.5, steps)
        assert not excused(20.0, steps)

    @pytest.mark.parametrize("kind", [kind for kind in LASTING if kind not in DEAF_FENCE])
    def test_an_unseen_master_may_lose_what_it_took_until_the_fence_and_no_more(self, kind: str) -> None:
        steps = [done(kind)]
        assert excused(10.0, steps)
        assert excused(10.1 + 3 + 2.0, steps)
        assert not excused(10.1 + 3 + 2.6, steps)
        assert not excused(9.5, steps)
        assert excused(18.1, steps)  # what waited for the end of the fault
        assert not excused(20.0, steps)

    @pytest.mark.parametrize("kind", LASTING)
    def test_what_is_over_before_sentinel_can_act_may_cost_nothing(self, kind: str) -> None:
        assert windows([done(kind, lasts=2.0)], BALANCED) == []
        assert windows([done(kind, lasts=2.0)], AVAILABLE) == []
        assert windows([done(kind, lasts=3.0)], BALANCED) != []

    def test_copies_that_fall_behind_cost_nothing_as_long_as_the_master_lives(self) -> None:
        stalled = done("cut-replication")
        assert windows([stalled], BALANCED) == []
        assert windows([stalled, done("kill", at=15.0)], BALANCED) != []

    def test_strict_is_fenced_earlier(self) -> None:
        steps = [done("partition")]
        assert excused(10.1 + 2 + 2.0, steps, STRICT)
        assert not excused(10.1 + 3 + 2.0, steps, STRICT)

    def test_nothing_fences_an_available_master_before_sentinel_does(self) -> None:
        steps = [done("partition")]
        assert excused(17.0, steps, AVAILABLE)
        assert excused(38.0, steps, AVAILABLE)
        assert not excused(39.0, steps, AVAILABLE)

    def test_power_off_may_cost_what_was_on_the_wire(self) -> None:
        assert excused(10.0, [done("power-off")])
        assert not excused(9.7, [done("power-off")])
        assert not excused(11.0, [done("power-off")])

    @pytest.mark.parametrize("kind", [*LASTING, "power-off"])
    def test_who_does_not_hit_the_master_may_cost_nothing(self, kind: str) -> None:
        steps = [done(kind, hits_master=False)]
        assert not any(excused(at, steps) for at in (10.0, 11.0, 14.0, 18.1))

    def test_of_two_copies_both_may_be_hit(self) -> None:
        steps = [done("freeze", hits_master=False, hit="r0"), done("kill", at=16.0)]
        assert excused(12.0, steps)
        assert excused(16.0, steps)
        assert not excused(9.5, steps)
        assert not excused(30.0, steps)

    def test_two_ended_processes_may_cost_nothing(self) -> None:
        steps = [done("kill", hits_master=False, hit="r0"), done("delete-pod", at=11.0)]
        assert windows(steps, BALANCED) == []

    def test_a_sentinel_holds_no_data(self) -> None:
        steps = [done("freeze", hits_master=False, hit="redis-sentinel-0"), done("kill", at=11.0)]
        assert windows(steps, BALANCED) == []


def findings(history: list[Op], data: dict[str, list[str]], **fields: object) -> Findings:
    verdict = check(history, data=data, master="m")
    base: dict[str, object] = {
        "verdict": verdict,
        "allowed": (),
        "done": (),
        "not_green": (),
        "marks_expected": frozenset(),
    }
    return Findings(**(base | fields))  # type: ignore[arg-type]


class TestJudging:
    def test_a_clean_round_is_clean(self) -> None:
        assert violations(findings([ack(1.0)], {"m": ["v1.0"], "r": ["v1.0"]})) == []

    def test_a_lost_write_is_a_violation_outside_of_its_window_only(self) -> None:
        lost = findings([ack(1.0)], {"m": []})
        assert "1 acknowledged writes lost (1 in all): v1.0" in violations(lost)[0]
        window = Window(0.5, 1.5, "partition of node1")
        assert violations(findings([ack(1.0)], {"m": []}, allowed=[window])) == []
        assert violations(findings([ack(1.0), ack(2.0)], {"m": []}, allowed=[window])) != []

    def test_a_window_excuses_lost_writes_and_nothing_else(self) -> None:
        window = Window(0.0, 100.0, "partition of node1, and nothing fences the master")
        refused = Op("c", "f", invoked=1.0, completed=1.0, result=Result.FAILED)
        cases = [
            findings([refused], {"m": ["f"]}, allowed=[window]),
            findings([ack(1.0)], {"m": ["v1.0"], "r": []}, allowed=[window]),
            findings([ack(1.0)], {"m": ["v1.0", "v1.0"]}, allowed=[window]),
            findings([], {"m": ["stranger"]}, allowed=[window]),
        ]
        assert [len(violations(each)) for each in cases] == [1, 1, 1, 1]

    def test_two_masters_are_excused_by_nothing_but_the_lack_of_a_fence(self) -> None:
        turns = [
            Op("c", f"{i}", invoked=i / 10, completed=i / 10 + 0.01, result=Result.OK, node="ab"[i % 2])
            for i in range(8)
        ]
        data = {"m": [op.value for op in turns]}
        assert "two masters" in violations(findings(turns, data))[0]
        fenced = Window(-1, 9, "partition of node1, until the fence")
        assert "two masters" in violations(findings(turns, data, allowed=[fenced]))[0]
        unfenced = Window(-1, 9, "partition of node1, and nothing fences the master")
        assert violations(findings(turns, data, allowed=[unfenced])) == []

    def test_what_earlier_rounds_left_must_be_on_every_node(self) -> None:
        found = findings(
            [],
            {"m": []},
            marks_expected=frozenset({1, 2}),
            marks={"m": frozenset({1, 2}), "r": frozenset({1})},
        )
        assert violations(found) == ["r has lost the marks of the earlier rounds [2]"]

    def test_not_green_not_served_and_not_settled_are_violations(self) -> None:
        found = Findings(
            verdict=None,
            allowed=(),
            done=(),
            not_green=["redis-replica-0 follows nobody"],
            marks_expected=frozenset(),
            silent=["kept"],
        )
        assert len(violations(found)) == 3


def test_targets_of_sentinels_never_count_as_data() -> None:
    step = Done("kill", Target.SENTINEL, "redis-sentinel-1", False, 1.0, 1.1)
    assert windows([step, done("power-off", hits_master=False, hit="node2")], BALANCED) == []
