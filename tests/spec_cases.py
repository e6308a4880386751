"""What a ContexRedis must not ask for: one table for the parser's tests and for those on a real API server.

`at` is the field that the API server blames; the parser blames the same one or a place inside of it. `says` is in
both sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Refused:
    case: str
    spec: Json
    at: str
    says: str
    name: str = "redis"
    # Where the schema refuses it before any rule, with a sentence of the API server's own; and where that server
    # spells the place in another way.
    api_says: str | None = None
    api_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A change of an existing resource that the API server refuses; the parser, which sees one spec, does not."""

    case: str
    before: Json
    after: Json
    at: str
    says: str


def sentinel(**fields: Any) -> Json:
    """A spec of mode sentinel."""
    return {"mode": "sentinel", **fields}


def config(**directives: Any) -> Json:
    return {"config": {name.replace("_", "-"): value for name, value in directives.items()}}


NAMES = (
    Refused(
        case="a name of 44",
        name="r" * 44,
        spec={},
        at="metadata.name",
        api_at="<nil>",
        says="at most 43 characters",
    ),
    Refused(
        case="a name with a dot", name="redis.one", spec={}, at="metadata.name", api_at="<nil>", says="dots"
    ),
    Refused(
        case="a name that begins with a digit",
        name="7redis",
        spec={},
        at="metadata.name",
        api_at="<nil>",
        says="letter",
    ),
)

TOGETHER = (
    Refused(
        case="no replica in mode sentinel",
        spec=sentinel(replicas=0),
        at="spec.replicas",
        says="mode sentinel needs at least 1 replica to fail over to",
    ),
    Refused(
        case="strict with one replica",
        spec=sentinel(durability="strict", replicas=1),
        at="spec.durability",
        says="needs at least 2 replicas",
    ),
    Refused(
        case="strict without volumes",
        spec=sentinel(durability="strict", persistence={"enabled": False}),
        at="spec.durability",
        says="needs volumes that outlive their pods",
    ),
    Refused(
        case="connection sentinel in mode standalone",
        spec={"mode": "standalone", "contex": {"connection": "sentinel"}},
        at="spec.contex.connection",
        says="sentinel needs sentinels, and mode standalone has none",
    ),
    Refused(
        case="a Secret named without auth",
        spec={"auth": {"enabled": False, "secretName": "mine"}},
        at="spec.auth.secretName",
        says="nobody would ask for its password",
    ),
    *(
        Refused(
            case=f"the operator's own Secret {secret}",
            spec={"auth": {"secretName": secret}},
            at="spec.auth.secretName",
            says="the operator's own copy",
        )
        for secret in ("redis-auth-active", "redis-contex-env")
    ),
    Refused(
        case="deployments with wiring none",
        spec={"contex": {"wiring": "none", "deployments": [{"name": "contex"}]}},
        at="spec.contex.deployments",
        says="choose wiring patch",
    ),
    Refused(
        case="deployments with wiring configMap",
        spec={"contex": {"wiring": "configMap", "deployments": [{"name": "contex"}]}},
        at="spec.contex.deployments",
        says="choose wiring patch",
    ),
    Refused(
        case="takeOver with wiring configMap",
        spec={"contex": {"wiring": "configMap", "takeOver": True}},
        at="spec.contex.takeOver",
        says="choose wiring patch",
    ),
    *(
        Refused(
            case=f"sentinelShim with {what}",
            spec={**spec, "contex": {**contex, "sentinelShim": True}},
            at="spec.contex.sentinelShim",
            says="is for connection sentinel with wiring patch",
        )
        for what, spec, contex in (
            ("mode standalone", {}, {}),
            ("connection service", sentinel(), {"connection": "service"}),
            ("wiring configMap", sentinel(), {"wiring": "configMap"}),
            ("wiring none", sentinel(), {"wiring": "none"}),
        )
    ),
)

