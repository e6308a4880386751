"""What a running pod can be asked through the API server: a command in a container, and a container's log.

For who reaches the API server only, not pods or Services: the command line (`contex_operator.cli`). The operator itself
runs nothing in pods.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.stream import WsApiClient

from contex_operator.errors import Forbidden, KubeError, NotFound, Unreachable
from contex_operator.kube.access import Access, load
from contex_operator.resources import POD

STDOUT: Final = 1
STDERR: Final = 2
STATUS: Final = 3

_KINDS: Final[dict[int, type[KubeError]]] = {403: Forbidden, 404: NotFound}


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command in a container ended; `code` is None where the API does not say (the container is gone)."""

    stdout: str
    stderr: str
    code: int | None


class Pods:
    """Made by `Pods.connect`, closed by `async with`. Methods raise KubeError and its kinds."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._client = WsApiClient(configuration)  # type: ignore[no-untyped-call]

    @classmethod
    async def connect(cls, access: Access) -> Self:
        """Nothing is sent yet; raises Unreachable without credentials to read."""
        return cls(await load(access))

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, deadline_s: float
    ) -> Ran:
        """Run `command` and wait for its end."""
        query = [("command", word) for word in command]
        query += [("container", container), ("stdout", "true"), ("stderr", "true")]
        what = f"exec in {container} of {namespace}/{pod}"
        try:
            async with asyncio.timeout(deadline_s):
                return await self._run(POD.path(namespace, pod, subresource="exec"), query)
        except TimeoutError:
            raise Unreachable(f"{what}: it did not end within {deadline_s:g} s") from None
        except aiohttp.WSServerHandshakeError as error:
            # Of a refused upgrade only the status comes through, not the API's sentence.
            said = {
                403: 'this user may not "create" and "get" the resource pods/exec there',
                404: "there is no such pod or container",
            }.get(error.status, "the container does not run, or its node does not answer")
            kind = _KINDS.get(error.status, KubeError)
            raise kind(error.status, f"Http{error.status}", f"{what}: {said}") from error
        except (aiohttp.ClientError, OSError) as error:
            said = str(error) or type(error).__name__
            raise Unreachable(f"{what}: no connection to {self._configuration.host}: {said}") from error

    async def _run(self, path: str, query: list[tuple[str, str]]) -> Ran:
        headers = await self._headers()
        socket = await self._client.request(  # type: ignore[no-untyped-call]
            "GET",
            self._configuration.host + path,
            query_params=query,
            headers=headers,
            _preload_content=False,
        )
        streams: dict[int, bytearray] = {STDOUT: bytearray(), STDERR: bytearray(), STATUS: bytearray()}
        async with socket as connection:
            async for message in connection:
                data = message.data.encode() if isinstance(message.data, str) else message.data
                if data and data[0] in streams:
                    streams[data[0]] += data[1:]
        return Ran(
            stdout=streams[STDOUT].decode(errors="replace"),
            stderr=streams[STDERR].decode(errors="replace"),
            code=exit_code(bytes(streams[STATUS])),
        )

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        lines: int,
        is_previous: bool = False,
        deadline_s: float = 10.0,
    ) -> str:
        """The last `lines` of a container's log; `is_previous`: of the one that ran before the last restart."""
        query = {"container": container, "tailLines": str(lines), "previous": str(is_previous).lower()}
        what = f"logs of {container} of {namespace}/{pod}"
        url = f"{self._configuration.host}{POD.path(namespace, pod, subresource='log')}?{urlencode(query)}"
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._client.rest_client.request(  # type: ignore[no-untyped-call]
                    "GET",
                    url,
                    headers=await self._headers(),
                    _request_timeout=aiohttp.ClientTimeout(total=None),
                )
                data: bytes = await answer.read()
        except TimeoutError:
            raise Unreachable(f"{what}: no answer within {deadline_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            said = str(error) or type(error).__name__
            raise Unreachable(f"{what}: no connection to {self._configuration.host}: {said}") from error
        text = data.decode(errors="replace")
        if answer.status >= 400:
            kind = _KINDS.get(answer.status, KubeError)
            raise kind(answer.status, f"Http{answer.status}", f"{what}: {_sentence(text)}")
        return text

    async def _headers(self) -> dict[str, str]:
        token = await self._configuration.get_api_key_with_prefix("BearerToken")
        return {"Authorization": token} if token else {}


def exit_code(status: bytes) -> int | None:
    """The exit code in the Status object with which the API server ends an exec."""
    try:
        said: Any = json.loads(status)
    except ValueError:
        return None
    if said.get("status") == "Success":
        return 0
    causes = (said.get("details") or {}).get("causes") or []
    found = next((cause["message"] for cause in causes if cause.get("reason") == "ExitCode"), None)
    return int(found) if found is not None else None


def _sentence(text: str) -> str:
    try:
        return str(json.loads(text).get("message") or text)
    except (ValueError, AttributeError):
        return text.strip()
