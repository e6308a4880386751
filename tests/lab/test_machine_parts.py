"""The machine's parts that a laboratory uses, each tried alone: control groups, loop devices, namespaces."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from lab import cgroups, loops, paths, removal
from lab.cgroups import Group
from lab.cluster import Lab
from lab.errors import LabError, UsageError, WaitTimeout
from lab.faults import pods
from lab.hosts import joined
from lab.imagestore import clone
from lab.layout import Layout
from lab.shell import run, wait_until

NAME = "pytest-parts"


@pytest.fixture
def group() -> Iterator[Group]:
    """A group of a laboratory that does not exist."""
    made = cgroups.lab_group(NAME)
    made.create(cgroups.hierarchies())
    yield made
    made.kill_all()
    made.remove()
    cgroups.remove_top()


@contextlib.contextmanager
def member(group: Group, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the group."""
    process = subprocess.Popen(joined([group.folder()], list(argv)))
    try:
        wait_until("it is a member", lambda: (process.pid in group.members(), group.members()), seconds=5)
        yield process
    finally:
        group.thaw_all()
        process.kill()
        process.wait()


def ticks(pid: int) -> int:
    """Processor time that a process has used, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_process_is_found_with_the_children_that_it_has_left_behind(group: Group) -> None:
    with member(group, "sh", "-c", "setsid sleep 1000 & exec sleep 1000"):
        wait_until("both are members", lambda: (len(group.members()) == 2, group.members()), seconds=5)
        group.kill_all()
        assert group.members() == []


def test_a_subgroup_counts_unless_asked_otherwise(group: Group) -> None:
    inner = group / "inner"
    inner.create(cgroups.hierarchies())
    with member(inner, "sleep", "1000") as process:
        assert group.members() == [process.pid]
        assert group.members(recursive=False) == []


def test_a_frozen_process_uses_no_time_and_goes_on_when_thawed(group: Group) -> None:
    with member(group, "sh", "-c", "while :; do :; done") as process:
        group.freeze(True)
        assert group.is_frozen
        before = ticks(process.pid)
        time.sleep(0.3)  # the time in which it would have used some
        assert ticks(process.pid) == before
        group.freeze(False)
        assert not group.is_frozen
        wait_until("it runs again", lambda: (ticks(process.pid) > before, ticks(process.pid)), seconds=10)


def test_frozen_processes_are_killed_all_the_same(group: Group) -> None:
    with member(group, "sleep", "1000") as process:
        group.freeze(True)
        group.kill_all(deadline_s=5)
        assert process.wait(timeout=5) == -9


def test_freezing_a_group_that_is_gone_is_an_error_in_words() -> None:
    with pytest.raises(LabError, match="there is no group contex-lab/none"):
        cgroups.lab_group("none").freeze(True)


def test_groups_are_removed_from_every_hierarchy(group: Group) -> None:
    (group / "node1" / "kubepods").create(cgroups.hierarchies())
    group.remove()
    left = [kind for kind in cgroups.WANTED if group.folder(kind).exists()]
    assert left == []


def test_a_group_with_a_process_does_not_go_silently(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "wait_until", lambda what, probe, **_: wait_until(what, probe, seconds=0.2))
    with member(group, "sleep", "1000"), pytest.raises(WaitTimeout, match="Device or resource busy"):
        group.remove()


# -- loop devices ---------------------------------------------------------------------------------------------


def test_a_loop_device_is_recognised_by_its_file_from_another_mount_namespace(tmp_path: Path) -> None:
    image, other = tmp_path / "disk.ext4", tmp_path / "other.ext4"
    for file in (image, other):
        file.touch()
        os.truncate(file, 8 << 20)
    run(["mkfs.ext4", "-q", image])
    script = 'mount -o loop "$1" /mnt && echo mounted && exec sleep 1000'
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", str(image)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "mounted\n"
            (number,) = loops.attached([image, other])
            assert loops.attached([other]) == {}
            with pytest.raises(WaitTimeout, match=f"/dev/loop{number} on {image}"):
                loops.wait_detached([image], seconds=0.1)
        finally:
            process.kill()
    loops.wait_detached([image])
    loops.remove_devices([number])


# -- removal ----------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parent of all laboratories' folders, in a folder of the test."""
    folder = tmp_path / "labs"
    monkeypatch.setattr(paths, "state_root", lambda: folder)
    return folder


def test_ruins_are_removed_in_whatever_state_they_are(root: Path, group: Group) -> None:
    lab = Layout(NAME)
    (lab.root / "node1" / "lib" / "volumes").mkdir(parents=True)
    (lab.root / "loops.json").write_text("not json")
    run(["mount", "-t", "tmpfs", "tmpfs", lab.root / "node1"])
    with member(group, "sleep", "1000") as process:
        Lab(NAME).down()
        assert process.wait(timeout=5) == -9
    assert not root.exists()
    assert not group.exists
    assert str(root) not in Path("/proc/self/mountinfo").read_text()


def test_a_laboratory_is_not_taken_down_from_inside(root: Path, group: Group) -> None:
    code = f"from lab.cluster import Lab; Lab({NAME!r}).down()"
    inside = joined([group.folder()], ["python3", "-c", code])
    done = subprocess.run(inside, cwd=paths.project_dir(), capture_output=True, text=True, check=False)
    assert UsageError.__name__ in done.stderr
    assert "take it down from outside" in done.stderr


