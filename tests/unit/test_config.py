"""The operator's own environment: what it reads, and a sentence with the variable's name for what is wrong."""

from __future__ import annotations

import pytest
from contex_operator.config import Config, ConfigError, from_env

REQUIRED = {"OPERATOR_NAMESPACE": "shop", "POD_NAME": "operator-0"}


def test_the_least_there_must_be() -> None:
    config = from_env(REQUIRED)
    assert config == Config(
        namespace="shop", pod="operator-0", watch_namespace=None, port=8080, log_level="INFO"
    )
    assert config.is_cluster_wide


def test_everything() -> None:
    config = from_env(REQUIRED | {"WATCH_NAMESPACE": "shop", "HTTP_PORT": "9090", "LOG_LEVEL": "debug"})
    assert (config.watch_namespace, config.port, config.log_level) == ("shop", 9090, "DEBUG")
    assert not config.is_cluster_wide


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_missing_is_named(name: str) -> None:
    for env in ({k: v for k, v in REQUIRED.items() if k != name}, REQUIRED | {name: ""}):
        with pytest.raises(ConfigError, match=f"{name} is not set"):
            from_env(env)


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTP_PORT", "0"), ("HTTP_PORT", "65536"), ("HTTP_PORT", "http"), ("LOG_LEVEL", "loud")],
)
def test_what_makes_no_sense_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*{value}"):
        from_env(REQUIRED | {name: value})
