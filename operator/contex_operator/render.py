"""The children of a ContexRedis as plain bodies: structure in templates, labels, owners and checksums here.

Pure: the same spec and the same identities give the same bytes on every machine and in every release that does
not mean to change them (a golden hash in the tests watches over it: an upgrade of the operator alone must roll no
pod). Nothing else knows the templates. Called by plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import names
from .names import Children
from .spec import Spec
from .spec_config import needs_restart
from .templating import documents, load_template, script

Body = dict[str, Any]

NO_POD: Final = "none"  # selects nothing: no pod of a StatefulSet is called so
SENTINEL_STORAGE: Final = "128Mi"

_DATA_SCRIPTS: Final = (
    "lib.sh",
    "start-redis.sh",
    "stop-redis.sh",
    "ready-redis.sh",
    "live-redis.sh",
    "redis-cli",
)
_SENTINEL_SCRIPTS: Final = ("lib.sh", "start-sentinel.sh", "live-sentinel.sh", "redis-cli")
_MESH_OFF: Final = {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whose children these are."""

    namespace: str
    name: str
    uid: str

    @property
    def children(self) -> Children:
        return Children(self.name)


def services(who: Identity, spec: Spec, *, master_pod: str | None, recorded: Mapping[str, str]) -> list[Body]:
    """All Services. `recorded` maps pods to the addresses of their identities, where those are known already.

    A recorded address is asked for by name, so that a Service deleted by hand comes back as the same identity.
    """
    text = load_template("services.yaml.j2").render(
        **_common(who),
        master_pod=master_pod or NO_POD,
        sentinel_pods=spec.sentinel_pod_count,
        identities_of=[(pod, names.REDIS_PORT) for pod in data_pods(who, spec)]
        + [(pod, names.SENTINEL_PORT) for pod in sentinel_pods(who, spec)],
    )
    bodies = []
    for body in documents(text):
        component = _service_component(who.children, body["metadata"]["name"])
        _finish(who, body, component=component)
        address = recorded.get(body["metadata"]["name"])
        if address and body["spec"].get("clusterIP") != "None":
            body["spec"]["clusterIP"] = address
        bodies.append(body)
    return bodies


def master_service(who: Identity, spec: Spec, pod: str) -> Body:
    """The Service of the master, leading to this pod."""
    bodies = services(who, spec, master_pod=pod, recorded={})
    return next(body for body in bodies if body["metadata"]["name"] == who.children.master)


def data_pods(who: Identity, spec: Spec) -> tuple[str, ...]:
    """The names of all data pods that the spec asks for, the one born as master first."""
    children = who.children
    replicas = children.replica_pods(spec.replicas) if spec.is_sentinel_mode else ()
    return (children.master_pod(), *replicas)


def sentinel_pods(who: Identity, spec: Spec) -> tuple[str, ...]:
    return who.children.sentinel_pods(spec.sentinel_pod_count)


def config_maps(
    who: Identity, spec: Spec, *, addresses: Mapping[str, str], conf: str | None = None
) -> list[Body]:
    """The ConfigMaps of data pods and sentinels; `addresses` has the identity of every pod of the spec.

    `conf` is redis.conf where it is not yet what the spec leads to.
    """
    children = who.children
    settings, members = settings_file(spec), members_file(who, spec, addresses=addresses)
    data = {name: script(name) for name in _DATA_SCRIPTS}
    data |= {
        "redis.conf": redis_conf(spec) if conf is None else conf,
        "settings": settings,
        "members": members,
    }
    bodies = [_config_map(who, children.config, names.COMPONENT_MASTER, data)]
    if spec.is_sentinel_mode:
        data = {name: script(name) for name in _SENTINEL_SCRIPTS}
        data |= {"settings": settings, "members": members}
        bodies.append(_config_map(who, children.sentinel_config, names.COMPONENT_SENTINEL, data))
    return bodies


def stateful_sets(who: Identity, spec: Spec, *, restart: str | None = None) -> list[Body]:
    """The StatefulSets: master and, in sentinel mode, replica and sentinel.

    `restart` is the configuration that data pods are made anew for, where it is not what the spec leads to.
    """
    children = who.children
    restart = restart_directives(spec) if restart is None else restart
    master = _data_set(who, spec, names.COMPONENT_MASTER, children.master, 1, restart=restart)
    bodies = [_stateful_set(who, spec, master)]
    if spec.is_sentinel_mode:
        replica = _data_set(
            who, spec, names.COMPONENT_REPLICA, children.replica, spec.replicas, restart=restart
        )
        bodies.append(_stateful_set(who, spec, replica))
    if spec.sentinel_pod_count:  # none are left when they have gone on the way to standalone
        bodies.append(_stateful_set(who, spec, _sentinel_set(who, spec)))
    return bodies


