"""The dashboards: as the code makes them, with the panels that the document promises, of metrics that there are."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from monitoring import FOLDER, dashboards
from tests.chart.dashboards import Query, boards, panels, queries
from tests.chart.rendering import ROOT
from tests.chart.telemetry import exported, named_in
from tests.chart.test_alerts import promtool

QUERIES = queries()


def test_the_files_are_what_the_code_makes() -> None:
    there = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert there == dashboards(), "run `python -m monitoring` and commit what it wrote"


def test_the_documented_command_makes_them() -> None:
    done = subprocess.run(["make", "-n", "dashboards"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert any(line.endswith("python -m monitoring") for line in done.stdout.splitlines())


def test_the_document_s_panels_are_there() -> None:
    board = boards()["contex-redis.json"]
    assert board["title"] == "Contex Reliability · Redis"
    shown = {panel["title"]: panel for panel in panels(board)}
    steps = shown["Connections in use"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 45]
    assert "contex_redis_connections" in shown["Connections in use"]["targets"][0]["expr"]
    assert any("0.95" in t["expr"] for t in shown["Duration of operations"]["targets"])
    assert "memory_used_bytes" in shown["Memory of Redis"]["targets"][0]["expr"]
    assert "connection_errors_total" in shown["Connection errors"]["targets"][0]["expr"]


@pytest.mark.parametrize("name", boards())
def test_a_dashboard_fits_any_grafana(name: str) -> None:
    board = boards()[name]
    assert board["uid"]
    assert not board.get("id"), "an id belongs to one Grafana alone"
    positions = set()
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        positions.add((at["x"], at["y"]))
    assert len(positions) == len(list(panels(board))), "panels lie on each other"


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_is_of_metrics_that_there_are(query: Query) -> None:
    asked = named_in(query.expr)
    assert asked
    assert asked <= exported()


def test_every_query_is_valid() -> None:
    rules = [
        {"record": f"query_{number}", "expr": query.filled(rate="1m", range_="1h")}
        for number, query in enumerate(QUERIES)
    ]
    done = promtool("check", "rules", stdin=yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert done.returncode == 0, done.stdout + done.stderr
