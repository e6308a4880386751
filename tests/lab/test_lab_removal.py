"""Laboratories that are taken down, that crashed, and that stand side by side. Each test brings up its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import Lab, cgroups, paths
from lab.cgroups import lab_group
from lab.errors import NotUp
from lab.paths import project_dir
from lab.shell import wait_until

NAME = "pytest-crash"


@dataclass(frozen=True)
class Traces:
    """What a laboratory could leave on a machine."""

    processes: frozenset[int]
    mounts: frozenset[str]
    namespaces: frozenset[str]
    groups: frozenset[str]
    files: frozenset[str]
    idle_loops: frozenset[str]
    links: frozenset[str]


def traces(name: str) -> Traces:
    """Everything on this machine that belongs, or could belong, to the laboratory `name` (not to another one)."""
    root = str(paths.state_dir(name))
    groups = [str(g) for kind in names_in(cgroups.MOUNT) if (g := lab_group(name).folder(kind)).exists()]
    devices = [entry for entry in Path("/sys/block").glob("loop*") if not (entry / "loop").exists()]
    return Traces(
        processes=frozenset(processes_of(name)),
        mounts=frozenset(
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if root in line
        ),
        namespaces=names_in(Path("/run/netns")),
        groups=frozenset(groups),
        files=frozenset(str(p) for p in (Path(root), *strays()) if p.exists()),
        idle_loops=frozenset(entry.name for entry in devices),
        links=names_in(Path("/sys/class/net")),
    )


def cleared(lab: Lab) -> Traces:
    """The machine's state after `down`; nothing of the laboratory may be in it, whatever was there before."""
    lab.down()
    before = traces(lab.name)
    assert not before.processes | before.mounts | before.groups
    assert not lab.layout.root.exists()
    return before


def wait_same(before: Traces) -> None:
    """Until the machine is as it was; the last processes are zombies until the machine's init has noticed them."""
    wait_until(
        "the machine is as it was", lambda: (traces(NAME) == before, (traces(NAME), before)), seconds=10
    )


def names_in(folder: Path) -> frozenset[str]:
    """Names in a folder; none where there is no such folder."""
    return frozenset(entry.name for entry in folder.iterdir()) if folder.is_dir() else frozenset()


def strays() -> list[Path]:
    """Where kubelet and containerd would write if they saw the machine's own folders."""
    return [Path("/var/lib/kubelet"), Path("/var/lib/cni"), Path("/run/containerd"), Path("/var/log/pods")]


def processes_of(name: str) -> list[int]:
    """Processes whose command line or control group names the laboratory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "cgroup").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"contex-lab/{name}".encode() in text:
            found.append(int(entry.name))
    return found


@pytest.fixture
def crash_lab() -> Iterator[Lab]:
    """A laboratory for one test, up."""
    lab = Lab(NAME)
    lab.down()
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


def kill_everything(lab: Lab) -> None:
    """SIGKILL to every process at once, as at the end of a machine session: no goodbye, no order."""

    def gone() -> tuple[bool, set[int]]:
        left = lab_group(lab.name).all_members()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left, left

    wait_until("every process is gone", gone, seconds=20, every_s=0.02)


def works(lab: Lab) -> bool:
    """Whether nodes and DNS are there."""
    resolved = subprocess.run(
        lab.client_argv("getent", "hosts", "kubernetes.default.svc.cluster.local"),
        capture_output=True,
        check=False,
    )
    return resolved.returncode == 0 and all(h.ready for h in lab.status().hosts if h.name in lab.nodes)


@pytest.mark.gate
def test_down_leaves_nothing_and_up_works_at_once() -> None:
    lab = Lab(NAME)
    before = cleared(lab)
    try:
        lab.up()
        session = subprocess.Popen(lab.client_argv("sleep", "1000"))
        by_hand = subprocess.Popen([*lab.host("node1").enter_argv("net"), "--", "sleep", "1000"])
        forward = subprocess.Popen(
            lab.tool_argv("kubectl", ["get", "pods", "-A", "--watch"]), stdout=subprocess.DEVNULL
        )
        lab.faults.freeze("node2")
        lab.faults.cut("node3")
    finally:
        lab.down()
    assert [process.wait(timeout=5) for process in (session, by_hand)] == [-9, -9]
    # Where the API server goes a moment before it, kubectl ends by itself: the watch is over.
    assert forward.wait(timeout=5) in (-9, 0, 1)
    wait_same(before)
    with pytest.raises(NotUp):
        lab.kubectl("get", "nodes")


@pytest.mark.slow
def test_up_works_again_after_every_process_was_killed(crash_lab: Lab) -> None:
    crash_lab.faults.freeze("node3")
    crash_lab.faults.heal()
    kill_everything(crash_lab)
    assert not crash_lab.is_up
    assert crash_lab.layout.root.exists()
    crash_lab.up()
    assert works(crash_lab)


@pytest.mark.slow
def test_up_works_again_when_only_files_are_left(crash_lab: Lab) -> None:
    kill_everything(crash_lab)
    lab_group(NAME).remove()  # a machine that was started again has no groups, but its disk
    crash_lab.up()
    assert works(crash_lab)


@pytest.mark.slow
@pytest.mark.parametrize("host", ["control", "client", "node2"])
def test_one_host_that_crashed_is_no_reason_to_fail(crash_lab: Lab, host: str) -> None:
    os.kill(crash_lab.host(host).require_pid(), signal.SIGKILL)
    wait_until("it is dead", lambda: (crash_lab.host(host).pid is None, crash_lab.host(host).pid), seconds=10)
    if host == "node2":  # a node may be off: that is a fault like another, and healed like it
        assert crash_lab.faults.heal() == ["node2 was off"]
        wait_until(
            "it is Ready", lambda: (works(crash_lab), crash_lab.status().lines()), seconds=60, every_s=0.3
        )
    else:
        assert not crash_lab.is_up
        crash_lab.up()
        assert works(crash_lab)


@pytest.mark.slow
def test_an_up_that_was_killed_half_way_is_in_nobodys_way() -> None:
    lab = Lab(NAME)
    before = cleared(lab)
    argv = ["python3", "-m", "lab", "--name", NAME, "up"]
    with subprocess.Popen(argv, cwd=project_dir(), stderr=subprocess.PIPE, text=True) as coming:
        wait_until("a node boots", lambda: (lab.host("node1").pid is not None, None), seconds=60)
        coming.kill()
    assert not lab.is_up
    try:
        lab.up()
        assert works(lab)
    finally:
        lab.down()
    wait_same(before)


@pytest.mark.slow
def test_two_laboratories_stand_side_by_side_and_know_nothing_of_each_other(crash_lab: Lab) -> None:
    second = Lab(f"{NAME}-2")
    second.down()
    try:
        second.up()
        crash_lab.kubectl("create", "namespace", "only-here")
        assert second.kubectl("get", "namespace", "only-here", check=False).returncode != 0
        with second.faults.power_off("node1"), second.faults.dns_off():
            assert works(crash_lab)
            assert crash_lab.faults.active() == []
    finally:
        second.down()
    assert works(crash_lab)


@pytest.mark.slow
def test_a_cache_on_another_file_system_is_copied_instead_of_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab import imagestore

    shared = Path("/dev/shm") / NAME
    template = shared / "root"
    (template / "metadata").mkdir(parents=True)
    (template / "metadata" / "meta.db").write_text("database")
    try:
        imagestore.clone(template, tmp_path / "clone")
    finally:
        shutil.rmtree(shared)
    assert (tmp_path / "clone" / "metadata" / "meta.db").read_text() == "database"
