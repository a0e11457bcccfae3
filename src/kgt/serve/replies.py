"""What goes out under /v1: OpenAI's forms and the field `kgt` for the API's description, and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from kgt.serve.schema import EditModel, Probability, UsedModel


class PersonalModel(BaseModel):
    """What the graph had to do with the reply."""

    used: list[UsedModel] = Field(description="The facts that decided the answer.")
    none: Probability | None = Field(description="Probability that no stored fact answers it.", examples=[0.02])
    learnt: EditModel | None = Field(description="What the last message taught.", examples=[None])


class Usage(BaseModel):
    prompt_tokens: int = Field(examples=[9])
    completion_tokens: int = Field(examples=[10])
    total_tokens: int = Field(examples=[19])


class Said(BaseModel):
    role: Literal["assistant"]
    content: str = Field(examples=["Your dog would like a vegetarian diet."])
    refusal: None = None


class ChatChoice(BaseModel):
    index: Literal[0]
    message: Said
    logprobs: None = None
    finish_reason: Literal["stop", "length"] = Field(examples=["stop"])


class TextChoice(BaseModel):
    index: Literal[0]
    text: str = Field(examples=["Basque"])
    logprobs: None = None
    finish_reason: Literal["stop", "length"] = Field(examples=["stop"])


class _Reply(BaseModel):
    id: str = Field(examples=["chatcmpl-6f0d"])
    created: int = Field(examples=[1769860800])
    model: str = Field(examples=["smollm2-135m"])
    usage: Usage | None
    kgt: PersonalModel


class ChatReply(_Reply):
    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class TextReply(_Reply):
    object: Literal["text_completion"]
    choices: list[TextChoice]


class ModelCard(BaseModel):
    id: str = Field(examples=["kgt"])
    object: Literal["model"]
    created: int = Field(examples=[0])
    owned_by: str = Field(examples=["kgt"])


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ModelCard]


def event_stream(events: Iterator[str], headers: dict[str, str], close: Callable[[], None]) -> StreamingResponse:
    """Server-sent events, which no proxy on the way may hold back; `close` is called in the end."""
    return StreamingResponse(
        events, media_type="text/event-stream",
        headers=headers | {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        background=BackgroundTask(close),  # also where the client has left in the middle
    )  # fmt: skip


_CHUNK = '{"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Your"}}], …}'
STREAM: dict[str, Any] = {
    "text/event-stream": {
        "schema": {"type": "string", "description": "Events of one chunk each; the field `kgt` is in the last."},
        "example": f"data: {_CHUNK}\n\ndata: [DONE]\n\n",
    }
}
HEADERS: dict[str, Any] = {
    "X-KGT-Facts-Used": {"description": "How many facts decided the answer.", "schema": {"type": "integer"}},
    "X-KGT-Edit": {"description": "The edit that the last message caused, if any.", "schema": {"type": "integer"}},
}
