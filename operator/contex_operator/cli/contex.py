"""Finds the pods of Contex that belong to a resource, and asks them from inside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from contex_operator.errors import Forbidden, KubeError
from contex_operator.kube import Kube
from contex_operator.kube.pods import Pods
from contex_operator.model import Object
from contex_operator.resources import CONFIG_MAP, DEPLOYMENT, POD

from . import answers
from .errors import Stop
from .facts import ContexPod, Facts, Unseen
from .questions import CONTEX_PROBE

PROBE_DEADLINE_S: Final = 30.0
MOST_PODS: Final = 6  # of one Deployment
LOG_LINES: Final = 200
VARIABLES: Final = (
    "REDIS_MODE",
    "REDIS_SENTINEL_HOSTS",
    "REDIS_SENTINEL_MASTER",
    "REDIS_DB",
    "REDIS_MAX_CONNECTIONS",
)
PASSWORDS: Final = ("REDIS_PASSWORD", "REDIS_SENTINEL_PASSWORD", "REDIS_URL")


async def find_contex(
    kube: Kube, pods: Pods, facts: Facts, *, named: tuple[str, ...], unseen: list[Unseen]
) -> tuple[ContexPod, ...]:
    """The pods of the Deployments that are named, that the resource names, or that speak of it in their environment."""
    try:
        deployments = await kube.list(DEPLOYMENT, facts.namespace)
        configs = await _configs(kube, facts.namespace, deployments, unseen)
    except KubeError as error:
        unseen.append(Unseen(what="Contex's Deployments", why=error.message))
        return ()
    there = {str(body["metadata"]["name"]): body for body in deployments}
    for name in named:
        if name not in there:
            raise Stop(
                f"there is no Deployment {name} in {facts.namespace}; it has: {', '.join(sorted(there)) or 'none'}"
            )
    wired = {d.name: d.container for d in facts.spec.contex.deployments} if facts.spec else {}
    targets = [
        (body, container)
        for name, body in sorted(there.items())
        for container in containers_of(body)
        if (
            (name in named and (len(containers_of(body)) == 1 or speaks_redis(container)))
            or (not named and wired.get(name) == container["name"])
            or (not named and name not in wired and speaks_of(facts, environment(container, configs)))
        )
    ]
    found = await asyncio.gather(
        *(_pods_of(kube, pods, facts, body, container, configs, unseen) for body, container in targets)
    )
    return tuple(pod for group in found for pod in group)


def containers_of(deployment: Object) -> list[Mapping[str, Any]]:
    return list(deployment["spec"]["template"]["spec"]["containers"])


def speaks_redis(container: Mapping[str, Any]) -> bool:
    return any(str(entry["name"]).startswith("REDIS_") for entry in container.get("env") or ())


Environment = tuple[Mapping[str, str], Mapping[str, tuple[str, str] | None]]


def environment(container: Mapping[str, Any], configs: Mapping[str, Object | None]) -> Environment:
    """What the template says: the values of what is no secret, and where the passwords come from."""
    env: dict[str, str] = {}
    sources: dict[str, tuple[str, str] | None] = {}
    for bundle in container.get("envFrom") or ():
        config = configs.get((bundle.get("configMapRef") or {}).get("name", "")) or {}
        env |= {key: value for key, value in (config.get("data") or {}).items() if key in VARIABLES}
        secret = (bundle.get("secretRef") or {}).get("name")
        if secret:
            sources |= {variable: (secret, variable) for variable in PASSWORDS}
    for entry in container.get("env") or ():
        name, source = entry["name"], entry.get("valueFrom") or {}
        if name in PASSWORDS:
            reference = source.get("secretKeyRef")
            sources[name] = (reference["name"], reference["key"]) if reference else None
        elif name in VARIABLES:
            reference = source.get("configMapKeyRef") or {}
            config = configs.get(reference.get("name", "")) or {}
            value = entry.get("value", (config.get("data") or {}).get(reference.get("key")))
            if value is not None:
                env[name] = str(value)
    return env, sources


def speaks_of(facts: Facts, environment: Environment) -> bool:
    """Do these variables lead to this resource? By the names of its Services and Secrets."""
    env, sources = environment
    children = facts.children
    hosts = [
        part.strip().split(".", 1)[0].split(":", 1)[0]
        for part in env.get("REDIS_SENTINEL_HOSTS", "").split(",")
    ]
    secrets = {source[0] for source in sources.values() if source}
    members = {node.pod for node in facts.observed.sentinels}
    return bool({*hosts} & {children.sentinel, *members}) or bool(
        secrets & {children.contex_env, children.auth_active}
    )


async def _configs(
    kube: Kube, namespace: str, deployments: Iterable[Object], unseen: list[Unseen]
) -> dict[str, Object | None]:
    """The ConfigMaps that environments are taken from."""
    wanted: set[str] = set()
    for body in deployments:
        for container in containers_of(body):
            references = [
                (e.get("valueFrom") or {}).get("configMapKeyRef") for e in container.get("env") or ()
            ]
            references += [bundle.get("configMapRef") for bundle in container.get("envFrom") or ()]
            if speaks_redis(container) or container.get("envFrom"):
                wanted |= {reference["name"] for reference in references if reference}
    try:
        names = sorted(wanted)
        bodies = await asyncio.gather(*(kube.get(CONFIG_MAP, namespace, name) for name in names))
    except Forbidden as error:
        unseen.append(Unseen(what="ConfigMaps of Contex", why=error.message))
        return {}
    return dict(zip(names, bodies, strict=True))


async def _pods_of(
    kube: Kube,
    pods: Pods,
    facts: Facts,
    deployment: Object,
    container: Mapping[str, Any],
    configs: Mapping[str, Object | None],
    unseen: list[Unseen],
) -> list[ContexPod]:
    labels = deployment["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    bodies = [
        b
        for b in await kube.list(POD, facts.namespace, labels=selector)
        if "deletionTimestamp" not in b["metadata"]
    ]
    bodies.sort(key=lambda body: str(body["metadata"].get("creationTimestamp")), reverse=True)
    known = [_contex_pod(deployment, str(container["name"]), body, configs) for body in bodies[:MOST_PODS]]
    return list(await asyncio.gather(*(_ask(pods, facts.namespace, pod, unseen) for pod in known)))


def _contex_pod(
    deployment: Object, container: str, body: Object, configs: Mapping[str, Object | None]
) -> ContexPod:
    """A pod before it is asked: in the middle of a rollout its own environment is not the Deployment's."""
    own: Mapping[str, Any] = next((one for one in body["spec"]["containers"] if one["name"] == container), {})
    env, sources = environment(own, configs)
    return ContexPod(
        name=str(body["metadata"]["name"]),
        deployment=str(deployment["metadata"]["name"]),
        container=container,
        ip=(body.get("status") or {}).get("podIP"),
        labels=body["metadata"].get("labels") or {},
        selector=deployment["spec"]["selector"].get("matchLabels") or {},
        env=env,
        sources=sources,
    )


