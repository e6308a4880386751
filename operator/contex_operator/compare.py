"""Where a live object differs from what is wanted of it. Pure; called by children.

The API server fills in defaults and other managers write fields of their own: only what is wanted is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import quantity
from .model import Object


def first_difference(wanted: Object, live: Object) -> str | None:
    """Where the live object differs from what is wanted, as a path; None where every wanted field is there.

    Fields that only the live object has (defaults, other managers') do not count. Lists of named things are
    compared by name, other lists as a whole. Quantities are equal when their amounts are ("1000m" is "1").
    """
    return _difference(wanted, live, path="")


def _difference(wanted: Any, live: Any, *, path: str) -> str | None:
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            return path
        for key, value in wanted.items():
            if key not in live:
                if value in ({}, [], None):
                    continue
                return f"{path}.{key}"
            found = _difference(value, live[key], path=f"{path}.{key}")
            if found:
                return found
        return None
    if isinstance(wanted, (list, tuple)):
        return _list_difference(wanted, live, path=path)
    if wanted == live or _same_quantity(wanted, live, path=path):
        return None
    return path


def _list_difference(wanted: Any, live: Any, *, path: str) -> str | None:
    if not isinstance(live, list):
        return path
    wanted_by_name, live_by_name = _by_name(wanted), _by_name(live)
    if wanted_by_name and live_by_name:
        return _difference(wanted_by_name, live_by_name, path=path)
    if len(wanted) != len(live):
        return path
    for index, value in enumerate(wanted):
        found = _difference(value, live[index], path=f"{path}[{index}]")
        if found:
            return found
    return None


def _by_name(items: Any) -> dict[str, Any] | None:
    """A list of things that each have a name of their own, as a dict; None for any other list."""
    if not all(isinstance(item, Mapping) and isinstance(item.get("name"), str) for item in items):
        return None
    named = {item["name"]: item for item in items}
    return named if len(named) == len(items) else None


def _same_quantity(wanted: Any, live: Any, *, path: str) -> bool:
    if not any(word in path for word in (".resources.", ".storage")):
        return False
    try:
        return quantity.amount(str(wanted)) == quantity.amount(str(live))
    except ValueError:
        return False
