"""What an answer of the stand-in means for the count: only a clear no is a failure, only a 200 an acknowledgement."""

from __future__ import annotations

import httpx
import pytest

from tests.workload.history import Result
from tests.workload.writers import from_response


def test_an_acknowledgement_names_the_process() -> None:
    outcome = from_response(httpx.Response(200, json={"sequence": "1-0"}, headers={"X-Redis-Run-Id": "abc"}))
    assert (outcome.result, outcome.node, outcome.reason) == (Result.OK, "abc", None)


def test_an_acknowledgement_without_a_name_is_one_all_the_same() -> None:
    assert from_response(httpx.Response(200, json={"sequence": "1-0"})).node is None


def test_a_clear_no_is_a_failure() -> None:
    outcome = from_response(httpx.Response(503, json={"detail": "READONLY", "unknown": False}))
    assert (outcome.result, outcome.reason) == (Result.FAILED, "HTTP 503: READONLY")


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(504, json={"detail": "timeout", "unknown": True}),
        httpx.Response(503, json={"detail": "from something in between"}),
        httpx.Response(503, json={"detail": "x", "unknown": None}),
        httpx.Response(500, text="Internal Server Error"),
        httpx.Response(502, text="<html>"),
        httpx.Response(500, json=["odd"]),
        httpx.Response(204),
    ],
    ids=lambda r: f"{r.status_code} {r.text[:20]}",
)
def test_everything_else_leaves_it_open(response: httpx.Response) -> None:
    outcome = from_response(response)
    assert outcome.result is Result.UNKNOWN
    assert f"HTTP {response.status_code}" in str(outcome.reason)
