"""The Lease: the decision as a pure function, the Elector in virtual time, and never two leaders whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from contex_operator import names
from contex_operator.errors import Forbidden, LeaseLost, NotFound
from contex_operator.lease import DURATION_S, MARGIN_S, RETRY_S, Elector, elector
from contex_operator.lease.record import (
    Action,
    Record,
    Sighting,
    decide,
    must_settle,
    new_lease,
    record_of,
    released,
    renewed,
    see,
)

from tests.unit.leases import Leases, LeasesApi

NAMESPACE = "contex"
WALL = datetime(2026, 3, 1, 12, 0, 0, 1234, tzinfo=UTC)


def record(holder: str = "other", *, renewed_at: str = "t0", duration_s: float = 10.0) -> Record:
    return Record(
        holder=holder, duration_s=duration_s, acquired="t0", renewed=renewed_at, transitions=0, scope=""
    )


class TestDecision:
    @pytest.mark.parametrize(
        ("sighting", "now", "action"),
        [
            (None, 0.0, Action.CREATE),
            (Sighting(record=record("me"), since=0.0), 500.0, Action.RENEW),
            (Sighting(record=record("me"), since=0.0, gone_since=6.0), 6.9, Action.CREATE),
            (Sighting(record=record("me"), since=0.0, gone_since=6.0), 7.0, Action.WAIT),
            (Sighting(record=record("me"), since=0.0, gone_since=6.0), 16.0, Action.CREATE),
            (Sighting(record=record(""), since=0.0), 0.0, Action.TAKE),
            (Sighting(record=record(""), since=0.0, gone_since=0.0), 0.0, Action.CREATE),
            (Sighting(record=record(), since=5.0), 14.99, Action.WAIT),
            (Sighting(record=record(), since=5.0), 15.0, Action.TAKE),
            (Sighting(record=record(duration_s=30.0), since=5.0), 34.9, Action.WAIT),
            (Sighting(record=record(), since=5.0, gone_since=9.0), 18.99, Action.WAIT),
            (Sighting(record=record(), since=5.0, gone_since=9.0), 19.0, Action.CREATE),
        ],
    )
    def test_by_what_was_seen_and_for_how_long(
        self, sighting: Sighting | None, now: float, action: Action
    ) -> None:
        assert decide(sighting, me="me", now=now) is action

    def test_an_unchanged_record_keeps_its_time_and_a_renewed_one_begins_anew(self) -> None:
        first = see(None, record(), now=1.0)
        assert first == Sighting(record=record(), since=1.0)
        assert see(first, record(), now=9.0) == first
        again = see(first, record(renewed_at="t1"), now=9.0)
        assert again == Sighting(record=record(renewed_at="t1"), since=9.0, is_witnessed=True)

    def test_a_deleted_lease_counts_from_when_it_was_missed(self) -> None:
        first = see(None, record(), now=1.0)
        gone = see(see(first, None, now=5.0), None, now=6.0)
        assert gone is not None
        assert (gone.since, gone.gone_since) == (1.0, 5.0)
        back = see(gone, record(), now=6.0)
        assert back is not None
        assert (back.since, back.gone_since) == (6.0, None)
        assert see(None, None, now=1.0) is None

    @pytest.mark.parametrize(
        ("sighting", "now", "settles"),
        [
            (None, 0.0, True),
            (Sighting(record=record(), since=0.0), 10.0, True),
            (Sighting(record=record(), since=0.0, is_witnessed=True), 10.0, False),
            (Sighting(record=record(""), since=0.0, is_witnessed=True), 0.5, False),
            (Sighting(record=record(), since=0.0, is_witnessed=True), 15.0, True),
        ],
    )
    def test_settling_is_for_who_comes_as_a_surprise(
        self, sighting: Sighting | None, now: float, settles: bool
    ) -> None:
        assert must_settle(sighting, now=now) is settles


class TestObject:
    def test_its_first_holder(self) -> None:
        lease = new_lease(namespace="n", me="a", scope=names.SCOPE_CLUSTER, wall=WALL)
        assert lease["metadata"]["labels"][names.LABEL_SCOPE] == "cluster"
        assert lease["spec"]["renewTime"] == "2026-03-01T12:00:00.001234Z"
        assert record_of(lease).holder == "a"

    def test_a_change_of_holder_is_counted_and_a_renewal_is_not(self) -> None:
        lease = new_lease(namespace="n", me="a", scope="namespace", wall=WALL)
        lease["metadata"]["annotations"] = {"kept": "yes"}
        lease["spec"]["strategy"] = "kept too"
        later = WALL.replace(minute=1)
        same = renewed(lease, me="a", scope="namespace", wall=later)
        assert (same["spec"]["leaseTransitions"], same["spec"]["acquireTime"]) == (
            0,
            lease["spec"]["acquireTime"],
        )
        assert same["spec"]["renewTime"] > lease["spec"]["renewTime"]
        other = renewed(same, me="b", scope="namespace", wall=later)
        assert (other["spec"]["leaseTransitions"], other["spec"]["acquireTime"]) == (
            1,
            other["spec"]["renewTime"],
        )
        assert other["metadata"]["annotations"] == {"kept": "yes"}
        assert other["spec"]["strategy"] == "kept too"

    def test_released_is_nobodys(self) -> None:
        lease = released(new_lease(namespace="n", me="a", scope="namespace", wall=WALL), wall=WALL)
        assert record_of(lease).holder == ""

    def test_an_empty_one_is_nobodys(self) -> None:
        empty = {"metadata": {"name": names.LEASE}}
        assert record_of(empty).holder == ""
        assert renewed(empty, me="a", scope="namespace", wall=WALL)["spec"]["leaseTransitions"] == 1

    def test_a_boast_of_its_duration_is_not_believed(self) -> None:
        assert record_of({"metadata": {}, "spec": {"leaseDurationSeconds": 86400}}).duration_s == 60.0


class Member:
    """One operator process: its elector, its way to the API, its clock, and what it was told."""

    def __init__(self, leases: Leases, name: str, *, namespace: str = NAMESPACE) -> None:
        self.api = LeasesApi(leases)
        self.loop = asyncio.get_running_loop()
        self.jump_s = 0.0  # how far its clock ran while it stood still
        self.told: list[tuple[str, float]] = []
        self.stop = asyncio.Event()
        self.elector = Elector(
            self.api,
            namespace=namespace,
            identity=name,
            on_acquired=lambda: self.told.append(("acquired", self.loop.time())),
            on_lost=lambda why: self.told.append(("lost", self.loop.time())),
            clock=lambda: self.loop.time() + self.jump_s,
        )
        self.task = asyncio.create_task(self.elector.run(self.stop))

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.told]

    def may_write(self) -> bool:
        try:
            self.elector.check()
        except LeaseLost:
            return False
        return True

    async def die(self) -> None:
        """Hard: nothing is released."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def terminate(self) -> bool:
        self.stop.set()
        await self.task
        return await self.elector.release()


