"""Can one node load what another sends it? The data of a full sync are an RDB, and its format has a version.

Pure, and sure or silent: of a pair that is not known for certain nothing is said, and the rollout's deadline decides.
Sources: RDB_VERSION in rdb.h of each release; valkey rdb.h (12 to 79 are foreign to it; it writes for a replica what
that one can read, 11 for one that does not say); measured: facts of the upgrade paths, 7.0 to 9.
"""

from __future__ import annotations

import re
from typing import Final

from .model import DataNode

VALKEY: Final = "Valkey"
REDIS: Final = "Redis"

# From which release on Redis writes, and reads up to, which version. 7.4 is the last one that is known for certain:
# later ones write at least that.
_REDIS: Final = (((7, 4), 12), ((7, 2), 11), ((7, 0), 10), ((6, 0), 9))
_OPEN_END: Final = 12
_VALKEY: Final = 11  # what Valkey has in common with Redis


def unreadable(replica: DataNode, master: DataNode) -> str | None:
    """Why this replica can never be in sync with this master, as a part of a sentence; None where it can, or may."""
    sent, limit = _writes(master), _reads(replica)
    if sent is None or limit is None or sent <= limit:
        return None
    return (
        f"it runs {_name(replica)}, which cannot load the data of {_name(master)} (RDB version {sent} or later; "
        f"it reads up to {limit}); choose an image that can, or move the data to a set of its own"
    )


def _writes(master: DataNode) -> int | None:
    """The least version that it sends to a replica."""
    return _VALKEY if master.server == VALKEY else _of_redis(master)


def _reads(replica: DataNode) -> int | None:
    """The highest version that it loads; None where that is not known."""
    if replica.server == VALKEY:
        return _VALKEY
    found = _of_redis(replica)
    return None if found == _OPEN_END else found


def _of_redis(node: DataNode) -> int | None:
    numbers = re.match(r"(\d+)\.(\d+)", node.version or "")
    if numbers is None or node.server != REDIS:
        return None
    release = (int(numbers[1]), int(numbers[2]))
    return next((version for since, version in _REDIS if release >= since), None)


def _name(node: DataNode) -> str:
    return f"{node.server} {node.version}"
