"""Bootstrap and cold start over small worlds: what may be begun, what may be commanded, and what is left alone.

The children play no part here and are left out of the plans; whole runs are in test_interruptions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from contex_operator import names
from contex_operator import plan as planning
from contex_operator.actions import Follow, MakeMaster, Monitor, RememberInStatus
from contex_operator.handover import catch_up
from contex_operator.model import DataNode, Observed, Reach, SentinelNode, utc
from contex_operator.plan import Plan, plan
from contex_operator.procedures.bootstrap import bootstrap
from contex_operator.procedures.cold_start import choose, cold_start
from contex_operator.status import compute
from contex_operator.topology import judge

from tests.unit.world import (
    DATA,
    EMPTIED,
    FRESH,
    FRESH_PASSWORDS,
    NOW,
    R0,
    R1,
    S0,
    SENTINELS,
    M,
    address_of,
    bare,
    gone,
    intact,
    master,
    replica,
    replicated,
    resource,
    sentinel,
    silent,
    snapshot,
    waiting,
)

SPEC = replicated(auth={"enabled": False})
RUNNING = {("StatefulSet", "redis-master"): {"kind": "StatefulSet", "metadata": {"name": "redis-master"}}}
BARE = [bare(s) for s in SENTINELS]


@pytest.fixture(autouse=True)
def without_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "owned", lambda *_: [])
    monkeypatch.setattr(planning, "check_names", lambda *_: None)


def decide(world: Observed) -> Plan:
    return plan(SPEC, world, judge(world, sentinels=3), is_ready=False, fresh=FRESH_PASSWORDS)


def intent_for(pod: str, procedure: str) -> dict[str, Any]:
    return {"intent": {"procedure": procedure, "pod": pod, "address": address_of(pod)}}


# --- every small world -------------------------------------------------------------------------------------------

DATA_STATES: dict[str, Callable[[str], DataNode]] = {
    "fresh": waiting,
    "fresh, with keys": lambda pod: waiting(pod, keys=3),
    "emptied": lambda pod: waiting(pod, EMPTIED),
    "was master at 1": lambda pod: waiting(pod, intact(1, was_master=True), keys=3),
    "was replica at 1": lambda pod: waiting(pod, intact(1, was_master=False), keys=3),
    "holds something": lambda pod: waiting(pod, intact(), keys=3),
    "master": lambda pod: master(pod, keys=3),
    "loading": lambda pod: waiting(pod, intact(1, was_master=True), loading=True),
    "silent": gone,
}
SENTINEL_WORLDS: dict[str, list[SentinelNode]] = {
    "bare": BARE,
    "two bare, one silent": [bare(SENTINELS[0]), bare(SENTINELS[1]), silent(SENTINELS[2])],
    "one bare, two silent": [bare(SENTINELS[0]), silent(SENTINELS[1]), silent(SENTINELS[2])],
    "one remembers": [sentinel(SENTINELS[0], M, 1), bare(SENTINELS[1]), bare(SENTINELS[2])],
    "two monitor": [sentinel(SENTINELS[0], M, 1), sentinel(SENTINELS[1], M, 1), bare(SENTINELS[2])],
    "all monitor": [sentinel(s, M, 1) for s in SENTINELS],
    "split": [sentinel(SENTINELS[0], M, 1), sentinel(SENTINELS[1], R0, 2), bare(SENTINELS[2])],
}
STATUSES: dict[str, dict[str, Any]] = {
    "new": {},
    "initialized": {"initialized": True},
    "bootstrap under way": intent_for(M, "bootstrap"),
    "cold start under way": {"initialized": True, **intent_for(R0, "coldStart")},
}


def worlds() -> Iterator[Observed]:
    for makes in itertools.product(DATA_STATES.values(), repeat=3):
        data = tuple(make(pod) for make, pod in zip(makes, DATA, strict=True))
        for sentinels, status in itertools.product(SENTINEL_WORLDS.values(), STATUSES.values()):
            yield snapshot(data, sentinels, status=status, objects=RUNNING, pods=())


def check(world: Observed) -> Plan:
    decided = decide(world)
    intent = world.status.get("intent") or {}
    answering = [s for s in world.sentinels if s.is_up]
    monitoring = [s for s in answering if s.monitors]
    masters = [node.pod for node in world.data if node.is_master]

    for action in decided.actions:
        match action:
            case MakeMaster(pod=pod):
                node = world.node_of(pod)
                assert intent.get("pod") == pod, "promoted without an intent in status"
                assert not masters, "promoted beside a master"
                assert len(answering) >= 2, "promoted without a majority to ask"
                assert len(monitoring) < 2, "promoted while a majority of the sentinels decides"
                assert {s.master_address for s in monitoring} <= {action.address}, "promoted against a memory"
                assert node is not None
                assert node.run_id == action.run_id
                assert not node.loading
                data_exist = any(n.keys or n.holding is None or n.holding.has_data for n in world.data)
                assert node.keys or not data_exist, "promoted an empty node"
            case Follow(pod=pod):
                _check_follow(world, action, masters=masters, planned=decided)
            case Monitor(pod=pod):
                assert pod in {s.pod for s in answering if not s.monitors}
                leader = world.node_at(action.master)
                assert leader is not None
                assert masters == [leader.pod]
                assert all(n.is_synced_replica for n in world.data if n is not leader)
            case RememberInStatus(fields=fields):
                if fields.get("intent"):
                    _check_intent(world, fields["intent"], masters=masters)
    return decided


def _check_follow(world: Observed, action: Follow, *, masters: list[str], planned: Plan) -> None:
    leader = world.node_at(action.master)
    assert leader is not None
    promoted = [a.pod for a in planned.actions if isinstance(a, MakeMaster)]
    assert leader.is_master or leader.pod in promoted
    topology = judge(world, sentinels=3)
    if action.pod in masters:
        assert topology.master is leader, "a master was told to follow one that is not the truth"
        assert topology.is_calm


def _check_intent(world: Observed, intent: dict[str, Any], *, masters: list[str]) -> None:
    assert not world.status.get("intent"), "an intent was replaced by another"
    chosen = world.node_of(intent["pod"])
    assert chosen is not None
    remembered = {s.master_address for s in world.sentinels if s.monitors} == {chosen.address}
    missing = [n.pod for n in world.data if not n.is_up or n.loading]
    assert not missing or (remembered and len(missing) == 1), "chosen while a copy was missing"
    assert intent["address"] == chosen.address
    forgetful = [s for s in world.sentinels if s.is_up and not s.monitors]
    assert len(forgetful) >= 2, "chosen although the sentinels remember"
    assert {s.master_address for s in world.sentinels if s.monitors} <= {chosen.address}
    if intent["procedure"] == "bootstrap":
        assert not world.status.get("initialized")
        assert all(n.holding == FRESH and not n.keys and not n.is_master for n in world.data)
        return
    assert masters in ([], [chosen.pod])
    if remembered and not masters:
        assert chosen.keys
        assert all((n.holding.epoch or 0) <= 1 for n in world.data if n.holding)
    elif not masters:
        holders = [n for n in world.data if n.keys]
        epochs = [n.holding.epoch or 0 for n in holders if n.holding]
        assert chosen in holders
        assert holders == [chosen] or (
            chosen.holding is not None
            and chosen.holding.was_master
            and chosen.holding.epoch == max(epochs)
            and all(n.holding and n.holding.epoch is not None for n in holders)
        )


def test_every_world_of_three_data_nodes_and_three_sentinels() -> None:
    begun = promoted = stopped = 0
    for world in worlds():
        decided = check(world)
        promoted += any(isinstance(action, MakeMaster) for action in decided.actions)
        begun += any(
            isinstance(action, RememberInStatus) and bool(action.fields.get("intent"))
            for action in decided.actions
        )
        stopped += decided.risk is not None
    assert min(begun, promoted, stopped) > 50, (begun, promoted, stopped)


# --- bootstrap ---------------------------------------------------------------------------------------------------


def test_a_bootstrap_writes_its_intent_first() -> None:
    world = snapshot([waiting(pod) for pod in DATA], BARE, objects=RUNNING)
    (action,) = decide(world).actions
    assert action == RememberInStatus(fields=intent_for(M, "bootstrap") | {})


@pytest.mark.parametrize("pod", DATA)
@pytest.mark.parametrize("state", ["emptied", "holds something", "fresh, with keys", "was replica at 1"])
def test_one_node_that_is_not_proven_fresh_forbids_a_bootstrap(pod: str, state: str) -> None:
    data = [DATA_STATES[state](p) if p == pod else waiting(p) for p in DATA]
    assert bootstrap(SPEC, snapshot(data, BARE), strangers=()) is None


def test_a_bootstrap_waits_for_everybody() -> None:
    step = bootstrap(SPEC, snapshot([waiting(M), gone(R0), gone(R1)], BARE), strangers=())
    assert step is not None
    assert step.note == f"waiting for {R0}, {R1} to answer"
    step = bootstrap(SPEC, snapshot([waiting(p) for p in DATA], [silent(S0), *BARE[1:]]), strangers=())
    assert step is not None
    assert step.note == f"waiting for {S0} to answer"


def test_a_claim_that_no_pod_would_mount_blocks_a_bootstrap() -> None:
    world = snapshot(
        [waiting(p) for p in DATA],
        BARE,
        objects=RUNNING,
        claims=("data-redis-master-0", "data-redis-replica-7"),
    )
    decided = decide(world)
    assert decided.actions == ()
    assert decided.risk is not None
    assert decided.risk[0] == "RetainedClaims"
    assert "data-redis-replica-7" in decided.risk[1]
    assert "data-redis-master-0" not in decided.risk[1]


def test_the_claims_of_sentinels_hold_no_data() -> None:
    world = snapshot(
        [waiting(p) for p in DATA],
        BARE,
        objects=RUNNING,
        claims=("data-redis-sentinel-4", "data-redis-master-0"),
    )
    assert decide(world).risk is None


def test_an_initialized_resource_is_never_bootstrapped_again() -> None:
    world = snapshot([waiting(p) for p in DATA], BARE, status={"initialized": True}, objects=RUNNING)
    decided = decide(world)
    assert decided.actions == ()
    assert decided.risk is not None
    assert "every volume is empty" in decided.risk[1]


# --- cold start --------------------------------------------------------------------------------------------------


def chosen(*nodes: DataNode) -> str:
    """The chosen pod, or the sentence."""
    found = choose(nodes)
    return found.pod if isinstance(found, DataNode) else found


def was(pod: str, epoch: int | None, role: str) -> DataNode:
    return waiting(pod, intact(epoch, was_master=role == "master"), keys=3)


def test_the_master_of_the_highest_epoch_is_chosen_whatever_its_ordinal() -> None:
    assert chosen(was(M, 4, "master"), was(R0, 5, "replica"), was(R1, 5, "master")) == R1
    assert chosen(was(M, 5, "master"), was(R0, 4, "master"), was(R1, 5, "replica")) == M


def test_more_keys_are_no_argument() -> None:
    few = replace(was(R0, 5, "master"), keys=1)
    many = replace(was(M, 4, "master"), keys=10**6)
    assert chosen(many, few, was(R1, 4, "replica")) == R0


def test_the_only_copy_is_chosen_and_an_empty_volume_never() -> None:
    assert chosen(waiting(M), was(R0, None, "replica"), waiting(R1, EMPTIED)) == R0


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ((waiting(M), waiting(R0, EMPTIED)), "every volume is empty"),
        (
            (was(M, 5, "master"), was(R0, 5, "master")),
            f"{M} and {R0} were both master in configuration epoch 5",
        ),
        ((was(M, 5, "master"), was(R0, None, "replica")), f"{R0} holds data and does not know"),
        ((was(M, 5, "replica"), was(R0, 4, "master")), "the master of the newest configuration (epoch 5)"),
        ((was(M, 5, "master"), waiting(R0, FRESH, keys=7)), f"{R0} holds data and does not know"),
    ],
)
def test_where_the_data_do_not_say_it_nobody_is_chosen(nodes: tuple[DataNode, ...], words: str) -> None:
    assert words in chosen(*nodes)


def test_a_running_master_has_the_last_writes_whatever_the_volumes_said_at_the_start() -> None:
    """Its process may have begun empty, and an earlier master's volume may remember more."""
    assert chosen(replica(M, R0, holding=intact(4, was_master=True)), master(R0), replica(R1, R0)) == R0
    assert chosen(was(M, 1, "replica"), master(R0), was(R1, 1, "replica")) == R0


