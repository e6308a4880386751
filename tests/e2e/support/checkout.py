"""Which moves the operator of this checkout knows. Found out from the checkout itself, so that bench and chaos
pick a move up with the commit that brings it, and say what they leave out until then."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from contex_operator import names

from tests.e2e.support.spaces import CHART


@dataclass(frozen=True)
class Moves:
    """What can be asked of the operator. `switchover` is the annotation that asks for one, None = none does."""

    switchover: str | None
    rollout: bool
    scale_down: bool
    assisted: bool


@cache
def moves() -> Moves:
    """By the names that the operator knows, its procedures and the CRD's fields and rules."""
    spec = _spec_schema()
    replicas = [rule["rule"] for rule in spec["replicas"].get("x-kubernetes-validations", ())]
    return Moves(
        switchover=getattr(names, "ANNOTATION_SWITCHOVER", None),
        rollout=importlib.util.find_spec("contex_operator.procedures.rollout") is not None,
        scale_down="self >= oldSelf" not in replicas,
        assisted="failover" in spec,
    )


def _spec_schema() -> dict[str, Any]:
    (path,) = (CHART / "crds").glob("*.yaml")
    crd = yaml.safe_load(path.read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: dict[str, Any] = schema["properties"]["spec"]["properties"]
    return found
