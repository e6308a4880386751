"""The Lease on a real API server, in real time: takeovers, cut connections, a stalled leader, the guard of writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from contex_operator import names
from contex_operator.errors import LeaseLost
from contex_operator.kube import Access, Kube
from contex_operator.lease import MARGIN_S, REQUEST_S, RETRY_S, Elector, Neighbours, guard
from contex_operator.lease.elector import steady_clock
from contex_operator.resources import CONFIG_MAP, LEASE

from tests.component.harness.cluster import Cluster
from tests.component.harness.proxy import FaultyProxy

RULES = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
]


class Member:
    """One operator process with a Lease client of its own."""

    def __init__(self, kube: Kube, name: str, *, namespace: str) -> None:
        self.jump_s = 0.0
        self.told: list[str] = []
        self.stop = asyncio.Event()
        self.elector = Elector(
            kube,
            namespace=namespace,
            identity=name,
            on_acquired=lambda: self.told.append("acquired"),
            on_lost=lambda why: self.told.append("lost"),
            clock=lambda: steady_clock() + self.jump_s,
        )
        self.task = asyncio.create_task(self.elector.run(self.stop))

    def may_write(self) -> bool:
        return self.elector.is_leader

    async def die(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def member(kubeconfig: Path, name: str, *, namespace: str) -> AsyncIterator[Member]:
    access = Access(kubeconfig=str(kubeconfig))
    async with await Kube.connect(access, deadline_s=REQUEST_S) as kube:
        made = Member(kube, name, namespace=namespace)
        try:
            yield made
        finally:
            await made.die()


async def until(check: Callable[[], bool], *, within_s: float, what: str) -> float:
    started = time.monotonic()
    while not check():
        assert time.monotonic() - started < within_s, f"{what} not within {within_s} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - started


async def stored(kube: Kube, namespace: str) -> dict[str, Any]:
    lease = await kube.get(LEASE, namespace, names.LEASE)
    assert lease is not None
    return lease


async def test_a_dead_leader_is_replaced_within_15_s(cluster: Cluster, kube: Kube, namespace: str) -> None:
    user = cluster.user(RULES, namespace=namespace)
    async with (
        member(user, "a", namespace=namespace) as first,
        member(user, "b", namespace=namespace) as second,
    ):
        await until(lambda: first.may_write() or second.may_write(), within_s=5, what="a leader")
        leader, standby = (first, second) if first.may_write() else (second, first)
        await asyncio.sleep(2 * RETRY_S)
        await leader.die()
        gap_s = await until(standby.may_write, within_s=15, what="the takeover")
        assert gap_s >= 10 - 2 * RETRY_S
        assert not leader.may_write()
        lease = await stored(kube, namespace)
    assert lease["spec"]["holderIdentity"] == standby.elector.identity
    assert lease["spec"]["leaseTransitions"] == 1
    assert lease["metadata"]["labels"][names.LABEL_SCOPE] == names.SCOPE_NAMESPACE
    managers = {entry["manager"] for entry in lease["metadata"]["managedFields"]}
    assert managers == {names.MANAGER}


async def test_a_released_lease_is_taken_at_once(cluster: Cluster, kube: Kube, namespace: str) -> None:
    async with member(cluster.kubeconfig, "a", namespace=namespace) as leader:
        await until(leader.may_write, within_s=5, what="a leader")
        async with member(cluster.kubeconfig, "b", namespace=namespace) as standby:
            await until(lambda: standby.elector.holder == "a", within_s=5, what="a look")
            await asyncio.sleep(RETRY_S)
            leader.stop.set()
            await leader.task
            assert await leader.elector.release()
            assert not leader.may_write()
            assert await until(standby.may_write, within_s=5, what="the takeover") <= RETRY_S + 0.3


async def test_a_leader_that_is_cut_off_stops_before_the_standby_begins(
    cluster: Cluster, proxy: FaultyProxy, namespace: str
) -> None:
    async with member(proxy.kubeconfig, "a", namespace=namespace) as leader:
        await until(leader.may_write, within_s=5, what="a leader")
        async with member(cluster.kubeconfig, "b", namespace=namespace) as standby:
            await asyncio.sleep(RETRY_S)
            proxy.hang()
            cut = time.monotonic()
            last_s = 0.0
            while not standby.may_write():
                assert time.monotonic() - cut < 15, "no takeover within 15 s"
                if leader.may_write():
                    last_s = time.monotonic() - cut
                await asyncio.sleep(0.01)
            begins_s = time.monotonic() - cut
            assert 3.0 <= last_s <= 7.1
            assert begins_s - last_s >= MARGIN_S - 0.2
            assert leader.told == ["acquired", "lost"]
            proxy.heal()
            await until(lambda: leader.elector.holder == "b", within_s=5, what="the old leader's look")
            assert not leader.may_write()


async def test_cut_connections_cost_no_office(cluster: Cluster, proxy: FaultyProxy, namespace: str) -> None:
    async with member(proxy.kubeconfig, "a", namespace=namespace) as leader:
        await until(leader.may_write, within_s=5, what="a leader")
        for _ in range(3):
            await proxy.refuse()
            await asyncio.sleep(0.7 * RETRY_S)
            await proxy.restore()
            await until(lambda: leader.elector.remaining_s() > 9.5, within_s=5, what="a renewal")
        lost = proxy.lose(method="PUT", times=1)
        await until(lambda: lost.hits == 1, within_s=5, what="a lost answer")
        await until(lambda: leader.elector.remaining_s() > 9.5, within_s=5, what="a renewal")
        assert leader.told == ["acquired"]


async def test_a_stalled_leader_writes_nothing_more(
    cluster: Cluster, proxy: FaultyProxy, namespace: str
) -> None:
    async with member(cluster.kubeconfig, "a", namespace=namespace) as leader:
        await until(leader.may_write, within_s=5, what="a leader")
        access = Access(kubeconfig=str(proxy.kubeconfig))
        async with await Kube.connect(access, may_write=guard(leader.elector)) as kube:
            body = {"metadata": {"name": "a", "namespace": namespace}, "data": {"a": "1"}}
            await kube.create(CONFIG_MAP, body)
            sent = len(proxy.seen)
            leader.jump_s = 30.0  # as after SIGSTOP and SIGCONT: the clock has run, nothing else has
            with pytest.raises(LeaseLost, match=r"0\.0 s of the Lease"):
                await kube.apply(CONFIG_MAP, body, manager=names.MANAGER)
            assert len(proxy.seen) == sent
            await until(lambda: leader.told[-2:] == ["lost", "acquired"], within_s=5, what="a new term")
            await kube.apply(CONFIG_MAP, body, manager=names.MANAGER)


async def test_a_cluster_wide_operator_spares_a_namespace_with_its_own(
    cluster: Cluster, namespace: str
) -> None:
    home = cluster.namespace()
    rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]}]
    access = Access(kubeconfig=str(cluster.user(rules)))
    async with await Kube.connect(access, deadline_s=REQUEST_S) as kube:
        neighbours = Neighbours(kube, namespace=home)
        await neighbours.look()
        neighbours.check(namespace)
        async with member(cluster.kubeconfig, "local", namespace=namespace) as local:
            await until(local.may_write, within_s=5, what="a leader")
            await neighbours.look()
            with pytest.raises(LeaseLost, match=f"nothing may be written in {namespace}.*local"):
                neighbours.check(namespace)
            neighbours.check(home)
