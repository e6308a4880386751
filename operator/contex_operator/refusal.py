"""Does the master take writes? Redis refuses them for reasons of its own, and says so only to whoever tries to write.

Pure: one node's answers in, the reason out. The rules are Redis' own (server.c, processCommand: the order too;
writeCommandsDeniedByDiskError; evict.c, getMaxmemoryState), the same in 6.2 to Valkey 9. Called by status and metrics.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from . import quantity
from .model import DataNode


class Cause(enum.StrEnum):
    """Why writes are refused: one word, constant, as a metric's label takes it."""

    MEMORY_FULL = "MemoryFull"  # OOM
    DUMP_FAILED = "DumpFailed"  # MISCONF
    APPEND_ONLY_FILE_FAILED = "AppendOnlyFileFailed"  # MISCONF
    TOO_FEW_REPLICAS = "TooFewReplicas"  # NOREPLICAS


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Writes are refused; `message` is one sentence: why, and what to do. No number in it moves by itself."""

    cause: Cause
    message: str


def refusal(master: DataNode) -> Refusal | None:
    """Why this master refuses writes now, None where it takes them."""
    if _is_full(master):
        limit = quantity.for_people(master.maxmemory or 0)
        return Refusal(
            cause=Cause.MEMORY_FULL,
            message=f"{master.pod} refuses writes: its data have reached maxmemory ({limit}), and maxmemory-policy "
            f"{master.maxmemory_policy} finds nothing to evict; delete keys, raise resources.limits.memory or "
            "config.maxmemory, or choose a policy that evicts",
        )
    saves = bool(master.config.get("save", "").strip())
    if not master.dump_ok and saves and master.config.get("stop-writes-on-bgsave-error", "yes") != "no":
        return Refusal(
            cause=Cause.DUMP_FAILED,
            message=f"{master.pod} refuses writes: its last dump failed; make room on its volume or give it the memory "
            "for a fork (its log says which), or take config.save away: the append-only file is kept anyway",
        )
    if not master.aof_ok:
        return Refusal(
            cause=Cause.APPEND_ONLY_FILE_FAILED,
            message=f"{master.pod} refuses writes: it could not write its append-only file; make room on its volume "
            "(its log says what failed), and it goes on by itself",
        )
    wanted, linked = master.min_replicas or 0, master.good_replicas
    if linked is not None and linked < wanted:
        are = "is" if linked == 1 else "are"
        return Refusal(
            cause=Cause.TOO_FEW_REPLICAS,
            message=f"{master.pod} refuses writes: {linked} of the {wanted} replicas that min-replicas-to-write asks "
            f"for {are} keeping up; it goes on by itself once they do (durability: available never refuses)",
        )
    return None


def _is_full(node: DataNode) -> bool:
    """`volatile-` policies evict what has an expiry, and refuse where nothing has; `allkeys-` ones always evict."""
    limit, used = node.maxmemory or 0, node.used_memory
    policy = node.maxmemory_policy or "noeviction"
    if not limit or used is None or used <= limit:
        return False
    return policy == "noeviction" or (policy.startswith("volatile-") and not node.expiring_keys)
