"""Finding a pod's processes and disks on its node."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cgroups import MOUNT, REGISTER, Group
from lab.errors import UsageError

if TYPE_CHECKING:
    from lab.cluster import Lab

COMM_LENGTH = 15  # what the kernel keeps of a command's name


@dataclass(frozen=True)
class Pod:
    """A pod that is placed on a node: `object` is the API's answer, `node` the node's name."""

    object: dict[str, Any]

    @property
    def name(self) -> str:
        """namespace/pod."""
        meta = self.object["metadata"]
        return f"{meta['namespace']}/{meta['name']}"

    @property
    def node(self) -> str:
        """The node that it runs on."""
        return str(self.object["spec"]["nodeName"])

    @property
    def containers(self) -> dict[str, str]:
        """Id of each container that was started, by the container's name."""
        statuses = self.object["status"].get("containerStatuses", ())
        return {s["name"]: s["containerID"].partition("://")[2] for s in statuses if s.get("containerID")}


def split(pod: str) -> tuple[str, str]:
    """("namespace", "pod") of "namespace/pod"; raises UsageError for anything else."""
    namespace, _, name = pod.partition("/")
    if not namespace or not name or "/" in name:
        raise UsageError(f"{pod!r} names no pod; write namespace/pod")
    return namespace, name


def find(lab: Lab, namespace: str, name: str) -> Pod:
    """The pod, read from the API; raises UsageError where there is none or it has no node yet."""
    lab.require_up()
    done = lab.kubectl("get", "pod", name, "-n", namespace, "-o", "json", check=False)
    if done.returncode != 0:
        raise UsageError(f"there is no pod {namespace}/{name} to be had: {done.stderr.strip()}")
    pod: dict[str, Any] = json.loads(done.stdout)
    if not pod["spec"].get("nodeName"):
        raise UsageError(f"the pod {namespace}/{name} is on no node yet")
    return Pod(pod)


def group(lab: Lab, pod: Pod, *, container: str | None = None) -> Group:
    """The control group of a pod, or of one container in it.

    Raises UsageError where the pod or the container does not run.
    """
    base = lab.node(pod.node).group
    top = base.folder() / "kubepods"
    # kubelet sorts pods by quality of service: kubepods/podUID, kubepods/burstable/podUID, kubepods/besteffort/podUID
    name = f"pod{pod.object['metadata']['uid']}"
    found = [path for path in (top / name, *top.glob(f"*/{name}")) if path.is_dir()]
    if not found:
        raise UsageError(f"the pod {pod.name} does not run on {pod.node}")
    own = Group(str(found[0].relative_to(MOUNT / REGISTER)))
    if container is None:
        return own
    if container not in pod.containers:
        raise UsageError(
            f"the pod {pod.name} has no container {container!r}; it has {', '.join(pod.containers)}"
        )
    inner = own / pod.containers[container]
    if not inner.exists:
        raise UsageError(f"the container {container} of {pod.name} does not run")
    return inner


def command_names(pid: int) -> set[str]:
    """The names that a process goes by: the kernel's, and the first word of its command line without folder.

    Empty when it has ended.
    """
    try:
        names = {Path(f"/proc/{pid}/comm").read_text().strip()}
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace").split()
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return names | ({words[0].rpartition("/")[2]} if words else set())


def parent(pid: int) -> int:
    """The parent's pid; 0 when the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def processes(lab: Lab, pod: Pod, *, command: str | None = None, container: str | None = None) -> list[int]:
    """Pids (of this machine) in the pod's containers: those of `command`, or all but the pause container's.

    Raises UsageError where there is none.
    """
    chosen = [container] if container else list(pod.containers)
    pids = [
        pid
        for name in chosen
        for pid in _members_or_none(lab, pod, name)
        if _matches(command_names(pid), command)
    ]
    if not pids:
        what = f"no process {command!r}" if command else "no process"
        raise UsageError(f"{what} runs in the pod {pod.name}")
    return sorted(pids)


def _members_or_none(lab: Lab, pod: Pod, container: str) -> list[int]:
    try:
        return group(lab, pod, container=container).members()
    except UsageError:
        return []


def _matches(names: set[str], command: str | None) -> bool:
    return bool(names) and (command is None or command in names or command[:COMM_LENGTH] in names)
