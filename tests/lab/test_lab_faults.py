"""Every fault, done to real pods and nodes, and what a client notices of it and of its undo."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import time
from collections.abc import Iterator
from typing import IO

import pytest

from lab import Lab, network
from lab.cli import main
from lab.errors import NotUp, UsageError
from lab.faults.disk import FILLER
from lab.shell import wait_until
from tests.lab.workload import NAME, Redis

POD, OTHER = f"{NAME}-0", f"{NAME}-1"
JUMP_S = 3600


def target(redis: Redis, pod: str = POD) -> str:
    """namespace/pod."""
    return f"{redis.namespace}/{pod}"


# -- processes ----------------------------------------------------------------------------------------------------


@pytest.mark.gate
def test_a_killed_process_is_started_again_by_kubelet(lab: Lab, redis: Redis) -> None:
    before = redis.restarts(POD)
    killed = lab.faults.kill(redis.namespace, POD, "redis-server")
    assert len(killed.pids) == 1
    wait_until(
        "it was started again", lambda: (redis.restarts(POD) == before + 1, redis.restarts(POD)), seconds=20
    )
    redis.wait_ready()


def test_only_processes_of_the_named_pod_and_command_are_killed(lab: Lab, redis: Redis) -> None:
    before = {pod: redis.restarts(pod) for pod in (POD, OTHER)}
    with pytest.raises(UsageError, match=f"no process 'postgres' runs in the pod {redis.namespace}/{POD}"):
        lab.faults.kill(redis.namespace, POD, "postgres")
    with pytest.raises(UsageError, match="there is no pod"):
        lab.faults.kill(redis.namespace, "nobody", "redis-server")
    assert {pod: redis.restarts(pod) for pod in (POD, OTHER)} == before


@pytest.mark.gate
def test_a_frozen_pod_is_silent_and_answers_again_when_thawed(lab: Lab, redis: Redis) -> None:
    address, other = redis.address(POD), redis.address(OTHER)
    with lab.faults.freeze(target(redis)):
        assert not redis.answers(address)
        assert redis.answers(other)
    assert redis.answers(address)


@pytest.mark.slow
def test_a_frozen_node_becomes_not_ready_and_comes_back(lab: Lab, redis: Redis) -> None:
    address = redis.address(redis.pod_on("node2"))
    with lab.faults.freeze("node2"):
        assert not redis.answers(address)
        wait_ready(lab, "node2", expected=False)
        assert next(host for host in lab.status().hosts if host.name == "node2").frozen
    wait_ready(lab, "node2", expected=True)
    redis.wait_answer(address)


# -- nodes --------------------------------------------------------------------------------------------------------


def wait_ready(lab: Lab, node: str, *, expected: bool) -> None:
    """Until the node's condition Ready is as expected."""

    def probe() -> tuple[bool, object]:
        ready = {host.name: host.ready for host in lab.status().hosts}
        return ready[node] is expected, ready

    wait_until(f"{node} is {'Ready' if expected else 'NotReady'}", probe, seconds=60, every_s=0.3)


@pytest.mark.gate
def test_a_node_without_power_is_lost_and_its_pod_comes_back_with_its_data(lab: Lab, redis: Redis) -> None:
    pod = redis.pod_on("node2")
    address = redis.address(pod)
    assert redis.ask(address, "set", "kept", "yes").stdout == "OK\n"
    with lab.faults.power_off("node2"):
        # Silence, no refusal: a dead machine says nothing at all.
        done = redis.ask(address, "ping")
        assert (done.returncode, "refused" in done.stderr) == (
            124,
            False,
        ) or "No route to host" in done.stderr
        with pytest.raises(NotUp, match=r"node2 of the laboratory .* is powered off"):
            lab.exec_node("node2", "true")
        with pytest.raises(UsageError, match="powered off already"):
            lab.faults.power_off("node2")
        assert lab.running_nodes() == ("node1", "node3")
        wait_ready(lab, "node2", expected=False)
    wait_ready(lab, "node2", expected=True)
    redis.wait_ready()
    wait_until("its data are there", lambda: _get(redis, pod, "kept"), seconds=20)
    with pytest.raises(UsageError, match="powered on already"):
        lab.faults.power_on("node2")


