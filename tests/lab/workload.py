"""Three plain Redis pods, one on each node, under the strictest Pod Security: what faults are tried on."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from lab import Lab
from lab.shell import wait_until

NAMESPACE = "workload"
NAME, PORT, REPLICAS = "store", 6379, 3
LABELS = {"app": NAME}
IMAGE = "redis:7-alpine"
READY_DEADLINE_S = 90
CLIENT_TIMEOUT_S = "2"


def manifest(namespace: str, *, size: str = "8Gi") -> dict[str, Any]:
    """A namespace that enforces Pod Security `restricted`, a StatefulSet, a Service and a headless Service."""
    container = {
        "name": "redis",
        "image": IMAGE,
        "command": ["redis-server", "--dir", "/data", "--appendonly", "yes", "--protected-mode", "no"],
        "readinessProbe": {"exec": {"command": ["redis-cli", "ping"]}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": LABELS},
    }
    security = {"runAsNonRoot": True, "runAsUser": 999, "runAsGroup": 1000, "fsGroup": 1000}
    pod = {
        "terminationGracePeriodSeconds": 1,
        "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}},
        "topologySpreadConstraints": [spread],
        "containers": [container],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }
    stateful_set = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "replicas": REPLICAS,
            "podManagementPolicy": "Parallel",
            "serviceName": f"{NAME}-nodes",
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
            "volumeClaimTemplates": [claim],
        },
    }
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    items = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}},
        _service(namespace, NAME, {}),
        _service(namespace, f"{NAME}-nodes", {"clusterIP": "None", "publishNotReadyAddresses": True}),
        stateful_set,
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _service(namespace: str, name: str, more: dict[str, Any]) -> dict[str, Any]:
    spec = {"selector": LABELS, "ports": [{"port": PORT}], **more}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


class Redis:
    """The pods in one namespace of a laboratory, spoken to from its client host."""

    def __init__(self, lab: Lab, namespace: str) -> None:
        self.lab, self.namespace = lab, namespace

    def pods(self) -> list[dict[str, Any]]:
        """The pods as the API shows them, by ordinal."""
        answer = self.lab.kubectl("get", "pods", "-n", self.namespace, "-l", f"app={NAME}", "-o", "json")
        items: list[dict[str, Any]] = json.loads(answer.stdout)["items"]
        return sorted(items, key=lambda pod: str(pod["metadata"]["name"]))

    def pod_on(self, node: str) -> str:
        """The name of the pod on a node."""
        return next(
            str(pod["metadata"]["name"]) for pod in self.pods() if pod["spec"].get("nodeName") == node
        )

    def node_of(self, pod: str) -> str:
        """The node of a pod."""
        return next(str(each["spec"]["nodeName"]) for each in self.pods() if each["metadata"]["name"] == pod)

    def address(self, pod: str) -> str:
        """The address of a pod; empty while it has none."""
        return next(
            str(each["status"].get("podIP", "")) for each in self.pods() if each["metadata"]["name"] == pod
        )

    def restarts(self, pod: str) -> int:
        """How often the pod's container was started again."""
        found = next(each for each in self.pods() if each["metadata"]["name"] == pod)
        return int(found["status"]["containerStatuses"][0]["restartCount"])

    def wait_ready(self) -> None:
        """Until every pod is ready, on as many nodes."""

        def probe() -> tuple[bool, str]:
            pods = self.pods()
            ready = [pod["metadata"]["name"] for pod in pods if _is_ready(pod)]
            nodes = {pod["spec"].get("nodeName") for pod in pods}
            return len(ready) == len(nodes) == REPLICAS, f"ready: {ready}, nodes: {nodes}"

        wait_until("every pod is ready", probe, seconds=READY_DEADLINE_S, every_s=0.3)

    def ask(self, host: str, *command: str) -> subprocess.CompletedProcess[str]:
        """redis-cli from the client host, ended after 2 s without an answer."""
        argv = self.lab.client_argv("timeout", CLIENT_TIMEOUT_S, "redis-cli", "-h", host, *command)
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def ask_from(self, pod: str, host: str, *command: str) -> subprocess.CompletedProcess[str]:
        """redis-cli from inside another pod, ended after 2 s without an answer."""
        words = ("timeout", CLIENT_TIMEOUT_S, "redis-cli", "-h", host, *command)
        return self.lab.kubectl("exec", "-n", self.namespace, pod, "--", *words, check=False)

    def answers(self, host: str) -> bool:
        """Whether a Redis answers the client host."""
        return self.ask(host, "ping").stdout == "PONG\n"

    def wait_answer(self, host: str, *, expected: bool = True) -> None:
        """Until a Redis answers, or does so no longer."""

        def probe() -> tuple[bool, str]:
            done = self.ask(host, "ping")
            return (done.stdout == "PONG\n") is expected, done.stdout + done.stderr

        wait_until(f"{host} {'answers' if expected else 'is silent'}", probe, seconds=20, every_s=0.2)


def _is_ready(pod: dict[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
