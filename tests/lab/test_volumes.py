"""Volumes: their plan, their file systems, and what the recycler decides."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import pytest

from lab import paths
from lab.api import ApiError, Json
from lab.hosts import NODES
from lab.layout import Layout
from lab.recycler import PATH, Recycler, is_released, todo
from lab.shell import run
from lab.volumes import INODES, Volume, all_volumes, make_disks, persistent_volume, volumes_of

GIB = 1 << 30


def test_there_are_enough_volumes_of_every_size_on_every_node() -> None:
    assert len(all_volumes()) >= 30
    assert len({volume.name for volume in all_volumes()}) == len(all_volumes())
    for node in NODES:
        sizes = [volume.gib for volume in volumes_of(node)]
        assert 10 <= len(sizes) <= 16
        assert min(sizes) >= 1
        assert max(sizes) <= 10
        assert sum(size >= 8 for size in sizes) >= 5  # the default claim of a data pod


def test_a_persistent_volume_is_bound_to_its_node_and_kept_from_the_controller_manager() -> None:
    pv = persistent_volume(Volume("node2-1gi-01", "node2", 1))
    terms = pv["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert terms[0]["matchExpressions"][0]["values"] == ["node2"]
    assert pv["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    # With this annotation the controller leaves a released volume to an external provisioner, else it marks it Failed.
    assert pv["metadata"]["annotations"] == {"pv.kubernetes.io/provisioned-by": "contex.io/lab-recycler"}


def test_disks_are_file_systems_of_their_size_that_take_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "state_root", lambda: tmp_path)
    make_disks(Layout("unit"), "node1")
    images = sorted((Layout("unit").node_disk("node1") / "volumes").glob("*.ext4"))
    assert [image.stem for image in images] == sorted(volume.name for volume in volumes_of("node1"))
    assert sum(image.stat().st_blocks * 512 for image in images) < 100 << 20
    shown = run(["dumpe2fs", "-h", images[0]]).stdout
    fields = {line.partition(":")[0]: line.partition(":")[2].strip() for line in shown.splitlines()}
    gib = next(volume.gib for volume in volumes_of("node1") if volume.name == images[0].stem)
    assert int(fields["Block count"]) * int(fields["Block size"]) == gib * GIB
    assert int(fields["Inode count"]) >= int(INODES)
    assert fields["Reserved block count"] == "0"


def pv(name: str, *, phase: str = "Available", policy: str = "Delete", ours: bool = True) -> dict[str, Any]:
    """A PersistentVolume as the API shows it."""
    node, size, _ = name.split("-")
    made: dict[str, Any] = persistent_volume(Volume(name, node, int(size.removesuffix("gi"))))
    made["spec"]["persistentVolumeReclaimPolicy"] = policy
    if not ours:
        del made["metadata"]["annotations"]
    return {**made, "status": {"phase": phase}}


WANTED = (Volume("node1-1gi-01", "node1", 1), Volume("node2-1gi-01", "node2", 1))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([], ["node1-1gi-01", "node2-1gi-01"]),
        ([pv("node1-1gi-01"), pv("node2-1gi-01", phase="Bound")], []),
        ([pv("node1-1gi-01", phase="Released"), pv("node2-1gi-01", phase="Bound")], ["node1-1gi-01"]),
        ([pv("node1-1gi-01", phase="Released", policy="Retain"), pv("node2-1gi-01")], []),
        ([pv("node1-1gi-01", phase="Released", ours=False), pv("node2-1gi-01")], []),
    ],
    ids=["nothing there", "in use", "released", "retained", "somebody else's"],
)
def test_what_is_missing_or_released_is_renewed_and_nothing_else(
    seen: list[Json], expected: list[str]
) -> None:
    assert [volume.name for volume in todo(seen, WANTED)] == expected


class FakeApi:
    """PersistentVolumes in memory; `refuse` makes one request fail, as a crash in between would."""

    def __init__(self, *items: Json) -> None:
        self.items = {item["metadata"]["name"]: item for item in items}
        self.refuse: tuple[str, str] | None = None
        self.writes: list[tuple[str, str]] = []

    def request(self, method: str, path: str, *, body: Json | None = None) -> Json:
        if self.refuse == (method, path):
            self.refuse = None
            raise ApiError(method, path, status=500, reason="refused by the test")
        if method == "GET" and path == PATH:
            return {"items": list(self.items.values()), "metadata": {"resourceVersion": "7"}}
        if method == "POST":
            assert body is not None
            self.writes.append((method, body["metadata"]["name"]))
            self.items[body["metadata"]["name"]] = {**body, "status": {"phase": "Available"}}
            return body
        name = path.removeprefix(f"{PATH}/")
        if name not in self.items:
            raise ApiError(method, path, status=http.client.NOT_FOUND, reason="not found")
        if method == "DELETE":
            self.writes.append((method, name))
            return self.items.pop(name)
        return self.items[name]


def recycler(api: FakeApi, wiped: list[str]) -> Recycler:
    """A recycler that notes what it wipes."""
    return Recycler(api, wanted=WANTED, wiper=lambda volume: wiped.append(volume.name))  # type: ignore[arg-type]


def test_a_released_volume_is_wiped_before_it_is_offered_again() -> None:
    api, wiped = FakeApi(pv("node1-1gi-01", phase="Released"), pv("node2-1gi-01", phase="Bound")), list[str]()
    assert recycler(api, wiped).run_pass() == ("7", True)
    assert wiped == ["node1-1gi-01"]
    assert api.writes == [("DELETE", "node1-1gi-01"), ("POST", "node1-1gi-01")]
    assert not is_released(api.items["node1-1gi-01"])


def test_a_settled_cluster_sees_no_write() -> None:
    api, wiped = FakeApi(pv("node1-1gi-01"), pv("node2-1gi-01", phase="Bound")), list[str]()
    assert recycler(api, wiped).run_pass() == ("7", True)
    assert (api.writes, wiped) == ([], [])


def test_interrupted_between_delete_and_create_the_next_pass_ends_it() -> None:
    api, wiped = FakeApi(pv("node1-1gi-01", phase="Released"), pv("node2-1gi-01")), list[str]()
    api.refuse = ("POST", PATH)
    assert recycler(api, wiped).run_pass() == ("7", False)
    assert "node1-1gi-01" not in api.items
    assert recycler(api, wiped).run_pass() == ("7", True)
    assert api.items["node1-1gi-01"]["status"]["phase"] == "Available"


def test_a_volume_whose_node_is_off_stays_and_the_others_are_renewed() -> None:
    api = FakeApi(pv("node1-1gi-01", phase="Released"), pv("node2-1gi-01", phase="Released"))

    def wipe(volume: Volume) -> None:
        if volume.node == "node1":
            raise ApiError("x", "y", status=500, reason="off")

    made = Recycler(api, wanted=WANTED, wiper=wipe)  # type: ignore[arg-type]
    assert made.run_pass() == ("7", False)
    assert [name for name, item in api.items.items() if is_released(item)] == ["node1-1gi-01"]
