"""What a plan asks for, and in which order: children, names, the master Service, labels, settings, Contex."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from contex_operator import names
from contex_operator.actions import (
    Action,
    Apply,
    Create,
    Follow,
    KillClients,
    MakeMaster,
    Monitor,
    RememberInStatus,
    SentinelSet,
    SetRole,
    SwitchOver,
    WireDeployment,
)
from contex_operator.children import wanted_names
from contex_operator.conditions import ready_verdict
from contex_operator.errors import NameTaken
from contex_operator.model import Client, DataNode, Object, Observed, Replica, SentinelNode, utc
from contex_operator.plan import SETTLED_S, SOON_S, WAITING_S, Plan, plan
from contex_operator.render import NO_POD
from contex_operator.routing import served_pod
from contex_operator.spec import Spec, parse
from contex_operator.topology import judge
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.apiserver import ApiServer, merge_patch
from tests.unit.world import (
    DATA,
    FRESH_PASSWORDS,
    R0,
    R1,
    R2,
    S0,
    SENTINELS,
    WHO,
    M,
    address_of,
    bare,
    gone,
    known_replica,
    master,
    pod_of,
    replica,
    replicated,
    resource,
    sentinel,
    silent,
    snapshot,
    waiting,
)

AGREED = tuple(sentinel(s) for s in SENTINELS)
MASTER_SERVICE = ("Service", "redis-master")


class Cluster:
    """An API server and a fixed set of nodes; actions on the API are carried out, those on Redis are only noted."""

    def __init__(
        self, data: Sequence[DataNode] = (), sentinels: Sequence[SentinelNode] | None = None, **fields: Any
    ) -> None:
        self.resource = resource({"mode": "sentinel", **fields})
        self.api = ApiServer()
        self.status: Any = {}
        self.data = tuple(data or (master(), replica(R0), replica(R1)))
        self.sentinels = tuple(AGREED if sentinels is None else sentinels)
        self.roles: dict[str, str | None] = {}
        self.deployments: dict[str, Object | None] = {}

    @property
    def spec(self) -> Spec:
        return parse(self.resource)

    def respec(self, **fields: Any) -> None:
        self.resource["spec"] |= fields

    def observe(self, **fields: Any) -> Observed:
        members = [node.pod for node in self.data] + [node.pod for node in self.sentinels]
        pods = tuple(pod_of(name, role=self.roles.get(name)) for name in members)
        world = snapshot(
            self.data,
            self.sentinels,
            resource={**self.resource, "status": self.status},
            objects=copy.deepcopy(self.api.objects),
            pods=pods,
            deployments=self.deployments,
        )
        return replace(world, **fields)

    def plan(self, **fields: Any) -> Plan:
        observed = self.observe(**fields)
        topology = judge(observed, sentinels=self.spec.sentinel_pod_count)
        is_ready = bool(ready_verdict(self.spec, observed, topology).status)
        return plan(self.spec, observed, topology, is_ready=is_ready, fresh=FRESH_PASSWORDS)

    def carry_out(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Create(body=body):
                    self.api.create(body)
                case Apply(body=body):
                    self.api.apply(body)
                case RememberInStatus(fields=fields):
                    self.status = merge_patch(self.status, fields)
                case SetRole():
                    self.roles[action.pod] = action.role

    def settle(self) -> list[Action]:
        """Carry plans out until one has no actions; all actions."""
        done: list[Action] = []
        for _ in range(12):
            actions = self.plan().actions
            if not actions:
                return done
            self.carry_out(actions)
            done += actions
        raise AssertionError(f"does not settle, the last actions are {[str(a) for a in actions]}")


def settled(**fields: Any) -> Cluster:
    cluster = Cluster(**fields)
    cluster.settle()
    return cluster


@functools.cache
def settled_once() -> Cluster:
    """For tests that change nothing in it."""
    return settled()


def words(actions: Sequence[Action]) -> list[str]:
    return [str(action) for action in actions]


# --- a settled world costs nothing (rule 12) ----------------------------------------------------------------------

SPECS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "without passwords": {"auth": {"enabled": False}},
    "without volumes": {"persistence": {"enabled": False}},
    "quantities spelled otherwise": {
        "resources": {
            "requests": {"cpu": "0.5", "memory": "1.5Gi"},
            "limits": {"cpu": "1000m", "memory": "2Gi"},
        },
        "persistence": {"size": "1024Mi", "storageClassName": "fast"},
    },
    "everything about pods": {
        "imagePullSecrets": [{"name": "pull"}],
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "redis", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "podLabels": {"team": "shop"},
        "podAnnotations": {"example.com/a": "1"},
        "securityContext": {"runAsUser": None},
        "resources": {},
    },
    "configMap wiring": {"contex": {"wiring": "configMap"}},
    "service connection": {"contex": {"wiring": "none", "connection": "service"}},
}


@pytest.mark.parametrize("name", SPECS)
def test_a_settled_set_has_nothing_to_do(name: str) -> None:
    cluster = Cluster(**SPECS[name])
    assert cluster.settle(), "there was nothing to do from the start"
    decided = cluster.plan()
    assert decided.actions == ()
    assert decided.again_s == SETTLED_S
    assert decided.note is None


def test_a_settled_standalone_redis_has_nothing_to_do() -> None:
    cluster = Cluster([master()], [], mode="standalone")
    cluster.settle()
    assert cluster.plan().again_s == SETTLED_S
    assert served_pod(cluster.api.objects[MASTER_SERVICE]) == M
    assert cluster.roles == {M: names.ROLE_MASTER}
    assert {kind for kind, _ in cluster.api.objects} == {"Secret", "Service", "ConfigMap", "StatefulSet"}
    sets = [name for kind, name in cluster.api.objects if kind == "StatefulSet"]
    assert sets == ["redis-master"]


def test_a_set_of_five_sentinels_settles() -> None:
    five = [f"redis-sentinel-{i}" for i in range(5)]
    nodes = [
        sentinel(s, peers=tuple(address_of(o) for o in five if o != s), settings={**SETTINGS_OF_FIVE})
        for s in five
    ]
    cluster = Cluster(sentinels=nodes, sentinel={"replicas": 5})
    cluster.settle()
    assert cluster.plan().again_s == SETTLED_S


SETTINGS_OF_FIVE = {
    "quorum": 3,
    "down-after-milliseconds": 3000,
    "failover-timeout": 10000,
    "parallel-syncs": 1,
}


def test_what_somebody_else_has_changed_is_put_back_and_only_that() -> None:
    cluster = settled()
    cluster.api.objects["StatefulSet", "redis-replica"]["spec"]["replicas"] = 5
    (action,) = cluster.plan().actions
    assert str(action) == "apply StatefulSet redis-replica (.spec.replicas)"


def test_what_somebody_else_has_added_is_left_alone() -> None:
    cluster = settled()
    body = cluster.api.objects["StatefulSet", "redis-replica"]
    body["metadata"]["annotations"]["example.com/note"] = "mine"
    body["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "x"})
    cluster.api.objects["ConfigMap", "redis-config"]["data"]["more"] = "mine"
    assert cluster.plan().actions == ()


def test_a_deleted_child_is_made_again_and_only_that() -> None:
    for key in list(settled().api.objects):
        cluster = settled()
        del cluster.api.objects[key]
        created = [a for a in cluster.plan().actions if isinstance(a, Create)]
        assert [(a.body["kind"], a.body["metadata"]["name"]) for a in created] == [key]


# --- the order of a first start -----------------------------------------------------------------------------------


def test_services_come_first_then_their_addresses_then_what_mounts_them() -> None:
    cluster = Cluster([waiting(p) for p in DATA], [bare(s) for s in SENTINELS])
    first = cluster.plan().actions
    kinds = [action.body["kind"] for action in first if isinstance(action, Create)]
    assert {"Service", "Secret"} <= set(kinds)
    assert "StatefulSet" not in kinds
    assert ("ConfigMap", "redis-config") not in [
        (a.body["kind"], a.body["metadata"]["name"]) for a in first if isinstance(a, Create)
    ]
    cluster.carry_out(first)

    second = cluster.plan().actions
    remembered = next(a for a in second if isinstance(a, RememberInStatus))
    assert remembered.fields["addresses"] == {pod: address_of(pod) for pod in (*DATA, *SENTINELS)}
    sets = [i for i, a in enumerate(second) if isinstance(a, Create) and a.body["kind"] == "StatefulSet"]
    assert len(sets) == 3
    assert second.index(remembered) < sets[0]


def test_no_pod_is_made_before_every_member_has_its_address() -> None:
    cluster = Cluster([waiting(p) for p in DATA], [bare(s) for s in SENTINELS])
    cluster.carry_out(cluster.plan().actions)
    del cluster.api.objects["Service", R1]["spec"]["clusterIP"]
    made = [a.body["kind"] for a in cluster.plan().actions if isinstance(a, Create)]
    assert "StatefulSet" not in made


def test_the_secrets_are_there_before_the_pods_that_mount_them() -> None:
    cluster = Cluster([waiting(p) for p in DATA], [bare(s) for s in SENTINELS])
    done: list[tuple[str, str]] = []
    while ("StatefulSet", "redis-sentinel") not in done:
        actions = cluster.plan().actions
        done += [(a.body["kind"], a.body["metadata"]["name"]) for a in actions if isinstance(a, Create)]
        cluster.carry_out(actions)
    assert done.index(("Secret", "redis-auth-active")) < done.index(("StatefulSet", "redis-master"))
    assert done.index(("ConfigMap", "redis-config")) < done.index(("StatefulSet", "redis-master"))


def test_a_missing_password_stops_the_first_start_but_not_a_running_set() -> None:
    cluster = Cluster(auth={"secretName": "mine"})
    decided = cluster.plan()
    assert decided.actions == ()
    assert decided.blocked is not None
    assert decided.blocked[0] == "AuthSecretMissing"

    running = settled()
    for secret in ("redis-auth", "redis-auth-active"):
        del running.api.objects["Secret", secret]
    running.roles[R0] = names.ROLE_MASTER
    decided = running.plan()
    assert decided.blocked is not None
    assert not any(isinstance(a, Create) for a in decided.actions), "a password was made anew"
    assert f"label {R0} role=None" in words(decided.actions), "a running set is looked after all the same"


# --- names that are taken -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), wanted_names(WHO, replicated()))
def test_a_name_that_is_somebody_elses_stops_everything(kind: str, name: str) -> None:
    cluster = Cluster()
    cluster.api.objects[kind, name] = {"kind": kind, "metadata": {"name": name, "uid": "x"}, "spec": {}}
    with pytest.raises(NameTaken, match=f"{kind} {name} exists and belongs to somebody else"):
        cluster.plan()


def test_paused_changes_nothing_and_tells_all_the_same() -> None:
    cluster = Cluster([waiting(p) for p in DATA], [bare(s) for s in SENTINELS], paused=True)
    decided = cluster.plan()
    assert (decided.actions, decided.again_s) == ((), SETTLED_S)

    running = settled(contex={"deployments": [{"name": "contex"}]})
    running.respec(paused=True)
    running.api.objects["Secret", "redis-auth"]["data"] = {"password": "eA==", "sentinel-password": "eQ=="}
    del running.api.objects["ConfigMap", "redis-config"]
    decided = running.plan()
    assert decided.actions == ()
    assert decided.auth_changed is not None
    assert [wired.problem for wired in decided.wiring] == [
        ("DeploymentNotFound", "there is no Deployment contex in shop")
    ]


# --- the master Service and the labels ----------------------------------------------------------------------------


def service_writes(actions: Sequence[Action]) -> list[Mapping[str, Any]]:
    return [
        action.body
        for action in actions
        if isinstance(action, (Create, Apply))
        and (action.body["kind"], action.body["metadata"]["name"]) == MASTER_SERVICE
    ]


def failed_over() -> Cluster:
    """Settled, and then the sentinels have made the first replica master."""
    cluster = settled()
    cluster.data = (replica(M, R0, normal_clients=4), master(R0), replica(R1, R0))
    cluster.sentinels = tuple(sentinel(s, R0, 1) for s in SENTINELS)
    return cluster


def test_a_failover_moves_the_service_by_one_write_of_the_state_that_was_seen() -> None:
    cluster = failed_over()
    (body,) = service_writes(cluster.plan().actions)
    live = cluster.api.objects[MASTER_SERVICE]
    assert served_pod(body) == R0
    assert body["metadata"]["uid"] == live["metadata"]["uid"]
    assert body["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
    assert body["spec"]["selector"] == {names.LABEL_CLUSTER: "redis", names.LABEL_POD_NAME: R0}


def test_after_a_failover_the_order_is_service_old_label_clients_new_labels() -> None:
    assert words(failed_over().plan().actions) == [
        f"apply Service redis-master (leads to {R0})",
        f"label {M} role=None",
        f"label {R0} role=None",
        f"close the clients of {M}",
        f"label {M} role=replica",
        f"label {R0} role=master",
    ]


def test_a_service_that_comes_back_from_a_replica_cuts_off_who_has_connected_there() -> None:
    """A switchover that was undone after its first step: the target never was master, its label never changed."""
    cluster = failed_over()
    cluster.settle()
    service = cluster.api.objects[MASTER_SERVICE]
    cluster.api.objects[MASTER_SERVICE] = {
        **service,
        "spec": {**service["spec"], "selector": {**service["spec"]["selector"], names.LABEL_POD_NAME: R1}},
    }
    actions = cluster.plan().actions
    assert words(actions) == [f"apply Service redis-master (leads to {R0})", f"close the clients of {R1}"]


def test_a_former_master_that_does_not_answer_loses_its_label_and_gets_none() -> None:
    cluster = failed_over()
    cluster.data = (gone(M), *cluster.data[1:])
    cluster.settle()
    assert cluster.roles == {M: None, R0: names.ROLE_MASTER, R1: names.ROLE_REPLICA}


def test_a_former_master_that_is_terminating_loses_its_label_before_the_new_one_is_given() -> None:
    cluster = failed_over()
    pods = [
        pod_of(M, role="master", terminating=True),
        pod_of(R0, role="replica"),
        pod_of(R1, role="replica"),
    ]
    labels = [a for a in cluster.plan(pods=tuple(pods)).actions if isinstance(a, SetRole)]
    assert words(labels) == [f"label {M} role=None", f"label {R0} role=None", f"label {R0} role=master"]
    assert [a.uid for a in labels] == [f"uid-of-{M}", f"uid-of-{R0}", f"uid-of-{R0}"]


def test_the_clients_of_a_replica_that_was_none_before_are_left_alone_once_it_is_labelled() -> None:
    cluster = failed_over()
    assert any(isinstance(a, KillClients) for a in cluster.settle())
    assert not any(isinstance(a, KillClients) for a in cluster.settle())


STRAYS = (Client(id=7, command="set", writes=True), Client(id=9, command="eval", writes=None))


@pytest.mark.parametrize(("ago_s", "ids"), [(20, (7, 9)), (100, (7,)), (None, (7,))])
def test_a_client_that_writes_to_a_replica_took_it_for_the_master(
    ago_s: int | None, ids: tuple[int, ...]
) -> None:
    """A kube-proxy that followed late led it back after the others were closed. A script may only read: it is closed
    no longer than a move can be the cause."""
    cluster = settled()
    cluster.data = (master(), replica(R0, writers=STRAYS), replica(R1))
    now = cluster.observe().now
    if ago_s is not None:
        cluster.status["lastFailover"] = {"time": utc(now - ago_s), "from": R0, "to": M}
    (kill,) = cluster.plan().actions
    assert isinstance(kill, KillClients)
    assert (kill.pod, kill.ids) == (R0, ids)


def test_a_client_that_writes_to_a_replica_is_left_there_while_the_service_leads_to_it() -> None:
    cluster = failed_over()
    cluster.data = (replica(M, R0, writers=STRAYS), master(R0), replica(R1, R0))
    assert not any(isinstance(a, KillClients) and a.ids for a in cluster.plan().actions)


def test_without_a_truth_the_service_stays_and_only_a_wrong_label_goes() -> None:
    cluster = settled()
    cluster.data = (replica(M, None), replica(R0, None), gone(R1))
    cluster.sentinels = (sentinel(S0, M, 1), sentinel(SENTINELS[1], R0, 2), silent(SENTINELS[2]))
    assert words(cluster.plan().actions) == [f"label {M} role=None"]


def test_the_labels_of_silent_nodes_stay_while_nobody_knows_better() -> None:
    cluster = settled()
    cluster.data = (gone(M), gone(R0), gone(R1))
    assert cluster.plan().actions == ()


NODES: dict[str, Callable[[str], DataNode]] = {
    "master": master,
    "replica": lambda pod: replica(pod, R1),
    "waiting": waiting,
    "gone": gone,
}
VIEWS: dict[str, Callable[[str], SentinelNode]] = {
    "first": lambda pod: sentinel(pod, M, 0),
    "second": lambda pod: sentinel(pod, R0, 1),
    "third": lambda pod: sentinel(pod, R0, 2),
    "bare": bare,
    "silent": silent,
}
DATA_WORLDS = st.tuples(*[st.sampled_from(sorted(NODES))] * 3).map(
    lambda kinds: tuple(NODES[kind](pod) for kind, pod in zip(kinds, DATA, strict=True))
)
SENTINEL_WORLDS = st.tuples(*[st.sampled_from(sorted(VIEWS))] * 3).map(
    lambda kinds: tuple(VIEWS[kind](pod) for kind, pod in zip(kinds, SENTINELS, strict=True))
)


@settings(max_examples=60)
@given(DATA_WORLDS, SENTINEL_WORLDS, st.sampled_from([None, *DATA]))
def test_the_master_service_only_ever_moves_to_the_truth(
    data: tuple[DataNode, ...], sentinels: tuple[SentinelNode, ...], served: str | None
) -> None:
    cluster = settled_once()
    live = copy.deepcopy(cluster.api.objects)
    live[MASTER_SERVICE]["spec"]["selector"][names.LABEL_POD_NAME] = served or NO_POD
    observed = cluster.observe(data=data, sentinels=sentinels, objects=live)
    topology = judge(observed, sentinels=3)
    actions = plan(cluster.spec, observed, topology, is_ready=False, fresh=FRESH_PASSWORDS).actions
    moves = {served_pod(body) for body in service_writes(actions)} - {served}
    if topology.master is None:
        assert not moves
        assert not any(isinstance(a, SetRole) and a.role == names.ROLE_MASTER for a in actions)
    else:
        assert moves <= {topology.master.pod}
        assert served == topology.master.pod or moves, "the Service was not moved"
        labelled = [a.pod for a in actions if isinstance(a, SetRole) and a.role == names.ROLE_MASTER]
        assert set(labelled) <= {topology.master.pod}


def test_a_service_that_is_made_again_leads_where_the_truth_is() -> None:
    cluster = settled()
    del cluster.api.objects[MASTER_SERVICE]
    (body,) = service_writes(cluster.plan().actions)
    assert served_pod(body) == M
    cluster.data = (gone(M), replica(R0), replica(R1))
    (body,) = service_writes(cluster.plan().actions)
    assert served_pod(body) is None, "no endpoint is better than a wrong one"


def test_other_differences_of_the_service_are_mended_after_it_has_moved() -> None:
    cluster = failed_over()
    cluster.api.objects[MASTER_SERVICE]["spec"]["ports"][0]["port"] = 7000
    first = service_writes(cluster.plan().actions)
    assert len(first) == 1
    cluster.settle()
    assert cluster.api.objects[MASTER_SERVICE]["spec"]["ports"][0]["port"] == 6379


# --- identities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pod", [M, R1, S0])
def test_an_identity_service_comes_back_with_its_recorded_address(pod: str) -> None:
    cluster = settled()
    before = cluster.api.objects.pop(("Service", pod))["spec"]["clusterIP"]
    (action,) = (a for a in cluster.plan().actions if isinstance(a, Create))
    assert action.body["metadata"]["name"] == pod
    assert action.body["spec"]["clusterIP"] == before
    cluster.settle()


def test_the_pods_are_left_alone_while_an_identity_is_missing() -> None:
    cluster = settled()
    del cluster.api.objects["Service", R1]
    decided = cluster.plan()
    assert words(decided.actions) == [f"create Service {R1}"]


# --- scale --------------------------------------------------------------------------------------------------------


def scaled(*data: DataNode, to: int, truth: str = M) -> Cluster:
    """A set that ran with three replicas, and whose spec asks for `to` now."""
    cluster = settled(
        data=(master(), replica(R0), replica(R1), replica(R2)),
        sentinels=[sentinel(s, replicas=tuple(known_replica(r) for r in (R0, R1, R2))) for s in SENTINELS],
        replicas=3,
    )
    cluster.respec(replicas=to)
    cluster.data = data
    known = tuple(known_replica(pod) for pod in (M, R0, R1, R2) if pod != truth)
    cluster.sentinels = tuple(sentinel(s, truth, 1, replicas=known) for s in SENTINELS)
    return cluster


@functools.cache
def shrinking_once() -> Cluster:
    return scaled(*led_by(M), to=2)


def replicas_asked_for(actions: Sequence[Action]) -> list[int]:
    return [
        action.body["spec"]["replicas"]
        for action in actions
        if isinstance(action, Apply)
        and action.body["metadata"]["name"] == "redis-replica"
        and action.body["kind"] == "StatefulSet"
    ]


def test_a_set_does_not_shrink_under_its_master() -> None:
    cluster = scaled(*led_by(R2), to=2, truth=R2)
    assert 2 not in replicas_asked_for(cluster.plan().actions)
    cluster.carry_out(cluster.plan().actions)  # the master Service, before anybody moves
    (move,) = cluster.plan().actions
    assert isinstance(move, SwitchOver)
    assert (move.course.old.pod, move.course.new.pod) == (R2, M)


def led_by(leader: str) -> tuple[DataNode, ...]:
    """Four data nodes in sync, as their master sees them too."""
    others = [pod for pod in (M, R0, R1, R2) if pod != leader]
    seen = tuple(Replica(address=address_of(pod), online=True, offset=100, lag_s=0) for pod in others)
    nodes = {pod: replica(pod, leader) for pod in others} | {leader: master(leader, replicas=seen)}
    return tuple(nodes[pod] for pod in (M, R0, R1, R2))


@settings(max_examples=25)
@given(DATA_WORLDS, SENTINEL_WORLDS)
def test_a_set_shrinks_only_when_the_master_is_known_to_stay(
    data: tuple[DataNode, ...], sentinels: tuple[SentinelNode, ...]
) -> None:
    cluster = shrinking_once()
    observed = cluster.observe(data=data, sentinels=sentinels)
    topology = judge(observed, sentinels=3)
    actions = plan(cluster.spec, observed, topology, is_ready=False, fresh=FRESH_PASSWORDS).actions
    if topology.master is None or topology.master.pod == R2:
        assert 2 not in replicas_asked_for(actions)


def test_a_set_grows_at_once() -> None:
    cluster = settled()
    cluster.respec(replicas=3)
    cluster.data = (*cluster.data, gone(R2))
    cluster.settle()
    assert cluster.api.objects["StatefulSet", "redis-replica"]["spec"]["replicas"] == 3
    assert cluster.status["addresses"][R2] == address_of(R2)
    assert R2 in cluster.api.objects["ConfigMap", "redis-config"]["data"]["members"]


# --- sentinels, second masters ------------------------------------------------------------------------------------


def test_a_changed_setting_reaches_every_sentinel_and_only_the_change() -> None:
    cluster = settled()
    cluster.respec(sentinel={"downAfterMilliseconds": 5000})
    sets = [a for a in cluster.plan().actions if isinstance(a, SentinelSet)]
    assert [a.pod for a in sets] == list(SENTINELS)
    assert all(a.settings == {"down-after-milliseconds": 5000} for a in sets)
    templates = [
        a for a in cluster.plan().actions if isinstance(a, Apply) and a.body["kind"] == "StatefulSet"
    ]
    assert templates == [], "no pod is rolled for what Sentinel takes at run time"


@pytest.mark.parametrize(
    "troubled",
    [
        sentinel(S0, tilt=True),
        sentinel(S0, flags=frozenset({"master", "s_down"})),
        sentinel(S0, M, 7),
        sentinel(S0, R0, 0),
    ],
)
def test_no_setting_and_no_repair_in_unrest(troubled: SentinelNode) -> None:
    cluster = settled()
    cluster.respec(sentinel={"downAfterMilliseconds": 5000})
    cluster.data = (master(), master(R0), replica(R1))
    cluster.sentinels = (troubled, *cluster.sentinels[1:])
    commands = (SentinelSet, Follow, MakeMaster, Monitor)
    assert not any(isinstance(a, commands) for a in cluster.plan().actions)


def test_a_second_master_is_fenced_before_it_is_counted_and_led_back() -> None:
    cluster = settled()
    cluster.data = (master(), master(R0), replica(R1))
    assert words(cluster.plan().actions)[0] == f"set min-replicas-to-write 9999 on {R0}"


# --- Contex -------------------------------------------------------------------------------------------------------


def deployment(env: Sequence[Mapping[str, Any]] = ()) -> Object:
    return {
        "kind": "Deployment",
        "metadata": {"name": "contex", "namespace": "shop", "uid": "d", "resourceVersion": "7"},
        "spec": {"template": {"spec": {"containers": [{"name": "contex", "env": list(env)}]}}},
    }


def test_contex_is_wired_once_the_redis_is_ready_and_not_before() -> None:
    cluster = settled(contex={"deployments": [{"name": "contex"}]})
    cluster.deployments["contex"] = deployment()
    (action,) = cluster.plan().actions
    assert isinstance(action, WireDeployment)
    cluster.data = (master(), replica(R0), replica(R1, link_up=False))
    decided = cluster.plan()
    assert decided.actions == ()
    assert decided.wiring[0].action is not None


def test_wiring_none_and_config_map_touch_no_deployment() -> None:
    for wiring in ("none", "configMap"):
        cluster = settled(contex={"wiring": wiring})
        cluster.deployments["contex"] = deployment()
        decided = cluster.plan()
        assert (decided.actions, decided.wiring) == ((), ())


# --- when to look again -------------------------------------------------------------------------------------------


def test_the_next_look_comes_soon_while_something_happens() -> None:
    cluster = Cluster([waiting(p) for p in DATA], [bare(s) for s in SENTINELS])
    assert cluster.plan().again_s == SOON_S
    healthy = settled()
    healthy.data = (master(), replica(R0), replica(R1, link_up=False))
    assert healthy.plan().again_s == WAITING_S
