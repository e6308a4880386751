"""The descriptions of the Kubernetes API (OpenAPI) that manifests are checked against, one for each supported minor.

They lie in the Go module k8s.io/kubernetes (api/openapi-spec). `modules/openapi/go.sum` names the versions and the
hash of each; `lab tools` fetches what is missing and keeps the one file of it in the user's cache, so a test run
downloads nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from lab.building import exclusive, work_folder
from lab.errors import BuildFailed, LabError
from lab.paths import build_logs_dir, cache_dir, modules_dir
from lab.progress import Step

_MODULE = "k8s.io/kubernetes"
_FILE = Path("api") / "openapi-spec" / "swagger.json"


def versions() -> tuple[str, ...]:
    """The versions of Kubernetes, "v1.34.4" first of the oldest."""
    sums = (_folder() / "go.sum").read_text()
    found = re.findall(rf"^{re.escape(_MODULE)} (v[0-9.]+) h1:", sums, re.MULTILINE)
    return tuple(sorted(found, key=lambda version: [int(part) for part in version[1:].split(".")]))


def description(version: str) -> Path:
    """The file that describes the API of that version. Raises LabError where it has not been fetched."""
    path = _target(version)
    if not path.exists():
        raise LabError(
            f"the API of Kubernetes {version} is not described here yet; `python -m lab tools` fetches it"
        )
    return path


def fetch() -> dict[str, Path]:
    """All descriptions; what is missing is fetched. Raises BuildFailed."""
    missing = [version for version in versions() if not _target(version).exists()]
    if missing:
        with exclusive("openapi"):
            for number, version in enumerate(missing, start=1):
                if not _target(version).exists():
                    with Step(f"openapi {version}", number=number, of=len(missing)):
                        _fetch(version)
    return {version: _target(version) for version in versions()}


def _folder() -> Path:
    return modules_dir() / "openapi"


def _target(version: str) -> Path:
    return cache_dir() / "openapi" / f"{version}.json"


def _fetch(version: str) -> None:
    # In the folder whose go.sum vouches for it: another content than that is an error.
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{_MODULE}@{version}"],
        cwd=_folder(),
        env=os.environ | {"GOFLAGS": "", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout or "{}")
    if done.returncode or "Dir" not in said:
        log = build_logs_dir() / "openapi.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout + done.stderr)
        raise BuildFailed(f"openapi {version}", log=log, output=str(said.get("Error") or done.stderr))
    target = _target(version)
    with work_folder(target.parent, label="openapi") as folder:
        shutil.copyfile(Path(said["Dir"]) / _FILE, folder / target.name)
        (folder / target.name).rename(target)
