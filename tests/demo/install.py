"""The documented installation: `helm install contex ./helm/contex -f values-ha.yaml`, and all of it Ready."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contex_operator.names import LABEL_CLUSTER, Children

from tests.demo.target import DemoError, Target
from tests.workload.process import PROJECT

RELEASE: Final = "contex"
CHART: Final = PROJECT / "helm" / "contex"
VALUES: Final = PROJECT / "values-ha.yaml"
_READY_WITHIN_S: Final = 300.0


@dataclass(frozen=True)
class Installation:
    """What the demo needs to know of the release."""

    namespace: str
    resource: str  # name of the ContexRedis
    data_pods: tuple[str, ...]
    sentinel_pods: tuple[str, ...]
    addresses: dict[str, str]  # identity of each data pod -> its name
    master_name: str
    down_after_s: float
    is_new: bool
    ready_after_s: float

    @property
    def master_service(self) -> str:
        """The Service that leads to the master."""
        return Children(self.resource).master


def install(
    target: Target,
    *,
    namespace: str,
    values: Sequence[Path],
    fresh: bool,
    status: Callable[[str], None],
) -> Installation:
    """Install the release, or bring the one that is there up to date, and wait until all of it is Ready.

    `fresh` removes an old release and its namespace, volumes included, first. Raises DemoError.
    """
    if fresh:
        status("removing the old release")
        target.kubectl("delete", "namespace", namespace, "--ignore-not-found")
    # Helm installs CRDs once and never changes them; the checkout's may be newer.
    target.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
    releases = json.loads(target.run(target.argv("helm", "list", "-n", namespace, "--all", "-o", "json")))
    is_new = not any(release["name"] == RELEASE for release in releases)
    files = [word for file in (VALUES, *values) for word in ("-f", str(file))]
    began = time.monotonic()
    status("helm upgrade --install")
    words = ("upgrade", "--install", RELEASE, str(CHART), "-n", namespace, "--create-namespace", *files)
    try:
        target.run(target.argv("helm", *words))
    except DemoError as error:
        raise DemoError(f"{error}\n(--fresh removes the old release and its volumes first)") from error
    resource = _resource_name(target, namespace)
    _wait_ready(target, namespace=namespace, resource=resource, status=status)
    return _describe(
        target, namespace=namespace, resource=resource, is_new=is_new, ready_after_s=time.monotonic() - began
    )


def _resource_name(target: Target, namespace: str) -> str:
    words = (
        "get",
        "contexredis",
        "-n",
        namespace,
        "-l",
        f"app.kubernetes.io/instance={RELEASE}",
        "-o",
        "json",
    )
    items = json.loads(target.kubectl(*words))["items"]
    if len(items) != 1:
        raise DemoError(
            f"the release has {len(items)} ContexRedis resources in {namespace}; the demo needs one"
        )
    return str(items[0]["metadata"]["name"])


def _wait_ready(target: Target, *, namespace: str, resource: str, status: Callable[[str], None]) -> None:
    """Every pod of the namespace Ready, every Deployment rolled out, the ContexRedis Ready for its present
    spec.
    """
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        missing = _missing(target, namespace=namespace, resource=resource)
        if not missing:
            return
        if time.monotonic() > deadline:
            raise DemoError(f"not Ready within {_READY_WITHIN_S:g} s: {'; '.join(missing)}")
        status(f"waiting for Ready: {', '.join(missing)}")
        time.sleep(1.0)


def _missing(target: Target, *, namespace: str, resource: str) -> list[str]:
    words = ("get", "contexredis,pods,deployments", "-n", namespace, "-o", "json")
    missing = []
    for item in json.loads(target.kubectl(*words))["items"]:
        kind, name, state = item["kind"], item["metadata"]["name"], item.get("status", {})
        ready = {c["type"]: c for c in state.get("conditions", ())}.get("Ready", {})
        is_current = state.get("observedGeneration") == item["metadata"].get("generation")
        if kind == "ContexRedis" and name == resource and not (ready.get("status") == "True" and is_current):
            missing.append(f"ContexRedis ({state.get('phase', 'no status yet')})")
        elif kind == "Pod" and state.get("phase") != "Succeeded" and ready.get("status") != "True":
            missing.append(name)
        elif kind == "Deployment":
            wanted = item["spec"]["replicas"]
            if not is_current or state.get("updatedReplicas") != wanted or state.get("replicas") != wanted:
                missing.append(f"rollout of {name}")
    return missing


def _describe(
    target: Target, *, namespace: str, resource: str, is_new: bool, ready_after_s: float
) -> Installation:
    spec = target.get("contexredis", resource, namespace)["spec"]
    if spec["mode"] != "sentinel":
        raise DemoError(
            f"the ContexRedis is in mode {spec['mode']!r}: the demo needs 'sentinel', as in {VALUES.name}"
        )
    children = Children(resource)
    data = (children.master_pod(), *children.replica_pods(int(spec["replicas"])))
    words = ("get", "services", "-n", namespace, "-l", f"{LABEL_CLUSTER}={resource}", "-o", "json")
    services = {
        s["metadata"]["name"]: s["spec"].get("clusterIP", "")
        for s in json.loads(target.kubectl(*words))["items"]
    }
    return Installation(
        namespace=namespace,
        resource=resource,
        data_pods=data,
        sentinel_pods=children.sentinel_pods(int(spec["sentinel"]["replicas"])),
        addresses={services[pod]: pod for pod in data if pod in services},
        master_name=spec["sentinel"]["masterName"],
        down_after_s=int(spec["sentinel"]["downAfterMilliseconds"]) / 1000,
        is_new=is_new,
        ready_after_s=ready_after_s,
    )
