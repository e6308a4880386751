"""Which Deployments are Contex, and what their templates say of Redis; how an exec ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from contex_operator.cli.contex import environment, speaks_of
from contex_operator.kube.pods import exit_code

from tests.unit.cli_world import HOSTS, facts

CONFIG = {
    "data": {"redis_sentinel_hosts": HOSTS, "REDIS_MODE": "sentinel", "REDIS_PASSWORD": "not taken from here"}
}


def container(*env: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "contex", "env": list(env), **fields}


def from_config(name: str, key: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"configMapKeyRef": {"name": "contex-config", "key": key}}}


def from_secret(name: str, secret: str, key: str = "password") -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def test_values_come_from_the_template_and_from_config_maps() -> None:
    given = container(
        from_config("REDIS_SENTINEL_HOSTS", "redis_sentinel_hosts"),
        from_config("REDIS_DB", "no_such_key"),
        {"name": "REDIS_MAX_CONNECTIONS", "value": "7"},
        {"name": "OTHER", "value": "x"},
    )
    env, sources = environment(given, {"contex-config": CONFIG})
    assert env == {"REDIS_SENTINEL_HOSTS": HOSTS, "REDIS_MAX_CONNECTIONS": "7"}
    assert sources == {}


def test_a_config_map_as_a_whole_gives_what_is_no_secret() -> None:
    given = container(
        envFrom=[{"configMapRef": {"name": "contex-config"}}, {"secretRef": {"name": "redis-contex-env"}}]
    )
    env, sources = environment(given, {"contex-config": CONFIG})
    assert env == {"REDIS_MODE": "sentinel"}
    assert sources["REDIS_URL"] == ("redis-contex-env", "REDIS_URL")


def test_of_a_password_only_its_place_is_known() -> None:
    given = container(
        from_secret("REDIS_PASSWORD", "own"), {"name": "REDIS_SENTINEL_PASSWORD", "value": "hunter22"}
    )
    env, sources = environment(given, {})
    assert env == {}
    assert sources == {"REDIS_PASSWORD": ("own", "password"), "REDIS_SENTINEL_PASSWORD": None}


@pytest.mark.parametrize(
    ("env", "is_ours"),
    [
        ({"name": "REDIS_SENTINEL_HOSTS", "value": HOSTS}, True),
        ({"name": "REDIS_SENTINEL_HOSTS", "value": "redis-sentinel:26379"}, True),
        ({"name": "REDIS_SENTINEL_HOSTS", "value": "cache-sentinel-0.cache-sentinel:26379"}, False),
        (from_secret("REDIS_URL", "redis-contex-env", "url"), True),
        (from_secret("REDIS_PASSWORD", "redis-auth-active"), True),
        (from_secret("REDIS_PASSWORD", "cache-auth-active"), False),
    ],
)
def test_a_deployment_is_contex_where_its_environment_leads_here(env: dict[str, Any], is_ours: bool) -> None:
    assert speaks_of(facts(), environment(container(env), {})) is is_ours


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ({"status": "Success"}, 0),
        ({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}}, 3),
        ({"status": "Failure", "message": "container not found"}, None),
    ],
)
def test_how_an_exec_ends(status: dict[str, Any], code: int | None) -> None:
    assert exit_code(json.dumps(status).encode()) == code


def test_an_exec_that_was_cut_off_has_no_exit_code() -> None:
    assert exit_code(b"") is None
