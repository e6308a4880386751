"""buildah, kept to itself: its images, its configuration and its signature policy lie in the cache folder.

The machine's own container settings (/etc/containers, other users of buildah or podman) are neither read nor changed.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from lab.building import run_logged
from lab.images.archive import Image
from lab.paths import cache_dir

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# How this machine reaches its Python package registry; a build sees no other variable of it.
_PIP_CACHE = "/pip-cache"  # in the build's own container
_PIP_VARIABLES = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
)


def ensure_base(image: Image) -> str:
    """Load an archive into buildah's storage, unless it is there, and return its name."""
    name = image.tags[0]
    shown = subprocess.run(
        ["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", name],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **_environment()},
    )
    if f"sha256:{shown.stdout.strip()}" != image.digest:
        _buildah("pull", f"docker-archive:{image.path}", log=f"image-{image.name}")
    return name


def build(
    context: Path, *, dockerfile: str, name: str, arguments: Mapping[str, str], tag: str, target: Path
) -> None:
    """Build `context`/`dockerfile` and write it as the archive `target` under `tag`.

    Its stage `dependencies` keeps a name of its own, so that its layers stay when a change of the code makes
    those above them useless. Raises BuildFailed with the end of buildah's output.
    """
    log = f"image-{name}"
    dependencies = f"localhost/{name}-dependencies:lab"
    common = [
        "build",
        "--layers",
        "--isolation=chroot",
        "--network=host",
        "--pull-never",
        "--format=docker",
        "--timestamp=0",
        f"--file={context / dockerfile}",
        *(f"--build-arg={key}={value}" for key, value in arguments.items()),
        *(f"--volume={volume}" for volume in _volumes()),
    ]
    _buildah(*common, "--target=dependencies", f"--tag={dependencies}", str(context), log=log)
    _buildah(*common, f"--tag={tag}", str(context), log=log, append=True)
    _buildah("push", tag, f"docker-archive:{target}:{tag}", log=log, append=True)
    # A build that was interrupted leaves its working container, which would keep its layers for good. Builds are
    # exclusive, so none of them is anybody's.
    _buildah("rm", "--all", log=log, append=True)
    _buildah("rmi", "--prune", log=log, append=True)  # what the last build of this name left without a name


def _buildah(*arguments: str, log: str, append: bool = False) -> str:
    verb, *rest = arguments
    policy = [f"--signature-policy={_folder() / 'policy.json'}"] if verb in ("pull", "push", "build") else []
    return run_logged(
        f"the image of {log.removeprefix('image-')}",
        ["buildah", verb, *policy, *rest],
        log=log,
        env=_environment(),
        append=append,
    )


def _folder() -> Path:
    folder = cache_dir() / "buildah"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def _environment() -> dict[str, str]:
    """Settings that keep buildah inside its folder."""
    folder = _folder()
    driver = "overlay" if _overlay_works(folder) else "vfs"
    storage, policy = folder / f"{driver}.conf", folder / "policy.json"
    storage.write_text(
        f'[storage]\ndriver = "{driver}"\ngraphroot = "{folder}/{driver}"\nrunroot = "{folder}/{driver}-run"\n'
    )
    # Nothing is pulled: all images come from archives of our own.
    policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    return {"CONTAINERS_STORAGE_CONF": str(storage), "BUILDAH_FORMAT": "docker"}


def _overlay_works(folder: Path) -> bool:
    """Whether an overlay can be mounted on this file system; vfs works on all, and copies everything for each step."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for name in ("lower", "upper", "work", "merged"):
            (Path(place) / name).mkdir()
        options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
        argv = ["mount", "-t", "overlay", "-o", options, "overlay", f"{place}/merged"]
        if subprocess.run(argv, capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", f"{place}/merged"], capture_output=True, check=True)
        return True


def _volumes() -> list[str]:
    """What a build borrows from this machine: certificates, pip's settings, pip's cache. Nothing of it stays."""
    folder = _folder()
    wheels = cache_dir() / "pip"
    wheels.mkdir(exist_ok=True)
    settings = folder / "pip.conf"
    lines = ["[global]", f"cache-dir = {_PIP_CACHE}"]
    for variable in _PIP_VARIABLES:
        if value := os.environ.get(variable):
            lines.append(f"{variable.removeprefix('PIP_').lower().replace('_', '-')} = {value}")
    volumes = [f"{wheels}:{_PIP_CACHE}"]
    if _CERTIFICATES.exists():
        lines.append(f"cert = {_CERTIFICATES}")
        volumes.append(f"{_CERTIFICATES}:{_CERTIFICATES}:ro")
    settings.write_text("\n".join(lines) + "\n")
    return [*volumes, f"{settings}:/etc/pip.conf:ro"]
