"""Kube: the verbs of the Kubernetes API on plain dicts, as the API spells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self

from contex_operator import names
from contex_operator.errors import Gone, NotFound
from contex_operator.kube.access import Access
from contex_operator.kube.transport import (
    APPLY,
    DEADLINE_S,
    JSON,
    JSON_PATCH,
    MERGE_PATCH,
    Call,
    Guard,
    Transport,
)
from contex_operator.resources import Resource

Body = dict[str, Any]
Bodies = list[Body]
Propagation = Literal["Background", "Foreground", "Orphan"]

PAGE_SIZE: Final = 500


class Kube:
    """A client of one API server, made by `Kube.connect` and closed by `async with` or `close`.

    `may_write`, the guard, is called with the namespace directly before each mutating request (repetitions
    included) and forbids it by raising LeaseLost; such a request gives up after GUARDED_WRITE_DEADLINE_S.
    Methods raise KubeError and its kinds; a mutating one that raises Unreachable may have been carried out.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    async def connect(
        cls,
        access: Access | None = None,
        *,
        may_write: Guard | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> Self:
        """A client for `access`. Nothing is sent yet; raises Unreachable without credentials to read."""
        return cls(await Transport.open(access or Access(), guard=may_write, deadline_s=deadline_s))

    async def unguarded(self, *, deadline_s: float = DEADLINE_S) -> Kube:
        """A second client of the same API, without a guard and with connections of its own: for the Lease.

        Its own connections, because a renewal must not wait behind others, or take one that hangs.
        """
        return await Kube.connect(self._transport.access, deadline_s=deadline_s)

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def host(self) -> str:
        """The URL of the API server."""
        return self._transport.host

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        """The object, None where there is none (or no such kind: a missing CRD answers in the same way)."""
        try:
            return await self._transport.send(
                Call(verb="get", method="GET", resource=resource, namespace=namespace, name=name)
            )
        except NotFound:
            return None

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> Bodies:
        """All objects of one namespace, of all where it is None; selectors as kubectl spells them.

        Fetched in pages of PAGE_SIZE that are one consistent snapshot, each page with its own deadline. A
        snapshot that expires meanwhile (410) is started again, once and in one piece.
        """
        query = {key: value for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
        try:
            return await self._pages(resource, namespace, query={**query, "limit": str(PAGE_SIZE)})
        except Gone:
            return await self._pages(resource, namespace, query=query)

    async def _pages(self, resource: Resource, namespace: str | None, *, query: Mapping[str, str]) -> Bodies:
        found: Bodies = []
        page = dict(query)
        while True:
            call = Call(verb="list", method="GET", resource=resource, namespace=namespace, query=page)
            answer = await self._transport.send(call)
            for item in answer.get("items") or []:
                # Items of a list come without the two words that every single object has.
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
                found.append(item)
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return found
            page["continue"] = token

    async def create(
        self, resource: Resource, body: Mapping[str, Any], *, manager: str = names.MANAGER
    ) -> Body:
        """POST the object; raises AlreadyExists where the name is taken."""
        return await self._write("create", "POST", resource, body, query={"fieldManager": manager})

    async def apply(
        self, resource: Resource, body: Mapping[str, Any], *, manager: str, force: bool = True
    ) -> Body:
        """Server-side apply: afterwards `manager` owns exactly the fields in `body`; others of its are gone.

        With `metadata.uid` (or resourceVersion) in the body it applies to that very object: Conflict where it
        was replaced or is gone, instead of a new object. Without `force` a field of another manager is a
        Conflict whose `fields` name it.
        """
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._write("apply", "PATCH", resource, body, query=query, content_type=APPLY)

    async def replace(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        manager: str = names.MANAGER,
        subresource: str | None = None,
    ) -> Body:
        """PUT the object; with `metadata.resourceVersion` in it a Conflict where it has changed since."""
        query = {"fieldManager": manager}
        return await self._write("replace", "PUT", resource, body, query=query, subresource=subresource)

    async def json_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        ops: Sequence[Mapping[str, Any]],
        *,
        manager: str = names.MANAGER,
        subresource: str | None = None,
    ) -> Body:
        """RFC 6902. A failed `test` is a KubeError 422; an old resourceVersion put in is a Conflict."""
        return await self._transport.send(
            Call(
                verb="patch",
                method="PATCH",
                resource=resource,
                namespace=namespace,
                name=name,
                subresource=subresource,
                query={"fieldManager": manager},
                body=[dict(op) for op in ops],
                content_type=JSON_PATCH,
            )
        )

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        manager: str = names.MANAGER,
        subresource: str | None = None,
        resource_version: str | None = None,
    ) -> Body:
        """RFC 7386: null removes a member, a list is replaced. An old `resource_version` is a Conflict."""
        body = dict(patch)
        if resource_version is not None:
            body["metadata"] = {**(body.get("metadata") or {}), "resourceVersion": resource_version}
        return await self._transport.send(
            Call(
                verb="patch",
                method="PATCH",
                resource=resource,
                namespace=namespace,
                name=name,
                subresource=subresource,
                query={"fieldManager": manager},
                body=body,
                content_type=MERGE_PATCH,
            )
        )

    async def patch_status(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        status: Mapping[str, Any],
        *,
        resource_version: str,
        manager: str = names.MANAGER,
    ) -> Body:
        """Make `status` the whole status of the object; Conflict where it is no longer `resource_version`.

        A JSON patch, because a merge patch would keep the members that the new status lacks.
        """
        ops: Bodies = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/status", "value": dict(status)},
        ]
        return await self.json_patch(resource, namespace, name, ops, manager=manager, subresource="status")

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation | None = None,
    ) -> bool:
        """Ask for the object's deletion: True where it was accepted, False where there is no such object.

        With `uid` or `resource_version` a Conflict where the name now is another or a changed object.
        """
        preconditions = {
            key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value
        }
        options: Body = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if preconditions:
            options["preconditions"] = preconditions
        if propagation is not None:
            options["propagationPolicy"] = propagation
        call = Call(
            verb="delete", method="DELETE", resource=resource, namespace=namespace, name=name, body=options
        )
        try:
            await self._transport.send(call)
        except NotFound:
            return False
        return True

    async def _write(
        self,
        verb: str,
        method: str,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        query: Mapping[str, str],
        subresource: str | None = None,
        content_type: str = JSON,
    ) -> Body:
        """Send a whole object to where its metadata say that it lives."""
        metadata = body["metadata"]
        return await self._transport.send(
            Call(
                verb=verb,
                method=method,
                resource=resource,
                namespace=metadata.get("namespace") if resource.namespaced else None,
                name=metadata["name"],
                subresource=subresource,
                query=query,
                body={"apiVersion": resource.api_version, "kind": resource.kind, **body},
                content_type=content_type,
            )
        )
