"""The shim that lets Contex as published speak Sentinel: what of it goes into a Deployment that is wired.

One ConfigMap of ours with one file, a volume of it, a mount in each wired container, and the folder in front of the
container's PYTHONPATH. Pure. Called by contexenv and plan; the file itself is client/shim/sitecustomize.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from . import names
from .model import Object
from .render import Identity
from .spec import Spec
from .templating import script

VARIABLE: Final = "PYTHONPATH"
VOLUME: Final = "contex-redis-shim"
FOLDER: Final = "/contex-redis-shim"
FILE: Final = "sitecustomize.py"
# What Contex' image has in PYTHONPATH: an entry of the pod's replaces it.
_OF_IMAGE: Final = "/app"


def is_wanted(spec: Spec) -> bool:
    """Whether there is a Deployment to mount it into."""
    return spec.contex.sentinel_shim and bool(spec.contex.deployments)


def data() -> dict[str, str]:
    """What the ConfigMap holds."""
    return {FILE: script(FILE)}


def entry(present: Mapping[str, Any] | None) -> dict[str, str]:
    """The container's PYTHONPATH: the shim's folder in front of what stands there as a plain value already."""
    value = str((present or {}).get("value") or "")
    if FOLDER in value.split(":"):
        return {"name": VARIABLE, "value": value}
    return {"name": VARIABLE, "value": f"{FOLDER}:{value or _OF_IMAGE}"}


def volume(who: Identity) -> dict[str, Any]:
    """Optional: a pod that is started anew after the ContexRedis was deleted starts as it would without the shim."""
    return {"name": VOLUME, "configMap": {"name": who.children.contex_shim, "optional": True}}


def mount() -> dict[str, Any]:
    """For one container."""
    return {"name": VOLUME, "mountPath": FOLDER, "readOnly": True}


def taken(who: Identity, live: Object, containers: Iterable[str]) -> str | None:
    """A sentence where somebody else has something of these names in the Deployment."""
    name = live["metadata"]["name"]
    way_out = "rename it there, or set spec.contex.sentinelShim to false"
    found = _volume_in(live)
    if found is not None and not _is_same(volume(who), found) and not _owns_volume(live):
        return f"Deployment {name} has another volume {VOLUME}; {way_out}"
    for container in containers:
        mounted = _mount_in(live, container)
        if mounted is not None and mounted["name"] != VOLUME:
            return (
                f"container {container} of Deployment {name} mounts {mounted['name']} at {FOLDER}; {way_out}"
            )
    return None


def is_settled(who: Identity, live: Object, containers: Iterable[str], *, wanted: bool) -> bool:
    """True when volume and mounts are as they have to be; where they are not wanted: when none of them is ours."""
    found = _volume_in(live)
    mounted = [_mount_in(live, container) for container in containers]
    if wanted:
        return found is not None and _is_same(volume(who), found) and None not in mounted
    return not (found is not None and _owns_volume(live))


def withdrawals(live: Object) -> list[Mapping[str, Any]]:
    """Steps of a JSON patch that take out what one of ours has put in: an apply leaves that standing."""
    if not _owns_volume(live, operation="Update"):
        return []
    pod = live["spec"]["template"]["spec"]
    lists = [("/spec/template/spec/volumes", pod.get("volumes"))]
    for index, container in enumerate(pod["containers"]):
        lists.append((f"/spec/template/spec/containers/{index}/volumeMounts", container.get("volumeMounts")))
    return [
        {"op": "remove", "path": f"{path}/{position}"}
        for path, present in lists
        for position, each in enumerate(present or [])
        if each["name"] == VOLUME
    ]


def additions(who: Identity, live: Object, indexes: Sequence[int]) -> list[Mapping[str, Any]]:
    """The same as steps of a JSON patch, for the containers at these indexes."""
    pod = live["spec"]["template"]["spec"]
    path = "/spec/template/spec"
    steps = [] if _volume_in(live) else [_append(f"{path}/volumes", pod.get("volumes"), volume(who))]
    for index in indexes:
        container = pod["containers"][index]
        if _mount_in(live, container["name"]) is None:
            place = f"{path}/containers/{index}/volumeMounts"
            steps.append(_append(place, container.get("volumeMounts"), mount()))
    return steps


def _append(path: str, present: object, value: Mapping[str, Any]) -> Mapping[str, Any]:
    if present:
        return {"op": "add", "path": f"{path}/-", "value": value}
    return {"op": "add", "path": path, "value": [value]}


def _volume_in(live: Object) -> Mapping[str, Any] | None:
    volumes: list[Mapping[str, Any]] = live["spec"]["template"]["spec"].get("volumes") or []
    return next((each for each in volumes if each["name"] == VOLUME), None)


def _mount_in(live: Object, container: str) -> Mapping[str, Any] | None:
    containers = live["spec"]["template"]["spec"]["containers"]
    found = next(each for each in containers if each["name"] == container)
    mounts: list[Mapping[str, Any]] = found.get("volumeMounts") or []
    return next((each for each in mounts if each["mountPath"].rstrip("/") == FOLDER), None)


def _is_same(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    return bool((present.get("configMap") or {}).get("name") == wanted["configMap"]["name"])


def _owns_volume(live: Object, *, operation: str | None = None) -> bool:
    key = "k:" + json.dumps({"name": VOLUME}, separators=(",", ":"))
    for field in live["metadata"].get("managedFields") or []:
        if field.get("manager") != names.MANAGER_CONTEX or operation not in (None, field.get("operation")):
            continue
        tree: Any = field.get("fieldsV1") or {}
        for step in ("f:spec", "f:template", "f:spec", "f:volumes"):
            tree = tree.get(step) or {}
        if key in tree:
            return True
    return False
