"""A real Prometheus beside the tests: Debian's, with the chart's alert rules, scraping every second."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from lab.programs import program
from tests.e2e.support.eventually import eventually


@dataclass(frozen=True)
class Target:
    """Something to scrape: `address` is host:port, `labels` are those that a PodMonitor would add."""

    job: str
    address: str
    path: str
    labels: Mapping[str, str]


class Prometheus:
    """One Prometheus for one test. A context manager: ended, with its data, at the end."""

    def __init__(self, targets: Sequence[Target], *, rules: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="prometheus-")
        home = Path(self._folder.name)
        config = home / "prometheus.yaml"
        config.write_text(yaml.safe_dump(_config(targets, rules=rules)))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._log = home / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    str(program("prometheus")),
                    f"--config.file={config}",
                    f"--storage.tsdb.path={home / 'data'}",
                    f"--web.listen-address={self._address}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        eventually(self._is_ready, within_s=60, describe="Prometheus is ready", passing=(OSError,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(f"--- Prometheus\n{self._log.read_text()[-4000:]}\n")
        self._process.terminate()
        self._process.wait(timeout=30)
        self._folder.cleanup()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, f"Prometheus has ended: {self._log.read_text()[-2000:]}"
        with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)

    def _get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{self._address}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series now; those without a number (NaN) are left out."""
        found = [
            (dict(each["metric"]), float(each["value"][1]))
            for each in self._get("query", query=expr)["result"]
        ]
        return [(labels, value) for labels, value in found if not math.isnan(value)]

    def value(self, expr: str) -> float | None:
        """The only value, None where there is none. Raises AssertionError where there are more."""
        found = self.query(expr)
        assert len(found) <= 1, f"{expr}: {found}"
        return found[0][1] if found else None

    def targets(self) -> dict[str, str]:
        """Health and last error of each target by its address."""
        return {
            t["discoveredLabels"]["__address__"]: t["health"] + t["lastError"]
            for t in self._get("targets")["activeTargets"]
        }

    def broken_rules(self) -> dict[str, str]:
        """Alert rules that could not be evaluated, with the reason."""
        rules = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
        assert rules, "Prometheus has no rules"
        return {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] == "err"}

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {
            alert["labels"]["alertname"]
            for alert in self._get("alerts")["alerts"]
            if alert["state"] == "firing"
        }


def _config(targets: Sequence[Target], *, rules: Path) -> dict[str, Any]:
    jobs = [
        {
            "job_name": f"{target.job}-{number}",
            "metrics_path": target.path,
            "static_configs": [{"targets": [target.address], "labels": dict(target.labels)}],
        }
        for number, target in enumerate(targets)
    ]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": jobs,
    }
