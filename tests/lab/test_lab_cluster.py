"""The laboratory as its users meet it: nodes, storage, DNS, admission, logs, the client host."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from lab import Lab, network
from lab.cgroups import lab_group
from lab.cli import main
from lab.hosts import CLIENT, NODES
from lab.paths import project_dir
from lab.shell import run, wait_until
from tests.lab.workload import NAME, Redis

MIB = 1 << 20


@pytest.mark.gate
def test_three_nodes_are_ready_each_in_a_zone_of_its_own(lab: Lab) -> None:
    nodes = json.loads(lab.kubectl("get", "nodes", "-o", "json").stdout)["items"]
    zones = {n["metadata"]["name"]: n["metadata"]["labels"]["topology.kubernetes.io/zone"] for n in nodes}
    assert zones == {"node1": "zone-1", "node2": "zone-2", "node3": "zone-3"}
    assert [host.ready for host in lab.status().hosts if host.name in NODES] == [True, True, True]


def test_it_needs_less_than_one_and_a_half_gibibytes(lab: Lab) -> None:
    # Proportional set size: what the processes hold, program files included, shared pages divided among sharers.
    total = 0
    for pid in lab_group(lab.name).all_members():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    assert 100 * MIB < total < 1536 * MIB


def test_up_on_a_laboratory_that_is_up_changes_nothing(lab: Lab) -> None:
    before = lab.host("control").pid
    started = time.monotonic()
    assert main(["--name", lab.name, "up"]) == 0
    assert time.monotonic() - started < 2
    assert lab.host("control").pid == before


def test_the_default_storage_class_waits_for_the_consumer(lab: Lab) -> None:
    (found,) = json.loads(lab.kubectl("get", "storageclass", "-o", "json").stdout)["items"]
    assert found["volumeBindingMode"] == "WaitForFirstConsumer"
    assert found["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"


@pytest.mark.gate
def test_the_client_resolves_names_and_reaches_pods_and_services(redis: Redis) -> None:
    for host in (
        redis.address(f"{NAME}-0"),
        f"{NAME}-0.{NAME}-nodes.{redis.namespace}.svc.cluster.local",
        f"{NAME}.{redis.namespace}.svc.cluster.local",
        f"{NAME}.{redis.namespace}",
    ):
        # A pod is ready before its endpoint has reached every kube-proxy, which collects changes for up to 1 s.
        redis.wait_answer(host)


def test_pods_resolve_names_and_reach_each_other(redis: Redis) -> None:
    for host in (f"{NAME}-1.{NAME}-nodes", f"{NAME}-2.{NAME}-nodes", NAME):

        def probe(host: str = host) -> tuple[bool, str]:
            done = redis.ask_from(f"{NAME}-0", host, "ping")
            return done.stdout == "PONG\n", done.stdout + done.stderr

        wait_until(f"{host} answers {NAME}-0", probe, seconds=20, every_s=0.2)


@pytest.mark.gate
def test_the_client_follows_a_service_as_fast_as_a_node_does(redis: Redis) -> None:
    lab, space = redis.lab, redis.namespace
    lab.kubectl("create", "service", "clusterip", "moving", "--tcp=6379", "-n", space)
    try:
        address = lab.kubectl(
            "get", "service", "moving", "-n", space, "-o", "jsonpath={.spec.clusterIP}"
        ).stdout
        for pod in (f"{NAME}-0", f"{NAME}-1", f"{NAME}-2"):
            selector = {"statefulset.kubernetes.io/pod-name": pod, "app": None}
            patch = json.dumps({"spec": {"selector": selector}})
            lab.kubectl("patch", "service", "moving", "-n", space, "-p", patch)
            redis.ask(redis.address(pod), "set", "who", pod)

            def probe(address: str = address, pod: str = pod) -> tuple[bool, str]:
                seen = redis.ask(address, "get", "who").stdout.strip()
                return seen == pod, seen

            # kube-proxy collects changes for up to 1 s.
            wait_until(f"the Service leads to {pod}", probe, seconds=5, every_s=0.1)
    finally:
        lab.kubectl("delete", "service", "moving", "-n", space)


def test_logs_and_exec_and_port_forward_work(redis: Redis) -> None:
    lab, space = redis.lab, redis.namespace
    assert "Ready to accept connections" in lab.kubectl("logs", f"{NAME}-0", "-n", space).stdout
    assert lab.kubectl("exec", f"{NAME}-0", "-n", space, "--", "id", "-u").stdout == "999\n"
    script = (
        f"kubectl -n {space} port-forward pod/{NAME}-0 7001:6379 >/dev/null & "
        "for i in $(seq 100); do redis-cli -p 7001 ping 2>/dev/null && break; sleep 0.1; done; kill $!"
    )
    done = run(lab.client_argv("bash", "-c", script))
    assert done.stdout == "PONG\n"


def test_pod_security_is_enforced_where_a_namespace_asks_for_it(redis: Redis) -> None:
    argv = ["run", "intruder", "--image=redis:7-alpine", "-n", redis.namespace]
    done = redis.lab.kubectl(*argv, check=False)
    assert done.returncode != 0
    assert 'violates PodSecurity "restricted' in done.stderr


def test_the_audit_log_tells_who_asked_for_what(lab: Lab) -> None:
    lab.kubectl("get", "configmap", "audit-probe", "-n", "default", check=False)

    def probe() -> tuple[bool, int]:
        seen = 0
        for line in lab.audit_log.read_text().splitlines():
            if "audit-probe" in line:
                entry = json.loads(line)
                seen += (
                    entry["user"]["username"] == "admin"
                    and entry["verb"] == "get"
                    and entry["objectRef"]["resource"] == "configmaps"
                    and entry["objectRef"]["namespace"] == "default"
                    and entry["stage"] == "ResponseComplete"
                )
        return seen == 1, seen

    wait_until("the request is in the audit log once", probe, seconds=5)


# -- the client host ----------------------------------------------------------------------------------------------


def lab_run(lab: Lab, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m lab run -- …` as a user types it."""
    words = ["python3", "-m", "lab", "--name", lab.name, "run", "--", *argv]
    return subprocess.run(words, cwd=project_dir(), input=stdin, capture_output=True, text=True, check=False)


