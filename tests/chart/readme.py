"""The table of values in the chart's README, made of the comments in values.yaml, and the list of those values that
have to be there.

    python -m tests.chart.readme        writes the table into helm/contex/README.md, the list to files/values.txt

A description is a comment that begins with `# -- ` and stands directly above its key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tests.chart.rendering import CHART

README: Final = CHART / "README.md"
VALUES: Final = CHART / "values.yaml"
NEEDED: Final = CHART / "files" / "values.txt"
BEGIN: Final = "<!-- values: made of values.yaml, do not edit -->"
END: Final = "<!-- end of values -->"
_KEY: Final = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):")
_DESCRIPTION: Final = re.compile(r"^ *# -- (.*)$")


@dataclass(frozen=True)
class Value:
    """One described value: its path (`redis.sentinel.quorum`), default and description."""

    path: str
    default: Any
    description: str

    def row(self) -> str:
        default = "" if self.default == "" else f"`{json.dumps(self.default, ensure_ascii=False)}`"
        cells = (cell.replace("|", r"\|") for cell in (f"`{self.path}`", self.description, default))
        return f"| {' | '.join(cells)} |"


def values() -> list[Value]:
    """All described values, in the file's order. Raises ValueError for a description without a key below it."""
    text = VALUES.read_text()
    return list(_values(text.splitlines(), yaml.safe_load(text)))


def _values(lines: list[str], defaults: dict[str, Any]) -> Iterator[Value]:
    parents: list[str] = []
    description = ""
    for number, line in enumerate(lines, start=1):
        if found := _DESCRIPTION.match(line):
            description = found.group(1)
            continue
        key = _KEY.match(line)
        if key:
            depth = len(key.group(1)) // 2
            parents = [*parents[:depth], key.group(2)]
            if description:
                yield Value(".".join(parents), _at(defaults, parents), description)
        elif description:
            raise ValueError(f"{VALUES.name}:{number - 1}: a description without a key below it")
        description = ""


def _at(defaults: Any, path: list[str]) -> Any:
    for part in path:
        defaults = defaults[part]
    return defaults


def undescribed() -> list[str]:
    """Paths of values.yaml that have no description, nor one on the way to them."""
    described = {value.path for value in values()}

    def walk(node: Any, path: tuple[str, ...]) -> Iterator[str]:
        if path and ".".join(path) in described:
            return
        if isinstance(node, dict) and node:
            for key, value in node.items():
                yield from walk(value, (*path, key))
        else:
            yield ".".join(path)

    return list(walk(yaml.safe_load(VALUES.read_text()), ()))


def needed() -> str:
    """Paths of the values that the templates cannot do without, a line each: all that have a default of one word,
    but for those that may be null by the schema.
    """
    schema = json.loads((CHART / "values.schema.json").read_text())
    paths = [
        value.path
        for value in values()
        if not isinstance(value.default, (dict, list))
        and value.default not in (None, "")
        and "null" not in _type(schema, value.path)
    ]
    return "\n".join(paths) + "\n"


def _type(schema: Any, path: str) -> list[str]:
    """The types that the schema allows at `path`; none where it says so otherwise."""
    node = schema
    for part in path.split("."):
        node = node["properties"][part]
        while "$ref" in node:
            node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]]
    types = node.get("type", [])
    return [types] if isinstance(types, str) else types


def table() -> str:
    """The table between the README's marks."""
    rows = "\n".join(value.row() for value in values())
    return f"{BEGIN}\n| Value | Meaning | Default |\n|---|---|---|\n{rows}\n{END}"


def with_table(readme: str) -> str:
    """The README's text with the present table. Raises ValueError where the marks are missing."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"{README.name} needs the marks {BEGIN!r} and {END!r}, once each")
    before, rest = readme.split(BEGIN)
    return before + table() + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
    NEEDED.write_text(needed())
