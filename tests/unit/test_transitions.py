"""Which turns of a status are worth an event: once each, with the sentence, and none for a good start."""

from __future__ import annotations

from typing import Any

import pytest
from contex_operator.transitions import Transition, transitions


def status(phase: str = "Ready", *conditions: tuple[str, str, str], **fields: Any) -> dict[str, Any]:
    """A status of conditions (type, status, reason); the sentence is made of them."""
    return {
        "phase": phase,
        "conditions": [
            {"type": kind, "status": value, "reason": reason, "message": f"{kind} {reason}"}
            for kind, value, reason in conditions
        ],
        **fields,
    }


def news(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(event.reason, event.is_warning) for event in transitions(old, new)]


READY = ("Ready", "True", "Ready")
BROKEN = ("Ready", "False", "NoMaster")


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (BROKEN, READY, ("Ready", False)),
        (READY, BROKEN, ("NotReady", True)),
        (BROKEN, ("Ready", "False", "QuorumLost"), ("NotReady", True)),
        (("Degraded", "False", "Healthy"), ("Degraded", "True", "NoMaster"), ("Degraded", True)),
        (("Degraded", "True", "NoMaster"), ("Degraded", "False", "Healthy"), ("Recovered", False)),
        (
            ("FailoverReady", "True", "Ready"),
            ("FailoverReady", "False", "QuorumLost"),
            ("FailoverNotReady", True),
        ),
        (
            ("DataLossRisk", "False", "NoRisk"),
            ("DataLossRisk", "True", "CopyMissing"),
            ("DataLossRisk", True),
        ),
        (("SpecValid", "True", "Valid"), ("SpecValid", "False", "NameTaken"), ("SpecInvalid", True)),
        (("SpecValid", "False", "Invalid"), ("SpecValid", "True", "Valid"), ("SpecValid", False)),
        (("ContexWired", "False", "Pending"), ("ContexWired", "True", "Wired"), ("ContexWired", False)),
        (
            ("ContexWired", "True", "Wired"),
            ("ContexWired", "False", "EnvOwnedElsewhere"),
            ("ContexNotWired", True),
        ),
        (
            ("AuthChanged", "False", "InForce"),
            ("AuthChanged", "True", "SourceDiffers"),
            ("AuthChanged", True),
        ),
    ],
)
def test_a_turn_is_one_event(
    before: tuple[str, str, str], after: tuple[str, str, str], event: tuple[str, bool]
) -> None:
    assert news(status("Ready", before), status("Degraded", after)) == [event]
    assert news(status("Ready", after), status("Degraded", after)) == []


def test_the_event_carries_the_conditions_sentence() -> None:
    assert transitions(status("Ready", READY), status("Degraded", BROKEN)) == [
        Transition(reason="NotReady", message="Ready NoMaster", is_warning=True)
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("FailoverReady", "False", "QuorumLost"), ("FailoverReady", "True", "Ready")),
        (("DataLossRisk", "True", "CopyMissing"), ("DataLossRisk", "False", "NoRisk")),
        (("AuthChanged", "True", "SourceDiffers"), ("AuthChanged", "False", "InForce")),
        (("ContexWired", "True", "Wired"), ("ContexWired", "False", "Pending")),
        (("Progressing", "False", "Settled"), ("Progressing", "True", "Working")),
    ],
)
def test_what_is_no_news(before: tuple[str, str, str], after: tuple[str, str, str]) -> None:
    assert news(status("Ready", before), status("Ready", after)) == []


def test_numbers_that_move_inside_a_sentence_are_no_news() -> None:
    one, two = status("Degraded", BROKEN), status("Degraded", BROKEN)
    two["conditions"][0]["message"] = "1 of 3"
    assert news(one, two) == []


def test_a_start_is_quiet_until_something_goes_wrong() -> None:
    starting = status(
        "Bootstrapping",
        BROKEN,
        ("FailoverReady", "False", "NoMaster"),
        ("Degraded", "False", "Healthy"),
        ("SpecValid", "True", "Valid"),
        ("ContexWired", "False", "Pending"),
        ("DataLossRisk", "False", "NoRisk"),
    )
    assert news({}, starting) == []
    later = status("Bootstrapping", ("Ready", "False", "ReplicasNotInSync"))
    assert news(starting, later) == []
    stuck = status("Degraded", ("Degraded", "True", "PodCannotStart"))
    assert news({}, stuck) == [("Degraded", True)]
    done = status("Ready", READY)
    assert news(starting, done) == [("Ready", False)]


def test_a_refused_spec_is_told_from_the_start() -> None:
    assert news({}, status("Invalid", ("SpecValid", "False", "Invalid"))) == [("SpecInvalid", True)]


def test_a_failover_is_told_once_and_first() -> None:
    moved = {"from": "redis-master-0", "to": "redis-replica-0", "time": "t"}
    old, new = status("FailingOver", BROKEN), status("Ready", READY, lastFailover=moved)
    events = transitions(old, new)
    assert events[0] == Transition(
        reason="FailedOver", message="master moved from redis-master-0 to redis-replica-0"
    )
    assert [event.reason for event in events] == ["FailedOver", "Ready"]
    assert news(new, new) == []
