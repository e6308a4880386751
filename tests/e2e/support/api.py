"""Reads from the API server over connections that stay open.

Tests look many times a second; a kubectl for each look costs more processor time than all that is looked at, and a
test that slows the cluster down measures itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import urllib3
from kubernetes import client, config

Json = dict[str, Any]

# Where the objects of a kind lie; `{}` is the namespace's part of the path.
_PATHS: Final = {
    "configmaps": "/api/v1{}/configmaps",
    "contexredises": "/apis/redis.contex.io/v1alpha1{}/contexredises",
    "deployments": "/apis/apps/v1{}/deployments",
    "events": "/apis/events.k8s.io/v1{}/events",
    "leases": "/apis/coordination.k8s.io/v1{}/leases",
    "nodes": "/api/v1{}/nodes",
    "persistentvolumeclaims": "/api/v1{}/persistentvolumeclaims",
    "poddisruptionbudgets": "/apis/policy/v1{}/poddisruptionbudgets",
    "pods": "/api/v1{}/pods",
    "secrets": "/api/v1{}/secrets",
    "services": "/api/v1{}/services",
    "statefulsets": "/apis/apps/v1{}/statefulsets",
}
_ALSO: Final = {
    "contexredis": "contexredises",
    "pdb": "poddisruptionbudgets",
    "pvc": "persistentvolumeclaims",
}


class ApiFailed(Exception):
    """The API server refused a read or did not answer; the message is what it said."""


class Reader:
    """GET on one cluster. Safe to use from several threads."""

    def __init__(self, *, kubeconfig: str | None = None, context: str | None = None) -> None:
        load: Any = config.new_client_from_config  # untyped
        self._client = load(config_file=kubeconfig, context=context)

    def get(self, kind: str, name: str, namespace: str | None, *, timeout_s: float) -> Json | None:
        """One object, None when it is not there. Raises ApiFailed."""
        return self._read(f"{_path(kind, namespace)}/{name}", {}, timeout_s)

    def items(self, kind: str, namespace: str | None, *, labels: str | None, timeout_s: float) -> list[Json]:
        """The objects of a kind; of all namespaces where none is named. Raises ApiFailed."""
        query = {"labelSelector": labels} if labels else {}
        found = self._read(_path(kind, namespace), query, timeout_s)
        if found is None:
            raise ApiFailed(f"the API server knows no {kind}")
        items: list[Json] = found["items"]
        of = {"apiVersion": found["apiVersion"], "kind": str(found["kind"]).removesuffix("List")}
        return [of | item for item in items]  # the items of a list do not say their kind

    def _read(self, path: str, query: Mapping[str, str], timeout_s: float) -> Json | None:
        request = self._client.param_serialize(
            "GET", path, query_params=list(query.items()), auth_settings=["BearerToken"]
        )
        try:
            answer = self._client.call_api(*request, _request_timeout=timeout_s)
            body = answer.read()
        except (client.ApiException, urllib3.exceptions.HTTPError) as error:
            raise ApiFailed(f"GET {path}: {error}") from error
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            raise ApiFailed(f"GET {path}: {answer.status} {body.decode(errors='replace')[:300]}")
        found: Json = json.loads(body)
        return found


def _path(kind: str, namespace: str | None) -> str:
    """By plural, singular or short name, as kubectl takes them."""
    plural = _ALSO.get(kind) or (kind if kind in _PATHS else f"{kind}s")
    if plural not in _PATHS:
        raise LookupError(f"{kind!r} is none of the kinds that tests read: {', '.join(sorted(_PATHS))}")
    return _PATHS[plural].format(f"/namespaces/{namespace}" if namespace else "")
