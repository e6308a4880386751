"""Whose a name is, which child is missing or differs, and what is sent for it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from contex_operator import names
from contex_operator.actions import Apply, Create
from contex_operator.children import check_names, difference, ensure, is_ours, pinned, wanted_names
from contex_operator.errors import NameTaken
from contex_operator.model import Object
from contex_operator.render import Identity, plain_config_map, secret

from tests.unit.apiserver import ApiServer
from tests.unit.world import DATA, SENTINELS, UID, WHO, replicated, snapshot, standalone


def thing(
    name: str = "redis-config",
    *,
    owner: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    **metadata: Any,
) -> Object:
    """A live object of any kind."""
    references = [{"controller": True, **owner}] if owner else []
    return {
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": dict(labels or {}), "ownerReferences": references, **metadata},
    }


def check(body: Object, kind: str = "ConfigMap", name: str = "redis-config") -> str | None:
    return check_names(WHO, snapshot(objects={(kind, name): body}), [(kind, name)])


OURS = {"kind": names.KIND, "name": "redis", "uid": UID}
LABELS = {names.LABEL_CLUSTER: "redis", names.LABEL_MANAGED_BY: names.MANAGER}


# --- whose is it --------------------------------------------------------------------------------------------------


def test_a_free_name_and_our_own_child_are_no_hindrance() -> None:
    assert (
        check_names(WHO, snapshot(objects={("ConfigMap", "redis-config"): None}), [("ConfigMap", "x")])
        is None
    )
    assert check(thing(owner=OURS)) is None


@pytest.mark.parametrize(
    ("body", "owner"),
    [
        (thing(), "somebody else"),
        (thing(labels=LABELS), f"somebody else (managed by {names.MANAGER})"),
        (thing(labels={names.LABEL_MANAGED_BY: "Helm"}), "somebody else (managed by Helm)"),
        (
            thing(owner={"kind": names.KIND, "name": "redis-master", "uid": "other"}),
            "ContexRedis redis-master",
        ),
        (thing(owner={"kind": "StatefulSet", "name": "db", "uid": "other"}), "StatefulSet db"),
        (thing(owner={**OURS, "controller": False}), "somebody else"),
    ],
)
def test_a_taken_name_is_refused_with_its_owner(body: Object, owner: str) -> None:
    with pytest.raises(NameTaken) as refused:
        check(body)
    assert str(refused.value) == (
        f"ConfigMap redis-config exists and belongs to {owner}; rename this ContexRedis or remove that object"
    )


def test_what_an_earlier_resource_of_our_name_leaves_is_waited_for() -> None:
    waiting = "ConfigMap redis-config of an earlier ContexRedis redis is still being removed"
    assert check(thing(owner={**OURS, "uid": "earlier"})) == waiting
    assert check(thing(deletionTimestamp="2026-01-01T00:00:00Z")) == waiting


@pytest.mark.parametrize(
    ("stateful_set", "claim_of", "wait"),
    [
        ("present", "present", None),
        ("present", "earlier", "PersistentVolumeClaim data-redis-master-0 of an earlier ContexRedis redis"),
        (None, "earlier", "PersistentVolumeClaim data-redis-master-0 of an earlier ContexRedis redis"),
    ],
)
def test_claims_that_go_with_their_stateful_set_are_ours(
    stateful_set: str | None, claim_of: str, wait: str | None
) -> None:
    """With `retain: false` the StatefulSet's controller makes itself the claims' owner and controller."""
    name, owner = "data-redis-master-0", {"kind": "StatefulSet", "name": "redis-master", "uid": claim_of}
    claim = thing(name, owner=owner, labels=LABELS)
    live = thing("redis-master", owner=OURS, uid=stateful_set) if stateful_set else None
    objects = {("PersistentVolumeClaim", name): claim, ("StatefulSet", "redis-master"): live}
    found = check_names(WHO, snapshot(objects=objects), [("PersistentVolumeClaim", name)])
    assert found == (f"{wait} is still being removed" if wait else None)
    stranger = thing(name, owner=owner)
    with pytest.raises(NameTaken, match="StatefulSet redis-master"):
        check(stranger, "PersistentVolumeClaim", name)


def test_a_name_that_is_taken_is_found_behind_one_that_is_waited_for() -> None:
    world = snapshot(
        objects={
            ("ConfigMap", "a"): thing("a", owner={**OURS, "uid": "earlier"}),
            ("ConfigMap", "b"): thing("b"),
        }
    )
    with pytest.raises(NameTaken, match="ConfigMap b"):
        check_names(WHO, world, [("ConfigMap", "a"), ("ConfigMap", "b")])


def test_claims_and_the_generated_secret_are_ours_by_their_labels() -> None:
    claim = thing("data-redis-master-0", labels={names.LABEL_CLUSTER: "redis"})
    assert is_ours(WHO, "PersistentVolumeClaim", claim)
    assert not is_ours(WHO, "PersistentVolumeClaim", thing("data-redis-master-0"))
    assert not is_ours(WHO, "PersistentVolumeClaim", thing(labels={names.LABEL_CLUSTER: "redis-master"}))
    assert is_ours(WHO, "Secret", thing("redis-auth", labels=LABELS))
    assert not is_ours(WHO, "Secret", thing("redis-auth-active", labels=LABELS))
    assert not is_ours(WHO, "Secret", thing("redis-auth", labels={names.LABEL_CLUSTER: "redis"}))
    assert not is_ours(WHO, "ConfigMap", thing("redis-config", labels=LABELS))


def test_a_resource_beside_another_whose_name_begins_alike_collides_where_their_children_do() -> None:
    """`redis` wants ConfigMap redis-sentinel-config, and so does a ContexRedis called `redis-sentinel`."""
    other = Identity(namespace="shop", name="redis-sentinel", uid="other")
    both = set(wanted_names(WHO, replicated())) & set(wanted_names(other, replicated()))
    assert both == {("ConfigMap", "redis-sentinel-config")}


def test_all_names_are_checked_that_are_made() -> None:
    wanted = set(wanted_names(WHO, replicated()))
    assert {("Service", pod) for pod in (*DATA, *SENTINELS)} <= wanted
    assert {("PersistentVolumeClaim", f"data-{pod}") for pod in (*DATA, *SENTINELS)} <= wanted
    assert {
        ("Secret", "redis-auth"),
        ("Secret", "redis-auth-active"),
        ("Secret", "redis-contex-env"),
    } <= wanted
    given = set(wanted_names(WHO, replicated(auth={"secretName": "mine"})))
    assert ("Secret", "redis-auth") not in given
    assert ("Secret", "mine") not in given, "a Secret of the user's is read, never owned"
    alone = wanted_names(WHO, standalone(persistence={"enabled": False}))
    assert not [name for kind, name in alone if kind == "PersistentVolumeClaim" or "sentinel" in name]


# --- what is sent -------------------------------------------------------------------------------------------------


def live_after(body: dict[str, Any]) -> dict[str, Any]:
    """The body as the API holds it after its creation."""
    api = ApiServer()
    api.create(body)
    return api.objects[body["kind"], body["metadata"]["name"]]


def test_a_missing_child_is_created_and_a_settled_one_left_alone() -> None:
    body = plain_config_map(WHO, "redis-config", {"a": "1"})
    assert ensure([body], snapshot()) == [Create(body=body)]
    assert ensure([body], snapshot(objects={("ConfigMap", "redis-config"): live_after(body)})) == []


def test_a_child_that_differs_is_applied_to_that_very_object() -> None:
    live = live_after(plain_config_map(WHO, "redis-config", {"a": "1"}))
    (action,) = ensure(
        [plain_config_map(WHO, "redis-config", {"a": "2"})],
        snapshot(objects={("ConfigMap", "redis-config"): live}),
    )
    assert isinstance(action, Apply)
    assert action.why == ".data.a"
    assert action.body["metadata"]["uid"] == live["metadata"]["uid"]
    assert "resourceVersion" not in action.body["metadata"]


def test_pinning_to_a_state_carries_its_version_and_changes_neither() -> None:
    body = plain_config_map(WHO, "redis-config", {"a": "1"})
    live = live_after(body)
    before = copy.deepcopy((body, live))
    assert (
        pinned(body, live, version=True)["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
    )
    assert (body, live) == before


def test_a_field_that_an_earlier_version_set_and_this_one_does_not_is_taken_out() -> None:
    live = live_after(plain_config_map(WHO, "redis-config", {"a": "1", "old": "x"}))
    assert difference(plain_config_map(WHO, "redis-config", {"a": "1"}), live) == "what was applied before"


def test_a_lost_label_or_owner_is_put_back() -> None:
    body = plain_config_map(WHO, "redis-config", {"a": "1"})
    live = live_after(body)
    del live["metadata"]["labels"][names.LABEL_CLUSTER]
    assert difference(body, live) == f".metadata.labels.{names.LABEL_CLUSTER}"
    live = live_after(body)
    del live["metadata"]["ownerReferences"]
    assert difference(body, live) == ".metadata.ownerReferences"


def test_a_difference_in_a_secret_is_told_without_its_value() -> None:
    live = live_after(secret(WHO, "redis-contex-env", {"url": "b2xk"}, owned=True))
    (action,) = ensure(
        [secret(WHO, "redis-contex-env", {"url": "bmV3"}, owned=True)],
        snapshot(objects={("Secret", "redis-contex-env"): live}),
    )
    assert str(action) == "apply Secret redis-contex-env (.data.url)"