def test_another_who_may_have_been_master_since_is_divergent() -> None:
    said = chosen(was(M, 4, "master"), master(R0), replica(R1, R0))
    assert said == f"{M} and {R0} have both been master, and no sentinel knows the last"
    assert "have both been master" in chosen(master(M), master(R0), replica(R1, R0))


def test_a_missing_copy_is_named() -> None:
    world = snapshot(
        [was(M, 5, "master"), gone(R0, Reach.REFUSED), was(R1, 5, "replica")],
        BARE,
        status={"initialized": True},
        objects=RUNNING,
    )
    step = cold_start(SPEC, world, strangers=())
    assert (step.actions, step.risk, step.missing) == ((), None, (R0,))
    assert compute(SPEC, world, judge(world, sentinels=3), decide(world))["missing"] == {R0: utc(NOW)}

    waited = replace(world, resource=resource(status={"missing": {R0: utc(NOW - 59)}}))
    assert cold_start(SPEC, waited, strangers=()).risk is None
    waited = replace(world, resource=resource(status={"missing": {R0: utc(NOW - 60)}}))
    assert cold_start(SPEC, waited, strangers=()).risk == (
        "CopyMissing",
        f"no master can be chosen while {R0} may hold newer data and does not answer; bring it back, or do without "
        f"what only it has: kubectl annotate contexredis redis -n shop redis.contex.io/elect-without={R0}",
    )
    back = replace(waited, data=(was(M, 5, "master"), was(R0, 5, "replica"), was(R1, 5, "replica")))
    assert "missing" not in compute(SPEC, back, judge(back, sentinels=3), decide(back))


