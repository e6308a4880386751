"""The cluster's own images: the pause process of every pod, and CoreDNS."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.building import file_hash, run_logged
from lab.images import archive
from lab.images.recipe import Settings, source_of, write_tree
from lab.tools import tool

_PAUSE_SOURCE = Path(__file__).parent / "src/pause.c"


@dataclass(frozen=True)
class PauseImage:
    """A static binary that waits, compiled from `src/pause.c`."""

    name: str = "pause"
    tags: tuple[str, ...] = ("localhost/pause:lab",)

    needs = ()

    def inputs(self) -> Mapping[str, object]:
        """The program's source and the code that makes an image of it."""
        return {"sources": [file_hash(_PAUSE_SOURCE), *map(source_of, (__name__, archive.__name__))]}

    def build(self, target: Path, *, work: Path) -> None:
        """See Recipe; raises BuildFailed when the compiler does."""
        tree = work / "tree"
        tree.mkdir()
        run_logged(
            "the pause binary",
            ["gcc", "-static", "-Os", "-s", "-Wall", "-o", tree / "pause", _PAUSE_SOURCE],
            log="image-pause",
        )
        settings = Settings(entrypoint=("/pause",), user="65535:65535")
        write_tree(target, tree, tags=self.tags, settings=settings)


@dataclass(frozen=True)
class CorednsImage:
    """The laboratory's own CoreDNS binary and nothing else; it needs no file but its configuration."""

    name: str = "coredns"
    tags: tuple[str, ...] = ("localhost/coredns:lab",)

    needs = ()

    def inputs(self) -> Mapping[str, object]:
        """The tool's folder, whose name carries version and hash of the binary's sources."""
        return {
            "binary": tool("coredns").parent.name,
            "sources": [*map(source_of, (__name__, archive.__name__))],
        }

    def build(self, target: Path, *, work: Path) -> None:
        """See Recipe."""
        tree = work / "tree"
        tree.mkdir()
        shutil.copy2(tool("coredns"), tree / "coredns")
        write_tree(target, tree, tags=self.tags, settings=Settings(entrypoint=("/coredns",)))