async def _ask(pods: Pods, namespace: str, pod: ContexPod, unseen: list[Unseen]) -> ContexPod:
    for python in ("python", "python3"):
        try:
            ran = await pods.run(
                namespace, pod.name, pod.container, [python, "-c", CONTEX_PROBE], deadline_s=PROBE_DEADLINE_S
            )
        except Forbidden as error:
            unseen.append(Unseen(what="Redis as Contex's pods see it", why=error.message))
            return pod
        except KubeError:
            continue  # it does not run, or has no such program: its log is next
        told = answers.told_by_contex(ran.stdout)
        if told is not None:
            return replace(pod, is_asked=True, **told)
    return replace(pod, log=await _troubles(pods, namespace, pod, unseen))


async def _troubles(pods: Pods, namespace: str, pod: ContexPod, unseen: list[Unseen]) -> tuple[str, ...]:
    """What the log of a container that cannot be entered says of Redis: of this run, or of the one before."""
    for is_previous in (True, False):
        try:
            log = await pods.logs(
                namespace, pod.name, pod.container, lines=LOG_LINES, is_previous=is_previous
            )
        except Forbidden as error:
            unseen.append(Unseen(what=f"the log of {pod.name}", why=error.message))
            return ()
        except KubeError:
            continue  # there is none of that run
        lines = answers.troubled_lines(log)
        if lines:
            return lines
    return ()
