"""From the resource's body to a Spec: the one door through which `.spec` comes in.

The defaults and refusals of the CRD (helm/contex/crds/contexredises.yaml) are all here again, and beside them
what a schema cannot see: amounts of memory against each other, quoting in redis.conf, values that Redis would
refuse at its start. What cannot be changed later is refused by the CRD alone, which knows the old value. Pure;
called by reconcile.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from . import names, quantity, spec_config, spec_pod
from .errors import SpecError
from .names import Children
from .spec_reader import DNS_LABEL, DNS_NAME, Section
from .spec_types import (
    DURABILITY_PROFILES,
    Auth,
    Connection,
    Contex,
    ContexDeployment,
    Durability,
    DurabilityProfile,
    Manifest,
    Mode,
    Persistence,
    PullPolicy,
    Sentinel,
    Spec,
    Wiring,
    memory_limit_bytes,
)

__all__ = [
    "DURABILITY_PROFILES",
    "Auth",
    "Connection",
    "Contex",
    "ContexDeployment",
    "Durability",
    "DurabilityProfile",
    "Manifest",
    "Mode",
    "Persistence",
    "PullPolicy",
    "Sentinel",
    "Spec",
    "Wiring",
    "parse",
]

MAX_REPLICAS: Final = 20
MAX_SENTINELS: Final = 9

# Below 2 s a sentinel can take the new master for dead before its first PING reaches it, and a second failover
# throws away what that master has acknowledged since (redis#8607; measured at 500 and 1000, never from 1200).
MIN_DOWN_AFTER_MS: Final = 2000

# An idle Redis or Sentinel with the shells of its probes; the replication backlog comes on top.
MIN_MEMORY_BYTES: Final = 32 * 2**20
MIN_STORAGE_BYTES: Final = 64 * 2**20


def parse(body: Mapping[str, Any]) -> Spec:
    """The resource's body as the API returned it → its Spec; SpecError for what cannot be."""
    metadata = Section(body.get("metadata", {}), ".metadata")
    name = _name(metadata)
    section = Section(body.get("spec", {}), ".spec")
    spec = Spec(
        mode=section.choice("mode", Mode.STANDALONE),
        image=section.string("image", "redis:7-alpine", pattern=r"\S+", like="an image like redis:7-alpine"),
        image_pull_policy=section.choice("imagePullPolicy", PullPolicy.IF_NOT_PRESENT),
        image_pull_secrets=tuple(
            secret.string("name", None, pattern=r".+", like="the name of a Secret")
            for secret in section.sections("imagePullSecrets")
        ),
        replicas=section.integer("replicas", 2, low=0, high=MAX_REPLICAS),
        durability=section.choice("durability", Durability.BALANCED),
        config=_config(section),
        persistence=_persistence(section.section("persistence")),
        resources=spec_pod.resources(section, spec_pod.DEFAULT_RESOURCES),
        node_selector=spec_pod.labels(section, "nodeSelector"),
        tolerations=tuple(spec_pod.toleration(item) for item in section.sections("tolerations")),
        affinity=spec_pod.as_written(section.section("affinity")) or None,
        priority_class_name=section.optional_string(
            "priorityClassName", pattern=DNS_NAME, like="the name of a PriorityClass"
        ),
        pod_labels=spec_pod.pod_labels(section),
        pod_annotations=spec_pod.pod_annotations(section),
        security_context=spec_pod.security_context(section.section("securityContext")),
        auth=_auth(section.section("auth"), name=name),
        sentinel=_sentinel(section.section("sentinel")),
        failover_assisted=section.section("failover").boolean("assisted", True),
        contex=_contex(section),
        paused=section.boolean("paused", False),
    )
    _check_together(section, spec)
    return spec


def _name(metadata: Section) -> str:
    name = metadata.string(
        "name",
        None,
        pattern=r"[a-z]([-a-z0-9]*[a-z0-9])?",
        like="lower case letters, digits and '-', beginning with a letter, without dots",
    )
    if len(name) > names.MAX_NAME_LENGTH:
        raise SpecError(
            metadata.at("name"),
            f"must be at most {names.MAX_NAME_LENGTH} characters, not {len(name)},"
            " because the names of the pods are made from it",
        )
    return name


def _config(section: Section) -> dict[str, str]:
    config = section.scalars("config")
    for name, value in config.items():
        if not spec_config.NAME.fullmatch(name):
            raise SpecError(
                section.at("config"),
                f"{name!r} is no directive of redis.conf; names are written in lower case, like maxmemory-policy",
            )
        if len(value) > spec_config.MAX_VALUE_LENGTH:
            raise SpecError(section.at(f"config.{name}"), f"is longer than {spec_config.MAX_VALUE_LENGTH}")
        # In redis.conf an empty value is written as two quotes: `save ""`.
        config[name] = value = value.strip() or '""'
        if problem := spec_config.problem(name, value):
            raise SpecError(section.at(f"config.{name}"), f"{name} {problem}")
    if pair := spec_config.problem_between(config):
        raise SpecError(section.at(f"config.{pair[0]}"), " ".join(pair))
    return config


