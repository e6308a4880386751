"""Directives that a running Redis takes: set on every node first, then written down for the next start.

A directive that a node refuses so never reaches redis.conf, where it would keep the next pod from starting: it is tried
on a replica, in one command that takes all or nothing, and nothing else is changed before that has worked. Values are
compared again on each pass, since a container that restarts may have read an older file (bitnami/charts and
CloudPirates#607 lose them so: F11). What needs a restart goes by way of the pod template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from .. import names, quantity
from ..actions import Action, RememberInStatus, SetConfig
from ..model import DataNode, Observed
from ..render import Identity, checksum, directives, redis_conf, restart_directives
from ..spec import Spec
from ..spec_config import is_same, needs_restart, split_arguments
from ..topology import Topology
from .rollout import outdated

GATE_FENCE: Final = 99  # min-replicas-to-write of a pod whose start gate is not done with it


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """`conf` is redis.conf as it has to be now, `restart` the part of it that pods are made anew for.

    `commands` come last of all actions; once they have worked, `conf_after` is what redis.conf has to be.
    """

    conf: str
    restart: str
    commands: tuple[Action, ...] = ()
    conf_after: str | None = None


def live_config(who: Identity, spec: Spec, observed: Observed, topology: Topology) -> LiveConfig:
    """What of the configuration is to be done now."""
    wanted_conf = redis_conf(spec)
    removal = str(observed.status.get("configRemoval") or "")
    wanted = LiveConfig(conf=wanted_conf, restart=restart_directives(spec, removal=removal))
    config_map = observed.objects.get(("ConfigMap", who.children.config)) or {}
    written_conf = (config_map.get("data") or {}).get("redis.conf")
    if written_conf is None:
        return wanted
    now, written = directives(wanted_conf), directives(written_conf)
    changed = {name: v for name, v in now.items() if written.get(name) != v and not needs_restart(name)}
    removed = [name for name in written if name not in now and not needs_restart(name)]
    nodes = _nodes(observed, topology)
    commands = tuple(
        SetConfig(pod=node.pod, address=str(node.address), run_id=str(node.run_id), values=values)
        for node in nodes
        if (values := _values(who, spec, observed, node, now=now, changed=changed))
    )
    if removed and removal != checksum(wanted_conf):
        # The image's own default is known to a start only; this mark in the templates brings it about.
        mark = RememberInStatus(fields={"configRemoval": checksum(wanted_conf)})
        return LiveConfig(conf=written_conf, restart=_restart_in_force(who, observed), commands=(mark,))
    if not changed:
        return LiveConfig(conf=wanted_conf, restart=wanted.restart, commands=commands)
    if not nodes and any(node.is_up for node in observed.data):
        return LiveConfig(conf=written_conf, restart=_restart_in_force(who, observed))
    if not commands:
        return wanted
    return LiveConfig(
        conf=written_conf,
        restart=_restart_in_force(who, observed),
        commands=commands,
        conf_after=wanted_conf,
    )


def last_good_config(spec: Spec, template: Mapping[str, object] | None) -> Spec:
    """The spec with the restart directives of a pod template instead of its own."""
    metadata = (template or {}).get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    text = (annotations or {}).get(names.ANNOTATION_CONFIG, "") if template is not None else None
    if text is None:
        return spec
    kept = {name: value for name, value in spec.config.items() if not needs_restart(name)}
    return replace(spec, config=kept | directives(str(text)))


def _nodes(observed: Observed, topology: Topology) -> list[DataNode]:
    """Replicas first: what is refused is refused there."""
    master = topology.master
    if master is None or not topology.is_calm or observed.status.get("intent"):
        return []
    return [*(node for node in observed.data if node.is_synced_replica), master]


def _values(
    who: Identity,
    spec: Spec,
    observed: Observed,
    node: DataNode,
    *,
    now: Mapping[str, str],
    changed: Mapping[str, str],
) -> dict[str, str]:
    """What is to be set on a node: what has changed, and what it has otherwise than it should."""
    drifted = {
        name: now[name] for name, has in node.config.items() if name in now and not is_same(has, now[name])
    }
    if node.min_replicas == GATE_FENCE:
        return {}
    values = {name: " ".join(split_arguments(v) or []) for name, v in {**changed, **drifted}.items()}
    same = [name for name, has in node.config.items() if name in values and is_same(has, values[name])]
    for name in same:
        del values[name]
    if "maxmemory" in values and _limit_changes(who, spec, observed, node):
        del values["maxmemory"]  # it belongs to the memory that the pod will have, and comes with it
    return dict(sorted(values.items()))


def _limit_changes(who: Identity, spec: Spec, observed: Observed, node: DataNode) -> bool:
    pod = observed.pod(node.pod)
    component = pod.component if pod is not None else names.COMPONENT_MASTER
    name = {names.COMPONENT_REPLICA: who.children.replica}.get(component, who.children.master)
    live = observed.objects.get(("StatefulSet", name))
    if live is None or node.pod in outdated(who, observed):
        return True
    (container, *_) = live["spec"]["template"]["spec"]["containers"]
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    wanted = (spec.resources.get("limits") or {}).get("memory")
    if limit is None or wanted is None:
        return limit is not wanted
    # The API spells a quantity in its own way: what was 1024Mi comes back as 1Gi.
    return quantity.amount(str(limit)) != quantity.amount(str(wanted))


def _restart_in_force(who: Identity, observed: Observed) -> str:
    live = observed.objects.get(("StatefulSet", who.children.master)) or {}
    template = (live.get("spec") or {}).get("template") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_CONFIG, ""))
