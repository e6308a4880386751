"""docs/troubleshooting.md names the checks that there are, each under its row, and shows what doctor prints."""

from __future__ import annotations

import re

import pytest
from contex_operator.cli.checks import CHECKS, Row, examine

from tests.unit.cli_samples import HEALTHY, PAGE, SAMPLES, printed, with_samples

TABLE_ROW = re.compile(r"^\| `([a-z-]+)` \|", re.MULTILINE)
PRINTED = re.compile(r"^(?:ERROR|WARNING|NOTE) ([a-z-]+)  \[(.+)\]$", re.MULTILINE)


def sections() -> dict[str, str]:
    """The page's text by its headings."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("row", Row)
def test_each_check_stands_under_its_row(row: Row) -> None:
    named = TABLE_ROW.findall(sections()[row])
    assert sorted(named) == sorted(check.id for check in CHECKS.values() if check.row is row)


@pytest.mark.parametrize("row", [row for row in Row if row is not Row.USUAL])
def test_each_row_shows_a_sample(row: Row) -> None:
    assert row in {shown for _, shown in PRINTED.findall(sections()[row])}


def test_the_samples_are_what_doctor_prints() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_samples(page), (
        "PYTHONPATH=.:operator python -m tests.unit.cli_samples writes them anew"
    )


@pytest.mark.parametrize("id", SAMPLES)
def test_a_sample_shows_its_check(id: str) -> None:
    assert id in {one.id for one in examine(SAMPLES[id])}


def test_of_a_healthy_set_doctor_says_so_in_one_line() -> None:
    headline, _, last = printed(HEALTHY).splitlines()
    assert headline == "shop/redis · sentinel · Ready · master redis-master-0"
    assert last == f"{len(CHECKS)} checks: nothing is amiss"
