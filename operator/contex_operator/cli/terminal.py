"""Colours and widths as the terminal has them; nothing of either where it is none, or where NO_COLOR is set.

`rich` does both. Into a pipe the tables are as wide as they need to be: a line is never cut there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .checks import CHECKS, Finding, Severity, is_healthy
from .facts import Facts
from .tables import Tone, condition_rows, headline, pod_rows, sentinel_rows

PIPE_WIDTH: Final = 400
_STYLES: Final[Mapping[Tone, str]] = {Tone.GOOD: "green", Tone.BAD: "bold red", Tone.CALM: ""}
_MARKS: Final[Mapping[Severity, tuple[str, str]]] = {
    Severity.ERROR: ("ERROR", "bold red"),
    Severity.WARNING: ("WARNING", "yellow"),
    Severity.NOTE: ("NOTE", "cyan"),
}


class Screen:
    """Where a command's answer goes. `is_json`: nothing but one JSON document on stdout."""

    def __init__(self, *, is_json: bool = False) -> None:
        self.is_json = is_json
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        self._console = Console(width=width, highlight=False)

    def data(self, document: Mapping[str, Any]) -> None:
        print(json.dumps(document, indent=2, ensure_ascii=False))

    def line(self, text: str = "", style: str = "") -> None:
        if not self.is_json:
            self._print(Text(text, style=style))

    def _print(self, text: Text) -> None:
        """A line as one line: a command that is copied from it must not have line breaks in it."""
        self._console.print(text, soft_wrap=True)

    def status(self, facts: Facts) -> None:
        bad = facts.topology.master is None
        self.line(headline(facts), "bold red" if bad else "bold")
        self.line()
        pods = ("POD", "NODE", "ZONE", "ROLE", "LINK", "LAG", "MEMORY", "AOF")
        self._table(
            pods,
            [
                ((row.pod, row.node, row.zone, row.role, row.link, row.lag, row.memory, row.aof), row.tone)
                for row in pod_rows(facts)
            ],
        )
        sentinels = sentinel_rows(facts)
        if sentinels:
            self.line()
            head = ("SENTINEL", "NODE", "ZONE", "SEES AS MASTER", "EPOCH", "REPLICAS", "OTHERS", "QUORUM")
            self._table(
                head,
                [
                    (
                        (r.sentinel, r.node, r.zone, r.master, r.epoch, r.promotable, r.others, r.quorum),
                        r.tone,
                    )
                    for r in sentinels
                ],
            )
        conditions = condition_rows(facts)
        if conditions:
            self.line()
            self._table(
                ("CONDITION", "STATUS", "SINCE", "IN WORDS"),
                [((row.type, row.status, row.since, row.words), row.tone) for row in conditions],
            )
        for one in facts.unseen:
            self.line(f"not looked at: {one.what}: {one.why}", "yellow")

    def doctor(self, facts: Facts, findings: Sequence[Finding]) -> None:
        self.line(headline(facts), "bold")
        for one in findings:
            mark, style = _MARKS[one.severity]
            self.line()
            self._print(
                Text.assemble((f"{mark} ", style), (one.id, "bold"), f"  [{one.row}]\n", f"  {one.finding}")
            )
            self.line(f"  proof  {one.proof}")
            self._print(Text.assemble("  cure   ", (one.cure, "bold")))
        self.line()
        counts = {severity: sum(one.severity is severity for one in findings) for severity in Severity}
        words = ", ".join(
            f"{count} {severity}{'s' if count > 1 else ''}" for severity, count in counts.items() if count
        )
        self.line(
            f"{len(CHECKS)} checks: {words or 'nothing is amiss'}",
            "green" if is_healthy(tuple(findings)) else "bold red",
        )

    def _table(self, head: Iterable[str], rows: Iterable[tuple[tuple[str, ...], Tone]]) -> None:
        # Closer than rich's own boxes: the pods fit into 80 columns.
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for number, title in enumerate(head):
            table.add_column(title, overflow="fold", no_wrap=number == 0)  # names of pods stay whole
        for cells, tone in rows:
            table.add_row(*(Text(cell) for cell in cells), style=_STYLES[tone])
        self._console.print(table)


def doctor_data(facts: Facts, findings: Sequence[Finding]) -> dict[str, Any]:
    """What `doctor` found, for programs."""
    return {
        "name": facts.name,
        "namespace": facts.namespace,
        "healthy": is_healthy(tuple(findings)),
        "findings": [asdict(one) for one in findings],
        "checks": list(CHECKS),
    }
