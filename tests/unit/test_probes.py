"""The operator's HTTP port, asked over a real connection."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import ClientSession
from contex_operator import probes
from contex_operator.metrics import Metrics


@dataclass
class Operator:
    """What the port tells of, and where it is."""

    address: str = ""
    longest_run_s: float = 0.0
    is_ready: bool = True


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = int(probe.getsockname()[1])
    made = Operator(address=f"http://127.0.0.1:{port}")
    told = Metrics(version="1.2.3", is_leader=lambda: False)
    runner = await probes.serve(
        port,
        longest_run_s=lambda: made.longest_run_s,
        is_ready=lambda: made.is_ready,
        metrics=told.text,
    )
    yield made
    await runner.cleanup()


async def ask(operator: Operator, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, content type and text."""
    async with ClientSession() as session, session.get(operator.address + path, headers=headers) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def test_metrics_in_both_formats_and_compressed(operator: Operator) -> None:
    status, content_type, text = await ask(operator, "/metrics")
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    assert "contexredis_operator_lease_held 0.0" in text
    accept = "application/openmetrics-text; version=1.0.0"
    status, content_type, text = await ask(operator, "/metrics", Accept=accept)
    assert (status, content_type.split(";")[0]) == (200, "application/openmetrics-text")
    assert text.endswith("# EOF\n")
    async with (
        ClientSession(auto_decompress=False) as session,
        session.get(operator.address + "/metrics", headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        assert answer.headers["Content-Encoding"] == "gzip"
        assert (await answer.read())[:2] == b"\x1f\x8b"


async def test_a_stuck_reconcile_is_not_healthy(operator: Operator) -> None:
    assert (await ask(operator, "/healthz"))[0] == 200
    operator.longest_run_s = probes.STUCK_S + 1
    status, _, text = await ask(operator, "/healthz")
    assert (status, text) == (500, "a reconcile has been running for 121 s\n")


async def test_ready_once_it_watches(operator: Operator) -> None:
    assert (await ask(operator, "/readyz"))[0] == 200
    operator.is_ready = False
    assert (await ask(operator, "/readyz"))[0] == 503
