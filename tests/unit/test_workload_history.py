"""A history survives being written down; what is no history is refused by what is wrong with it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workload.history import Op, Result, dump, load, parse

moments = st.floats(min_value=0, max_value=1e9, allow_nan=False)
ops = st.builds(
    Op,
    client=st.text(min_size=1),
    value=st.text(min_size=1),
    invoked=moments,
    completed=moments,
    result=st.sampled_from(list(Result)),
    node=st.none() | st.text(),
    reason=st.none() | st.text(),
)


@given(st.lists(ops))
def test_what_is_written_is_read_back(history: list[Op]) -> None:
    lines = [dump(op) for op in history]
    assert all("\n" not in line for line in lines)
    assert list(load(lines)) == history


def test_a_line_is_json_that_other_tools_can_read() -> None:
    op = Op("c1", "c1-0000001", 1.5, 1.75, Result.UNKNOWN, reason="Timeout")
    assert json.loads(dump(op)) == {
        "client": "c1",
        "value": "c1-0000001",
        "invoked": 1.5,
        "completed": 1.75,
        "result": "unknown",
        "reason": "Timeout",
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "not json",
        "[]",
        '{"client":"c"}',
        '{"client":"c","value":"v","invoked":0,"completed":1,"result":"maybe"}',
        '{"client":"c","value":"v","invoked":0,"completed":1,"result":"ok","more":1}',
    ],
)
def test_anything_else_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of a history"):
        parse(line)


def test_empty_lines_of_a_file_are_skipped() -> None:
    op = Op("c", "v", 0, 1, Result.OK)
    assert list(load(["", dump(op), "\n"])) == [op]
