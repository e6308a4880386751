"""The row Connection Pool Exhausted: how many connections Contex has, and how many Redis has places for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contex_operator.spec import Wiring

from ..facts import ContexPod, Facts
from .finding import Found, Row, Severity, check

NEARLY: Final = 0.9  # of the pool: 45 of 50, where the documentation's alert begins
PLACES: Final = 0.85  # of maxclients
LARGEST_POOL: Final = 1000


def _larger_pool(facts: Facts, pod: ContexPod, size: int) -> str:
    spec = facts.spec
    wired = {d.name for d in spec.contex.deployments} if spec is not None else set()
    if spec is not None and spec.contex.wiring is Wiring.PATCH and pod.deployment in wired:
        return facts.patch(f'{{"contex":{{"maxConnections":{size}}}}}')
    return facts.kubectl(
        "set", "env", f"deployment/{pod.deployment}", "-c", pod.container, f"REDIS_MAX_CONNECTIONS={size}"
    )


@check("contex-pool", Row.POOL)
def contex_pool(facts: Facts) -> Iterator[Found]:
    """How much of its connection pool does each pod of Contex use?"""
    master = facts.topology.master
    used = facts.vitals[master.pod].connections if master is not None and master.pod in facts.vitals else {}
    for pod in facts.contex:
        size, open_now = pod.pool_size, used.get(pod.ip or "", 0)
        if size is None or size <= 0 or open_now < NEARLY * size:
            continue
        yield Found(
            finding=f"{pod.name} uses {open_now} of {size} connections: the next request may be refused",
            proof=f"CLIENT LIST of {master.pod if master else '–'} has {open_now} connections from {pod.ip}; "
            f"REDIS_MAX_CONNECTIONS={size}",
            cure=_larger_pool(facts, pod, min(LARGEST_POOL, max(100, 2 * size))),
            severity=Severity.ERROR if open_now >= size else Severity.WARNING,
        )


@check("redis-clients", Row.POOL)
def redis_clients(facts: Facts) -> Iterator[Found]:
    """Has Redis places left for connections?"""
    for pod, vitals in facts.vitals.items():
        if not vitals.clients or not vitals.clients_max:
            continue
        full, rejected = vitals.clients >= PLACES * vitals.clients_max, vitals.rejected or 0
        if full or rejected:
            yield Found(
                finding=f"{pod} has {vitals.clients} of {vitals.clients_max} connections"
                + (f" and has refused {rejected} since its start" if rejected else ""),
                proof=f"{pod}: connected_clients {vitals.clients}, maxclients {vitals.clients_max}, "
                f"rejected_connections {rejected}",
                cure=facts.patch(f'{{"config":{{"maxclients":{2 * vitals.clients_max}}}}}'),
                severity=Severity.ERROR if full else Severity.WARNING,
            )
