"""OpenAI's protocol under /v1: change the base URL, and the assistant knows its user.

The facts that a question asks for are put into the context, and what the last message states or
corrects is learnt before it is answered. What was used and learnt comes back in the field `kgt` and
in headers. The server answers with its own model, or passes the conversation on (`kgt.serve.proxy`).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from kgt.assistant import Answer, Assistant
from kgt.conversation import Conversation
from kgt.errors import BadInput, KGTError, NotFound
from kgt.graph import Edit
from kgt.lm import Message
from kgt.serve import metrics
from kgt.serve.auth import Authorised
from kgt.serve.problems import problems
from kgt.serve.replies import HEADERS, STREAM, ChatReply, ModelCard, ModelList, TextReply, event_stream
from kgt.serve.schema import EditModel, UsedModel
from kgt.serve.service import Service

router = APIRouter(
    prefix="/v1",
    tags=["OpenAI-compatible"],
    responses=problems(400, 401, 403, 404, 413, 422, 429, 502, 503, 507),
)
MODEL = "kgt"
"""A name that always means the server's own model."""
MOST_TOKENS = 512
"""An answer's length where the client names none."""


class Options(BaseModel):
    """KGT's own options, in the field `kgt` of a request (`extra_body` in OpenAI's client)."""

    model_config = ConfigDict(extra="forbid")
    learn: bool = Field(default=True, description="Learn what the last message states or corrects.")
    facts: bool = Field(default=True, description="Answer with the user's facts.")


class Part(BaseModel):
    model_config = ConfigDict(extra="allow")
    type: str
    text: str = ""


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="allow")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type in ("text", "input_text"))
        return self.content or ""


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="allow")
    include_usage: bool = False


class Common(BaseModel):
    """What both kinds of request have; parameters not named here are passed on by a proxy, else ignored."""

    model_config = ConfigDict(extra="allow")
    model: str = Field(MODEL, max_length=500, examples=[MODEL])
    max_tokens: int | None = Field(None, ge=1, le=4096)
    temperature: float | None = Field(None, ge=0, le=2)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(1, ge=1)
    user: str | None = Field(None, max_length=200, description="For which user a trusted key acts.")
    kgt: Options = Field(default_factory=lambda: Options(learn=True, facts=True))


class ChatRequest(Common):
    messages: list[ChatMessage] = Field(
        min_length=1, examples=[[{"role": "user", "content": "What should I feed my dog?"}]]
    )
    max_completion_tokens: int | None = Field(None, ge=1, le=4096)


class CompletionRequest(Common):
    prompt: str | list[str] = Field(examples=["The mother tongue of Ana is"])


@dataclass(slots=True)
class Personal:
    """What the graph had to do with a reply."""

    learnt: Edit | None = None
    answer: Answer | None = None

    def field(self) -> dict[str, Any]:
        """The extension field of a response."""
        facts = [UsedModel.of(c).model_dump() for c in self.answer.facts] if self.answer else []
        return {
            "used": facts,
            "none": self.answer.retrieval.none if self.answer else None,
            "learnt": EditModel.of(self.learnt).model_dump(mode="json") if self.learnt else None,
        }

    def headers(self) -> dict[str, str]:
        """The same in brief, there before the text."""
        used = {"X-KGT-Facts-Used": str(len(self.answer.facts) if self.answer else 0)}
        return used | ({"X-KGT-Edit": str(self.learnt.id)} if self.learnt and self.learnt.id else {})


