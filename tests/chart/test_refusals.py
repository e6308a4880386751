"""What the chart refuses: every wrong value with its path, every contradiction with what to write instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chart.examples import EXTERNAL, EXTERNAL_SENTINEL, SENTINEL, SENTINEL_AUTH
from tests.chart.readme import NEEDED, values
from tests.chart.rendering import CHART, RefusedError, helm, merged, nested, render


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("replicas", 2),
        ("replicaCount", "2"),
        ("replicaCount", -1),
        ("image.tag", 7),
        ("image.tag", "a b"),
        ("image.digest", "sha256:short"),
        ("image.pullPolicy", "Sometimes"),
        ("imagePullSecrets", ["registry"]),
        ("podAnnotations.x", 1),
        ("resources.limits.memory", "much"),
        ("resources.limit", {}),
        ("service.type", "Cluster"),
        ("service.port", 70000),
        ("ingress.hosts", ["contex.example.com"]),
        ("autoscaling.enabled", "yes"),
        ("autoscaling.minReplicas", 0),
        ("podDisruptionBudget.maxUnavailable", "half"),
        ("topologySpread.whenUnsatisfiable", "Hard"),
        ("contex.port", 0),
        ("contex.Redis", {}),
        ("contex.redis.mode", "cluster"),
        ("contex.redis.connection", "direct"),
        ("contex.redis.wiring", "patch"),
        ("contex.redis.url", "redis:6379"),
        ("contex.redis.maxConnections", 0),
        ("contex.redis.socketTimeout", 0.5),
        ("contex.redis.socketConnectTimeout", "5"),
        ("contex.redis.socketKeepalive", "true"),
        ("contex.redis.retryOnTimeout", 1),
        ("contex.redis.healthCheckInterval", -1),
        ("contex.redis.existingSecret", "Not A Name"),
        ("contex.redis.password", 12345),
        ("contex.redis.sentinel.enabled", "true"),
        ("contex.redis.sentinel.hosts", "a,b,c"),
        ("contex.redis.sentinel.hosts", ["a:26379"]),
        ("contex.redis.sentinel.master", ""),
        ("contex.redis.sentinel.master", "my master"),
        ("contex.redis.sentinel.db", -1),
        ("contex.redis.sentinel.shim", "yes"),
        ("contex.redis.sentinel.quorum", 2),
        ("contex.security.rateLimitRequests", 0),
        ("contex.similarity.threshold", 2),
        ("contex.logging.level", "LOUD"),
        ("contex.tracing.enabled", "no"),
        ("redis.architecture", "sentinel"),
        ("redis.image", ""),
        ("redis.image", {"tag": "8"}),
        ("redis.durability", "high"),
        ("redis.config", "maxmemory 1gb"),
        ("redis.config.Max Memory", "1gb"),
        ("redis.auth.enabled", "false"),
        ("redis.auth.existingSecret", "a_b"),
        ("redis.auth.secretName", "mine"),
        ("redis.persistence.retain", "true"),
        ("redis.master.persistence.size", "8 Gi"),
        ("redis.master.persistence.size", 8),
        ("redis.master.persistence.storageClass", 1),
        ("redis.master.count", 3),
        ("redis.replica.replicaCount", 0),
        ("redis.replica.replicaCount", "2"),
        ("redis.sentinel.replicas", 1),
        ("redis.sentinel.replicas", 3.5),
        ("redis.sentinel.quorum", 0),
        ("redis.sentinel.quorum", "2"),
        ("redis.sentinel.qourum", 2),
        ("redis.sentinel.downAfterMilliseconds", 1000),
        ("redis.sentinel.failoverTimeoutMilliseconds", "10s"),
        ("redis.sentinel.parallelSyncs", 0),
        ("operator.enabled", "false"),
        ("operator.replicas", 0),
        ("operator.clusterwide", True),
        ("operator.topologySpread.whenUnsatisfiable", "hard"),
        ("operator.image.tag", 0.1),
        ("serviceMonitor.interval", 15),
        ("podMonitor.interval", "soon"),
        ("podMonitor.enabled", "true"),
        ("prometheusRule.enabled", 1),
        ("prometheusRule.labels", ["a"]),
        ("dashboards.labels.grafana_dashboard", 1),
        ("networkPolicy.enabled", "on"),
        ("networkPolicy.extraFrom", ["app=backup"]),
        ("networkPolicy.extraFrom", [{"pods": {}}]),
        ("crds.upgrade", "no"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(path: str, value: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        render(nested(path, value))
    said = str(refused.value)
    parent, _, key = path.rpartition(".")
    pointer = "/" + path.replace(".", "/")
    assert any(
        at in said
        for at in (
            f"at '{pointer}'",
            f"at '{pointer}/",
            f"at '/{parent.replace('.', '/')}': additional properties '{key}' not allowed",
            f"at '': additional properties '{key}' not allowed",
        )
    ), said


def test_values_for_all_charts_of_a_release_are_welcome() -> None:
    assert render({"global": {"imageRegistry": "registry.example"}}) is not None


STRICT = nested("redis.durability", "strict")
NODES = "contex-redis-node-0.contex-redis-headless:26379"
CONTRADICTIONS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "mode sentinel, no sentinels",
        nested("contex.redis.mode", "sentinel"),
        [
            "contex.redis.mode is sentinel",
            "set redis.architecture=replication and redis.sentinel.enabled=true",
        ],
    ),
    (
        "replication without sentinels",
        nested("redis.architecture", "replication"),
        ["redis.sentinel.enabled is false", "set redis.sentinel.enabled=true"],
    ),
    (
        "mode sentinel, replication without sentinels",
        merged(SENTINEL, nested("redis.sentinel.enabled", False)),
        ["redis.sentinel.enabled is false", "set redis.sentinel.enabled=true"],
    ),
    (
        "sentinels without replication",
        merged(SENTINEL, nested("redis.architecture", "standalone")),
        ["redis.architecture is standalone", "set redis.architecture=replication"],
    ),
    (
        "mode sentinel, contex.redis.sentinel.enabled false",
        merged(SENTINEL, nested("contex.redis.sentinel.enabled", False)),
        [
            "contex.redis.sentinel.enabled is false",
            "set contex.redis.mode=standalone, or contex.redis.sentinel.enabled=true",
        ],
    ),
    (
        "mode standalone, contex.redis.sentinel.enabled true",
        nested("contex.redis.sentinel.enabled", True),
        ["contex.redis.mode is standalone", "set contex.redis.mode=sentinel"],
    ),
    (
        "connection sentinel, mode standalone",
        nested("contex.redis.connection", "sentinel"),
        ["contex.redis.connection is sentinel", "set contex.redis.mode=sentinel"],
    ),
    (
        "even count",
        merged(SENTINEL, nested("redis.sentinel.replicas", 4)),
        ["redis.sentinel.replicas is 4", "redis.sentinel.replicas=3 or 5"],
    ),
    (
        "quorum above the count",
        merged(SENTINEL, nested("redis.sentinel.quorum", 4)),
        ["redis.sentinel.quorum is 4", "only 3 sentinels", "set redis.sentinel.quorum=2"],
    ),
    (
        "quorum below the majority",
        merged(SENTINEL, nested("redis.sentinel", {"quorum": 2, "replicas": 5})),
        ["a minority of 5 sentinels", "set redis.sentinel.quorum=3"],
    ),
    (
        "failover shorter than its detection",
        merged(SENTINEL, nested("redis.sentinel.downAfterMilliseconds", 20000)),
        ["failoverTimeoutMilliseconds is 10000, below redis.sentinel.downAfterMilliseconds, 20000"],
    ),
    (
        "strict with one replica",
        merged(SENTINEL, STRICT, nested("redis.replica.replicaCount", 1)),
        ["redis.durability is strict", "set redis.replica.replicaCount=2"],
    ),
    (
        "strict without volumes",
        merged(STRICT, nested("redis.master.persistence.enabled", False)),
        ["redis.durability is strict", "set redis.master.persistence.enabled=true"],
    ),
    (
        "volumes of two sizes",
        merged(SENTINEL, nested("redis.master.persistence.size", "20Gi")),
        [
            'redis.master.persistence.size is "20Gi"',
            'redis.replica.persistence.size is "8Gi"',
            "the same under both",
        ],
    ),
    (
        "volumes of two classes",
        merged(SENTINEL, nested("redis.replica.persistence.storageClass", "fast")),
        ["redis.replica.persistence.storageClass", "the same under both"],
    ),
    (
        "volumes for some",
        merged(SENTINEL, nested("redis.replica.persistence.enabled", False)),
        ["redis.replica.persistence.enabled", "the same under both"],
    ),
    (
        "two kinds of resources",
        merged(SENTINEL, nested("redis.master.resources.limits.memory", "2Gi")),
        ["redis.master.resources and redis.replica.resources differ", "the same under both"],
    ),
    (
        "hosts of another Redis",
        merged(SENTINEL, nested("contex.redis.sentinel.hosts", "sentinel-0:26379")),
        ['"sentinel-0:26379"', "leave contex.redis.sentinel.hosts empty", "set redis.enabled=false"],
    ),
    (
        "more hosts than sentinels",
        merged(SENTINEL, nested("contex.redis.sentinel.hosts", "contex-redis-sentinel-3:26379")),
        ['"contex-redis-sentinel-3:26379"', "leave contex.redis.sentinel.hosts empty"],
    ),
    (
        "hosts old and foreign",
        merged(SENTINEL, nested("contex.redis.sentinel.hosts", f"{NODES},other:26379")),
        ['"other:26379"'],
    ),
    (
        "hosts that only look old",
        merged(SENTINEL, nested("contex.redis.sentinel.hosts", NODES.replace("node-0", "node-a"))),
        ["contex-redis-node-a"],
    ),
    (
        "old hosts of another release",
        merged(SENTINEL, nested("fullnameOverride", "shop"), nested("contex.redis.sentinel.hosts", NODES)),
        [f'"{NODES}"', "shop-redis-sentinel-0.shop-redis-sentinel:26379"],
    ),
    (
        "password without auth",
        nested("redis.auth.password", "hush"),
        ["redis.auth.enabled is false", "set redis.auth.enabled=true"],
    ),
    (
        "two passwords",
        merged(
            SENTINEL_AUTH, nested("redis.auth.password", "hush"), nested("contex.redis.password", "shush")
        ),
        ["contex.redis.password and redis.auth.password differ"],
    ),
    (
        "password and Secret",
        merged(SENTINEL_AUTH, nested("redis.auth", {"password": "hush", "existingSecret": "mine"})),
        ["redis.auth.existingSecret names a Secret", "remove redis.auth.password"],
    ),
    (
        "password of the sentinels alone",
        merged(SENTINEL_AUTH, nested("contex.redis.sentinel.password", "hush")),
        ["give redis.auth.password too, or neither"],
    ),
    (
        "Secret without auth",
        nested("redis.auth.existingSecret", "mine"),
        ["redis.auth.existingSecret names a Secret, but redis.auth.enabled is false"],
    ),
    (
        "Secret of an external Redis",
        nested("contex.redis.existingSecret", "mine"),
        ["use redis.auth.existingSecret, or set redis.enabled=false"],
    ),
    (
        "address of an external Redis",
        nested("contex.redis.url", "redis://elsewhere:6379"),
        ["redis.enabled is true", "set redis.enabled=false, or remove contex.redis.url"],
    ),
    (
        "database out of range",
        nested("contex.redis.sentinel.db", 16),
        ["contex.redis.sentinel.db is 16", "0 to 15"],
    ),
    (
        "salt and Secret",
        nested("contex.security", {"apiKeySalt": "hush", "existingSecret": "mine"}),
        ["contex.security.existingSecret names a Secret"],
    ),
    (
        "external sentinels without hosts",
        merged(EXTERNAL, nested("contex.redis.mode", "sentinel")),
        ["contex.redis.sentinel.hosts is empty", "host:26379"],
    ),
    (
        "external without address",
        merged(EXTERNAL, nested("contex.redis.url", "")),
        ["contex.redis.url is empty", "redis://host:6379"],
    ),
    (
        "external by Service",
        merged(EXTERNAL_SENTINEL, nested("contex.redis.connection", "service")),
        ["leave contex.redis.connection empty"],
    ),
    (
        "external, Secret and password",
        merged(EXTERNAL, nested("contex.redis", {"existingSecret": "mine", "password": "hush"})),
        ["contex.redis.existingSecret names a Secret"],
    ),
    (
        "external, password twice",
        merged(EXTERNAL, nested("contex.redis", {"url": "redis://:hush@r:6379", "password": "hush"})),
        ["contex.redis.url carries credentials"],
    ),
    (
        "operator wires an external Redis",
        merged(EXTERNAL, nested("contex.redis.wiring", "operator")),
        ["contex.redis.wiring is operator", "set contex.redis.wiring=chart"],
    ),
    (
        "operator wires nothing",
        merged(nested("contex.enabled", False), nested("contex.redis.wiring", "operator")),
        ["there is no Deployment to wire"],
    ),
    (
        "fewer pods than the fewest",
        nested("autoscaling", {"minReplicas": 4, "maxReplicas": 3}),
        ["set autoscaling.maxReplicas to 4 or more"],
    ),
    (
        "a scrape longer than its interval",
        nested("podMonitor", {"enabled": True, "interval": "1m", "scrapeTimeout": "1m30s"}),
        [
            "podMonitor.scrapeTimeout is 1m30s, longer than podMonitor.interval, 1m",
            "scrapeTimeout=1m or less",
        ],
    ),
    (
        "a scrape of Contex longer than its interval",
        nested("serviceMonitor.interval", "9500ms"),
        ["serviceMonitor.scrapeTimeout is 10s, longer than serviceMonitor.interval, 9500ms"],
    ),
    (
        "a name that no Service may have",
        nested("fullnameOverride", "7-contex"),
        ['"7-contex"', "set fullnameOverride"],
    ),
]


@pytest.mark.parametrize(
    ("values", "sentences"), [each[1:] for each in CONTRADICTIONS], ids=[c[0] for c in CONTRADICTIONS]
)
def test_a_contradiction_is_refused_with_what_to_write_instead(
    values: dict[str, Any], sentences: list[str]
) -> None:
    with pytest.raises(RefusedError) as refused:
        render(values)
    said = str(refused.value)
    for sentence in sentences:
        assert sentence in said
    assert said.count("\n- ") == 1, f"one contradiction, one sentence:\n{said}"
    assert "hush" not in said
    assert "shush" not in said


def test_all_contradictions_are_told_at_once() -> None:
    values = merged(SENTINEL, nested("redis.sentinel.quorum", 4), nested("redis.auth.password", "hush"))
    with pytest.raises(RefusedError) as refused:
        render(values)
    assert str(refused.value).count("\n- ") == 2


def test_a_release_with_a_name_that_no_service_may_have_is_refused() -> None:
    with pytest.raises(RefusedError, match="set fullnameOverride"):
        render(release="my.contex")


def test_what_a_standalone_redis_does_not_use_is_not_compared() -> None:
    assert render(nested("redis.replica.persistence.size", "1Gi")).spec()["persistence"]["size"] == "8Gi"


@pytest.mark.parametrize("binary", ["helm", "helm4"])
def test_every_value_of_the_wrong_type_is_refused_with_its_path(binary: str, tmp_path: Path) -> None:
    wrong = {v.path: "wrong" if isinstance(v.default, (dict, list)) else ["wrong"] for v in values()}
    given = tmp_path / "values.json"
    given.write_text(json.dumps(merged(*(nested(path, value) for path, value in wrong.items()))))
    done = helm("template", "contex", str(CHART), "--values", str(given), binary=binary)
    assert done.returncode != 0
    pointers = {path: f"at '/{path.replace('.', '/')}" for path in wrong}
    assert not [
        path for path, at in pointers.items() if f"{at}'" not in done.stderr and f"{at}/" not in done.stderr
    ]


def test_what_cannot_be_null_is_named_all_at_once() -> None:
    paths = NEEDED.read_text().split()
    with pytest.raises(RefusedError) as refused:
        render(merged(*(nested(path, None) for path in paths)))
    said = str(refused.value)
    assert "leave them out for their defaults" in said
    assert [line[2:] for line in said.splitlines() if line.startswith("- ")] == paths


def test_a_part_of_the_values_cannot_be_null() -> None:
    with pytest.raises(RefusedError) as refused:
        render(nested("redis.sentinel", None))
    assert str(refused.value).count("\n- ") == 1
    assert "\n- redis.sentinel\n" in str(refused.value)


@pytest.mark.parametrize(
    "path",
    ["resources", "livenessProbe", "redis.master.resources", "autoscaling.targetCPUUtilizationPercentage"],
)
def test_what_may_be_left_out_may_be_null(path: str) -> None:
    assert render(nested(path, None)) is not None
