"""Image archives (the docker-archive format) written from folders: same content, same bytes, same digest.

Format: a tar of `manifest.json`, a config named after its own sha256, and one tar for each layer.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Image:
    """An image on disk: `path` the archive, `digest` the sha256 of its config ("sha256:…"), `tags` full names."""

    name: str
    tags: tuple[str, ...]
    path: Path
    digest: str

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.path.stat().st_size


@dataclass(frozen=True)
class Owners:
    """Who owns what in a layer: paths (as in the image, "/data") to (uid, gid); all else belongs to root."""

    by_path: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def of(self, path: str) -> tuple[int, int]:
        """The owner of a path of the image."""
        return self.by_path.get(path, (0, 0))


def write_layer(tree: Path, target: Path, *, owners: Owners | None = None) -> str:
    """Write all of `tree` as a layer's tar and return its sha256 in hex; nothing in it depends on the machine."""
    owned = owners or Owners()

    def normal(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid, info.gid = owned.of("/" + info.name)
        info.uname = info.gname = ""
        info.mtime = 0
        return info

    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                tar.add(path, arcname=str(path.relative_to(tree)), recursive=False, filter=normal)
    with target.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_image(
    target: Path,
    *,
    tags: Sequence[str],
    layers: Sequence[tuple[Path, str]],
    architecture: str,
    config: Mapping[str, object],
) -> str:
    """Write the archive `target` from layers (path, sha256) and return the image's digest.

    `config` is the image config's inner part (Env, Cmd, User …) in the names of the OCI image specification.
    """
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": _EPOCH,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for _, digest in layers]},
        "history": [{"created": _EPOCH} for _ in layers],
    }
    blob = json.dumps(document, sort_keys=True).encode()
    digest = hashlib.sha256(blob).hexdigest()
    files = [f"{name}.tar" for _, name in layers]
    manifest = [{"Config": f"{digest}.json", "RepoTags": list(tags), "Layers": files}]
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        # The small files first: who reads only them need not read the layers.
        _add(tar, "manifest.json", json.dumps(manifest).encode())
        _add(tar, f"{digest}.json", blob)
        for path, name in layers:
            info = tarfile.TarInfo(f"{name}.tar")
            info.size = path.stat().st_size
            with path.open("rb") as stream:
                tar.addfile(info, stream)
    return f"sha256:{digest}"


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def read_image(path: Path, *, name: str) -> Image:
    """What an archive holds, from its manifest alone.

    Raises ValueError when `path` is no archive of exactly one image.
    """
    with tarfile.open(path) as tar:
        member = tar.extractfile("manifest.json")
        if member is None:
            raise ValueError(f"{path} is no image archive: its manifest.json is no file")
        manifest = json.load(member)
    if len(manifest) != 1:
        raise ValueError(f"{path} holds {len(manifest)} images, not one")
    (entry,) = manifest
    digest = Path(entry["Config"]).name.removesuffix(".json")
    return Image(name=name, tags=tuple(entry["RepoTags"] or ()), path=path, digest=f"sha256:{digest}")
