"""The making of images: archives, what decides that one is made anew, Debian's programs, the project's Dockerfiles."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lab.errors import BuildFailed, LabError, Unsupported
from lab.images import catalogue, debian, project
from lab.images.archive import Owners, read_image, write_image, write_layer
from lab.images.catalogue import all_recipes, images
from lab.images.project import project_images
from lab.images.recipe import Recipe, Settings, archive_of
from lab.paths import images_dir, project_dir


@dataclass
class Fake:
    """A recipe whose input is a file; `during` runs while it is built."""

    source: Path
    name: str = "fake"
    tags: tuple[str, ...] = ("localhost/fake:lab",)
    needs: tuple[Recipe, ...] = ()
    built: list[str] = field(default_factory=list)
    fails: bool = False
    edits: int = 0

    def inputs(self) -> Mapping[str, object]:
        return {"text": self.source.read_text()}

    def build(self, target: Path, *, work: Path) -> None:
        self.built.append(self.source.read_text())
        layer = work / "layer.tar"
        (work / "tree").mkdir()
        shutil.copy(self.source, work / "tree/file")
        digest = write_layer(work / "tree", layer)
        write_image(target, tags=self.tags, layers=[(layer, digest)], architecture="amd64", config={})
        if len(self.built) <= self.edits:
            self.source.write_text(f"saved meanwhile {len(self.built)}")
        if self.fails:
            raise BuildFailed("fake", log=target, output="no")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """The only image there is, in a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "source"
    source.write_text("first")
    recipe = Fake(source)
    monkeypatch.setattr(catalogue, "all_recipes", lambda: (recipe,))
    return recipe


# -- archives -------------------------------------------------------------------------------------------------


def sample_tree(folder: Path) -> Path:
    """A small tree with a file, a link and a folder."""
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/passwd").write_text("root\n")
    (folder / "link").symlink_to("etc/passwd")
    (folder / "data").mkdir()
    return folder


def test_layers_of_equal_trees_are_equal(tmp_path: Path) -> None:
    one, two = sample_tree(tmp_path / "one"), sample_tree(tmp_path / "two")
    os.utime(two / "etc/passwd", (1, 1))

    assert write_layer(one, tmp_path / "1.tar") == write_layer(two, tmp_path / "2.tar")


@pytest.mark.parametrize("change", ["content", "mode", "owner"])
def test_layers_differ_by_what_a_container_sees(tmp_path: Path, change: str) -> None:
    one, two = sample_tree(tmp_path / "one"), sample_tree(tmp_path / "two")
    owners = Owners({"/data": (999, 1000)}) if change == "owner" else None
    if change == "content":
        (two / "etc/passwd").write_text("other\n")
    if change == "mode":
        (two / "data").chmod(0o700)

    assert write_layer(one, tmp_path / "1.tar") != write_layer(two, tmp_path / "2.tar", owners=owners)


def test_layer_holds_links_and_owners(tmp_path: Path) -> None:
    write_layer(sample_tree(tmp_path / "tree"), tmp_path / "layer.tar", owners=Owners({"/data": (999, 1000)}))

    with tarfile.open(tmp_path / "layer.tar") as layer:
        members = {member.name: member for member in layer}
    assert members["link"].linkname == "etc/passwd"
    assert (members["data"].uid, members["data"].gid) == (999, 1000)
    assert (members["etc"].uid, members["etc"].gid) == (0, 0)


