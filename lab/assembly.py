"""Bringing a laboratory up: everything that `lab up` does, in order.

What takes long runs side by side: while the API server starts, the nodes' disks are made and their containerds
start; kubelets wait for the API server. Progress and times go to standard error.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import addons, cgroups, control, imagestore, machine, network, node, paths, removal, volumes
from lab.cgroups import lab_group
from lab.errors import LabError, WaitTimeout
from lab.hosts import CLIENT, CONTROL, NODES, Boot, joined, spawn_detached
from lab.imagestore import ImageLike
from lab.layout import Layout
from lab.shell import run, wait_until

if TYPE_CHECKING:
    from lab.cluster import Lab

API_DEADLINE_S, NODES_DEADLINE_S, DNS_DEADLINE_S = 60, 90, 60
RECYCLER, SESSIONS = "recycler", "sessions"


@dataclass(frozen=True)
class Parts:
    """What a laboratory is made of: binaries by name, and image archives."""

    binaries: Mapping[str, Path]
    images: Sequence[ImageLike]

    def tag(self, name: str) -> str:
        """The first tag of an image; raises LabError where there is no such image."""
        for image in self.images:
            if image.name == name:
                return image.tags[0]
        raise LabError(f"there is no image {name!r} among those that were built")


def parts() -> Parts:
    """Tools and images, built as far as they are missing."""
    # Imported here: these modules are needed by `up` only, and a broken recipe must not break `down`.
    from lab import images, tools

    tools.tools()
    binaries = {name: tools.tool(name) for entry in tools.TOOLS for name in entry.binaries}
    return Parts(binaries, images.images())


def up(lab: Lab) -> None:
    """Bring up `lab`; see `Lab.up`."""
    from lab import packages

    machine.check_root()
    removal.refuse_from_inside(lab.name)
    packages.install_missing()
    machine.check()
    made = parts()
    template = imagestore.template(made.images)
    with removal.exclusive(lab.name):
        if lab.is_up:  # another process was faster
            return
        started = time.monotonic()
        removal.wipe(lab.name)
        machine.make_room_for_watchers()
        _assemble(lab, made, template)
        print(
            f"the laboratory {lab.name!r} is up, {time.monotonic() - started:.1f} s",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def _step(text: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"  {text}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


def _assemble(lab: Lab, made: Parts, template: Path) -> None:
    layout = lab.layout
    layout.root.mkdir(mode=0o755)
    _link_binaries(layout, made.binaries)
    for folder in (layout.faults, layout.root / "kube", layout.root / "helm"):
        folder.mkdir()
    (lab_group(lab.name) / SESSIONS).create((cgroups.REGISTER,))
    layout.pki.create()
    control.write_files(layout)
    plane = boot(lab, CONTROL)
    network.make_bridge(plane.host)
    node.write_client_files(layout)
    client = boot(lab, CLIENT)
    network.connect(client.host, plane.host)
    with ThreadPoolExecutor(max_workers=len(NODES)) as pool:
        booting = [pool.submit(_prepare_node, lab, name, made=made, template=template) for name in NODES]
        with _step("API server"):
            wait_until(
                "the API server is ready", lambda: _api_ready(lab), seconds=API_DEADLINE_S, every_s=0.2
            )
        plane.go()
        nodes = [future.result() for future in booting]
    for each in (*nodes, client):
        each.go()
    with _step("cluster objects"):
        lab.kubectl(
            "create",
            "--validate=false",
            "-f",
            "-",
            input=json.dumps(addons.objects(dns_image=made.tag("coredns"))),
        )
    _start_recycler(lab)
    _wait_whole(lab)
    removal.record_devices(layout)
    images = {image.name: image.digest for image in made.images}
    write_marker(layout, {"started": time.strftime("%FT%T%z"), "images": images})


def write_marker(layout: Layout, state: dict[str, Any]) -> None:
    """Say that the laboratory is whole (or whole with other images); appears at once and complete."""
    new = layout.marker.with_suffix(".new")
    new.write_text(json.dumps(state, indent=1))
    new.rename(layout.marker)


def _link_binaries(layout: Layout, binaries: Mapping[str, Path]) -> None:
    # Links (copies where the cache is on another file system): the nodes do not see every place of the machine, and
    # a laboratory that runs keeps its binaries when newer ones are built.
    layout.bin.mkdir()
    for name, source in binaries.items():
        target = layout.bin / name
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copy2(source, target)


def boot(lab: Lab, host: str) -> Boot:
    """Start a host's pid 1; its files must be there."""
    home = lab.layout.host(host)
    environment = {"LAB_HOME": str(home), "LAB_ROOT": str(paths.state_root())}
    return lab.host(host).boot(environment=environment, log=home / "log" / "init.log")


