"""MCP: a model that has tools remembers, recalls and corrects for its user; over standard input or at /mcp."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import Field
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kgt import __version__
from kgt.assistant import Assistant
from kgt.errors import KGTError
from kgt.graph import Edit
from kgt.serve import metrics
from kgt.serve.auth import admitted, caller_in
from kgt.serve.problems import as_problem
from kgt.serve.schema import EditModel, FactModel, Name, Text, TripleModel, UsedModel
from kgt.serve.service import Service
from kgt.settings import Settings

INSTRUCTIONS = """\
The user's own knowledge graph. Call `recall` before answering a question that may be about the user, their people,
animals, things or habits. Call `remember` when the user states such a fact, `correct` when the user says that an
answer was wrong, and `forget` when asked to. Never store what the user did not say."""

Headers = Mapping[str, str] | None
SetUp = Callable[[Headers], Assistant]
REFUSED = -32000
"""JSON-RPC's first number for a server's own errors."""
MOST = 200
"""Most facts in one reply: a model has to read them."""


def tools(assistant: SetUp) -> MCPServer:
    """The server and its tools.

    Args:
        assistant: that of the user whose request has these headers.
    """
    server = MCPServer("kgt", title="KGT", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")

    def run(ctx: Context, work: Callable[[Assistant], object]) -> object:
        try:
            return work(assistant(ctx.headers))
        except KGTError as error:
            raise ToolError(str(error)) from error

    @server.tool()
    def remember(
        ctx: Context,
        subject: Annotated[Name, Field(description='Whom or what it is about, as the user says it: "my dog".')],
        relation: Annotated[Name, Field(description='"is", "lives in", "favourite colour".')],
        object: Annotated[Name, Field(description='"vegetarian", "Oslo", "green".')],
    ) -> EditModel:
        """Store a fact that the user stated. What it contradicts is replaced; it can be undone."""
        triple = TripleModel(subject=subject, relation=relation, object=object).triple()
        return run(ctx, lambda me: _edited(me.add_triples([triple])))  # type: ignore[return-value]

    @server.tool()
    def recall(
        ctx: Context, question: Annotated[Text, Field(description="The user's question, in their words.")]
    ) -> list[UsedModel]:
        """The stored facts that answer a question, with their probabilities; empty where none does."""
        return run(  # type: ignore[return-value]
            ctx, lambda me: [UsedModel.of(c) for c in metrics.answered(me.recall(question)).facts]
        )

    @server.tool()
    def correct(
        ctx: Context,
        question: Annotated[Text, Field(description="The question that was answered wrongly.")],
        answer: Annotated[Text, Field(description='What the user says is right: "No, my dog is vegetarian."')],
    ) -> EditModel:
        """Store a correction: from now on the question, however worded, has this answer."""
        return run(ctx, lambda me: _edited(me.teach(question, answer)))  # type: ignore[return-value]

    @server.tool()
    def forget(
        ctx: Context,
        subject: Annotated[Name, Field(description="Whom or what to forget.")],
        relation: Annotated[Name | None, Field(description="Only this relation.")] = None,
        object: Annotated[Name | None, Field(description="Only this fact.")] = None,
    ) -> EditModel:
        """Remove what is stored about an entity, or one relation or fact of it; it can be undone."""
        return run(ctx, lambda me: _edited(me.forget(subject, relation, object)))  # type: ignore[return-value]

    @server.tool()
    def facts(
        ctx: Context,
        entity: Annotated[Name | None, Field(description="Only what is known about this.")] = None,
    ) -> list[FactModel]:
        """List what is stored about the user, the newest first."""
        return run(ctx, lambda me: [FactModel.of(f) for f in me.facts(entity, limit=MOST)])  # type: ignore[return-value]

    return server


def mount(app: FastAPI, service: Service) -> MCPServer:
    """Serve the tools at /mcp, each request for the user of its key; the caller runs the session manager."""

    def assistant(headers: Headers) -> Assistant:
        found = caller_in(service, headers or {})
        return service.assistant(found.user, found.name)

    server = tools(assistant)
    inner = server.streamable_http_app(
        json_response=True, stateless_http=True,  # no state here: any server may take the next request
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the app sees to it
    )  # fmt: skip
    # No GET: it would hold a stream open on which, without a state, nothing ever comes.
    app.router.routes.append(Route("/mcp", _Keyed(inner), methods=["POST"]))
    return server


def serve_stdio(settings: Settings) -> None:
    """Serve the tools to the program at standard input and output, for the settings' user."""
    me = Assistant(settings.user, settings=settings, said_by="mcp")
    print(f"KGT serves MCP for {me.user} on standard input.", file=sys.stderr)
    try:
        tools(lambda _headers: me).run("stdio")
    finally:
        if "store" in vars(me):
            me.store.close()


class _Keyed:
    """Asks for the key before anything is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            await admitted(request)
        except KGTError as error:
            return await _refusal(as_problem(request, error), str(error))(scope, receive, send)
        await self._app(scope, receive, send)


def _refusal(problem: JSONResponse, message: str) -> JSONResponse:
    """A problem as JSON-RPC has errors: the SDK's client tells its user nothing of others."""
    error = {"code": REFUSED, "message": message, "data": json.loads(bytes(problem.body))}
    headers = {name: problem.headers[name] for name in ("www-authenticate", "retry-after") if name in problem.headers}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, problem.status_code, headers)


def _edited(edit: Edit) -> EditModel:
    return EditModel.of(metrics.edited(edit))
