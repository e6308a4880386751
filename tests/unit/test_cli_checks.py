"""doctor's checks: each finds what it is for, and finds nothing in a healthy set."""

from __future__ import annotations

import json
import shlex
from typing import Any, Final

import pytest
from contex_operator.cli.checks import CHECKS, Row, Severity, examine, is_healthy
from contex_operator.cli.facts import Facts, Knock, Unseen
from contex_operator.model import Reach, Replica

from tests.unit.cli_world import (
    CONTEX_IP,
    conditions,
    contex,
    env,
    facts,
    lease,
    pod_body,
    policy,
    seen,
    services,
    vitals,
)
from tests.unit.world import (
    DATA,
    R0,
    R1,
    S0,
    S1,
    S2,
    SENTINELS,
    SETTINGS,
    M,
    address_of,
    bare,
    gone,
    healthy,
    master,
    pod_of,
    replica,
    replicated,
    resource,
    sentinel,
    silent,
    snapshot,
    standalone,
)


def with_data(*data: Any, **fields: Any) -> Facts:
    return facts(snapshot(data, [sentinel(s) for s in SENTINELS], objects=services(), **fields))


def with_sentinels(*sentinels: Any, **fields: Any) -> Facts:
    return facts(snapshot([master(), replica(R0), replica(R1)], sentinels, objects=services(), **fields))


def with_contex(**fields: Any) -> Facts:
    return facts(contex=(contex(**fields),))


def starved() -> Facts:
    body = pod_body(S0, containers=[{"name": "sentinel", "resources": {"limits": {"cpu": "20m"}}}])
    return facts(pods={S0: body})


def at(*pods: str) -> Any:
    """The set with these pods on node-x."""
    return healthy(
        objects=services(),
        pods=tuple(pod_of(pod, node="node-x") if pod in pods else pod_of(pod) for pod in (*DATA, *SENTINELS)),
    )


def changed(generation: int) -> dict[str, Any]:
    """The resource after a change that nobody has looked at."""
    body = resource(status={"observedGeneration": generation - 1})
    return {**body, "metadata": {**body["metadata"], "generation": generation}}


LINK_DOWN = replica(R0, link_up=False)
NO_REPLICA: Final = with_data(master(), LINK_DOWN, replica(R1, link_up=False))
DENIED = "WRONGPASS invalid username-password pair or user is disabled."
WRONG_MASTER_ENV = env(REDIS_SENTINEL_MASTER="primary")

