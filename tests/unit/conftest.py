"""Settings of the unit tests: hypothesis tries the same examples in every run, and a slow machine is no failure."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from contex_operator import render, templating
from hypothesis import HealthCheck, settings

settings.register_profile(
    "unit", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unit")


@pytest.fixture(autouse=True, scope="session")
def templates_are_parsed_once() -> Iterator[None]:
    """Model runs render the same texts thousands of times; parsing each of them once halves their time."""
    parse = templating.documents

    @functools.cache
    def parsed(text: str) -> str:
        return json.dumps(parse(text))

    def documents(text: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(parsed(text))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "documents", documents)
        yield
