"""GGUF files run by llama.cpp as they are: no torch, no conversion, ready in a fraction of a second.

Prompts and what is scored after them are read in one pass, each text in a sequence of its own; what several begin
with alike is read once (`kgt.lm.branches`), and what is known from earlier prompts not again (`kgt.lm.prefixes`).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kgt.lm.base import Contrast, Message, Prompt, Request, Scored
from kgt.lm.branches import Text, tree
from kgt.lm.decoding import Decoder, Floats, draw, score, streamed
from kgt.lm.llama_engine import CELLS, SEQUENCES, Engine, Read
from kgt.lm.prefixes import Known, PrefixCache, opening_of
from kgt.lm.template import ChatTemplate
from kgt.lm.tokens import Tokens, check_room, following

OUTPUTS = 512
"""Most distributions held at once: 4 bytes times the vocabulary each, 100 to 300 MB."""
KEPT_TOKENS, KEPT_PROMPTS = 2048, 64
"""Of the cache's cells and sequences as many are for prompts that are remembered."""
OPENING = SEQUENCES - 1
"""The sequence of what the prompts of plain questions begin with."""
MOST_TEXTS = OPENING - KEPT_PROMPTS
"""Read at once."""


class _Row(NamedTuple):
    """A continuation to score: the request it is of, its tokens, and those of the prompt and the contrasting prompt."""

    request: int
    continuation: Tokens
    prompts: tuple[Tokens, ...]


