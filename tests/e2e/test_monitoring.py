"""What people see: every panel and every alert in a real Prometheus, and every command of the runbooks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from contex_operator.names import ANNOTATION_SWITCHOVER

from tests.chart.dashboards import queries
from tests.e2e.conftest import CHART, PROJECT, InstallOperator
from tests.e2e.support import spaces
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.eventually import eventually
from tests.e2e.support.prometheus import Prometheus, Target
from tests.e2e.support.redis_set import RedisSet
from tests.e2e.test_contex import contex_deployment

RUNBOOKS = sorted((PROJECT / "docs" / "runbooks").glob("*.md"))
ALERTS = CHART / "files" / "alerts.yaml"


class NoSeries(Exception):
    """Carries the queries that returned nothing into the message of a wait."""


@pytest.fixture
def redis_set(cluster: Cluster, namespace: str, install_operator: InstallOperator) -> Iterator[RedisSet]:
    """A whole set with Contex wired to it, a leading operator and a standby."""
    install_operator(replicas=2)
    cluster.apply(*contex_deployment(), namespace=namespace)
    contex = {"deployments": [{"name": "contex"}], "takeOver": True}
    made = spaces.create(cluster, namespace, contex=contex)
    cluster.kubectl("rollout", "status", "deployment/contex", "-n", namespace, "--timeout=60s")
    eventually(
        lambda: "Connected to Redis" in cluster.kubectl("logs", "deployment/contex", "-n", namespace),
        within_s=60,
        describe="Contex is connected",
    )
    yield made
    made.close()


def scraped(cluster: Cluster, namespace: str) -> list[Target]:
    """The operators, by the port that the chart names, and Contex."""
    found = []
    for pod in cluster.items("pods", namespace):
        name, address = pod["metadata"]["name"], pod["status"].get("podIP")
        ports = {
            p.get("name"): p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", ())
        }
        labels = {"namespace": namespace, "pod": name}
        if "metrics" in ports:
            found.append(Target("operator", f"{address}:{ports['metrics']}", "/metrics", labels))
        elif pod["metadata"]["labels"].get("app") == "contex" and "deletionTimestamp" not in pod["metadata"]:
            found.append(Target("contex", f"{address}:8001", "/api/v1/metrics", labels))
    return found


@pytest.mark.slow
def test_every_panel_and_every_alert_in_a_real_prometheus(
    redis_set: RedisSet, cluster: Cluster, namespace: str
) -> None:
    targets = scraped(cluster, namespace)
    assert sorted(target.job for target in targets) == ["contex", "operator", "operator"]
    with Prometheus(targets, rules=ALERTS) as prometheus:
        eventually(
            lambda: set(prometheus.targets().values()) == {"up"}, within_s=30, describe="all targets are up"
        )
        only_the_leader_tells_of_resources(prometheus, leader=spaces.leader(cluster, namespace))
        master = redis_set.wait_master()
        cluster.kubectl("annotate", "contexredis/redis", f"{ANNOTATION_SWITCHOVER}=any", "-n", namespace)
        counted(prometheus, 'contexredis_switchovers_total{result="moved"}')
        assert "ContexRedisFailoverHappened" not in prometheus.firing(), (
            "a switchover was taken for a failover"
        )
        master = redis_set.wait_master(other_than=master)
        redis_set.wait_ready()
        cluster.kill_redis(namespace, master)
        counted(prometheus, 'contexredis_failovers_total{reason=~"AssistedFailover|SentinelFailover"}')
        redis_set.wait_master(other_than=master)
        redis_set.wait_ready()
        every_query_returns_series(prometheus)
        eventually(
            lambda: prometheus.firing() == {"ContexRedisFailoverHappened"},
            within_s=60,
            describe="only the failover is told",
        )
        assert not prometheus.broken_rules()
        cluster.kubectl("delete", "contexredis/redis", "-n", namespace)
        gone = 'count({__name__=~"contexredis_.+", contexredis="redis"})'
        eventually(
            lambda: prometheus.value(gone) is None,
            within_s=60,
            describe="the series of a deleted resource are gone",
        )


def only_the_leader_tells_of_resources(prometheus: Prometheus, *, leader: str) -> None:
    eventually(
        lambda: (
            sorted(value for _, value in prometheus.query("contexredis_operator_lease_held")) == [0, 1]
            and {labels["pod"] for labels, _ in prometheus.query("contexredis_info")} == {leader}
        ),
        within_s=30,
        describe=f"{leader} tells of the resource, the standby of itself alone",
    )


def counted(prometheus: Prometheus, counter: str) -> None:
    """A counter of this kind has been seen at 0 and then above it, so that `increase()` shows the event."""
    eventually(
        lambda: (prometheus.value(f"sum(increase({counter}[5m]))") or 0) > 0,
        within_s=90,
        describe=f"{counter} has increased",
    )


def every_query_returns_series(prometheus: Prometheus) -> None:
    wanted = {str(query): query.filled(rate="30s", range_="5m") for query in queries()}
    assert len(wanted) > 30

    def all_have_series() -> bool:
        missing = [name for name, expr in wanted.items() if not prometheus.query(expr)]
        if missing:
            raise NoSeries(missing)
        return True

    eventually(
        all_have_series, within_s=60, describe="every query of every panel has series", passing=(NoSeries,)
    )


def commands(page: Path) -> list[str]:
    """The shell blocks of a page."""
    return re.findall(r"^```bash\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_every_command_of_the_runbooks_works(redis_set: RedisSet, cluster: Cluster, namespace: str) -> None:
    kubectl = " ".join(cluster.argv("kubectl", "-n", namespace))
    pages = [page for page in RUNBOOKS if page.stem != "README"]
    assert len(pages) >= 10
    for page in pages:
        assert commands(page), f"{page.name} has no command"
        for block in commands(page):
            redis_set.wait_ready(within_s=120)
            script = f'set -euo pipefail\nkubectl() {{ command {kubectl} "$@"; }}\n{block}'
            done = subprocess.run(
                ["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, f"{page.name}:\n{block}\n{done.stdout}{done.stderr}"
            assert done.stdout.strip(), f"{page.name}: prints nothing:\n{block}"
