"""Who reaches Redis and its sentinels with networkPolicy.enabled: asked of the policy for the labels of real pods."""

from __future__ import annotations

from typing import Any

import pytest
from contex_operator import names

from tests.chart.examples import EXTERNAL, SENTINEL_AUTH
from tests.chart.rendering import Manifests, Object, merged, nested, render

ON = merged(SENTINEL_AUTH, nested("networkPolicy.enabled", True))
OPERATOR = {"app.kubernetes.io/name": "contex-redis-operator", "app.kubernetes.io/instance": "redis-operator"}


def selects(selector: Object, labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "a kind of selector that this reading does not know"
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def lets_in(manifests: Manifests, labels: dict[str, str], *, elsewhere: bool = False) -> bool:
    """Whether a pod with these labels, of the release's namespace or of another one, reaches the set's ports."""
    (rule,) = manifests.one("NetworkPolicy")["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == [names.REDIS_PORT, names.SENTINEL_PORT]
    for peer in rule["from"]:
        assert set(peer) <= {"podSelector", "namespaceSelector"}
        in_reach = selects(peer["namespaceSelector"], {}) if "namespaceSelector" in peer else not elsewhere
        if in_reach and selects(peer.get("podSelector", {}), labels):
            return True
    return False


def labels_of(manifests: Manifests, name: str) -> dict[str, str]:
    found: dict[str, str] = manifests.one("Deployment", name)["spec"]["template"]["metadata"]["labels"]
    return found


def test_it_is_off_by_default() -> None:
    assert not render(SENTINEL_AUTH).has("NetworkPolicy")
    assert not render(merged(EXTERNAL, nested("networkPolicy.enabled", True))).has("NetworkPolicy")


def test_it_speaks_of_all_pods_of_the_set_and_of_no_others() -> None:
    manifests = render(ON)
    spec = manifests.one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    cluster = manifests.one("ContexRedis")["metadata"]["name"]
    assert spec["podSelector"] == {"matchLabels": {names.LABEL_CLUSTER: cluster}}


def test_all_that_belongs_together_gets_in_and_a_stranger_does_not() -> None:
    manifests = render(ON)
    cluster = {names.LABEL_CLUSTER: manifests.one("ContexRedis")["metadata"]["name"]}
    assert lets_in(manifests, cluster | {names.LABEL_APP: names.APP_SENTINEL})
    assert lets_in(manifests, labels_of(manifests, "contex"))
    assert lets_in(manifests, labels_of(manifests, "contex-operator"))
    assert lets_in(manifests, manifests.one("Pod")["metadata"]["labels"]), "helm test"
    assert not lets_in(manifests, {"app": "stranger"})
    assert not lets_in(manifests, {names.LABEL_CLUSTER: "other-redis"})
    for name in ("contex", "contex-operator"):
        assert not lets_in(manifests, labels_of(manifests, name), elsewhere=True)
    other = render(ON, release="shop")
    assert not lets_in(manifests, labels_of(other, "shop-contex")), "Contex of another release"


def test_an_operator_of_another_namespace_gets_in_where_the_release_has_none() -> None:
    manifests = render(merged(ON, nested("operator.enabled", False)))
    assert lets_in(manifests, OPERATOR, elsewhere=True)
    assert not lets_in(manifests, {"app": "stranger"}, elsewhere=True)
    assert not lets_in(render(ON), OPERATOR, elsewhere=True)


@pytest.mark.parametrize(
    "peer",
    [
        {"podSelector": {"matchLabels": {"app": "backup"}}},
        {"podSelector": {"matchLabels": {"app": "backup"}}, "namespaceSelector": {}},
    ],
)
def test_others_can_be_named(peer: dict[str, Any]) -> None:
    manifests = render(merged(ON, nested("networkPolicy.extraFrom", [peer])))
    assert lets_in(manifests, {"app": "backup"}, elsewhere="namespaceSelector" in peer)
    assert not lets_in(render(ON), {"app": "backup"})
