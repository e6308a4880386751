"""Everything in the API that a resource owns, as actions: what is missing is made, what differs is applied.

In an order that never gets ahead of itself: Services first, for their addresses are what everybody else is configured
with; then what is mounted; then who mounts it. Pure; called by plan.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import contexenv, contexshim
from .actions import Action, RememberInStatus
from .children import ensure
from .credentials import Credentials
from .identities import asked_for, record
from .model import Observed
from .render import (
    Body,
    Identity,
    budgets,
    config_maps,
    data_pods,
    plain_config_map,
    secret,
    sentinel_pods,
    services,
)
from .routing import served_pod
from .spec import Spec
from .topology import Topology
from .views import identity_address


def owned(
    who: Identity,
    spec: Spec,
    observed: Observed,
    topology: Topology,
    auth: Credentials,
    sets: list[Body],
    conf: str,
) -> list[Action]:
    """Everything in the API that the resource owns."""
    recorded: Mapping[str, str] = observed.status.get("addresses") or {}
    target = _service_target(observed, topology, who)
    actions = list(auth.actions)
    bodies = services(who, spec, master_pod=target, recorded=asked_for(observed))
    # The master Service moves by a write of its own (routing), never as a by-product of another difference.
    actions += ensure([b for b in bodies if not _is_moving(b, observed, who)], observed)
    if not auth.problem:
        actions += ensure(_contex_children(who, spec, auth), observed)

    pods = (*data_pods(who, spec), *sentinel_pods(who, spec))
    addresses = {pod: identity_address(observed.objects.get(("Service", pod))) for pod in pods}
    known = {pod: address for pod, address in addresses.items() if address}
    if len(known) < len(pods) or auth.problem:
        return actions
    # Those of pods that are gone stay: a merge patch cannot drop them, and a pod that returns gets its address back.
    if any(recorded.get(pod) != address for pod, address in known.items()):
        actions.append(RememberInStatus(fields=record(observed, known)))
    return actions + ensure(
        [*config_maps(who, spec, addresses=known, conf=conf), *sets, *budgets(who, spec)], observed
    )


def _contex_children(who: Identity, spec: Spec, auth: Credentials) -> list[Body]:
    data = contexenv.secret_data(who, spec, password=auth.password, sentinel_password=auth.sentinel_password)
    bodies = [
        secret(who, who.children.contex_env, data, owned=True),
        plain_config_map(who, who.children.contex_env, contexenv.plain_env(who, spec)),
    ]
    # It stays when it is not wanted any longer: an earlier revision of the Deployment may come back.
    if contexshim.is_wanted(spec):
        bodies.append(plain_config_map(who, who.children.contex_shim, contexshim.data()))
    return bodies


def _service_target(observed: Observed, topology: Topology, who: Identity) -> str | None:
    if topology.master is not None:
        return topology.master.pod
    return served_pod(observed.objects.get(("Service", who.children.master)))


def _is_moving(body: Body, observed: Observed, who: Identity) -> bool:
    if body["metadata"]["name"] != who.children.master:
        return False
    live = observed.objects.get(("Service", who.children.master))
    return live is not None and served_pod(live) != served_pod(body)
