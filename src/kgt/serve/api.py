"""REST: every verb of the Assistant under /api, each for the user whose key it is."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Header, Path, Query, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel

from kgt.assistant import Assistant
from kgt.errors import BadInput
from kgt.graph import Edit, exchange
from kgt.graph.records import MAX_ID
from kgt.serve import metrics
from kgt.serve.auth import Authorised
from kgt.serve.problems import Conflict, problems
from kgt.serve.schema import (
    AddModel,
    AnswerModel,
    AskModel,
    EditModel,
    Edits,
    Erased,
    Everything,
    ExplanationModel,
    FactModel,
    Facts,
    Me,
    Name,
    TeachModel,
    Text,
)
from kgt.serve.service import Service

MOST = 1000
"""Longest page of a list."""
MOST_KEY = 180
"""Longest idempotency key: with the digest after it, what the store takes."""

router = APIRouter(prefix="/api", tags=["graph"], responses=problems())

Limit = Annotated[int, Query(ge=1, le=MOST, description="Longest page.")]
EditId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]
IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=MOST_KEY,
        pattern=r"^[!-~]+$",
        examples=["6b1f0c3e"],
        description="Sent again with the same request, it changes nothing.",
    ),
]
AsOf = Annotated[
    str | None, Query(max_length=40, examples=["7"], description="An edit's id, or a time with its zone (ISO 8601).")
]


_LINE = '{"subject": "my dog", "relation": "is", "object": "vegetarian"}\n'


def service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


@router.post("/ask")
def ask(request: Request, caller: Authorised, body: AskModel) -> AnswerModel:
    """Answer a question with the facts that it asks for."""
    me = service(request).assistant(caller.user)
    answer = me.ask(
        body.query, subject=body.subject, max_tokens=body.max_tokens, temperature=body.temperature, seed=body.seed
    )
    return AnswerModel.of(metrics.answered(answer))


@router.post("/teach")
def teach(request: Request, caller: Authorised, body: TeachModel, idempotency_key: IdempotencyKey = None) -> EditModel:
    """Say what the right answer is: the graph is edited so that the question, however worded, gets it."""
    me = service(request).assistant(caller.user, caller.name)

    def work(name: str) -> Edit:
        return me.teach(
            body.query, body.feedback, body.relations, subject=body.subject, object=body.object,
            dry_run=body.dry_run, request=name,
        )  # fmt: skip

    return _once(request, me, idempotency_key, body.model_dump_json(), work)


@router.get("/facts", response_model=Facts)
def facts(
    request: Request,
    caller: Authorised,
    entity: Annotated[Name | None, Query(description="Only what is known about this.", examples=["my dog"])] = None,
    as_of: AsOf = None,
    base: Annotated[bool, Query(description="With the shared facts about the entity.")] = False,
    limit: Limit = 100,
    offset: Annotated[int, Query(ge=0, le=MAX_ID // 2)] = 0,
) -> Response:
    """What is known, the newest first."""
    if base and entity is None:
        raise BadInput("All shared facts are too many to list.", "Name an entity.")
    me = service(request).graph(caller.user)
    found = me.facts(entity, as_of=_moment(as_of), include_base=base, limit=offset + limit + 1)[offset:]
    more = offset + limit if len(found) > limit else None
    return _written(Facts(items=[FactModel.of(fact) for fact in found[:limit]], next=more))


@router.post("/facts")
def add(request: Request, caller: Authorised, body: AddModel, idempotency_key: IdempotencyKey = None) -> EditModel:
    """Add facts exactly as given, without a model, all or none; facts they contradict go."""
    me = service(request).graph(caller.user, caller.name)
    triples = [one.triple() for one in body.triples]

    def work(name: str) -> Edit:
        return me.add_triples(triples, dry_run=body.dry_run, request=name)

    return _once(request, me, idempotency_key, body.model_dump_json(), work)


@router.delete("/facts")
def forget(
    request: Request,
    caller: Authorised,
    subject: Annotated[Name, Query(examples=["my dog"])],
    relation: Annotated[Name | None, Query(description="Only this relation.", examples=["is"])] = None,
    object: Annotated[Name | None, Query(description="Only this fact.", examples=["vegetarian"])] = None,
    idempotency_key: IdempotencyKey = None,
) -> EditModel:
    """Forget what is known about an entity, or one relation or fact of it; an edit, so it can be undone."""
    me = service(request).graph(caller.user, caller.name)
    return _once(request, me, idempotency_key, "", lambda name: me.forget(subject, relation, object, request=name))


@router.get("/edits", response_model=Edits)
def edits(
    request: Request,
    caller: Authorised,
    limit: Limit = 100,
    before: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="Only edits before this one.", examples=[8])
    ] = None,
) -> Response:
    """The user's edits, the newest first."""
    found = service(request).store.history(caller.user, limit + 1, before)
    more = found[limit - 1].id if len(found) > limit else None
    return _written(Edits(items=[EditModel.of(edit) for edit in found[:limit]], next=more))


@router.get("/edits/{id}")
def edit(request: Request, caller: Authorised, id: EditId) -> EditModel:
    """One edit."""
    return EditModel.of(service(request).store.edit(caller.user, id))