async def until(check: Callable[[], bool], *, within_s: float) -> float:
    """Virtual seconds until `check` holds."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not check():
        assert loop.time() - started < within_s, f"not within {within_s} s"
        await asyncio.sleep(0.01)
    return loop.time() - started


@pytest.fixture
def leases() -> Leases:
    return Leases()


async def leading(leases: Leases) -> Member:
    """A member that leads, in the virtual time of the test (fixtures run in real time)."""
    member = Member(leases, "a")
    await until(member.may_write, within_s=2)
    return member


async def leading_and_waiting(leases: Leases) -> tuple[Member, Member]:
    """A member that leads, and one that has been waiting for a while."""
    leader = await leading(leases)
    standby = Member(leases, "b")
    await asyncio.sleep(5)
    assert not standby.may_write()
    return leader, standby


@pytest.mark.looptime(noop_cycles=3)
class TestElection:
    async def test_the_first_one_lets_others_notice_before_it_writes(self, leases: Leases) -> None:
        member = Member(leases, "a")
        await until(lambda: bool(leases.objects), within_s=0.1)
        assert await until(member.may_write, within_s=2) == pytest.approx(1.0, abs=0.03)
        assert member.words == ["acquired"]
        assert (member.elector.term, member.elector.holder) == (1, "a")

    async def test_the_leader_renews_every_retry_and_by_one_request(self, leases: Leases) -> None:
        leader = await leading(leases)
        leader.api.calls.clear()
        await asyncio.sleep(60)
        assert {verb for _, verb in leader.api.calls} == {"replace"}
        assert len(leader.api.calls) == pytest.approx(60 / RETRY_S, abs=1)
        assert leader.words == ["acquired"]

    async def test_a_dead_leader_is_replaced_within_15_s(self, leases: Leases) -> None:
        leader, standby = await leading_and_waiting(leases)
        await leader.die()
        gap = await until(standby.may_write, within_s=15)
        assert DURATION_S - RETRY_S - 0.1 <= gap <= DURATION_S + RETRY_S + 0.2

    async def test_a_terminated_leader_is_replaced_at_once(self, leases: Leases) -> None:
        leader, standby = await leading_and_waiting(leases)
        assert await leader.terminate()
        assert not leader.may_write()
        assert await until(standby.may_write, within_s=2) <= RETRY_S + 0.05
        assert leases.spec(NAMESPACE)["leaseTransitions"] == 1

    async def test_one_that_may_not_is_never_released_by_another(self, leases: Leases) -> None:
        _, standby = await leading_and_waiting(leases)
        assert not await standby.terminate()
        assert leases.spec(NAMESPACE)["holderIdentity"] == "a"

    async def test_a_leader_that_steps_aside_leaves_it_to_the_standby_and_stands_by(
        self, leases: Leases
    ) -> None:
        leader, standby = await leading_and_waiting(leases)
        is_idle = False
        leader.elector.step_aside(when=lambda: is_idle)
        await asyncio.sleep(3 * RETRY_S)
        assert leader.may_write(), "not while something is under way"
        is_idle = True
        assert await until(standby.may_write, within_s=5 * RETRY_S) > 0
        assert not leader.may_write()
        await asyncio.sleep(5 * DURATION_S)
        assert standby.may_write()
        assert leases.spec(NAMESPACE)["holderIdentity"] == standby.elector.identity

    async def test_a_leader_that_steps_aside_alone_leads_again(self, leases: Leases) -> None:
        leader = await leading(leases)
        leader.elector.step_aside(when=lambda: True)
        await until(lambda: not leader.may_write(), within_s=2 * RETRY_S)
        await until(leader.may_write, within_s=DURATION_S)
        assert leader.elector.term == 2

    async def test_a_release_survives_a_foreign_change_of_the_lease(self, leases: Leases) -> None:
        leader = await leading(leases)
        leader.stop.set()
        await leader.task
        leases.put(NAMESPACE, leases.objects[NAMESPACE])
        assert await leader.elector.release()
        assert leases.spec(NAMESPACE)["holderIdentity"] == ""

    async def test_a_foreign_change_of_the_lease_costs_no_office(self, leases: Leases) -> None:
        leader = await leading(leases)
        for _ in range(5):
            leases.put(NAMESPACE, leases.objects[NAMESPACE])
            await asyncio.sleep(2)
        assert (leader.words, leader.may_write()) == (["acquired"], True)

    async def test_a_lease_in_foreign_hands_ends_the_office_at_the_next_look(self, leases: Leases) -> None:
        leader = await leading(leases)
        taken = leases.objects[NAMESPACE]
        taken["spec"]["holderIdentity"] = "by force"
        leases.put(NAMESPACE, taken)
        assert await until(lambda: not leader.may_write(), within_s=5) <= RETRY_S + 0.1
        assert leader.words == ["acquired", "lost"]
        assert leases.spec(NAMESPACE)["holderIdentity"] == "by force"
        assert leader.elector.holder == "by force"

    async def test_a_deleted_lease_is_made_again_by_its_holder_not_by_a_standby(self, leases: Leases) -> None:
        leader, standby = await leading_and_waiting(leases)
        for _ in range(5):
            del leases.objects[NAMESPACE]
            await asyncio.sleep(4)
            assert leases.spec(NAMESPACE)["holderIdentity"] == "a"
        assert (leader.words, standby.words) == (["acquired"], [])

    async def test_a_lease_deleted_over_a_dead_leader_is_made_again(self, leases: Leases) -> None:
        leader, standby = await leading_and_waiting(leases)
        await leader.die()
        del leases.objects[NAMESPACE]
        standby.api.calls.clear()
        gap = await until(standby.may_write, within_s=15)
        assert gap >= DURATION_S - RETRY_S - 0.1
        assert len(standby.api.calls) <= 12 / RETRY_S + 3


@pytest.mark.looptime(noop_cycles=3)
class TestTrouble:
    @pytest.mark.parametrize("fault", ["is_down", "hangs", "loses_answers"])
    async def test_leadership_ends_by_the_clock_when_the_api_is_gone(
        self, leases: Leases, fault: str
    ) -> None:
        leader = await leading(leases)
        await asyncio.sleep(0.3)
        setattr(leader.api, fault, True)
        cut = leader.loop.time()
        # An answer that is lost may have renewed, but counts for nothing until a later one arrives.
        await until(lambda: not leader.may_write(), within_s=8)
        assert DURATION_S - MARGIN_S - RETRY_S <= leader.loop.time() - cut <= DURATION_S - MARGIN_S
        await until(lambda: leader.words == ["acquired", "lost"], within_s=0.05)
        setattr(leader.api, fault, False)
        await until(leader.may_write, within_s=REGAINED_S)
        assert leader.words == ["acquired", "lost", "acquired"]
        assert leader.elector.term == 2

    async def test_a_standby_waits_for_the_end_of_a_leader_that_is_cut_off(self, leases: Leases) -> None:
        leader, standby = await leading_and_waiting(leases)
        leader.api.hangs = True
        both = 0
        while not standby.may_write():
            both += leader.may_write() and standby.elector.holder == "b"
            await asyncio.sleep(0.01)
        assert both == 0
        assert not leader.may_write()

    async def test_one_lost_answer_costs_nothing(self, leases: Leases) -> None:
        leader = await leading(leases)
        leader.api.loses_answers = True
        await asyncio.sleep(RETRY_S + 0.1)
        leader.api.loses_answers = False
        await asyncio.sleep(20)
        assert (leader.words, leader.elector.term) == (["acquired"], 1)
        assert leases.spec(NAMESPACE)["leaseTransitions"] == 0

    async def test_the_term_counts_from_before_the_request(self, leases: Leases) -> None:
        leader = await leading(leases)
        leader.api.latency_s = 0.9
        lowest = DURATION_S
        for _ in range(2000):
            lowest = min(lowest, leader.elector.remaining_s())
            await asyncio.sleep(0.01)
        # 1.5 s between the starts of two requests of 1.8 s each: a term is 1.8 s old when it is known.
        assert lowest == pytest.approx(DURATION_S - 2 * 1.8, abs=0.2)

    async def test_a_stalled_process_finds_out_before_its_next_write(self, leases: Leases) -> None:
        leader = await leading(leases)
        assert leader.may_write()
        leader.jump_s += 30.0  # SIGSTOP … SIGCONT; nothing of the loop has run since
        assert leader.elector.remaining_s() == 0.0
        with pytest.raises(LeaseLost, match=r"0\.0 s of the Lease contex/contex-redis-operator are left"):
            leader.elector.check()
        await until(lambda: len(leader.told) == 3, within_s=5)
        assert leader.words == ["acquired", "lost", "acquired"]
        assert leader.elector.term == 2

    async def test_a_stall_within_a_renewal_ends_the_term(self, leases: Leases) -> None:
        leader = await leading(leases)
        leader.api.latency_s = 0.5
        replaced = len(leader.api.calls)
        await until(lambda: len(leader.api.calls) > replaced, within_s=2)
        leader.jump_s += 8.0
        assert not leader.may_write()
        await asyncio.sleep(1.1)
        assert leader.words[:2] == ["acquired", "lost"]

    async def test_a_stall_between_deciding_and_writing_ends_the_term(
        self, leases: Leases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leader = await leading(leases)

        def stall(sighting: Sighting | None, *, me: str, now: float) -> Action:
            monkeypatch.undo()
            leader.jump_s += 30.0
            return decide(sighting, me=me, now=now)

        monkeypatch.setattr(elector, "decide", stall)
        await until(lambda: len(leader.told) == 3, within_s=5)
        assert (leader.words, leader.elector.term) == (["acquired", "lost", "acquired"], 2)

    async def test_the_margin_is_the_border(self, leases: Leases) -> None:
        leader = await leading(leases)
        await until(lambda: leader.elector.remaining_s() > 9.9, within_s=2)
        leader.jump_s += leader.elector.remaining_s() - MARGIN_S - 0.001
        assert leader.may_write()
        leader.jump_s += 0.002
        assert not leader.may_write()

    @pytest.mark.parametrize("error", [Forbidden(403, "Forbidden", "no"), NotFound(404, "NotFound", "no")])
    async def test_without_the_right_nobody_leads_and_nothing_spins(
        self, leases: Leases, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        member = Member(leases, "a")
        member.api.error = error  # type: ignore[assignment]
        await asyncio.sleep(60)
        assert member.told == []
        assert len(member.api.calls) <= 60 / RETRY_S + 3
        warnings = [message for message in caplog.messages if "cannot be read or written" in message]
        assert len(warnings) == 1
        member.api.error = None
        await until(member.may_write, within_s=4)


REGAINED_S = 4.0


@pytest.mark.looptime(noop_cycles=3)
@pytest.mark.parametrize("seed", range(24))
async def test_there_are_never_two_leaders_and_there_is_one_again(leases: Leases, seed: int) -> None:
    """Three processes, an API that fails them, processes that stand still or die, Leases that vanish."""
    dice = random.Random(seed)
    members = [Member(leases, name) for name in "abc"]
    loop = asyncio.get_running_loop()
    started = loop.time()
    dead: list[Member] = []
    while (at := loop.time() - started) < 106:
        leaders = [member for member in members if member.may_write()]
        assert len(leaders) <= 1, f"two leaders at {at:.2f} s"
        if at > 50 and leaders and not dead:
            dead = leaders
            await dead[0].die()
        elif at > 90:
            for member in members:
                _heal(member)
        elif dice.random() < 0.02:
            _trouble(dice.choice(leaders or members), dice, leases)
        await asyncio.sleep(0.1)
    assert dead, "nobody ever led"
    assert leaders, "nobody leads in the end"
    assert leaders != dead


def _trouble(member: Member, dice: random.Random, leases: Leases) -> None:
    _heal(member)
    match dice.randrange(8):
        case 0:
            member.api.is_down = True
        case 1:
            member.api.hangs = True
        case 2:
            member.api.loses_answers = True
        case 3:
            member.api.latency_s = dice.uniform(0.0, 0.9)
        case 4 | 5:
            member.api.running.clear()  # it stands still within its next request
        case 6:
            leases.objects.pop(NAMESPACE, None)
        case _:
            if NAMESPACE in leases.objects:
                leases.put(NAMESPACE, leases.objects[NAMESPACE])


def _heal(member: Member) -> None:
    member.api.is_down = member.api.hangs = member.api.loses_answers = False
    member.api.latency_s = 0.002
    member.api.running.set()
