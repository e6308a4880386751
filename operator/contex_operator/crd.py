"""`python -m contex_operator.crd FILE`: bring the CustomResourceDefinition of the cluster up to that of FILE.

Helm installs what lies in a chart's crds/ once and never changes it. The chart's hook runs this before an upgrade,
with the file of the chart that is being installed. Two releases of different age share one definition, so an older
one never takes back what a newer one has brought: the annotation CRD_VERSION decides.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from . import names
from .errors import Conflict, OperatorError
from .kube import Kube
from .resources import CUSTOM_RESOURCE_DEFINITION

Body = dict[str, Any]

ATTEMPTS: Final = 5  # another release may be at it


def version(definition: Mapping[str, Any]) -> tuple[int, ...]:
    """`0.3.0` of the annotation as (0, 3, 0); () where there is none that can be read: older than all others."""
    text = (definition["metadata"].get("annotations") or {}).get(names.ANNOTATION_CRD_VERSION, "")
    parts = text.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def replacement(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> Body | None:
    """What is to be put in the place of `live`, None where that is the newer one.

    The whole spec, for a field that the new one no longer has must go; what others wrote beside it (labels,
    annotations, a conversion) stays, and so does the resourceVersion.
    """
    if version(live) > version(wanted):
        return None
    metadata = dict(live["metadata"])
    for words in ("labels", "annotations"):
        both = {**(metadata.get(words) or {}), **(wanted["metadata"].get(words) or {})}
        if both:
            metadata[words] = both
    spec = dict(wanted["spec"])
    if "conversion" not in spec and "conversion" in live["spec"]:
        spec["conversion"] = live["spec"]["conversion"]
    return {**wanted, "metadata": metadata, "spec": spec}


async def bring_up(kube: Kube, wanted: Mapping[str, Any]) -> str:
    """Do it, and say in one sentence what was done. Raises OperatorError."""
    name = wanted["metadata"]["name"]
    for attempt in range(1, ATTEMPTS + 1):
        live = await kube.get(CUSTOM_RESOURCE_DEFINITION, None, name)
        if live is None:
            raise OperatorError(
                f"there is no CustomResourceDefinition {name} to bring up to date: "
                "kubectl apply --server-side -f helm/contex/crds/"
            )
        body = replacement(live, wanted)
        if body is None:
            return f"{name} is of version {_spelled(live)}, newer than {_spelled(wanted)}, and stays as it is"
        try:
            written = await kube.replace(CUSTOM_RESOURCE_DEFINITION, body)
        except Conflict:
            if attempt == ATTEMPTS:
                raise
            continue
        if written["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]:
            return f"{name} is that of version {_spelled(wanted)} already"
        return f"{name} is now of version {_spelled(wanted)}; it was {_spelled(live)}"
    raise AssertionError("unreachable: the last attempt returns or raises")


def _spelled(definition: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in version(definition)) or "none"


def read(path: Path) -> Body:
    """The definition in a file. Raises OperatorError where there is none."""
    try:
        wanted = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise OperatorError(f"{path} cannot be read: {error}") from error
    if not isinstance(wanted, dict) or wanted.get("kind") != CUSTOM_RESOURCE_DEFINITION.kind:
        raise OperatorError(f"{path} holds no CustomResourceDefinition")
    return wanted


async def run(wanted: Mapping[str, Any]) -> str:
    """`bring_up` in the cluster that this process belongs to. Raises OperatorError."""
    async with await Kube.connect() as kube:
        return await bring_up(kube, wanted)


def main(argv: Sequence[str] | None = None) -> int:
    """0: the definition is that of the file, or a newer one. 1: it is not, and why. 2: no file was named."""
    words = sys.argv[1:] if argv is None else argv
    if len(words) != 1:
        print("usage: python -m contex_operator.crd FILE", file=sys.stderr)
        return 2
    try:
        print(asyncio.run(run(read(Path(words[0])))))
    except OperatorError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
