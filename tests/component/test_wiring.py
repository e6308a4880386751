"""A Deployment that is not ours, wired on a real API server: what server-side apply makes of it, and what stays."""

from __future__ import annotations

from typing import Any

from contex_operator import names
from contex_operator.contexenv import Wiring, entries, wire
from contex_operator.kube import Kube
from contex_operator.render import Identity
from contex_operator.resources import DEPLOYMENT
from contex_operator.spec import Spec

from tests.unit.world import replicated, snapshot

SHIM = "contex-redis-shim"


def contex(**fields: Any) -> Spec:
    return replicated(contex={"deployments": [{"name": "contex"}], **fields})


def deployment(namespace: str, *env: dict[str, Any]) -> dict[str, Any]:
    container = {
        "name": "contex",
        "image": "contex",
        "env": list(env),
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    labels = {"app": "contex"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "contex", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]},
            },
        },
    }


async def look(kube: Kube, namespace: str, spec: Spec) -> tuple[Wiring, dict[str, Any]]:
    """What is to be done about the Deployment, and the Deployment."""
    live = await kube.get(DEPLOYMENT, namespace, "contex")
    assert live is not None
    who = Identity(namespace=namespace, name="redis", uid="u")
    (found,) = wire(who, spec, snapshot(deployments={"contex": live}))
    return found, dict(live)


async def carry_out(kube: Kube, namespace: str, spec: Spec) -> dict[str, Any]:
    """Do it as the executor does; afterwards nothing is left to do. Returns the Deployment."""
    found, before = await look(kube, namespace, spec)
    assert found.action is not None, found.problem
    if found.action.removals:
        steps = list(found.action.removals)
        await kube.json_patch(DEPLOYMENT, namespace, "contex", steps, manager=names.MANAGER_CONTEX)
    await kube.apply(DEPLOYMENT, found.action.body, manager=names.MANAGER_CONTEX)
    after, live = await look(kube, namespace, spec)
    assert after == Wiring(deployment="contex")
    assert live["metadata"]["generation"] == before["metadata"]["generation"] + 1, "more than one rollout"
    return live


def pod(live: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = live["spec"]["template"]["spec"]
    return found


def env(live: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry for entry in pod(live)["containers"][0].get("env", [])}


async def test_the_shim_comes_and_goes_and_what_is_theirs_stays(kube: Kube, namespace: str) -> None:
    await kube.create(DEPLOYMENT, deployment(namespace, {"name": "LOG_LEVEL", "value": "INFO"}))
    live = await carry_out(kube, namespace, contex())
    assert [volume["name"] for volume in pod(live)["volumes"]] == ["data", SHIM]
    assert [mount["mountPath"] for mount in pod(live)["containers"][0]["volumeMounts"]] == [
        "/data",
        f"/{SHIM}",
    ]
    assert env(live)["PYTHONPATH"]["value"] == f"/{SHIM}:/app"
    for without in (contex(sentinelShim=False), contex(), contex(connection="service")):
        live = await carry_out(kube, namespace, without)
        has_shim = without.contex.sentinel_shim
        assert [volume["name"] for volume in pod(live)["volumes"]] == ["data", *([SHIM] if has_shim else [])]
        assert len(pod(live)["containers"][0]["volumeMounts"]) == 1 + has_shim
        assert ("PYTHONPATH" in env(live)) is has_shim
        assert env(live)["LOG_LEVEL"] == {"name": "LOG_LEVEL", "value": "INFO"}


async def test_taking_over_is_one_rollout_with_the_shim_in_it(kube: Kube, namespace: str) -> None:
    reference = {"configMapKeyRef": {"name": "contex-config", "key": "redis_db"}}
    theirs = (
        {"name": "PYTHONPATH", "value": "/app/lib"},
        {"name": "REDIS_DB", "valueFrom": reference},
    )
    await kube.create(DEPLOYMENT, deployment(namespace, *theirs))
    found, _ = await look(kube, namespace, contex())
    assert found.problem is not None
    assert "sets REDIS_DB, PYTHONPATH itself" in found.problem[1]
    spec = contex(takeOver=True)
    live = await carry_out(kube, namespace, spec)
    who = Identity(namespace=namespace, name="redis", uid="u")
    assert set(env(live)) == {entry["name"] for entry in entries(who, spec)}
    assert env(live)["PYTHONPATH"]["value"] == f"/{SHIM}:/app/lib"
    assert env(live)["REDIS_DB"] == {"name": "REDIS_DB", "value": "0"}
    live = await carry_out(kube, namespace, contex(takeOver=True, sentinelShim=False))
    assert [volume["name"] for volume in pod(live)["volumes"]] == ["data"]
    assert len(pod(live)["containers"][0]["volumeMounts"]) == 1
    assert "PYTHONPATH" not in env(live)
    live = await carry_out(kube, namespace, contex(takeOver=True, connection="service"))
    assert "REDIS_SENTINEL_HOSTS" not in env(live)
