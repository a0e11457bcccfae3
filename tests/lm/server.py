"""A server with vLLM's HTTP contract in front of a llama.cpp model: what `kgt.lm.remote` relies on, no more.

As a program it serves the bundled model: `python -m tests.lm.server 20`, which is the most log-probabilities it gives.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from kgt.lm.llamacpp import LlamaCppModel

MOST_LOGPROBS = 20
"""vLLM's default of --max-logprobs."""


class VLLM:
    """The answers, as (status, JSON); requests take turns."""

    def __init__(self, model: LlamaCppModel, *, key: str = "", most_logprobs: int = MOST_LOGPROBS) -> None:
        self.model, self.key, self.most_logprobs = model, key, most_logprobs
        self.asked: list[tuple[str, Any]] = []
        self._turn = threading.Lock()

    def answer(self, path: str, body: Any, key: str) -> tuple[int, Any]:
        self.asked.append((path, body))
        if self.key and key != f"Bearer {self.key}":
            return 401, {"error": "Unauthorized"}
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": "smol", "object": "model"}]}
        if body.get("model") != "smol":
            return 404, _error(404, f"The model `{body.get('model')}` does not exist.")
        engine = self.model.engine
        if path == "/tokenize":
            tokens = engine.encode(self.model.chat(body["messages"]))
            return 200, {"tokens": tokens, "count": len(tokens), "max_model_len": engine.longest}
        if path == "/detokenize":
            return 200, {"prompt": engine.decode(body["tokens"])}
        if path != "/v1/completions":
            return 404, {"detail": "Not Found"}
        if (body.get("logprobs") or 0) > self.most_logprobs:
            return 400, _error(
                400, f"Requested sample logprobs of {body['logprobs']}, which is greater than max allowed"
            )
        prompts = [body["prompt"]] if isinstance(body["prompt"], str) else body["prompt"]
        if any(len(engine.encode(p)) + body["max_tokens"] > engine.longest for p in prompts):
            return 400, _error(400, f"This model's maximum context length is {engine.longest} tokens.")
        with self._turn:
            choices = [{"index": i, **self._completed(prompt, body)} for i, prompt in enumerate(prompts)]
        generated = sum(choice.pop("generated") for choice in choices)
        return 200, {"object": "text_completion", "choices": choices, "usage": {"completion_tokens": generated}}

    def _completed(self, prompt: str, body: Any) -> dict[str, Any]:
        from kgt.lm.llama_engine import Read  # imports llama_cpp, an extra
        from kgt.lm.llamacpp import KEPT_TOKENS, MOST_TEXTS

        engine = self.model.engine
        rng = np.random.default_rng(body.get("seed") or 0)
        tokens = list(engine.encode(prompt))
        engine.room_for(KEPT_TOKENS + len(tokens) + body["max_tokens"])
        for sequence in range(MOST_TEXTS):
            engine.forget(sequence)
        echo = body.get("echo")
        rows = list(engine.read([Read(t, i, [0], echo or i == len(tokens) - 1) for i, t in enumerate(tokens)]))
        said: list[int] = []
        finish = "length"
        for _ in range(body["max_tokens"]):
            logits = rows[-1].astype(float)
            top = np.argsort(-logits)[: body.get("top_k") or len(logits)]
            p = np.exp(logits[top] / (body["temperature"] or 1e-6) - logits.max() / (body["temperature"] or 1e-6))
            said.append(int(top[rng.choice(len(top), p=p / p.sum())]))
            if engine.ends(said[-1]):
                finish = "stop"
                break
            rows.append(engine.read([Read(said[-1], len(tokens) + len(said) - 1, [0], wanted=True)])[0])
        engine.forget(0)  # the model knows of none that it did not read
        text = engine.decode(said[:-1] if finish == "stop" else said)
        at = min((text.index(s) for s in body.get("stop") or [] if s in text), default=None)
        shown = [*(tokens if body.get("echo") else []), *said]
        before = [None, *rows] if body.get("echo") else rows
        return {
            "text": (prompt if body.get("echo") else "") + text[:at],
            "finish_reason": finish if at is None else "stop",
            "logprobs": self._logprobs(shown, before, body["logprobs"]) if body.get("logprobs") else None,
            "generated": len(said),
        }

    def _logprobs(self, tokens: list[int], before: list[Any], k: int) -> dict[str, Any]:
        words = [self.model.engine.decode([t]) for t in tokens]
        chosen = [None if row is None else float(row[t]) for t, row in zip(tokens, before, strict=False)]
        tops = [None if row is None else self._top(t, row, k) for t, row in zip(tokens, before, strict=False)]
        return {"tokens": words, "token_logprobs": chosen, "top_logprobs": tops, "text_offset": [0] * len(words)}

    def _top(self, token: int, row: Any, k: int) -> dict[str, float]:
        likeliest = np.argpartition(-row, k)[:k]
        return {self.model.engine.decode([int(t)]): float(row[t]) for t in [token, *likeliest]}


@contextmanager
def serving(answer: Any) -> Iterator[str]:
    """The address of a server on loopback.

    Args:
        answer: (path, body, authorization) → (status, JSON or bytes). A streamed request gets its text in two pieces.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(*answer(self.path, {}, self.headers.get("Authorization", "")))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, found = answer(self.path, body, self.headers.get("Authorization", ""))
            if body.get("stream") and status == 200:
                text = found["choices"][0]["text"]
                at = len(text) // 2 if body["max_tokens"] > 1 else 0
                events = [json.dumps({"choices": [{"index": 0, "text": part}]}) for part in (text[:at], text[at:])]
                found = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()
            self._send(status, found)

        def _send(self, status: int, found: Any) -> None:
            data = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "BadRequestError", "param": None, "code": code}}


if __name__ == "__main__":
    import sys
    import time
    from pathlib import Path

    from kgt.lm import load_model
    from kgt.lm.llamacpp import LlamaCppModel

    loaded = load_model("llama.cpp:smollm2-135m", Path())
    assert isinstance(loaded, LlamaCppModel)
    with serving(VLLM(loaded, most_logprobs=int(sys.argv[1]) if sys.argv[1:] else 100).answer) as address:
        print(address, flush=True)
        while True:
            time.sleep(60)
