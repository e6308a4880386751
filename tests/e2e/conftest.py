"""Fixtures of the end-to-end tests: a cluster, a namespace with an operator in it, and sets of Redis.

Run them in the laboratory's client host: `python -m lab run -- pytest tests/e2e`. Each test has its own
namespace and operator, so tests run side by side (`-n 4`); those marked `node_fault` run alone, at the end.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import pytest

from tests.e2e.support import diagnosis, spaces
from tests.e2e.support.cluster import Cluster, NoCluster, connect
from tests.e2e.support.redis_set import RedisSet
from tests.e2e.support.spaces import CHART, PROJECT, nodes_are_ready, operator_deployment
from tests.e2e.support.turns import turn
from tests.workload.process import Writers

__all__ = ["CHART", "PROJECT", "nodes_are_ready", "operator_deployment"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What harms a node comes last; the order is otherwise left as it is. On a cluster that is not the laboratory,
    what only the laboratory can do is not asked for.
    """
    if os.environ.get("LAB") == "none":
        beyond = [item for item in items if any(map(item.get_closest_marker, ("laboratory", "node_fault")))]
        config.hook.pytest_deselected(items=beyond)
        items[:] = [item for item in items if item not in beyond]
    items.sort(key=lambda item: item.get_closest_marker("node_fault") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On failure, add what a person would look at, read before anything is taken down."""
    report = yield
    if report.failed and report.when in ("setup", "call"):
        arguments: dict[str, Any] = getattr(item, "funcargs", {})
        cluster, namespace = arguments.get("cluster"), arguments.get("namespace")
        if isinstance(cluster, Cluster) and isinstance(namespace, str):
            report.sections.append((f"namespace {namespace}", diagnosis.diagnose(cluster, namespace)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A table of the failpoints that were met, and what came of each."""
    rows: list[tuple[Any, ...]] = [
        tuple(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "failpoint" and isinstance(value, (tuple, list))
    ]
    if rows:
        terminalreporter.section("failpoints: where the operator was halted, and what came of it")
        for point, word, still_s, outcome, masters, verdict in sorted(rows, key=str):
            how = f"{word} {still_s:g} s" if still_s else word
            terminalreporter.write_line(f"{point:32} {how:10} {outcome:7} {masters:40} {verdict}")


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The running laboratory, or the cluster that LAB=none and KUBE_CONTEXT name; the CRD is the
    checkout's.
    """
    try:
        found = connect()
    except NoCluster as error:
        pytest.exit(f"end-to-end tests: {error}", returncode=2)
    spaces.apply_crds(found)
    return found


@pytest.fixture(autouse=True)
def own_turn(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[None]:
    """Alone for tests that harm a node, beside the others otherwise; whatever was broken is whole
    afterwards.
    """
    harms = request.node.get_closest_marker("node_fault") is not None
    with turn(cluster.lab.name if cluster.lab else str(cluster.context), alone=harms):
        try:
            yield
        finally:
            if harms and cluster.lab is not None:
                cluster.lab.faults.heal()
                nodes_are_ready(cluster, within_s=60)


@pytest.fixture
def namespace(request: pytest.FixtureRequest, cluster: Cluster, own_turn: None) -> Iterator[str]:
    """A fresh namespace in which Pod Security `restricted` is enforced; deleted afterwards (KEEP=1 keeps
    it).
    """
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-").removeprefix("test-")
    name = f"{words[:40].strip('-')}-{secrets.token_hex(2)}"
    with spaces.own_namespace(cluster, name, keep=bool(os.environ.get("KEEP"))):
        yield name


class InstallOperator(Protocol):
    """`install_operator(replicas=2)`: the chart's operator alone, in the test's namespace."""

    def __call__(self, *, replicas: int = 1, **values: str) -> None:
        """Install or upgrade it and wait until it runs. `values` are further `--set`s, with "__" for dots."""


@pytest.fixture
def install_operator(cluster: Cluster, namespace: str) -> InstallOperator:
    """For tests that choose how the operator runs; others take `operator`."""

    def install(*, replicas: int = 1, **values: str) -> None:
        spaces.install_operator(cluster, namespace, replicas=replicas, **values)

    return install


@pytest.fixture
def operator(install_operator: InstallOperator) -> None:
    """One operator that watches the test's namespace."""
    install_operator()


class CreateContexRedis(Protocol):
    """`contexredis("redis", replicas=2, …)`: a resource with this spec, Ready unless `ready_within_s=None`."""

    def __call__(self, name: str = "redis", *, ready_within_s: float | None = 60.0, **spec: Any) -> RedisSet:
        """Apply it (mode sentinel and small volumes unless said otherwise) and wait."""


@pytest.fixture
def contexredis(cluster: Cluster, namespace: str, operator: None) -> Iterator[CreateContexRedis]:
    """Makes ContexRedis resources in the test's namespace."""
    made: list[RedisSet] = []

    def create(name: str = "redis", *, ready_within_s: float | None = 60.0, **spec: Any) -> RedisSet:
        redis_set = spaces.create(cluster, namespace, name, ready_within_s=None, **spec)
        made.append(redis_set)
        if ready_within_s is not None:
            redis_set.wait_ready(within_s=ready_within_s)
        return redis_set

    yield create
    for redis_set in made:
        redis_set.close()


@pytest.fixture
def writers() -> Iterator[Callable[..., Writers]]:
    """`writers(redis_set, "sentinel", client="a")`: as `RedisSet.writers`, ended with the test at the
    latest.
    """
    with contextlib.ExitStack() as stack:

        def start(redis_set: RedisSet, kind: str, *, client: str, **pace: Any) -> Writers:
            started = redis_set.writers(kind, client=client, **pace)
            stack.callback(started.kill)
            return started

        yield start
