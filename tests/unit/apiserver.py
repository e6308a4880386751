"""As much of an API server as the decisions can see: names, uids, versions, defaults, ClusterIPs, merge patches."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any

from contex_operator import quantity

from tests.unit.world import address_of

Body = dict[str, Any]


class Refused(Exception):
    """The API said no."""


class ApiServer:
    """Objects by (kind, name); every write gives a new resourceVersion and is counted in `writes`."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Body] = {}
        self.writes = 0
        self._versions = itertools.count(1)

    def create(self, body: Mapping[str, Any]) -> None:
        key = (body["kind"], body["metadata"]["name"])
        if key in self.objects:
            raise Refused(f"{key} exists already")
        self._store(
            key, body, {"uid": f"uid-{next(self._versions)}", "creationTimestamp": "2026-01-01T00:00:00Z"}
        )

    def apply(self, body: Mapping[str, Any]) -> None:
        """Server-side apply of an object whose every field is one manager's."""
        key = (body["kind"], body["metadata"]["name"])
        live = self.objects.get(key)
        for field in ("uid", "resourceVersion"):
            wanted = body["metadata"].get(field)
            if wanted and (live is None or live["metadata"][field] != wanted):
                raise Refused(f"{key} is not the object with {field} {wanted}")
        if live is None:
            self.create(body)
            return
        self._store(key, body, {k: live["metadata"][k] for k in ("uid", "creationTimestamp")}, live)

    def _store(
        self, key: tuple[str, str], body: Mapping[str, Any], metadata: Body, live: Body | None = None
    ) -> None:
        self.writes += 1
        stored = copy.deepcopy(dict(body))
        stored["metadata"] |= metadata | {"resourceVersion": str(next(self._versions)), "managedFields": []}
        if key[0] == "Service":
            self._give_address(key[1], stored["spec"], (live or {}).get("spec") or {})
        _DEFAULTS.get(key[0], _nothing)(stored)
        self.objects[key] = stored

    def _give_address(self, name: str, spec: Body, before: Body) -> None:
        taken = {
            body["spec"]["clusterIP"]
            for (kind, other), body in self.objects.items()
            if kind == "Service" and other != name
        }
        pod = name.rsplit("-", 1)[-1].isdigit()
        own = before.get("clusterIP") or (address_of(name) if pod else f"10.96.100.{next(self._versions)}")
        address = spec.setdefault("clusterIP", own)
        if address in taken - {"None"}:
            raise Refused(f"clusterIP {address} is taken")
        if before and before["clusterIP"] != address:
            raise Refused("clusterIP is immutable")
        spec["clusterIPs"] = [address]


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _nothing(_: Body) -> None:
    pass


def _service(body: Body) -> None:
    spec = body["spec"]
    spec |= {"ipFamilies": ["IPv4"], "internalTrafficPolicy": "Cluster", "sessionAffinity": "None"}
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    for port in spec["ports"]:
        port.setdefault("protocol", "TCP")
    body["status"] = {"loadBalancer": {}}


def _stateful_set(body: Body) -> None:
    spec = body["spec"]
    pod = spec["template"]["spec"]
    pod |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    spec["template"]["metadata"]["creationTimestamp"] = None
    for container in pod["containers"]:
        container |= {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container["ports"] = [{"protocol": "TCP", **port} for port in container["ports"]]
        for variable in container["env"]:
            variable.get("valueFrom", {}).get("fieldRef", {}).setdefault("apiVersion", "v1")
        for probe in ("livenessProbe", "readinessProbe"):
            container[probe] = {"successThreshold": 1, **container[probe]}
        for amounts in container.get("resources", {}).values():
            amounts |= {name: _canonical(amount) for name, amount in amounts.items()}
    for claim in spec.get("volumeClaimTemplates", []):
        claim["spec"]["volumeMode"] = "Filesystem"
        requests = claim["spec"]["resources"]["requests"]
        requests["storage"] = _canonical(requests["storage"])
        claim["status"] = {"phase": "Pending"}
    body["status"] = {"replicas": spec["replicas"], "currentRevision": "r1", "updateRevision": "r1"}


def _canonical(text: str) -> str:
    """Another spelling of the same quantity, as the API server would choose one."""
    amount = quantity.amount(text)
    return str(int(amount)) if amount == int(amount) else f"{int(amount * 1000)}m"


_DEFAULTS = {"Service": _service, "StatefulSet": _stateful_set}
