"""What builds of tools and images share: one builder at a time, logs on disk, results appear whole or not at all.

Used by `lab.packages`, `lab.tools` and `lab.images`; knows nothing of Go, Debian or images itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.errors import BuildFailed
from lab.paths import build_logs_dir, cache_dir

KEY_LENGTH = 12


def fingerprint(*parts: object) -> str:
    """A short hash over JSON-able values; equal inputs give equal results on any machine."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def file_hash(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the cache's lock `name`: two processes never build the same thing. It is free when its holder dies."""
    folder = cache_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def work_folder(parent: Path, *, label: str) -> Iterator[Path]:
    """A fresh folder under `parent`, whose content can be renamed to a place beside it; removed at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{label}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_logged(
    what: str,
    argv: Sequence[str | os.PathLike[str]],
    *,
    log: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    append: bool = False,
) -> str:
    """Run a command with its output in `<cache>/logs/<log>.log` and return that output.

    `env` is added to the process's own; `on_line` sees each line as it is written.
    Raises BuildFailed, with the log's last lines and its path, when the command fails.
    """
    path = build_logs_dir() / f"{log}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [str(part) for part in argv]
    lines: list[str] = []
    with path.open("a" if append else "w") as stream:
        stream.write("$ " + " ".join(command) + "\n")
        stream.flush()
        with subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                stream.write(line)
                stream.flush()
                lines.append(line)
                if on_line is not None:
                    on_line(line)
    output = "".join(lines)
    if process.returncode != 0:
        raise BuildFailed(what, log=path, output=output)
    return output
