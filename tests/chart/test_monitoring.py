"""Monitors, alerts and dashboards: only when asked for, and as they lie in the chart's files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.examples import EXTERNAL
from tests.chart.rendering import CHART, Manifests, helm, merged, nested, render

ALERTS = """\
# Alerts.
groups:
  - name: contexredis
    rules:
      - alert: NoMaster
        expr: max(a) == 0
        annotations:
          summary: "{{ $labels.contexredis }} has {{ $value }}"
"""
DASHBOARD = {"title": "Contex Reliability · Redis", "legend": "{{pod}}", "panels": []}
ON = merged(
    nested("podMonitor.enabled", True),
    nested("prometheusRule", {"enabled": True, "labels": {"release": "prometheus"}}),
    nested("dashboards", {"enabled": True, "annotations": {"folder": "Contex"}}),
)


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """The chart with files of known content."""
    copy = tmp_path / "contex"
    shutil.copytree(CHART, copy)
    (copy / "files" / "alerts.yaml").write_text(ALERTS)
    shutil.rmtree(copy / "files" / "dashboards", ignore_errors=True)
    (copy / "files" / "dashboards").mkdir()
    (copy / "files" / "dashboards" / "reliability.json").write_text(json.dumps(DASHBOARD, indent=2) + "\n")
    return copy


def rendered(chart: Path, values: dict[str, Any]) -> Manifests:
    given = chart / "given.json"
    given.write_text(json.dumps(values))
    done = helm("template", "contex", str(chart), "--values", str(given))
    assert done.returncode == 0, done.stderr
    return Manifests(done.stdout)


def test_nothing_of_it_comes_unasked(chart: Path) -> None:
    kinds = {body["kind"] for body in rendered(chart, {}).objects}
    assert not kinds & {"PodMonitor", "PrometheusRule"}
    assert not [
        body for body in rendered(chart, {}).all("ConfigMap") if "dashboard" in body["metadata"]["name"]
    ]


def test_the_monitor_finds_the_operators_port() -> None:
    manifests = render(nested("podMonitor", {"enabled": True, "labels": {"release": "prometheus"}}))
    monitor = manifests.one("PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    operator = manifests.one("Deployment", "contex-operator")["spec"]
    assert monitor["spec"]["selector"]["matchLabels"] == operator["selector"]["matchLabels"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["path"] == "/metrics"
    (container,) = operator["template"]["spec"]["containers"]
    assert endpoint["port"] in [port["name"] for port in container["ports"]]


def test_a_release_without_an_operator_has_none_to_scrape() -> None:
    assert not render(merged(EXTERNAL, nested("podMonitor.enabled", True))).has("PodMonitor")


def test_alerts_arrive_as_they_are(chart: Path) -> None:
    rule = rendered(chart, ON).one("PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"] == yaml.safe_load(ALERTS)


def test_dashboards_arrive_as_they_are(chart: Path) -> None:
    config = rendered(chart, ON).one("ConfigMap", "contex-dashboard-reliability")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config["metadata"]["annotations"] == {"folder": "Contex"}
    assert {name: json.loads(text) for name, text in config["data"].items()} == {
        "reliability.json": DASHBOARD
    }
