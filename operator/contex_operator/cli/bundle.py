"""The support bundle: what somebody who helps asks for first, in one file, without secrets.

Of Secrets only the names of keys are in it. Their values, where this user may read them, are used to find and remove
them from everything else; where not, patterns have to do, and the bundle's README says so.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
import time
from collections.abc import Awaitable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import yaml

from contex_operator import __version__, names
from contex_operator.errors import KubeError
from contex_operator.kube import Kube
from contex_operator.kube.pods import Pods
from contex_operator.model import Object
from contex_operator.resources import (
    CLAIM,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    EVENT,
    NODE,
    POD,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    Resource,
)
from contex_operator.views import Command

from . import answers, redact, tables
from .checks import CHECKS, Finding
from .facts import Facts
from .gather import NETWORK_POLICY
from .questions import script

LOG_LINES: Final = 2000
# Never `CONFIG GET *`: requirepass and masterauth are among its answers.
_INFO: Final[tuple[Command, ...]] = (
    ("INFO", "everything"),
    ("CLIENT", "LIST"),
    ("CONFIG", "GET", "maxmemory*"),
)
_SENTINEL_INFO: Final[tuple[Command, ...]] = (("INFO",), ("SENTINEL", "MASTERS"))
_CHILDREN: Final[tuple[Resource, ...]] = (
    POD,
    SERVICE,
    STATEFUL_SET,
    CONTROLLER_REVISION,
    CONFIG_MAP,
    CLAIM,
    DISRUPTION_BUDGET,
    SECRET,
)
OPERATOR_LABELS: Final = "app.kubernetes.io/name=contex-redis-operator"


class Bundle:
    """Collects the files of a bundle. `missing` are what could not be read, and why."""

    def __init__(self, kube: Kube, pods: Pods, facts: Facts, findings: tuple[Finding, ...]) -> None:
        self._kube, self._pods, self._facts, self._findings = kube, pods, facts, findings
        self._known: tuple[str, ...] = ()
        self._files: dict[str, str] = {}
        self._missing: list[str] = []

    async def collect(self) -> dict[str, str]:
        """The files by their names, redacted."""
        self._known = redact.spellings(await self._secret_values())
        self._manifest("resource.yaml", self._facts.observed.resource)
        await self._objects()
        await self._logs()
        await self._redis()
        self._text(
            "doctor.json", json.dumps([asdict(one) for one in self._findings], indent=2, ensure_ascii=False)
        )
        status = tables.as_data(self._facts)
        self._text("status.json", json.dumps(status, indent=2, ensure_ascii=False, default=str))
        self._text("README.txt", self._readme())
        return self._files

    # -- the API's objects ----------------------------------------------------------------------------------------

    async def _objects(self) -> None:
        facts = self._facts
        selector = f"{names.LABEL_CLUSTER}={facts.name}"
        kinds = [(kind, selector) for kind in _CHILDREN] + [(NETWORK_POLICY, None), (EVENT, None)]
        found = await asyncio.gather(
            *(self._list(kind, labels=labels) for kind, labels in kinds),
            self._list(DEPLOYMENT, labels=None),
            self._list(NODE, labels=None, namespace=None),
        )
        deployments, nodes = found[-2:]
        for (kind, _), bodies in zip(kinds, found, strict=False):
            if kind is EVENT:
                self._events(bodies)
                continue
            for body in bodies:
                self._manifest(f"objects/{kind.kind}/{body['metadata']['name']}.yaml", body)
        contex = {pod.deployment for pod in facts.contex}
        for body in deployments:
            if body["metadata"]["name"] in contex:
                self._manifest(f"objects/Deployment/{body['metadata']['name']}.yaml", body)
        for body in nodes:
            self._manifest(f"objects/Node/{body['metadata']['name']}.yaml", body)
        if facts.lease is not None:
            self._manifest("objects/Lease.yaml", facts.lease)

    def _events(self, bodies: list[dict[str, Any]]) -> None:
        rows = []
        for event in bodies:
            regarding, series = event.get("regarding") or {}, event.get("series") or {}
            when = (
                series.get("lastObservedTime")
                or event.get("eventTime")
                or event.get("deprecatedLastTimestamp")
            )
            count = series.get("count") or event.get("deprecatedCount") or 1
            who = f"{regarding.get('kind')}/{regarding.get('name')}"
            rows.append(
                f"{when} {event.get('type')} {event.get('reason')} {who} x{count}: {event.get('note')}"
            )
        self._text("events.txt", "\n".join(sorted(rows)) + "\n")

    async def _secret_values(self) -> list[str]:
        """All values of the Secrets that the set or Contex uses; they never leave this process."""
        spec, children = self._facts.spec, self._facts.children
        wanted = {children.auth, children.auth_active, children.contex_env}
        if spec is not None and spec.auth.secret_name:
            wanted.add(spec.auth.secret_name)
        wanted |= {source[0] for pod in self._facts.contex for source in pod.sources.values() if source}
        values: list[str] = []
        for name in sorted(wanted):
            body = await self._or_missing(
                self._kube.get(SECRET, self._facts.namespace, name), f"Secret {name}"
            )
            values += [answers.decoded(value) for value in ((body or {}).get("data") or {}).values()]
        # Contex' URL holds the password in its percent-encoded form, which `spellings` knows too.
        return [value for value in values if value]

    # -- what runs ------------------------------------------------------------------------------------------------

    async def _logs(self) -> None:
        wanted: list[tuple[str, str, str, bool]] = []
        for pod, body in self._facts.pods.items():
            wanted += self._containers(self._facts.namespace, pod, body)
        for contex in self._facts.contex:
            wanted.append((self._facts.namespace, contex.name, contex.container, False))
        lease_namespace = (self._facts.lease or {"metadata": {}})["metadata"].get(
            "namespace", self._facts.namespace
        )
        for body in await self._list(POD, labels=OPERATOR_LABELS, namespace=lease_namespace):
            wanted += self._containers(lease_namespace, str(body["metadata"]["name"]), body)

        async def one(namespace: str, pod: str, container: str, is_previous: bool) -> None:
            what = f"log of {container} in {pod}" + (" before its restart" if is_previous else "")
            log = await self._or_missing(
                self._pods.logs(namespace, pod, container, lines=LOG_LINES, is_previous=is_previous), what
            )
            if log is not None:
                self._text(f"logs/{pod}-{container}{'-previous' if is_previous else ''}.log", log)

        await asyncio.gather(*(one(*each) for each in wanted))

    @staticmethod
    def _containers(namespace: str, pod: str, body: Object) -> list[tuple[str, str, str, bool]]:
        found = []
        for status in (body.get("status") or {}).get("containerStatuses") or ():
            found.append((namespace, pod, str(status["name"]), False))
            if status.get("restartCount"):
                found.append((namespace, pod, str(status["name"]), True))
        return found

    async def _redis(self) -> None:
        async def one(pod: str, *, port: int, container: str, questions: tuple[Command, ...]) -> None:
            ran = await self._or_missing(
                self._pods.run(
                    self._facts.namespace,
                    pod,
                    container,
                    ["sh", "-c", script(port, questions)],
                    deadline_s=25,
                ),
                f"INFO of {pod}",
            )
            if ran is not None:
                self._text(f"redis/{pod}.txt", ran.stdout + ran.stderr)

        observed = self._facts.observed
        await asyncio.gather(
            *(
                one(node.pod, port=names.REDIS_PORT, container=names.CONTAINER_REDIS, questions=_INFO)
                for node in observed.data
                if node.pod in self._facts.pods
            ),
            *(
                one(
                    node.pod,
                    port=names.SENTINEL_PORT,
                    container=names.CONTAINER_SENTINEL,
                    questions=_SENTINEL_INFO,
                )
                for node in observed.sentinels
                if node.pod in self._facts.pods
            ),
        )

    # -- putting it down --------------------------------------------------------------------------------------------

    async def _list(
        self, kind: Resource, *, labels: str | None, namespace: str | None = ""
    ) -> list[dict[str, Any]]:
        where = self._facts.namespace if namespace == "" else namespace
        found = await self._or_missing(self._kube.list(kind, where, labels=labels), kind.plural)
        return found or []

    async def _or_missing(self, question: Awaitable[Any], what: str) -> Any:
        try:
            return await question
        except KubeError as error:
            self._missing.append(f"{what}: {error.message}")
            return None

    def _manifest(self, name: str, body: Mapping[str, Any]) -> None:
        clean = redact.manifest(body)
        self._files[name] = redact.text(
            yaml.safe_dump(clean, sort_keys=False, allow_unicode=True), known=self._known
        )

    def _text(self, name: str, content: str) -> None:
        self._files[name] = redact.text(content, known=self._known)

    def _readme(self) -> str:
        facts = self._facts
        known = (
            "Passwords were read, to remove them from everything here, and are not in it."
            if self._known
            else "The Secrets could not be read: passwords were removed by patterns only. Look before you share it."
        )
        return "\n".join(
            (
                f"{names.KIND} {facts.namespace}/{facts.name}, {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
                f"contex-redis-operator {__version__} (this command line), {len(CHECKS)} checks",
                known,
                "",
                tables.headline(facts),
                "",
                *(f"missing: {one}" for one in self._missing),
                "",
            )
        )


def write(path: Path, files: Mapping[str, str], *, folder: str) -> None:
    """One tar.gz, readable by its owner only, complete or not there at all."""
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as bundle:
            for name in sorted(files):
                data = files[name].encode()
                info = tarfile.TarInfo(f"{folder}/{name}")
                info.size, info.mtime, info.mode = len(data), int(time.time()), 0o644
                bundle.addfile(info, io.BytesIO(data))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
