"""Between a crash of the master and the failover: a hint, and the one move that cannot wait for a whole look.

`watch` says that the standing connection to the master was closed; the next run of that key then begins here. What
the last snapshot knew only tells whom to ask: the move proves everything anew before it changes anything.
Called by reconcile, fed by watch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from .conduct import Conductor
from .errors import OperatorError
from .failpoints import Failpoints
from .kube import Kube
from .model import Object, utc
from .moves import failover
from .moves.failover import Crash
from .moves.step import Outcome
from .redisio import RedisIO
from .render import Identity, master_service
from .spec import Spec, parse
from .topology import Topology

log = logging.getLogger(__name__)

Key = tuple[str, str]  # namespace, name

# A hint that had to wait longer than this for its turn is left to Sentinel, which is about to act itself.
HINT_IS_GOOD_FOR_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a reconcile saw, for those who watch between two of them (hints only)."""

    spec: Spec
    topology: Topology
    sentinels: tuple[str, ...]
    password: str | None
    sentinel_password: str | None
    crash: Crash | None = None
    service: Object | None = None  # the master Service
    term: int = 0
    replicas: tuple[str, ...] = ()  # addresses of the data nodes beside the master
    master_node: str | None = None  # the Kubernetes node that carries the master


class Assistant:
    """Holds the hints and what was seen last of each resource; carries out the assisted failover."""

    def __init__(self, kube: Kube, redis: RedisIO, *, failpoints: Failpoints) -> None:
        self._kube, self._redis, self._failpoints = kube, redis, failpoints
        self._seen: dict[Key, Seen] = {}
        self._broke: dict[Key, tuple[str, float]] = {}

    def seen(self, key: Key, seen: Seen | None) -> None:
        """What the last reconcile saw; None when there is nothing to look after any more."""
        if seen is None:
            self._seen.pop(key, None)
            self._broke.pop(key, None)
        else:
            self._seen[key] = seen

    def broke(self, key: Key, address: str) -> None:
        """The standing connection to this pod's own address was closed by the other side, just now."""
        self._broke[key] = (address, time.monotonic())

    async def __call__(
        self, key: Key, resource: Object, *, term: int, may_write: Callable[[str], None]
    ) -> Outcome | None:
        """The outcome of an assisted failover, None where there was no hint for one, or none may be made."""
        address, broke_at = self._broke.pop(key, ("", 0.0))
        seen = self._seen.get(key)
        if seen is None or seen.crash is None or seen.service is None or seen.crash.pod_address != address:
            return None
        if time.monotonic() - broke_at > HINT_IS_GOOD_FOR_S or seen.term != term:
            return None
        spec = parse(resource)
        if spec != seen.spec or (resource.get("status") or {}).get("intent"):
            return None  # a changed spec or a half-done move: the whole look decides
        who = Identity(namespace=key[0], name=key[1], uid=resource["metadata"]["uid"])
        crash = seen.crash
        conductor = Conductor(
            self._kube,
            self._redis,
            resource=resource,
            service=seen.service,
            service_body=lambda pod: master_service(who, spec, pod),
            members=(*crash.others, *crash.sentinels),
            passwords=(seen.password, seen.sentinel_password),
            may_write=may_write,
            failpoints=self._failpoints,
        )
        move = failover.failover(crash, broke_at=broke_at, time=utc(time.time()))
        try:
            return await conductor.run(move, name=failover.NAME)
        except OperatorError as error:
            log.warning("%s/%s: assisted failover: %s", *key, error)
            return None