def with_template(body: Body, template: Mapping[str, Any]) -> Body:
    """A StatefulSet with another pod template, known by a checksum of its own."""
    annotations = {k: v for k, v in body["metadata"]["annotations"].items() if k != names.ANNOTATION_APPLIED}
    metadata = {**body["metadata"], "annotations": annotations}
    changed = {**body, "metadata": metadata, "spec": {**body["spec"], "template": dict(template)}}
    annotations[names.ANNOTATION_APPLIED] = checksum(changed)
    return changed


def template_fingerprint(bodies: Iterable[Body]) -> str:
    """A name for the pod templates of StatefulSets, whatever the numbers of their pods."""
    return checksum({body["metadata"]["name"]: body["spec"]["template"] for body in bodies})


def budgets(who: Identity, spec: Spec) -> list[Body]:
    """The PodDisruptionBudgets; a standalone Redis has none, since it could never be drained."""
    if not spec.is_sentinel_mode:
        return []
    children = who.children
    bodies = []
    for name, app, component in (
        (children.nodes, names.APP_DATA, names.COMPONENT_MASTER),
        (children.sentinel, names.APP_SENTINEL, names.COMPONENT_SENTINEL),
    ):
        selector = {names.LABEL_APP: app, names.LABEL_CLUSTER: who.name}
        text = load_template("budget.yaml.j2").render(
            namespace=who.namespace, budget={"name": name, "selector": selector}
        )
        bodies += [_finish(who, body, component=component) for body in documents(text)]
    return bodies


def secret(who: Identity, name: str, data: Mapping[str, str], *, owned: bool) -> Body:
    """A Secret of ours; `data` maps keys to base64 text. Without owner it stays with the volumes."""
    body: Body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": who.namespace},
        "type": "Opaque",
        "data": dict(data),
    }
    return _finish(who, body, component=None, owned=owned)


def plain_config_map(who: Identity, name: str, data: Mapping[str, str]) -> Body:
    """A ConfigMap of ours that no pod of ours mounts (the env of Contex)."""
    return _config_map(who, name, None, data)


def redis_conf(spec: Spec) -> str:
    """The part of redis.conf that is the same in every data pod."""
    return load_template("redis.conf.j2").render(
        profile=spec.profile, maxmemory_bytes=spec.default_maxmemory_bytes, config=spec.config
    )


def directives(conf: str) -> dict[str, str]:
    """The directives of a redis.conf by name, the last of each, with their values as they are written."""
    lines = (line.strip() for line in conf.splitlines())
    pairs = (line.split(None, 1) for line in lines if line and not line.startswith("#"))
    return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}


def restart_directives(spec: Spec, *, removal: str = "") -> str:
    """The part of redis.conf that a pod has to be made anew for, as lines; `removal` marks what was taken out."""
    lines = [f"{name} {value}" for name, value in sorted(spec.config.items()) if needs_restart(name)]
    return "\n".join([*lines, *([f"# {removal}"] if removal else [])])


def settings_file(spec: Spec) -> str:
    """What the pods' scripts read as shell assignments."""
    values: dict[str, str | int] = {"MODE": spec.mode}
    if spec.is_sentinel_mode:
        sentinel = spec.sentinel
        values |= {
            "MASTER_NAME": sentinel.master_name,
            "QUORUM": sentinel.quorum,
            "DOWN_AFTER_MS": sentinel.down_after_ms,
            "FAILOVER_TIMEOUT_MS": sentinel.failover_timeout_ms,
            "PARALLEL_SYNCS": sentinel.parallel_syncs,
        }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def members_file(who: Identity, spec: Spec, *, addresses: Mapping[str, str]) -> str:
    """One line a member: `data POD ADDRESS`, `sentinel POD ADDRESS MYID`; KeyError where an address is missing."""
    if not spec.is_sentinel_mode:
        return ""
    lines = [f"data {pod} {addresses[pod]}" for pod in data_pods(who, spec)]
    for pod in sentinel_pods(who, spec):
        myid = names.sentinel_myid(namespace=who.namespace, pod=pod, name=who.name)
        lines.append(f"sentinel {pod} {addresses[pod]} {myid}")
    return "\n".join(lines) + "\n"


