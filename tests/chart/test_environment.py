"""Contex' Redis environment in each mode: the whole of it, for a missing or stray variable is what breaks Contex."""

from __future__ import annotations

from typing import Any

import pytest
from contex_operator import contexshim

from tests.chart.examples import EXTERNAL, EXTERNAL_SENTINEL, SENTINEL, SENTINEL_AUTH
from tests.chart.rendering import DOCUMENTED, VALUES_HA, Manifests, merged, nested, render

SETTINGS = {
    "REDIS_MAX_CONNECTIONS": "50",
    "REDIS_SOCKET_TIMEOUT": "5",
    "REDIS_SOCKET_CONNECT_TIMEOUT": "5",
    "REDIS_SOCKET_KEEPALIVE": "true",
    "REDIS_RETRY_ON_TIMEOUT": "true",
    "REDIS_HEALTH_CHECK_INTERVAL": "30",
}
BY_SENTINELS = {
    "REDIS_MODE": "sentinel",
    "REDIS_SENTINEL_HOSTS": ",".join(
        f"contex-redis-sentinel-{i}.contex-redis-sentinel:26379" for i in range(3)
    ),
    "REDIS_SENTINEL_MASTER": "mymaster",
    "REDIS_DB": "0",
    **SETTINGS,
}
PASSWORDS = {
    "REDIS_PASSWORD": "contex-redis-auth-active/password",
    "REDIS_SENTINEL_PASSWORD": "contex-redis-auth-active/sentinel-password",
}
BY_SERVICE = {"REDIS_MODE": "standalone", "REDIS_URL": "contex-redis-contex-env/url", **SETTINGS}


def redis_environment(manifests: Manifests) -> dict[str, str]:
    return {name: value for name, value in manifests.environment().items() if name.startswith("REDIS_")}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, BY_SERVICE),
        (nested("redis.auth.enabled", True), BY_SERVICE),
        (SENTINEL, BY_SENTINELS),
        (SENTINEL_AUTH, BY_SENTINELS | PASSWORDS),
        (merged(SENTINEL_AUTH, nested("contex.redis.connection", "sentinel")), BY_SENTINELS | PASSWORDS),
        (merged(SENTINEL_AUTH, nested("contex.redis.connection", "service")), BY_SERVICE),
        (merged(SENTINEL_AUTH, nested("contex.redis.mode", "standalone")), BY_SERVICE),
        (merged(SENTINEL_AUTH, nested("redis.auth.existingSecret", "mine")), BY_SENTINELS | PASSWORDS),
        (EXTERNAL, {"REDIS_MODE": "standalone", "REDIS_URL": "redis://redis:6379", **SETTINGS}),
        (
            merged(EXTERNAL, nested("contex.redis.existingSecret", "mine")),
            {"REDIS_MODE": "standalone", "REDIS_URL": "mine/url", **SETTINGS},
        ),
        (EXTERNAL_SENTINEL, BY_SENTINELS | {"REDIS_SENTINEL_HOSTS": "a:26379,b:26379,c:26379"}),
        (
            merged(EXTERNAL_SENTINEL, nested("contex.redis.existingSecret", "mine")),
            BY_SENTINELS
            | {
                "REDIS_SENTINEL_HOSTS": "a:26379,b:26379,c:26379",
                "REDIS_PASSWORD": "mine/password",
                "REDIS_SENTINEL_PASSWORD": "mine/sentinel-password",
            },
        ),
        (merged(SENTINEL_AUTH, nested("contex.redis.wiring", "operator")), {}),
        (nested("contex.redis.wiring", "operator"), {}),
    ],
    ids=[
        "standalone",
        "standalone, auth",
        "sentinel",
        "sentinel, auth",
        "sentinel, said twice",
        "replicated, by Service",
        "replicated, mode standalone",
        "own Secret",
        "external",
        "external, Secret",
        "external sentinels",
        "external sentinels, Secret",
        "wired by the operator, sentinel",
        "wired by the operator, standalone",
    ],
)
def test_the_whole_redis_environment(values: dict[str, Any], wanted: dict[str, str]) -> None:
    assert redis_environment(render(values)) == wanted


