"""The env contract is read as Contex reads it, and what is not allowed is refused by its name."""

from __future__ import annotations

import pytest
from contex_redis import SettingsError, read
from hypothesis import given
from hypothesis import strategies as st

SENTINEL = {"REDIS_MODE": "sentinel", "REDIS_SENTINEL_HOSTS": "s-0.s:26379,s-1.s:26379,s-2.s:26379"}


def test_nothing_set_means_the_documented_defaults() -> None:
    settings = read({})
    assert settings.mode == "standalone"
    assert settings.url == "redis://redis:6379"
    assert settings.sentinel_master == "mymaster"
    assert settings.db == 0
    assert settings.max_connections == 50
    assert settings.socket_timeout_s == 5
    assert settings.socket_connect_timeout_s == 5
    assert settings.socket_keepalive is True
    assert settings.retry_on_timeout is True
    assert settings.health_check_interval_s == 30
    assert settings.password is None
    assert settings.sentinel_password is None
    assert settings.ignored == ()


def test_every_variable_is_read() -> None:
    settings = read(
        SENTINEL
        | {
            "REDIS_SENTINEL_MASTER": "main",
            "REDIS_SENTINEL_PASSWORD": "one",
            "REDIS_PASSWORD": "two",
            "REDIS_DB": "3",
            "REDIS_MAX_CONNECTIONS": "7",
            "REDIS_SOCKET_TIMEOUT": "2",
            "REDIS_SOCKET_CONNECT_TIMEOUT": "1",
            "REDIS_SOCKET_KEEPALIVE": "False",
            "REDIS_RETRY_ON_TIMEOUT": "false",
            "REDIS_HEALTH_CHECK_INTERVAL": "0",
        }
    )
    assert settings.sentinel_hosts == (("s-0.s", 26379), ("s-1.s", 26379), ("s-2.s", 26379))
    assert settings.sentinel_master == "main"
    assert (settings.sentinel_password, settings.password) == ("one", "two")
    assert (settings.db, settings.max_connections) == (3, 7)
    assert (settings.socket_timeout_s, settings.socket_connect_timeout_s) == (2, 1)
    assert (settings.socket_keepalive, settings.retry_on_timeout) == (False, False)
    assert settings.health_check_interval_s == 0


def test_mode_in_any_case_and_a_sentinel_without_a_port_are_taken_as_contex_takes_them() -> None:
    settings = read({"REDIS_MODE": "Sentinel", "REDIS_SENTINEL_HOSTS": "s-0, [fd00::1] ,s-2:26380"})
    assert settings.mode == "sentinel"
    assert settings.sentinel_hosts == (("s-0", 26379), ("fd00::1", 26379), ("s-2", 26380))


def test_an_ipv6_sentinel_is_a_host_in_brackets() -> None:
    assert read(SENTINEL | {"REDIS_SENTINEL_HOSTS": "[fd00::1]:26379"}).sentinel_hosts == (
        ("fd00::1", 26379),
    )


def test_empty_passwords_are_no_passwords() -> None:
    settings = read(SENTINEL | {"REDIS_PASSWORD": "", "REDIS_SENTINEL_PASSWORD": ""})
    assert (settings.password, settings.sentinel_password) == (None, None)


def test_secrets_are_not_in_what_is_printed() -> None:
    settings = read(
        SENTINEL
        | {
            "REDIS_PASSWORD": "geheim1",
            "REDIS_SENTINEL_PASSWORD": "geheim2",
            "REDIS_URL": "redis://:geheim3@redis:6379/1",
        }
    )
    assert "geheim" not in repr(settings)


def test_what_has_no_effect_in_the_mode_is_known() -> None:
    assert read({"REDIS_URL": "redis://:x@r/1", "REDIS_PASSWORD": "y"}).ignored == ("REDIS_PASSWORD",)
    assert read({"REDIS_URL": "redis://:x@r/1", "REDIS_PASSWORD": "y", "REDIS_DB": "2"}).ignored == (
        "REDIS_PASSWORD",
        "REDIS_DB",
    )
    assert read({"REDIS_URL": "redis://r?db=3", "REDIS_DB": "2"}).ignored == ("REDIS_DB",)
    assert read({"REDIS_URL": "redis://r", "REDIS_PASSWORD": "x", "REDIS_DB": "1"}).ignored == ()
    assert read(SENTINEL | {"REDIS_URL": "redis://r", "REDIS_PASSWORD": "x"}).ignored == ("REDIS_URL",)


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("REDIS_MODE", "cluster", "'standalone' or 'sentinel'"),
        ("REDIS_MODE", "", "'standalone' or 'sentinel'"),
        ("REDIS_DB", "-1", "at least 0"),
        ("REDIS_DB", "", "whole number"),
        ("REDIS_DB", "one", "whole number"),
        ("REDIS_MAX_CONNECTIONS", "0", "at least 1"),
        ("REDIS_SOCKET_TIMEOUT", "0.5", "whole number"),
        ("REDIS_SOCKET_TIMEOUT", "0", "at least 1"),
        ("REDIS_SOCKET_CONNECT_TIMEOUT", "fast", "whole number"),
        ("REDIS_HEALTH_CHECK_INTERVAL", "-5", "at least 0"),
        ("REDIS_SOCKET_KEEPALIVE", "yes", "'true' or 'false'"),
        ("REDIS_RETRY_ON_TIMEOUT", "1", "'true' or 'false'"),
        ("REDIS_URL", "http://redis", "redis://"),
        ("REDIS_URL", "", "redis://"),
        ("REDIS_URL", "redis://", "names no host"),
        ("REDIS_URL", "redis://redis:99999", "no valid host or port"),
        ("REDIS_URL", "redis://redis/zero", "no database number"),
        ("REDIS_URL", "redis://redis?db=one", "can not read"),
        ("REDIS_URL", "unix://", "names no socket"),
        ("REDIS_SENTINEL_HOSTS", "s-0:", "host:port"),
        ("REDIS_SENTINEL_HOSTS", "s-0:0", "host:port"),
        ("REDIS_SENTINEL_HOSTS", ":26379", "host:port"),
        ("REDIS_SENTINEL_HOSTS", "s-0:26379;s-1:26379", "host:port"),
        ("REDIS_SENTINEL_MASTER", "", "name that the sentinels monitor"),
        ("REDIS_SENTINEL_MASTER", "my master", "name that the sentinels monitor"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read({variable: value})
    assert refused.value.variable == variable
    assert str(refused.value).startswith(variable)
    assert allowed in str(refused.value)


def test_sentinel_mode_without_hosts_is_refused() -> None:
    with pytest.raises(SettingsError, match="REDIS_SENTINEL_HOSTS is missing in sentinel mode"):
        read({"REDIS_MODE": "sentinel"})


def test_a_refused_url_is_not_repeated_because_it_may_hold_a_password() -> None:
    with pytest.raises(SettingsError) as refused:
        read({"REDIS_URL": "redis://:geheim@redis:port/0"})
    assert "geheim" not in str(refused.value)
    assert refused.value.__cause__ is None


@given(
    variable=st.sampled_from([*sorted(SENTINEL), "REDIS_URL", "REDIS_DB", "REDIS_SOCKET_KEEPALIVE"]),
    value=st.text(max_size=30) | st.from_regex(r"redis://[^ ]{0,20}", fullmatch=True),
)
def test_whatever_stands_in_a_variable_is_read_or_refused_by_its_name(variable: str, value: str) -> None:
    said = variable
    try:
        read(SENTINEL | {variable: value})
    except SettingsError as refused:
        said = refused.variable
    assert said == variable
