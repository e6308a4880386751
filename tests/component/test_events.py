"""Events on a real API server, written with the rights that the operator has: create and patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from contex_operator import names
from contex_operator.events import SERIES_PAUSE_S, Recorder
from contex_operator.kube import Access, Kube
from contex_operator.resources import EVENT

from tests.component.harness.cluster import Cluster

RULES = [{"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}]
UID = "7d1c2b3a-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Told:
    reason: str
    message: str
    is_warning: bool = False


def resource(namespace: str) -> dict[str, Any]:
    return {"metadata": {"name": "redis", "namespace": namespace, "uid": UID}}


async def test_news_and_its_repetition(
    cluster: Cluster, kube: Kube, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    access = Access(kubeconfig=str(cluster.user(RULES, namespace=namespace)))
    async with await Kube.connect(access) as client:
        recorder = Recorder(client, instance="operator-0", clock=lambda: now)
        for _ in range(3):
            await recorder.record(
                resource(namespace), Told("Degraded", "one replica is gone", is_warning=True)
            )
            now += SERIES_PAUSE_S
    assert caplog.messages == []
    (event,) = await kube.list(EVENT, namespace)
    assert (event["type"], event["reason"], event["note"]) == ("Warning", "Degraded", "one replica is gone")
    assert event["series"]["count"] == 3
    assert event["regarding"]["kind"] == names.KIND
    assert event["reportingController"] == names.MANAGER


async def test_the_longest_note_is_taken(
    cluster: Cluster, kube: Kube, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(kube, instance="o" * 300)
    await recorder.record(resource(namespace), Told("SpecInvalid", "ü" * 3000), action="a" * 300)
    assert caplog.messages == []
    (event,) = await kube.list(EVENT, namespace)
    assert event["note"].startswith("üüü")


async def test_kubectl_describe_finds_it_under_the_object(
    cluster: Cluster, kube: Kube, namespace: str
) -> None:
    await Recorder(kube, instance="operator-0").record(resource(namespace), Told("Ready", "all is well"))
    selector = f"involvedObject.name=redis,involvedObject.uid={UID}"
    (event,) = cluster.api("GET", f"/api/v1/namespaces/{namespace}/events?fieldSelector={selector}")["items"]
    assert event["message"] == "all is well"
