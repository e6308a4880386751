"""The recorder of events: one Event for one news, a series for a repetition, never an error, never a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from contex_operator.errors import Forbidden, KubeError, LeaseLost, NotFound
from contex_operator.events import SENTENCES, SERIES_PAUSE_S, WINDOW_S, Recorder, note_of
from contex_operator.resources import EVENT, Resource

RESOURCE = {"metadata": {"name": "redis", "namespace": "contex", "uid": "u-1"}}


@dataclass(frozen=True)
class Told:
    reason: str = "FailedOver"
    message: str = "master moved from redis-master-0 to redis-replica-0"
    is_warning: bool = False


class Api:
    """Takes events as Kube would, or fails."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self.error: Exception | None = None
        self.hangs = False

    async def _misbehave(self) -> None:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.error is not None:
            raise self.error

    async def create(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        assert resource is EVENT
        await self._misbehave()
        self.created.append(dict(body))
        return dict(body)

    async def merge_patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Mapping[str, Any]
    ) -> dict[str, Any]:
        assert (resource, namespace) == (EVENT, "contex")
        await self._misbehave()
        self.patched.append((name, dict(patch)))
        return {}


class Desk:
    """A recorder with its API and its clock."""

    def __init__(self) -> None:
        self.api = Api()
        self.now = 1000.0
        self.recorder = Recorder(self.api, instance="operator-0", clock=lambda: self.now)

    async def tell(self, told: Told, *, uid: str = "u-1") -> None:
        await self.recorder.record({"metadata": {**RESOURCE["metadata"], "uid": uid}}, told)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_news_becomes_an_event_about_the_resource(desk: Desk) -> None:
    await desk.tell(Told(is_warning=True))
    (event,) = desk.api.created
    assert event["regarding"] == {
        "apiVersion": "redis.contex.io/v1alpha1",
        "kind": "ContexRedis",
        "name": "redis",
        "namespace": "contex",
        "uid": "u-1",
    }
    assert (event["type"], event["reason"]) == ("Warning", "FailedOver")
    assert event["note"] == "master moved from redis-master-0 to redis-replica-0"
    assert event["metadata"]["namespace"] == "contex"
    assert event["metadata"]["name"].startswith("redis.")
    assert event["reportingInstance"] == "operator-0"


async def test_a_repetition_is_counted_on_the_first_event(desk: Desk) -> None:
    for _ in range(100):
        await desk.tell(Told())
        desk.now += 1.0
    assert len(desk.api.created) == 1
    name = desk.api.created[0]["metadata"]["name"]
    assert {patched for patched, _ in desk.api.patched} == {name}
    counts = [patch["series"]["count"] for _, patch in desk.api.patched]
    assert counts == sorted(set(counts))
    assert len(counts) == 100 // SERIES_PAUSE_S - 1
    assert counts[-1] > 90


async def test_other_sentences_and_other_resources_are_other_events(desk: Desk) -> None:
    await desk.tell(Told())
    await desk.tell(Told(message="master moved from redis-replica-0 to redis-master-0"))
    await desk.tell(Told(), uid="u-2")
    assert len({event["metadata"]["name"] for event in desk.api.created}) == 3
    assert desk.api.patched == []


async def test_a_flood_of_different_sentences_is_a_series_too(desk: Desk) -> None:
    for number in range(500):
        await desk.tell(Told(message=f"lag is {number} s"))
        desk.now += 0.5
    assert len(desk.api.created) == SENTENCES
    assert desk.api.patched
    assert desk.api.patched[-1][0] == desk.api.created[-1]["metadata"]["name"]
    await desk.tell(Told(reason="Ready", message="other news passes"))
    assert desk.api.created[-1]["reason"] == "Ready"


async def test_after_the_window_it_is_news_again(desk: Desk) -> None:
    await desk.tell(Told())
    desk.now += WINDOW_S
    await desk.tell(Told())
    assert len(desk.api.created) == 2


async def test_an_event_that_the_api_forgot_is_made_again(desk: Desk) -> None:
    await desk.tell(Told())
    desk.now += SERIES_PAUSE_S
    patch = desk.api.merge_patch

    async def forgotten(*args: Any) -> dict[str, Any]:
        raise NotFound(404, "NotFound", "gone")

    desk.api.merge_patch = forgotten  # type: ignore[method-assign, assignment]
    await desk.tell(Told())
    assert len(desk.api.created) == 2
    desk.api.merge_patch = patch  # type: ignore[method-assign]
    desk.now += SERIES_PAUSE_S
    await desk.tell(Told())
    assert desk.api.patched[0][0] == desk.api.created[1]["metadata"]["name"]


@pytest.mark.parametrize(
    "error",
    [Forbidden(403, "Forbidden", "no right"), KubeError(500, "InternalError", "broken"), LeaseLost("lost")],
)
async def test_what_cannot_be_written_stops_nobody_and_is_tried_anew(
    desk: Desk, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    desk.api.error = error
    with caplog.at_level("INFO"):
        await desk.tell(Told())
    (said,) = caplog.records
    assert "FailedOver of contex/redis" in said.getMessage()
    # That another process leads by now is no trouble.
    assert said.levelname == ("INFO" if isinstance(error, LeaseLost) else "WARNING")
    desk.api.error = None
    await desk.tell(Told())
    assert len(desk.api.created) == 1


@pytest.mark.looptime
async def test_a_silent_api_costs_two_seconds() -> None:
    desk = Desk()
    desk.api.hangs = True
    started = asyncio.get_running_loop().time()
    await desk.tell(Told())
    assert asyncio.get_running_loop().time() - started == pytest.approx(2.0)


async def test_memory_is_bounded(desk: Desk) -> None:
    for number in range(1100):
        await desk.tell(Told(), uid=f"u-{number}")
    assert len(desk.recorder._written) == 1000
    desk.api.created.clear()
    await desk.tell(Told(), uid="u-1099")
    assert desk.api.created == []


@pytest.mark.parametrize(
    ("message", "note"),
    [
        ("two\nlines  and\ttabs", "two lines and tabs"),
        ("no connection to redis://:hunter2@10.0.0.1:6379/0", "no connection to redis://***@10.0.0.1:6379/0"),
        ("https://user:hunter2@host/ refused", "https://***@host/ refused"),
        ("CONFIG SET requirepass hunter2 failed", "CONFIG SET requirepass *** failed"),
        ("SENTINEL SET mymaster auth-pass hunter2 failed", "SENTINEL SET mymaster auth-pass *** failed"),
        ("AUTH hunter2", "AUTH ***"),
        ("AUTH default hunter2", "AUTH ***"),
        (
            "ERR unknown command 'ATUH', with args beginning with: 'hunter2'",
            "ERR unknown command 'ATUH', with args beginning with: ***",
        ),
        ("password=hunter2, host=a", "password=***, host=a"),
        (
            ".spec.config.requirepass: is set by the operator",
            ".spec.config.requirepass: is set by the operator",
        ),
        ("NOAUTH Authentication required.", "NOAUTH Authentication required."),
    ],
)
def test_a_note_is_one_line_without_a_password(message: str, note: str) -> None:
    assert note_of(message) == note


def test_a_note_is_as_long_as_the_api_takes_in_bytes() -> None:
    assert note_of("a" * 1024) == "a" * 1024
    cut = note_of("é" * 1000)
    assert len(cut.encode()) <= 1024
    assert cut.endswith("é…")