class _Growing:
    """A text that grows: its prompt and contrasting prompt, their sequences, and what was said so far."""

    def __init__(self, prompts: tuple[Tokens, ...], contrast: Contrast | None) -> None:
        self.prompts = prompts
        self.decoder = Decoder(contrast)
        self.said: list[int] = []
        self.sequences: range = range(0)


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
        self._last = 0  # so many sequences were read in the last call
        self._contexts = 0
        self._prefixes: PrefixCache[int] = PrefixCache(KEPT_TOKENS, KEPT_PROMPTS)
        self._free = list(range(MOST_TEXTS, OPENING))

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
        most = MOST_TEXTS // 2  # each may have a contrasting prompt
        for at in range(0, len(texts), most):
            for _ in self._grown(texts[at : at + most], max_tokens, lambda logp: draw(logp, rng, top_k=top_k)):
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

    def _text(self, prompt: Prompt, max_tokens: int) -> _Growing:
        prompts = [self.engine.encode(prompt.text)]
        if prompt.contrast:
            prompts.append(self.engine.encode(prompt.contrast.without))
        check_room(max(map(len, prompts)) + max_tokens, self.engine.longest, self.name)
        return _Growing(tuple(prompts), prompt.contrast)

    # -- distributions -----------------------------------------------------------------------------

    def _distributions(self, rows: Sequence[_Row]) -> Iterator[tuple[Floats, Floats | None]]:
        """What each row's tokens are drawn from, with and without the context: log-probabilities (n, vocabulary)."""
        texts = list(dict.fromkeys((prompt, row.continuation[:-1]) for row in rows for prompt in row.prompts))
        with self._turn:
            logp, stands = self._read(texts)
        found = dict(zip(texts, stands, strict=True))
        for row in rows:
            with_facts, *without = (logp[found[prompt, row.continuation[:-1]]] for prompt in row.prompts)
            yield with_facts, without[0] if without else None

    def _grown(self, texts: Sequence[_Growing], max_tokens: int, choose: Callable[[Floats], int]) -> Iterator[None]:
        """Grow texts by a token each a step, until all have ended."""
        running = list(texts)
        call = -1
        for step in range(max_tokens):
            with self._turn:
                if call != self._calls:  # at first, and where another call took the cache between two steps
                    at = 0
                    for text in running:
                        text.sequences = range(at, at + len(text.prompts))
                        at = text.sequences.stop
                    new = [((*prompt, *text.said), ()) for text in running for prompt in text.prompts]
                    plain = {text.prompts[0] for text in running if len(text.prompts) == 1 and not text.said}
                    logp, stands = self._read(new, more=len(new) * (max_tokens - step), plain=plain)
                    logp = logp[[stand[0] for stand in stands]]
                    call = self._calls
                else:
                    logp = self.engine.read(
                        [
                            Read(text.said[-1], len(prompt) + len(text.said) - 1, [sequence], wanted=True)
                            for text in running
                            for prompt, sequence in zip(text.prompts, text.sequences, strict=True)
                        ]
                    )
            found = iter(logp)
            going = []
            for text in running:
                logp, *rest = [next(found) for _ in text.prompts]
                without = rest[0] if rest else None
                token = choose(text.decoder.distribution(logp, without))
                if not self.engine.ends(token):
                    text.decoder.said(token, logp, without)
                    text.said.append(token)
                    going.append(text)
            running = going
            if not running:
                return
            yield

    def _read(
        self, texts: Sequence[tuple[Tokens, Tokens]], *, more: int = 0, plain: Collection[Tokens] = ()
    ) -> tuple[Floats, list[list[int]]]:
        """Read prompts and what follows each, from now on sequences 0, 1, …; the turn is the caller's.

        Args:
            more: tokens that sequences will grow by.
            plain: the prompts that are to be read in the same way however often they are.

        Returns:
            The next token's log-probabilities after tokens, (wanted, vocabulary), and for each text which of these
            are after its prompt and each token behind it.
        """
        engine = self.engine
        self._calls += 1
        if engine.contexts == self._contexts:
            for sequence in range(self._last):
                engine.forget(sequence)
        self._last = 0
        if plain and engine.keeps and self._prefixes.opening is None:
            self._open()
        known: dict[Tokens, Known[int]] = {
            prompt: self._prefixes.find(prompt, plain=prompt in plain) if engine.keeps else Known((), None)
            for prompt in dict.fromkeys(prompt for prompt, _ in texts)
        }
        todo, stands = tree([Text(prompt, end, len(known[prompt].tokens)) for prompt, end in texts])
        engine.room_for(KEPT_TOKENS + more + len(todo))
        if engine.contexts != self._contexts:  # nothing is known now
            self._contexts = engine.contexts
            self._prefixes.clear()
            self._free = list(range(MOST_TEXTS, OPENING))
            return self._read(texts, more=more, plain=plain)
        self._last = len(texts)
        if not engine.branches:
            return self._read_apart(texts)
        for sequence, (prompt, _) in enumerate(texts):
            tokens, kept = known[prompt]
            if kept is not None:
                engine.copy(kept, sequence, len(tokens))
        logp = engine.read(todo)
        if engine.keeps:
            of = {prompt: sequence for sequence, (prompt, _) in enumerate(texts)}
            for prompt in filter(self._prefixes.wants, known):
                self._keep(prompt, of[prompt])
        row = np.cumsum([read.wanted for read in todo]) - 1
        return logp, [row[places].tolist() for places in stands]

    def _open(self) -> None:
        """Read what the prompts of plain questions begin with, by itself: elsewhere it would be rounded otherwise."""
        opening = opening_of(self.chat, self.engine.encode)
        self.engine.room_for(KEPT_TOKENS)
        self.engine.forget(OPENING)
        if opening:
            self.engine.read([Read(token, i, [OPENING], wanted=False) for i, token in enumerate(opening)])
        self._prefixes.opening = Known(opening, OPENING)

    def _read_apart(self, texts: Sequence[tuple[Tokens, Tokens]]) -> tuple[Floats, list[list[int]]]:
        """The same where each token is of one sequence: each prompt once, then what follows, in copies of it."""
        first: dict[Tokens, int] = {}
        for sequence, (prompt, _) in enumerate(texts):
            first.setdefault(prompt, sequence)
        heads = [
            Read(token, i, [sequence], wanted=i == len(prompt) - 1)
            for prompt, sequence in first.items()
            for i, token in enumerate(prompt)
        ]
        ends = [
            Read(token, len(prompt) + i, [sequence], wanted=True)
            for sequence, (prompt, end) in enumerate(texts)
            for i, token in enumerate(end)
        ]
        after = [self.engine.read(heads)]
        for sequence, (prompt, _) in enumerate(texts):
            if first[prompt] != sequence:
                self.engine.copy(first[prompt], sequence)
        if ends:
            after.append(self.engine.read(ends))
        row = {prompt: i for i, prompt in enumerate(first)}
        at = itertools.count(len(first))
        return np.concatenate(after), [[row[prompt], *itertools.islice(at, len(end))] for prompt, end in texts]

    def _keep(self, prompt: Tokens, sequence: int) -> None:
        """Remember a prompt that a sequence begins with."""
        for old in self._prefixes.make_room(prompt):
            self.engine.forget(old)
            self._free.append(old)
        kept = self._free.pop()
        self.engine.copy(sequence, kept, len(prompt))
        self._prefixes.keep(prompt, kept)


def _batches(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Rows that are read together, in order: as many as the cache, its sequences and memory take."""
    batch: list[_Row] = []
    prompts: set[Tokens] = set()
    cells = texts = outputs = 0
    for row in rows:
        new = set(row.prompts) - prompts
        longer = len(row.prompts) * (len(row.continuation) - 1)
        grown = cells + sum(map(len, new)) + longer, texts + len(row.prompts), outputs + len(new) + longer
        if batch and (grown[0] > CELLS - KEPT_TOKENS or grown[1] > MOST_TEXTS or grown[2] > OUTPUTS):
            yield batch
            batch, prompts = [], set()
            new = set(row.prompts)
            grown = sum(map(len, new)) + longer, len(row.prompts), len(new) + longer
        batch.append(row)
        prompts |= new
        cells, texts, outputs = grown
    if batch:
        yield batch
