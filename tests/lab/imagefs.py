"""An image's file system, unpacked and entered, so that tests can run what is in it without a cluster."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

# Makes the root read-only below a fresh /proc, then becomes the user: what kubelet does for a restricted pod.
_ENTER = """
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/dev/shm"
mount -o remount,bind,ro "$1"
ip link set lo up
user=$2; root=$1; shift 2
exec chroot --userspec="$user" "$root" env -i "$@"
"""


@dataclass(frozen=True)
class ImageFiles:
    """An unpacked image: `root` its file system, `config` the inner part of its config."""

    root: Path
    config: Mapping[str, Any]

    def run(self, *argv: str, user: str) -> subprocess.CompletedProcess[str]:
        """Run a command as `user` ("uid:gid") on a read-only root, in namespaces of its own, without a network."""
        environment = cast("list[str]", self.config.get("Env") or [])
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc"]
        return subprocess.run(
            [*namespaces, "sh", "-c", _ENTER, "enter", self.root, user, *environment, *argv],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def unpack(archive: Path, root: Path) -> ImageFiles:
    """Unpack all layers of a docker-archive of one image, in order."""
    root.mkdir(parents=True)
    with tarfile.open(archive) as outer:
        (entry,) = json.loads(_read(outer, "manifest.json"))
        document = json.loads(_read(outer, entry["Config"]))
        for name in entry["Layers"]:
            layer = outer.extractfile(name)
            assert layer is not None
            untar = ["tar", "--extract", "--keep-directory-symlink", "--directory", str(root)]
            with subprocess.Popen(untar, stdin=subprocess.PIPE) as process:
                assert process.stdin is not None
                while block := layer.read(1 << 20):
                    process.stdin.write(block)
                process.stdin.close()
            assert process.returncode == 0
    return ImageFiles(root, document["config"])


def _read(outer: tarfile.TarFile, name: str) -> bytes:
    member = outer.extractfile(name)
    assert member is not None
    return member.read()
