"""A memory limit below the data that are there: not rolled out.

`maxmemory` is a share of the limit. A Redis that holds more than that answers every write with -OOM, and one that does
not even fit is killed while it loads. So what is in force stays, and a person is told. Where the user's own
maxmemory-policy evicts keys, less memory means fewer keys: that was asked for. Pure; called by plan.
"""

from __future__ import annotations

from dataclasses import replace

from .. import quantity
from ..model import Observed
from ..names import Reason
from ..render import Identity, directives, redis_conf
from ..spec import Spec
from ..topology import Topology

_KEEPS_ALL = "noeviction"


def keep_memory(
    who: Identity, spec: Spec, observed: Observed, topology: Topology
) -> tuple[Spec, tuple[str, str] | None]:
    """The spec as far as the data fit, and what a person has to mend where they would not."""
    written = directives(_conf(who, observed)).get("maxmemory")
    used = topology.master.used_memory if topology.master is not None else None
    wanted = quantity.redis_memory(directives(redis_conf(spec)).get("maxmemory", "0"))
    if written is None or used is None or not 0 < wanted < used:
        return spec, None
    had = quantity.redis_memory(written)
    if 0 < had <= wanted or spec.config.get("maxmemory-policy", _KEEPS_ALL) != _KEEPS_ALL:
        return spec, None
    live = observed.objects.get(("StatefulSet", who.children.master)) or {}
    containers = (((live.get("spec") or {}).get("template") or {}).get("spec") or {}).get("containers")
    if not containers:
        return spec, None
    own = "maxmemory" in spec.config
    config = {**spec.config, "maxmemory": written} if own else spec.config
    held = replace(spec, resources=containers[0].get("resources") or {}, config=config)
    return held, (Reason.MEMORY_TOO_SMALL, _sentence(spec, topology, own=own, wanted=wanted, used=used))


def _conf(who: Identity, observed: Observed) -> str:
    config_map = observed.objects.get(("ConfigMap", who.children.config)) or {}
    return str((config_map.get("data") or {}).get("redis.conf", ""))


def _sentence(spec: Spec, topology: Topology, *, own: bool, wanted: int, used: int) -> str:
    limit = (spec.resources.get("limits") or {}).get("memory")
    what = "spec.config.maxmemory is" if own else f"spec.resources.limits.memory {limit} makes maxmemory"
    pod = topology.master.pod if topology.master is not None else "the master"
    return (
        f"{what} {quantity.for_people(wanted)}, and {pod} holds {quantity.for_people(used)}: every write would be "
        "refused; what was in force stays until there is more memory or less data"
    )