SENTINELS = (
    *(
        Refused(
            case=f"{count} sentinels",
            spec=sentinel(sentinel={"replicas": count}),
            at="spec.sentinel.replicas",
            says="an even count of sentinels",
        )
        for count in (0, 2, 4)
    ),
    Refused(
        case="a single sentinel",
        spec=sentinel(sentinel={"replicas": 1}),
        at="spec.sentinel.replicas",
        says="fewer than 3 sentinels cannot outvote one that is lost",
    ),
    Refused(
        case="quorum above the count",
        spec=sentinel(sentinel={"quorum": 4}),
        at="spec.sentinel.quorum",
        says="above the count of sentinels",
    ),
    Refused(
        case="quorum of one",
        spec=sentinel(sentinel={"quorum": 1}),
        at="spec.sentinel.quorum",
        says="a minority could start a failover of a healthy master",
    ),
    Refused(
        case="quorum below the majority of five",
        spec=sentinel(sentinel={"replicas": 5, "quorum": 2}),
        at="spec.sentinel.quorum",
        says="a minority could start a failover of a healthy master",
    ),
    Refused(
        case="down-after of 1999",
        spec=sentinel(sentinel={"downAfterMilliseconds": 1999}),
        at="spec.sentinel.downAfterMilliseconds",
        says="must be at least 2000",
    ),
    Refused(
        case="failover timeout below down-after",
        spec=sentinel(sentinel={"downAfterMilliseconds": 5000, "failoverTimeoutMilliseconds": 4999}),
        at="spec.sentinel.failoverTimeoutMilliseconds",
        says="given up before it can end",
    ),
    Refused(
        case="a master name with a space",
        spec=sentinel(sentinel={"masterName": "my master"}),
        at="spec.sentinel.masterName",
        says="like mymaster",
    ),
)

