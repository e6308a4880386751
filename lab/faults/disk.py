"""fill-disk: a pod's volume is full, as far as everybody on it can tell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lab.errors import UsageError
from lab.faults import pods
from lab.faults.base import Fault
from lab.shell import run
from lab.volumes import MOUNTS

if TYPE_CHECKING:
    from lab.cluster import Lab

FILLER = ".contex-lab-filler"
# Blocks are reserved, not written: that takes no time and no space on the machine's own disk. fallocate takes what
# it gets and then complains, so its word does not count; what is left does.
_FILL = r"""
mountpoint -q "$1" || { echo "$1 is not mounted" >&2; exit 1; }
file=$1/$2
for attempt in 1 2 3 4 5 6 7 8; do
    free=$(($(df --output=avail -B1 "$1" | tail -1) - $3))
    [ "$free" -gt 65536 ] || exit 0
    fallocate --offset "$(stat -c %s "$file" 2>/dev/null || echo 0)" --length "$free" "$file" 2>/dev/null
done
echo "$free bytes are still free on $1" >&2
exit 1
"""


@dataclass(frozen=True)
class FillDisk(Fault):
    """A volume (mounted at `path` on `node`) has at most `leave_bytes` left."""

    kind: ClassVar[str] = "fill-disk"
    pod: str
    node: str
    path: str
    leave_bytes: int

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"the volume {self.path.rpartition('/')[2]} of {self.pod} is full"

    def apply(self, lab: Lab) -> None:
        """Fill."""
        lab.exec_node(self.node, "sh", "-c", _FILL, "sh", self.path, FILLER, str(self.leave_bytes))

    def revert(self, lab: Lab) -> None:
        """Free the blocks again; a node that is off is asked to be powered on first (NotUp)."""
        host = lab.node(self.node)
        run([*host.enter_argv("mnt"), "rm", "-f", f"{self.path}/{FILLER}"])


def fill_disk(lab: Lab, pod: pods.Pod, *, volume: str | None, leave_bytes: int) -> FillDisk:
    """The fault for one volume of a pod (by its name in the pod, where there are several).

    Raises UsageError where the pod has no volume of the laboratory or it is not clear which is meant.
    """
    namespace = pod.object["metadata"]["namespace"]
    claims = {
        entry["name"]: entry["persistentVolumeClaim"]["claimName"]
        for entry in pod.object["spec"].get("volumes", ())
        if "persistentVolumeClaim" in entry
    }
    if not claims:
        raise UsageError(
            f"the pod {pod.name} has no claimed volume; only those have a size that can be reached"
        )
    if volume is None and len(claims) > 1:
        raise UsageError(f"the pod {pod.name} has several volumes, name one of {', '.join(sorted(claims))}")
    chosen = volume or next(iter(claims))
    if chosen not in claims:
        raise UsageError(
            f"the pod {pod.name} has no claimed volume {chosen!r}; it has {', '.join(sorted(claims))}"
        )
    claim = json.loads(lab.kubectl("get", "pvc", claims[chosen], "-n", namespace, "-o", "json").stdout)
    bound = json.loads(lab.kubectl("get", "pv", claim["spec"]["volumeName"], "-o", "json").stdout)
    path = str(bound["spec"].get("local", {}).get("path", ""))
    if not path.startswith(f"{MOUNTS}/"):
        raise UsageError(f"the volume {chosen} of {pod.name} is none of the laboratory's")
    return FillDisk(pod=pod.name, node=pod.node, path=path, leave_bytes=leave_bytes)
