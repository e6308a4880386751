"""A real etcd and kube-apiserver on loopback, without nodes and without controllers.

Authentication, RBAC, admission, validation, server-side apply, watches and the audit log are the real ones.
What controllers do does not happen: no StatefulSet makes pods, a deleted owner leaves its children, a deleted
namespace stays Terminating. The range of ClusterIPs lies on loopback: a test can let a real process listen on
the very address that the API gave to a Service.
"""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from lab.tools import tool
from tests.component.harness.pki import Authority, Leaf
from tests.component.harness.processes import Child, free_ports, wait_until

SERVICE_RANGE = "127.100.0.0/16"
START_S = 60.0

_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


class ApiError(Exception):
    """The API server refused a request of the harness itself."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status


@dataclass(frozen=True)
class User:
    """Somebody who may ask the API server."""

    name: str
    kubeconfig: Path
    leaf: Leaf


class Cluster:
    """One API server. `kubeconfig` is the administrator's; `host` is its URL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._counter = itertools.count(1)
        self._pki = Authority(folder / "pki")
        self._children: list[Child] = []
        self.audit_log = folder / "audit.log"
        self.host = ""
        self._etcd_url = ""

    @classmethod
    def start(cls, folder: Path, *, manifests: Iterable[Path] = ()) -> Self:
        """Up and ready to be asked, with `manifests` (CRDs) applied and established."""
        cluster = cls(folder)
        try:
            cluster._start_servers()
            for path in manifests:
                cluster.apply_file(path)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def stop(self) -> None:
        for child in reversed(self._children):
            child.kill()

    # -- starting ------------------------------------------------------------------------------------------

    def _start_servers(self) -> None:
        etcd_port, peer_port, port = free_ports(3)
        self._etcd_url = f"http://127.0.0.1:{etcd_port}"
        self.host = f"https://127.0.0.1:{port}"
        self._children.append(Child(self._etcd_argv(peer_port), log=self.folder / "etcd.log"))
        argv = self._apiserver_argv(port)
        self._admin = self._new_user("admin", subject="/O=system:masters/CN=admin")
        self._children.append(Child(argv, log=self.folder / "kube-apiserver.log"))
        wait_until(self._readiness, within_s=START_S, what="the API server's readiness")

    def _etcd_argv(self, peer_port: int) -> list[str]:
        peer_url = f"http://127.0.0.1:{peer_port}"
        return [
            str(tool("etcd")),
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver_argv(self, port: int) -> list[str]:
        policy = self.folder / "audit-policy.yaml"
        policy.write_text(_AUDIT_POLICY)
        self.serving = self._pki.leaf(
            "apiserver", subject="/CN=kube-apiserver", names="IP:127.0.0.1,DNS:localhost"
        )
        tokens = self._pki.signing_key()
        return [
            str(tool("kube-apiserver")),
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={port}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--client-ca-file={self._pki.certificate}",
            f"--tls-cert-file={self.serving.certificate}",
            f"--tls-private-key-file={self.serving.key}",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={tokens.certificate}",
            f"--service-account-signing-key-file={tokens.key}",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
        ]

    def _readiness(self) -> str:
        for child in self._children:
            if not child.is_running:
                raise RuntimeError(f"{Path(child.argv[0]).name} ended while it started:\n{child.tail()}")
        try:
            status, body = self._exchange("GET", "/readyz", None, "application/json")
        except OSError as error:
            return str(error)
        return "ok" if status == 200 else body

    # -- asking --------------------------------------------------------------------------------------------

    def api(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Ask as administrator; raises ApiError for anything but success."""
        status, text = self._exchange(method, path, body, content_type)
        if not 200 <= status < 300:
            raise ApiError(status, text)
        answer: dict[str, Any] = json.loads(text)
        return answer

    def _exchange(self, method: str, path: str, body: Any, content_type: str) -> tuple[int, str]:
        address = urlsplit(self.host)
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=15, context=self.client_tls(self._admin)
        )
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": content_type})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def apply_file(self, path: Path) -> None:
        """Server-side apply every document of a manifest; a CRD is waited for until its kind is served."""
        for document in yaml.safe_load_all(path.read_text()):
            if not document:
                continue
            if document["kind"] != "CustomResourceDefinition":
                raise ValueError(
                    f"{path} holds a {document['kind']}; only definitions of kinds are applied here"
                )
            name, spec = document["metadata"]["name"], document["spec"]
            self.api(
                "PATCH",
                f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=tests&force=true",
                document,
                content_type="application/apply-patch+yaml",
            )
            for version in spec["versions"]:
                self._wait_for_kind(f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}")

    def _wait_for_kind(self, path: str) -> None:
        def is_served() -> str:
            status, body = self._exchange("GET", path, None, "application/json")
            return "ok" if status == 200 else body

        wait_until(is_served, within_s=15, what=f"{path} to be served")

    def namespace(self, name: str | None = None, *, labels: Mapping[str, str] | None = None) -> str:
        """A fresh namespace, with the ServiceAccount `default` that a controller would make."""
        name = name or f"test-{next(self._counter)}-{uuid.uuid4().hex[:6]}"
        self.api("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": dict(labels or {})}})
        self.api("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
        return name

    # -- users ---------------------------------------------------------------------------------------------

    @property
    def admin(self) -> User:
        return self._admin

    @property
    def kubeconfig(self) -> Path:
        return self._admin.kubeconfig

    def user(
        self,
        rules: Iterable[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        name: str | None = None,
    ) -> Path:
        """The kubeconfig of a new user with these RBAC `rules`, in one namespace or (None) everywhere."""
        return self.restricted(rules, namespace=namespace, name=name).kubeconfig

    def restricted(
        self,
        rules: Iterable[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        name: str | None = None,
    ) -> User:
        """As `user`, with name and certificate."""
        user = self._new_user(name or f"user-{next(self._counter)}")
        scope = "" if namespace is None else f"namespaces/{namespace}/"
        kind, roles = ("ClusterRole", "clusterroles") if namespace is None else ("Role", "roles")
        group = "rbac.authorization.k8s.io"
        path = f"/apis/{group}/v1/{scope}"
        metadata = {"name": user.name}
        self.api("POST", path + roles, {"metadata": metadata, "rules": [dict(rule) for rule in rules]})
        self.api(
            "POST",
            path + ("clusterrolebindings" if namespace is None else "rolebindings"),
            {
                "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": kind, "name": user.name},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user.name}],
            },
        )
        return user

    def token(self, namespace: str, account: str = "default", *, seconds: int = 600) -> str:
        """A real token of a ServiceAccount, as kubelet would project it."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = self.api("POST", path, {"spec": {"expirationSeconds": seconds}})
        return str(answer["status"]["token"])

    def _new_user(self, name: str, *, subject: str | None = None) -> User:
        leaf = self._pki.leaf(f"user-{name}", subject=subject or f"/CN={name}")
        return User(name, self.write_kubeconfig(name, leaf), leaf)

    def write_kubeconfig(self, name: str, leaf: Leaf, *, host: str | None = None) -> Path:
        """A kubeconfig for `leaf` at `host` (the API server itself where None)."""
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "tests",
                    "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": name}}],
                    "clusters": [
                        {
                            "name": "tests",
                            "cluster": {
                                "server": host or self.host,
                                "certificate-authority": str(self._pki.certificate),
                            },
                        }
                    ],
                    "users": [
                        {
                            "name": name,
                            "user": {
                                "client-certificate": str(leaf.certificate),
                                "client-key": str(leaf.key),
                            },
                        }
                    ],
                }
            )
        )
        return path

    @property
    def ca(self) -> Path:
        return self._pki.certificate

    def client_tls(self, user: User) -> ssl.SSLContext:
        """For a connection to the API server as `user`."""
        context = ssl.create_default_context(cafile=str(self._pki.certificate))
        context.load_cert_chain(user.leaf.certificate, user.leaf.key)
        return context

    # -- audit ---------------------------------------------------------------------------------------------

    def audit_mark(self) -> int:
        """The present end of the audit log; everything that was answered before lies in front of it."""
        return self._flushed()[1]

    def audit_since(self, mark: int, *, user: str | None = None) -> list[dict[str, Any]]:
        """What was answered since `mark`, oldest first: audit.k8s.io/v1 Events at level Metadata."""
        lines, _ = self._flushed(mark)
        return [event for event in lines if user is None or event.get("user", {}).get("username") == user]

    def _flushed(self, start: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Events from `start` up to a request of our own, which shows that earlier ones have been written."""
        token = uuid.uuid4().hex
        self.api("GET", f"/version?marker={token}")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with self.audit_log.open("rb") as file:
                file.seek(start)
                data = file.read()
            at = data.find(token.encode())
            if at >= 0 and (newline := data.find(b"\n", at)) >= 0:
                events = [json.loads(line) for line in data[:newline].splitlines()]
                return [event for event in events if token not in event["requestURI"]], start + newline + 1
            time.sleep(0.02)
        raise TimeoutError(f"the audit log {self.audit_log} did not show a request within 10 s")
