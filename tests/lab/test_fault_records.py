"""Faults as data: written down before they happen, undone once, found by whoever comes later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from lab import paths
from lab.cluster import Lab
from lab.errors import LabError, UsageError
from lab.faults import firewall
from lab.faults.base import KINDS, Active, Fault, active_faults, begin
from lab.hosts import CLIENT, CONTROL
from lab.layout import Layout

events: list[str] = []


@dataclass(frozen=True)
class Noted(Fault):
    """A fault that notes what is done to it; `breaks` names the step that fails."""

    kind: ClassVar[str] = "noted"
    what: str
    breaks: str = ""

    @property
    def summary(self) -> str:
        return f"noted {self.what}"

    def _do(self, step: str) -> None:
        events.append(f"{step} {self.what}")
        if self.breaks == step:
            raise LabError(f"{step} breaks")

    def apply(self, lab: Lab) -> None:
        recorded = [active.fault for active in active_faults(lab)]
        assert self in recorded, "it is written down before it happens"
        self._do("apply")

    def revert(self, lab: Lab) -> None:
        self._do("revert")


class FakeLab:
    """As much of a laboratory as records need."""

    def __init__(self) -> None:
        self.layout = Layout("unit")
        self.layout.faults.mkdir(parents=True)

    def require_up(self) -> None:
        """It is."""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A laboratory without hosts."""
    monkeypatch.setattr(paths, "state_root", lambda: tmp_path)
    events.clear()
    return cast(Lab, FakeLab())


def test_a_fault_is_undone_at_the_end_of_its_block_and_only_once(lab: Lab) -> None:
    with begin(lab, Noted("a")) as active:
        assert [each.identity for each in active_faults(lab)] == [active.identity]
    active.undo()
    assert events == ["apply a", "revert a"]
    assert active_faults(lab) == []


def test_it_is_undone_when_the_block_fails(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError):
        with begin(lab, Noted("a")):
            _ = 1 / 0
    assert events == ["apply a", "revert a"]


def test_another_process_finds_it_and_undoes_it(lab: Lab) -> None:
    begin(lab, Noted("a"))
    (found,) = active_faults(lab)
    assert found.fault == Noted("a")
    assert found.summary.endswith("noted a")
    found.undo()
    assert events == ["apply a", "revert a"]


def test_a_fault_that_fails_half_way_is_undone_and_not_recorded(lab: Lab) -> None:
    with pytest.raises(LabError, match="apply breaks"):
        begin(lab, Noted("a", breaks="apply"))
    assert events == ["apply a", "revert a"]
    assert active_faults(lab) == []


def test_a_fault_whose_undo_fails_stays_recorded(lab: Lab) -> None:
    active = begin(lab, Noted("a", breaks="revert"))
    with pytest.raises(LabError, match="revert breaks"):
        active.undo()
    assert [each.fault for each in active_faults(lab)] == [Noted("a", breaks="revert")]


def test_the_same_fault_twice_ends_with_the_last_undo(lab: Lab) -> None:
    first, second = begin(lab, Noted("a")), begin(lab, Noted("a"))
    first.undo()
    assert "revert a" not in events
    second.undo()
    assert events == ["apply a", "apply a", "revert a"]


def test_faults_are_listed_in_the_order_in_which_they_were_done(lab: Lab) -> None:
    begun: list[Active] = [begin(lab, Noted(str(i))) for i in range(5)]
    assert [each.identity for each in active_faults(lab)] == [each.identity for each in begun]


def example(kind: str) -> dict[str, Any]:
    """Fields of a fault of each kind, as they are recorded."""
    examples: dict[str, dict[str, Any]] = {
        "noted": {"what": "x", "breaks": ""},
        "freeze": {"target": "node1", "group": "contex-lab/x/node1"},
        "power-off": {"node": "node1"},
        "cut": {"host": "client"},
        "partition": {
            "a": ["node1"],
            "b": ["t/p"],
            "direction": "both",
            "drops": [["198.18.0.11/32", "198.19.2.9/32"]],
        },
        "dns-off": {},
        "clock": {"pod": "t/p", "group": "g", "pids": [1, 2], "seconds": -5},
        "fill-disk": {"pod": "t/p", "node": "node1", "path": "/var/lib/volumes/v", "leave_bytes": 0},
    }
    return examples[kind]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"noted"}))
def test_every_kind_survives_being_written_down(lab: Lab, kind: str) -> None:
    from lab.faults.base import write_record

    fault = KINDS[kind](**example(kind))
    write_record(lab.layout.faults / f"{kind}-abc.json", fault)
    (read,) = active_faults(lab)
    assert read.fault == fault
    assert fault.summary in read.summary


# -- partitions ---------------------------------------------------------------------------------------------------


def rules(a: list[str], b: list[str], direction: str) -> list[str]:
    """The rules between hosts; no pods, so no laboratory is asked."""
    return firewall.partition(cast(Lab, None), a=a, b=b, direction=direction).rules()


def test_a_partition_of_nodes_drops_their_own_packets_and_those_of_their_pods() -> None:
    assert rules(["node1"], ["node2"], "a-to-b") == [
        "-s 198.18.0.11/32 -d 198.18.0.12/32",
        "-s 198.18.0.11/32 -d 198.19.2.0/24",
        "-s 198.19.1.0/24 -d 198.18.0.12/32",
        "-s 198.19.1.0/24 -d 198.19.2.0/24",
    ]


def test_directions_are_halves_of_both() -> None:
    one, other = rules(["node1"], [CLIENT], "a-to-b"), rules(["node1"], [CLIENT], "b-to-a")
    assert sorted(one + other) == sorted(rules(["node1"], [CLIENT], "both"))
    assert not set(one) & set(other)
    assert other == rules([CLIENT], ["node1"], "a-to-b")


@pytest.mark.parametrize(
    ("a", "b", "direction", "words"),
    [
        (["node1"], [], "both", "at least one"),
        ([], ["node1"], "both", "at least one"),
        (["node1", "node2"], ["node2"], "both", "node2 cannot be on both sides"),
        (["node1"], ["node9"], "both", "'node9' is neither a node nor a pod"),
        (["node1"], [CONTROL], "sideways", "use one of both, a-to-b, b-to-a"),
    ],
)
def test_a_partition_that_makes_no_sense_is_refused(
    a: list[str], b: list[str], direction: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        rules(a, b, direction)


def test_the_chain_is_written_as_a_whole_without_doubles() -> None:
    text = firewall.restore_text(
        ["-s 1.0.0.1/32 -d 1.0.0.2/32", "-s 1.0.0.1/32 -d 1.0.0.2/32", "-p udp --dport 53"]
    )
    assert text.splitlines() == [
        "*mangle",
        ":CONTEX-LAB-FAULTS - [0:0]",
        "-A CONTEX-LAB-FAULTS -s 1.0.0.1/32 -d 1.0.0.2/32 -j DROP",
        "-A CONTEX-LAB-FAULTS -p udp --dport 53 -j DROP",
        "COMMIT",
    ]
