"""Which NetworkPolicies let a connection through. Pure; the rules of networking.k8s.io/v1.

A pod that no policy selects for a direction is open in it; otherwise a connection needs one rule of one policy that
allows it. Policies only ever add: a forgotten allowance is mended by one more policy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contex_operator.model import Object

Labels = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of a connection: a pod of the namespace."""

    pod: str
    labels: Labels
    ip: str | None = None


def blocking(
    policies: Iterable[Object], source: End, target: End, port: int, *, namespace_labels: Labels
) -> tuple[str, tuple[str, ...]] | None:
    """(direction, names of the policies) that keep `source` from `target`:`port`; None where it is let through.

    Both ends are in the policies' namespace. Egress of the source is looked at first, as a packet is.
    """
    policies = tuple(policies)
    for direction, own, other in (("Egress", source, target), ("Ingress", target, source)):
        selecting = [policy for policy in policies if _is_for(policy, direction, own.labels)]
        if not selecting:
            continue
        allowed = any(
            _allows(rule, direction, other, port, namespace_labels=namespace_labels)
            for policy in selecting
            for rule in policy["spec"].get(direction.lower()) or ()
        )
        if not allowed:
            return direction, tuple(policy["metadata"]["name"] for policy in selecting)
    return None


def _is_for(policy: Object, direction: str, labels: Labels) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    return direction in types and selects(spec.get("podSelector") or {}, labels)


def _allows(
    rule: Mapping[str, Any], direction: str, other: End, port: int, *, namespace_labels: Labels
) -> bool:
    peers = rule.get("from" if direction == "Ingress" else "to") or ()
    ports = rule.get("ports") or ()
    return (not ports or any(_has_port(one, port) for one in ports)) and (
        not peers or any(_is_peer(peer, other, namespace_labels=namespace_labels) for peer in peers)
    )


def _has_port(told: Mapping[str, Any], port: int) -> bool:
    if told.get("protocol", "TCP") != "TCP":
        return False
    wanted = told.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):  # the name of a container's port
        return wanted in {6379: ("redis",), 26379: ("sentinel",)}.get(port, ())
    return int(wanted) <= port <= int(told.get("endPort", wanted))


def _is_peer(peer: Mapping[str, Any], other: End, *, namespace_labels: Labels) -> bool:
    block = peer.get("ipBlock")
    if block is not None:
        return other.ip is not None and _is_in(block, other.ip)
    namespaces = peer.get("namespaceSelector")
    if namespaces is not None and not selects(namespaces, namespace_labels):
        return False
    pods = peer.get("podSelector")
    return pods is None or selects(pods, other.labels)


def _is_in(block: Mapping[str, Any], ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return address in ipaddress.ip_network(block["cidr"], strict=False) and not any(
        address in ipaddress.ip_network(hole, strict=False) for hole in block.get("except") or ()
    )


def selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Does a label selector select these labels? An empty one selects everything."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches(term, labels) for term in selector.get("matchExpressions") or ())


def _matches(term: Mapping[str, Any], labels: Labels) -> bool:
    value = labels.get(term["key"])
    operator, values = term["operator"], term.get("values") or ()
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator == "In":
        return value in values
    return value not in values  # NotIn also selects what lacks the label
