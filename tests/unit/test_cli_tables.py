"""What `status` shows: roles, links, lag and views in words, whole in 80 columns and without colour in a pipe."""

from __future__ import annotations

import contextlib
import io
import re
from typing import Any

import pytest
from contex_operator.cli.facts import Facts
from contex_operator.cli.tables import Tone, as_data, condition_rows, headline, pod_rows, sentinel_rows
from contex_operator.cli.terminal import Screen
from contex_operator.model import Replica

from tests.unit.cli_world import conditions, facts, services
from tests.unit.world import (
    R0,
    R1,
    S0,
    S1,
    S2,
    SENTINELS,
    M,
    address_of,
    bare,
    gone,
    healthy,
    master,
    replica,
    resource,
    sentinel,
    silent,
    snapshot,
)


def with_data(*data: Any, **fields: Any) -> Facts:
    sentinels = [sentinel(s) for s in SENTINELS]
    return facts(snapshot(data, sentinels, objects=services()), **fields)


def test_a_healthy_set() -> None:
    shown = Replica(address=address_of(R0), online=True, offset=50, lag_s=1)
    given = with_data(
        master(offset=2098, replicas=(shown,)), replica(R0), replica(R1), zones={"node-0": "zone-1"}
    )
    first, second, third = pod_rows(given)
    assert (first.role, first.link, first.zone, first.tone) == ("master", "–", "zone-1", Tone.GOOD)
    assert (second.role, second.link, second.lag, second.tone) == ("replica", "up", "2KiB 1s", Tone.CALM)
    assert (third.lag, third.zone) == ("–", "–")
    assert (first.memory, first.aof) == ("10Mi / 100Mi 10%", "on")


def test_what_is_amiss_stands_out() -> None:
    given = with_data(master(), master(R0), replica(R1, of=R0))
    second, astray = pod_rows(given)[1:]
    assert (second.role, second.tone) == ("SECOND MASTER", Tone.BAD)
    assert (astray.link, astray.tone) == (f"up ← {R0}", Tone.BAD)
    down, syncing = pod_rows(with_data(master(), replica(R0, link_up=False), replica(R1, syncing=True)))[1:]
    assert (down.link, down.tone) == ("down", Tone.BAD)
    assert syncing.link == "syncing"
    unreached = pod_rows(with_data(master(), gone(R0), replica(R1)))[1]
    assert (unreached.role, unreached.link, unreached.tone) == ("unknown", "timeout", Tone.BAD)


def test_sentinels_views() -> None:
    observed = snapshot(
        [master(), replica(R0), replica(R1)],
        [sentinel(S0, flags=frozenset({"master", "s_down"})), bare(S1), silent(S2)],
        objects=services(),
    )
    first, second, third = sentinel_rows(facts(observed))
    assert (first.master, first.promotable, first.others, first.tone) == (
        f"{M} (s_down)",
        "2/2",
        "2/2",
        Tone.BAD,
    )
    assert (second.master, third.master) == ("monitors nothing", "timeout")


def test_conditions_in_words() -> None:
    told = conditions(
        Ready=("True", "Ready", "all is well"),
        Degraded=("True", "QuorumAtRisk", "node x"),
        ContexWired=("Unknown", "NotAsked", "no Deployment"),
    )
    rows = condition_rows(facts(status=told))
    assert [(row.words.split(":")[0], row.tone) for row in rows] == [
        ("Ready", Tone.GOOD),
        ("QuorumAtRisk", Tone.BAD),
        ("NotAsked", Tone.CALM),
    ]


def test_headline_says_when_the_master_moved_last() -> None:
    moved = {"time": "2026-01-01T00:00:00Z", "from": M, "to": R0, "reason": "Switchover"}
    assert headline(facts(status={"phase": "Ready", "lastFailover": moved})).endswith(
        f"master {M} · last moved 2026-01-01T00:00:00Z from {M} (Switchover)"
    )


def test_for_programs() -> None:
    told = as_data(facts(healthy(objects=services(), resource=resource(status={"phase": "Ready"}))))
    assert (told["master"], told["phase"]) == (M, "Ready")
    assert [row["ok"] for row in told["pods"]] == [True, True, True]


def shown(given: Facts) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        Screen().status(given)
    return out.getvalue()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("is_plain", [True, False])
def test_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch, is_plain: bool) -> None:
    for variable, value in {"COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1" if is_plain else ""}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with contextlib.redirect_stdout(Terminal()) as out:
        Screen().status(healthy_zones())
    text = out.getvalue()
    assert ("\x1b[32m" in text) is not is_plain
    assert all(name in text for name in (M, R0, R1, *SENTINELS)), "a pod's name was cut"
    assert max(len(line) for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()) <= 80


def healthy_zones() -> Facts:
    return facts(zones={f"node-{number}": f"zone-{number}" for number in range(3)})


def test_into_a_pipe_no_line_is_cut_and_nothing_is_coloured() -> None:
    text = shown(facts(status=conditions(Ready=("True", "Ready", "word " * 40))))
    assert "\x1b" not in text
    assert ("word " * 40).strip() in text