def test_the_documented_values_and_values_ha() -> None:
    assert redis_environment(render(files=[DOCUMENTED])) == BY_SENTINELS
    assert redis_environment(render(files=[VALUES_HA])) == BY_SENTINELS | PASSWORDS


def test_every_setting_is_handed_on() -> None:
    values = {
        "maxConnections": 100,
        "socketTimeout": 1,
        "socketConnectTimeout": 2,
        "socketKeepalive": False,
        "retryOnTimeout": False,
        "healthCheckInterval": 0,
        "sentinel": {"master": "other", "db": 4},
    }
    manifests = render(merged(SENTINEL, nested("contex.redis", values)))
    environment = redis_environment(manifests)
    assert environment == BY_SENTINELS | {
        "REDIS_SENTINEL_MASTER": "other",
        "REDIS_DB": "4",
        "REDIS_MAX_CONNECTIONS": "100",
        "REDIS_SOCKET_TIMEOUT": "1",
        "REDIS_SOCKET_CONNECT_TIMEOUT": "2",
        "REDIS_SOCKET_KEEPALIVE": "false",
        "REDIS_RETRY_ON_TIMEOUT": "false",
        "REDIS_HEALTH_CHECK_INTERVAL": "0",
    }
    assert manifests.spec()["sentinel"]["masterName"] == "other"


def test_the_operator_is_told_what_the_chart_would_have_rendered() -> None:
    values = merged(SENTINEL_AUTH, nested("contex.redis", {"wiring": "operator", "maxConnections": 99}))
    contex = render(values).spec()["contex"]
    assert contex == {
        "wiring": "patch",
        "deployments": [{"name": "contex", "container": "contex"}],
        "connection": "sentinel",
        "database": 0,
        "maxConnections": 99,
        "socketTimeout": 5,
        "socketConnectTimeout": 5,
        "socketKeepalive": True,
        "retryOnTimeout": True,
        "healthCheckInterval": 30,
    }
    named = render(values, release="shop")
    assert named.spec()["contex"]["deployments"] == [{"name": "shop-contex", "container": "contex"}]
    assert named.has("Deployment", "shop-contex")


def test_where_the_chart_wires_the_operator_does_not() -> None:
    contex = render(SENTINEL_AUTH).spec()["contex"]
    assert contex["wiring"] == "none"
    assert "deployments" not in contex


@pytest.mark.parametrize("count", [3, 5, 7])
def test_hosts_are_derived_for_the_count_of_sentinels(count: int) -> None:
    values = merged(SENTINEL, nested("redis.sentinel.replicas", count))
    hosts = redis_environment(render(values, release="shop"))["REDIS_SENTINEL_HOSTS"].split(",")
    name = "shop-contex-redis-sentinel"
    assert hosts == [f"{name}-{i}.{name}:26379" for i in range(count)]


@pytest.mark.parametrize(
    "hosts",
    [
        "contex-redis-sentinel:26379",
        "contex-redis-sentinel-2:26379",
        "contex-redis-sentinel-0.contex-redis-sentinel.default.svc.cluster.local:26379",
    ],
)
def test_other_names_of_the_own_sentinels_stay_as_written(hosts: str) -> None:
    values = merged(SENTINEL, nested("contex.redis.sentinel.hosts", hosts))
    assert redis_environment(render(values))["REDIS_SENTINEL_HOSTS"] == hosts


def test_old_host_names_of_this_release_lead_to_its_sentinels() -> None:
    old = "shop-contex-redis-node-{}.shop-contex-redis-headless.default.svc.cluster.local:26379"
    values = merged(SENTINEL, nested("contex.redis.sentinel.hosts", f"{old.format(0)}, {old.format(1)}"))
    assert render(values, release="shop").environment()["REDIS_SENTINEL_HOSTS"] == ",".join(
        f"shop-contex-redis-sentinel-{i}.shop-contex-redis-sentinel:26379" for i in range(3)
    )