def _answered_with(reply: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": reply, "content": STREAM, "headers": HEADERS, "description": "The reply, or its stream."}}


@router.get("/models", response_model=None, responses={200: {"model": ModelList}})
def models(request: Request, caller: Authorised) -> dict[str, Any] | Response:
    """The models that a request may name."""
    if proxy := request.app.state.proxy:
        return proxy.models()  # type: ignore[no-any-return]
    return {"object": "list", "data": [_model(name) for name in _names(request.app.state.service)]}


@router.get("/models/{name:path}", response_model=None, responses={200: {"model": ModelCard}})
def model(
    request: Request, caller: Authorised, name: Annotated[str, Path(examples=[MODEL])]
) -> dict[str, Any] | Response:
    """One model."""
    if proxy := request.app.state.proxy:
        return proxy.models(name)  # type: ignore[no-any-return]
    return _model(_known(request.app.state.service, name))


@router.post("/chat/completions", response_model=None, responses=_answered_with(ChatReply))
def chat(request: Request, caller: Authorised, body: ChatRequest) -> Response:
    """Answer the last message, with the facts it asks for; what it states or corrects is learnt first."""
    service: Service = request.app.state.service
    caller = caller.acting_for(body.user)
    request.state.user = caller.user
    me = service.assistant(caller.user, caller.name)
    if proxy := request.app.state.proxy:
        personal = _personal(me, body)
        return proxy.chat(body, personal)  # type: ignore[no-any-return]
    _check(service, body)
    if body.messages[-1].role != "user":
        raise BadInput("The last message is not the user's.", 'End with {"role": "user", "content": "…"}.')
    said = _conversation(body.messages)
    decoding = _decoding(body, body.max_completion_tokens or body.max_tokens)
    talk = Conversation(me, said[:-1], learns=body.kgt.learn, facts=body.kgt.facts)
    reply = talk.reply(said[-1]["content"], **decoding)
    personal = Personal(reply.edit and metrics.edited(reply.edit), reply.answer and metrics.answered(reply.answer))
    envelope = _Envelope("chat.completion", body, me, personal, [m["content"] for m in said])
    return envelope.respond(_until(reply.words, body.stop))


@router.post("/completions", response_model=None, responses=_answered_with(TextReply))
def completions(request: Request, caller: Authorised, body: CompletionRequest) -> Response:
    """Go on with a text, with the facts it asks for; nothing is learnt from it."""
    service: Service = request.app.state.service
    caller = caller.acting_for(body.user)
    request.state.user = caller.user
    _check(service, body)
    if isinstance(body.prompt, list) and len(body.prompt) != 1:
        raise BadInput(f"There are {len(body.prompt)} prompts.", "Send one prompt in a request.")
    prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    me = service.assistant(caller.user, caller.name)
    answer = metrics.answered(me.recall(prompt)) if body.kgt.facts else Answer.plain(prompt)
    words = me.words(answer, **_decoding(body, body.max_tokens))
    envelope = _Envelope("text_completion", body, me, Personal(answer=answer), [prompt])
    return envelope.respond(_until(words, body.stop))


class _Envelope:
    """A reply in OpenAI's forms: whole, or as server-sent events."""

    def __init__(self, kind: str, body: Common, me: Assistant, personal: Personal, asked: Sequence[str]) -> None:
        self._kind, self._body, self._me, self._personal = kind, body, me, personal
        self._asked = asked
        self._head = {
            "id": f"{'chatcmpl' if kind == 'chat.completion' else 'cmpl'}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": me.model.name,
        }

    def respond(self, words: Iterator[str]) -> Response:
        """The response; a stream's first piece is computed before it begins, so that errors come as errors."""
        if not self._body.stream:
            return JSONResponse(self._whole("".join(words)), headers=self._personal.headers())
        events = self._events(next(words, None), words)
        return event_stream(events, self._personal.headers(), events.close)

    def _whole(self, text: str) -> dict[str, Any]:
        if self._kind == "chat.completion":
            said: dict[str, Any] = {"message": {"role": "assistant", "content": text.strip(), "refusal": None}}
        else:
            said = {"text": text.strip()}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": self._finish(text)}
        return {
            **self._head, "object": self._kind, "choices": [choice], "usage": self._usage(text),
            "kgt": self._personal.field(),
        }  # fmt: skip

    def _events(self, first: str | None, words: Iterator[str]) -> Generator[str]:
        text = ""
        try:
            if self._kind == "chat.completion":
                yield self._event({"role": "assistant", "content": ""})
            while first is not None:
                text += first
                yield self._event({"content": first})
                first = next(words, None)
        except KGTError as error:  # too late for a status
            yield _line({"error": {"message": str(error), "type": "server_error", "code": None}})
            return
        finally:
            if hasattr(words, "close"):
                words.close()
        yield self._event({}, finish=self._finish(text), kgt=self._personal.field())
        if self._body.stream_options and self._body.stream_options.include_usage:
            yield _line({**self._head, "object": self._chunk, "choices": [], "usage": self._usage(text)})
        yield "data: [DONE]\n\n"

    @property
    def _chunk(self) -> str:
        return "chat.completion.chunk" if self._kind == "chat.completion" else self._kind

    def _event(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        said = {"delta": delta} if self._kind == "chat.completion" else {"text": delta.get("content", "")}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        return _line({**self._head, "object": self._chunk, "choices": [choice], **more})

    def _usage(self, text: str) -> dict[str, int] | None:
        """Tokens of what was asked and said; None where the model's server does not tell how it counts."""
        count = self._me.model.count
        asked, said = [count(one) for one in self._asked], count(text)
        if said is None or None in asked:
            return None
        prompt = sum(n for n in asked if n)
        return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}

    def _finish(self, text: str) -> str:
        most = _decoding(self._body, getattr(self._body, "max_completion_tokens", None) or self._body.max_tokens)
        return "length" if (self._me.model.count(text) or 0) >= most["max_tokens"] else "stop"


def _personal(me: Assistant, body: ChatRequest) -> Personal:
    """What the last message teaches and asks for, where another server answers."""
    said = _conversation(body.messages)
    if not said or body.messages[-1].role != "user" or not said[-1]["content"].strip():
        return Personal()
    talk, message = Conversation(me, said[:-1]), said[-1]["content"]
    try:
        learnt = talk.learn(message) if body.kgt.learn else None
    except BadInput:  # "no, that's wrong": nothing to learn, and the other model will answer it
        learnt = None
    try:
        answer = talk.recall(message) if body.kgt.facts else None
    except BadInput:  # too long to be a question about a fact
        answer = None
    return Personal(learnt and metrics.edited(learnt), answer and metrics.answered(answer))


def _conversation(messages: Sequence[ChatMessage]) -> list[Message]:
    """The turns that are text, in the form chat templates take."""
    names: dict[str, Literal["system", "user", "assistant"]] = {
        "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
    }  # fmt: skip
    return [{"role": names[m.role], "content": m.text} for m in messages if m.role in names]


def _decoding(body: Common, most: int | None) -> dict[str, Any]:
    seed = None if body.seed is None else body.seed % 2**63  # not every backend takes those below 0
    return {"max_tokens": most or MOST_TOKENS, "temperature": body.temperature or 0.0, "seed": seed}


def _until(words: Iterator[str] | Any, stop: str | list[str] | None) -> Iterator[str]:
    """Words up to the first of the stop strings."""
    from kgt.lm.decoding import streamed

    stops = [stop] if isinstance(stop, str) else [s for s in stop or [] if s]

    def texts() -> Iterator[str]:
        text = ""
        try:
            for piece in words:
                text += piece
                yield text
        finally:
            if hasattr(words, "close"):  # a reply and its words hold each other, so they would not end by themselves
                words.close()

    yield from streamed(texts(), stops)


def _names(service: Service) -> list[str]:
    return list(dict.fromkeys([MODEL, service.model.name]))


def _check(service: Service, body: Common) -> None:
    """Refuse what cannot be done before anything is learnt."""
    _known(service, body.model)
    if body.n not in (None, 1):
        raise BadInput(f"n is {body.n}.", "Ask for one choice a request.")


def _known(service: Service, name: str) -> str:
    if name not in _names(service):
        raise NotFound(f"There is no model {name!r} here.", f"Name one of: {', '.join(_names(service))}.")
    return name


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "kgt"}


def _line(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
