"""The parts of a ContexRedis that go into its pods: resources, labels, tolerations, security context.

Each function takes the section that holds the field and answers plain data in the API's own spelling, checked as
far as the API server would otherwise refuse a StatefulSet made from it. Called by spec only.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Final

from . import names, quantity
from .errors import SpecError
from .spec_reader import DNS_NAME, Section
from .spec_types import Manifest

DEFAULT_RESOURCES: Final[Manifest] = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"memory": "512Mi"},
}
DEFAULT_SENTINEL_RESOURCES: Final[Manifest] = {
    "requests": {"cpu": "50m", "memory": "64Mi"},
    "limits": {"memory": "128Mi"},
}
DEFAULT_SECURITY_CONTEXT: Final[Manifest] = {
    "runAsUser": 999,
    "runAsGroup": 1000,
    "runAsNonRoot": True,
    "fsGroup": 1000,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}

MAX_ID: Final = 2**31 - 1  # of users and groups

_LABEL_KEY: Final = rf"({DNS_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?"
_LABEL_VALUE: Final = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_RESOURCE: Final = r"cpu|memory|ephemeral-storage|hugepages-.+|.+/.+"

OWNED_LABELS: Final = ("app", "app.kubernetes.io/managed-by", "controller-revision-hash")
OWNED_LABEL_PREFIXES: Final = (f"{names.GROUP}/", "statefulset.kubernetes.io/", "apps.kubernetes.io/")


def resources(section: Section, default: Manifest) -> Manifest:
    """Requests and limits; what is written replaces the default as a whole, an empty part is left out."""
    if not section.has("resources"):
        return default
    written = section.section("resources")
    parts = {part: _quantities(written, part) for part in ("requests", "limits")}
    for name, request in parts["requests"].items():
        limit = parts["limits"].get(name)
        if limit is not None and quantity.amount(request) > quantity.amount(limit):
            raise SpecError(
                written.at(f"requests.{name}"), f"a request of {request} is above the limit of {limit}"
            )
    return {part: values for part, values in parts.items() if values}


def _quantities(section: Section, part: str) -> dict[str, str]:
    values = section.scalars(part)
    for name, value in values.items():
        if not re.fullmatch(_RESOURCE, name):
            raise SpecError(section.at(part), f"{name!r} is no resource of a container; use cpu or memory")
        try:
            quantity.amount(value)
        except ValueError as error:
            raise SpecError(section.at(f"{part}.{name}"), str(error)) from None
    return values


def labels(section: Section, name: str) -> dict[str, str]:
    """A map whose keys and values have the form of labels."""
    found = section.strings(name)
    for key, value in found.items():
        _check_key(key, section.at(name))
        if not re.fullmatch(_LABEL_VALUE, value):
            raise SpecError(
                section.at(f"{name}.{key}"),
                "must be at most 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or"
                f" digit, not {value!r}",
            )
    return found


def _check_key(key: str, path: str) -> None:
    if not re.fullmatch(_LABEL_KEY, key):
        raise SpecError(path, f"{key!r} is no key of a label or annotation like example.com/team")


def pod_labels(section: Section) -> dict[str, str]:
    found = labels(section, "podLabels")
    for key in found:
        if key in OWNED_LABELS or key.startswith(OWNED_LABEL_PREFIXES):
            raise SpecError(
                section.at("podLabels"),
                f"{key} cannot be set in podLabels: the pods are found by it; use a key of your own",
            )
    return found


def pod_annotations(section: Section) -> dict[str, str]:
    annotations = section.strings("podAnnotations")
    for key in annotations:
        _check_key(key, section.at("podAnnotations"))
        if key.startswith(f"{names.GROUP}/"):
            raise SpecError(
                section.at("podAnnotations"),
                f"{key} cannot be set in podAnnotations: it belongs to the operator; use a key of your own",
            )
    return annotations


def toleration(section: Section) -> Manifest:
    key = section.optional_string("key")
    operator = section.optional_string("operator", pattern="Equal|Exists", like="Equal or Exists")
    value = section.optional_string("value")
    effects = "NoSchedule|PreferNoSchedule|NoExecute"
    effect = section.optional_string("effect", pattern=effects, like=effects.replace("|", ", "))
    seconds = section.optional_integer("tolerationSeconds", low=0, high=2**63 - 1)
    if operator == "Exists" and value:
        raise SpecError(section.at("value"), "a toleration with operator Exists has no value; leave it out")
    if operator != "Exists" and not key:
        raise SpecError(section.at("key"), "a toleration without key needs operator Exists")
    if seconds is not None and effect != "NoExecute":
        raise SpecError(section.at("tolerationSeconds"), "needs effect NoExecute")
    return as_written(section)


def security_context(section: Section) -> Manifest:
    """Defaults under what is written; a null takes an entry out. What Pod Security forbids is refused."""
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        section.optional_integer(name, low=1, high=MAX_ID)
    section.integers("supplementalGroups", low=1, high=MAX_ID)
    section.boolean("runAsNonRoot", True)
    policies = "OnRootMismatch|Always"
    section.optional_string("fsGroupChangePolicy", pattern=policies, like=policies.replace("|", " or "))
    profile = section.section("seccompProfile")
    if section.has("seccompProfile"):
        file = profile.optional_string("localhostProfile", pattern=".{1,253}", like="a path on the node")
        types = "RuntimeDefault|Localhost"
        kind = profile.string("type", None, pattern=types, like=types.replace("|", " or "))
        if (kind == "Localhost") != (file is not None):
            raise SpecError(
                profile.at("localhostProfile"), "names the file of type Localhost; give both or neither"
            )
    section.strings("seLinuxOptions")
    written = {**DEFAULT_SECURITY_CONTEXT, **section.data}
    return copy.deepcopy({name: value for name, value in written.items() if value is not None})


def as_written(section: Section) -> dict[str, Any]:
    """What goes into a pod template word for word."""
    return copy.deepcopy(dict(section.data))
