"""A member that has lost its address: what is asked of the API, who is told, and when the old one is forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from contex_operator.actions import (
    Action,
    Create,
    Follow,
    RaiseEpoch,
    Relink,
    RememberInStatus,
    SentinelAnnounce,
    SentinelReset,
    SetConfig,
)
from contex_operator.errors import KubeError
from contex_operator.execute import Executor
from contex_operator.failpoints import Failpoints
from contex_operator.identities import (
    FILES_ARE_NEW_AFTER_S,
    GIVEN_UP_AFTER_S,
    asked_for,
    forget_former,
    record,
    relearn,
    rename_master,
)
from contex_operator.kube import Kube
from contex_operator.model import DataNode, Observed, Replica, SentinelNode, utc
from contex_operator.plan import plan
from contex_operator.redisio import RedisIO
from contex_operator.topology import judge

from tests.unit.world import (
    DATA,
    FRESH_PASSWORDS,
    NOW,
    R0,
    R1,
    S0,
    S1,
    S2,
    SENTINELS,
    M,
    address_of,
    known_replica,
    master,
    pod_of,
    replica,
    replicated,
    sentinel,
    snapshot,
)

SPEC = replicated()
NEW = "10.96.9.99"
EVERYBODY = {pod: address_of(pod) for pod in (*DATA, *SENTINELS)}


def lost(pod: str, *, since: float = NOW - 10) -> dict[str, Any]:
    return {address_of(pod): {"pod": pod, "time": utc(since)}}


def status_of(pod: str, *, since: float = NOW - 10) -> dict[str, Any]:
    """As it is once the pod has its new address."""
    return {
        "initialized": True,
        "addresses": {**EVERYBODY, pod: NEW},
        "formerAddresses": lost(pod, since=since),
    }


def listed(*addresses: str) -> tuple[Replica, ...]:
    return tuple(Replica(address=a, online=True, offset=100, lag_s=0) for a in addresses)


def world(
    moved: str, *, data: tuple[DataNode, ...], sentinels: tuple[SentinelNode, ...], **fields: Any
) -> Observed:
    """The member `moved` is asked at its new address."""
    everyone = tuple(replace(n, address=NEW) if n.pod == moved else n for n in data)
    voters = tuple(replace(s, address=NEW) if s.pod == moved else s for s in sentinels)
    return snapshot(everyone, voters, **{"status": status_of(moved), **fields})


def calm() -> tuple[SentinelNode, ...]:
    return tuple(sentinel(s, epoch=3) for s in SENTINELS)


def kinds(actions: Any) -> list[type[Action]]:
    return [type(action) for action in actions]


# --- the Service ----------------------------------------------------------------------------------------------------


def service(pod: str, address: str) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": pod, "uid": "u"}, "spec": {"clusterIP": address}}


def asked(*, live: str | None, status: dict[str, Any]) -> str | None:
    objects = {("Service", R0): service(R0, live) if live else None}
    return asked_for(snapshot(status={"addresses": EVERYBODY, **status}, objects=objects)).get(R0)


def test_a_deleted_service_comes_back_with_its_address_until_that_is_known_to_be_anothers() -> None:
    assert asked(live=None, status={}) == address_of(R0)
    fresh = lost(R0, since=NOW - GIVEN_UP_AFTER_S + 1)
    assert asked(live=None, status={"formerAddresses": fresh}) == address_of(R0)
    old = lost(R0, since=NOW - GIVEN_UP_AFTER_S)
    assert asked(live=None, status={"formerAddresses": old}) is None
    assert asked(live=NEW, status={"formerAddresses": old}) == NEW, "a Service cannot change its address"


def test_what_it_had_before_is_written_down_with_what_it_has_now() -> None:
    observed = snapshot(status={"addresses": EVERYBODY})
    assert record(observed, EVERYBODY) == {"addresses": EVERYBODY}
    now = {**EVERYBODY, R0: NEW, "redis-replica-9": "10.96.2.10"}
    assert record(observed, now) == {"addresses": now, "formerAddresses": lost(R0, since=NOW)}


class Api:
    """Refuses the address of every Service, and remembers what is written to status."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields
        self.patches: list[dict[str, Any]] = []

    async def create(self, *_: Any) -> None:
        raise KubeError(422, "Invalid", "provided IP is already allocated", fields=self.fields)

    async def merge_patch(self, *words: Any, **_: Any) -> dict[str, Any]:
        self.patches.append(words[3])
        return {"metadata": {"resourceVersion": "2"}}


