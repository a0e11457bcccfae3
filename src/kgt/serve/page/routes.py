"""How the page hangs in the server: NiceGUI's application beside our routes, and signing in and out."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Form, Request
from fastapi.responses import RedirectResponse
from nicegui import Client, ui
from nicegui import app as nicegui_app
from starlette.datastructures import MutableHeaders
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from kgt.serve.auth import Forbidden, Unauthorised, identify
from kgt.serve.page.home import COOKIE, home
from kgt.serve.problems import problem

DAYS = 30
"""How long a browser stays signed in."""
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
)
"""Nothing is loaded from elsewhere, and nobody shows the page in theirs. Vue compiles its templates in the browser."""
SOCKET = "/_nicegui_ws/{path:path}"
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M9 22 16 9l8 13" fill="none" '
    'stroke="#4553b8" stroke-width="3"/><g fill="#4553b8"><circle cx="16" cy="8" r="5"/><circle cx="8" cy="24" r="4"/>'
    '<circle cx="25" cy="24" r="4"/></g></svg>'
)

log = logging.getLogger("kgt.serve")
signing = APIRouter(include_in_schema=False)
_alone = threading.Lock()


def mount(app: FastAPI) -> None:
    """Serve the page at /; the application must live within `living`."""
    app.include_router(signing)
    for path in ("/", "/favicon.ico", "/_nicegui/{path:path}", SOCKET):
        app.router.routes.append(Route(path, _Page(app, path), include_in_schema=False))
    app.router.routes.append(WebSocketRoute(SOCKET, _Page(app, SOCKET)))


@asynccontextmanager
async def living(app: FastAPI) -> AsyncIterator[None]:
    """Run the page. NiceGUI has one event loop in a process: of several servers at a time, the first has the page."""
    app.state.page = _alone.acquire(blocking=False)
    if not app.state.page:
        log.warning("Another server in this process has the page; this one serves everything else.")
        yield
        return
    try:
        async with _nicegui().router.lifespan_context(_nicegui()):
            yield
            for client in list(Client.instances.values()):  # they hold the service, which closes now
                client.delete()
    finally:
        _alone.release()


@signing.post("/signin")
def sign_in(request: Request, key: Annotated[str, Form(max_length=500)] = "") -> RedirectResponse:
    """Keep a valid key in a cookie that scripts cannot read."""
    _check_origin(request)
    key = key.strip()
    try:
        identify(request.app.state.service, key)
    except Unauthorised:
        return RedirectResponse("/?refused", 303)
    response = RedirectResponse("/", 303)
    if key:
        response.set_cookie(
            COOKIE, key, max_age=DAYS * 86400, httponly=True, samesite="lax", secure=request.url.scheme == "https"
        )
    return response


@signing.post("/signout")
def sign_out(request: Request) -> RedirectResponse:
    """Forget the key in this browser."""
    _check_origin(request)
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


def _check_origin(request: Request) -> None:
    """A form on somebody else's page must not sign anybody in or out."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden(f"Signing in from {origin!r} is not allowed.", "Use the form at / of this server.")


class _Page:
    """NiceGUI's application, told which of our applications it is in.

    Args:
        path: of the route, as the log of requests reads it.
    """

    def __init__(self, app: FastAPI, path: str) -> None:
        self._app, self.path = app, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        if not self._app.state.page:
            if scope["type"] == "websocket":
                return await send({"type": "websocket.close", "code": 1013})
            gone = problem(
                Request(scope), 503, "Another server in this process has the page.", "Use that one's address."
            )
            return await gone(scope, receive, send)

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["Referrer-Policy"] = "same-origin"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await _nicegui()({**scope, "kgt": self._app}, receive, with_policy)


@cache
def _nicegui() -> FastAPI:
    """NiceGUI's application, of which there is one in a process."""
    ui.page("/", response_timeout=30)(home)
    ui.run_with(
        FastAPI(),  # it would mount itself over all our routes
        title="KGT",
        favicon=ICON,
        dark=None,
        language="en-US",
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=30,
    )
    return nicegui_app
