"""The server as one ASGI application: its routes, what is around each request, and its life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kgt import __version__
from kgt.serve import api, mcp, openai, page
from kgt.serve.limits import BodyLimit, LocalNames, Rate
from kgt.serve.logs import RequestLog
from kgt.serve.problems import answer_with_problems, problem
from kgt.serve.proxy import Proxy
from kgt.serve.service import Service
from kgt.serve.settings import Serving

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

    app = FastAPI(
        title="KGT",
        version=__version__,
        summary="Personalise a language model by editing its user's knowledge graph.",
        lifespan=life,
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
    app.add_middleware(BodyLimit, most=serving.max_body)
    if serving.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(serving.cors), allow_methods=["*"], allow_headers=["*"],
            expose_headers=["X-Request-Id", "X-KGT-Facts-Used", "X-KGT-Edit"],
        )  # fmt: skip
    if service.keyless:
        app.add_middleware(LocalNames)
    app.add_middleware(RequestLog)
    return app


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["operations"])
    async def alive() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"], responses={503: {"description": "Not ready"}})
    def ready(request: Request) -> Response:
        """Whether model and database are there."""
        if not service.loaded:
            return problem(request, 503, "The model is still loading.", "Try again in a few seconds.")
        service.store.ping()
        return JSONResponse({"status": "ready", "model": service.model.name})

    @app.get("/metrics", tags=["operations"], response_class=PlainTextResponse)
    def metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _told(loading: asyncio.Task[None]) -> None:
    if not loading.cancelled() and loading.exception():
        log.error("The model could not be loaded: %s", loading.exception())
