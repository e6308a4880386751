"""Hands that only look: everything a reconcile decides on, gathered at once into one frozen snapshot.

The API is read by LIST (a cache can miss deletions after a broken watch), all nodes and sentinels are asked at the
same time, each within its deadline: one dead node costs one deadline, not one per question (littlered's LR-017).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from . import names
from .children import in_force
from .errors import RedisError
from .kube import Kube
from .model import DataNode, Object, Observed, Reach, SentinelNode
from .redisio import RedisIO
from .render import Identity, data_pods, directives, redis_conf, sentinel_pods
from .resources import (
    BY_KIND,
    CLAIM,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    POD,
    SECRET,
    SERVICE,
    STATEFUL_SET,
)
from .spec import Spec
from .spec_config import is_comparable
from .views import (
    ANNOUNCED,
    DATA_COMMANDS,
    WRITER_COMMANDS,
    config_commands,
    data_node,
    identity_address,
    pod_view,
    reach_of,
    sentinel_commands,
    sentinel_node,
    writers,
)

CHILD_KINDS = (SERVICE, STATEFUL_SET, CONFIG_MAP, SECRET, DISRUPTION_BUDGET)


async def observe(
    kube: Kube, redis: RedisIO, *, resource: Object, spec: Spec, wanted: Iterable[tuple[str, str]], now: float
) -> Observed:
    """The snapshot. `wanted` names the children (kind, name) whose absence or foreign owner matters.

    Raises KubeError; a Redis that does not answer is part of the result.
    """
    namespace = str(resource["metadata"]["namespace"])
    name = str(resource["metadata"]["name"])
    selector = f"{names.LABEL_CLUSTER}={name}"
    *children, pods, claims = await asyncio.gather(
        *(kube.list(kind, namespace, labels=selector) for kind in (*CHILD_KINDS, POD, CLAIM))
    )
    objects: dict[tuple[str, str], Object | None] = {
        (str(body["kind"]), str(body["metadata"]["name"])): body for bodies in children for body in bodies
    }
    missing = [key for key in wanted if key not in objects]
    found = await asyncio.gather(*(kube.get(BY_KIND[kind], namespace, child) for kind, child in missing))
    objects.update(zip(missing, found, strict=True))
    deployments = await _deployments(kube, namespace, spec)
    secret = spec.auth.secret_name
    if secret is not None and ("Secret", secret) not in objects:
        objects["Secret", secret] = await kube.get(SECRET, namespace, secret)

    who = Identity(namespace=namespace, name=name, uid=str(resource["metadata"]["uid"]))
    objects |= await _last_good(kube, resource, objects)
    running = in_force(who, spec, objects, status=resource.get("status") or {})
    data, sentinels = await _ask_members(redis, who=who, spec=running, objects=objects)
    return Observed(
        resource=resource,
        now=now,
        objects=objects,
        pods=tuple(sorted((pod_view(body) for body in pods), key=lambda pod: pod.name)),
        data=data,
        sentinels=sentinels,
        claims=tuple(sorted(str(claim["metadata"]["name"]) for claim in claims)),
        deployments=deployments,
    )


async def _last_good(
    kube: Kube, resource: Object, objects: Mapping[tuple[str, str], Object | None]
) -> dict[tuple[str, str], Object | None]:
    """The ControllerRevisions with the templates that worked last, while others are in the StatefulSets or were."""
    status = resource.get("status") or {}
    good: Mapping[str, str] = status.get("lastGood") or {}

    def newest(name: str) -> str | None:
        live = objects.get(("StatefulSet", name)) or {}
        return (live.get("status") or {}).get("updateRevision")

    wanted = [
        revision
        for name, revision in good.items()
        if "stoppedRollout" in status or newest(name) not in (None, revision)
    ]
    namespace = str(resource["metadata"]["namespace"])
    bodies = await asyncio.gather(*(kube.get(CONTROLLER_REVISION, namespace, name) for name in wanted))
    return {("ControllerRevision", name): body for name, body in zip(wanted, bodies, strict=True)}


async def _deployments(kube: Kube, namespace: str, spec: Spec) -> Mapping[str, Object | None]:
    wired = [deployment.name for deployment in spec.contex.deployments]
    bodies = await asyncio.gather(*(kube.get(DEPLOYMENT, namespace, name) for name in wired))
    return dict(zip(wired, bodies, strict=True))


async def _ask_members(
    redis: RedisIO, *, who: Identity, spec: Spec, objects: Mapping[tuple[str, str], Object | None]
) -> tuple[tuple[DataNode, ...], tuple[SentinelNode, ...]]:
    password, sentinel_password = passwords(spec, objects.get(("Secret", who.children.auth_active)))
    has_pods = any(kind == "StatefulSet" and body is not None for (kind, _), body in objects.items())
    commands = sentinel_commands(spec.sentinel.master_name)
    compared = (name for name in directives(redis_conf(spec)) if is_comparable(name))
    questions = (
        *DATA_COMMANDS,
        *config_commands([*compared, *([ANNOUNCED] if spec.is_sentinel_mode else [])]),
    )

    async def ask_data(pod: str) -> DataNode:
        address = identity_address(objects.get(("Service", pod)))
        if address is None or not has_pods:  # nobody to ask yet: a new Service is a black hole for a moment
            return DataNode(pod=pod, address=None, reach=Reach.NO_ADDRESS)
        try:
            replies = await redis.read(address, names.REDIS_PORT, questions, password=password)
        except RedisError as error:
            return DataNode(pod=pod, address=address, reach=reach_of(error))
        node = data_node(pod, address, replies)
        if node.role != "slave" or not node.refused_writes:
            return node
        try:
            replies = await redis.read(address, names.REDIS_PORT, WRITER_COMMANDS, password=password)
        except RedisError:
            return node
        return replace(node, writers=writers(replies))

    async def ask_sentinel(pod: str) -> SentinelNode:
        address = identity_address(objects.get(("Service", pod)))
        if address is None or not has_pods:
            return SentinelNode(pod=pod, address=None, reach=Reach.NO_ADDRESS)
        try:
            replies = await redis.read(address, names.SENTINEL_PORT, commands, password=sentinel_password)
        except RedisError as error:
            return SentinelNode(pod=pod, address=address, reach=reach_of(error))
        return sentinel_node(pod, address, replies)

    data, sentinels = await asyncio.gather(
        asyncio.gather(*(ask_data(pod) for pod in data_pods(who, spec))),
        asyncio.gather(*(ask_sentinel(pod) for pod in sentinel_pods(who, spec))),
    )
    return tuple(data), tuple(sentinels)


def passwords(spec: Spec, active: Object | None) -> tuple[str | None, str | None]:
    """The data nodes' and the sentinels' password that the pods use now; (None, None) with auth off."""
    if not spec.auth.enabled or active is None:
        return None, None
    data = active.get("data") or {}
    return _decoded(data, names.KEY_PASSWORD), _decoded(data, names.KEY_SENTINEL_PASSWORD)


def _decoded(data: Mapping[str, Any], key: str) -> str | None:
    return base64.b64decode(data[key]).decode() if key in data else None
