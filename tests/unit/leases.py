"""Leases in memory, for tests on a virtual clock: resourceVersions, conflicts, and an API that fails on demand."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Mapping
from typing import Any

from contex_operator import names
from contex_operator.errors import AlreadyExists, Conflict, KubeError, NotFound, Unreachable
from contex_operator.lease import REQUEST_S
from contex_operator.resources import Resource

Body = dict[str, Any]


class Leases:
    """All Leases of a cluster, by namespace."""

    def __init__(self) -> None:
        self.objects: dict[str, Body] = {}
        self._versions = itertools.count(1)

    def put(self, namespace: str, body: Mapping[str, Any]) -> Body:
        stored = copy.deepcopy(dict(body))
        stored["metadata"] = {**stored["metadata"], "name": names.LEASE, "namespace": namespace}
        stored["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[namespace] = stored
        return copy.deepcopy(stored)

    def spec(self, namespace: str) -> dict[str, Any]:
        spec: dict[str, Any] = self.objects[namespace]["spec"]
        return spec


class LeasesApi:
    """One process's way to them. `latency_s` lies before and after the deed; faults last until they are changed.

    `down`: refused at once · `hangs`: silence until the deadline · `loses_answers`: done, but silence ·
    `error`: that answer · `frozen`: while set, this process stands still within its request
    """

    def __init__(self, leases: Leases) -> None:
        self.leases = leases
        self.calls: list[tuple[float, str]] = []
        self.latency_s = 0.002
        self.is_down = self.hangs = self.loses_answers = False
        self.error: KubeError | None = None
        self.running = asyncio.Event()
        self.running.set()

    async def _before(self, verb: str) -> None:
        self.calls.append((asyncio.get_running_loop().time(), verb))
        if self.error is not None:
            raise self.error
        if self.is_down:
            raise Unreachable("no connection")
        if self.hangs:
            await asyncio.sleep(REQUEST_S)
            raise Unreachable("did not answer")
        await asyncio.sleep(self.latency_s)
        await self.running.wait()

    async def _after(self, verb: str) -> None:
        await asyncio.sleep(self.latency_s)
        await self.running.wait()
        if self.loses_answers and verb != "get":
            raise Unreachable("the answer was lost")

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        await self._before("get")
        found = copy.deepcopy(self.leases.objects.get(str(namespace)))
        await self._after("get")
        return found

    async def create(self, resource: Resource, body: Mapping[str, Any]) -> Body:
        await self._before("create")
        namespace = body["metadata"]["namespace"]
        if namespace in self.leases.objects:
            raise AlreadyExists(409, "AlreadyExists", "exists")
        made = self.leases.put(namespace, body)
        await self._after("create")
        return made

    async def replace(self, resource: Resource, body: Mapping[str, Any]) -> Body:
        await self._before("replace")
        namespace = body["metadata"]["namespace"]
        present = self.leases.objects.get(namespace)
        if present is None:
            raise NotFound(404, "NotFound", "not found")
        if present["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "changed")
        made = self.leases.put(namespace, body)
        await self._after("replace")
        return made

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> Bodies:
        assert namespace is None
        assert fields == f"metadata.name={names.LEASE}"
        await self._before("list")
        found = copy.deepcopy(list_of(self.leases.objects))
        await self._after("list")
        return found


Bodies = list[Body]


def list_of(objects: Mapping[str, Body]) -> Bodies:
    return [objects[namespace] for namespace in sorted(objects)]
