"""NetworkPolicies as a cluster reads them: what is let through, and who keeps what from whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from contex_operator.cli.policies import End, blocking, selects
from contex_operator.model import Object

from tests.unit.cli_world import policy

CONTEX = End(pod="contex", labels={"app": "contex"}, ip="10.1.0.7")
REDIS = End(pod="redis", labels={"app": "redis"}, ip="10.1.0.8")
HERE = {"kubernetes.io/metadata.name": "shop", "team": "a"}
TO_REDIS = {"matchLabels": {"app": "redis"}}
FROM_CONTEX = {"podSelector": {"matchLabels": {"app": "contex"}}}


def held(*policies: Object, port: int = 6379) -> tuple[str, tuple[str, ...]] | None:
    return blocking(policies, CONTEX, REDIS, port, namespace_labels=HERE)


def test_without_policies_everything_is_open() -> None:
    assert held() is None


def test_a_policy_for_others_holds_nobody() -> None:
    assert held(policy("other", pods={"matchLabels": {"app": "db"}})) is None


def test_a_policy_without_rules_holds_everybody() -> None:
    assert held(policy("deny")) == ("Ingress", ("deny",))


def test_egress_is_looked_at_first() -> None:
    assert held(policy("in"), policy("out", types=("Egress",))) == ("Egress", ("out",))


def test_policies_only_add() -> None:
    assert held(policy("deny"), policy("let", pods=TO_REDIS, ingress=[{"from": [FROM_CONTEX]}])) is None


def test_without_types_a_policy_is_for_ingress_and_for_egress_where_it_has_such_rules() -> None:
    plain = {"metadata": {"name": "p"}, "spec": {"podSelector": {}, "ingress": [{}]}}
    assert held(plain) is None
    egress = {
        "metadata": {"name": "p"},
        "spec": {"podSelector": {}, "ingress": [{}], "egress": [{"to": [TO_NOBODY]}]},
    }
    assert held(egress) == ("Egress", ("p",))


TO_NOBODY = {"podSelector": {"matchLabels": {"app": "nobody"}}}


@pytest.mark.parametrize(
    ("ports", "is_open"),
    [
        ([{"port": 6379}], True),
        ([{"port": 26379}], False),
        ([{"port": "redis"}], True),
        ([{"port": "sentinel"}], False),
        ([{"port": 6000, "endPort": 7000}], True),
        ([{"port": 6000, "endPort": 6100}], False),
        ([{"port": 6379, "protocol": "UDP"}], False),
        ([{"protocol": "TCP"}], True),
    ],
)
def test_ports(ports: list[dict[str, Any]], is_open: bool) -> None:
    assert (held(policy("p", ingress=[{"ports": ports}])) is None) is is_open


@pytest.mark.parametrize(
    ("peer", "is_open"),
    [
        ({"podSelector": {}}, True),
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, False),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": TO_REDIS}, False),
        ({"ipBlock": {"cidr": "10.1.0.0/16"}}, True),
        ({"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.0.0/24"]}}, False),
        ({"ipBlock": {"cidr": "192.168.0.0/16"}}, False),
    ],
)
def test_peers(peer: dict[str, Any], is_open: bool) -> None:
    assert (held(policy("p", ingress=[{"from": [peer]}])) is None) is is_open


@pytest.mark.parametrize(
    ("term", "is_selected"),
    [
        ({"key": "app", "operator": "In", "values": ["redis", "contex"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["contex"]}, False),
        ({"key": "tier", "operator": "NotIn", "values": ["x"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "Exists"}, False),
        ({"key": "tier", "operator": "DoesNotExist"}, True),
    ],
)
def test_expressions(term: Mapping[str, Any], is_selected: bool) -> None:
    assert selects({"matchExpressions": [term]}, CONTEX.labels) is is_selected
