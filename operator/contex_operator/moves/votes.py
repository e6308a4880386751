"""Sentinel's own election, asked from outside: votes for a candidate in a fresh epoch, then the hello that tells.

A majority of votes makes an epoch ours alone, so that a configuration with that epoch can be announced. Sources:
sentinel.c, sentinelVoteLeader (one vote per epoch, persisted before it is answered) and sentinelProcessHelloMessage
(a configuration with a higher epoch from a known peer is taken over at once); the same in 6.2 to Valkey 9. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .. import names
from .step import Ask, Member

HELLO: Final = "__sentinel__:hello"


def ballot(named: Mapping[str, str], *, epoch: int, candidate: str) -> tuple[Ask, ...]:
    """Ask each sentinel for its vote. `named` maps sentinels' pods to the address that each monitors now (it votes
    about no other); `candidate` is 40 hex digits.
    """
    return tuple(
        Ask(
            member=pod,
            command=("SENTINEL", "IS-MASTER-DOWN-BY-ADDR", address, names.REDIS_PORT, epoch, candidate),
            changes=True,
        )
        for pod, address in named.items()
    )


def count(replies: Sequence[object], *, epoch: int, candidate: str) -> tuple[int, int]:
    """(votes for the candidate in that epoch, highest epoch in which anybody says to have voted)."""
    votes = highest = 0
    for reply in replies:
        if not isinstance(reply, list) or len(reply) != 3:
            continue
        leader, voted = str(reply[1]), int(reply[2])
        highest = max(highest, voted)
        votes += leader == candidate and voted == epoch
    return votes, highest


def hello(
    sentinels: Sequence[Member], *, ids: Mapping[str, str], master_name: str, master: str, epoch: int
) -> tuple[Ask, ...]:
    """Tell each sentinel the new configuration in the name of a peer that it knows.

    `ids` maps sentinels' pods to their run ids (SENTINEL MYID). Only those whose peer's id is known are told.
    """
    asks = []
    for sentinel in sentinels:
        peer = next((s for s in sentinels if s.pod != sentinel.pod and s.pod in ids), None)
        if peer is None:
            continue
        words = (peer.address, names.SENTINEL_PORT, ids[peer.pod], epoch)
        message = ",".join(map(str, (*words, master_name, master, names.REDIS_PORT, epoch)))
        asks.append(Ask(member=sentinel.pod, command=("PUBLISH", HELLO, message), changes=True))
    return tuple(asks)
