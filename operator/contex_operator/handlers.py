"""kopf registrations: every event becomes a key in the queue, nothing else happens here.

Only `on.event`: kopf then writes nothing to the resource, no annotation, no finalizer. Async, for a plain function
would run in a thread. Never index, daemon or timer (an index over pods makes the start quadratic; a daemon brings a
finalizer).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import kopf

from . import names
from .assist import Key
from .kube import in_cluster_url


def register(
    registry: kopf.OperatorRegistry,
    *,
    enqueue: Callable[[Key], None],
    deployment_changed: Callable[[str, str], None],
) -> None:
    """All handlers. `deployment_changed` takes namespace and name of a Deployment that somebody may have wired."""

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def resource(namespace: str | None, name: str | None, **_: Any) -> None:
        """A ContexRedis has changed."""
        enqueue((str(namespace), str(name)))

    async def child(namespace: str | None, labels: kopf.Labels, **_: Any) -> None:
        """Something that carries our label has changed."""
        enqueue((str(namespace), labels[names.LABEL_CLUSTER]))

    ours = {names.LABEL_CLUSTER: kopf.PRESENT}
    kopf.on.event("v1", "pods", registry=registry, labels=ours)(child)
    kopf.on.event("v1", "services", registry=registry, labels=ours)(child)
    kopf.on.event("v1", "secrets", registry=registry, labels=ours)(child)
    kopf.on.event("apps", "v1", "statefulsets", registry=registry, labels=ours)(child)

    @kopf.on.event("apps", "v1", "deployments", registry=registry)
    async def deployment(namespace: str | None, name: str | None, **_: Any) -> None:
        """A Deployment has changed: it may be a Contex that we wire."""
        deployment_changed(str(namespace), str(name))

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        """The pod's ServiceAccount, or a kubeconfig outside of a cluster."""
        return _by_address(kopf.login_with_service_account(**kwargs)) or kopf.login_with_kubeconfig(**kwargs)


def _by_address(account: kopf.ConnectionInfo | None) -> kopf.ConnectionInfo | None:
    """kopf takes the API server's name, so that an operator could not start while the cluster's DNS is away."""
    return account and dataclasses.replace(account, server=in_cluster_url())


def settings() -> kopf.OperatorSettings:
    """kopf as an informer and no more: no events of its own, deadlines on every stream."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True  # needs no right to list CRDs and namespaces
    chosen.watching.server_timeout = 300  # an int: it goes into the URL as it is
    chosen.watching.client_timeout = 310
    chosen.watching.connect_timeout = 10
    chosen.watching.chunk_size = 200
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 5
    for plural in ("pods", "services", "secrets", "statefulsets"):
        chosen.watching.label_selectors[plural] = names.LABEL_CLUSTER
    return chosen
