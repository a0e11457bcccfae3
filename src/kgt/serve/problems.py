"""Errors as RFC 9457 problem details, with what to do next; under /v1 also as OpenAI's clients read them."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from kgt.errors import BadInput, GraphError, KGTError, ModelError, NotFound
from kgt.serve.auth import Forbidden, Unauthorised
from kgt.serve.limits import TooMany

MEDIA_TYPE = "application/problem+json"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
DISK_FULL = "disk is full"


class Conflict(KGTError):
    """An idempotency key that was used for something else."""


_STATUS: dict[type[KGTError], int] = {
    BadInput: 400,
    Unauthorised: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooMany: 429,
    ModelError: 502,
    GraphError: 503,
}
log = logging.getLogger("kgt.serve")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str = Field(examples=["Bad Request"])
    status: int = Field(examples=[400])
    detail: str = Field(examples=["The query is empty."])
    hint: str = Field("", examples=["Ask a question."], description="What to do next.")
    request_id: str = Field("", examples=["3f1c9a52b0d84c1f"])


_MEANINGS = {
    400: "Bad input", 401: "No valid key", 403: "Not with this key", 404: "Not there", 409: "Conflict",
    413: "Too large", 422: "Malformed", 429: "Too many requests", 502: "The model failed",
    503: "Not ready, or the database is away", 507: "The disk is full",
}  # fmt: skip


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These problems as a route's description has them; of every kind, if none is named."""
    return {status: {"model": Problem, "description": _MEANINGS[status]} for status in statuses or _MEANINGS}


def problem(request: Request, status: int, detail: str, hint: str = "", **headers: str) -> JSONResponse:
    """A response that says what was wrong, and what to do next."""
    body: dict[str, Any] = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=_storable(detail),
        hint=_storable(hint),
        request_id=getattr(request.state, "request_id", ""),
    ).model_dump()
    if request.url.path.startswith("/v1/"):
        kind = "invalid_request_error" if status < 500 else "server_error"
        code = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}.get(status)
        body["error"] = {"message": f"{detail} {hint}".strip(), "type": kind, "code": code, "param": None}
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


def as_problem(request: Request, error: KGTError) -> JSONResponse:
    """One of our errors as a response."""
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    headers = {}
    if isinstance(error, GraphError) and DISK_FULL in error.message:
        status = 507
    if status >= 500:
        log.error("%s", error, exc_info=error.__cause__)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.seconds)
    elif status == 503:
        headers["Retry-After"] = "5"
    return problem(request, status, error.message, error.hint, **headers)


def answer_with_problems(app: FastAPI) -> None:
    """Turn every exception of a request into a problem."""

    @app.exception_handler(KGTError)
    def ours(request: Request, error: KGTError) -> JSONResponse:
        return as_problem(request, error)

    @app.exception_handler(RequestValidationError)
    def misread(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            reason = first.get("ctx", {}).get("error", "")
            return problem(request, 422, f"The body is not JSON: {reason}.", "Check its quotes and commas.")
        where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        more = len(error.errors()) - 1
        detail = f"{where}: {first['msg']}" + (f" (and {more} more)" if more else "") + "."
        return problem(request, 422, detail, "See /docs for what this route takes.")

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed(request))
        hint = "See /docs for the routes." if error.status_code in (404, 405) else ""
        return problem(request, error.status_code, str(error.detail).rstrip(".") + ".", hint, **headers)

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(request, 500, "Something went wrong in the server.", "Look for the request's id in its log.")


def _allowed(request: Request) -> list[str]:
    """The methods of all routes with this path; Starlette names those of the first."""
    routes, scope = request.app.routes, request.scope
    return [m for m in METHODS if any(r.matches({**scope, "method": m})[0] is Match.FULL for r in routes)]


def _storable(text: str) -> str:
    """Text that UTF-8 can hold: what a client sent may have half characters in it."""
    return text.encode("utf-8", "replace").decode("utf-8")
