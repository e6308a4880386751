"""The routes: Contex' publish, events and health endpoints over a Link.

A write that failed says whether it may have happened: 503 with `"unknown": false` (Redis refused it, or was
not reached) or 504 with `"unknown": true` (it was sent and no answer came). Contex itself answers 500 to
both.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field

from .link import Link
from .metrics import Metrics
from .wire import RUN_ID_HEADER, NotDone, WireError


class Publication(BaseModel):
    """One piece of data for a project."""

    project_id: str = Field(min_length=1)
    data_key: str = Field(min_length=1)
    data: Any = None


def create(link: Link, metrics: Metrics) -> FastAPI:
    """The application. The caller starts and closes `link`."""
    app = FastAPI(title="Contex stand-in", version="0.1.10", docs_url=None, redoc_url=None)

    @app.post("/api/v1/data/publish")
    async def publish(body: Publication) -> Response:
        event = json.dumps({"data_key": body.data_key, "data": body.data}, separators=(",", ":"))
        try:
            fields = ("data_key", body.data_key, "event", event)
            reply = await link.run("XADD", _stream(body.project_id), "*", *fields)
        except WireError as error:
            return _failed(error)
        answer = {
            "status": "published",
            "project_id": body.project_id,
            "data_key": body.data_key,
            "sequence": reply.value.decode(),
        }
        return JSONResponse(answer, headers={RUN_ID_HEADER: reply.run_id or ""})

    @app.get("/api/v1/projects/{project_id}/events")
    async def events(project_id: str, since: str = "0", count: int = Query(100, ge=1, le=10_000)) -> Response:
        first = "-" if since in ("", "0") else f"({since}"
        try:
            reply = await link.run("XRANGE", _stream(project_id), first, "+", "COUNT", count, is_read=True)
        except WireError as error:
            return _failed(error)
        found = [_event(entry) for entry in reply.value]
        return JSONResponse({"project_id": project_id, "events": found, "count": len(found)})

    @app.get("/health")
    @app.get("/api/v1/health/live")
    async def live() -> dict[str, str]:
        return {"status": "healthy"}

    @app.get("/api/v1/health/ready")
    async def ready() -> Response:
        try:
            await link.run("PING", is_read=True)
            await link.run("INFO", is_read=True)
        except WireError as error:
            return JSONResponse({"status": "not ready", "reason": str(error)}, status_code=503)
        return JSONResponse({"status": "ready"})

    @app.get("/api/v1/metrics")
    @app.get("/api/metrics")
    async def scrape() -> Response:
        return PlainTextResponse(metrics.render())

    return app


def _stream(project_id: str) -> str:
    return f"project:{project_id}:events"


def _event(entry: tuple[bytes, dict[bytes, bytes]]) -> dict[str, Any]:
    sequence, fields = entry
    return {"sequence": sequence.decode(), **json.loads(fields[b"event"])}


def _failed(error: WireError) -> Response:
    if isinstance(error, NotDone):
        return JSONResponse({"detail": str(error), "unknown": False, "code": error.code}, status_code=503)
    return JSONResponse({"detail": str(error), "unknown": True}, status_code=504)
