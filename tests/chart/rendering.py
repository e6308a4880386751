"""The chart rendered by helm as values that tests can ask questions of."""

from __future__ import annotations

import base64
import functools
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from lab.tools import tool

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "helm" / "contex"
VALUES_HA: Final = ROOT / "values-ha.yaml"
DOCUMENTED: Final = Path(__file__).with_name("documented-values.yaml")

Values = Mapping[str, Any]
Object = dict[str, Any]


class RefusedError(Exception):
    """helm would not render; `str()` is all that it said."""


def helm(*argv: str, binary: str = "helm", **options: Any) -> subprocess.CompletedProcess[str]:
    """Run helm (or helm4); never raises for its exit code."""
    return subprocess.run(
        [str(tool(binary)), *argv], capture_output=True, text=True, timeout=120, check=False, **options
    )


@dataclass(frozen=True)
class Manifests:
    """Everything that one rendering gave; `text` is what helm printed."""

    text: str

    @functools.cached_property
    def objects(self) -> tuple[Object, ...]:
        return tuple(document for document in yaml.safe_load_all(self.text) if document)

    def all(self, kind: str) -> list[Object]:
        """What stays: without the hooks of an upgrade."""
        return [body for body in self.objects if body["kind"] == kind and not is_upgrade_hook(body)]

    def hooks(self, kind: str) -> list[Object]:
        """What is there during an upgrade only."""
        return [body for body in self.objects if body["kind"] == kind and is_upgrade_hook(body)]

    def one(self, kind: str, name: str | None = None) -> Object:
        """The only object of that kind (and name). Raises AssertionError with what there is instead."""
        found = [body for body in self.all(kind) if name in (None, body["metadata"]["name"])]
        names = [(body["kind"], body["metadata"]["name"]) for body in self.objects]
        assert len(found) == 1, f"{len(found)} objects {kind} {name or ''} in {names}"
        return found[0]

    def has(self, kind: str, name: str | None = None) -> bool:
        return any(name in (None, body["metadata"]["name"]) for body in self.all(kind))

    def spec(self) -> Object:
        """Spec of the ContexRedis."""
        spec: Object = self.one("ContexRedis")["spec"]
        return spec

    def contex(self) -> str:
        """Name of the Deployment that runs Contex."""
        labels = [body["metadata"]["labels"] | body["metadata"] for body in self.all("Deployment")]
        (name,) = (each["name"] for each in labels if each["app.kubernetes.io/name"] == "contex")
        return str(name)

    def container(self, deployment: str | None = None, *, init: bool = False) -> Object:
        """The only container (or init container) of a Deployment, by default of Contex'."""
        pod = self.one("Deployment", deployment or self.contex())["spec"]["template"]["spec"]
        containers = pod.get("initContainers" if init else "containers", [])
        assert len(containers) == 1
        body: Object = containers[0]
        return body

    def environment(self, deployment: str | None = None) -> dict[str, str]:
        """The container's environment as the kubelet resolves it; references as `secret/key` and field paths."""
        container = self.container(deployment)
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for entry in container.get("env", []):
            source = entry.get("valueFrom", {})
            if secret := source.get("secretKeyRef"):
                found[entry["name"]] = f"{secret['name']}/{secret['key']}"
            elif field := source.get("fieldRef"):
                found[entry["name"]] = field["fieldPath"]
            else:
                found[entry["name"]] = entry["value"]
        return found

    def secret_data(self) -> dict[str, str]:
        """Decoded data of all Secrets, as `name/key`."""
        return {
            f"{body['metadata']['name']}/{key}": base64.b64decode(value).decode()
            for body in self.all("Secret")
            for key, value in body["data"].items()
        }


def is_upgrade_hook(body: Object) -> bool:
    return bool(body["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-upgrade")


def render(
    values: Values | None = None,
    *,
    files: Sequence[Path] = (),
    release: str = "contex",
    namespace: str = "default",
    args: Sequence[str] = (),
) -> Manifests:
    """The chart with the default values, `files` and `values`, in this order. Raises RefusedError."""
    return _render(json.dumps(values or {}), tuple(files), release, namespace, tuple(args))


@functools.cache
def _render(
    values: str, files: tuple[Path, ...], release: str, namespace: str, args: tuple[str, ...]
) -> Manifests:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as given:
        given.write(values)
        given.flush()
        argv = ["template", release, str(CHART), "--namespace", namespace, *args]
        for path in (*files, Path(given.name)):
            argv += ["--values", str(path)]
        done = helm(*argv)
    if done.returncode:
        raise RefusedError(done.stderr)
    return Manifests(done.stdout)


def nested(path: str, value: Any) -> dict[str, Any]:
    """`nested("redis.sentinel.quorum", 2)` is `{"redis": {"sentinel": {"quorum": 2}}}`."""
    for part in reversed(path.split(".")):
        value = {part: value}
    result: dict[str, Any] = value
    return result


def merged(*values: Values) -> dict[str, Any]:
    """Values laid over each other as helm does it: maps merge, everything else is replaced."""
    result: dict[str, Any] = {}
    for each in values:
        for key, value in each.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result