@router.post("/edits/{id}/undo")
def undo(request: Request, caller: Authorised, id: EditId, idempotency_key: IdempotencyKey = None) -> EditModel:
    """Make the graph as if an edit had not been made; of an undo, redo what it undid."""
    me = service(request).graph(caller.user, caller.name)
    return _once(request, me, idempotency_key, "", lambda name: me.undo(id, request=name))


@router.post("/undo")
def undo_latest(request: Request, caller: Authorised, idempotency_key: IdempotencyKey = None) -> EditModel:
    """Undo the latest edit; without a key, a request sent again undoes the one before it too."""
    me = service(request).graph(caller.user, caller.name)
    return _once(request, me, idempotency_key, "", lambda name: me.undo(request=name))


@router.get("/explain")
def explain(
    request: Request,
    caller: Authorised,
    query: Annotated[Text, Query(examples=["What should I feed my dog?"])],
    subject: Annotated[Name | None, Query(description="The entity it is about.", examples=["my dog"])] = None,
) -> ExplanationModel:
    """Why a question is answered as it is: every fact considered, its probability and its edits."""
    return ExplanationModel.of(service(request).assistant(caller.user).explain(query, subject=subject))


@router.get(
    "/export", response_class=PlainTextResponse, responses={200: {"content": {"text/plain": {"example": _LINE}}}}
)
def export(
    request: Request, caller: Authorised, format: Annotated[exchange.Format, Query()] = "jsonl"
) -> PlainTextResponse:
    """The user's facts as a file."""
    text = io.StringIO()
    exchange.write(service(request).graph(caller.user).facts(), text, format)
    name = f'attachment; filename="facts.{format}"'
    return PlainTextResponse(text.getvalue(), headers={"Content-Disposition": name})


@router.post("/import")
def import_(
    request: Request,
    caller: Authorised,
    body: Annotated[str, Body(media_type="text/plain", examples=["my dog\tis\tvegetarian\n"])],
    format: Annotated[exchange.Format, Query()] = "tsv",
    idempotency_key: IdempotencyKey = None,
) -> EditModel:
    """Add the facts of a file, all or none."""
    triples = list(exchange.read(io.StringIO(body), format))
    if not triples:
        raise BadInput("The file holds no facts.", "Send one a line, or choose another format.")
    me = service(request).graph(caller.user, caller.name)
    return _once(request, me, idempotency_key, body, lambda name: me.add_triples(triples, kind="import", request=name))


@router.get("/me", tags=["me"])
def me(request: Request, caller: Authorised) -> Me:
    """Whose key this is, and how much is stored."""
    latest = service(request).store.history(caller.user, 1)
    return Me(user=caller.user, trusted=caller.trusted, edits=latest[0].id or 0 if latest else 0)


@router.get("/me/data", tags=["me"])
def everything(request: Request, caller: Authorised) -> Everything:
    """Download everything that is stored about the user."""
    store = service(request).store
    keys = [
        {"name": key.name, "trusted": key.trusted, "created": key.created, "expires": key.expires}
        for _, key in store.keys(caller.user)
    ]
    return Everything(
        user=caller.user,
        facts=[FactModel.of(fact) for fact in store.facts(caller.user)],
        edits=[EditModel.of(edit) for edit in store.history(caller.user)],
        keys=keys,
    )


@router.delete("/me", tags=["me"])
def erase(
    request: Request,
    caller: Authorised,
    confirm: Annotated[str, Query(description="The user's name, to be sure.", examples=["ana"])],
) -> Erased:
    """Erase everything of the user for good, history and keys included. There is no undo."""
    if confirm != caller.user:
        raise BadInput("The name to confirm is not the user's; nothing was erased.", "Give confirm= the exact name.")
    service(request).store.erase(caller.user)
    return Erased(erased=caller.user)


def _written(page: BaseModel) -> Response:
    """A page as JSON: left to FastAPI it is checked and converted a second time, a tenth of the whole request."""
    return Response(page.model_dump_json(), media_type="application/json")


def _edited(edit: Edit) -> EditModel:
    return EditModel.of(metrics.edited(edit))


def _once(request: Request, me: Assistant, key: str | None, sent: str, work: Callable[[str], Edit]) -> EditModel:
    """The edit of a request, made only once if it has a key. It is stored as the key and a digest of what was sent.

    Raises:
        Conflict: the key was used for another request.
    """
    if not key:
        return _edited(work(""))
    whole = f"{request.method} {request.url.path}?{request.url.query}\n{sent}"
    name = f"{key} {hashlib.sha256(whole.encode()).hexdigest()[:16]}"
    stored = me.store.requested_beginning(me.user, f"{key} ")
    if stored and stored.request != name:
        raise Conflict("This idempotency key was used for another request.", "Use a new key for a new request.")
    return EditModel.of(stored) if stored else _edited(work(name))


def _moment(text: str | None) -> datetime | int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return min(int(text), MAX_ID)
    try:
        return datetime.fromisoformat(text.replace(" ", "+"))  # a "+" that a form made a space
    except ValueError as error:
        raise BadInput(f"{text!r} is no edit id and no time.", "Write 7, or 2026-01-31T12:00+00:00.") from error
