"""A small client of the Kubernetes API on the standard library, for the laboratory's own processes.

It must run inside one of the laboratory's network namespaces; from elsewhere there is no route to the API server.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from typing import Any

from lab import network
from lab.errors import LabError
from lab.hosts import CONTROL
from lab.pki import Pki

Json = dict[str, Any]
TIMEOUT_S = 10.0


class ApiError(LabError):
    """The API server refused a request; `status` is the HTTP status."""

    def __init__(self, method: str, path: str, *, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"{method} {path} was answered with {status}: {reason}")


class ApiClient:
    """Requests as one user of the laboratory (a name of `lab.pki.USERS`)."""

    def __init__(self, pki: Pki, user: str) -> None:
        self._context = ssl.create_default_context(cafile=str(pki.path("ca.crt")))
        self._context.load_cert_chain(str(pki.path(f"{user}.crt")), str(pki.path(f"{user}.key")))

    def _send(
        self, method: str, path: str, *, body: Json | None, timeout_s: float
    ) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection(
            network.ADDRESSES[CONTROL], network.API_PORT, timeout=timeout_s, context=self._context
        )
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, body=payload, headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status >= 300:
            text = response.read().decode(errors="replace")
            connection.close()
            raise ApiError(method, path, status=response.status, reason=text[:500])
        return connection, response

    def request(self, method: str, path: str, *, body: Json | None = None) -> Json:
        """Send a request and return the answered object.

        Raises ApiError when the server refuses, OSError or http.client.HTTPException when it is out of reach.
        """
        connection, response = self._send(method, path, body=body, timeout_s=TIMEOUT_S)
        try:
            answer: Json = json.loads(response.read())
            return answer
        finally:
            connection.close()

    def watch(self, path: str, *, version: str, seconds: int) -> Iterator[Json]:
        """Watch events of a list (`path`) from a resourceVersion on; ends after `seconds`. Raises like request()."""
        query = f"{path}?watch=true&resourceVersion={version}&timeoutSeconds={seconds}"
        connection, response = self._send("GET", query, body=None, timeout_s=seconds + TIMEOUT_S)
        try:
            for line in response:
                yield json.loads(line)
        finally:
            connection.close()
