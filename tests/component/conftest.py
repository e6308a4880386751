"""Fixtures of the component tests: one real API server a session, a proxy and a client a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from contex_operator.kube import Access, Kube

from tests.component.harness.cluster import Cluster
from tests.component.harness.proxy import FaultyProxy

CRDS = Path(__file__).resolve().parents[2] / "helm" / "contex" / "crds"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real etcd and kube-apiserver with the operator's CRD; gone with the session."""
    running = Cluster.start(tmp_path_factory.mktemp("cluster"), manifests=sorted(CRDS.glob("*.yaml")))
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A fresh namespace."""
    return cluster.namespace()


@pytest.fixture
async def proxy(cluster: Cluster) -> AsyncIterator[FaultyProxy]:
    """A proxy before the API server, faultless until the test says otherwise; it asks as administrator."""
    async with FaultyProxy(cluster) as running:
        yield running


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    """The operator's client, as administrator, straight to the API server."""
    async with await Kube.connect(Access(kubeconfig=str(cluster.kubeconfig))) as client:
        yield client


@pytest.fixture
async def kube_via_proxy(proxy: FaultyProxy) -> AsyncIterator[Kube]:
    """The operator's client with the proxy in between and a deadline of one second."""
    async with await Kube.connect(Access(kubeconfig=str(proxy.kubeconfig)), deadline_s=1.0) as client:
        yield client
