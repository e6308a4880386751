"""Reads a section of a manifest field by field and knows its JSON path, so that refusals name the place.

The API server has checked types and filled in defaults before; the same is done here again, because a resource
can come from a server with an older CRD and because tests and tools have no server. Fields that nobody asks for
are passed over: a newer CRD must not make every resource invalid for an operator that is about to be replaced.
Called by spec only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from .errors import SpecError

DNS_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_NAME: Final = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"

Choice = TypeVar("Choice", bound=StrEnum)


class Section:
    """One object of a manifest. `path` is where it stands, as people type it: `.spec.sentinel`.

    An absent field and a null are the same; the reader then answers the default that it is given.
    """

    def __init__(self, data: object, path: str) -> None:
        if not isinstance(data, Mapping):
            raise SpecError(path, f"must be an object, not {_kind_of(data)}")
        self.data: Mapping[str, Any] = data
        self.path = path

    def at(self, name: str) -> str:
        """The path of one of its fields."""
        return f"{self.path}.{name}"

    def has(self, name: str) -> bool:
        return self.data.get(name) is not None

    def section(self, name: str) -> Section:
        """A part of it; an absent one is empty, so that all its fields have their defaults."""
        value = self.data.get(name)
        return Section({} if value is None else value, self.at(name))

    def sections(self, name: str) -> Iterator[Section]:
        """The objects of a list."""
        for index, item in enumerate(self._list(name)):
            yield Section(item, f"{self.at(name)}[{index}]")

    def optional_string(self, name: str, *, pattern: str | None = None, like: str = "") -> str | None:
        """A string; where it does not match `pattern` as a whole, `like` says what it should look like."""
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise SpecError(self.at(name), f"must be a string, not {_kind_of(value)}")
        if pattern is not None and not re.fullmatch(pattern, value):
            raise SpecError(self.at(name), f"must be {like}, not {value!r}")
        return value

    def string(self, name: str, default: str | None, *, pattern: str | None = None, like: str = "") -> str:
        """As `optional_string`; without a default it is required."""
        value = self.optional_string(name, pattern=pattern, like=like)
        if value is not None:
            return value
        if default is None:
            raise SpecError(self.at(name), f"is missing; it must be {like}")
        return default

    def optional_integer(self, name: str, *, low: int, high: int) -> int | None:
        value = self.data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise SpecError(self.at(name), f"must be a whole number, not {_kind_of(value)}")
        if not low <= value <= high:
            raise SpecError(self.at(name), f"must be from {low} to {high}, not {value}")
        return value

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        value = self.optional_integer(name, low=low, high=high)
        return default if value is None else value

    def boolean(self, name: str, default: bool) -> bool:
        value = self.data.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise SpecError(self.at(name), f"must be true or false, not {_kind_of(value)}")
        return value

    def choice(self, name: str, default: Choice) -> Choice:
        """One word of the enumeration that the default belongs to."""
        return self.optional_choice(name, type(default)) or default

    def optional_choice(self, name: str, words: type[Choice]) -> Choice | None:
        value = self.data.get(name)
        if value is None:
            return None
        try:
            return words(value)
        except ValueError:
            allowed = ", ".join(words)
            raise SpecError(self.at(name), f"must be one of {allowed}, not {value!r}") from None

    def integers(self, name: str, *, low: int, high: int) -> list[int]:
        """A list of whole numbers."""
        items = Section({str(index): item for index, item in enumerate(self._list(name))}, self.at(name))
        return [items.integer(index, low, low=low, high=high) for index in items.data]

    def strings(self, name: str) -> dict[str, str]:
        """A map of strings."""
        section = self.section(name)
        return {key: section.string(key, "") for key in section.data}

    def scalars(self, name: str) -> dict[str, str]:
        """A map of strings and whole numbers, both as text."""
        section = self.section(name)
        return {key: section.scalar(key) for key in section.data if section.has(key)}

    def scalar(self, name: str) -> str:
        value = self.data.get(name)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            hint = "; put yes and no into quotes" if isinstance(value, bool) else ""
            raise SpecError(self.at(name), f"must be a string or a whole number, not {_kind_of(value)}{hint}")
        return str(value)

    def _list(self, name: str) -> list[Any]:
        value = self.data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise SpecError(self.at(name), f"must be a list, not {_kind_of(value)}")
        return value


def _kind_of(value: object) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "null"
    kinds = (
        (bool, "true or false"),
        (int, "a number"),
        (float, "a fraction"),
        (str, "a string"),
        (list, "a list"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), "an object")
