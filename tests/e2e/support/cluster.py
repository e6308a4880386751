"""The cluster under test: the laboratory, or another one whose context was named by whoever started the
tests.

Tests run where Services and pods are reachable: `python -m lab run -- pytest tests/e2e …`, or, with
LAB=none and KUBE_CONTEXT, inside or beside that other cluster.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import Lab, LabError
from tests.e2e.support.api import ApiFailed, Reader
from tests.e2e.support.api import Json as Json
from tests.workload import killing

_TIMEOUT_S = 120.0


class NoCluster(Exception):
    """There is no cluster that the tests may use; one sentence says what to do."""


class KubectlFailed(Exception):
    """kubectl or helm ended with an error, or the API refused a read; the message is what was said."""


@dataclass(frozen=True)
class Cluster:
    """One cluster: its API to read, kubectl and helm for the rest. `lab` is the laboratory, or None where it is
    another cluster."""

    lab: Lab | None
    context: str | None = None

    def kubectl(self, *words: str, stdin: str | None = None, timeout_s: float = _TIMEOUT_S) -> str:
        """Run kubectl and return what it printed. Raises KubectlFailed."""
        return _run(self.argv("kubectl", *words), stdin=stdin, timeout_s=timeout_s)

    def helm(self, *words: str, timeout_s: float = _TIMEOUT_S, binary: str = "helm") -> str:
        """Run helm (or helm4) and return what it printed. Raises KubectlFailed."""
        return _run(self.argv(binary, *words), stdin=None, timeout_s=timeout_s)

    def argv(self, tool: str, *words: str) -> list[str]:
        """The command line of kubectl or helm.

        The cluster is always said: a person's own kubeconfig, which may lead anywhere, is never used by default.
        """
        if self.lab is not None:
            return [tool, "--kubeconfig", str(self.lab.kubeconfig), *words]
        return [tool, "--context" if tool == "kubectl" else "--kube-context", str(self.context), *words]

    def get(self, kind: str, name: str, namespace: str | None = None) -> Json:
        """One object. Raises KubectlFailed, also when it is not there (see `find`)."""
        found = self.find(kind, name, namespace)
        if found is None:
            raise KubectlFailed(f"there is no {kind} {name} in {namespace or 'the cluster'}")
        return found

    def find(self, kind: str, name: str, namespace: str | None = None) -> Json | None:
        """One object, or None when it is not there. Raises KubectlFailed for other errors."""
        try:
            return self._reader().get(kind, name, namespace, timeout_s=_TIMEOUT_S)
        except ApiFailed as error:
            raise KubectlFailed(str(error)) from error

    def items(self, kind: str, namespace: str | None = None, *, labels: str | None = None) -> list[Json]:
        """Objects of a kind, optionally those that a label selector selects. Raises KubectlFailed."""
        try:
            return self._reader().items(kind, namespace, labels=labels, timeout_s=_TIMEOUT_S)
        except ApiFailed as error:
            raise KubectlFailed(str(error)) from error

    def _reader(self) -> Reader:
        return _reader(str(self.lab.kubeconfig) if self.lab is not None else None, self.context)

    def kill_redis(self, namespace: str, pod: str) -> None:
        """SIGKILL to the Redis server in a pod. Raises KubectlFailed, LabError."""
        if self.lab is not None:
            self.lab.faults.kill(namespace, pod, "redis-server")
        else:
            self.kubectl(*killing.words(namespace, pod))

    def apply(self, *objects: Json, namespace: str | None = None) -> None:
        """kubectl apply. Raises KubectlFailed with the API server's sentence."""
        body = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", *_in(namespace), "-f", "-", stdin=json.dumps(body))

    def patch(self, kind: str, name: str, change: Json, *, namespace: str | None = None) -> None:
        """A merge patch. Raises KubectlFailed."""
        words = ("patch", kind, name, *_in(namespace), "--type", "merge", "-p", json.dumps(change))
        self.kubectl(*words)


def connect(env: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that the environment names. Raises NoCluster."""
    if env.get("LAB") == "none":
        context = env.get("KUBE_CONTEXT")
        if not context:
            raise NoCluster(
                "LAB=none needs KUBE_CONTEXT=<name of the context>: no cluster is used that was not named"
            )
        cluster = Cluster(lab=None, context=context)
        _check_reachable(cluster)
        return cluster
    try:
        lab = Lab()
        lab.require_up()
    except LabError as error:
        raise NoCluster(f"{error}; bring it up with `python -m lab up`") from error
    # Before anything is sent: outside of the client host the laboratory's addresses are somebody else's.
    if str(Path("/proc/self/ns/net").readlink()) not in lab.host("client").namespace_ids():
        raise NoCluster(
            "this is not the laboratory's client host; run the tests there: `python -m lab run -- pytest …`"
        )
    return Cluster(lab=lab)


def _check_reachable(cluster: Cluster) -> None:
    """Tests connect to Services' addresses; from a person's desk those are usually out of reach."""
    try:
        address = cluster.get("service", "kubernetes", "default")["spec"]["clusterIP"]
        socket.create_connection((address, 443), timeout=3).close()
    except (OSError, KubectlFailed) as error:
        why = str(error).strip().splitlines()[-1]
        raise NoCluster(
            f"the cluster's Services are not reachable from here ({why}); run the tests inside the cluster or on one "
            "of its nodes"
        ) from error


@functools.lru_cache
def _reader(kubeconfig: str | None, context: str | None) -> Reader:
    return Reader(kubeconfig=kubeconfig, context=context)


def _in(namespace: str | None) -> tuple[str, ...]:
    return ("-n", namespace) if namespace else ()


def _run(argv: Sequence[str], *, stdin: str | None, timeout_s: float) -> str:
    try:
        done = subprocess.run(
            list(argv), input=stdin, text=True, capture_output=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError as error:
        raise KubectlFailed(f"{argv[0]} is not in PATH") from error
    except subprocess.TimeoutExpired as error:
        raise KubectlFailed(f"`{' '.join(argv)}` did not end within {timeout_s:g} s") from error
    if done.returncode != 0:
        raise KubectlFailed(f"`{' '.join(argv[:8])}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