@pytest.mark.parametrize(
    ("fields", "known", "written"),
    [
        (("spec.clusterIPs",), {}, [lost(R0, since=NOW)]),
        (("spec.clusterIPs",), lost(R0), []),  # since when it is known does not move
        (("spec.ports",), {}, []),
    ],
)
async def test_a_refused_address_is_written_down_once(
    fields: tuple[str, ...], known: dict[str, Any], written: list[dict[str, Any]]
) -> None:
    api = Api(fields)
    executor = Executor(
        cast("Kube", api),
        RedisIO(),
        spec=SPEC,
        observed=snapshot(status={"formerAddresses": known}),
        passwords=(None, None),
        may_write=lambda _: None,
        failpoints=Failpoints(),
    )
    with pytest.raises(KubeError):
        await executor.run([Create(body=service(R0, address_of(R0)))])
    assert api.patches == [{"status": {"formerAddresses": entry}} for entry in written]


# --- the master -------------------------------------------------------------------------------------------------------


def renamed(**fields: Any) -> Observed:
    return world(M, data=(master(), replica(R0), replica(R1)), sentinels=calm(), **fields)


def test_the_sentinels_are_told_the_masters_new_address_and_nobodys_role_changes() -> None:
    observed = renamed()
    step = rename_master(SPEC, observed, judge(observed, sentinels=3))
    assert step is not None
    (action,) = step.actions
    assert isinstance(action, RaiseEpoch)
    assert (action.course.old.address, action.course.new.address) == (address_of(M), NEW)
    assert action.course.old.pod == action.course.new.pod == M
    assert {other.pod for other in action.course.others} == {R0, R1}
    assert action.above == 3


def test_it_is_what_the_plan_does() -> None:
    observed = renamed()
    topology = judge(observed, sentinels=3)
    pods = {
        ("StatefulSet", f"redis-{part}"): {"spec": {"replicas": n}}
        for part, n in (("replica", 2), ("sentinel", 3))
    }
    observed = replace(
        observed,
        objects={**pods, **{("Service", p): service(p, a) for p, a in observed.status["addresses"].items()}},
    )
    observed = replace(
        observed, objects={**observed.objects, ("StatefulSet", "redis-master"): {"spec": {"replicas": 1}}}
    )
    owner = {
        "ownerReferences": [{"controller": True, "uid": observed.uid}],
        "uid": "u",
        "resourceVersion": "1",
    }
    owned = {
        key: {**(body or {}), "metadata": {"name": key[1], **owner}, "kind": key[0]}
        for key, body in observed.objects.items()
    }
    decided = plan(SPEC, replace(observed, objects=owned), topology, is_ready=False, fresh=FRESH_PASSWORDS)
    assert RaiseEpoch in kinds(decided.actions)


@pytest.mark.parametrize("flag", ["o_down", "failover_in_progress"])
def test_sentinel_acts_first_where_it_has_begun(flag: str) -> None:
    flags = frozenset({"master", "s_down", flag})
    observed = world(
        M,
        data=(master(), replica(R0), replica(R1)),
        sentinels=(sentinel(S0, flags=flags), sentinel(S1), sentinel(S2)),
    )
    step = rename_master(SPEC, observed, judge(observed, sentinels=3))
    assert step is not None
    assert step.actions == ()


def test_a_lost_link_is_no_reason_to_wait_for_a_failover() -> None:
    flags = frozenset({"master", "s_down", "disconnected"})
    observed = world(
        M,
        data=(master(), replica(R0), replica(R1)),
        sentinels=tuple(sentinel(s, flags=flags) for s in SENTINELS),
    )
    step = rename_master(SPEC, observed, judge(observed, sentinels=3))
    assert step is not None
    assert kinds(step.actions) == [RaiseEpoch]


@pytest.mark.parametrize(
    "observed",
    [
        snapshot((master(), replica(R0), replica(R1)), calm(), status={"initialized": True}),
        world(M, data=(replica(M, R0), master(R0), replica(R1)), sentinels=calm()),
        world(M, data=(master(), master(R0), replica(R1)), sentinels=calm()),
        renamed(status=status_of(M) | {"intent": {"procedure": "failover", "pod": R0, "from": M}}),
        world(M, data=(master(), replica(R0), replica(R1)), sentinels=(sentinel(S0, R0, 9), *calm()[1:])),
    ],
)
def test_nothing_is_announced_that_is_not_so(observed: Observed) -> None:
    """The usual world, a master that is none any more, a second one, a move under way, sentinels that disagree."""
    assert rename_master(SPEC, observed, judge(observed, sentinels=3)) is None


def told(observed: Observed) -> list[Action]:
    return relearn(observed, judge(observed, sentinels=3))


