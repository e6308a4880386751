"""The environment of Contex, and how it reaches a Deployment that is not ours."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from contex_operator import contexshim, names
from contex_operator.actions import WireDeployment
from contex_operator.children import wanted_names
from contex_operator.contexenv import (
    Wiring,
    entries,
    plain_env,
    redis_url,
    secret_data,
    secret_env,
    sentinel_hosts,
    wire,
)
from contex_operator.spec import Spec

from tests.unit.world import WHO, replicated, snapshot, standalone

ROOT = Path(__file__).resolve().parents[2]
Env = list[dict[str, Any]]
HOSTS = ",".join(f"redis-sentinel-{i}.redis-sentinel:26379" for i in range(3))


def contex(**fields: Any) -> Spec:
    return replicated(contex={"deployments": [{"name": "contex"}], **fields})


# --- the contract -------------------------------------------------------------------------------------------------


def test_the_sentinel_connection() -> None:
    assert plain_env(WHO, contex(database=3)) == {
        "REDIS_MODE": "sentinel",
        "REDIS_SENTINEL_HOSTS": HOSTS,
        "REDIS_SENTINEL_MASTER": "mymaster",
        "REDIS_DB": "3",
        "REDIS_MAX_CONNECTIONS": "50",
        "REDIS_SOCKET_TIMEOUT": "5",
        "REDIS_SOCKET_CONNECT_TIMEOUT": "5",
        "REDIS_SOCKET_KEEPALIVE": "true",
        "REDIS_RETRY_ON_TIMEOUT": "true",
        "REDIS_HEALTH_CHECK_INTERVAL": "30",
    }
    assert secret_env(WHO, contex()) == {
        "REDIS_PASSWORD": ("redis-auth-active", "password"),
        "REDIS_SENTINEL_PASSWORD": ("redis-auth-active", "sentinel-password"),
    }


def test_the_service_connection_is_one_url_from_a_secret() -> None:
    env = plain_env(WHO, contex(connection="service", retryOnTimeout=False, maxConnections=7))
    assert env["REDIS_MODE"] == "standalone"
    assert not {"REDIS_URL", "REDIS_DB", "REDIS_SENTINEL_HOSTS"} & env.keys()
    assert (env["REDIS_RETRY_ON_TIMEOUT"], env["REDIS_MAX_CONNECTIONS"]) == ("false", "7")
    assert secret_env(WHO, contex(connection="service")) == {"REDIS_URL": ("redis-contex-env", "url")}


def test_a_standalone_redis_is_reached_by_its_service() -> None:
    assert plain_env(WHO, standalone())["REDIS_MODE"] == "standalone"
    assert redis_url(WHO, standalone(), password=None) == "redis://redis-master:6379/0"


@pytest.mark.parametrize("password", ["simple", "p@ss/w:rd?#%", "ü &=+ ", "a:b@c/d"])
def test_the_password_in_the_url_is_percent_encoded(password: str) -> None:
    url = redis_url(WHO, contex(database=4), password=password)
    parts = urlsplit(url)
    assert (parts.scheme, parts.hostname, parts.port, parts.path) == ("redis", "redis-master", 6379, "/4")
    assert parts.username == ""
    assert parts.password is not None
    assert unquote(parts.password) == password
    assert " " not in url
    assert "+" not in url


def test_without_passwords_nothing_refers_to_a_secret() -> None:
    assert secret_env(WHO, replicated(auth={"enabled": False})) == {}
    assert set(
        secret_data(WHO, replicated(auth={"enabled": False}), password=None, sentinel_password=None)
    ) == {"url"}


def test_the_secret_holds_what_env_from_needs() -> None:
    def decoded(spec: Spec) -> dict[str, str]:
        data = secret_data(WHO, spec, password="a b", sentinel_password="c")
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    url = "redis://:a%20b@redis-master:6379/0"
    assert decoded(contex()) == {"url": url, "REDIS_PASSWORD": "a b", "REDIS_SENTINEL_PASSWORD": "c"}
    assert decoded(contex(connection="service")) == {"url": url, "REDIS_URL": url}


def test_no_entry_carries_a_password() -> None:
    for entry in entries(WHO, contex()) + entries(WHO, contex(connection="service")):
        if "PASSWORD" in entry["name"] or entry["name"] == "REDIS_URL":
            assert set(entry) == {"name", "valueFrom"}


def test_five_sentinels_have_five_hosts() -> None:
    assert sentinel_hosts(WHO, replicated(sentinel={"replicas": 5})).count(",") == 4


# --- a Deployment that is not ours --------------------------------------------------------------------------------

# The Deployment of the documentation, as it is after its instructions were followed.
DOCUMENTED: Env = [
    *(
        {"name": name.upper(), "valueFrom": {"configMapKeyRef": {"name": "contex-config", "key": name}}}
        for name in ("redis_mode", "redis_url", "redis_sentinel_hosts", "redis_sentinel_master", "redis_db")
    ),
    {
        "name": "API_KEY_SALT",
        "valueFrom": {"secretKeyRef": {"name": "contex-secrets", "key": "api_key_salt"}},
    },
    {"name": "LOG_LEVEL", "value": "INFO"},
]
CLASHING = ["REDIS_MODE", "REDIS_SENTINEL_HOSTS", "REDIS_SENTINEL_MASTER", "REDIS_DB"]


def deployment(
    env: Env | None = None, *, container: str = "contex", more: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    containers: Env = [{"name": container, "image": "contex", "env": copy.deepcopy(env or [])}, *more]
    return {
        "kind": "Deployment",
        "metadata": {
            "name": "contex",
            "namespace": "shop",
            "uid": "uid-d",
            "resourceVersion": "7",
            "managedFields": [],
        },
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def wired(spec: Spec, live: Mapping[str, Any] | None) -> Wiring:
    (found,) = wire(WHO, spec, snapshot(deployments={"contex": live}))
    return found


def json_patched(live: dict[str, Any], patch: Sequence[Mapping[str, Any]]) -> None:
    """RFC 6902, as far as these patches go."""
    for step in patch:
        *way, last = step["path"].strip("/").split("/")
        target: Any = live
        for key in way:
            target = target[int(key) if isinstance(target, list) else key]
        match step["op"]:
            case "test":
                assert target[last] == step["value"]
            case "replace":
                target[int(last)] = step["value"]
            case "add" if last == "-":
                target.append(copy.deepcopy(step["value"]))
            case "add":
                assert not target.get(last), "it would replace what stands there"
                target[last] = copy.deepcopy(step["value"])


def applied(live: dict[str, Any], action: WireDeployment) -> dict[str, Any]:
    """The Deployment after the JSON patch and the server-side apply, as the API keeps it."""
    live = copy.deepcopy(live)
    json_patched(live, action.removals)
    fields: dict[str, Any] = {}
    pod, our_pod = live["spec"]["template"]["spec"], action.body["spec"]["template"]["spec"]
    merge(pod, "volumes", our_pod, key="name", owned=_owned_volumes(live))
    for ours in our_pod["containers"]:
        (container,) = (
            c for c in live["spec"]["template"]["spec"]["containers"] if c["name"] == ours["name"]
        )
        env = {entry["name"]: entry for entry in container.get("env", [])}
        owned = _owned(live, ours["name"])
        for gone in owned - {entry["name"] for entry in ours["env"]}:
            env.pop(gone)
        for entry in ours["env"]:
            env[entry["name"]] = {**env.get(entry["name"], {}), **entry}
        container["env"] = list(env.values())
        merge(container, "volumeMounts", ours, key="mountPath", owned={"/contex-redis-shim"})
        key = json.dumps({"name": ours["name"]}, separators=(",", ":"))
        fields[f"k:{key}"] = {
            "f:env": {
                f'k:{{"name":"{e["name"]}"}}': {
                    ".": {},
                    "f:name": {},
                    f"f:{next(iter(e.keys() - {'name'}))}": {},
                }
                for e in ours["env"]
            }
        }
    forgotten = {
        c["name"] for c in live["spec"]["template"]["spec"]["containers"] if _owned(live, c["name"])
    } - {c["name"] for c in action.body["spec"]["template"]["spec"]["containers"]}
    assert not forgotten, f"the apply takes our entries out of {forgotten}"
    live["metadata"]["managedFields"] = [
        {
            "manager": names.MANAGER_CONTEX,
            "operation": "Apply",
            "fieldsV1": {
                "f:spec": {
                    "f:template": {
                        "f:spec": {
                            "f:containers": fields,
                            "f:volumes": {
                                f'k:{{"name":"{v["name"]}"}}': {} for v in our_pod.get("volumes", [])
                            },
                        }
                    }
                }
            },
        }
    ]
    for container in live["spec"]["template"]["spec"]["containers"]:
        for entry in container.get("env", []):
            assert len(entry.keys() & {"value", "valueFrom"}) == 1, f"{entry['name']} is an invalid object"
    return live


def merge(live: dict[str, Any], field: str, ours: Mapping[str, Any], *, key: str, owned: set[str]) -> None:
    """A list that server-side apply merges by `key`: ours are set, and those that were and are not go."""
    wanted = {entry[key]: entry for entry in ours.get(field, [])}
    kept = {e[key]: e for e in live.get(field, []) if e[key] not in owned - wanted.keys()}
    if merged := list((kept | wanted).values()):
        live[field] = merged
    else:
        live.pop(field, None)


def _owned_volumes(live: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for entry in live["metadata"]["managedFields"]:
        volumes = entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"].get("f:volumes", {})
        found |= {json.loads(k[2:])["name"] for k in volumes}
    return found


def _owned(live: Mapping[str, Any], container: str) -> set[str]:
    key = json.dumps({"name": container}, separators=(",", ":"))
    found: set[str] = set()
    for entry in live["metadata"]["managedFields"]:
        env = entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"].get(f"k:{key}", {})
        found |= {json.loads(k[2:])["name"] for k in env.get("f:env", {})}
    return found


def env_of(live: Mapping[str, Any], index: int = 0) -> dict[str, Any]:
    env = live["spec"]["template"]["spec"]["containers"][index]["env"]
    assert len({entry["name"] for entry in env}) == len(env), "a variable stands there twice"
    return {entry["name"]: entry for entry in env}


def act(found: Wiring) -> WireDeployment:
    assert found.problem is None
    assert found.action is not None
    return found.action


@pytest.mark.parametrize("connection", ["sentinel", "service"])
def test_a_deployment_without_any_entry_gets_all_and_is_then_left_alone(connection: str) -> None:
    spec = contex(connection=connection)
    action = act(wired(spec, deployment([{"name": "LOG_LEVEL", "value": "INFO"}])))
    assert action.removals == ()
    assert action.body["metadata"] == {"name": "contex", "namespace": "shop", "uid": "uid-d"}
    live = applied(deployment([{"name": "LOG_LEVEL", "value": "INFO"}]), action)
    assert env_of(live) == {e["name"]: e for e in entries(WHO, spec)} | {
        "LOG_LEVEL": {"name": "LOG_LEVEL", "value": "INFO"}
    }
    assert wired(spec, live) == Wiring(deployment="contex")


def test_the_documented_deployment_is_left_alone_and_its_entries_are_named() -> None:
    found = wired(contex(), deployment(DOCUMENTED))
    assert found.action is None
    assert found.problem is not None
    assert found.problem[0] == "EnvOwnedElsewhere"
    assert f"container contex of Deployment contex sets {', '.join(CLASHING)} itself" in found.problem[1]


def test_take_over_replaces_foreign_entries_by_valid_ones_in_one_rollout() -> None:
    spec = contex(takeOver=True)
    before = deployment(DOCUMENTED)
    action = act(wired(spec, before))
    assert action.removals[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    patched = copy.deepcopy(before)
    json_patched(patched, action.removals)
    live = applied(before, action)
    assert live["spec"] == patched["spec"], "the apply changes the template a second time"
    env = env_of(live)
    assert {e["name"]: e for e in entries(WHO, spec)}.items() <= env.items()
    for foreign in ("REDIS_URL", "API_KEY_SALT", "LOG_LEVEL"):
        assert env[foreign] == {e["name"]: e for e in DOCUMENTED}[foreign]
    assert wired(spec, live) == Wiring(deployment="contex")


def test_take_over_that_was_interrupted_after_the_patch_goes_on() -> None:
    spec = contex(takeOver=True)
    half = deployment(DOCUMENTED)
    json_patched(half, act(wired(spec, half)).removals)
    action = act(wired(spec, half))
    assert action.removals == ()
    assert wired(spec, applied(half, action)) == Wiring(deployment="contex")


def test_foreign_entries_that_say_the_same_are_no_clash_and_stay_foreign() -> None:
    spec = contex()
    foreign = [e for e in entries(WHO, spec) if e["name"] in ("REDIS_MODE", "REDIS_PASSWORD")]
    action = act(wired(spec, deployment(foreign)))
    ours = {e["name"] for e in action.body["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert not ours & {"REDIS_MODE", "REDIS_PASSWORD"}
    assert wired(spec, applied(deployment(foreign), action)) == Wiring(deployment="contex")


def test_another_secret_under_the_same_name_is_a_clash() -> None:
    other = {
        "name": "REDIS_PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "contex-secrets", "key": "password"}},
    }
    found = wired(contex(), deployment([other]))
    assert found.problem is not None
    assert "sets REDIS_PASSWORD itself" in found.problem[1]


def test_an_entry_of_ours_that_somebody_else_has_set_since_is_theirs() -> None:
    spec = contex()
    live = applied(deployment(), act(wired(spec, deployment())))
    env_of(live)["REDIS_MODE"]["value"] = "standalone"
    tree = live["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    del tree['k:{"name":"contex"}']["f:env"]['k:{"name":"REDIS_MODE"}']["f:value"]
    found = wired(spec, live)
    assert found.problem is not None
    assert "sets REDIS_MODE itself" in found.problem[1]


def test_an_entry_that_was_removed_is_written_again() -> None:
    spec = contex()
    live = applied(deployment(), act(wired(spec, deployment())))
    container = live["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [e for e in container["env"] if e["name"] != "REDIS_DB"]
    assert env_of(applied(live, act(wired(spec, live))))["REDIS_DB"]["value"] == "0"


def test_a_changed_spec_changes_the_entries_and_takes_old_ones_out() -> None:
    live = applied(deployment(), act(wired(contex(), deployment())))
    service = contex(connection="service")
    live = applied(live, act(wired(service, live)))
    assert "REDIS_SENTINEL_HOSTS" not in env_of(live)
    assert wired(service, live) == Wiring(deployment="contex")


def test_entries_keep_their_places() -> None:
    """Another order of the same entries would be another template, and a rollout."""
    spec = contex()
    live = applied(deployment(), act(wired(spec, deployment())))
    container = live["spec"]["template"]["spec"]["containers"][0]
    container["env"].reverse()
    longer = contex(database=1)
    env = act(wired(longer, live)).body["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [e["name"] for e in env] == [e["name"] for e in container["env"]]


def test_two_containers_of_one_deployment_are_wired_by_one_apply() -> None:
    spec = replicated(
        contex={
            "deployments": [{"name": "contex"}, {"name": "contex", "container": "worker"}],
            "takeOver": True,
        }
    )
    before = deployment(more=[{"name": "worker", "env": copy.deepcopy(DOCUMENTED)}, {"name": "proxy"}])
    action = act(wired(spec, before))
    assert [op["op"] for op in action.removals].count("test") == 1
    live = applied(before, action)
    wanted = {e["name"]: e for e in entries(WHO, spec)}
    assert wanted.items() <= env_of(live, 0).items()
    assert wanted.items() <= env_of(live, 1).items()
    assert wired(spec, live) == Wiring(deployment="contex")


def test_the_right_container_is_patched() -> None:
    live = deployment([], container="proxy", more=[{"name": "contex", "env": copy.deepcopy(DOCUMENTED)}])
    action = act(wired(contex(takeOver=True), live))
    changed = {step["path"].split("/")[5] for step in action.removals[1:] if "/containers/" in step["path"]}
    assert changed == {"1"}
    assert env_of(applied(live, action), 1)["REDIS_MODE"] == {"name": "REDIS_MODE", "value": "sentinel"}


def test_what_is_missing_is_named() -> None:
    assert wired(contex(), None).problem == ("DeploymentNotFound", "there is no Deployment contex in shop")
    assert wired(contex(), deployment(container="app", more=[{"name": "proxy"}])).problem == (
        "ContainerNotFound",
        "Deployment contex has no container contex, it has app, proxy",
    )


def test_a_rollout_that_does_not_come_to_an_end_is_shown() -> None:
    spec = contex()
    live = applied(deployment(), act(wired(spec, deployment())))
    live["status"] = {
        "conditions": [{"type": "Progressing", "status": "False", "message": "has timed out progressing"}]
    }
    found = wired(spec, live)
    assert found.action is None
    assert found.problem == (
        "DeploymentNotReady",
        "Deployment contex does not roll out: has timed out progressing",
    )
    live["status"]["conditions"][0]["status"] = "True"
    assert wired(spec, live).problem is None


def test_several_deployments_are_told_apart() -> None:
    spec = replicated(contex={"deployments": [{"name": "a"}, {"name": "b"}]})
    found = wire(WHO, spec, snapshot(deployments={"a": deployment(), "b": None}))
    assert [(w.deployment, w.action is not None, w.problem is not None) for w in found] == [
        ("a", True, False),
        ("b", False, True),
    ]


# --- the shim ---------------------------------------------------------------------------------------------------------

VOLUME = {"name": "contex-redis-shim", "configMap": {"name": "redis-contex-shim", "optional": True}}
MOUNT = {"name": "contex-redis-shim", "mountPath": "/contex-redis-shim", "readOnly": True}


def pod_of(live: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = live["spec"]["template"]["spec"]
    return found


def test_the_shim_is_mounted_with_connection_sentinel_and_only_there() -> None:
    live = applied(deployment(), act(wired(contex(), deployment())))
    assert pod_of(live)["volumes"] == [VOLUME]
    assert pod_of(live)["containers"][0]["volumeMounts"] == [MOUNT]
    assert env_of(live)["PYTHONPATH"]["value"] == "/contex-redis-shim:/app"
    for spec in (contex(connection="service"), contex(sentinelShim=False)):
        bare = applied(deployment(), act(wired(spec, deployment())))
        assert "volumes" not in pod_of(bare)
        assert "volumeMounts" not in pod_of(bare)["containers"][0]
        assert "PYTHONPATH" not in env_of(bare)
        assert wired(spec, bare) == Wiring(deployment="contex")


def test_a_shim_that_is_not_wanted_any_longer_is_taken_out_and_other_volumes_stay() -> None:
    before = deployment()
    pod_of(before)["volumes"] = [{"name": "data"}]
    pod_of(before)["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    live = applied(before, act(wired(contex(), before)))
    assert [each["name"] for each in pod_of(live)["volumes"]] == ["data", "contex-redis-shim"]
    without = contex(sentinelShim=False)
    live = applied(live, act(wired(without, live)))
    assert pod_of(live)["volumes"] == [{"name": "data"}]
    assert pod_of(live)["containers"][0]["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]
    assert "PYTHONPATH" not in env_of(live)
    assert wired(without, live) == Wiring(deployment="contex")


def test_a_deployment_that_was_wired_before_there_was_a_shim_gets_it() -> None:
    live = applied(deployment(), act(wired(contex(sentinelShim=False), deployment())))
    live = applied(live, act(wired(contex(), live)))
    assert pod_of(live)["volumes"] == [VOLUME]
    assert wired(contex(), live) == Wiring(deployment="contex")


@pytest.mark.parametrize("lost", ["volumes", "volumeMounts"])
def test_a_mount_that_somebody_has_taken_out_is_written_again(lost: str) -> None:
    live = applied(deployment(), act(wired(contex(), deployment())))
    (pod_of(live) if lost == "volumes" else pod_of(live)["containers"][0]).pop(lost)
    live = applied(live, act(wired(contex(), live)))
    assert pod_of(live)["volumes"] == [VOLUME]
    assert pod_of(live)["containers"][0]["volumeMounts"] == [MOUNT]


def test_somebody_elses_python_path_is_left_alone_and_named_with_the_way_out() -> None:
    theirs = {"name": "PYTHONPATH", "value": "/app/lib"}
    found = wired(contex(), deployment([theirs]))
    assert found.action is None
    assert found.problem is not None
    assert found.problem[0] == "EnvOwnedElsewhere"
    assert "sets PYTHONPATH itself" in found.problem[1]
    assert "put /contex-redis-shim in front" in found.problem[1]
    assert "spec.contex.sentinelShim to false" in found.problem[1]
    followed = deployment([{"name": "PYTHONPATH", "value": "/contex-redis-shim:/app/lib"}])
    live = applied(followed, act(wired(contex(), followed)))
    assert env_of(live)["PYTHONPATH"]["value"] == "/contex-redis-shim:/app/lib"
    assert pod_of(live)["volumes"] == [VOLUME]
    assert wired(contex(), live) == Wiring(deployment="contex")


@pytest.mark.parametrize(
    ("theirs", "then"),
    [
        ({"value": "/app/lib"}, "/contex-redis-shim:/app/lib"),
        ({"valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}, "/contex-redis-shim:/app"),
    ],
)
def test_taken_over_the_shim_comes_before_their_folders_in_one_rollout(
    theirs: dict[str, Any], then: str
) -> None:
    spec = contex(takeOver=True)
    before = deployment([{"name": "PYTHONPATH", **theirs}])
    action = act(wired(spec, before))
    patched = copy.deepcopy(before)
    json_patched(patched, action.removals)
    live = applied(before, action)
    assert live["spec"] == patched["spec"], "the apply changes the template a second time"
    assert env_of(live)["PYTHONPATH"]["value"] == then
    assert wired(spec, live) == Wiring(deployment="contex")


def test_somebody_elses_volume_or_mount_of_that_name_is_left_alone_and_named() -> None:
    named = deployment()
    pod_of(named)["volumes"] = [{"name": "contex-redis-shim", "emptyDir": {}}]
    at_place = deployment()
    pod_of(at_place)["containers"][0]["volumeMounts"] = [
        {"name": "other", "mountPath": "/contex-redis-shim/"}
    ]
    for live, said in ((named, "has another volume contex-redis-shim"), (at_place, "mounts other at")):
        found = wired(contex(takeOver=True), live)
        assert found.action is None
        assert found.problem is not None
        assert found.problem[0] == "VolumeOwnedElsewhere"
        assert said in found.problem[1]
        assert wired(contex(sentinelShim=False), live).problem is None


def test_the_config_map_holds_the_one_file_and_is_there_where_it_is_mounted() -> None:
    shim = ROOT / "client" / "shim" / "sitecustomize.py"
    assert contexshim.data() == {"sitecustomize.py": shim.read_text()}
    assert ("ConfigMap", "redis-contex-shim") in wanted_names(WHO, contex())
    for spec in (contex(sentinelShim=False), contex(connection="service"), replicated(), standalone()):
        assert ("ConfigMap", "redis-contex-shim") not in wanted_names(WHO, spec)


def test_every_copy_of_the_shim_is_the_same() -> None:
    shim = (ROOT / "client" / "shim" / "sitecustomize.py").read_bytes()
    for copied in ("operator/contex_operator/templates", "helm/contex/files", "k8s/components/shim"):
        assert (ROOT / copied / "sitecustomize.py").read_bytes() == shim, (
            f"copy client/shim/sitecustomize.py to {copied}"
        )


def test_our_mount_goes_too_where_the_path_to_it_is_somebody_elses() -> None:
    followed = deployment([{"name": "PYTHONPATH", "value": "/contex-redis-shim:/app/lib"}])
    live = applied(followed, act(wired(contex(), followed)))
    without = contex(sentinelShim=False)
    live = applied(live, act(wired(without, live)))
    assert "volumes" not in pod_of(live)
    assert env_of(live)["PYTHONPATH"]["value"] == "/contex-redis-shim:/app/lib"
    assert wired(without, live) == Wiring(deployment="contex")
