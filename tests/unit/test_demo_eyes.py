"""What the demo reads: lines of watches, messages of sentinels, streams and INFO as redis-cli prints them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo.data import parse_info, parse_stream
from tests.demo.state import (
    Pod,
    Resource,
    Snapshot,
    State,
    parse_node,
    parse_pod,
    parse_resource,
    said_of_pod,
)
from tests.demo.target import DemoError, OtherCluster, choose
from tests.demo.watching import messages, sentence

POD = Pod("redis-master-0", "node1", "10.0.0.4", is_ready=True, restarts=0, app="")


class TestWatches:
    def test_a_pod(self) -> None:
        assert parse_pod("MODIFIED|contex-1|node2|10.0.0.7|True|3|Running|contex\n") == (
            "contex-1",
            Pod("contex-1", "node2", "10.0.0.7", is_ready=True, restarts=3, app="contex"),
        )

    def test_a_pod_that_has_nothing_yet(self) -> None:
        assert parse_pod("ADDED|p|||||Pending|\n") == (
            "p",
            Pod("p", "", "", is_ready=False, restarts=0, app=""),
        )

    @pytest.mark.parametrize("line", ["DELETED|p|node1|10.0.0.7|True|0|Running|", "ADDED|p|n|||0|Succeeded|"])
    def test_a_pod_that_is_gone_or_done(self, line: str) -> None:
        assert parse_pod(line) == ("p", None)

    @pytest.mark.parametrize(
        ("line", "ready"),
        [
            ("Ready|True|m-0|2|2", True),
            ("Ready|True|m-0|3|2", False),
            ("Degraded|False|m-0|2|2", False),
            ("|||1|", False),
        ],
    )
    def test_the_resource_is_ready_only_for_its_present_spec(self, line: str, ready: bool) -> None:
        assert parse_resource(line).is_ready is ready

    def test_a_node(self) -> None:
        assert parse_node("node1|True\n") == ("node1", True)
        assert parse_node("node1|Unknown\n") == ("node1", False)

    def test_another_shape_is_refused(self) -> None:
        with pytest.raises(ValueError, match="2 fields instead of 8"):
            parse_pod("a|b")

    def test_state_keeps_the_latest_and_what_changed(self) -> None:
        state = State()
        state.pod_line("ADDED|m-0|node1|10.0.0.4|True|0|Running|")
        state.node_line("node1|True")
        state.service_line("m-0\n")
        state.resource_line("Ready|True|m-0|1|1")
        assert state.snapshot().not_green() == []
        before = len(state.events(since=0))
        state.pod_line("MODIFIED|m-0|node1|10.0.0.4|False|0|Running|")
        state.pod_line("MODIFIED|m-0|node1|10.0.0.4|False|0|Running|")
        state.node_line("node1|Unknown")
        state.resource_line("Degraded|False|m-0|1|1")
        state.service_line("r-0\n")
        assert [event.text for event in state.events(since=0)[before:]] == [
            "m-0 is not Ready",
            "node node1 is NotReady",
            "ContexRedis: Degraded, master m-0",
            "the master Service leads to r-0",
        ]
        assert state.snapshot().not_green() == [
            "node1 is not Ready",
            "m-0 is not Ready",
            "the ContexRedis is not Ready (Degraded)",
        ]
        state.pod_line("DELETED|m-0|node1|10.0.0.4|False|0|Running|")
        assert state.snapshot().pods == {}

    def test_a_watch_that_failed_leaves_no_picture(self) -> None:
        state = State()
        state.fail(ValueError("odd line"))
        with pytest.raises(ValueError, match="odd line"):
            state.snapshot()

    def test_nothing_seen_is_not_green(self) -> None:
        assert Snapshot().not_green() == ["the ContexRedis is not Ready (no status yet)"]
        assert Snapshot(resource=Resource("Ready", is_ready=True)).not_green() == []

    @pytest.mark.parametrize(
        ("after", "said"),
        [
            (POD, None),
            (None, None),
            (Pod("redis-master-0", "node1", "10.0.0.4", False, 0, ""), "redis-master-0 is not Ready"),
            (
                Pod("redis-master-0", "node1", "10.0.0.4", False, 1, ""),
                "redis-master-0 was started again by its kubelet",
            ),
        ],
    )
    def test_one_line_for_what_matters_of_a_pod(self, after: Pod | None, said: str | None) -> None:
        assert said_of_pod(POD, after) == said


NAMES = {"10.96.0.1": "redis-master-0", "10.96.0.2": "redis-replica-0"}


class TestSentinels:
    def test_messages_as_redis_cli_prints_them_to_a_pipe(self) -> None:
        lines = ["subscribe\n", "+odown\n", "1\n", "message\n", "+odown\n", "master m 1 2 #quorum 2/2\n"]
        lines += ["message\n", "+switch-master\n", "m 1 2 3 4\n", "message\n"]
        assert list(messages(iter(lines))) == [
            ("+odown", "master m 1 2 #quorum 2/2"),
            ("+switch-master", "m 1 2 3 4"),
            ("", ""),
        ]

    def test_they_are_said_with_the_names_of_pods(self) -> None:
        down = sentence("+odown", "master mymaster 10.96.0.1 6379 #quorum 2/2", names=NAMES)
        assert down == "a quorum holds redis-master-0 for down"
        moved = sentence("+switch-master", "mymaster 10.96.0.1 6379 10.96.0.2 6379", names=NAMES)
        assert moved == "the master is redis-replica-0"
        assert sentence("+switch-master", "mymaster a 1 b 2", names={}) == "the master is b"

    @pytest.mark.parametrize(
        ("channel", "message"),
        [
            ("+odown", "sentinel x 1 2"),
            ("+odown", ""),
            ("+switch-master", "short"),
            ("+sdown", "master m 1 2"),
        ],
    )
    def test_what_does_not_concern_the_master_is_not_said(self, channel: str, message: str) -> None:
        assert sentence(channel, message, names=NAMES) is None


class TestData:
    def test_a_stream(self) -> None:
        text = '1-0\ndata_key\nk-1\nevent\n{"data_key":"k-1","data":{}}\n2-0\ndata_key\nk-2\nevent\n{}\n'
        assert parse_stream(text) == ["k-1", "k-2"]

    @pytest.mark.parametrize("text", ["", "\n"])
    def test_an_empty_stream(self, text: str) -> None:
        assert parse_stream(text) == []

    @pytest.mark.parametrize(
        "text", ["1-0\ndata_key\nk-1\n", "ERR something\n", "1-0\nother\nk\nevent\n{}\n"]
    )
    def test_anything_else_is_refused_and_not_taken_for_an_empty_stream(self, text: str) -> None:
        with pytest.raises(ValueError, match="not an event"):
            parse_stream(text)

    def test_info(self) -> None:
        lines = ["# Replication", "role:slave", "slave_repl_offset:42", "master_sync_in_progress:0"]
        text = "\r\n".join([*lines, "master_host:fd00::1", ""])
        assert parse_info(text) == {
            "role": "slave",
            "slave_repl_offset": 42,
            "master_sync_in_progress": 0,
            "master_host": "fd00::1",
        }


class TestWhere:
    def test_another_cluster_must_be_named(self) -> None:
        with pytest.raises(DemoError, match="LAB=none needs --context") as refused:
            choose({"LAB": "none"}, context=None)
        assert refused.value.exit_code == 2

    def test_a_context_belongs_to_another_cluster(self) -> None:
        with pytest.raises(DemoError, match="--context belongs to LAB=none") as refused:
            choose({}, context="prod")
        assert refused.value.exit_code == 2

    def test_every_command_for_another_cluster_names_its_context(self) -> None:
        target = choose({"LAB": "none"}, context="prod")
        assert isinstance(target, OtherCluster)
        assert target.argv("kubectl", "get", "pods") == ["kubectl", "--context", "prod", "get", "pods"]
        assert target.argv("helm", "list") == ["helm", "--kube-context", "prod", "list"]
        assert not target.has_node_faults
        with pytest.raises(DemoError, match="are not powered off"):
            target.power_off("node1")

    def test_a_tool_that_is_not_there_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(DemoError, match="kubectl is not in PATH") as refused:
            OtherCluster("prod").kubectl("version")
        assert refused.value.exit_code == 2
