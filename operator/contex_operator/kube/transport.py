"""One request to the API server and its answer: deadline, guard, credentials, and errors made of answers.

Every call ends within its deadline and raises a KubeError of `errors`, or LeaseLost where the guard forbids
a write. Only two answers are met with another attempt, because both say that nothing was done: 429, where the
pause that it asks for fits into the deadline, and 401 (once, with freshly read credentials). All other
retries belong to the queue. A GET, PUT or DELETE that meets a kept connection which the server has just
closed is sent once more by aiohttp; the preconditions of our writes (uid, resourceVersion) make it harmless.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject, RESTResponse

from contex_operator import __version__, names
from contex_operator.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    KubeError,
    NotFound,
    TooManyRequests,
    Unreachable,
)
from contex_operator.kube.access import Access, load
from contex_operator.resources import SECRET, Resource

Guard = Callable[[str], None]

DEADLINE_S: Final = 5.0
# A guarded write is over, one way or the other, before the 3 s of Lease that it needs to start have passed.
GUARDED_WRITE_DEADLINE_S: Final = 2.5

JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"

_ERRORS: Final[Mapping[int, type[KubeError]]] = {
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: TooManyRequests,
}

# Refusals that speak of rights, names and fields; what is wrong with a value is said with the value.
_WORDS_WITHOUT_VALUES: Final = (401, 403, 404, 409, 410, 429)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, in the words of the API; `verb` is the word for people."""

    verb: str
    method: str
    resource: Resource
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON

    @property
    def is_mutating(self) -> bool:
        return self.method != "GET"

    @property
    def path(self) -> str:
        # The name of a new object stands in its body only.
        name = None if self.method == "POST" else self.name
        path = self.resource.path(self.namespace, name, subresource=self.subresource)
        return f"{path}?{urlencode(self.query)}" if self.query else path

    def __str__(self) -> str:
        if self.name is None:
            return f"{self.verb} {self.resource.plural}" + (f" in {self.namespace}" if self.namespace else "")
        target = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.verb} {self.resource.kind} {target}"


class Transport:
    """Sends calls to one API server. Made by `Transport.open`; `close` ends its connections."""

    def __init__(
        self, configuration: Configuration, *, access: Access, guard: Guard | None, deadline_s: float
    ) -> None:
        self.access = access
        self._guard = guard
        self._deadline_s = deadline_s
        self._configuration = configuration
        self._rest = RESTClientObject(configuration)

    @classmethod
    async def open(cls, access: Access, *, guard: Guard | None, deadline_s: float) -> Self:
        """Nothing is sent yet; raises Unreachable where there are no credentials to read."""
        return cls(await load(access), access=access, guard=guard, deadline_s=deadline_s)

    async def close(self) -> None:
        await self._rest.close()

    @property
    def host(self) -> str:
        return str(self._configuration.host)

    async def send(self, call: Call) -> dict[str, Any]:
        """The object that answers `call`; everything that is no answer becomes Unreachable."""
        deadline_s = self._deadline_s
        if self._guard is not None and call.is_mutating:
            deadline_s = min(deadline_s, GUARDED_WRITE_DEADLINE_S)
        try:
            async with asyncio.timeout(deadline_s) as limit:
                return await self._attempts(call, limit=limit)
        except TimeoutError:
            raise Unreachable(f"{call}: {self.host} did not answer within {deadline_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            said = str(error) or type(error).__name__
            raise Unreachable(f"{call}: no connection to {self.host}: {said}") from error

    async def _attempts(self, call: Call, *, limit: asyncio.Timeout) -> dict[str, Any]:
        """Send until there is an answer other than 401 (once) and 429 (while the pause fits)."""
        is_renewed = False
        while True:
            if self._guard is not None and call.is_mutating:
                self._guard(call.namespace or "")
            status, headers, data = await self._exchange(call)
            if 200 <= status < 300:
                return _decoded(call, status, data)
            if status == 401 and not is_renewed:
                is_renewed = True
                self._configuration.api_key = (await load(self.access)).api_key
                continue
            error = _error(call, status, headers, data)
            if not isinstance(error, TooManyRequests) or error.retry_after_s is None:
                raise error
            ends_at = limit.when()
            if ends_at is None or asyncio.get_running_loop().time() + error.retry_after_s >= ends_at:
                raise error
            await asyncio.sleep(error.retry_after_s)

    async def _exchange(self, call: Call) -> tuple[int, Mapping[str, str], bytes]:
        headers = {
            "Accept": JSON,
            "Content-Type": call.content_type,
            "User-Agent": f"{names.MANAGER}/{__version__}",
        }
        token = await self._configuration.get_api_key_with_prefix("BearerToken")
        if token:
            headers["Authorization"] = token
        # The deadline is asyncio.timeout's, around everything; the transport's own would be five minutes.
        answer: RESTResponse = await self._rest.request(  # type: ignore[no-untyped-call]
            call.method,
            self.host + call.path,
            headers=headers,
            body=call.body,
            _request_timeout=aiohttp.ClientTimeout(total=None),
        )
        try:
            data: bytes = await answer.read()  # type: ignore[no-untyped-call]
            return answer.status, answer.headers, data
        except BaseException:
            answer.response.close()  # a half-read connection must not go back to the pool
            raise


def _decoded(call: Call, status: int, data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise KubeError(status, "InvalidAnswer", f"{call}: the API answered with something that is no object")
    return answer


def _error(call: Call, status: int, headers: Mapping[str, str], data: bytes) -> KubeError:
    """The error for an answer that is no success, from the API's Status object or the bare HTTP answer."""
    try:
        said = json.loads(data)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        said = {"message": data[:200].decode(errors="replace").strip()}
    reason = str(said.get("reason") or f"Http{status}")
    message = str(said.get("message") or "no reason given")
    if call.resource is SECRET and status not in _WORDS_WITHOUT_VALUES:
        message = "the API's words are withheld, for they may quote the Secret"
    causes = (said.get("details") or {}).get("causes") or []
    fields = tuple(str(cause["field"]) for cause in causes if cause.get("field"))
    kind = _ERRORS.get(status, KubeError)
    if status == 409 and reason == "AlreadyExists":
        kind = AlreadyExists
    elif status == 422 and "metadata.uid" in fields:
        kind = Conflict  # the name is another object's by now: the API calls its uid immutable
    error = kind(status, reason, f"{call}: {message}", fields=fields)
    if isinstance(error, TooManyRequests):
        error.retry_after_s = _seconds(headers.get("Retry-After"))
    return error


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds; the API server sends whole seconds, never a date."""
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None