def _get(redis: Redis, pod: str, key: str) -> tuple[bool, str]:
    seen = redis.ask(redis.address(pod), "get", key).stdout.strip()
    return seen == "yes", seen


@pytest.mark.gate
def test_a_node_that_is_cut_off_keeps_running_and_comes_back(lab: Lab, redis: Redis) -> None:
    pod = redis.pod_on("node3")
    address, before = redis.address(pod), redis.restarts(pod)
    with lab.faults.cut("node3"):
        assert not redis.answers(address)
        assert lab.exec_node("node3", "hostname").stdout == "node3\n"
    redis.wait_answer(address)
    assert redis.restarts(pod) == before


@pytest.mark.slow
def test_a_node_that_is_powered_on_while_cut_off_or_partitioned_stays_so(lab: Lab, redis: Redis) -> None:
    pod = redis.pod_on("node3")
    with lab.faults.cut("node3"), lab.faults.partition(a=["node3"], b=["node1"]):
        with lab.faults.power_off("node3"):
            pass
        assert not next(host for host in lab.status().hosts if host.name == "node3").linked
        assert "198.18.0.11" in lab.exec_node("node3", "iptables-save", "-t", "mangle").stdout
    redis.wait_ready()
    wait_until("it answers", lambda: (redis.answers(redis.address(pod)), None), seconds=30)


# -- partitions ---------------------------------------------------------------------------------------------------


def reaches(redis: Redis, source: str, destination: str) -> bool:
    """Whether one pod gets an answer from another one's address."""
    return redis.ask_from(source, redis.address(destination), "ping").stdout == "PONG\n"


def connects(lab: Lab, source: str, destination: str) -> bool:
    """Whether a node reaches another one's kubelet."""
    script = f"exec 3<>/dev/tcp/{network.ADDRESSES[destination]}/10250"
    return lab.exec_node(source, "timeout", "2", "bash", "-c", script, check=False).returncode == 0


@pytest.mark.gate
def test_a_partition_of_pods_touches_these_pods_only(lab: Lab, redis: Redis) -> None:
    third = f"{NAME}-2"
    with lab.faults.partition(a=[target(redis)], b=[target(redis, OTHER)]):
        assert not reaches(redis, POD, OTHER)
        assert not reaches(redis, OTHER, POD)
        assert reaches(redis, POD, third)
        assert reaches(redis, third, OTHER)
    assert reaches(redis, POD, OTHER)


def test_a_partition_of_nodes_holds_for_their_pods_and_kubelets(lab: Lab, redis: Redis) -> None:
    one, two, three = (redis.pod_on(node) for node in lab.nodes)
    with lab.faults.partition(a=["node1"], b=["node2"]):
        assert not reaches(redis, one, two)
        assert reaches(redis, one, three)
        assert reaches(redis, two, three)
        assert not connects(lab, "node1", "node2")
        assert connects(lab, "node1", "node3")
    assert reaches(redis, one, two)


def test_a_partition_holds_for_the_way_through_a_service(lab: Lab, redis: Redis) -> None:
    patch = {"spec": {"selector": {"statefulset.kubernetes.io/pod-name": OTHER}}}
    lab.kubectl("create", "service", "clusterip", "one", "--tcp=6379", "-n", redis.namespace)
    try:
        lab.kubectl("patch", "service", "one", "-n", redis.namespace, "-p", json.dumps(patch))
        lab.kubectl("patch", "service", "one", "-n", redis.namespace, "--type=json", "-p", REMOVE_APP)
        redis.wait_answer(f"one.{redis.namespace}")
        with lab.faults.partition(a=["client"], b=[target(redis, OTHER)]):
            assert not redis.answers(f"one.{redis.namespace}")
        redis.wait_answer(f"one.{redis.namespace}")
    finally:
        lab.kubectl("delete", "service", "one", "-n", redis.namespace)


