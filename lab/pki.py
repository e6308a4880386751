"""Certificates and kubeconfigs of one laboratory, made fresh by `lab up` with openssl and removed by `lab down`."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab import network
from lab.hosts import CONTROL, NODES
from lab.shell import Argument, run

DAYS = "365"
CLUSTER = "contex-lab"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS)


@dataclass(frozen=True)
class Leaf:
    """One certificate: `subject` in openssl's form, `names` as subjectAltName entries, `usage` as extendedKeyUsage."""

    name: str
    subject: str
    names: tuple[str, ...] = ()
    usage: str = "clientAuth"


API_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
ADMIN, CONTROLLERS, SCHEDULER, PROXY, RECYCLER = "admin", "controllers", "scheduler", "proxy", "recycler"
USERS = (ADMIN, CONTROLLERS, SCHEDULER, PROXY, RECYCLER, *NODES)
BOTH = "serverAuth,clientAuth"


def leaves() -> tuple[Leaf, ...]:
    """All certificates of a laboratory."""
    addresses = ("127.0.0.1", network.ADDRESSES[CONTROL], network.API_SERVICE)
    api = (*(f"IP:{a}" for a in addresses), *(f"DNS:{n}" for n in API_NAMES))
    nodes = (
        Leaf(n, f"/O=system:nodes/CN=system:node:{n}", (f"IP:{network.ADDRESSES[n]}", f"DNS:{n}"), BOTH)
        for n in NODES
    )
    return (
        Leaf("apiserver", "/CN=kube-apiserver", api, BOTH),
        Leaf("kubelet-client", "/O=system:masters/CN=apiserver-kubelet-client"),
        Leaf("front-proxy", "/CN=front-proxy"),
        Leaf(ADMIN, "/O=system:masters/CN=admin"),
        Leaf(CONTROLLERS, "/CN=system:kube-controller-manager"),
        Leaf(SCHEDULER, "/CN=system:kube-scheduler"),
        Leaf(PROXY, "/CN=system:kube-proxy"),
        Leaf(RECYCLER, f"/CN={CLUSTER}-recycler"),
        *nodes,
    )


class Pki:
    """The folder with the laboratory's keys; readable by root only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, file: str) -> Path:
        """A file of the folder, e.g. `ca.crt`, `node1.key`."""
        return self.folder / file

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of a user (one of USERS)."""
        return self.folder / f"{user}.kubeconfig"

    def create(self) -> None:
        """Make the CA, all certificates, the service account keys and the kubeconfigs."""
        self.folder.mkdir(parents=True, mode=0o700)
        self._authority()
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(self._leaf, leaves()))
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path("sa.key")])
        run(["openssl", "ec", "-in", self.path("sa.key"), "-pubout", "-out", self.path("sa.pub")])
        for user in USERS:
            self.kubeconfig(user).write_text(json.dumps(self._kubeconfig(user), indent=1))

    def _config(self, name: str, extensions: list[str]) -> Path:
        text = (
            "[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n[ext]\n" + "\n".join(extensions) + "\n"
        )
        path = self.path(f"{name}.cnf")
        path.write_text(text)
        return path

    def _authority(self) -> None:
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        config = self._config("ca", [*extensions, "subjectKeyIdentifier=hash"])
        argv: list[Argument] = [
            "openssl",
            "req",
            "-x509",
            *_NEW_KEY,
            "-config",
            config,
            "-subj",
            f"/CN={CLUSTER}-ca",
        ]
        run([*argv, "-keyout", self.path("ca.key"), "-out", self.path("ca.crt")])

    def _leaf(self, leaf: Leaf) -> None:
        extensions = ["basicConstraints=critical,CA:FALSE", f"extendedKeyUsage={leaf.usage}"]
        if leaf.names:
            extensions.append("subjectAltName=" + ",".join(leaf.names))
        argv: list[Argument] = [
            "openssl",
            "req",
            "-x509",
            *_NEW_KEY,
            "-config",
            self._config(leaf.name, extensions),
        ]
        argv += ["-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"), "-subj", leaf.subject]
        run([*argv, "-keyout", self.path(f"{leaf.name}.key"), "-out", self.path(f"{leaf.name}.crt")])

    def _data(self, file: str) -> str:
        return base64.b64encode(self.path(file).read_bytes()).decode()

    def _kubeconfig(self, user: str) -> dict[str, object]:
        server = f"https://{network.ADDRESSES[CONTROL]}:{network.API_PORT}"
        cluster = {"server": server, "certificate-authority-data": self._data("ca.crt")}
        keys = {
            "client-certificate-data": self._data(f"{user}.crt"),
            "client-key-data": self._data(f"{user}.key"),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": CLUSTER,
            "clusters": [{"name": CLUSTER, "cluster": cluster}],
            "users": [{"name": user, "user": keys}],
            "contexts": [{"name": CLUSTER, "context": {"cluster": CLUSTER, "user": user}}],
        }
