"""The project's own images, built from its own Dockerfiles on the laboratory's Python base."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.building import exclusive, file_hash
from lab.errors import LabError
from lab.images import builder
from lab.images.archive import Image, read_image
from lab.images.python import PythonImage
from lab.images.recipe import archive_of, source_of
from lab.paths import project_dir

_REGISTRY = "ghcr.io/cahoots-org"
# Version of Contex whose contract the stand-in serves.
_CONTEX_VERSION = "0.1.10"
_BASE = PythonImage()


@dataclass(frozen=True)
class ProjectImage:
    """An image from a Dockerfile, built in `folder` (below the repository's top; "" is the top itself).

    `files` are all that the Dockerfile copies, folders with everything in them: the build sees nothing else.
    """

    name: str
    repository: str
    version: str
    folder: str
    files: tuple[str, ...]
    dockerfile: str = "Dockerfile"  # in `folder`

    @property
    def tags(self) -> tuple[str, ...]:
        """The one name that the chart's values carry."""
        return (f"{_REGISTRY}/{self.repository}:{self.version}",)

    @property
    def needs(self) -> tuple[PythonImage, ...]:
        """The image that it is built on."""
        return (_BASE,)

    def inputs(self) -> Mapping[str, object]:
        """The base's digest (so it must have been made) and every file that goes in."""
        return {
            "base": self._base().digest,
            "files": [(str(path.relative_to(self._context)), file_hash(path)) for path in self._copied()],
            "tags": self.tags,
            "sources": [*map(source_of, (__name__, builder.__name__))],
        }

    def build(self, target: Path, *, work: Path) -> None:
        """See Recipe; raises BuildFailed with the end of buildah's output."""
        context = work / "context"
        for path in self._copied():
            copy = context / path.relative_to(self._context)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)  # whatever the checkout's umask was
        with exclusive("buildah"):  # its removal of unused layers gets in the way of another build
            base = builder.ensure_base(self._base())
            builder.build(
                context,
                dockerfile=self.dockerfile,
                name=self.name,
                arguments={"BASE": base},
                tag=self.tags[0],
                target=target,
            )

    def _base(self) -> Image:
        return read_image(archive_of(_BASE), name=_BASE.name)

    @property
    def _context(self) -> Path:
        return project_dir() / self.folder

    def _copied(self) -> Iterator[Path]:
        for name in (self.dockerfile, *self.files):
            path = self._context / name
            if not path.exists():
                raise LabError(f"{path} is missing; the image {self.tags[0]} is made of it")
            inside = sorted(path.rglob("*")) if path.is_dir() else [path]
            yield from (file for file in inside if file.is_file() and "__pycache__" not in file.parts)


def _operator_version() -> str:
    with (project_dir() / "operator/pyproject.toml").open("rb") as stream:
        return str(tomllib.load(stream)["project"]["version"])


def project_images() -> tuple[ProjectImage, ...]:
    """The operator and the Contex stand-in, at the versions of this checkout."""
    return (
        ProjectImage(
            name="operator",
            repository="contex-redis-operator",
            version=_operator_version(),
            folder="operator",
            files=("requirements.txt", "contex_operator"),
        ),
        ProjectImage(
            name="contex",
            repository="contex",
            version=_CONTEX_VERSION,
            folder="",
            dockerfile="tests/contex/Dockerfile",
            files=(
                *(f"tests/contex/{name}" for name in ("requirements.txt", "main.py", "stand_in")),
                "client/contex_redis",
            ),
        ),
    )
