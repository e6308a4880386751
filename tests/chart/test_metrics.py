"""What the operator exports, by Prometheus' own linter, and the page that describes it."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from tests.chart.rendering import ROOT
from tests.chart.telemetry import exposition
from tests.chart.test_alerts import promtool

PAGE = ROOT / "docs" / "monitoring.md"
# prometheus_client's own, whose names are fixed elsewhere.
FOREIGN = ("python_", "process_")


def test_the_names_follow_prometheus_conventions() -> None:
    done = promtool("check", "metrics", stdin=exposition())
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_name_against_the_conventions_is_noticed() -> None:
    done = promtool(
        "check", "metrics", stdin=exposition() + "# TYPE contexredis_lag_ms counter\ncontexredis_lag_ms 1\n"
    )
    assert done.returncode != 0
    assert "contexredis_lag_ms" in done.stdout + done.stderr


def test_the_page_names_every_metric_with_its_meaning_and_no_other() -> None:
    families = {
        family.name + ("_total" if family.type == "counter" else ""): family.documentation
        for family in text_string_to_metric_families(exposition())
        if not family.name.startswith(FOREIGN)
    }
    rows = dict(re.findall(r"^\| `(contexredis_\w+)`[^|]*\|[^|]*\| (.+) \|$", PAGE.read_text(), re.MULTILINE))
    assert rows == families