# --- one sentinel remembers --------------------------------------------------------------------------------------

ONE_REMEMBERS = [sentinel(S0, R1, 9), *BARE[1:]]


@pytest.mark.parametrize("missing", [gone(R0), gone(R0, Reach.REFUSED), waiting(R0, loading=True)])
def test_the_node_that_a_sentinel_remembers_wins_although_a_copy_is_missing(missing: DataNode) -> None:
    """A newer configuration that took writes had a replica (min-replicas-to-write 1): one of the two would know it."""
    world = snapshot([was(M, 4, "replica"), missing, was(R1, 4, "replica")], ONE_REMEMBERS)
    assert cold_start(SPEC, world, strangers=()).actions == (
        RememberInStatus(fields=intent_for(R1, "coldStart")),
    )


@pytest.mark.parametrize(
    "nodes",
    [
        (gone(M), gone(R0), was(R1, 9, "master")),  # too many are missing
        (was(M, 10, "replica"), gone(R0), was(R1, 9, "master")),  # there was a newer one
        (was(M, None, "replica"), gone(R0), was(R1, 9, "master")),  # there may have been
        (was(M, 9, "replica"), gone(R0), waiting(R1)),  # it has lost its data
    ],
)
def test_a_memory_that_the_data_may_contradict_is_no_reason_to_hurry(nodes: tuple[DataNode, ...]) -> None:
    step = cold_start(SPEC, snapshot(nodes, ONE_REMEMBERS), strangers=())
    assert step.actions == ()
    assert R0 in step.missing


