"""Local volumes: on every node some file systems of real sizes, each offered as a PersistentVolume.

A volume is an ext4 file system in a sparse file on the node's disk, which the node's init script mounts: it is
full when its size is reached, `df` tells the truth, and an empty one takes 1 MiB. Its data survive a power-off, as
on a real disk (also what was not synced: the machine's own kernel lives on). PersistentVolume objects are made, and
made anew after a claim's deletion, by `lab.recycler`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lab import node
from lab.hosts import NODES
from lab.layout import Layout
from lab.shell import run

# Gibibytes of each volume of a node: small ones for sentinels' configuration, large ones for data.
SIZES_GIB = (1,) * 7 + (2,) + (10,) * 8
STORAGE_CLASS = "local"
# The name of an external provisioner: it keeps kube-controller-manager from deleting released volumes itself.
PROVISIONER = "contex.io/lab-recycler"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
MOUNTS = "/var/lib/volumes"
INODES = "8192"


@dataclass(frozen=True)
class Volume:
    """One volume: its name (of the PersistentVolume, too), its node and its size."""

    name: str
    node: str
    gib: int

    @property
    def path(self) -> str:
        """Where it is mounted on its node."""
        return f"{MOUNTS}/{self.name}"


def volumes_of(name: str) -> tuple[Volume, ...]:
    """All volumes of a node."""
    return tuple(Volume(f"{name}-{size}gi-{i:02}", name, size) for i, size in enumerate(SIZES_GIB, start=1))


def all_volumes() -> tuple[Volume, ...]:
    """All volumes of a laboratory."""
    return tuple(volume for name in NODES for volume in volumes_of(name))


def make_disks(lab: Layout, name: str) -> None:
    """Make the file systems of a node's volumes."""
    folder = lab.node_disk(name) / "volumes"
    folder.mkdir(parents=True)

    def make(volume: Volume) -> None:
        image = folder / f"{volume.name}.ext4"
        with image.open("xb") as stream:
            stream.truncate(volume.gib << 30)
        # No journal and no reserved blocks: no kernel thread for an idle volume, and full means full.
        options = [
            "-O",
            "^has_journal,^resize_inode",
            "-E",
            "lazy_itable_init=0,nodiscard",
            "-m",
            "0",
            "-N",
            INODES,
        ]
        run(["mkfs.ext4", "-q", "-F", *options, image])

    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(make, volumes_of(name)))


def persistent_volume(volume: Volume) -> dict[str, Any]:
    """The PersistentVolume of a volume, bound to its node."""
    key = "kubernetes.io/hostname"
    term = {"matchExpressions": [{"key": key, "operator": "In", "values": [volume.node]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume.name,
            "labels": {key: volume.node, node.ZONE_LABEL: node.zone(volume.node)},
            "annotations": {PROVISIONED_BY: PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": f"{volume.gib}Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": volume.path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
    }


def storage_class() -> dict[str, Any]:
    """The default StorageClass."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }
