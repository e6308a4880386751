"""Which children are missing, which differ from what the spec asks for, and which names belong to somebody else.

Pure. A child is created by POST, so that the API refuses a taken name, and applied only while its controller is this
very resource (rule 9). A settled child is left alone: no request is sent for it (rule 12).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from . import contexshim, names
from .actions import Action, Apply, Create, DeleteChild
from .compare import first_difference
from .errors import NameTaken
from .model import Object, Observed
from .render import Body, Identity, data_pods, sentinel_pods
from .spec import Mode, Spec


def in_force(
    who: Identity, spec: Spec, objects: Mapping[tuple[str, str], Object | None], *, status: Object
) -> Spec:
    """The spec with the members that still run: none goes because a number or the mode was changed (rule 8).

    A procedure shrinks the StatefulSets when it may; until then the members that are to go are looked after. Members
    are pods whose identity is in `status`; a StatefulSet that somebody else has raised has pods that never were.
    """
    parts = [objects.get(("StatefulSet", name)) for name in (who.children.replica, who.children.sentinel)]
    if not spec.is_sentinel_mode and parts == [None, None]:
        return spec
    recorded: Mapping[str, str] = status.get("addresses") or {}

    def running(name: str) -> int:
        live = objects.get(("StatefulSet", name)) or {}
        count = int((live.get("spec") or {}).get("replicas", 0))
        return next((n for n in range(count, 0, -1) if f"{name}-{n - 1}" in recorded), 0)

    sentinels, replicas = running(who.children.sentinel), running(who.children.replica)
    if spec.is_sentinel_mode:
        sentinels, replicas = max(spec.sentinel.replicas, sentinels), max(spec.replicas, replicas)
    return replace(
        spec,
        mode=Mode.SENTINEL,
        replicas=replicas,
        sentinel=replace(spec.sentinel, replicas=sentinels),
    )


def wanted_names(who: Identity, spec: Spec) -> list[tuple[str, str]]:
    """(kind, name) of every child and claim that the spec leads to: all must be free or ours."""
    children = who.children
    found = [
        ("Service", children.master),
        ("Service", children.replica),
        ("Service", children.nodes),
        ("StatefulSet", children.master),
        ("ConfigMap", children.config),
        ("ConfigMap", children.contex_env),
        ("Secret", children.contex_env),
    ]
    if contexshim.is_wanted(spec):
        found.append(("ConfigMap", children.contex_shim))
    if spec.auth.enabled:
        found.append(("Secret", children.auth_active))
        if spec.auth.secret_name is None:
            found.append(("Secret", children.auth))
    if spec.is_sentinel_mode:
        found += [
            ("Service", children.sentinel),
            ("StatefulSet", children.replica),
            ("StatefulSet", children.sentinel),
            ("ConfigMap", children.sentinel_config),
            ("PodDisruptionBudget", children.nodes),
            ("PodDisruptionBudget", children.sentinel),
        ]
    found += [("Service", pod) for pod in (*data_pods(who, spec), *sentinel_pods(who, spec))]
    if spec.persistence.enabled:
        found += [
            ("PersistentVolumeClaim", f"data-{pod}")
            for pod in (*data_pods(who, spec), *sentinel_pods(who, spec))
        ]
    return found


def check_names(who: Identity, observed: Observed, wanted: Iterable[tuple[str, str]]) -> str | None:
    """Raises NameTaken for the first name that is somebody else's.

    Returns a sentence to wait on where an object of an earlier resource of our own name is still being removed.
    """
    wait = None
    for kind, name in wanted:
        body = observed.objects.get((kind, name))
        if body is None or is_ours(who, kind, body):
            continue
        owner = controller(body)
        if kind == "PersistentVolumeClaim" and _is_of_own_set(who, body):
            # `retain: false`: the StatefulSet owns its claims, and they go with it.
            live = observed.objects.get(("StatefulSet", str(owner and owner.get("name"))))
            if live is None or not owner or live["metadata"].get("uid") != owner.get("uid"):
                wait = f"{kind} {name} of an earlier {names.KIND} {who.name} is still being removed"
            continue
        ended = owner is not None and owner.get("kind") == names.KIND and owner.get("name") == who.name
        if ended or "deletionTimestamp" in body["metadata"]:
            wait = f"{kind} {name} of an earlier {names.KIND} {who.name} is still being removed"
            continue
        raise NameTaken(kind, name, _owner_in_words(body))
    return wait


def is_ours(who: Identity, kind: str, body: Object) -> bool:
    """Controlled by this very resource, or one of the things that outlive it (auth Secret, claims) by its labels."""
    owner = controller(body)
    if owner is not None:
        return bool(owner.get("uid") == who.uid)
    labels = body["metadata"].get("labels") or {}
    if kind == "PersistentVolumeClaim":
        return bool(labels.get(names.LABEL_CLUSTER) == who.name)
    if kind == "Secret" and body["metadata"]["name"] == who.children.auth:
        return bool(
            labels.get(names.LABEL_CLUSTER) == who.name
            and labels.get(names.LABEL_MANAGED_BY) == names.MANAGER
        )
    return False


def _is_of_own_set(who: Identity, claim: Object) -> bool:
    """By its label a claim of this resource, owned by a StatefulSet of this name, the present one or an earlier."""
    owner, children = controller(claim), who.children
    labels = claim["metadata"].get("labels") or {}
    return (
        owner is not None
        and owner.get("kind") == "StatefulSet"
        and owner.get("name") in (children.master, children.replica, children.sentinel)
        and labels.get(names.LABEL_CLUSTER) == who.name
    )


def controller(body: Object) -> Mapping[str, Any] | None:
    """The owner reference with controller: true."""
    owners = body["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def _owner_in_words(body: Object) -> str:
    owner = controller(body)
    if owner is not None:
        return f"{owner.get('kind')} {owner.get('name')}"
    manager = (body["metadata"].get("labels") or {}).get(names.LABEL_MANAGED_BY)
    return f"somebody else (managed by {manager})" if manager else "somebody else"


def leftovers(who: Identity, spec: Spec, observed: Observed) -> list[Action]:
    """What of mode sentinel is still there in a resource that is standalone by now; pods' Services are not among it."""
    if spec.is_sentinel_mode:
        return []
    children = who.children
    found: list[Action] = []
    for kind, name in (
        ("Service", children.sentinel),
        ("ConfigMap", children.sentinel_config),
        ("PodDisruptionBudget", children.nodes),
        ("PodDisruptionBudget", children.sentinel),
    ):
        live = observed.objects.get((kind, name))
        if live is not None and is_ours(who, kind, live):
            found.append(DeleteChild(kind=kind, name=name, uid=str(live["metadata"]["uid"])))
    return found


def ensure(bodies: Iterable[Body], observed: Observed) -> list[Action]:
    """Create or Apply for each body that is missing or differs; nothing for those that are settled."""
    actions: list[Action] = []
    for body in bodies:
        live = observed.objects.get((body["kind"], body["metadata"]["name"]))
        if live is None:
            actions.append(Create(body=body))
            continue
        why = difference(body, live)
        if why is not None:
            actions.append(Apply(body=pinned(body, live), why=why))
    return actions


def difference(body: Object, live: Object) -> str | None:
    """Why the live object has to be applied again.

    The checksum tells of fields that an earlier apply set and this one does not; the comparison tells of fields
    that somebody else has changed.
    """
    applied = (live["metadata"].get("annotations") or {}).get(names.ANNOTATION_APPLIED)
    found = first_difference({key: body[key] for key in body if key != "metadata"}, live)
    if found:
        return found
    labels = first_difference(body["metadata"].get("labels", {}), live["metadata"].get("labels") or {})
    if labels:
        return f".metadata.labels{labels}"
    owners = body["metadata"].get("ownerReferences", [])
    if owners and not controller(live):
        return ".metadata.ownerReferences"
    wanted = body["metadata"]["annotations"][names.ANNOTATION_APPLIED]
    return None if applied == wanted else "what was applied before"


def pinned(body: Body, live: Object, *, version: bool = False) -> Body:
    """The body bound to the very object that was observed, and with `version` to its very state."""
    metadata = {**body["metadata"], "uid": live["metadata"]["uid"]}
    if version:
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
    return {**body, "metadata": metadata}