def test_without_min_replicas_every_copy_has_to_be_there() -> None:
    available = replicated(auth={"enabled": False}, durability="available")
    world = snapshot([was(M, 9, "replica"), gone(R0), was(R1, 9, "master")], ONE_REMEMBERS)
    assert cold_start(available, world, strangers=()).missing == (R0,)


def test_a_newer_configuration_in_the_data_stops_what_a_sentinel_remembers() -> None:
    world = snapshot(
        [was(M, 10, "master"), was(R0, 10, "replica"), was(R1, 9, "master")],
        ONE_REMEMBERS,
        status={"initialized": True},
        objects=RUNNING,
    )
    decided = decide(world)
    assert decided.actions == ()
    assert decided.risk is not None
    assert decided.risk[0] == "DivergentData"
    assert f"{S0} names {address_of(R1)}" in decided.risk[1]


def test_two_sentinels_that_remember_different_masters_stop_the_choice() -> None:
    world = snapshot(
        [was(M, 4, "master"), was(R0, 4, "replica"), was(R1, 4, "replica")],
        [sentinel(S0, M, 4), sentinel(SENTINELS[1], R0, 4), *BARE[2:]],
    )
    step = cold_start(SPEC, world, strangers=())
    assert step.risk is not None
    assert "two sentinels remember different masters of epoch 4" in step.risk[1]


