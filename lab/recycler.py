"""Keeps a PersistentVolume for every volume of the laboratory, and wipes those whose claim was deleted.

Run by the laboratory as `python -m lab.recycler <name>` in the client host's network. It is level-triggered: every
pass lists what is there, makes what is missing, and takes every volume that is Released (with reclaim policy
Delete) through wipe, delete and create; a watch only says when to look again. A volume whose node is off waits.
"""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Callable

from lab.api import ApiClient, ApiError, Json
from lab.errors import LabError
from lab.hosts import Host
from lab.layout import Layout
from lab.pki import RECYCLER
from lab.shell import run, wait_until
from lab.volumes import PROVISIONED_BY, PROVISIONER, Volume, all_volumes, persistent_volume

PATH = "/api/v1/persistentvolumes"
IDLE_S, RETRY_S = 60, 2
DELETE_DEADLINE_S = 15.0
# Only ever below a mount point of the node's own mount namespace; lost+found belongs to the file system.
_WIPE = """
mountpoint -q "$1" || { echo "$1 is not mounted" >&2; exit 1; }
find "$1" -xdev -mindepth 1 ! -path "$1/lost+found" -delete && chown 0:0 "$1" && chmod 755 "$1" && fstrim "$1"
"""


def is_ours(pv: Json) -> bool:
    """Whether the volume was made by this module."""
    annotations = pv["metadata"].get("annotations") or {}
    return bool(annotations.get(PROVISIONED_BY) == PROVISIONER)


def is_released(pv: Json) -> bool:
    """Whether the volume's claim is gone and it is to be used again."""
    policy = pv["spec"].get("persistentVolumeReclaimPolicy")
    return is_ours(pv) and policy == "Delete" and pv.get("status", {}).get("phase") == "Released"


def todo(items: list[Json], wanted: tuple[Volume, ...]) -> list[Volume]:
    """The volumes that are to be wiped and made: those without an object and those that are released."""
    present = {pv["metadata"]["name"]: pv for pv in items}
    return [v for v in wanted if v.name not in present or is_released(present[v.name])]


def wipe(lab: Layout, volume: Volume) -> None:
    """Remove everything on the volume and give its blocks back; raises LabError when the node is off."""
    host = Host(lab.name, volume.node)
    run([*host.enter_argv("mnt"), "sh", "-c", _WIPE, "sh", volume.path])


class Recycler:
    """One pass after another over the volumes of a laboratory; `wiper` empties one volume."""

    def __init__(
        self, client: ApiClient, *, wanted: tuple[Volume, ...], wiper: Callable[[Volume], None]
    ) -> None:
        self._client, self._wanted, self._wiper = client, wanted, wiper

    def renew(self, volume: Volume) -> None:
        """Wipe a volume and offer it as new. Interrupted at any point, the next pass does the rest."""
        self._wiper(volume)
        path = f"{PATH}/{volume.name}"
        try:
            self._client.request("DELETE", path)
            wait_until(f"{volume.name} is deleted", lambda: self._absent(path), seconds=DELETE_DEADLINE_S)
        except ApiError as error:
            if error.status != http.client.NOT_FOUND:
                raise
        self._client.request("POST", PATH, body=persistent_volume(volume))

    def _absent(self, path: str) -> tuple[bool, str]:
        try:
            return False, str(self._client.request("GET", path)["metadata"].get("finalizers"))
        except ApiError as error:
            if error.status == http.client.NOT_FOUND:
                return True, "gone"
            raise

    def run_pass(self) -> tuple[str, bool]:
        """Renew what is to be renewed; returns the list's resourceVersion and whether nothing was left undone."""
        answer = self._client.request("GET", PATH)
        complete = True
        for volume in todo(answer["items"], self._wanted):
            try:
                self.renew(volume)
                log(f"{volume.name} is wiped and available")
            except LabError as error:
                complete = False
                log(f"{volume.name} stays as it is for now: {error}")
        return str(answer["metadata"]["resourceVersion"]), complete

    def wait_for_work(self, version: str, *, seconds: int) -> None:
        """Return when a volume is released or deleted, or after `seconds`."""
        for event in self._client.watch(PATH, version=version, seconds=seconds):
            if event["type"] in ("DELETED", "ERROR") or is_released(event["object"]):
                return


def log(text: str) -> None:
    """One line with the time, to standard output."""
    print(time.strftime("%FT%T"), text, flush=True)


def main(name: str) -> None:
    """Run for ever."""
    lab = Layout(name)
    client = ApiClient(lab.pki, RECYCLER)
    recycler = Recycler(client, wanted=all_volumes(), wiper=lambda volume: wipe(lab, volume))
    while True:
        try:
            version, complete = recycler.run_pass()
            recycler.wait_for_work(version, seconds=IDLE_S if complete else RETRY_S)
        except (LabError, OSError, http.client.HTTPException, ValueError) as error:
            log(f"the API server is out of reach or refuses: {error}")
            time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])
