"""Programs from any Debian suite, without touching the machine's own packages.

apt resolves, downloads and verifies with a state of its own in the cache folder: an empty package status, so that it
names everything a program needs down to libc, and a sources list of its own. The machine's mirror and key ring are
used; its lists, its archive cache and its configuration stay as they are. No maintainer script ever runs.

What was resolved once is recorded and stays until `forget`: an image does not change because a mirror did.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.building import exclusive, fingerprint, run_logged
from lab.errors import BuildFailed, Unsupported
from lab.paths import build_logs_dir, cache_dir
from lab.progress import Step

MIRROR_VARIABLE = "CONTEX_LAB_DEBIAN_MIRROR"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# The lists of a suite count as new for this long after they were fetched.
_STAMP, _FRESH_S = "updated", 600.0
_URI = re.compile(r"^'(?P<uri>[^']+)' (?P<file>(?P<name>[^_ ]+)_(?P<version>[^_ ]+)_[^_ ]+\.deb) ")


@dataclass(frozen=True)
class Package:
    """A downloaded package: `version` as Debian writes it, `file` the .deb in the cache."""

    name: str
    version: str
    file: Path


@dataclass(frozen=True)
class Suite:
    """A Debian suite ("bookworm", "trixie", "forky") as a source of programs."""

    codename: str

    def packages(
        self, names: Sequence[str], *, without: Sequence[str] = (), alone: bool = False
    ) -> tuple[Package, ...]:
        """`names` and all they depend on (`alone`: nothing of that), but for `without`, each downloaded.

        Raises BuildFailed when apt cannot find or fetch them, Unsupported when no mirror is known.
        """
        asked = (sorted(names), sorted(without), *(["alone"] if alone else []))
        record = self._folder / f"{fingerprint(*asked)}.json"
        with exclusive(f"debian-{self.codename}"):
            found = self._read(record)
            if found is None:
                with Step(f"Debian {self.codename}: {names[0]} and what it needs", number=1, of=1):
                    found = self._resolve(names, without, alone)
                self._write(record, found)
        return found

    @property
    def _folder(self) -> Path:
        return cache_dir() / "debian" / self.codename

    @property
    def _archives(self) -> Path:
        return self._folder / "archives"

    def _read(self, record: Path) -> tuple[Package, ...] | None:
        try:
            entries = json.loads(record.read_text())
        except FileNotFoundError:
            return None
        found = tuple(
            Package(entry["name"], entry["version"], self._archives / entry["file"]) for entry in entries
        )
        return found if all(package.file.exists() for package in found) else None

    def _write(self, record: Path, packages: Sequence[Package]) -> None:
        entries = [{"name": p.name, "version": p.version, "file": p.file.name} for p in packages]
        fresh = record.with_suffix(".new")
        fresh.write_text(json.dumps(entries, indent=1) + "\n")
        fresh.rename(record)

    def _resolve(self, names: Sequence[str], without: Sequence[str], alone: bool) -> tuple[Package, ...]:
        options = self._prepare()
        what, log = f"the packages of Debian {self.codename}", f"debian-{self.codename}"
        self._update(options, what=what, log=log)
        listed = run_logged(
            what, ["apt-get", *options, "install", "--print-uris", "-qq", *names], log=log, append=True
        )
        matches = [match for line in listed.splitlines() if (match := _URI.match(line))]
        wanted = [match for match in matches if not alone or match["name"] in names]
        chosen = [match for match in wanted if match["name"] not in without]
        if not chosen:
            raise BuildFailed(
                what, log=build_logs_dir() / f"{log}.log", output=listed or "apt named no package"
            )
        run_logged(
            what,
            # `download` checks each file against the signed lists; ":" of an epoch is written %3a in file names.
            [
                "apt-get",
                *options,
                "download",
                *(f"{m['name']}={m['version'].replace('%3a', ':')}" for m in chosen),
            ],
            log=log,
            cwd=self._archives,
            append=True,
        )
        return tuple(
            Package(m["name"], m["version"].replace("%3a", ":"), self._archives / m["file"]) for m in chosen
        )

    def _update(self, options: Sequence[str], *, what: str, log: str) -> None:
        """Fetch the suite's lists, unless that was done just now for another image."""
        stamp = self._folder / _STAMP
        if not stamp.exists() or time.time() - stamp.stat().st_mtime > _FRESH_S:
            run_logged(what, ["apt-get", *options, "update"], log=log)
            stamp.touch()

    def _prepare(self) -> list[str]:
        """Make apt's private folders and return the options that keep it inside them."""
        folder = self._folder
        for part in ("state/lists/partial", "cache/archives/partial", "archives"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        (folder / "suite.sources").write_text(
            f"Types: deb\nURIs: {mirror()}\nSuites: {self.codename}\nComponents: main\nTargets: Packages\n"
            f"Signed-By: {KEYRING}\n"
        )
        # Read after the machine's own configuration: its hooks must not run for lists that are not its own.
        (folder / "apt.conf").write_text(
            f"""#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Pre-Invoke;
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/suite.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
"""
        )
        return ["-c", str(folder / "apt.conf")]


def forget() -> None:
    """Forget what was resolved: the next images are made of the newest packages."""
    for pattern in ("*/*.json", f"*/{_STAMP}"):
        for path in (cache_dir() / "debian").glob(pattern):
            path.unlink()


def mirror() -> str:
    """The mirror that this machine takes its own Debian from, or $CONTEX_LAB_DEBIAN_MIRROR.

    Raises Unsupported where the machine has no Debian mirror.
    """
    chosen = os.environ.get(MIRROR_VARIABLE)
    if chosen:
        return chosen
    shown = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(COMPONENT)|$(RELEASE)|$(REPO_URI)"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    release = _codename()
    for line in shown.splitlines():
        component, suite, uri = (*line.split("|"), "", "", "")[:3]
        if component == "main" and suite == release and "/debian" in uri:
            return uri
    raise Unsupported(
        f"this machine's apt sources name no Debian mirror for {release or 'its release'}; "
        f"set {MIRROR_VARIABLE} to the address of one, the part before /dists"
    )


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    return ""


def unpack(packages: Sequence[Package], tree: Path, *, leave_out: Sequence[str] = ()) -> None:
    """Lay the packages' files into `tree`, which becomes a file system with a merged /usr.

    `leave_out` are tar patterns of what is not wanted ("./usr/share/doc").
    Raises BuildFailed when an archive is damaged.
    """
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (tree / name).is_symlink():
            (tree / name).symlink_to(f"usr/{name}")
    excludes = [f"--exclude={pattern}" for pattern in leave_out]
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package.file], stdout=subprocess.PIPE) as reader:
            extracted = subprocess.run(
                ["tar", "--extract", "--keep-directory-symlink", "--directory", tree, *excludes],
                stdin=reader.stdout,
                capture_output=True,
                text=True,
                check=False,
            )
        if extracted.returncode or reader.returncode:
            raise BuildFailed(package.name, log=package.file, output=extracted.stderr)