@contextlib.contextmanager
def rival(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that wants the lock and keeps it; it says "held" when it has it."""
    code = (
        "import pathlib, time; from lab import paths, removal; "
        f"paths.state_root = lambda: pathlib.Path({str(root)!r}); "
        f"lock = removal.exclusive({NAME!r}); lock.__enter__(); print('held', flush=True); time.sleep(1000)"
    )
    argv = ["python3", "-c", code]
    with subprocess.Popen(
        argv, cwd=paths.project_dir(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(stream: IO[str] | None) -> str:
    """The next line that a process says."""
    assert stream is not None
    return stream.readline()


def test_up_and_down_exclude_each_other_and_the_lock_dies_with_its_holder(root: Path) -> None:
    with rival(root) as first:
        assert line(first.stdout) == "held\n"
        with rival(root) as second:
            assert "waiting for another" in line(second.stderr)
            first.kill()
            assert line(second.stdout) == "held\n"
    with removal.exclusive(NAME):
        pass
    assert not root.exists()


def test_whoever_waited_for_the_lock_holds_the_one_that_others_see(root: Path) -> None:
    with contextlib.ExitStack() as held:
        held.enter_context(removal.exclusive(NAME))
        with rival(root) as waiting:
            assert "waiting for another" in line(waiting.stderr)
            held.close()  # removes the lock's file under the eyes of the one that waits for it
            assert line(waiting.stdout) == "held\n"
            (file,) = root.iterdir()
            with file.open() as stream, pytest.raises(BlockingIOError):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


# -- images and pods ----------------------------------------------------------------------------------------------


def test_a_clone_of_a_template_shares_files_of_layers_and_no_database(tmp_path: Path) -> None:
    template = tmp_path / "template"
    layer = template / "snapshotter" / "snapshots" / "1" / "fs" / "bin"
    layer.mkdir(parents=True)
    (layer / "redis-server").write_text("program")
    (layer / "data.db").write_text("a file of an image")
    (template / "metadata").mkdir()
    (template / "metadata" / "meta.db").write_text("database")
    clone(template, tmp_path / "clone")
    shared = tmp_path / "clone" / layer.relative_to(template)
    assert (shared / "redis-server").samefile(layer / "redis-server")
    assert (shared / "data.db").samefile(layer / "data.db")
    private = tmp_path / "clone" / "metadata" / "meta.db"
    private.write_text("changed")
    assert (template / "metadata" / "meta.db").read_text() == "database"


@pytest.mark.parametrize("text", ["pod", "/pod", "namespace/", "a/b/c", ""])
def test_a_pod_is_named_with_its_namespace(text: str) -> None:
    with pytest.raises(UsageError, match="write namespace/pod"):
        pods.split(text)


def test_a_process_goes_by_its_commands_name_and_by_its_title() -> None:
    with subprocess.Popen(["bash", "-c", "exec -a 'redis-server *:6379' sleep 1000"]) as process:
        try:
            wait_until(
                "it has its title",
                lambda: ("redis-server" in pods.command_names(process.pid), pods.command_names(process.pid)),
                seconds=5,
            )
            assert pods.command_names(process.pid) == {"sleep", "redis-server"}
            assert pods.parent(process.pid) == os.getpid()
        finally:
            process.kill()
    assert pods.command_names(process.pid) == set()


def test_the_record_of_loop_devices_survives_what_it_cannot_read(root: Path) -> None:
    lab = Layout(NAME)
    lab.root.mkdir(parents=True)
    (lab.root / "loops.json").write_text(json.dumps([70, 71]))
    removal.record_devices(lab)
    assert json.loads((lab.root / "loops.json").read_text()) == [70, 71]


# The same limit of a user namespace of the test's own: nothing else on the machine runs into it.
WATCHERS = """
import sys
from pathlib import Path
from lab import machine
machine.WATCHERS, machine.WATCHERS_LIMIT = 8, Path("/proc/sys/user/max_inotify_instances")
machine.WATCHERS_LIMIT.write_text(sys.argv[1])
if sys.argv[2] == "locked":
    machine.WATCHERS_LIMIT = Path("/proc/sys/kernel/ostype")  # as in a container: to be read only
    Path.read_text = lambda self: sys.argv[1]
try:
    machine.make_room_for_watchers()
except machine.Unsupported as error:
    print(error)
else:
    print(machine.WATCHERS_LIMIT.read_text().strip(), machine._can_watch(machine.WATCHERS))
"""


@pytest.mark.parametrize(
    ("limit", "state", "said"),
    [
        (8, "open", "8 True"),
        (7, "open", "1024 True"),
        (7, "locked", "this machine has no 8 inotify instances left of 7, and "),
    ],
)
def test_room_for_a_laboratorys_watchers_is_made_where_there_is_none(
    limit: int, state: str, said: str
) -> None:
    argv = ["unshare", "--user", "--map-root-user", sys.executable, "-c", WATCHERS, str(limit), state]
    done = subprocess.run(argv, cwd=paths.project_dir(), capture_output=True, text=True, check=True)
    assert done.stdout.startswith(said)
    assert ("raised from 7 to 1024" in done.stderr) is (said == "1024 True")
