"""Which resource is meant: kubeconfig, context, namespace and name, and good words where one of them is not there."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from contex_operator import names
from contex_operator.errors import Forbidden, KubeError, NotFound, Unreachable
from contex_operator.kube import Access, Kube
from contex_operator.model import Object
from contex_operator.resources import CONTEX_REDIS, NAMESPACE

from .errors import Stop


@dataclass(frozen=True, kw_only=True)
class Target:
    """The resource that a command is about, as it is now."""

    namespace: str
    name: str
    resource: Object


def access_of(*, kubeconfig: str | None, context: str | None) -> Access:
    """As kubectl chooses: the option, $KUBECONFIG, ~/.kube/config, and inside a pod its ServiceAccount."""
    if kubeconfig and not Path(kubeconfig).is_file():
        raise Stop(f"--kubeconfig {kubeconfig}: there is no such file")
    home = Path.home() / ".kube" / "config"
    told = kubeconfig or os.environ.get("KUBECONFIG") or (str(home) if home.is_file() else None)
    return Access(kubeconfig=told, context=context)


def default_namespace(access: Access) -> str:
    """The namespace of the context in use, else `default`."""
    if access.is_in_cluster:
        file = access.token_file.parent / "namespace"
        return file.read_text(encoding="utf-8").strip() if file.is_file() else "default"
    documents = [
        yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        for path in (access.kubeconfig or "").split(os.pathsep)
        if path and Path(path).is_file()
    ]
    current = access.context or next(
        (d["current-context"] for d in documents if d.get("current-context")), None
    )
    contexts: list[Any] = [context for document in documents for context in document.get("contexts") or ()]
    found: dict[str, Any] = next((one["context"] for one in contexts if one.get("name") == current), {})
    return str(found.get("namespace") or "default")


async def find(kube: Kube, *, namespace: str, name: str | None) -> Target:
    """The resource; without a name the only one of the namespace. Raises Stop with a sentence that helps."""
    try:
        found = await kube.list(CONTEX_REDIS, namespace)
    except NotFound:
        raise Stop(
            f"the cluster at {kube.host} does not know {names.KIND}: its CRD is missing; "
            "install the chart, or apply helm/contex/crds/"
        ) from None
    there = {str(body["metadata"]["name"]): body for body in found}
    if name is None:
        if len(there) == 1:
            name = next(iter(there))
        elif there:
            raise Stop(
                f"there are several {names.KIND} in namespace {namespace}, name one: {', '.join(sorted(there))}"
            )
        else:
            raise Stop(await _none(kube, namespace))
    if name not in there:
        if not there:
            raise Stop(f"there is no {names.KIND} {name}: {await _none(kube, namespace)}")
        alike = difflib.get_close_matches(name, there, n=1)
        hint = f"did you mean {alike[0]}?" if alike else f"there are: {', '.join(sorted(there))}"
        raise Stop(f"there is no {names.KIND} {name} in namespace {namespace}; {hint}")
    return Target(namespace=namespace, name=name, resource=there[name])


async def _none(kube: Kube, namespace: str) -> str:
    """Nothing in this namespace: does it exist, and where else are there some?"""
    sentence = f"namespace {namespace} has no {names.KIND}"
    try:
        if await kube.get(NAMESPACE, None, namespace) is None:
            sentence = f"there is no namespace {namespace}"
    except KubeError:
        pass  # no right to look: then it stays with what is known
    try:
        places = sorted({str(body["metadata"]["namespace"]) for body in await kube.list(CONTEX_REDIS, None)})
    except KubeError:
        places = []
    return sentence + (
        f"; there are some in {', '.join(places)} (-n)" if places else "; name another with -n"
    )


def explain(error: KubeError) -> str:
    """A refusal of the API as one sentence that says what to do."""
    if isinstance(error, Forbidden):
        return (
            f"not allowed: {error.message}; ask for this verb, or see what you may: kubectl auth can-i --list"
        )
    if isinstance(error, Unreachable):
        return f"no cluster: {error.message}; choose one with --kubeconfig or --context"
    if error.status == 401:
        return f"the cluster does not accept these credentials: {error.message}; log in anew, or choose --context"
    return error.message