# --- a person decides --------------------------------------------------------------------------------------------


def asked(world: Observed, *pods: str) -> Observed:
    body = resource(status=dict(world.status))
    body["metadata"]["annotations"] = {names.ANNOTATION_ELECT_WITHOUT: ", ".join(pods)}
    return replace(world, resource=body)


def elected(world: Observed, *pods: str, strangers: tuple[str, ...] = ()) -> list[str]:
    return [str(action) for action in cold_start(SPEC, asked(world, *pods), strangers=strangers).actions]


DONE = [f"take annotation {names.ANNOTATION_ELECT_WITHOUT} off", "write intent to status"]


def test_a_missing_copy_can_be_done_without_and_the_request_is_used_up_first() -> None:
    world = snapshot([was(M, 5, "replica"), gone(R0), gone(R1)], BARE)
    assert elected(world, R0) == []
    assert elected(world, R0, R1) == DONE
    step = cold_start(SPEC, asked(world, R0, R1), strangers=())
    assert isinstance(step.actions[1], RememberInStatus)
    assert step.actions[1].fields["intent"] == {
        "procedure": "coldStart",
        "pod": M,
        "address": address_of(M),
        "without": [R0, R1],
    }


def test_a_claim_without_a_pod_can_be_done_without() -> None:
    world = snapshot([was(M, 5, "master"), was(R0, 5, "replica"), was(R1, 5, "replica")], BARE)
    leftover = ("data-redis-replica-7",)
    assert elected(world, strangers=leftover) == []
    assert elected(world, "redis-replica-7", strangers=leftover) == DONE


def test_of_two_that_contradict_each_other_one_can_be_done_without() -> None:
    world = snapshot([was(M, 5, "master"), was(R0, 5, "master"), was(R1, 5, "replica")], BARE)
    assert elected(world) == []
    assert elected(world, M) == DONE
    step = cold_start(SPEC, asked(world, M), strangers=())
    assert R0 in step.note


def test_among_replicas_of_a_lost_master_a_person_leaves_one() -> None:
    world = snapshot([gone(M), was(R0, 5, "replica"), was(R1, 5, "replica")], BARE)
    step = cold_start(SPEC, asked(world, M), strangers=())
    assert step.actions == ()
    assert step.risk is not None
    assert f"{R0} and {R1} were its replicas: leave one" in step.risk[1]
    assert elected(world, M, R1) == DONE


def test_what_a_sentinel_remembers_can_be_done_without() -> None:
    world = snapshot([was(M, 9, "replica"), was(R0, 8, "replica"), waiting(R1)], ONE_REMEMBERS)
    assert elected(world) == []
    assert elected(world, R1) == DONE


def test_nobody_waits_for_a_copy_that_is_done_without() -> None:
    status = {"initialized": True, "intent": {**intent_for(M, "coldStart")["intent"], "without": [R1]}}
    world = snapshot([master(), replica(R0), gone(R1)], BARE, status=status, objects=RUNNING)
    assert [str(a) for a in decide(world).actions] == [f"let {s} monitor {address_of(M)}" for s in SENTINELS]
    back = replace(world, data=(master(), replica(R0), was(R1, 1, "replica")))
    assert [str(a) for a in decide(back).actions] == [f"let {R1} follow {address_of(M)}"]


def test_a_request_without_need_is_taken_off_before_it_decides_another_time() -> None:
    world = snapshot(
        [master(), replica(R0), replica(R1)], [sentinel(s) for s in SENTINELS], status={"initialized": True}
    )
    actions = [str(a) for a in decide(replace(asked(world, M), objects=RUNNING)).actions]
    assert actions[-1] == DONE[0]


