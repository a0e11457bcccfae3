"""GGUF files run by llama.cpp as they are: no torch, no conversion, ready in a fraction of a second.

Every distinct prompt is decoded once, in a sequence of its own. Each continuation starts as a copy of
that sequence, and the continuations of many requests are decoded together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kgt.lm.base import Contrast, Message, Prompt, Request, Scored
from kgt.lm.decoding import Decoder, Floats, draw, score, streamed
from kgt.lm.llama_engine import CELLS, SEQUENCES, Engine, Piece
from kgt.lm.template import ChatTemplate
from kgt.lm.tokens import Tokens, check_room, following

OUTPUTS = 512
"""Most distributions held at once: 4 bytes times the vocabulary each, 100 to 300 MB."""


class _Row(NamedTuple):
    """A continuation to score: the request it is of, its tokens, and those of the prompt and the contrasting prompt."""

    request: int
    continuation: Tokens
    prompts: tuple[Tokens, ...]


class _Text:
    """A text that grows: its prompt and contrasting prompt, and what was said so far."""

    def __init__(self, prompts: tuple[Tokens, ...], contrast: Contrast | None) -> None:
        self.prompts = prompts
        self.decoder = Decoder(contrast)
        self.said: list[int] = []


class LlamaCppModel:
    """A GGUF model in this process; see `kgt.lm.base.LanguageModel` for the meaning of its methods.

    Several threads may use it; they take turns, a decoding step at a time.

    Args:
        path, device, threads: see `kgt.lm.llama_engine.Engine`.

    Raises:
        ModelError: the file is no GGUF, is truncated, or of an architecture llama.cpp does not run.
    """

    def __init__(self, path: Path, name: str, *, device: str = "auto", threads: int = 0) -> None:
        self.name = name
        self.engine = Engine(path, device=device, threads=threads)
        self._template = ChatTemplate(
            self.engine.chat_template,
            {"bos_token": self.engine.special("bos"), "eos_token": self.engine.special("eos")},
        )
        self._turn = threading.Lock()
        self._calls = 0

    def chat(self, messages: Sequence[Message], prefill: str = "") -> str:
        return self._template.prompt(messages, prefill)

    def count(self, text: str) -> int:
        return len(self.engine.encode(text)) if text else 0

    def logprobs(self, requests: Sequence[Request]) -> list[list[Scored]]:
        rows = [row for i, request in enumerate(requests) for row in self._rows(i, request)]
        scored: list[list[Scored]] = [[] for _ in requests]
        for batch in _batches(rows):
            for row, found in zip(batch, self._distributions(batch), strict=True):
                scored[row.request].append(score(row.continuation, *found, contrast=requests[row.request].contrast))
        return scored

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 64,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
        contrast: Contrast | None = None,
    ) -> Iterator[str]:
        text = self._text(Prompt(prompt, contrast), max_tokens)
        rng = np.random.default_rng(seed)
        steps = self._grown([text], max_tokens, lambda logp: draw(logp, rng, temperature=temperature))
        return streamed((self.engine.decode(text.said) for _ in steps), stop)

    def generate_many(
        self, prompts: Sequence[Prompt], *, max_tokens: int, top_k: int = 1, seed: int | None = None
    ) -> list[str]:
        texts = [self._text(prompt, max_tokens) for prompt in prompts]
        rng = np.random.default_rng(seed)
        for at in range(0, len(texts), SEQUENCES // 2):
            for _ in self._grown(
                texts[at : at + SEQUENCES // 2], max_tokens, lambda logp: draw(logp, rng, top_k=top_k)
            ):
                pass
        return [self.engine.decode(text.said) for text in texts]

    # -- requests as tokens ------------------------------------------------------------------------

    def _rows(self, index: int, request: Request) -> Iterator[_Row]:
        """The request's continuations."""
        head = self.engine.encode(request.prompt)
        without = (self.engine.encode(request.contrast.without),) if request.contrast else ()
        for continuation in request.continuations:
            tokens = following(self.engine.encode, request.prompt, head, continuation)
            check_room(max(map(len, (head, *without))) + len(tokens), self.engine.longest, self.name)
            yield _Row(index, tokens, (head, *without))

    def _text(self, prompt: Prompt, max_tokens: int) -> _Text:
        prompts = [self.engine.encode(prompt.text)]
        if prompt.contrast:
            prompts.append(self.engine.encode(prompt.contrast.without))
        check_room(max(map(len, prompts)) + max_tokens, self.engine.longest, self.name)
        return _Text(tuple(prompts), prompt.contrast)

    # -- distributions -----------------------------------------------------------------------------

    def _distributions(self, rows: Sequence[_Row]) -> Iterator[tuple[Floats, Floats | None]]:
        """What each row's tokens are drawn from, with and without the context: log-probabilities (n, vocabulary)."""
        prompts = {prompt: i for i, prompt in enumerate(dict.fromkeys(p for row in rows for p in row.prompts))}
        branches = [(p, row.continuation[:-1]) for row in rows if len(row.continuation) > 1 for p in row.prompts]
        with self._turn:
            self._calls += 1
            self.engine.clear(sum(map(len, prompts)) + sum(len(tokens) for _, tokens in branches))
            first = self.engine.append([Piece(i, 0, prompt, 1) for prompt, i in prompts.items()])
            pieces = []
            for sequence, (prompt, tokens) in enumerate(branches, start=len(prompts)):
                self.engine.copy(prompts[prompt], sequence)
                pieces.append(Piece(sequence, len(prompt), tokens, len(tokens)))
            later = iter(self.engine.append(pieces))
        for row in rows:
            heads = [first[prompts[p]] for p in row.prompts]
            found = [np.concatenate([h, next(later)]) for h in heads] if len(row.continuation) > 1 else heads
            yield found[0], found[1] if len(found) > 1 else None

    def _grown(self, texts: Sequence[_Text], max_tokens: int, choose: Callable[[Floats], int]) -> Iterator[None]:
        """Grow texts by a token each a step, until all have ended."""
        running = list(enumerate(texts))
        call = -1
        for _ in range(max_tokens):
            with self._turn:
                afresh = call != self._calls  # at first, and where another call took the cache between two steps
                if afresh:
                    self._calls += 1
                    call = self._calls
                    self.engine.clear(sum(len(p) + max_tokens for _, text in running for p in text.prompts))
                found = iter(
                    self.engine.append(
                        [
                            Piece(2 * i + side, 0, (*prompt, *text.said), 1)
                            if afresh
                            else Piece(2 * i + side, len(prompt) + len(text.said) - 1, (text.said[-1],), 1)
                            for i, text in running
                            for side, prompt in enumerate(text.prompts)
                        ]
                    )
                )
            going = []
            for i, text in running:
                logp, *rest = [next(found)[0] for _ in text.prompts]
                without = rest[0] if rest else None
                token = choose(text.decoder.distribution(logp, without))
                if not self.engine.ends(token):
                    text.decoder.said(token, logp, without)
                    text.said.append(token)
                    going.append((i, text))
            running = going
            if not running:
                return
            yield


def _batches(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Rows that are decoded together, in order: as many as the cache, its sequences and memory take."""
    batch: list[_Row] = []
    prompts: set[Tokens] = set()
    cells = sequences = outputs = 0
    for row in rows:
        new = set(row.prompts) - prompts
        longer = len(row.prompts) * (len(row.continuation) - 1)
        grown = (
            cells + sum(map(len, new)) + longer,
            sequences + len(new) + len(row.prompts),
            outputs + len(new) + longer,
        )
        if batch and (grown[0] > CELLS or grown[1] > SEQUENCES or grown[2] > OUTPUTS):
            yield batch
            batch, prompts = [], set()
            grown = (sum(map(len, set(row.prompts))) + longer, 2 * len(row.prompts), len(row.prompts) + longer)
        batch.append(row)
        prompts |= set(row.prompts)
        cells, sequences, outputs = grown
    if batch:
        yield batch
