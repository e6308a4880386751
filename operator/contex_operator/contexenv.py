"""The contract with Contex: which environment leads it to this Redis, and how that reaches a Deployment.

Pure. Passwords travel by secretKeyRef only; in `service` connection the URL carries password and database, because
Contex ignores REDIS_PASSWORD and REDIS_DB there, so the URL itself is a Secret's key. Called by plan and status.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from . import contexshim, names
from .actions import WireDeployment
from .model import Object, Observed
from .render import Identity, sentinel_pods
from .spec import Connection, Spec

KEY_URL: Final = "url"

EnvEntry = dict[str, Any]


def sentinel_hosts(who: Identity, spec: Spec) -> str:
    """`redis-sentinel-0.redis-sentinel:26379,…`: names, because clients resolve them at connect time only."""
    service = who.children.sentinel
    return ",".join(f"{pod}.{service}:{names.SENTINEL_PORT}" for pod in sentinel_pods(who, spec))


def redis_url(who: Identity, spec: Spec, *, password: str | None) -> str:
    """`redis://:password@redis-master:6379/0` with the password percent-encoded."""
    credentials = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{credentials}{who.children.master}:{names.REDIS_PORT}/{spec.contex.database}"


def plain_env(who: Identity, spec: Spec) -> dict[str, str]:
    """The variables that hold no secret."""
    contex = spec.contex
    env = {
        "REDIS_MAX_CONNECTIONS": str(contex.max_connections),
        "REDIS_SOCKET_TIMEOUT": str(contex.socket_timeout_s),
        "REDIS_SOCKET_CONNECT_TIMEOUT": str(contex.socket_connect_timeout_s),
        "REDIS_SOCKET_KEEPALIVE": _text(contex.socket_keepalive),
        "REDIS_RETRY_ON_TIMEOUT": _text(contex.retry_on_timeout),
        "REDIS_HEALTH_CHECK_INTERVAL": str(contex.health_check_interval_s),
    }
    if contex.connection is Connection.SENTINEL:
        return {
            "REDIS_MODE": "sentinel",
            "REDIS_SENTINEL_HOSTS": sentinel_hosts(who, spec),
            "REDIS_SENTINEL_MASTER": spec.sentinel.master_name,
            "REDIS_DB": str(contex.database),
            **env,
        }
    return {"REDIS_MODE": "standalone", **env}


def secret_env(who: Identity, spec: Spec) -> dict[str, tuple[str, str]]:
    """The variables that hold a secret: name → (Secret, key)."""
    children = who.children
    if spec.contex.connection is Connection.SERVICE:
        return {"REDIS_URL": (children.contex_env, KEY_URL)}
    if not spec.auth.enabled:
        return {}
    return {
        "REDIS_PASSWORD": (children.auth_active, names.KEY_PASSWORD),
        "REDIS_SENTINEL_PASSWORD": (children.auth_active, names.KEY_SENTINEL_PASSWORD),
    }


def entries(who: Identity, spec: Spec, *, present: Mapping[str, Any] | None = None) -> list[EnvEntry]:
    """The env entries of a container, in a fixed order. `present` are those that stand there, by name."""
    plain: list[EnvEntry] = [{"name": name, "value": value} for name, value in plain_env(who, spec).items()]
    secret = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": source, "key": key}}}
        for name, (source, key) in secret_env(who, spec).items()
    ]
    path = [contexshim.entry((present or {}).get(contexshim.VARIABLE))] if spec.contex.sentinel_shim else []
    return plain + secret + path


def secret_data(
    who: Identity, spec: Spec, *, password: str | None, sentinel_password: str | None
) -> dict[str, str]:
    """The data of Secret `<name>-contex-env`, base64: `url` for single references, the rest for `envFrom`."""
    url = redis_url(who, spec, password=password)
    values = {KEY_URL: url}
    if spec.contex.connection is Connection.SERVICE:
        values["REDIS_URL"] = url
    elif password and sentinel_password:
        values |= {"REDIS_PASSWORD": password, "REDIS_SENTINEL_PASSWORD": sentinel_password}
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """The state of one Deployment: `action` is what has to be written, `problem` (reason, sentence) what forbids it."""

    deployment: str
    action: WireDeployment | None = None
    problem: tuple[str, str] | None = None


def wire(who: Identity, spec: Spec, observed: Observed) -> tuple[Wiring, ...]:
    """One Wiring for each Deployment that the spec names, over all its containers: an apply of one of them alone
    would take our entries out of the others.
    """
    containers: dict[str, list[str]] = {}
    for target in spec.contex.deployments:
        containers.setdefault(target.name, []).append(target.container)
    return tuple(_wire_one(who, spec, name, containers[name], observed) for name in containers)


@dataclass(frozen=True, kw_only=True)
class _Container:
    """One container to wire: `apply` are the entries that are to be ours, `clashing` those that somebody else has,
    `stale` those of an earlier JSON patch of ours that are not wanted any longer: an apply leaves them standing.
    """

    name: str
    index: int
    wanted: list[EnvEntry]
    apply: list[EnvEntry]
    clashing: list[str]
    stale: list[str]
    is_settled: bool


def _wire_one(who: Identity, spec: Spec, name: str, containers: Sequence[str], observed: Observed) -> Wiring:
    live = observed.deployments.get(name)
    if live is None:
        return Wiring(
            deployment=name,
            problem=("DeploymentNotFound", f"there is no Deployment {name} in {who.namespace}"),
        )
    present = [container["name"] for container in live["spec"]["template"]["spec"]["containers"]]
    missing = next((container for container in containers if container not in present), None)
    if missing is not None:
        return Wiring(
            deployment=name,
            problem=(
                "ContainerNotFound",
                f"Deployment {name} has no container {missing}, it has {', '.join(present)}",
            ),
        )
    has_shim = spec.contex.sentinel_shim
    taken = contexshim.taken(who, live, containers) if has_shim else None
    if taken:
        return Wiring(deployment=name, problem=("VolumeOwnedElsewhere", taken))
    found = [_look(who, spec, live, container) for container in containers]
    clashing = next((container for container in found if container.clashing), None)
    if clashing is not None and not spec.contex.take_over:
        return Wiring(
            deployment=name,
            problem=(
                "EnvOwnedElsewhere",
                f"container {clashing.name} of Deployment {name} sets {', '.join(clashing.clashing)} itself; "
                "remove them there, or set spec.contex.takeOver to true" + _about_shim(clashing.clashing),
            ),
        )
    if all(container.is_settled for container in found) and contexshim.is_settled(
        who, live, containers, wanted=has_shim
    ):
        return Wiring(deployment=name, problem=_rollout_problem(live))
    removals = [patch for container in found for patch in _replacements(live, container)]
    if not has_shim:
        removals += contexshim.withdrawals(live)
    if removals and has_shim:
        removals += contexshim.additions(who, live, [each.index for each in found])
    if removals:
        version = live["metadata"]["resourceVersion"]
        removals.insert(0, {"op": "test", "path": "/metadata/resourceVersion", "value": version})
    body = _partial(live, found, volume=contexshim.volume(who) if has_shim else None)
    return Wiring(deployment=name, action=WireDeployment(body=body, removals=tuple(removals)))


def _about_shim(clashing: Sequence[str]) -> str:
    if contexshim.VARIABLE not in clashing:
        return ""
    return (
        f"; for {contexshim.VARIABLE} it is enough to put {contexshim.FOLDER} in front of what it says there, or to set"
        " spec.contex.sentinelShim to false"
    )


def _look(who: Identity, spec: Spec, live: Object, name: str) -> _Container:
    containers = live["spec"]["template"]["spec"]["containers"]
    index = next(i for i, container in enumerate(containers) if container["name"] == name)
    present = {entry["name"]: entry for entry in containers[index].get("env") or []}
    wanted, take_over = entries(who, spec, present=present), spec.contex.take_over
    mine = _owned_entries(live, container=name)
    foreign = [e for e in wanted if e["name"] in present and e["name"] not in mine]
    apply = [e for e in wanted if take_over or e not in foreign]
    patched = _owned_entries(live, container=name, operation="Update")
    is_there = all(e["name"] in present and _same(e, present[e["name"]]) for e in wanted)
    return _Container(
        name=name,
        index=index,
        wanted=wanted,
        apply=_in_place(apply, present),
        clashing=[e["name"] for e in foreign if not _same(e, present[e["name"]])],
        stale=(stale := sorted(patched & present.keys() - {entry["name"] for entry in wanted})),
        is_settled=is_there and not stale and mine == {entry["name"] for entry in apply},
    )


def _in_place(env: Sequence[EnvEntry], present: Mapping[str, Any]) -> list[EnvEntry]:
    """Entries in the order in which they stand already, new ones behind: another order would be a second rollout."""
    places = {name: place for place, name in enumerate(present)}
    return sorted(env, key=lambda entry: places.get(entry["name"], len(places)))


def _partial(live: Object, containers: Sequence[_Container], *, volume: Mapping[str, Any] | None) -> Object:
    """The part of the Deployment that is ours; the uid makes the API refuse another Deployment of that name."""
    metadata = live["metadata"]
    mounts = {"volumeMounts": [contexshim.mount()]} if volume else {}
    ours = [{"name": container.name, "env": container.apply, **mounts} for container in containers]
    pod = {"containers": ours, **({"volumes": [volume]} if volume else {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {key: metadata[key] for key in ("name", "namespace", "uid")},
        "spec": {"template": {"spec": pod}},
    }


def _replacements(live: Object, container: _Container) -> list[Mapping[str, Any]]:
    """A JSON patch that replaces foreign entries as wholes, for an applied `value` beside a foreign `valueFrom` is
    an invalid object, and takes stale ones out. It changes the template to what the apply that follows asks for, so
    there is one rollout.
    """
    if not container.clashing and not container.stale:
        return []
    path = f"/spec/template/spec/containers/{container.index}/env"
    env = live["spec"]["template"]["spec"]["containers"][container.index]["env"]
    by_name = {entry["name"]: entry for entry in container.wanted}
    replaced: list[Mapping[str, Any]] = [
        {"op": "replace", "path": f"{path}/{position}", "value": by_name[entry["name"]]}
        for position, entry in enumerate(env)
        if entry["name"] in by_name and not _same(by_name[entry["name"]], entry)
    ]
    removed = [
        {"op": "remove", "path": f"{path}/{position}"}
        for position in reversed(range(len(env)))
        if env[position]["name"] in container.stale
    ]
    present = {entry["name"] for entry in env}
    added = [
        {"op": "add", "path": f"{path}/-", "value": entry}
        for entry in container.wanted
        if entry["name"] not in present
    ]
    return replaced + removed + added


def _owned_entries(live: Object, *, container: str, operation: str = "Apply") -> set[str]:
    """Names of the container's env entries whose values our field manager applied (or, with "Update", set by a JSON
    patch), and nobody else has set since.
    """
    key = json.dumps({"name": container}, separators=(",", ":"))
    owned: set[str] = set()
    for field in live["metadata"].get("managedFields") or []:
        if field.get("manager") != names.MANAGER_CONTEX or field.get("operation") != operation:
            continue
        tree: Any = field.get("fieldsV1") or {}
        for step in ("f:spec", "f:template", "f:spec", "f:containers", f"k:{key}", "f:env"):
            tree = tree.get(step) or {}
        owned |= {
            json.loads(entry[2:])["name"]
            for entry, fields in tree.items()
            if entry.startswith("k:") and fields.keys() & {"f:value", "f:valueFrom"}
        }
    return owned


def _same(wanted: EnvEntry, present: Mapping[str, Any]) -> bool:
    if "value" in wanted:
        return present.get("value") == wanted["value"] and not present.get("valueFrom")
    reference = (present.get("valueFrom") or {}).get("secretKeyRef") or {}
    wanted_reference = wanted["valueFrom"]["secretKeyRef"]
    return all(reference.get(key) == value for key, value in wanted_reference.items())


def _rollout_problem(live: Object) -> tuple[str, str] | None:
    """A Deployment whose new pods do not become ready is shown; its old pods serve on."""
    for condition in (live.get("status") or {}).get("conditions") or []:
        if condition["type"] == "Progressing" and condition["status"] == "False":
            name = live["metadata"]["name"]
            return (
                "DeploymentNotReady",
                f"Deployment {name} does not roll out: {condition.get('message', '')}",
            )
    return None


def _text(value: bool) -> str:
    return "true" if value else "false"