def checksum(value: object) -> str:
    """A short, stable hash of plain data."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _data_set(who: Identity, spec: Spec, component: str, name: str, replicas: int, *, restart: str) -> Body:
    children = who.children
    return {
        "name": name,
        "service": children.nodes,
        "replicas": replicas,
        "component": component,
        "app": names.APP_DATA,
        "container": names.CONTAINER_REDIS,
        "start": "start-redis.sh",
        "stop": "stop-redis.sh",
        "live": "live-redis.sh",
        "ready": "ready-redis.sh",
        "port_name": "redis",
        "port": names.REDIS_PORT,
        "config": children.config,
        "files": (*_DATA_SCRIPTS, "redis.conf", "settings", "members"),
        "resources": spec.resources,
        "storage": spec.persistence.size,
        "restart": restart,
    }


def _sentinel_set(who: Identity, spec: Spec) -> Body:
    children = who.children
    return {
        "name": children.sentinel,
        "service": children.sentinel,
        "replicas": spec.sentinel.replicas,
        "component": names.COMPONENT_SENTINEL,
        "app": names.APP_SENTINEL,
        "container": names.CONTAINER_SENTINEL,
        "start": "start-sentinel.sh",
        "stop": None,  # no move hangs on one sentinel: docs/decisions.md
        "live": "live-sentinel.sh",
        "ready": None,
        "port_name": "sentinel",
        "port": names.SENTINEL_PORT,
        "config": children.sentinel_config,
        "files": (*_SENTINEL_SCRIPTS, "settings", "members"),
        "resources": spec.sentinel.resources,
        "storage": SENTINEL_STORAGE,
        # Sentinel takes all its settings at run time; none of them needs a restart.
        "restart": None,
    }


def _stateful_set(who: Identity, spec: Spec, values: Body) -> Body:
    selector = {names.LABEL_CLUSTER: who.name, names.LABEL_COMPONENT: values["component"]}
    annotations = {**_MESH_OFF, **spec.pod_annotations}
    if values["restart"]:
        annotations[names.ANNOTATION_CONFIG] = values["restart"]
    values = values | {
        "selector": selector,
        "spread": {names.LABEL_CLUSTER: who.name, names.LABEL_APP: values["app"]},
        "pod_labels": {
            **spec.pod_labels,
            **_labels(who, values["component"]),
            names.LABEL_APP: values["app"],
        },
        "pod_annotations": annotations,
        "config_items": list(_items(values["files"])),
    }
    text = load_template("statefulset.yaml.j2").render(
        **_common(who),
        spec=spec,
        set=values,
        persistence=spec.persistence,
        security_context=spec.security_context,
        image_pull_secrets=[{"name": name} for name in spec.image_pull_secrets],
    )
    (body,) = documents(text)
    return _finish(who, body, component=values["component"])


def _items(files: tuple[str, ...]) -> Iterator[dict[str, str]]:
    for name in files:
        if name == "redis-cli":  # the wrapper answers to both names: Valkey's images have valkey-cli only
            yield {"key": name, "path": "bin/redis-cli"}
            yield {"key": name, "path": "bin/valkey-cli"}
        else:
            yield {"key": name, "path": name}


def _config_map(who: Identity, name: str, component: str | None, data: Mapping[str, str]) -> Body:
    body: Body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": who.namespace},
        "data": dict(data),
    }
    return _finish(who, body, component=component)


def _labels(who: Identity, component: str | None) -> dict[str, str]:
    labels = {names.LABEL_CLUSTER: who.name, names.LABEL_MANAGED_BY: names.MANAGER}
    if component:
        labels[names.LABEL_COMPONENT] = component
    return labels


def _finish(who: Identity, body: Body, *, component: str | None, owned: bool = True) -> Body:
    """Labels, owner and the checksum of what is asked for; a settled child is known by it (rule 12)."""
    metadata = body["metadata"]
    metadata["labels"] = _labels(who, component) | metadata.get("labels", {})
    if owned:
        metadata["ownerReferences"] = [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": who.name,
                "uid": who.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    metadata.setdefault("annotations", {})[names.ANNOTATION_APPLIED] = checksum(body)
    return body


def _service_component(children: Children, name: str) -> str:
    if name.startswith(children.sentinel):
        return names.COMPONENT_SENTINEL
    return names.COMPONENT_REPLICA if name.startswith(children.replica) else names.COMPONENT_MASTER


def _common(who: Identity) -> Mapping[str, Any]:
    return {
        "namespace": who.namespace,
        "cluster": who.name,
        "children": who.children,
        "labels": {
            "cluster": names.LABEL_CLUSTER,
            "role": names.LABEL_ROLE,
            "pod_name": names.LABEL_POD_NAME,
        },
        "redis_port": names.REDIS_PORT,
        "sentinel_port": names.SENTINEL_PORT,
    }