def boot_node(lab: Lab, name: str) -> Boot:
    """Start a node that has its files, and plug in its cable."""
    booted = boot(lab, name)
    network.connect(booted.host, lab.host(CONTROL))
    return booted


def _prepare_node(lab: Lab, name: str, *, made: Parts, template: Path) -> Boot:
    node.write_node_files(lab.layout, name, pause_image=made.tag("pause"))
    disk = lab.layout.node_disk(name)
    imagestore.clone(template, disk / "containerd")
    volumes.make_disks(lab.layout, name)
    return boot_node(lab, name)


def _api_ready(lab: Lab) -> tuple[bool, str]:
    done = lab.kubectl("get", "--raw", "/readyz", "--request-timeout=2s", check=False)
    log = lab.layout.log(CONTROL, "apiserver")
    return done.stdout == "ok", (done.stdout + done.stderr).strip() + f" (log: {log})"


def _start_recycler(lab: Lab) -> None:
    group = lab_group(lab.name) / RECYCLER
    group.create((cgroups.REGISTER,))
    forever = 'while :; do "$@"; sleep 1; done'
    python = [sys.executable, "-m", "lab.recycler", lab.name]
    argv = [*lab.host(CLIENT).enter_argv("net"), "--", "sh", "-c", forever, "sh", *python]
    spawn_detached(
        joined([group.folder()], argv),
        environment={"PYTHONPATH": str(paths.project_dir()), "PYTHONDONTWRITEBYTECODE": "1"},
        log=lab.layout.log(CLIENT, RECYCLER),
    )


def _wait_whole(lab: Lab) -> None:
    with _step("nodes"):
        try:
            wait_until(
                "three nodes are Ready", lambda: _nodes_ready(lab), seconds=NODES_DEADLINE_S, every_s=0.2
            )
        except WaitTimeout as error:
            raise LabError(
                f"{error}; logs are in {lab.layout.host(NODES[0]) / 'log'} and beside it"
            ) from error
    with _step("DNS and volumes"):
        wait_until("the cluster is complete", lambda: _complete(lab), seconds=DNS_DEADLINE_S, every_s=0.2)


def _nodes_ready(lab: Lab) -> tuple[bool, str]:
    seen = lab.kubectl("get", "nodes", "--no-headers", check=False).stdout
    return seen.count(" Ready") == len(NODES), " ".join(seen.split()) or "no nodes"


def _complete(lab: Lab) -> tuple[bool, str]:
    what = "jsonpath={.status.readyReplicas}"
    dns = lab.kubectl("get", "deployment", "coredns", "-n", addons.SYSTEM, "-o", what, check=False).stdout
    present = len(lab.kubectl("get", "pv", "-o", "name", check=False).stdout.split())
    wanted = len(volumes.all_volumes())
    name = f"kubernetes.default.svc.{node.CLUSTER_DOMAIN}"
    resolved = run(lab.in_client_argv(["getent", "ahostsv4", name]), check=False).returncode == 0
    done = dns == str(addons.DNS_REPLICAS) and present >= wanted and resolved
    seen = f"DNS pods ready: {dns or 0} of {addons.DNS_REPLICAS}, volumes: {present} of {wanted}"
    return done, f"{seen}, the client resolves names: {resolved}"