def test_archive_is_read_back_and_verifies(tmp_path: Path) -> None:
    layer = tmp_path / "layer.tar"
    digest = write_layer(sample_tree(tmp_path / "tree"), layer)
    settings = Settings(command=("run",), environment={"A": "1"}, ports=("80/tcp",))
    path = tmp_path / "image.tar"
    written = write_image(
        path, tags=["a/b:1"], layers=[(layer, digest)], architecture="amd64", config=settings.config()
    )

    image = read_image(path, name="b")

    assert (image.name, image.tags, image.path, image.digest) == ("b", ("a/b:1",), path, written)
    with tarfile.open(path) as tar:
        (entry,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        blob = tar.extractfile(entry["Config"]).read()  # type: ignore[union-attr]
        content = tar.extractfile(entry["Layers"][0]).read()  # type: ignore[union-attr]
    assert f"sha256:{hashlib.sha256(blob).hexdigest()}" == written
    document = json.loads(blob)
    assert document["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(content).hexdigest()}"]
    assert document["config"] == {"Cmd": ["run"], "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}}


def test_archive_of_several_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[{}, {}]")
    with tarfile.open(tmp_path / "two.tar", "w") as tar:
        tar.add(tmp_path / "manifest.json", arcname="manifest.json")

    with pytest.raises(ValueError, match="holds 2 images, not one"):
        read_image(tmp_path / "two.tar", name="x")


# -- what is made anew ----------------------------------------------------------------------------------------


def test_unchanged_image_is_not_made_again(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    (first,) = images()
    (second,) = images()

    assert first == second
    assert fake.built == ["first"]
    assert capsys.readouterr().err.count("localhost/fake:lab … ") == 1


def test_changed_input_makes_another_archive(fake: Fake) -> None:
    (first,) = images()
    fake.source.write_text("second")
    (second,) = images()

    assert fake.built == ["first", "second"]
    assert first.path != second.path
    assert first.digest != second.digest
    assert first.path.exists(), "another clone may be using it"


def test_failed_build_leaves_nothing(fake: Fake) -> None:
    fake.fails = True

    with pytest.raises(BuildFailed):
        images()

    assert list(images_dir().iterdir()) == []


def test_image_whose_files_change_meanwhile_is_made_again(fake: Fake) -> None:
    fake.edits = 1

    (image,) = images()

    assert fake.built == ["first", "saved meanwhile 1"]
    assert image.path == archive_of(fake)
    assert list(images_dir().glob("*.tar")) == [image.path]


def test_image_whose_files_keep_changing_is_given_up(fake: Fake) -> None:
    fake.edits = 100

    with pytest.raises(LabError, match="the files of the image localhost/fake:lab kept changing"):
        images()
    assert list(images_dir().iterdir()) == []


def test_old_archives_are_removed(fake: Fake) -> None:
    for number in range(6):
        fake.source.write_text(str(number))
        (newest,) = images()
        os.utime(newest.path, (number, number))

    kept = {read_image(path, name="fake").path for path in images_dir().glob("fake-*.tar")}
    assert len(kept) == 4
    assert newest.path in kept


def test_unknown_image_is_named_with_those_that_exist(fake: Fake) -> None:
    with pytest.raises(LabError, match="nginx is no image of the laboratory; there are fake"):
        images(["nginx"])


def test_every_image_has_a_name_and_tags_of_its_own() -> None:
    recipes = all_recipes()
    tags = [tag for recipe in recipes for tag in recipe.tags]

    assert len({recipe.name for recipe in recipes}) == len(recipes)
    assert len(set(tags)) == len(tags)
    assert {
        "docker.io/library/redis:7-alpine",
        "docker.io/library/redis:8",
        "docker.io/valkey/valkey:9",
    } < set(tags)


# -- Debian ---------------------------------------------------------------------------------------------------


def fake_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, *, targets: str) -> None:
    """An apt-get in PATH that knows these index targets and nothing else."""
    (folder / "targets").write_text(targets)
    program = folder / "bin/apt-get"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat {folder}/targets\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.delenv(debian.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(debian, "_codename", lambda: "bookworm")


def test_mirror_is_the_machines_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "main|bookworm-security|http://a.test/debian-security/",
        "stable|bookworm|http://b.test/linux/debian/",
        "main|bookworm|http://a.test/debian/",
    ]
    fake_apt(tmp_path, monkeypatch, targets="\n".join(lines) + "\n")

    assert debian.mirror() == "http://a.test/debian/"


def test_mirror_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(debian.MIRROR_VARIABLE, "http://c.test/debian")

    assert debian.mirror() == "http://c.test/debian"


def test_machine_without_a_mirror_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(tmp_path, monkeypatch, targets="main|noble|http://a.test/ubuntu/\n")

    with pytest.raises(Unsupported, match=f"no Debian mirror for bookworm; set {debian.MIRROR_VARIABLE}"):
        debian.mirror()


@pytest.mark.slow
def test_packages_leave_the_machines_apt_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def machine() -> list[tuple[str, int]]:
        folders = [Path("/etc/apt"), Path("/var/lib/apt"), Path("/var/cache/apt"), Path("/var/lib/dpkg/info")]
        files = [path for folder in folders for path in folder.rglob("*")]
        return sorted((str(path), path.lstat().st_mtime_ns) for path in files)

    before = machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    packages = debian.Suite("trixie").packages(["hostname"], without=["gcc-14-base"])
    again = debian.Suite("trixie").packages(["hostname"], without=["gcc-14-base"])

    assert machine() == before
    assert again == packages
    assert {"hostname", "libc6"} <= {package.name for package in packages}
    assert "gcc-14-base" not in {package.name for package in packages}
    debian.unpack(packages, tmp_path / "tree", leave_out=["./usr/share"])
    assert (tmp_path / "tree/bin/hostname").exists()
    assert not list((tmp_path / "tree/usr").glob("share*"))


def test_recorded_packages_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    suite = debian.Suite("trixie")
    archives = tmp_path / "contex-lab/debian/trixie/archives"
    archives.mkdir(parents=True)
    (archives / "a_1.deb").touch()
    found = (debian.Package("a", "1", archives / "a_1.deb"),)
    monkeypatch.setattr(debian.Suite, "_resolve", lambda *_: found)
    assert suite.packages(["a"]) == found
    monkeypatch.setattr(debian.Suite, "_resolve", lambda *_: pytest.fail("it was resolved again"))

    assert suite.packages(["a"]) == found
    debian.forget()
    with pytest.raises(pytest.fail.Exception):
        suite.packages(["a"])


# -- the project's Dockerfiles --------------------------------------------------------------------------------

PROJECT = pytest.mark.parametrize("image", project_images(), ids=lambda image: image.name)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what goes into the images, which a test may change."""
    for folder in ("operator", "tests/contex", "client"):
        shutil.copytree(project_dir() / folder, tmp_path / folder)
    monkeypatch.setattr(project, "project_dir", lambda: tmp_path)
    return tmp_path


@PROJECT
def test_dockerfile_copies_what_the_hash_covers_and_no_more(image: project.ProjectImage) -> None:
    dockerfile = project_dir() / image.folder / image.dockerfile
    text = dockerfile.read_text()
    copied = set(re.findall(r"^COPY (\S+) \S+$", text, re.MULTILINE))
    # A context with a Dockerfile that is not at its top has the list beside that.
    own = dockerfile.with_name("Dockerfile.dockerignore")
    ignore = (own if own.exists() else dockerfile.with_name(".dockerignore")).read_text().splitlines()

    assert copied == set(image.files)
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == copied
    assert re.search(r"^ARG BASE=python:3\.\d+-slim$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}", "dependencies"}


@PROJECT
def test_dockerfile_names_an_unprivileged_user(image: project.ProjectImage) -> None:
    text = (project_dir() / image.folder / image.dockerfile).read_text()

    assert re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE) == [
        "65532" if image.name == "operator" else "1000"
    ]


@PROJECT
def test_inputs_follow_content_and_names_only(image: project.ProjectImage, checkout: Path) -> None:
    code = checkout / image.folder / image.files[-1]
    before = image.inputs()

    os.utime(next(code.rglob("*.py")), (1, 1))
    (code / "__pycache__").mkdir(exist_ok=True)
    (code / "__pycache__/x.pyc").write_text("x")
    (checkout / image.folder / "notes.txt").write_text("not copied")
    assert image.inputs() == before

    (code / "new.py").touch()
    added = image.inputs()
    (code / "new.py").rename(code / "renamed.py")
    renamed = image.inputs()
    (code / "renamed.py").unlink()
    with (checkout / image.folder / image.dockerfile).open("a") as dockerfile:
        dockerfile.write("# other\n")
    assert len({json.dumps(inputs) for inputs in (before, added, renamed, image.inputs())}) == 4


@PROJECT
def test_missing_file_is_named(image: project.ProjectImage, checkout: Path) -> None:
    missing = next(name for name in image.files if name.endswith("requirements.txt"))
    (checkout / image.folder / missing).unlink()

    with pytest.raises(LabError, match=rf"{missing} is missing; the image ghcr.io/"):
        image.inputs()


def test_operator_is_tagged_with_its_own_version(checkout: Path) -> None:
    pyproject = checkout / "operator/pyproject.toml"
    pyproject.write_text(re.sub(r'(?m)^version = ".*"$', 'version = "9.8.7"', pyproject.read_text()))

    assert project_images()[0].tags == ("ghcr.io/cahoots-org/contex-redis-operator:9.8.7",)


def pinned(path: Path) -> dict[str, str]:
    """The names and versions of a requirements file, each of which must carry a hash."""
    found = {}
    for entry in re.split(r"(?m)^(?=[a-z])", path.read_text())[1:]:
        match = re.match(r"([a-z0-9-]+)==([^ ]+)", entry)
        assert match, entry
        assert "--hash=sha256:" in entry, f"{match[0]} has no hash"
        found[match[1]] = match[2]
    return found


@PROJECT
def test_pins_agree_with_what_is_asked_for(image: project.ProjectImage) -> None:
    folder = (project_dir() / image.folder / image.dockerfile).parent
    if image.name == "operator":
        wanted = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    else:
        wanted = (folder / "requirements.in").read_text().split()
    pins = pinned(folder / "requirements.txt")

    for text in wanted:
        requirement = Requirement(text)
        version = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{text} is pinned to {version}"