@pytest.mark.gate
def test_run_passes_input_output_and_exit_code_and_stays_in_its_folder(lab: Lab) -> None:
    done = lab_run(lab, "bash", "-c", "cat; echo err >&2; pwd; exit 17", stdin="typed\n")
    assert done.returncode == 17
    assert done.stdout == f"typed\n{project_dir()}\n"
    assert done.stderr == "err\n"


def test_run_gives_tools_and_kubeconfig(lab: Lab) -> None:
    script = 'kubectl get nodes -o name && helm list -q && which kubeconform && echo "$CONTEX_LAB"'
    done = lab_run(lab, "bash", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        *(f"node/{n}" for n in NODES),
        str(lab.layout.bin / "kubeconform"),
        lab.name,
    ]


def test_the_api_works_from_inside_the_client_host_too(lab: Lab) -> None:
    code = (
        "from lab import Lab; lab = Lab(); "
        "print(lab.is_up, lab.exec_node('node2', 'hostname').stdout); "
        "print(lab.kubectl('get', 'ns', 'default', '-o', 'name').stdout)"
    )
    assert lab_run(lab, "python3", "-c", code).stdout.split() == ["True", "node2", "namespace/default"]


def test_the_client_host_has_an_address_of_its_own_and_no_way_out(lab: Lab) -> None:
    shown = run(lab.client_argv("ip", "-json", "address")).stdout
    addresses = [a["local"] for link in json.loads(shown) for a in link["addr_info"] if a["family"] == "inet"]
    assert addresses == ["127.0.0.1", network.ADDRESSES[CLIENT]]
    # An address of the outer world is answered "unreachable" at once instead of being tried.
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    said = lab_run(lab, "python3", "-c", code).stderr
    assert "Network is unreachable" in said or "No route to host" in said


@pytest.mark.gate
def test_the_machines_own_network_has_no_link_and_no_route_to_the_laboratory(lab: Lab) -> None:
    assert lab.is_up
    links = {entry.name for entry in Path("/sys/class/net").iterdir()}
    assert not links & {*NODES, CLIENT, network.BRIDGE, "cni0"}
    assert "198.18." not in run(["ip", "address"]).stdout
    assert "198.1" not in run(["ip", "route", "show", "table", "all"]).stdout


def test_exec_node_runs_on_the_node(lab: Lab) -> None:
    assert lab.exec_node("node3", "hostname").stdout == "node3\n"
    assert "inet 198.18.0.13/24" in lab.exec_node("node3", "ip", "addr", "show", "eth0").stdout


def test_images_are_loaded_into_a_running_laboratory(lab: Lab, tmp_path: Path) -> None:
    exported = tmp_path / "pause.tar"
    with exported.open("wb") as stream:
        argv = lab.node_argv("node1", "ctr", "-n", "k8s.io", "images", "export", "-", "localhost/pause:lab")
        subprocess.run(argv, stdout=stream, check=True)
    for node in NODES:
        lab.exec_node(node, "ctr", "-n", "k8s.io", "images", "rm", "localhost/pause:lab")
    lab.load_images(exported)
    for node in NODES:
        assert (
            "localhost/pause:lab" in lab.exec_node(node, "ctr", "-n", "k8s.io", "images", "ls", "-q").stdout
        )
