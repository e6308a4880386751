"""What `status` shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.status import HostStatus, LabStatus

NODE = HostStatus(
    "node1", "198.18.0.11", powered=True, linked=True, frozen=False, ready=True, memory_bytes=50 << 20
)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (NODE, "Ready"),
        (replace(NODE, ready=False), "NotReady"),
        (replace(NODE, ready=None), "running"),
        (replace(NODE, linked=False), "cut off, Ready"),
        (replace(NODE, frozen=True, linked=False, ready=False), "frozen, cut off, NotReady"),
        (replace(NODE, powered=False, linked=False, ready=False), "powered off"),
    ],
)
def test_a_hosts_state_is_told_in_words(host: HostStatus, words: str) -> None:
    assert host.state == words


def test_a_laboratory_that_is_down_is_one_line() -> None:
    assert LabStatus("x", up=False, hosts=(), faults=()).lines() == ["the laboratory 'x' is not up"]


def test_active_faults_and_the_sum_of_memory_are_shown() -> None:
    status = LabStatus(
        "x", up=True, hosts=(NODE, replace(NODE, name="node2")), faults=("cut-1 node2 is cut off",)
    )
    lines = status.lines()
    assert lines[0] == "the laboratory 'x' is up, 100 MiB of memory"
    assert lines[-1] == "fault: cut-1 node2 is cut off"
    assert [line.split()[0] for line in lines[2:4]] == ["node1", "node2"]
