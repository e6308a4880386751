"""JSON schemas for kubeconform, made from the OpenAPI description of Kubernetes and from the project's CRD.

Strict: a field that the API does not know is an error. Made once for each version, into the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from lab.openapi import description
from lab.paths import cache_dir
from tests.chart.rendering import CHART

Schema = dict[str, Any]
_PREFIX: Final = "#/definitions/"
# Part of the folder's name: another way of making them is another folder.
_RECIPE: Final = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def kubernetes_schemas(version: str) -> str:
    """A schema location for kubeconform: one file for each kind, made now if it is not there."""
    folder = cache_dir() / "schemas" / f"kubernetes-{version}-{_RECIPE}"
    if not folder.exists():
        _write(folder, _kubernetes_kinds(json.loads(description(version).read_text())["definitions"]))
    return _location(folder)


def crd_schemas(folder: Path) -> str:
    """The same for the chart's own CRDs, made into `folder`."""
    _write(folder, _custom_kinds())
    return _location(folder)


def _location(folder: Path) -> str:
    return f"{folder}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"


def _write(folder: Path, kinds: Iterator[tuple[str, Schema]]) -> None:
    """All files or none: a test run that is broken off leaves no half of a folder."""
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    draft.mkdir(parents=True)
    for name, schema in kinds:
        (draft / f"{name}.json").write_text(json.dumps(schema))
    try:
        draft.rename(folder)
    except OSError:  # another test run was first
        shutil.rmtree(draft)


def _kubernetes_kinds(definitions: dict[str, Schema]) -> Iterator[tuple[str, Schema]]:
    strict = {name: _strict(definition) for name, definition in definitions.items()}
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            reached = _reachable(strict, name)
            group = kind["group"].split(".")[0]
            suffix = "-".join(part for part in (group, kind["version"]) if part).lower()
            schema = strict[name] | {"definitions": {each: strict[each] for each in sorted(reached)}}
            properties = schema["properties"] | {
                "apiVersion": {"enum": ["/".join(part for part in (kind["group"], kind["version"]) if part)]},
                "kind": {"enum": [kind["kind"]]},
            }
            yield f"{kind['kind'].lower()}-{suffix}", schema | {"properties": properties}


def _custom_kinds() -> Iterator[tuple[str, Schema]]:
    for path in sorted((CHART / "crds").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())["spec"]
        group = definition["group"].split(".")[0]
        for version in definition["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            yield f"{definition['names']['kind'].lower()}-{group}-{version['name']}", schema


def _reachable(definitions: dict[str, Schema], name: str) -> set[str]:
    """Names of all definitions that `name` leads to."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        text = json.dumps(definitions[waiting.pop()])
        new = set(re.findall(rf'"{_PREFIX}([^"]+)"', text)) - found
        found |= new
        waiting += new
    return found


def _strict(node: Any) -> Any:
    """The schema with Kubernetes' own words translated, and closed where it lists properties."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "int-or-string" or node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    result = {key: _strict(value) for key, value in node.items() if not key.startswith("x-kubernetes-")}
    if isinstance(result.get("properties"), dict) and result.get("type", "object") == "object":
        if "additionalProperties" not in result and not node.get("x-kubernetes-preserve-unknown-fields"):
            result["additionalProperties"] = False
        # What is not required may be null: the API server drops it.
        required = result.get("required", [])
        result["properties"] = {
            key: value if key in required else _nullable(value) for key, value in result["properties"].items()
        }
    return result


def _nullable(schema: Any) -> Any:
    if isinstance(schema, dict) and isinstance(schema.get("type"), str):
        if "enum" in schema:
            return {"anyOf": [schema, {"type": "null"}]}
        return schema | {"type": [schema["type"], "null"]}
    return schema