# --- the sentinels remember a node that does not serve ------------------------------------------------------------


def stuck_world(since_s: float = 0, **fields: Any) -> Observed:
    return snapshot(
        [gone(M, Reach.REFUSED), was(R0, 5, "replica"), was(R1, 4, "replica")],
        [sentinel(s, M, 5, flags=frozenset({"master", "s_down"})) for s in SENTINELS],
        status={"initialized": True, "missing": {M: utc(NOW - since_s)}},
        objects=RUNNING,
        **fields,
    )


def test_an_empty_master_without_a_replica_in_sync_is_a_risk_after_a_minute() -> None:
    assert decide(stuck_world(59)).risk is None
    decided = decide(stuck_world(60))
    assert decided.risk is not None
    assert decided.risk[0] == "NothingToPromote"
    assert f"redis.contex.io/elect-without={M}" in decided.risk[1]
    assert decided.actions == ()
    assert decided.missing == (M,)


def test_then_a_person_lets_sentinel_promote_the_best_copy() -> None:
    """The one with the newest configuration; of equal ones a person has to leave one."""
    better = [str(a) for a in decide(asked(stuck_world(), M)).actions]
    assert better == [DONE[0], f"set replica-priority 100 on {R0}"]
    equal = replace(stuck_world(), data=(gone(M), was(R0, 5, "replica"), was(R1, 5, "replica")))
    assert decide(asked(equal, M)).actions == ()
    narrowed = [str(a) for a in decide(asked(equal, M, R0)).actions]
    assert narrowed == [DONE[0], f"set replica-priority 100 on {R1}"]


def test_a_replica_that_may_be_promoted_is_sentinels_affair() -> None:
    world = replace(stuck_world(99), data=(gone(M), replica(R0), was(R1, 4, "replica")))
    assert decide(world).risk is None
    assert decide(world).missing == ()


def test_retained_claims_do_not_matter_beside_a_running_master() -> None:
    world = snapshot([master(M), replica(R0), replica(R1)], BARE)
    step = cold_start(SPEC, world, strangers=("data-redis-replica-7",))
    assert step.actions == (RememberInStatus(fields=intent_for(M, "coldStart")),)


# --- carrying an intent out --------------------------------------------------------------------------------------


def carry_on(data: list[DataNode], sentinels: list[SentinelNode], pod: str = M) -> list[str]:
    world = snapshot(
        data,
        sentinels,
        status={"initialized": True, **intent_for(pod, "coldStart")},
        objects=RUNNING,
        pods=(),
    )
    return [str(action) for action in check(world).actions]


def test_the_chosen_node_is_promoted_and_the_others_follow_it() -> None:
    data = [was(M, 1, "master"), was(R0, 1, "replica"), was(R1, 1, "replica")]
    assert carry_on(data, BARE) == [
        f"make {M} ({address_of(M)}) the master",
        f"let {R0} follow {address_of(M)}",
        f"let {R1} follow {address_of(M)}",
    ]


def test_only_those_who_do_not_follow_yet_are_told_to() -> None:
    assert carry_on([master(), replica(R0), was(R1, 1, "replica")], BARE) == [
        f"let {R1} follow {address_of(M)}"
    ]


def test_the_sentinels_are_told_when_all_replicas_are_in_sync() -> None:
    assert carry_on([master(), replica(R0), replica(R1, link_up=False)], BARE) == []
    assert carry_on([master(), replica(R0), replica(R1, syncing=True)], BARE) == []
    assert len(carry_on([master(), replica(R0), replica(R1)], BARE)) == 3
    assert carry_on([master(), replica(R0), replica(R1)], [sentinel(S0), *BARE[1:]]) == [
        f"let {s} monitor {address_of(M)}" for s in SENTINELS[1:]
    ]