def test_the_rest_of_contex_environment() -> None:
    environment = {k: v for k, v in render().environment().items() if not k.startswith("REDIS_")}
    assert environment == {
        "SIMILARITY_THRESHOLD": "0.5",
        "MAX_MATCHES": "10",
        "MAX_CONTEXT_SIZE": "51200",
        "HYBRID_SEARCH_ENABLED": "true",
        "RRF_K": "60",
        "VECTOR_BOOST": "1",
        "RATE_LIMIT_ENABLED": "true",
        "RATE_LIMIT_REQUESTS": "100",
        "CORS_ORIGINS": "*",
        "LOG_LEVEL": "INFO",
        "LOG_JSON": "true",
        "TRACING_ENABLED": "false",
        # Without a collector a pod takes over a minute to stop.
        "TRACING_OTLP_EXPORT": "false",
    }


def test_tracing_is_exported_only_when_asked_for() -> None:
    on = render(
        nested("contex.tracing", {"enabled": True, "endpoint": "http://collector:4317"})
    ).environment()
    assert on["TRACING_ENABLED"] == on["TRACING_OTLP_EXPORT"] == "true"
    assert on["TRACING_OTLP_ENDPOINT"] == "http://collector:4317"


def test_the_salt_comes_from_a_secret() -> None:
    given = render(nested("contex.security.apiKeySalt", "pinch"))
    assert given.environment()["API_KEY_SALT"] == "contex-secrets/api_key_salt"
    assert given.secret_data() == {"contex-secrets/api_key_salt": "pinch"}
    named = render(nested("contex.security.existingSecret", "mine"))
    assert named.environment()["API_KEY_SALT"] == "mine/api_key_salt"
    assert not named.has("Secret")


def test_extra_environment_wins() -> None:
    values = nested("extraEnv", [{"name": "REDIS_SOCKET_TIMEOUT", "value": "9"}])
    assert render(values).environment()["REDIS_SOCKET_TIMEOUT"] == "9"
    with_secret = nested("extraEnv", [{"name": "REDIS_URL", "value": "redis://elsewhere"}])
    assert render(with_secret).environment()["REDIS_URL"] == "redis://elsewhere"


@pytest.mark.parametrize(
    ("values", "mounted"),
    [
        ({}, False),
        (SENTINEL, True),
        (EXTERNAL_SENTINEL, True),
        (merged(SENTINEL, nested("contex.redis.sentinel.shim", False)), False),
        (merged(SENTINEL, nested("contex.redis.connection", "service")), False),
        (merged(SENTINEL, nested("contex.redis.wiring", "operator")), False),
    ],
    ids=["standalone", "sentinel", "external sentinels", "unwanted", "by Service", "wired by the operator"],
)
def test_contex_that_asks_sentinels_is_given_what_it_needs_for_that(
    values: dict[str, Any], mounted: bool
) -> None:
    manifests = render(values)
    assert manifests.has("ConfigMap", "contex-shim") is mounted
    assert (contexshim.mount() in manifests.container()["volumeMounts"]) is mounted
    assert manifests.environment().get("PYTHONPATH") == (contexshim.entry(None)["value"] if mounted else None)
    if mounted:
        pod = manifests.one("Deployment", "contex")["spec"]["template"]["spec"]
        assert {"name": contexshim.VOLUME, "configMap": {"name": "contex-shim"}} in pod["volumes"]
        assert manifests.one("ConfigMap", "contex-shim")["data"] == contexshim.data()


def test_the_operator_is_told_where_contex_needs_no_shim() -> None:
    by_operator = merged(SENTINEL, nested("contex.redis.wiring", "operator"))
    assert "sentinelShim" not in render(by_operator).spec()["contex"]  # its default is true there
    without = merged(by_operator, nested("contex.redis.sentinel.shim", False))
    assert render(without).spec()["contex"]["sentinelShim"] is False
