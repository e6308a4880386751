"""Images for the nodes: imported once, then linked into every node's containerd.

Importing all images into three containerds takes longer than the whole rest of `lab up`. So they are imported once,
by a containerd that runs only for this, into a template in the cache; a node's containerd root starts as a copy of
it made of hard links. That is safe for what containerd never changes in place (blobs, and files of committed
layers, which overlayfs copies before it writes); its databases are copied truly. Links also let the nodes share
the page cache of all files in images.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from lab.building import exclusive, fingerprint, run_logged, work_folder
from lab.paths import cache_dir, package_dir
from lab.progress import Step
from lab.shell import run

CONTAINERD_NAMESPACE = "k8s.io"
TEMPLATES_KEPT = 4
GENERATIONS = 20


class ImageLike(Protocol):
    """What this module needs to know of an image (see `lab.images`)."""

    @property
    def name(self) -> str: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def path(self) -> Path: ...
    @property
    def digest(self) -> str: ...


def import_argv(source: str) -> list[str]:
    """ctr's command that imports an image archive (`-`: standard input) where kubelet looks for it."""
    return ["ctr", "--namespace", CONTAINERD_NAMESPACE, "images", "import", source]


def templates_dir() -> Path:
    """Where the templates are kept: `<key>/root`, and `<key>/images.json` with what is in it."""
    return cache_dir() / "containerd"


@dataclass(frozen=True)
class _Record:
    """What is in a template: images by name with their digests, and how many imports it is away from an empty one."""

    images: dict[str, str]
    generation: int

    @classmethod
    def read(cls, folder: Path) -> _Record | None:
        try:
            return cls(**json.loads((folder / "images.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        (folder / "images.json").write_text(json.dumps(asdict(self)))


def template(images: Sequence[ImageLike]) -> Path:
    """The containerd root with these images, made if it is not there yet.

    It is made from the last one, if that has the same images in other versions: only what changed is imported.
    Raises BuildFailed when the import fails.
    """
    version = run(["containerd", "--version"]).stdout
    folder = templates_dir() / fingerprint(version, sorted((image.name, image.digest) for image in images))
    if not folder.is_dir():
        with exclusive("containerd"):
            if not folder.is_dir():
                _make(folder, images)
    folder.touch()
    return folder / "root"


def _make(folder: Path, images: Sequence[ImageLike]) -> None:
    wanted = {image.name: image.digest for image in images}
    base = _base(wanted)
    record = (_Record.read(base) if base else None) or _Record({}, 0)
    changed = [image for image in images if record.images.get(image.name) != image.digest]
    script = package_dir() / "scripts" / "import-images.sh"
    with (
        Step("import of images: " + ", ".join(image.name for image in changed), number=1, of=1),
        work_folder(templates_dir(), label="new") as work,
    ):
        if base:
            clone(base / "root", work / "root")
        # A pid and mount namespace of its own: whatever happens, nothing of it is left running or mounted.
        unshare = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child=KILL", "--mount-proc"]
        argv = [*unshare, "bash", str(script), str(work), *(str(image.path) for image in changed)]
        run_logged("the containerd template", argv, log="containerd-template")
        _Record(wanted, record.generation + 1).write(work)
        work.rename(folder)
    for old in _templates()[TEMPLATES_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _base(wanted: Mapping[str, str]) -> Path | None:
    """The newest template that has all of these images, in whatever version, and no others.

    Replaced layers stay in it: after some generations it is time to begin with an empty one.
    """
    for folder in _templates():
        record = _Record.read(folder)
        if record and record.images.keys() == wanted.keys() and record.generation < GENERATIONS:
            return folder
    return None


def _templates() -> list[Path]:
    """Complete templates, the newest first."""
    if not templates_dir().is_dir():
        return []
    found = [path for path in templates_dir().iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def clone(source: Path, target: Path) -> None:
    """Make `target` a containerd root of its own with the images of the template `source`."""
    linked = subprocess.run(["cp", "-a", "--link", source, target], capture_output=True, check=False)
    if linked.returncode != 0:  # the cache is on another file system
        shutil.rmtree(target, ignore_errors=True)
        run(["cp", "-a", "--reflink=auto", source, target])
        return
    for plugin in target.iterdir():
        for database in plugin.glob("*.db"):
            private = database.with_suffix(".copy")
            shutil.copy2(database, private)
            private.rename(database)
