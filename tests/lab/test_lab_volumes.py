"""Volumes come back clean after their claim is deleted, and are as large as they say."""

from __future__ import annotations

import json

import pytest

from lab import Lab
from lab.shell import wait_until
from lab.volumes import all_volumes
from tests.lab.workload import NAME, Redis, manifest


def phases(lab: Lab) -> dict[str, str]:
    """Phase of every PersistentVolume by name."""
    items = json.loads(lab.kubectl("get", "pv", "-o", "json").stdout)["items"]
    return {item["metadata"]["name"]: item["status"]["phase"] for item in items}


def bound_volumes(lab: Lab, namespace: str) -> dict[str, str]:
    """PersistentVolume of every bound claim of a namespace, by the claim's name."""
    items = json.loads(lab.kubectl("get", "pvc", "-n", namespace, "-o", "json").stdout)["items"]
    return {item["metadata"]["name"]: item["spec"].get("volumeName", "") for item in items}


def content(lab: Lab, volume: str) -> str:
    """What lies on a volume, as its node sees it."""
    node = volume.partition("-")[0]
    return lab.exec_node(node, "find", f"/var/lib/volumes/{volume}", "-mindepth", "1").stdout


@pytest.mark.gate
def test_a_volume_is_wiped_and_offered_again_when_its_claim_is_deleted(lab: Lab) -> None:
    namespace = "passing"
    lab.kubectl("apply", "-f", "-", input=json.dumps(manifest(namespace, size="1Gi")))
    redis = Redis(lab, namespace)
    redis.wait_ready()
    used = sorted(bound_volumes(lab, namespace).values())
    assert len(used) == 3
    assert all("-1gi-" in volume for volume in used)  # the smallest that fits
    assert redis.ask(redis.address(f"{NAME}-0"), "set", "secret", "of the first tenant").stdout == "OK\n"
    assert all("appendonlydir" in content(lab, volume) for volume in used)
    before = {volume: uid(lab, volume) for volume in used}
    lab.kubectl("delete", "namespace", namespace)
    wait_until(
        "the volumes are available again",
        lambda: (all(phases(lab).get(volume) == "Available" for volume in used), phases(lab)),
        seconds=60,
        every_s=0.3,
    )
    assert all("appendonly" not in content(lab, volume) for volume in used)
    assert all(uid(lab, volume) != before[volume] for volume in used)


def uid(lab: Lab, volume: str) -> str:
    """Identity of the PersistentVolume object."""
    return lab.kubectl("get", "pv", volume, "-o", "jsonpath={.metadata.uid}").stdout


def test_all_volumes_are_there_and_mounted_with_their_size(lab: Lab) -> None:
    assert set(phases(lab)) == {volume.name for volume in all_volumes()}
    for node in lab.nodes:
        shown = lab.exec_node(node, "df", "--output=target,size", "-BG").stdout
        sizes = dict(line.split() for line in shown.splitlines() if "/var/lib/volumes/" in line)
        expected = {volume.path: f"{volume.gib}G" for volume in all_volumes() if volume.node == node}
        assert sizes == expected


@pytest.mark.slow
def test_a_released_volume_of_a_node_that_is_off_waits_for_it(lab: Lab) -> None:
    namespace = "stranded"
    lab.kubectl("apply", "-f", "-", input=json.dumps(manifest(namespace, size="1Gi")))
    Redis(lab, namespace).wait_ready()
    used = sorted(bound_volumes(lab, namespace).values())
    (stranded,) = [volume for volume in used if volume.startswith("node1")]
    with lab.faults.power_off("node1"):
        # A dead node confirms nothing: the pod goes by force, as an administrator would do it.
        lab.kubectl("delete", "statefulset", NAME, "-n", namespace, "--cascade=orphan")
        lab.kubectl("delete", "pods", "--all", "-n", namespace, "--force", "--grace-period=0")
        lab.kubectl("delete", "pvc", "--all", "-n", namespace)
        others = [volume for volume in used if volume != stranded]
        wait_until(
            "the other volumes are available, this one is not",
            lambda: (
                all(phases(lab).get(v) == "Available" for v in others)
                and phases(lab).get(stranded) == "Released",
                phases(lab),
            ),
            seconds=60,
            every_s=0.3,
        )
    wait_until(
        "the volume is available, too",
        lambda: (phases(lab).get(stranded) == "Available", phases(lab).get(stranded)),
        seconds=60,
        every_s=0.3,
    )
    assert "appendonly" not in content(lab, stranded)
    lab.kubectl("delete", "namespace", namespace)
