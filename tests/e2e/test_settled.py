"""A settled resource: what its pods look like, what it announces, what people type, and that nothing is written."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from contex_operator.names import GROUP, MANAGER

from tests.e2e.conftest import CreateContexRedis, operator_deployment
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import RedisSet, command

MUTATING = ("create", "update", "patch", "delete", "deletecollection")
OPERATOR_MEMORY_MIB = 120


@pytest.mark.gate
def test_f50_f62_f65_restricted_pods_announce_identities_only_and_documented_commands_work(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis()
    _pods_are_restricted(cluster, namespace)
    only_identities_are_announced(redis_set)
    for label in ("app=redis", "app=redis-sentinel"):
        cluster.kubectl(
            "wait", "--for=condition=ready", "pod", "-l", label, "-n", namespace, "--timeout=120s"
        )
    pod = redis_set.sentinel_pods()[0]
    masters = cluster.kubectl(
        "exec", pod, "-n", namespace, "--", "redis-cli", "-p", "26379", "SENTINEL", "masters"
    )
    assert "mymaster" in masters.splitlines()
    table = cluster.kubectl("get", "cxr", "-n", namespace)
    assert re.search(r"redis\s+sentinel\s+redis-master-0\s+3/3\s+3/3\s+Ready", table), table
    assert re.search(r"contexredis\S*/redis", cluster.kubectl("get", "all", "-n", namespace))
    memory = _operator_memory_mib(cluster, namespace)
    assert memory <= OPERATOR_MEMORY_MIB, f"the operator takes {memory:.0f} MiB"


@pytest.mark.gate
def test_valkey_has_the_documented_redis_cli_too(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    redis_set = contexredis(image="valkey/valkey:9")
    pod = redis_set.sentinel_pods()[0]
    for cli in ("redis-cli", "valkey-cli"):
        words = ("exec", pod, "-n", namespace, "--", cli, "-p", "26379", "SENTINEL", "masters")
        assert "mymaster" in cluster.kubectl(*words).splitlines()


def _pods_are_restricted(cluster: Cluster, namespace: str) -> None:
    for pod in cluster.items("pods", namespace):
        name = pod["metadata"]["name"]
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"]["drop"] == ["ALL"], name


def only_identities_are_announced(redis_set: RedisSet) -> None:
    data = {redis_set.address(pod) for pod in redis_set.data_pods()}
    sentinels = {redis_set.address(pod) for pod in redis_set.sentinel_pods()}
    master = redis_set.wait_master()
    info = str(command(redis_set.node(master), "INFO", "replication"))
    text = info if "slave0" in info else json.dumps(command(redis_set.node(master), "INFO", "replication"))
    announced = set(re.findall(r"\d+\.\d+\.\d+\.\d+", text))
    assert announced == data - {redis_set.address(master)}
    for pod, sentinel in redis_set.sentinels().items():
        replicas = [_fields(entry) for entry in command(sentinel, "SENTINEL REPLICAS", "mymaster")]
        assert {entry["ip"] for entry in replicas} == data - {redis_set.address(master)}
        assert all("s_down" not in entry["flags"] for entry in replicas), replicas
        peers = [_fields(entry) for entry in command(sentinel, "SENTINEL SENTINELS", "mymaster")]
        assert {entry["ip"] for entry in peers} == sentinels - {redis_set.address(pod)}


def _fields(entry: Any) -> dict[str, str]:
    if isinstance(entry, dict):
        return {str(key): str(value) for key, value in entry.items()}
    return {str(entry[i]): str(entry[i + 1]) for i in range(0, len(entry), 2)}


def _operator_memory_mib(cluster: Cluster, namespace: str) -> float:
    """Resident memory of the operator's process."""
    read = "print(open('/proc/1/status').read())"
    name = operator_deployment(cluster, namespace)
    text = cluster.kubectl("exec", f"deployment/{name}", "-n", namespace, "--", "python3", "-c", read)
    (kib,) = re.findall(r"VmRSS:\s+(\d+) kB", text)
    return int(kib) / 1024


@pytest.mark.gate
@pytest.mark.laboratory
def test_settled_resource_costs_no_write(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    _writes_nothing(contexredis(), cluster, namespace, seconds=40)


@pytest.mark.slow
@pytest.mark.laboratory
def test_settled_resource_costs_no_write_in_five_minutes(
    contexredis: CreateContexRedis, cluster: Cluster, namespace: str
) -> None:
    _writes_nothing(contexredis(), cluster, namespace, seconds=300)


def _writes_nothing(redis_set: RedisSet, cluster: Cluster, namespace: str, *, seconds: float) -> None:
    assert cluster.lab is not None
    user = f"system:serviceaccount:{namespace}:"
    log = cluster.lab.audit_log

    def writes(since: int) -> list[str]:
        found = []
        with log.open("rb") as lines:
            lines.seek(since)
            for line in lines:
                entry = json.loads(line)
                reference = entry.get("objectRef") or {}
                if entry["verb"] in MUTATING and entry["user"].get("username", "").startswith(user):
                    found.append(f"{entry['verb']} {reference.get('resource')}/{reference.get('name')}")
        return found

    def settled() -> bool:
        start = log.stat().st_size
        deadline = time.monotonic() + 5
        eventually(lambda: time.monotonic() >= deadline, within_s=10, describe="5 s have passed")
        return not [write for write in writes(start) if not write.endswith("contex-redis-operator")]

    eventually(settled, within_s=60, describe="5 s without a write")
    start = log.stat().st_size
    deadline = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= deadline, within_s=seconds + 5, describe="the time has passed")
    seen = writes(start)
    leases = [write for write in seen if write.startswith(("update leases/", "patch leases/"))]
    assert leases, "the audit log shows no renewal of the Lease: this test is blind"
    assert seen == leases
    metadata = redis_set.resource()["metadata"]
    assert not metadata.get("finalizers")
    assert not [key for key in metadata.get("annotations", {}) if "kopf" in key]
    assert all(field["manager"] == MANAGER or GROUP not in field["manager"] for field in _managers(metadata))


def _managers(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = metadata.get("managedFields", [])
    return found
