"""Who may act: one operator process at a time for each ContexRedis, and a fence for all its writes.

    record      the Lease object and the decision what to do about it: pure
    elector     Elector: keeps the Lease, or waits for it; the fence is its clock
    placement   Placement: a leader on a master's node hands the Lease to a standby elsewhere
    neighbours  Neighbours: a cluster-wide operator's view of the Leases of others

The election of the `kubernetes` package (aio.leaderelection 37.0.2) is not used: it fails on an absent Lease,
leaves the leader running where the API is gone or hangs, never releases, and writes local time as UTC.
"""

from contex_operator.lease.elector import Elector, identity_of
from contex_operator.lease.neighbours import Neighbours, guard
from contex_operator.lease.placement import LOOK_EVERY_S, Placement
from contex_operator.lease.record import DURATION_S, MARGIN_S, REQUEST_S, RETRY_S

__all__ = [
    "DURATION_S",
    "LOOK_EVERY_S",
    "MARGIN_S",
    "REQUEST_S",
    "RETRY_S",
    "Elector",
    "Neighbours",
    "Placement",
    "guard",
    "identity_of",
]