# id: facts in which the check finds something, a word of the finding or its proof, a word of the cure.
PRESENT: Final[dict[str, tuple[Facts, str, str]]] = {
    "contex-sentinel-hosts": (
        with_contex(env=env(REDIS_SENTINEL_HOSTS="sentinel-0:26379,redis-sentinel-1.redis-sentinel:26379")),
        "sentinel-0:26379 is none of them",
        '"takeOver":true',
    ),
    "contex-sentinel-unreachable": (
        with_contex(
            sentinels=(
                seen("redis-sentinel-0", error="the name does not resolve"),
                seen("b", answer=("x", "1")),
            )
        ),
        "redis-sentinel-0:26379: the name does not resolve",
        "networkpolicies",
    ),
    "contex-master-name": (
        with_contex(env=WRONG_MASTER_ENV, sentinels=(seen("redis-sentinel-0"),)),
        "asks for master primary, and the sentinels monitor mymaster",
        '"takeOver":true',
    ),
    "contex-master-unreachable": (
        with_contex(master=seen(address_of(M), 6379, error="no answer within 3 s", address=address_of(M))),
        f"{M}): no answer within 3 s",
        "endpointslices",
    ),
    "contex-reads-only": (
        with_contex(env={}, sentinels=(), master=seen("redis-replica", 6379, answer="slave")),
        "READONLY",
        "takeOver",
    ),
    "contex-log": (
        with_contex(
            is_asked=False, sentinels=(), master=None, log=("Failed to connect to Redis via Sentinel",)
        ),
        "Failed to connect to Redis via Sentinel",
        "logs contex-1",
    ),
    "contex-environment": (with_contex(problem="REDIS_URL is not a redis:// URL"), "REDIS_URL", "--list"),
    "contex-not-wired": (
        facts(status=conditions(ContexWired=("False", "EnvOwnedElsewhere", "it sets REDIS_DB itself"))),
        "REDIS_DB",
        "takeOver",
    ),
    "network-policy": (facts(policies=(policy("deny-all"),)), "deny-all", "kubectl -n shop apply -f -"),
    "quorum-lost": (
        with_sentinels(sentinel(S0), silent(S1), silent(S2)),
        "only 1 of 3 sentinels answer, 2 are needed",
        "get pods",
    ),
    "sentinels-monitor-nothing": (with_sentinels(sentinel(S0), sentinel(S1), bare(S2)), S2, f"logs {S2}"),
    "quorum-setting": (
        with_sentinels(sentinel(S0, settings={**SETTINGS, "quorum": 5}), sentinel(S1), sentinel(S2)),
        "there are 3 sentinels: it never declares the master down",
        f"exec {S0} -- redis-cli -p 26379 SENTINEL SET mymaster quorum 2",
    ),
    "quorum-unreachable": (
        with_sentinels(
            sentinel(S0, quorum_ok=False, peers_down=(address_of(S1),)), sentinel(S1), sentinel(S2)
        ),
        f"sees {S1} down",
        f"logs {S0}",
    ),
    "sentinel-count": (
        facts(healthy(objects=services(sentinels=2))),
        "replicas 2, spec.sentinel.replicas is 3",
        "scale statefulset redis-sentinel --replicas 3",
    ),
    "quorum-at-risk": (facts(at(S0, S1)), f"on node-x: {S0}, {S1}", f"delete pod {S1}"),
    "failover-not-ready": (NO_REPLICA, "NoReplicaInSync", "status redis"),
    "ghost-peers": (
        with_sentinels(
            sentinel(S0, peers=(address_of(S1), address_of(S2), "10.9.9.9")), sentinel(S1), sentinel(S2)
        ),
        "10.9.9.9",
        "get services",
    ),
    "two-masters": (
        with_data(master(), master(R0, offset=140), replica(R1)),
        f"{R0} says that it is master, beside {M}",
        f"exec {R0} -- redis-cli REPLICAOF {address_of(M)} 6379",
    ),
    "sentinels-disagree": (
        with_sentinels(sentinel(S0), sentinel(S1), sentinel(S2, R0)),
        f"{S2} names {R0}",
        "logs",
    ),
    "slow-failover-settings": (
        facts(
            with_sentinels(
                *(sentinel(s, settings={**SETTINGS, "down-after-milliseconds": 30000}) for s in SENTINELS)
            ).observed,
            spec=replicated(sentinel={"downAfterMilliseconds": 30000, "failoverTimeoutMilliseconds": 50000}),
        ),
        "a failover takes at least that long",
        '"downAfterMilliseconds":3000',
    ),
    "network-latency": (facts(latency_ms={S0: (48.0, 90.0)}), "average 48 ms", "get pods"),
    "sentinel-starved": (starved(), "CPU limit is 20m", '"cpu":"200m"'),
    "contex-pool": (
        facts(vitals={M: vitals(connections={CONTEX_IP: 46})}),
        "46 of 50 connections",
        '"maxConnections":100',
    ),
    "redis-clients": (facts(vitals={M: vitals(rejected=4)}), "has refused 4", '"maxclients":20000'),
    "contex-password": (
        with_contex(master=seen(address_of(M), 6379, error=DENIED)),
        "REDIS_PASSWORD of contex-1 is not the one in force",
        "takeOver",
    ),
    "contex-password-source": (
        with_contex(
            is_asked=False, sentinels=(), master=None, sources={"REDIS_PASSWORD": ("other", "password")}
        ),
        "comes from Secret other",
        "takeOver",
    ),
    "member-password": (
        facts(knocks=(Knock(source=S0, target=R0, port=6379, error=DENIED),)),
        f"{S0} → {R0}:6379: WRONGPASS",
        f"delete pod {S0}",
    ),
    "auth-changed": (
        facts(status=conditions(AuthChanged=("True", "SourceDiffers", "Secret redis-auth was changed"))),
        "the passwords of before",
        "redis-auth-active",
    ),
    "auth-off": (facts(spec=replicated(auth={"enabled": False})), "no password is asked for", "auth.enabled"),
    "no-master": (with_data(gone(M), replica(R0), replica(R1)), "nothing can be written", f"logs {M}"),
    "pod-not-ready": (
        facts(healthy(objects=services(), pods=(pod_of(M, ready=False, waiting="ImagePullBackOff: no"),))),
        "ImagePullBackOff",
        f"describe pod {M}",
    ),
    "member-silent": (
        with_data(master(), gone(R0), replica(R1)),
        f"redis-cli in {R0}: timeout",
        f"logs {R0}",
    ),
    "members-cannot-talk": (
        facts(knocks=(Knock(source=S1, target=M, port=6379, error="no answer within 4 s"),)),
        f"{S1} → {M}:6379: no answer",
        "networkpolicies",
    ),
    "replica-link-down": (
        with_data(master(), LINK_DOWN, replica(R1)),
        f"{R0} follows {M}, link down",
        f"logs {R0}",
    ),
    "replica-lag": (
        with_data(
            master(offset=2**26, replicas=(Replica(address=address_of(R0), online=True, offset=0, lag_s=1),)),
            replica(R0),
            replica(R1),
        ),
        "64Mi bytes behind",
        "top pod",
    ),
    "service-astray": (
        facts(healthy(objects=services(leads_to=R1))),
        f"leads to {R1}, and the master is {M}",
        f'"statefulset.kubernetes.io/pod-name":"{M}"',
    ),
    "identity-changed": (
        facts(status={"addresses": {R0: "10.96.2.77"}}),
        "the set knows 10.96.2.77",
        f"delete service {R0}",
    ),
    "writes-refused": (
        with_data(master(min_replicas=1), replica(R0), replica(R1)),
        "min-replicas-to-write 1, and 0 replicas",
        "get pods",
    ),
    "memory-full": (facts(vitals={R0: vitals(memory_used=90 * 2**20)}), "90 %", '"memory":'),
    "disk-failing": (facts(vitals={M: vitals(aof="failing")}), "cannot write to its volume", "df -h /data"),
    "mesh-sidecar": (
        facts(pods={M: pod_body(M, containers=[{"name": "redis"}, {"name": "istio-proxy"}])}),
        "istio-proxy",
        "sidecar.istio.io/inject",
    ),
    "operator-silent": (facts(lease=lease(), lease_age_s=95.0), "silent for 95 s", "get pods -A"),
    "spec-behind": (
        facts(
            healthy(
                objects=services(),
                resource=changed(4),
            )
        ),
        "generation 4",
        "get pods -A",
    ),
    "spec-invalid": (
        facts(status=conditions(SpecValid=("False", "NameTaken", "Service x"))),
        "NameTaken",
        "edit",
    ),
    "data-loss-risk": (
        facts(status=conditions(DataLossRisk=("True", "CopyMissing", "redis-replica-0 is missing"))),
        "redis-replica-0 is missing",
        "describe contexredis redis",
    ),
    "rollout-stopped": (
        facts(status=conditions(Progressing=("False", "RolloutStopped", "redis-replica-1 does not start"))),
        "redis-replica-1 does not start",
        "edit",
    ),
    "paused": (facts(spec=replicated(paused=True)), "spec.paused is true", "resume redis -n shop"),
    "standalone": (
        facts(snapshot([master()], objects=services()), spec=standalone(), contex=()),
        "spec.mode is standalone",
        '"mode":"sentinel"',
    ),
    "cannot-look": (
        facts(unseen=(Unseen(what="NetworkPolicies", why="forbidden"),)),
        "NetworkPolicies",
        "can-i",
    ),
}