def _persistence(section: Section) -> Persistence:
    size = section.string(
        "size", "8Gi", pattern=r"[0-9]+(\.[0-9]+)?([kMGTP]|[KMGTP]i)?", like="a size like 8Gi"
    )
    if quantity.amount(size) < MIN_STORAGE_BYTES:
        least = quantity.for_people(MIN_STORAGE_BYTES)
        raise SpecError(section.at("size"), f"must be at least {least}, like 8Gi, not {size}")
    return Persistence(
        enabled=section.boolean("enabled", True),
        size=size,
        storage_class_name=section.optional_string(
            "storageClassName", pattern=DNS_NAME, like="the name of a StorageClass"
        ),
        retain=section.boolean("retain", True),
    )


def _auth(section: Section, *, name: str) -> Auth:
    auth = Auth(
        enabled=section.boolean("enabled", True),
        secret_name=section.optional_string("secretName", pattern=DNS_NAME, like="the name of a Secret"),
    )
    if auth.secret_name and not auth.enabled:
        raise SpecError(
            section.at("secretName"),
            "is given while auth.enabled is false: nobody would ask for its password; leave one of the two"
            " out",
        )
    children = Children(name)
    if auth.secret_name in (children.auth_active, children.contex_env):
        raise SpecError(
            section.at("secretName"),
            f"{auth.secret_name} is the operator's own copy; name a Secret of yours or leave it out",
        )
    return auth


def _sentinel(section: Section) -> Sentinel:
    replicas = _sentinel_count(section)
    down_after_ms = section.integer("downAfterMilliseconds", 3000, low=0, high=600_000)
    if down_after_ms < MIN_DOWN_AFTER_MS:
        raise SpecError(
            section.at("downAfterMilliseconds"),
            f"must be at least {MIN_DOWN_AFTER_MS}, not {down_after_ms}: below it a failover can be followed by a"
            " second one that throws acknowledged writes away",
        )
    timeout_ms = section.integer("failoverTimeoutMilliseconds", 10_000, low=0, high=3_600_000)
    if timeout_ms < down_after_ms:
        raise SpecError(
            section.at("failoverTimeoutMilliseconds"),
            f"{timeout_ms} is below downAfterMilliseconds, {down_after_ms}, so that a failover would be given"
            " up before it can end; use at least three times downAfterMilliseconds",
        )
    return Sentinel(
        replicas=replicas,
        quorum=_quorum(section, replicas=replicas),
        master_name=section.string(
            "masterName", "mymaster", pattern=r"[A-Za-z0-9._-]{1,64}", like="a name like mymaster"
        ),
        down_after_ms=down_after_ms,
        failover_timeout_ms=timeout_ms,
        parallel_syncs=section.integer("parallelSyncs", 1, low=1, high=MAX_REPLICAS),
        resources=spec_pod.resources(section, spec_pod.DEFAULT_SENTINEL_RESOURCES),
    )


def _sentinel_count(section: Section) -> int:
    replicas = section.integer("replicas", 3, low=0, high=MAX_SENTINELS)
    if replicas % 2 == 0:
        raise SpecError(
            section.at("replicas"),
            f"an even count of sentinels, {replicas}, survives no more faults than one sentinel less; use an odd"
            " number like 3 or 5",
        )
    if replicas < 3:
        raise SpecError(
            section.at("replicas"), "fewer than 3 sentinels cannot outvote one that is lost; use 3, 5 or 7"
        )
    return replicas


def _quorum(section: Section, *, replicas: int) -> int:
    """The quorum; the majority where none is written.

    Below the majority a minority could start a failover of a healthy master: sentinels vote for whoever asks
    first, whether or not they see the master down themselves (sentinel.c, sentinelVoteLeader).
    """
    majority = replicas // 2 + 1
    quorum = section.optional_integer("quorum", low=1, high=MAX_SENTINELS)
    if quorum is None or majority <= quorum <= replicas:
        return quorum or majority
    wrong = (
        f"is above the count of sentinels, {replicas}, and can never be reached"
        if quorum > replicas
        else f"is below the majority of {replicas} sentinels, so that a minority could start a failover of a healthy"
        " master"
    )
    raise SpecError(
        section.at("quorum"), f"a quorum of {quorum} {wrong}; leave quorum out for the majority, {majority}"
    )


