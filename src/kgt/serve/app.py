"""The server as one ASGI application: its routes, what is around each request, and its life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kgt import __version__
from kgt.serve import api, mcp, openai, page
from kgt.serve.limits import BodyLimit, LocalOnly, Rate
from kgt.serve.logs import RequestLog
from kgt.serve.openapi import describe
from kgt.serve.problems import answer_with_problems, problem, problems
from kgt.serve.proxy import Proxy
from kgt.serve.service import Service
from kgt.serve.settings import Serving

NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,  # else a variable of the environment could switch it on
}
THREADS = 256
"""Requests under way at a time; those beyond wait. A thread that waits for the model costs little."""

log = logging.getLogger("kgt.serve")


def create_app(service: Service, serving: Serving) -> FastAPI:
    """The application.

    Args:
        service: closed when the application ends.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        loading = asyncio.create_task(anyio.to_thread.run_sync(service.load))
        loading.add_done_callback(_told)
        async with tools.session_manager.run(), page.living(app):
            yield
        if app.state.proxy:
            app.state.proxy.close()
        await anyio.to_thread.run_sync(service.close)

    app = FastAPIOffline(  # /docs comes from a wheel as well, not from elsewhere
        redoc_url=None,
        title="KGT",
        version=__version__,
        summary="Personalise a language model by editing its user's knowledge graph.",
        lifespan=life,
        telemetry=NO_TELEMETRY,
    )
    app.state.service = service
    app.state.limits = Rate(serving.rate)
    app.state.proxy = Proxy(serving) if serving.upstream else None
    answer_with_problems(app)
    app.include_router(api.router)
    app.include_router(openai.router)
    tools = mcp.mount(app, service)
    page.mount(app)
    _add_operations(app, service)
    describe(app)
    app.add_middleware(BodyLimit, most=serving.max_body)
    if serving.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(serving.cors), allow_methods=["*"], allow_headers=["*"],
            expose_headers=["X-Request-Id", "X-KGT-Facts-Used", "X-KGT-Edit"],
        )  # fmt: skip
    if service.keyless:
        app.add_middleware(LocalOnly, needed=lambda: not service.store.has_keys(), allowed=serving.cors)
    app.add_middleware(RequestLog)
    return app


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["operations"], responses=_shown({"status": "ok"}))
    async def alive() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get(
        "/readyz", tags=["operations"], responses=_shown({"status": "ready", "model": "smollm2-135m"}) | problems(503)
    )
    def ready(request: Request) -> Response:
        """Whether model and database are there."""
        if not service.loaded:
            return problem(request, 503, "The model is still loading.", "Try again in a few seconds.")
        service.store.ping()
        return JSONResponse({"status": "ready", "model": service.model.name})

    @app.get("/metrics", tags=["operations"], response_class=PlainTextResponse, responses=_shown(_COUNTED))
    def metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


_COUNTED = 'kgt_edits_total{kind="teach"} 1.0\n'


def _shown(example: object) -> dict[int | str, dict[str, Any]]:
    kind = "text/plain" if isinstance(example, str) else "application/json"
    return {200: {"content": {kind: {"example": example}}}}


def _told(loading: asyncio.Task[None]) -> None:
    if not loading.cancelled() and loading.exception():
        log.error("The model could not be loaded: %s", loading.exception())
