"""What the dashboards ask Prometheus, read from the files that the chart ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parents[2] / "helm" / "contex" / "files" / "dashboards"
_LABEL_VALUES: Final = re.compile(r"label_values\((.+), (\w+)\)")
# What Grafana puts in for its variables.
ALL: Final = {"$namespace": ".*", "$contexredis": ".*"}


@dataclass(frozen=True)
class Query:
    """One query of one panel, as it is written."""

    board: str
    panel: str
    expr: str

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.expr}"

    def filled(self, *, rate: str, range_: str, variables: Mapping[str, str] = ALL) -> str:
        """The query as Grafana sends it."""
        words = {**variables, "$__rate_interval": rate, "$__range": range_}
        expr = self.expr
        for name, value in words.items():
            expr = expr.replace(name, value)
        assert "$" not in expr, f"an unknown variable in {expr}"
        return expr


def boards() -> dict[str, dict[str, Any]]:
    """Every dashboard by its file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels but rows, wherever they are."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panels({"panels": panel.get("panels") or []})
        else:
            yield panel


def queries() -> list[Query]:
    """All queries of all panels, and those behind the variables' choices."""
    found = [
        Query(board=board["title"], panel=panel["title"], expr=target["expr"])
        for board in boards().values()
        for panel in panels(board)
        for target in panel["targets"]
    ]
    for board in boards().values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                choices = _LABEL_VALUES.fullmatch(variable["query"])
                assert choices is not None, variable["query"]
                name, expr = f"variable {variable['name']}", f"count by ({choices[2]}) ({choices[1]})"
                found.append(Query(board=board["title"], panel=name, expr=expr))
    return found