def _contex(spec: Section) -> Contex:
    section = spec.section("contex")
    standalone = spec.choice("mode", Mode.STANDALONE) is Mode.STANDALONE
    connection = section.optional_choice("connection", Connection)
    if standalone and connection is Connection.SENTINEL:
        raise SpecError(
            section.at("connection"),
            "sentinel needs sentinels, and mode standalone has none; leave it out, use service, or choose mode"
            " sentinel",
        )
    connection = connection or (Connection.SERVICE if standalone else Connection.SENTINEL)
    wiring = section.choice("wiring", Wiring.PATCH)
    has_use_for_shim = wiring is Wiring.PATCH and connection is Connection.SENTINEL
    contex = Contex(
        deployments=_deployments(section),
        wiring=wiring,
        take_over=section.boolean("takeOver", False),
        sentinel_shim=section.boolean("sentinelShim", has_use_for_shim),
        connection=connection,
        database=section.integer("database", 0, low=0, high=15),
        max_connections=section.integer("maxConnections", 50, low=1, high=100_000),
        socket_timeout_s=section.integer("socketTimeout", 5, low=1, high=3600),
        socket_connect_timeout_s=section.integer("socketConnectTimeout", 5, low=1, high=3600),
        socket_keepalive=section.boolean("socketKeepalive", True),
        retry_on_timeout=section.boolean("retryOnTimeout", True),
        health_check_interval_s=section.integer("healthCheckInterval", 30, low=0, high=86_400),
    )
    if contex.wiring is not Wiring.PATCH:
        for given, name in ((contex.deployments, "deployments"), (contex.take_over, "takeOver")):
            if given:
                raise SpecError(
                    section.at(name),
                    f"is for wiring patch, and wiring {contex.wiring} touches no Deployment; leave it out or"
                    " choose wiring patch",
                )
    if contex.sentinel_shim and not has_use_for_shim:
        raise SpecError(
            section.at("sentinelShim"),
            "is for connection sentinel with wiring patch, which mounts it; leave it out, or choose both",
        )
    return contex


def _deployments(section: Section) -> tuple[ContexDeployment, ...]:
    deployments: list[ContexDeployment] = []
    for item in section.sections("deployments"):
        deployment = ContexDeployment(
            name=item.string("name", None, pattern=DNS_NAME, like="the name of a Deployment"),
            container=item.string("container", "contex", pattern=DNS_LABEL, like="the name of a container"),
        )
        if deployment in deployments:
            raise SpecError(item.path, f"names {deployment.name} and its container a second time")
        deployments.append(deployment)
    return tuple(deployments)


def _check_together(section: Section, spec: Spec) -> None:
    """What only several fields together get wrong."""
    if spec.is_sentinel_mode and spec.replicas == 0:
        raise SpecError(
            section.at("replicas"),
            "mode sentinel needs at least 1 replica to fail over to; use 1 or more, or choose mode"
            " standalone",
        )
    if spec.durability is Durability.STRICT:
        if spec.is_sentinel_mode and spec.replicas < 2:
            raise SpecError(
                section.at("durability"),
                "strict needs at least 2 replicas, otherwise the restart of a replica stops all writes; set"
                " replicas to 2 or more, or choose balanced",
            )
        if not spec.persistence.enabled:
            raise SpecError(
                section.at("durability"),
                "strict needs volumes that outlive their pods; set persistence.enabled to true, or choose"
                " balanced",
            )
    databases = int(spec.config.get("databases", spec_config.DEFAULT_DATABASES))
    if spec.contex.database >= databases:
        raise SpecError(
            section.at("contex.database"),
            f"{spec.contex.database} is not among the {databases} databases, which count from 0",
        )
    _check_memory(section, spec)


def _check_memory(section: Section, spec: Spec) -> None:
    backlog = spec_config.backlog_bytes(spec.config) if spec.is_sentinel_mode else 0
    with_backlog = f" with a replication backlog of {quantity.for_people(backlog)}" if backlog else ""
    _check_least(section, spec.resources, MIN_MEMORY_BYTES + backlog, f"Redis{with_backlog}")
    sentinel = section.section("sentinel")
    _check_least(sentinel, spec.sentinel.resources, MIN_MEMORY_BYTES, "a sentinel")
    limit, maxmemory = spec.memory_limit_bytes, spec.config.get("maxmemory")
    if limit is not None and maxmemory is not None and quantity.redis_memory(maxmemory) > limit:
        raise SpecError(
            section.at("config.maxmemory"),
            f"{maxmemory} is above the memory limit of {quantity.for_people(limit)}, so that Redis would be"
            " killed before it is full; use about 60 % of the limit",
        )


def _check_least(section: Section, resources: Manifest, least: int, what: str) -> None:
    limit = memory_limit_bytes(resources)
    if limit is not None and Decimal(limit) < least:
        raise SpecError(
            section.at("resources.limits.memory"),
            f"{resources['limits']['memory']} is too little: {what} needs at least"
            f" {quantity.for_people(least)}",
        )
