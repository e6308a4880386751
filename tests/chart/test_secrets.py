"""Passwords: never rendered but into the one Secret that the values ask for, and the same in every rendering."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.chart.examples import EVERYTHING, EXTERNAL, EXTERNAL_SENTINEL, SENTINEL_AUTH
from tests.chart.rendering import CHART, VALUES_HA, helm, merged, nested, render

PASSWORD = "p@ss/w:rd+%?"  # an example, with everything that a URL could trip over


@pytest.mark.parametrize(
    "values", [{}, SENTINEL_AUTH, EVERYTHING, EXTERNAL], ids=["default", "auth", "all", "external"]
)
def test_f37_two_renderings_are_identical(values: dict[str, Any], tmp_path: Any) -> None:
    given = tmp_path / "values.yaml"
    given.write_text(yaml.safe_dump(values))
    argv = ["template", "contex", str(CHART), "--values", str(given), "--include-crds"]
    first, second = helm(*argv), helm(*argv)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout


@pytest.mark.parametrize("is_upgrade", [False, True], ids=["install", "upgrade"])
def test_f37_no_password_is_made_by_the_chart(is_upgrade: bool) -> None:
    args = ["--is-upgrade"] if is_upgrade else []
    for values in ({}, nested("redis.auth.enabled", True), SENTINEL_AUTH):
        assert not render(values, args=args).has("Secret")
    assert not render(files=[VALUES_HA], args=args).has("Secret")


def test_f37_templates_ask_neither_the_cluster_nor_chance() -> None:
    words = (
        "lookup",
        "rand",
        "uuid",
        "now",
        "genCA",
        "genSelfSigned",
        "genPrivateKey",
        "derivePassword",
        "htpasswd",
    )
    for path in (CHART / "templates").rglob("*"):
        if path.is_file() and path.name != "NOTES.txt":
            code = [part.split("}}")[0] for part in path.read_text().split("{{")[1:]]
            used = {word.strip("()-") for part in code if "/*" not in part for word in part.split()}
            assert not [word for word in used if word.startswith(words)], path.name


@pytest.mark.parametrize("key", ["redis.auth.password", "contex.redis.password"])
def test_a_given_password_becomes_the_source_of_the_resource(key: str) -> None:
    manifests = render(merged(SENTINEL_AUTH, nested(key, PASSWORD)))
    assert manifests.spec()["auth"] == {"enabled": True, "secretName": "contex-redis-password"}
    assert manifests.secret_data() == {
        "contex-redis-password/password": PASSWORD,
        "contex-redis-password/sentinel-password": PASSWORD,
    }
    assert PASSWORD not in manifests.text


def test_sentinels_can_have_a_password_of_their_own() -> None:
    values = nested("contex.redis", {"password": PASSWORD, "sentinel": {"password": "other"}})
    assert render(merged(SENTINEL_AUTH, values)).secret_data() == {
        "contex-redis-password/password": PASSWORD,
        "contex-redis-password/sentinel-password": "other",
    }


def test_an_existing_secret_is_named_and_not_rendered() -> None:
    manifests = render(merged(SENTINEL_AUTH, nested("redis.auth.existingSecret", "mine")))
    assert manifests.spec()["auth"] == {"enabled": True, "secretName": "mine"}
    assert not manifests.has("Secret")


def test_the_chart_uses_no_name_of_the_operators_own_secrets() -> None:
    manifests = render(EVERYTHING)
    taken = {"contex-redis-auth", "contex-redis-auth-active", "contex-redis-contex-env"}
    names = {body["metadata"]["name"] for body in manifests.all("Secret")}
    assert names == {"contex-redis-password", "contex-secrets"}
    assert not names & taken


def test_contex_reads_the_passwords_that_redis_has_and_not_their_source() -> None:
    # A changed source is not in force: a pod of Contex that starts meanwhile would be turned away.
    for source in ({}, nested("redis.auth.existingSecret", "mine"), nested("redis.auth.password", "x")):
        environment = render(merged(SENTINEL_AUTH, source)).environment()
        assert environment["REDIS_PASSWORD"] == "contex-redis-auth-active/password"


@pytest.mark.parametrize(
    ("contex", "url"),
    [
        ({"password": PASSWORD}, "redis://:p%40ss%2Fw%3Ard%2B%25%3F@redis:6379"),
        (
            {"password": "two words", "url": "rediss://r.example:6380/3"},
            "rediss://:two%20words@r.example:6380/3",
        ),
        ({"url": "redis://:pw@r.example:6379/1"}, "redis://:pw@r.example:6379/1"),
        ({"url": "redis://user:pw@r.example:6379"}, "redis://user:pw@r.example:6379"),
    ],
)
def test_an_external_address_with_a_password_lies_in_a_secret(contex: dict[str, Any], url: str) -> None:
    manifests = render(merged(EXTERNAL, nested("contex.redis", contex)))
    assert manifests.secret_data() == {"contex-redis-password/url": url}
    assert manifests.environment()["REDIS_URL"] == "contex-redis-password/url"
    assert "REDIS_URL" not in manifests.one("ConfigMap")["data"]
    assert url not in manifests.text


def test_an_external_address_without_a_password_needs_none() -> None:
    manifests = render(merged(EXTERNAL, nested("contex.redis.url", "redis://r.example:6379/a@b")))
    assert not manifests.has("Secret")
    assert manifests.environment()["REDIS_URL"] == "redis://r.example:6379/a@b"


def test_passwords_of_external_sentinels() -> None:
    values = merged(EXTERNAL_SENTINEL, nested("contex.redis", {"sentinel": {"password": "s"}}))
    manifests = render(values)
    assert manifests.secret_data() == {"contex-redis-password/sentinel-password": "s"}
    entries = [entry for entry in manifests.container()["env"] if entry["name"].startswith("REDIS_")]
    # Either may be missing: a Redis with a password often has sentinels without.
    assert all(entry["valueFrom"]["secretKeyRef"]["optional"] for entry in entries)


def test_no_password_stands_anywhere_outside_of_secrets() -> None:
    marks = {"contex.redis.password": "mark-one", "contex.security.apiKeySalt": "mark-two"}
    values = merged(EVERYTHING, *(nested(key, mark) for key, mark in marks.items()))
    manifests = render(merged(values, nested("contex.redis.sentinel.password", "mark-three")))
    assert set(manifests.secret_data().values()) == {"mark-one", "mark-two", "mark-three"}
    assert "mark-" not in manifests.text
    notes = helm(
        "install",
        "contex",
        str(CHART),
        "--dry-run=client",
        "--set",
        "redis.auth.enabled=true,redis.auth.password=mark-four",
        env={"PATH": "/nowhere", "HOME": "/nowhere", "KUBECONFIG": "/nowhere"},
    )
    assert "mark-four" not in notes.stderr
