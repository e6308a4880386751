"""What the operator tells Prometheus: of itself, and of each resource as the last look saw it.

    definitions  Definition, Look: the words of a metric, and what one look at a resource leaves behind
    resources    the metrics of a resource
    members      the metrics of its data pods and sentinels
    writes       whether anybody would take a write
    exposition   Metrics: what is counted, and the text that Prometheus reads

Nothing is asked for a metric: all of it comes from what a reconcile has read anyway. A look is kept as it is, and
becomes text in a thread when Prometheus asks, so that no failover waits for it. A resource that is gone is forgotten
with all its series; a process that does not hold the Lease tells of itself alone.

Labels that a scrape adds itself (namespace, pod, node, instance, job, container) are not used here: Prometheus would
rename ours.
"""

from __future__ import annotations

from .definitions import RESOURCE, Definition, Look
from .exposition import Metrics
from .members import DATA, SENTINELS
from .resources import RESOURCES

LOOKED_AT: tuple[Definition, ...] = (*RESOURCES, *DATA, *SENTINELS)

__all__ = ["LOOKED_AT", "RESOURCE", "Definition", "Look", "Metrics"]