FIELDS = (
    Refused(case="an empty image", spec={"image": ""}, at="spec.image", says="like redis:7-alpine"),
    Refused(case="a blank image", spec={"image": "redis: 7"}, at="spec.image", says="like redis:7-alpine"),
    Refused(
        case="a mode that there is not",
        spec={"mode": "cluster"},
        at="spec.mode",
        says="standalone",
        api_says='supported values: "standalone", "sentinel"',
    ),
    *(
        Refused(
            case=f"negative {field.rpartition('.')[2]}",
            spec=nested,
            at=field,
            says="-1",
            api_says="should be greater than or equal to",
        )
        for field, nested in (
            ("spec.replicas", {"replicas": -1}),
            ("spec.sentinel.parallelSyncs", {"sentinel": {"parallelSyncs": -1}}),
            ("spec.contex.database", {"contex": {"database": -1}}),
            ("spec.contex.maxConnections", {"contex": {"maxConnections": -1}}),
            ("spec.contex.socketTimeout", {"contex": {"socketTimeout": -1}}),
            ("spec.contex.socketConnectTimeout", {"contex": {"socketConnectTimeout": -1}}),
            ("spec.contex.healthCheckInterval", {"contex": {"healthCheckInterval": -1}}),
            ("spec.securityContext.runAsUser", {"securityContext": {"runAsUser": -1}}),
        )
    ),
    Refused(
        case="root",
        spec={"securityContext": {"runAsUser": 0}},
        at="spec.securityContext.runAsUser",
        says="0",
        api_says="should be greater than or equal to 1",
    ),
    Refused(
        case="database 16",
        spec={"contex": {"database": 16}},
        at="spec.contex.database",
        says="15",
        api_says="should be less than or equal to 15",
    ),
    Refused(
        case="half a second",
        spec={"contex": {"socketTimeout": 0.5}},
        at="spec.contex.socketTimeout",
        says="whole number",
        api_says="must be of type int",
    ),
    Refused(
        case="a deployment without name",
        spec={"contex": {"deployments": [{"container": "contex"}]}},
        at="spec.contex.deployments[0].name",
        says="name",
        api_says="Required value",
    ),
    Refused(
        case="a deployment with an empty name",
        spec={"contex": {"deployments": [{"name": ""}]}},
        at="spec.contex.deployments[0].name",
        says="the name of a Deployment",
    ),
    Refused(
        case="a container with a blank",
        spec={"contex": {"deployments": [{"name": "contex", "container": "my app"}]}},
        at="spec.contex.deployments[0].container",
        says="the name of a container",
    ),
    Refused(
        case="a deployment twice",
        spec={"contex": {"deployments": [{"name": "contex"}, {"name": "contex", "container": "contex"}]}},
        at="spec.contex.deployments[1]",
        says="a second time",
        api_says="Duplicate value",
    ),
    *(
        Refused(
            case=f"the label {key}",
            spec={"podLabels": {key: "mine"}},
            at="spec.podLabels",
            says="cannot be set in podLabels",
        )
        for key in (
            "app",
            "app.kubernetes.io/managed-by",
            "controller-revision-hash",
            "redis.contex.io/role",
            "statefulset.kubernetes.io/pod-name",
            "apps.kubernetes.io/pod-index",
        )
    ),
    Refused(
        case="the annotation of the operator",
        spec={"podAnnotations": {"redis.contex.io/applied": "1"}},
        at="spec.podAnnotations",
        says="cannot be set in podAnnotations",
    ),
    Refused(
        case="a size without sense",
        spec={"persistence": {"size": "much"}},
        at="spec.persistence.size",
        says="8Gi",
        api_says="should match",
    ),
    Refused(
        case="a request that is no quantity",
        spec={"resources": {"requests": {"memory": "1 GB"}}},
        at="spec.resources.requests.memory",
        says="Kubernetes quantity",
        api_says="should match",
    ),
    Refused(
        case="Exists with a value",
        spec={"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        at="spec.tolerations[0]",
        says="a toleration with operator Exists has no value",
    ),
    Refused(
        case="a toleration of nothing",
        spec={"tolerations": [{"effect": "NoSchedule"}]},
        at="spec.tolerations[0]",
        says="a toleration without key needs operator Exists",
    ),
    Refused(
        case="seconds for NoSchedule",
        spec={"tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]},
        at="spec.tolerations[0]",
        says="needs effect NoExecute",
    ),
    Refused(
        case="Localhost without a profile",
        spec={"securityContext": {"seccompProfile": {"type": "Localhost"}}},
        at="spec.securityContext.seccompProfile",
        says="give both or neither",
    ),
)

CONFIG = (
    Refused(
        case="a directive in capitals",
        spec=config(REQUIREPASS="secret"),
        at="spec.config",
        says="names are written in lower case, like maxmemory-policy",
    ),
    Refused(
        case="a directive with a space",
        spec={"config": {"maxmemory 1gb\nport": "1"}},
        at="spec.config",
        says="names are written in lower case, like maxmemory-policy",
    ),
    Refused(
        case="a value with a second line",
        spec=config(maxmemory="1gb\nrequirepass x"),
        at="spec.config.maxmemory",
        api_at="spec.config[maxmemory]",
        says="control character",
    ),
    Refused(
        case="a value with a NUL",
        spec=config(maxmemory="1gb\x00"),
        at="spec.config.maxmemory",
        api_at="spec.config[maxmemory]",
        says="control character",
    ),
    Refused(
        case="yes without quotes",
        spec=config(activedefrag=True),
        at="spec.config.activedefrag",
        says="string",
        api_says="must be of type",
    ),
)

REFUSED = (*NAMES, *TOGETHER, *SENTINELS, *FIELDS, *CONFIG)

# A name for every family of directives that the operator owns, and all those that it owns by name.
OWNED_DIRECTIVES = {
    "spec.auth": (
        "requirepass", "masterauth", "masteruser", "primaryauth", "primaryuser", "user", "aclfile",
    ),
    "spec.durability": (
        "appendonly", "appendfsync", "no-appendfsync-on-rewrite", "min-replicas-to-write",
        "min-replicas-max-lag", "min-slaves-to-write", "min-slaves-max-lag", "aof-load-truncated",
        "replica-read-only", "slave-read-only", "replica-ignore-maxmemory", "slave-ignore-maxmemory",
        "rdbchecksum",
    ),
    "spec.persistence": ("dir", "dbfilename", "appendfilename", "appenddirname"),
    "its address and port": (
        "port", "bind", "bind-source-addr", "protected-mode", "replica-announce-ip", "replica-announced",
        "slave-announce-port", "unixsocket", "unixsocketperm", "tls-port", "tls-replication", "rdma-port",
        "cluster-enabled",
    ),
    "decided by the sentinels": (
        "replicaof", "slaveof", "primaryof", "replica-priority", "slave-priority", "sentinel",
    ),
    "starts, stops and watches": (
        "daemonize", "supervised", "pidfile", "logfile", "syslog-enabled", "shutdown-timeout", "include",
        "rename-command",
    ),
}  # fmt: skip

# Directives that are the user's, with a value that Redis takes.
USERS_DIRECTIVES: Json = {
    "maxmemory": "200mb",
    "maxmemory-policy": "allkeys-lru",
    "save": "",
    "hz": 20,
    "timeout": 300,
    "client-output-buffer-limit": "replica 256mb 64mb 60",
    "notify-keyspace-events": "Ex",
    "appendfsync-like-name": "x",
    "portal": "1",
    "search-timeout": 500,
    "loadmodule": "/opt/redis-stack/lib/redisearch.so",
}

CHANGED = (
    Changed(
        case="a larger volume",
        before={},
        after={"persistence": {"size": "9Gi"}},
        at="spec.persistence.size",
        says="persistence.size cannot be changed in this version",
    ),
    Changed(
        case="a smaller volume, by leaving persistence out",
        before={"persistence": {"size": "9Gi"}},
        after={},
        at="spec.persistence.size",
        says="persistence.size cannot be changed in this version",
    ),
    Changed(
        case="another class",
        before={"persistence": {"storageClassName": "one"}},
        after={"persistence": {"storageClassName": "two"}},
        at="spec.persistence.storageClassName",
        says="persistence.storageClassName cannot be changed",
    ),
    Changed(
        case="a class where there was none",
        before={},
        after={"persistence": {"storageClassName": "two"}},
        at="spec.persistence.storageClassName",
        says="persistence.storageClassName cannot be changed",
    ),
    Changed(
        case="no class where there was one",
        before={"persistence": {"storageClassName": "one"}},
        after={"persistence": {}},
        at="spec.persistence.storageClassName",
        says="persistence.storageClassName cannot be changed",
    ),
    Changed(
        case="volumes taken away",
        before={},
        after={"persistence": {"enabled": False}},
        at="spec.persistence.enabled",
        says="persistence.enabled cannot be changed",
    ),
    Changed(
        case="another master name",
        before=sentinel(),
        after=sentinel(sentinel={"masterName": "other"}),
        at="spec.sentinel.masterName",
        says="masterName cannot be changed",
    ),
    Changed(
        case="the default master name, by leaving sentinel out",
        before=sentinel(sentinel={"masterName": "other"}),
        after=sentinel(),
        at="spec.sentinel.masterName",
        says="masterName cannot be changed",
    ),
    Changed(
        case="auth taken away",
        before={},
        after={"auth": {"enabled": False}},
        at="spec.auth.enabled",
        says="auth.enabled cannot be changed in this version",
    ),
    Changed(
        case="auth added, by leaving auth out",
        before={"auth": {"enabled": False}},
        after={},
        at="spec.auth.enabled",
        says="auth.enabled cannot be changed in this version",
    ),
)

# Changes that must go through: before and after.
FREE_CHANGES: dict[str, tuple[Json, Json]] = {
    "more replicas": (sentinel(), sentinel(replicas=4)),
    "another image": (sentinel(), sentinel(image="redis:8-alpine")),
    "another durability": (sentinel(), sentinel(durability="strict")),
    "volumes that go with it": (sentinel(), sentinel(persistence={"retain": False})),
    "another Secret": (sentinel(), sentinel(auth={"secretName": "mine"})),
    "another quorum": (sentinel(), sentinel(sentinel={"quorum": 3})),
    "other times": (
        sentinel(),
        sentinel(sentinel={"downAfterMilliseconds": 5000, "failoverTimeoutMilliseconds": 20000}),
    ),
    "a directive": (sentinel(), sentinel(config={"maxmemory": "100mb"})),
    "other wiring": (sentinel(), sentinel(contex={"wiring": "none", "connection": "service"})),
    "a pause": (sentinel(), sentinel(paused=True)),
    "nothing at all, with a class": (
        sentinel(persistence={"storageClassName": "one"}),
        sentinel(persistence={"storageClassName": "one"}),
    ),
}