def healthy_facts() -> Facts:
    status = {"observedGeneration": 1}
    return facts(healthy(objects=services(), resource=resource(status=status)))


def test_every_check_has_a_case() -> None:
    assert set(PRESENT) == set(CHECKS)


def test_nothing_is_found_in_a_healthy_set() -> None:
    assert examine(healthy_facts()) == ()


@pytest.mark.parametrize("id", CHECKS)
def test_a_check_finds_what_it_is_for(id: str) -> None:
    given, words, cure = PRESENT[id]
    found = [one for one in examine(given) if one.id == id]
    assert found, f"{id} finds nothing"
    assert words in f"{found[0].finding} {found[0].proof}"
    assert cure in found[0].cure
    assert found[0].row is CHECKS[id].row
    assert CHECKS[id].about.endswith("?"), "a check's first line is the question that it answers"


@pytest.mark.parametrize("id", CHECKS)
def test_a_cure_is_a_command_line(id: str) -> None:
    for one in examine(PRESENT[id][0]):
        words = shlex.split(one.cure.split(" | ")[-1])
        assert words[0] == "kubectl" or one.severity is Severity.NOTE, one.cure


def test_a_note_is_no_finding() -> None:
    found = examine(facts(healthy_facts().observed, spec=replicated(paused=True)))
    assert [one.id for one in found] == ["paused"]
    assert is_healthy(found)


