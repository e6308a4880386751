"""The files of one running laboratory, all below `paths.state_dir(name)`.

up.json            written last by `up`: while it is there, the laboratory is whole
bin/               the cluster's binaries, as links
pki/               keys, certificates, kubeconfigs
kube/, helm/       caches of kubectl and helm
audit/audit.log    the API server's audit log
faults/            faults that are active and need an undo, one JSON file each
<host>/            NAME.argv, configuration files, log/; nodes also lib/ (their /var/lib)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab import paths
from lab.pki import ADMIN, Pki


@dataclass(frozen=True)
class Layout:
    """Paths of the laboratory `name`."""

    name: str

    @property
    def root(self) -> Path:
        """The laboratory's folder."""
        return paths.state_dir(self.name)

    @property
    def marker(self) -> Path:
        """There while the laboratory is whole."""
        return self.root / "up.json"

    @property
    def bin(self) -> Path:
        """The cluster's binaries."""
        return self.root / "bin"

    @property
    def pki(self) -> Pki:
        """Keys and kubeconfigs."""
        return Pki(self.root / "pki")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.pki.kubeconfig(ADMIN)

    @property
    def audit_log(self) -> Path:
        """The API server's audit log."""
        return self.root / "audit" / "audit.log"

    @property
    def faults(self) -> Path:
        """Records of active faults."""
        return self.root / "faults"

    def host(self, host: str) -> Path:
        """The folder of a host."""
        return self.root / host

    def node_disk(self, node: str) -> Path:
        """What the node sees as /var/lib."""
        return self.host(node) / "lib"

    def log(self, host: str, service: str) -> Path:
        """The log of a host's service, e.g. ("node1", "kubelet")."""
        return self.host(host) / "log" / f"{service}.log"


def write_argv(folder: Path, service: str, argv: list[str]) -> None:
    """Write a service's command where the init script looks for it: one argument a line."""
    assert not any("\n" in part for part in argv), argv
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log").mkdir(exist_ok=True)
    (folder / f"{service}.argv").write_text("\n".join(argv) + "\n")
