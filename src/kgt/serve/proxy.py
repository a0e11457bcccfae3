"""Another OpenAI-compatible server answers, with the user's facts put into its context."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2
from fastapi.responses import JSONResponse, Response

from kgt.errors import ModelError
from kgt.serve.replies import event_stream
from kgt.serve.settings import Serving
from kgt.wording import sentence

if TYPE_CHECKING:
    from kgt.serve.openai import ChatRequest, Personal

SECONDS = 120
"""How long the other server may be silent."""
FACTS = "What is known about the user, to be used where it answers the question: {facts}"


class Proxy:
    """Passes chat requests on to another server.

    Args:
        serving: says where it is. Its key is sent to it; a client's own key stays here.
    """

    def __init__(self, serving: Serving) -> None:
        self._url, self._model = serving.upstream, serving.upstream_model
        self._client = httpx2.Client(
            base_url=self._url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {serving.upstream_key}"} if serving.upstream_key else {},
            timeout=httpx2.Timeout(SECONDS, connect=10),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def models(self, name: str = "") -> Response:
        """The other server's list of models, or what it says of one."""
        response = self._sent(self._client.build_request("GET", f"models/{quote(name)}" if name else "models"))
        return _as_it_came(response, {})

    def chat(self, body: ChatRequest, personal: Personal) -> Response:
        """The other server's reply, with the field `kgt` added to it."""
        request = self._client.build_request("POST", "chat/completions", json=self._asked(body, personal))
        response = self._sent(request, stream=bool(body.stream))
        headers = personal.headers()
        if response.status_code >= 400:
            return _as_it_came(response, headers)
        if body.stream:
            return event_stream(_passed_on(response, personal), headers, response.close)
        try:
            whole = response.json()
            return JSONResponse({**whole, "kgt": personal.field()}, headers=headers)
        except (ValueError, TypeError) as error:
            raise ModelError(f"{self._url} did not answer with a JSON object.", "Check --upstream.") from error

    def _sent(self, request: httpx2.Request, stream: bool = False) -> httpx2.Response:
        """The reply, read to its end unless it is a stream."""
        try:
            response = self._client.send(request, stream=True)
            if response.status_code >= 400 or not stream:
                response.read()
                response.close()
        except httpx2.TimeoutException as error:
            raise ModelError(f"{self._url} does not answer.", "Try again; what was learnt is kept.") from error
        except httpx2.HTTPError as error:
            raise ModelError(
                f"{self._url} cannot be reached: {error}.",
                "Check --upstream; what was learnt is kept.",
            ) from error
        return response

    def _asked(self, body: ChatRequest, personal: Personal) -> dict[str, Any]:
        """The request as the client sent it, without KGT's field, and with the facts in its system message."""
        asked = body.model_dump(exclude={"kgt", "user"}, exclude_unset=True)
        asked["model"] = self._model or body.model
        facts = personal.answer.retrieval.used if personal.answer else ()
        told = [c.triple for c in facts] + ([z.triple for z in personal.learnt.added] if personal.learnt else [])
        if told:
            text = FACTS.format(facts=" ".join(map(sentence, dict.fromkeys(told))))
            messages = asked["messages"]
            if messages[0]["role"] in ("system", "developer") and isinstance(messages[0]["content"], str):
                messages[0] = {**messages[0], "content": f"{messages[0]['content']}\n\n{text}"}
            else:
                messages.insert(0, {"role": "system", "content": text})
        return asked


def _as_it_came(response: httpx2.Response, headers: dict[str, str]) -> Response:
    """Also errors: the client knows its server's."""
    return Response(response.content, response.status_code, headers, media_type=response.headers.get("content-type"))


def _passed_on(response: httpx2.Response, personal: Personal) -> Iterator[str]:
    """The events of a stream; the field `kgt` comes with the last chunk's fields, before [DONE]."""
    head: dict[str, Any] = {"object": "chat.completion.chunk"}
    told = False

    def ours() -> str:
        return f"data: {json.dumps({**head, 'choices': [], 'kgt': personal.field()}, ensure_ascii=False)}\n\n"

    try:
        for line in response.iter_lines():
            if not line.startswith("data:"):
                if line:
                    yield f"{line}\n"
                continue
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                told = True
                yield ours()
            else:
                with suppress(ValueError):
                    head = {k: v for k, v in json.loads(data).items() if k in ("id", "object", "created", "model")}
            yield f"{line}\n\n"
    except httpx2.HTTPError as error:
        broken = {"error": {"message": f"The other server broke off: {error}", "type": "server_error", "code": None}}
        yield f"data: {json.dumps(broken)}\n\n"
        return
    finally:
        response.close()
    if not told:
        yield ours()
