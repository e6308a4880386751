"""What the hosts' init scripts find: commands and configuration files."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from lab import addons, control, node, paths
from lab.hosts import NODES
from lab.layout import Layout, write_argv


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The files of a laboratory in a folder of the test."""
    monkeypatch.setattr(paths, "state_root", lambda: tmp_path)
    return Layout("unit")


def test_an_argument_with_a_blank_stays_one_argument(layout: Layout) -> None:
    write_argv(layout.host("node1"), "kubelet", ["kubelet", "--label=two words"])
    assert (layout.host("node1") / "kubelet.argv").read_text() == "kubelet\n--label=two words\n"


def test_the_api_server_checks_rights_and_writes_an_audit_log(layout: Layout) -> None:
    argv = control.apiserver_argv(layout)
    assert "--authorization-mode=Node,RBAC" in argv
    assert f"--audit-log-path={layout.audit_log}" in argv
    assert control.audit_policy()["rules"] == [{"level": "Metadata"}]


def test_every_node_is_a_zone_of_its_own(layout: Layout) -> None:
    labels = [word for name in NODES for word in node.kubelet_argv(layout, name) if "--node-labels" in word]
    assert labels == [f"--node-labels=topology.kubernetes.io/zone=zone-{i}" for i in (1, 2, 3)]


def test_kubelets_of_two_laboratories_share_no_control_group(layout: Layout) -> None:
    other = Layout("other")
    groups = {node.kubelet_config(lab, name)["cgroupRoot"] for lab in (layout, other) for name in NODES}
    assert len(groups) == 6


def test_a_node_writes_files_that_its_programs_can_read(layout: Layout) -> None:
    node.write_node_files(layout, "node2", pause_image="localhost/pause:lab")
    home = layout.host("node2")
    cri = tomllib.loads((home / "containerd.toml").read_text())["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["sandbox_image"] == "localhost/pause:lab"
    conflist = json.loads((layout.node_disk("node2") / "cni" / "net.d" / "10-pods.conflist").read_text())
    assert conflist["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "198.19.2.0/24"}]]
    assert json.loads((home / "kubelet.json").read_text())["kind"] == "KubeletConfiguration"


def test_the_client_asks_the_clusters_dns(layout: Layout) -> None:
    node.write_client_files(layout)
    assert "nameserver 198.19.128.10\n" in (layout.host("client") / "resolv.conf").read_text()


def test_cluster_objects_name_the_image_that_was_built_and_end_every_reference() -> None:
    items = addons.objects(dns_image="localhost/coredns:x")["items"]
    (deployment,) = [item for item in items if item["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/coredns:x"
    roles = {item["metadata"]["name"] for item in items if item["kind"] == "ClusterRole"} | {
        "system:node-proxier"
    }
    assert {item["roleRef"]["name"] for item in items if item["kind"] == "ClusterRoleBinding"} == roles