REMOVE_APP = json.dumps([{"op": "remove", "path": "/spec/selector/app"}])


def test_one_way_only_questions_are_lost_and_unasked_words_still_come_through(lab: Lab, redis: Redis) -> None:
    """Packets of the client to the pod are dropped, those of the pod to the client are not: a subscriber whose
    connection is open still hears what is published elsewhere, and a new connection fails."""
    address = redis.address(POD)
    with listening(lab.client_argv("redis-cli", "-h", address, "subscribe", "news")) as heard:
        assert [heard.readline().strip() for _ in range(3)] == ["subscribe", "news", "1"]
        with lab.faults.partition(a=["client"], b=[target(redis)], direction="a-to-b"):
            assert not redis.answers(address)
            assert redis.ask_from(OTHER, address, "publish", "news", "hello").stdout == "1\n"
            assert [heard.readline().strip() for _ in range(3)] == ["message", "news", "hello"]
        with lab.faults.partition(a=["client"], b=[target(redis)], direction="b-to-a"):
            assert not redis.answers(address)
            redis.ask_from(OTHER, address, "publish", "news", "late")
            assert not select.select([heard], [], [], 1)[0]
        assert [heard.readline().strip() for _ in range(3)] == ["message", "news", "late"]


@contextlib.contextmanager
def listening(argv: list[str]) -> Iterator[IO[str]]:
    """The output of a command, which is ended at the end."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


def test_an_open_connection_stalls_and_goes_on(lab: Lab, redis: Redis) -> None:
    argv = lab.client_argv("redis-cli", "-h", redis.address(POD))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        try:
            session.stdin.write("ping\n")
            session.stdin.flush()
            assert session.stdout.readline() == "PONG\n"
            with lab.faults.partition(a=["client"], b=[target(redis)]):
                session.stdin.write("echo later\n")
                session.stdin.flush()
                assert not select.select([session.stdout], [], [], 1.5)[0]
                assert session.poll() is None
            assert session.stdout.readline() == "later\n"
        finally:
            session.kill()


def test_partitions_overlap_and_end_one_by_one(lab: Lab, redis: Redis) -> None:
    address = redis.address(POD)
    first = lab.faults.partition(a=["client"], b=[target(redis)])
    second = lab.faults.partition(a=["client"], b=[redis.node_of(POD)])
    first.undo()
    assert not redis.answers(address)
    second.undo()
    assert redis.answers(address)


def test_without_dns_no_name_resolves_and_addresses_still_answer(lab: Lab, redis: Redis) -> None:
    name, address = f"{NAME}.{redis.namespace}.svc.cluster.local", redis.address(POD)
    with lab.faults.dns_off():
        assert not redis.answers(name)
        assert redis.ask_from(POD, NAME, "ping").stdout != "PONG\n"
        assert redis.answers(address)
    redis.wait_answer(name)


# -- clocks and disks -----------------------------------------------------------------------------------------------


def clock_of(redis: Redis, pod: str) -> int:
    """What a Redis takes for the time, in seconds."""
    return int(redis.ask(redis.address(pod), "time").stdout.split()[0])


@pytest.mark.parametrize("seconds", [JUMP_S, -JUMP_S])
def test_the_clock_of_one_pod_jumps_and_comes_back(lab: Lab, redis: Redis, seconds: int) -> None:
    with lab.faults.clock(redis.namespace, POD, seconds):
        assert abs(clock_of(redis, POD) - time.time() - seconds) < 10
        assert abs(clock_of(redis, OTHER) - time.time()) < 10
        with lab.faults.clock(redis.namespace, POD, 2 * seconds):  # takes the place of the first
            assert abs(clock_of(redis, POD) - time.time() - 2 * seconds) < 10
    assert abs(clock_of(redis, POD) - time.time()) < 10


def test_a_clock_that_jumps_while_redis_works_hard_does_no_harm(lab: Lab, redis: Redis) -> None:
    argv = lab.client_argv("redis-benchmark", "-h", redis.address(POD), "-n", "1000000", "-t", "set", "-q")
    before = redis.restarts(POD)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as load:
        try:
            for seconds in (5, -5, 5, -5, 5):
                lab.faults.clock(redis.namespace, POD, seconds, process="redis-server")
                assert abs(clock_of(redis, POD) - time.time() - seconds) < 3
        finally:
            load.kill()
    lab.faults.heal()
    assert redis.restarts(POD) == before


@pytest.mark.gate
def test_a_full_disk_stops_the_append_only_file_and_frees_again(lab: Lab, redis: Redis) -> None:
    address = redis.address(POD)
    payload = "x" * 100_000

    def aof_status() -> str:
        shown = redis.ask(address, "info", "persistence").stdout
        return next(
            line.partition(":")[2].strip() for line in shown.splitlines() if "aof_last_write_status" in line
        )

    with lab.faults.fill_disk(redis.namespace, POD):
        redis.ask(address, "set", "big", payload)
        wait_until("writing the file fails", lambda: (aof_status() == "err", aof_status()), seconds=10)
        shown = lab.kubectl("exec", "-n", redis.namespace, POD, "--", "df", "/data").stdout.splitlines()[-1]
        assert shown.split()[3] == "0"
    wait_until("writing works again", lambda: (aof_status() == "ok", aof_status()), seconds=10)
    assert FILLER not in lab.kubectl("exec", "-n", redis.namespace, POD, "--", "ls", "-a", "/data").stdout


def test_a_full_disk_leaves_what_it_is_told_to_leave(lab: Lab, redis: Redis) -> None:
    with lab.faults.fill_disk(redis.namespace, POD, leave_bytes=50 << 20):
        shown = lab.kubectl("exec", "-n", redis.namespace, POD, "--", "df", "/data").stdout.splitlines()[-1]
        assert abs(int(shown.split()[3]) - (50 << 10)) < 1024


# -- records and the command line ---------------------------------------------------------------------------------


def test_faults_are_listed_and_healed_from_the_command_line(
    lab: Lab, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    pod, words = target(redis), ["--name", lab.name]
    assert main([*words, "freeze", pod]) == 0
    assert main([*words, "partition", "--a", "client", "--b", pod, "--direction", "a-to-b"]) == 0
    assert main([*words, "dns", "off"]) == 0
    assert main([*words, "clock", pod, "60"]) == 0
    capsys.readouterr()
    assert main([*words, "status"]) == 0
    shown = capsys.readouterr().out
    for words_of in (f"{pod} is frozen", f"between client to {pod}", "DNS is off", f"{pod} are off by +60 s"):
        assert words_of in shown
    assert main([*words, "thaw", pod]) == 0
    assert main([*words, "thaw", pod]) == 2
    assert main([*words, "heal"]) == 0
    assert lab.faults.active() == []
    assert redis.answers(redis.address(POD))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("freeze node7", "'node7' names no pod; write namespace/pod"),
        ("power-off node7", "there is no node 'node7'; the laboratory has node1, node2, node3"),
        ("power-on node1", "node1 is powered on already"),
        ("cut control", "'control' has no cable to pull; there are node1, node2, node3, client"),
        ("join node1", "node1 is not cut off"),
        ("dns on", "DNS is not off"),
        ("partition --a node1 --b node1", "node1 cannot be on both sides of a partition"),
        ("clock kube-system/nobody 5", "there is no pod kube-system/nobody to be had"),
        ("heal nothing", "there is no active fault 'nothing'"),
        ("exec-node node7 true", "there is no node 'node7'"),
    ],
)
def test_a_wrong_target_is_refused_in_a_sentence(
    lab: Lab, words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--name", lab.name, *words.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"lab: {says}")
    assert said.count("\n") == 1


def test_a_pod_without_a_claim_has_no_disk_to_fill(lab: Lab) -> None:
    names = lab.kubectl(
        "get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "-o", "name"
    ).stdout.split()
    with pytest.raises(UsageError, match="has no claimed volume"):
        lab.faults.fill_disk("kube-system", names[0].removeprefix("pod/"))