def test_whoever_still_follows_the_old_address_is_told_at_once() -> None:
    named = tuple(replace(s, master_address=NEW) for s in calm())
    observed = world(M, data=(master(), replica(R0), replica(R1)), sentinels=named)
    actions = told(observed)
    assert [(a.pod, a.master) for a in actions if isinstance(a, Follow)] == [(R0, NEW), (R1, NEW)]


# --- a replica, a sentinel ----------------------------------------------------------------------------------------


def with_replica(announced: str, *addresses: str) -> Observed:
    node = replica(R0, config={"replica-announce-ip": announced})
    return world(R0, data=(master(replicas=listed(*addresses)), node, replica(R1)), sentinels=calm())


def test_a_replica_announces_its_address_and_then_introduces_itself_anew() -> None:
    old, other = address_of(R0), address_of(R1)
    assert told(with_replica(old, old, other)) == [], "it would come back under the old one"
    (action,) = told(with_replica(NEW, old, other))
    assert isinstance(action, Relink)
    assert (action.pod, action.address) == (R0, NEW)
    assert told(with_replica(NEW, NEW, other)) == []


def test_a_sentinel_announces_its_address_until_its_peers_have_it() -> None:
    data = (master(), replica(R0), replica(R1))
    (action,) = told(world(S0, data=data, sentinels=calm()))
    assert action == SentinelAnnounce(pod=S0, address=NEW)
    knowing = tuple(
        replace(s, peers=tuple(NEW if a == address_of(S0) else a for a in s.peers)) for s in calm()
    )
    assert told(world(S0, data=data, sentinels=knowing)) == []


def test_in_unrest_nobody_is_told_anything() -> None:
    busy = (replace(calm()[0], tilt=True), *calm()[1:])
    data = (
        master(replicas=listed(address_of(R0))),
        replica(R0, config={"replica-announce-ip": NEW}),
        replica(R1),
    )
    assert told(world(R0, data=data, sentinels=busy)) == []


# --- the old address ----------------------------------------------------------------------------------------------


def remembering(*pods: str, since: float = NOW - 10) -> Observed:
    """R0 has moved, everybody knows its new address, and these sentinels its old one besides."""
    old, other = address_of(R0), address_of(R1)
    known = (replace(known_replica(R0), address=NEW), known_replica(R1))
    voters = tuple(
        replace(s, replicas=(*known, known_replica(R0)) if s.pod in pods else known) for s in calm()
    )
    assert old != NEW
    data = (master(replicas=listed(NEW, other)), replica(R0), replica(R1))
    pods_there = tuple(pod_of(p) for p in (*DATA, *SENTINELS))
    return world(R0, data=data, sentinels=voters, status=status_of(R0, since=since), pods=pods_there)


def forgetting(observed: Observed) -> list[type[Action]]:
    step = forget_former(SPEC, observed, judge(observed, sentinels=3))
    return [] if step is None else kinds(step.actions)


def test_it_is_forgotten_by_one_sentinel_at_a_time() -> None:
    observed = remembering(S1, S2)
    step = forget_former(SPEC, observed, judge(observed, sentinels=3))
    assert step is not None
    assert [a.pod for a in step.actions if isinstance(a, SentinelReset)] == [S1]
    just_now = {**observed.status, "forgetting": {"sentinel": S1, "at": utc(NOW - 5)}}
    soon = replace(observed, resource={**observed.resource, "status": just_now})
    assert forgetting(soon) == []


def test_not_while_the_master_still_lists_it() -> None:
    observed = remembering(S1)
    old = tuple(replace(n, replicas=listed(address_of(R0))) if n.pod == M else n for n in observed.data)
    assert SentinelReset not in forgetting(replace(observed, data=old))


def test_it_is_kept_in_mind_until_the_files_of_every_pod_are_new() -> None:
    assert forgetting(remembering()) == []
    assert forgetting(remembering(since=NOW - FILES_ARE_NEW_AFTER_S)) == [RememberInStatus]


def test_an_address_that_came_back_was_never_lost() -> None:
    observed = snapshot(
        (master(), replica(R0), replica(R1)),
        calm(),
        status={"addresses": EVERYBODY, "formerAddresses": lost(R0)},
    )
    assert forgetting(observed) == [RememberInStatus]


def test_a_set_that_lost_nothing_is_asked_nothing() -> None:
    observed = snapshot((master(), replica(R0), replica(R1)), calm(), status={"addresses": EVERYBODY})
    topology = judge(observed, sentinels=3)
    assert relearn(observed, topology) == []
    assert forget_former(SPEC, observed, topology) is None
    assert SetConfig not in kinds(relearn(observed, topology))