def test_errors_come_first() -> None:
    both = facts(latency_ms={S0: (48.0, 90.0)}, contex=(contex(env=WRONG_MASTER_ENV),))
    severities = [one.severity for one in examine(both)]
    assert severities == sorted(severities, key=list(Severity).index)


def test_every_row_of_the_documentation_has_checks() -> None:
    assert {check.row for check in CHECKS.values()} == set(Row)


def test_in_a_rollout_the_pods_with_the_wrong_name_are_seen_beside_those_with_the_right_one() -> None:
    pods = (
        contex(),
        contex(name="contex-2", env=WRONG_MASTER_ENV, is_asked=False, sentinels=(), master=None),
    )
    found = [one for one in examine(facts(contex=pods)) if one.id == "contex-master-name"]
    assert [("contex-2" in one.proof) for one in found] == [True]


def test_a_refused_password_in_the_log_of_a_pod_that_does_not_stay_up() -> None:
    last = "Failed to connect to Redis via Sentinel | invalid username-password pair"
    found = examine(with_contex(is_asked=False, sentinels=(), master=None, log=(last,)))
    assert "contex-password" in {one.id for one in found}


def test_contex_that_is_not_the_operators_is_set_by_hand() -> None:
    given = facts(spec=replicated(), contex=(contex(env=WRONG_MASTER_ENV),))
    (found,) = (one for one in examine(given) if one.id == "contex-master-name")
    assert found.cure == "kubectl -n shop set env deployment/contex -c contex REDIS_SENTINEL_MASTER=mymaster"


def test_a_policy_that_really_blocks_is_an_error_and_its_cure_lets_the_connection_through() -> None:
    blocked = seen("redis-sentinel-0.redis-sentinel", error="no answer within 3 s")
    given = facts(policies=(policy("deny-all"),), contex=(contex(sentinels=(blocked,)),))
    found = [one for one in examine(given) if one.id == "network-policy"]
    assert {one.severity for one in found} == {Severity.ERROR, Severity.WARNING}
    assert len(found) == 6  # Contex, the set's own pods and the operator, each to two ports
    added = tuple(json.loads(shlex.split(one.cure.split(" | ")[0])[1]) for one in found)
    assert len({one["metadata"]["name"] for one in added}) == len(added)
    assert not {"pod-template-hash", "topology.kubernetes.io/zone"} & {*json.dumps(added).split('"')}
    cured = facts(policies=(*given.policies, *added))
    assert "network-policy" not in {one.id for one in examine(cured)}


def test_a_server_that_refuses_its_own_password() -> None:
    denied = with_data(master(), gone(R0, Reach.DENIED), replica(R1))
    found = [one for one in examine(denied) if one.id == "member-password"]
    assert [one.cure for one in found] == [f"kubectl -n shop delete pod {R0}"]


def test_a_setting_that_somebody_changed_in_one_sentinel_is_mended_there() -> None:
    slow = sentinel(S1, settings={**SETTINGS, "failover-timeout": 180000})
    found = [one for one in examine(with_sentinels(sentinel(S0), slow, sentinel(S2))) if one.row is Row.SLOW]
    assert [one.cure for one in found] == [
        f"kubectl -n shop exec {S1} -- redis-cli -p 26379 SENTINEL SET mymaster failover-timeout 10000"
    ]


def test_two_masters_of_which_the_sentinels_name_neither() -> None:
    observed = snapshot(
        [master(), master(R0), replica(R1)], [sentinel(S0), silent(S1), silent(S2)], objects=services()
    )
    found = [one for one in examine(facts(observed)) if one.id == "two-masters"]
    assert len(found) == 2
    assert all("REPLICAOF" not in one.cure for one in found), (
        "nobody may be demoted while nobody knows the true one"
    )
