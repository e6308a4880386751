"""A cluster-wide operator beside others, in virtual time: nobody writes where somebody else does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from contex_operator import names
from contex_operator.errors import LeaseLost, ScopeTaken, Unreachable
from contex_operator.lease import DURATION_S, Elector, Neighbours, guard
from contex_operator.lease.record import Record

from tests.unit.leases import Leases, LeasesApi

HOME = "operators"
TEAM = "team-a"

pytestmark = pytest.mark.looptime(noop_cycles=3)


class Process:
    """An operator process with its elector; cluster-wide ones know their neighbours."""

    def __init__(self, leases: Leases, name: str, *, namespace: str, is_cluster_wide: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.api = LeasesApi(leases)
        self.stop = asyncio.Event()
        self.elector = Elector(
            self.api,
            namespace=namespace,
            identity=name,
            scope=names.SCOPE_CLUSTER if is_cluster_wide else names.SCOPE_NAMESPACE,
            clock=loop.time,
        )
        self.neighbours = (
            Neighbours(self.api, namespace=namespace, clock=loop.time) if is_cluster_wide else None
        )
        self._guard = guard(self.elector, self.neighbours)
        self.tasks = [asyncio.create_task(self.elector.run(self.stop))]
        if self.neighbours is not None:
            self.tasks.append(asyncio.create_task(self.neighbours.run(self.stop, elector=self.elector)))

    def may_write(self, namespace: str = TEAM) -> bool:
        try:
            self._guard(namespace)
        except LeaseLost:
            return False
        return True

    async def die(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def terminate(self) -> None:
        self.stop.set()
        await asyncio.gather(*self.tasks)
        await self.elector.release()


def lease(holder: str, *, scope: str = names.SCOPE_CLUSTER, acquired: str = "t") -> dict[str, Any]:
    return {
        "metadata": {"labels": {names.LABEL_SCOPE: scope}},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 10, "acquireTime": acquired},
    }


async def until(check: Callable[[], bool], *, within_s: float) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not check():
        assert loop.time() - started < within_s, f"not within {within_s} s"
        await asyncio.sleep(0.01)
    return loop.time() - started


async def one_at_a_time(*processes: Process, for_s: float) -> set[str]:
    """Who may write in TEAM during `for_s`; fails where two may at once."""
    loop = asyncio.get_running_loop()
    ends, seen = loop.time() + for_s, set()
    while loop.time() < ends:
        writers = [process.elector.identity for process in processes if process.may_write()]
        assert len(writers) <= 1, f"{writers} may write in one namespace"
        seen.update(writers)
        await asyncio.sleep(0.02)
    return seen


@pytest.fixture
def leases() -> Leases:
    return Leases()


async def wide_and_leading(leases: Leases) -> Process:
    wide = Process(leases, "wide", namespace=HOME, is_cluster_wide=True)
    await until(wide.may_write, within_s=2)
    return wide


class TestNamespaces:
    async def test_a_new_operator_there_ends_the_writes_of_the_wide_one_first(self, leases: Leases) -> None:
        wide = await wide_and_leading(leases)
        for delay in (0.0, 0.1, 0.2, 0.3, 0.4):  # whatever the moment between two looks
            await asyncio.sleep(delay)
            local = Process(leases, f"local-{delay}", namespace=f"team-{delay}")
            await until(local.may_write, within_s=3)
            assert not wide.may_write(f"team-{delay}")
        assert wide.may_write("elsewhere")
        assert wide.may_write(HOME)

    async def test_a_handover_there_leaves_no_gap_to_the_wide_one(self, leases: Leases) -> None:
        wide = await wide_and_leading(leases)
        locals_ = [Process(leases, name, namespace=TEAM) for name in ("one", "two")]
        await one_at_a_time(wide, *locals_, for_s=5)
        (first,) = [process for process in locals_ if process.may_write()]
        (second,) = [process for process in locals_ if process is not first]
        await first.terminate()
        assert await one_at_a_time(wide, second, for_s=20) == {second.elector.identity}

    async def test_a_takeover_there_leaves_no_gap_to_the_wide_one(self, leases: Leases) -> None:
        wide = await wide_and_leading(leases)
        first = Process(leases, "one", namespace=TEAM)
        await until(first.may_write, within_s=2)
        second = Process(leases, "two", namespace=TEAM)
        await asyncio.sleep(2)
        await first.die()
        assert await one_at_a_time(wide, first, second, for_s=40) == {"one", "two"}
        assert second.may_write()

    async def test_a_namespace_without_a_living_operator_falls_to_the_wide_one(self, leases: Leases) -> None:
        wide = await wide_and_leading(leases)
        local = Process(leases, "local", namespace=TEAM)
        await until(local.may_write, within_s=2)
        await local.die()
        assert 2 * DURATION_S - 2 <= await until(wide.may_write, within_s=30) <= 2 * DURATION_S + 1

    async def test_an_old_lease_is_watched_before_it_counts_as_dead(self, leases: Leases) -> None:
        leases.put(TEAM, lease("long dead", scope=names.SCOPE_NAMESPACE))
        wide = Process(leases, "wide", namespace=HOME, is_cluster_wide=True)
        await until(lambda: wide.may_write("elsewhere"), within_s=2)
        assert not wide.may_write()
        assert await until(wide.may_write, within_s=30) == pytest.approx(2 * DURATION_S, abs=1.5)

    async def test_a_deleted_lease_is_no_sign_of_death_at_once(self, leases: Leases) -> None:
        wide = await wide_and_leading(leases)
        local = Process(leases, "local", namespace=TEAM)
        await until(local.may_write, within_s=2)
        del leases.objects[TEAM]
        assert await one_at_a_time(wide, local, for_s=30) == {"local"}

    async def test_without_a_view_nothing_is_written(self, leases: Leases) -> None:
        wide = await wide_and_leading(leases)
        assert wide.neighbours is not None
        wide.api.is_down = True
        assert await until(lambda: not wide.may_write(), within_s=2) <= 1.0
        with pytest.raises(LeaseLost, match="out of view"):
            wide.neighbours.check(TEAM)
        wide.api.is_down = False
        await until(wide.may_write, within_s=2)

    async def test_the_refusal_names_the_other(self, leases: Leases) -> None:
        wide = await wide_and_leading(leases)
        assert wide.neighbours is not None
        local = Process(leases, "local", namespace=TEAM)
        await until(local.may_write, within_s=2)
        assert wide.neighbours.foreign_lease(TEAM) == "local"
        assert wide.neighbours.foreign_lease("elsewhere") is None
        with pytest.raises(LeaseLost, match=r"nothing may be written in team-a: .*\(local\)"):
            wide.neighbours.check(TEAM)


class TestSecondClusterWide:
    async def test_does_not_start_beside_a_living_one(self, leases: Leases) -> None:
        await wide_and_leading(leases)
        second = Neighbours(LeasesApi(leases), namespace="other", clock=asyncio.get_running_loop().time)
        with pytest.raises(ScopeTaken, match=r"leads from namespace operators \(wide\)"):
            async with asyncio.timeout(5):
                await second.wait_until_alone(asyncio.Event())

    async def test_starts_at_once_where_there_is_none(self, leases: Leases) -> None:
        leases.put(TEAM, lease("a namespaced one", scope=names.SCOPE_NAMESPACE))
        alone = Neighbours(LeasesApi(leases), namespace="other", clock=asyncio.get_running_loop().time)
        async with asyncio.timeout(0.5):
            await alone.wait_until_alone(asyncio.Event())

    @pytest.mark.parametrize("holder", ["dead", ""])
    async def test_starts_after_a_while_beside_a_dead_one(self, leases: Leases, holder: str) -> None:
        leases.put(HOME, lease(holder))
        loop = asyncio.get_running_loop()
        alone = Neighbours(LeasesApi(leases), namespace="other", clock=loop.time)
        started = loop.time()
        async with asyncio.timeout(30):
            await alone.wait_until_alone(asyncio.Event())
        assert loop.time() - started >= 2 * DURATION_S

    async def test_waits_through_an_api_that_is_away(self, leases: Leases) -> None:
        api = LeasesApi(leases)
        api.error = Unreachable("away")
        alone = Neighbours(api, namespace="other", clock=asyncio.get_running_loop().time)
        task = asyncio.create_task(alone.wait_until_alone(asyncio.Event()))
        await asyncio.sleep(10)
        assert not task.done()
        api.error = None
        async with asyncio.timeout(1):
            await task

    async def test_of_two_that_start_together_one_yields_before_it_writes(self, leases: Leases) -> None:
        one = Process(leases, "one", namespace="ns-z", is_cluster_wide=True)
        two = Process(leases, "two", namespace="ns-a", is_cluster_wide=True)
        assert await one_at_a_time(one, two, for_s=10) == {"one"}
        await asyncio.wait(two.tasks, timeout=1, return_when=asyncio.FIRST_EXCEPTION)
        with pytest.raises(ScopeTaken, match="ns-z"):
            await two.tasks[1]
        assert not one.tasks[1].done()

    @pytest.mark.parametrize(
        ("acquired", "namespace", "precedes"),
        [("t1", "ns-z", True), ("t3", "ns-a", False), ("t2", "ns-a", True), ("t2", "ns-z", False)],
    )
    async def test_the_earlier_lease_stays_then_the_earlier_name(
        self, leases: Leases, acquired: str, namespace: str, precedes: bool
    ) -> None:
        neighbours = Neighbours(LeasesApi(leases), namespace="ns-m", clock=asyncio.get_running_loop().time)
        await neighbours.look()
        leases.put(namespace, lease("rival", acquired=acquired))
        await neighbours.look()
        own = Record(
            holder="me", duration_s=10, acquired="t2", renewed="", transitions=0, scope=names.SCOPE_CLUSTER
        )
        assert neighbours.rival(own) == ((namespace, "rival") if precedes else None)