@pytest.mark.parametrize(
    ("node", "sentinels"),
    [
        (gone(M), BARE),
        (was(M, 1, "master"), [bare(S0), silent(SENTINELS[1]), silent(SENTINELS[2])]),
        (was(M, 1, "master"), [sentinel(S0, R0, 1), *BARE[1:]]),
        (was(M, 1, "master"), [sentinel(s, M, 0) for s in SENTINELS]),
        (was(M, 1, "master"), [sentinel(S0, M, 0), sentinel(SENTINELS[1], M, 0), bare(SENTINELS[2])]),
        (replace(was(M, 1, "master"), loading=True), BARE),
    ],
)
def test_an_intent_waits_while_others_decide_or_cannot_be_asked(
    node: DataNode, sentinels: list[SentinelNode]
) -> None:
    assert carry_on([node, was(R0, 1, "replica"), was(R1, 1, "replica")], sentinels) == []


def test_an_intent_is_dropped_when_its_pod_has_lost_its_data() -> None:
    assert carry_on([waiting(M), was(R0, 1, "replica"), was(R1, 1, "replica")], BARE) == [
        "write intent to status"
    ]


def test_an_intent_is_dropped_when_another_node_is_master_by_now() -> None:
    assert carry_on([was(M, 1, "master"), master(R0), replica(R1, R0)], BARE) == ["write intent to status"]


def test_two_masters_that_no_sentinel_names_are_left_to_people() -> None:
    world = snapshot(
        [master(M), master(R0), replica(R1)], BARE, status=intent_for(M, "coldStart"), objects=RUNNING
    )
    decided = check(world)
    assert decided.actions == ()
    assert decided.risk is not None
    assert decided.risk[0] == "DivergentData"


def test_an_intent_is_done_when_the_majority_names_a_node_that_says_master() -> None:
    """Also where that is another one than was meant: the sentinels have decided since."""
    for truth in (M, R0):
        data = [master(pod) if pod == truth else replica(pod, truth) for pod in DATA]
        world = snapshot(
            data,
            [sentinel(s, truth, 1) for s in SENTINELS],
            status=intent_for(M, "bootstrap"),
            objects=RUNNING,
        )
        first = decide(world).actions[0]
        assert first == RememberInStatus(fields={"initialized": True, "intent": None})


# --- the config-epoch after a cold start -------------------------------------------------------------------------


def epoch_world(*, known: int, sentinels: list[SentinelNode]) -> Observed:
    data = [master(holding=intact(known, was_master=True)), replica(R0), replica(R1)]
    return snapshot(data, sentinels, status={"initialized": True}, objects=RUNNING)


def raised(world: Observed) -> list[str]:
    step = catch_up(SPEC, world, judge(world, sentinels=3))
    return [] if step is None else [str(action) for action in step.actions]


def test_the_config_epoch_is_raised_above_what_a_volume_knows() -> None:
    """Else a copy that was away would seem newer in the next cold start."""
    calm = [sentinel(s, M, 0) for s in SENTINELS]
    assert raised(epoch_world(known=5, sentinels=calm)) == [f"raise the config-epoch of {M} above 5"]
    assert raised(epoch_world(known=5, sentinels=[sentinel(s, M, 5) for s in SENTINELS])) == []


def test_the_config_epoch_is_raised_above_what_all_sentinels_knew_before_they_forgot() -> None:
    """The data pods have run on meanwhile: what they found at their start is older."""
    for known, sentinels, expected in (
        (7, 0, [f"raise the config-epoch of {M} above 7"]),
        (7, 7, []),
        (None, 0, []),
    ):
        world = epoch_world(known=0, sentinels=[sentinel(s, M, sentinels) for s in SENTINELS])
        assert (
            raised(replace(world, resource=resource(status={"initialized": True, "configEpoch": known})))
            == expected
        )


def test_no_epoch_is_raised_before_the_set_is_whole() -> None:
    calm = [sentinel(s, M, 0) for s in SENTINELS]
    assert raised(epoch_world(known=5, sentinels=[*calm[:2], bare(SENTINELS[2])])) == []
    assert raised(epoch_world(known=5, sentinels=[*calm[:2], silent(SENTINELS[2])])) == []
    busy = sentinel(SENTINELS[2], M, 0, flags=frozenset({"master", "failover_in_progress"}))
    assert raised(epoch_world(known=5, sentinels=[*calm[:2], busy])) == []
