"""A master that is cut off from the others and still reached by clients: what it takes is bounded (F05, F08, F49)."""

from __future__ import annotations

import time

import pytest
from contex_operator.spec_types import DURABILITY_PROFILES, Durability

from tests.chaos.bounds import Done, beyond, windows
from tests.chaos.planning import Target
from tests.e2e.conftest import CreateContexRedis, InstallOperator
from tests.e2e.support.clients import Clients, StartWriters, check_gaps
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import UNREACHABLE, command
from tests.e2e.test_crash import NOISE_S, POWER_OFF_S
from tests.e2e.test_operators import wait_leader_elsewhere
from tests.e2e.test_settled import only_identities_are_announced


@pytest.mark.slow
@pytest.mark.node_fault
@pytest.mark.parametrize("durability", ["balanced", "strict"])
def test_f05_f08_f49_a_master_that_is_cut_off_refuses_writes_and_follows_when_it_is_back(
    install_operator: InstallOperator,
    contexredis: CreateContexRedis,
    writers: StartWriters,
    cluster: Cluster,
    namespace: str,
    durability: str,
) -> None:
    """{master, a sentinel | the others}; clients and the API reach both sides. The leading operator is on the side of
    the majority, for it leaves a master's node.
    """
    assert cluster.lab is not None
    profile = DURABILITY_PROFILES[Durability(durability)]
    install_operator(replicas=2)
    redis_set = contexredis(durability=durability)
    old = redis_set.wait_master()
    node = redis_set.node_of(old)
    assert any(redis_set.node_of(pod) == node for pod in redis_set.sentinel_pods())
    wait_leader_elsewhere(cluster, namespace, node)
    clients = Clients(redis_set, writers)
    # Somebody who stays with the old master, wherever the Service leads.
    loyal = writers(redis_set, "kept", client="loyal", service=old, interval_ms=10)
    loyal.wait_for_acks(50, within_s=10)
    began = time.monotonic()
    others = [each for each in cluster.lab.nodes if each != node]
    with cluster.lab.faults.partition(a=[node], b=others):
        done = time.monotonic()
        redis_set.wait_master(other_than=old, within_s=60)
        # A client may go on asking the sentinel of the other side, which is right about what it sees: those through
        # the Service are held to the bound.
        clients.write("kept", "fresh", within_s=60)
        eventually(
            lambda: command(redis_set.node(old), "INFO", "replication")["role"] == "master",
            within_s=10,
            describe="the old one still holds itself for the master",
            passing=UNREACHABLE,
        )
        undoing = time.monotonic()
    undone = time.monotonic()
    eventually(
        lambda: redis_set.roles()[old] == "slave",
        within_s=30,
        describe=f"{old} follows",
        passing=UNREACHABLE,
    )
    print(f"{old} followed {time.monotonic() - undone:.2f} s after the cut had healed")
    redis_set.wait_ready(within_s=90)
    history = [*clients.end(), *loyal.stop()]
    verdict = redis_set.judge(history, within_s=60)
    print(verdict.sentence())
    # The second master accepts nothing from the fence on, whether it is cut off or back.
    last = max(op.completed for op in history if op.client == "loyal" and op.is_acked)
    print(f"the last write that {old} took was {last - began:.2f} s after the cut")
    assert last - done <= profile.min_replicas_max_lag_s + 2.0 + NOISE_S / 4
    fault = Done("partition", Target.MASTER_NODE, node, True, began, done, undoing, undone)
    outside = beyond(verdict.lost, windows([fault], profile))
    assert not outside, f"lost beyond the bound: {outside[:5]}; {verdict.sentence()}"
    others_found = (verdict.resurrected, verdict.duplicated, verdict.unexpected, verdict.diverged)
    assert not any(others_found), verdict.sentence()
    assert all(both.until <= last for both in verdict.two_masters), verdict.sentence()
    bound = POWER_OFF_S + NOISE_S
    through_service = [op for op in history if op.client in ("kept", "fresh")]
    check_gaps(through_service, since=began, gap_s=bound)
    only_identities_are_announced(redis_set)
