"""What `python -m bench all` runs, in the order in which it is worth most when it is cut short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REDIS_7, REDIS_8, VALKEY_9 = IMAGES = ("redis:7-alpine", "redis:8", "valkey/valkey:9")
PROFILES: Final = ("available", "balanced", "strict")
BALANCED: Final = "balanced"


@dataclass(frozen=True)
class Item:
    """`n` is a share of what was asked for (`--n`): long scenarios need fewer repetitions to be believed."""

    scenario: str
    subject: str = "contex"
    profile: str = BALANCED
    image: str = REDIS_7
    share: float = 1.0


def everything() -> tuple[Item, ...]:
    """The planned moves and faults, beside the rivals first; then the other profiles and images."""
    moves = ("switchover", "crash", "crash-alone", "power-off", "delete-master")
    beside = [
        Item(name, subject=subject, share=0.5)
        for name in ("switchover", "crash", "delete-master", "power-off", "cold-start")
        for subject in ("plain", "prestop")
    ]
    once = [Item(n, share=0.5) for n in ("power-off-leader", "upgrade", "cold-start", "service-lag")]
    profiles = [
        Item(n, profile=p, share=0.4) for p in PROFILES if p != BALANCED for n in ("switchover", "crash")
    ]
    images = [Item(n, image=i, share=0.4) for i in (REDIS_8, VALKEY_9) for n in ("switchover", "crash")]
    return (*(Item(name) for name in moves), *once, *beside, *profiles, *images)
