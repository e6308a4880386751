"""Kubernetes quantities ("512Mi", "250m", "1.5Gi", "2e3") and Redis memory sizes ("256mb") as numbers.

Two notations that look alike and differ: Kubernetes' `M` is 10^6 and `Mi` 2^20, Redis' `m` is 10^6 and `mb`
2^20.
Lowest layer: imports nothing of the package.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(
    r"\+?(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
    r"(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
_SUFFIXES: Final[dict[str, Decimal]] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal("1e3"),
    **{letter: Decimal(10) ** (3 * power) for power, letter in enumerate("MGTPE", start=2)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}

_REDIS_MEMORY: Final = re.compile(r"(?P<number>[0-9]+)(?P<unit>b|kb?|mb?|gb?)?", re.IGNORECASE)
_REDIS_UNITS: Final = {
    "b": 1,
    "k": 10**3,
    "kb": 2**10,
    "m": 10**6,
    "mb": 2**20,
    "g": 10**9,
    "gb": 2**30,
}


def amount(text: str) -> Decimal:
    """A Kubernetes quantity in its base unit: bytes, cores, pieces. ValueError for anything else."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a Kubernetes quantity like 512Mi, 250m or 2")
    number = Decimal(found["number"])
    if found["suffix"]:
        return number * _SUFFIXES[found["suffix"]]
    return number.scaleb(int(found["exponent"])) if found["exponent"] else number


def redis_memory(text: str) -> int:
    """A memory size of redis.conf in bytes ("1mb" = 1048576, "1m" = 1000000). ValueError otherwise."""
    found = _REDIS_MEMORY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a size that Redis knows, like 268435456, 256mb or 1gb")
    return int(found["number"]) * _REDIS_UNITS[(found["unit"] or "b").lower()]


def for_people(size_bytes: int) -> str:
    """A number of bytes in the largest binary unit that keeps it readable: 512Mi, 1.5Gi."""
    for unit, power in (("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if size_bytes >= 2**power:
            return f"{size_bytes / 2**power:.1f}".removesuffix(".0") + unit
    return str(size_bytes)
