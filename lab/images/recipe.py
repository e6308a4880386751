"""What an image is made of and how: the interface between the catalogue and the modules that make images."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lab.building import file_hash, fingerprint
from lab.images.archive import Owners, write_image, write_layer
from lab.paths import images_dir


class Recipe(Protocol):
    """One image. `inputs` costs milliseconds: it is asked on every run, `build` only when its answer is new."""

    @property
    def name(self) -> str:
        """The name of its archive."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The full names that manifests call it by."""

    @property
    def needs(self) -> Sequence[Recipe]:
        """Images that must be made before this one."""

    def inputs(self) -> Mapping[str, object]:
        """All that decides what the image holds, as JSON-able values."""

    def build(self, target: Path, *, work: Path) -> None:
        """Write the archive `target`; `work` is an empty folder of its own, on the same file system."""


def archive_of(recipe: Recipe) -> Path:
    """Where a recipe's archive is or will be: its name carries the hash of all that goes into it."""
    return images_dir() / f"{recipe.name}-{fingerprint(architecture(), dict(recipe.inputs()))}.tar"


@dataclass(frozen=True)
class Settings:
    """The config of an image, by what it does; only what is given stands in the image."""

    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    folder: str = ""
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def config(self) -> dict[str, object]:
        """In the names of the OCI image specification."""
        full: dict[str, object] = {
            "Cmd": list(self.command),
            "Entrypoint": list(self.entrypoint),
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "User": self.user,
            "WorkingDir": self.folder,
            "ExposedPorts": {port: {} for port in self.ports},
            "Volumes": {volume: {} for volume in self.volumes},
        }
        return {name: value for name, value in full.items() if value}


def write_tree(
    target: Path, tree: Path, *, tags: tuple[str, ...], settings: Settings, owners: Owners | None = None
) -> None:
    """Write an image of one layer from a folder."""
    layer = tree.with_name(tree.name + ".layer.tar")
    digest = write_layer(tree, layer, owners=owners)
    write_image(
        target, tags=tags, layers=[(layer, digest)], architecture=architecture(), config=settings.config()
    )
    layer.unlink()


def architecture() -> str:
    """This machine's processor as OCI and Debian name it."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def source_of(module: str) -> str:
    """The hash of a module's source: an image is made anew when the code that makes it changes."""
    path = sys.modules[module].__file__
    assert path is not None
    return file_hash(Path(path))
