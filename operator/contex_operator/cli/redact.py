"""Takes secrets out of what leaves the cluster. Pure.

Two nets: values that are known (where the user may read the Secrets) are replaced wherever they stand, and patterns
catch what is not known: credentials in URLs, password settings, variables whose names say that they hold a secret.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

HIDDEN: Final = "***"

_SECRET_NAME: Final = re.compile(r"pass|secret|token|salt|api.?key|credential|auth$|private", re.IGNORECASE)
# A secret ends with its quotes, or at a blank where it has none; nothing is looked for beyond its line.
_PATTERNS: Final = (
    re.compile(r"(?P<kept>[a-z][a-z0-9+.-]*://)[^@/\s\"']+@", re.IGNORECASE),
    re.compile(
        r"(?P<kept>\b(?:requirepass|masterauth|sentinel[ -](?:auth-pass|sentinel-pass)(?: \S+)?|AUTH)[ \t]+)"
        r"(?!failed)[^\s\"']+",
    ),
    re.compile(
        r"(?P<kept>\b(?![\w-]*(?:name|ref|version)\b)"
        r"[\w-]*(?:password|passwd|secret|token|salt|api_?key)[\w-]*\\*[\"']?[ \t]*[=:][ \t]*)"
        r"(?:\\*\"[^\"\n]*\"|'[^'\n]*'|[^\s\"',}]+)",
        re.IGNORECASE,
    ),
)

# A short value would be found everywhere; one of so few letters is no secret either.
_SHORTEST: Final = 4
_DROPPED_ANNOTATIONS: Final = ("kubectl.kubernetes.io/last-applied-configuration",)


def spellings(values: Iterable[str]) -> tuple[str, ...]:
    """Every form in which a secret value can stand in a text, the longest first."""
    found: set[str] = set()
    for value in values:
        if len(value) < _SHORTEST:
            continue
        found |= {value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1]}
        found.add(base64.b64encode(value.encode()).decode())
    return tuple(sorted(found, key=len, reverse=True))


def text(content: str, *, known: Iterable[str] = ()) -> str:
    """`content` without secrets; `known` are `spellings`."""
    for value in known:
        content = content.replace(value, HIDDEN)
    for pattern in _PATTERNS:
        content = pattern.sub(
            lambda match: match["kept"] + (f"{HIDDEN}@" if match[0].endswith("@") else HIDDEN), content
        )
    return content


def manifest(body: Mapping[str, Any]) -> dict[str, Any]:
    """An object of the API without what may be secret, and without what nobody reads (managedFields).

    Of a Secret only the names of its keys are left.
    """
    copy: dict[str, Any] = json.loads(json.dumps(body))
    metadata = copy.get("metadata") or {}
    metadata.pop("managedFields", None)
    for name in _DROPPED_ANNOTATIONS:
        (metadata.get("annotations") or {}).pop(name, None)
    if copy.get("kind") == "Secret":
        for section in ("data", "stringData"):
            if section in copy:
                copy[section] = dict.fromkeys(copy[section], HIDDEN)
    _hide_env(copy)
    return copy


def _hide_env(tree: Any) -> None:
    if isinstance(tree, list):
        for item in tree:
            _hide_env(item)
    elif isinstance(tree, dict):
        name = tree.get("name")
        if isinstance(name, str) and isinstance(tree.get("value"), str) and _SECRET_NAME.search(name):
            tree["value"] = HIDDEN
        for item in tree.values():
            _hide_env(item)
