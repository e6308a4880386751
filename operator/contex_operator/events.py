"""Recorder: Kubernetes Events (events.k8s.io/v1) on a ContexRedis, for people who run `kubectl describe`.

The caller records transitions only. What comes again all the same becomes a series: one Event with a count,
not many. An Event that cannot be written is logged and forgotten, never raised: it must not stop a reconcile.
Needs the rights `create` and `patch` on events, and reads none.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from contex_operator import names
from contex_operator.errors import LeaseLost, NotFound, OperatorError
from contex_operator.resources import EVENT, Resource

logger = logging.getLogger(__name__)

DEADLINE_S: Final = 2.0
# Limits of the API's validation, in bytes.
LONGEST_NOTE: Final = 1024
LONGEST_WORD: Final = 128
# What comes again within the window is counted on the first Event.
WINDOW_S: Final = 600.0
# The count is written at most so often; what comes in between goes along with the next.
SERIES_PAUSE_S: Final = 10.0
# So many sentences for one reason of one resource in a window; what follows is counted on the last of them.
SENTENCES: Final = 10
REMEMBERED: Final = 1000

# Where errors that are quoted in a note could carry a password: a URL, and commands that Redis repeats.
_SECRETS: Final = (
    re.compile(r"(://)[^/@\s]*(?=@)"),
    re.compile(r"(?i)(\bpassword=)[^\s,;]+"),
    re.compile(
        r"(?i)(\b(?:config|sentinel) set (?:\S+ )?(?:requirepass|masterauth|sentinel-pass|auth-pass) )\S+"
    ),
    re.compile(r"(\bAUTH )\S+(?: \S+)?"),
    re.compile(r"(with args beginning with: ).*"),
)


class News(Protocol):
    """What is to be told: a constant CamelCase reason and one sentence."""

    @property
    def reason(self) -> str: ...

    @property
    def message(self) -> str: ...

    @property
    def is_warning(self) -> bool: ...


class EventApi(Protocol):
    """What of Kube is used here."""

    async def create(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]: ...

    async def merge_patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Mapping[str, Any]
    ) -> dict[str, Any]: ...


@dataclass
class _Written:
    """An Event in the API and how often its news has come. Times in seconds of the recorder's clock."""

    name: str
    first_at: float
    written_at: float
    count: int = 1


class Recorder:
    """Records events on resources. `instance` is the pod's name: the API wants to know who reports."""

    def __init__(self, api: EventApi, *, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._instance = instance[:LONGEST_WORD]
        self._clock = clock
        self._written: OrderedDict[tuple[str, str, str], _Written] = OrderedDict()

    async def record(self, resource: Mapping[str, Any], news: News, *, action: str = "Reconcile") -> None:
        """Tell `news` of `resource` (a whole object of the API). Ends within DEADLINE_S and raises nothing of ours."""
        note = note_of(news.message)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._record(resource, news, note=note, action=action)
        except LeaseLost as error:
            logger.info("Event %s of %s is left to the next leader: %s", news.reason, _name(resource), error)
        except (OperatorError, TimeoutError) as error:
            said = str(error) or f"no answer within {DEADLINE_S:g} s"
            logger.warning("Event %s of %s is not written: %s", news.reason, _name(resource), said)

    async def _record(self, resource: Mapping[str, Any], news: News, *, note: str, action: str) -> None:
        now = self._clock()
        uid = str(resource["metadata"]["uid"])
        known = self._known((uid, news.reason, note), now=now)
        if known is None:
            await self._create(resource, news, note=note, action=action)
            return
        known.count += 1
        if now - known.written_at < SERIES_PAUSE_S:
            return
        known.written_at = now
        series = {"count": known.count, "lastObservedTime": _micro_time()}
        try:
            await self._api.merge_patch(EVENT, _namespace(resource), known.name, {"series": series})
        except NotFound:  # the API server forgets Events after a while
            await self._create(resource, news, note=note, action=action)

    def _known(self, key: tuple[str, str, str], *, now: float) -> _Written | None:
        """The Event that stands for this news in this window."""
        known = self._written.get(key)
        if known is not None:
            return known if now - known.first_at < WINDOW_S else None
        alike = [
            event
            for other, event in self._written.items()
            if other[:2] == key[:2] and now - event.first_at < WINDOW_S
        ]
        return alike[-1] if len(alike) >= SENTENCES else None

    async def _create(self, resource: Mapping[str, Any], news: News, *, note: str, action: str) -> None:
        metadata = resource["metadata"]
        name = f"{metadata['name']}.{secrets.token_hex(8)}"
        event = {
            "metadata": {
                "name": name,
                "namespace": _namespace(resource),
            },
            "eventTime": _micro_time(),
            "reportingController": names.MANAGER,
            "reportingInstance": self._instance,
            "action": action[:LONGEST_WORD],
            "reason": news.reason[:LONGEST_WORD],
            "type": "Warning" if news.is_warning else "Normal",
            "note": note,
            "regarding": {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": metadata["name"],
                "namespace": _namespace(resource),
                "uid": metadata["uid"],
            },
        }
        await self._api.create(EVENT, event)
        now = self._clock()
        key = (str(metadata["uid"]), news.reason, note)
        self._written[key] = _Written(name=name, first_at=now, written_at=now)
        self._written.move_to_end(key)
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)


def note_of(message: str) -> str:
    """`message` as the note of an Event: one line, cut to what the API takes, without what may be a password."""
    note = " ".join(message.split())
    for pattern in _SECRETS:
        note = pattern.sub(r"\1***", note)
    data = note.encode()
    if len(data) <= LONGEST_NOTE:
        return note
    return data[: LONGEST_NOTE - len("…".encode())].decode(errors="ignore") + "…"


def _namespace(resource: Mapping[str, Any]) -> str:
    return str(resource["metadata"]["namespace"])


def _name(resource: Mapping[str, Any]) -> str:
    return f"{_namespace(resource)}/{resource['metadata'].get('name')}"


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
