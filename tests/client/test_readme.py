"""What the client's README says of variables, metrics and words is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from contex_redis import errors, metrics, settings
from contex_redis.connecting import RETRY_FOR_S
from contex_redis.discovery import SENTINEL_TIMEOUT_S

from tests.client.versions import PROJECT

README = (PROJECT / "client" / "README.md").read_text()
VARIABLES = dict(re.findall(r"^\| `(REDIS_[A-Z_]+)` \| (\S+) \|", README, re.MULTILINE))


def test_every_variable_is_there_and_no_other() -> None:
    code = Path(settings.__file__).read_text()
    assert VARIABLES.keys() == set(re.findall(r'"(REDIS_[A-Z_]+)"', code))


@pytest.mark.parametrize(("name", "default"), VARIABLES.items())
def test_the_default_is_what_holds_without_the_variable(name: str, default: str) -> None:
    if default == "–":
        with_hosts = settings.read({"REDIS_SENTINEL_HOSTS": "s"})
        assert with_hosts.password is with_hosts.sentinel_password is None
        return
    assert settings.read({}) == settings.read({name: default.strip("`")})


def test_words_metrics_and_times() -> None:
    for word in errors.TRANSIENT:
        assert f"`{word}`" in README
    for name in (metrics.CONNECTIONS, metrics.DURATION, f"{metrics.ERRORS}_total"):
        assert f"`{name}{{" in README
    assert f"`retry_for_s` ({RETRY_FOR_S:g} s)" in README
    assert f"timeout of {SENTINEL_TIMEOUT_S:g} s" in README
