"""Fixtures of the start gate's tests: both shells, groups of pods that end with the test, and their logs on failure."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.component.gate.groups import Group
from tests.component.gate.pods import REDIS_PORT, Shell

_counter = itertools.count()


@pytest.fixture(scope="session", params=[pytest.param("dash", marks=pytest.mark.slow), "busybox"])
def shell(request: pytest.FixtureRequest) -> Iterator[Shell]:
    """dash with Debian's tools, or BusyBox with nothing but BusyBox, as in an Alpine image (the one in the gate)."""
    if request.param == "dash":
        yield Shell("dash", ("/usr/bin/dash",), "/usr/bin:/bin")
        return
    # Not below pytest's own directory: a pod of another user has to be able to read it.
    tools = Path(tempfile.mkdtemp(prefix="gate-busybox-"))
    tools.chmod(0o755)
    busybox = shutil.which("busybox")
    assert busybox, "the package busybox-static is missing"
    for applet in subprocess.run(
        [busybox, "--list"], check=True, capture_output=True, text=True
    ).stdout.split():
        (tools / applet).symlink_to(busybox)
    for program in ("redis-server", "redis-cli"):
        found = shutil.which(program)
        assert found, f"{program} is missing: the package redis-server has it"
        (tools / program).symlink_to(found)
    yield Shell("busybox", (str(tools / "sh"),), str(tools))
    shutil.rmtree(tools)


@pytest.fixture(scope="session")
def network() -> Iterator[str]:
    """The first three parts of addresses on loopback that no other run of these tests uses at the same time."""
    for number in itertools.count(os.getpid()):
        prefix = f"127.{64 + number // 250 % 64}.{number % 250 + 1}"
        with socket.socket() as reserved:
            with contextlib.suppress(OSError):
                reserved.bind((f"{prefix}.254", REDIS_PORT))
                yield prefix
                return


@pytest.fixture
def new_group(shell: Shell, network: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Group]]:
    """Makes groups whose pods all end with the test; after a failure their logs are printed."""
    groups: list[Group] = []

    def make(**sizes: int) -> Group:
        # Unix socket paths are short (108 bytes), so the pods do not live in pytest's deep directories.
        root = Path("/tmp") / f"gate-{os.getpid()}-{next(_counter)}"
        groups.append(Group(root, shell, network, **sizes))
        return groups[-1]

    yield make
    failed = getattr(request.node, "failed", False)
    for group in groups:
        group.end()
        if failed:
            for pod in group.pods:
                print(f"----- {pod.name} {pod.address}: {pod.state()}\n{pod.log()[-6000:]}")
        shutil.rmtree(group.root, ignore_errors=True)


@pytest.fixture
def group(new_group: Callable[..., Group]) -> Group:
    """One master, two replicas, three sentinels: none of them started yet."""
    return new_group()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tells the fixtures whether the test has failed."""
    outcome: Any = yield
    report: pytest.TestReport = outcome.get_result()
    if report.when == "call" and report.failed:
        item.failed = True  # type: ignore[attr-defined]
