"""One model and one encoder for many threads: a single thread computes, and takes what waits in one batch.

Two cores gain nothing from two passes at once, and much from one pass over the questions of several
users (measured in `docs/decisions/0017-serving.md`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from kgt.errors import ModelError
from kgt.lm.base import Contrast, LanguageModel, Message, Prompt, Request, Scored
from kgt.lm.encoder import KnownVectors, SentenceEncoder

_T = TypeVar("_T")

STOPPING_SECONDS = 30
"""How long `close` waits for what was begun."""


class _Score(NamedTuple):
    requests: Sequence[Request]
    scores: Future[list[list[Scored]]]


class _Embed(NamedTuple):
    phrases: list[str]
    vectors: Future[npt.NDArray[np.float32]]


class _Call(NamedTuple):
    work: Callable[[], Any]
    result: Future[Any]


class _Text:
    """A text that is generated for a thread, which takes its pieces from a queue; None at its end."""

    def __init__(self, prompt: str, arguments: dict[str, Any]) -> None:
        self.prompt, self.arguments = prompt, arguments
        self.pieces: SimpleQueue[str | Exception | None] = SimpleQueue()
        self.dropped = False
        self.writing: Any = None

    def __iter__(self) -> Iterator[str]:
        try:
            while (piece := self.pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.dropped = True  # whoever reads it may go away in the middle


class _Running(Protocol):
    """Texts written together; see `kgt.lm.running.Running`."""

    @property
    def open(self) -> bool: ...
    def write(self, prompt: str, **arguments: Any) -> Any: ...
    def join(self, text: Any) -> None: ...
    def step(self) -> None: ...


class SharedModel:
    """The model, safe to call from many threads; see `kgt.lm.LanguageModel` for its methods.

    Args:
        model: computes in one thread from now on: nobody else may use it.
        encoder: the same.

    Attributes:
        encoder: the sentence encoder, safe to call from many threads.
    """

    def __init__(self, model: LanguageModel, encoder: SentenceEncoder | None = None) -> None:
        self._model = model
        self.encoder = SharedEncoder(encoder, self._encoded) if encoder else None
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self._model.name

    def chat(self, messages: Sequence[Message], prefill: str = "") -> str:
        return self._model.chat(messages, prefill)

    def count(self, text: str) -> int | None:
        return self._model.count(text)

    def logprobs(self, requests: Sequence[Request]) -> list[list[Scored]]:
        return self._put(_Score(requests, Future())).scores.result() if requests else []

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
        decoding = {"temperature": temperature, "seed": seed, "contrast": contrast}
        return iter(self._put(_Text(prompt, {"max_tokens": max_tokens, "stop": stop, **decoding})))

    def generate_many(
        self, prompts: Sequence[Prompt], *, max_tokens: int, top_k: int = 1, seed: int | None = None
    ) -> list[str]:
        def work() -> list[str]:
            return self._model.generate_many(prompts, max_tokens=max_tokens, top_k=top_k, seed=seed)

        found: list[str] = self._put(_Call(work, Future())).result.result()
        return found

    def close(self) -> None:
        """Finish what was begun, and take nothing more."""
        self._closed.set()
        self._jobs.put(None)
        self._thread.join(STOPPING_SECONDS)

    def _encoded(self, phrases: list[str]) -> npt.NDArray[np.float32]:
        vectors: npt.NDArray[np.float32] = self._put(_Embed(phrases, Future())).vectors.result()
        return vectors

    def _put(self, job: _T) -> _T:
        if self._closed.is_set():
            raise ModelError("The model is shutting down.", "Try again when the server is back.")
        self._jobs.put(job)
        return job

    # -- the thread that computes ------------------------------------------------------------------

    def _work(self) -> None:
        running: _Running = self._model.running() if hasattr(self._model, "running") else _OneByOne(self._model)
        texts: list[_Text] = []
        waiting: list[_Text] = []
        while not self._closed.is_set() or texts or waiting or not self._jobs.empty():
            jobs = self._taken(wait=not (texts or waiting))
            self._score([job for job in jobs if isinstance(job, _Score)])
            self._embed([job for job in jobs if isinstance(job, _Embed)])
            for job in jobs:
                if isinstance(job, _Call):
                    _settle(job.result, job.work)
            waiting += [job for job in jobs if isinstance(job, _Text)]
            if running.open or not texts:
                for text in waiting:
                    self._begin(text, running)
                texts += [text for text in waiting if text.writing]
                waiting = []
            if texts:
                texts = self._step(texts, running)

    def _taken(self, wait: bool) -> list[Any]:
        """Everything that waits; at least one job, if there is nothing else to do."""
        jobs = [self._jobs.get()] if wait else []
        with suppress(Empty):
            while True:
                jobs.append(self._jobs.get_nowait())
        return jobs

    def _score(self, jobs: list[_Score]) -> None:
        _together(jobs, lambda job: job.requests, self._model.logprobs, lambda job: job.scores)

    def _embed(self, jobs: list[_Embed]) -> None:
        if self.encoder:
            _together(jobs, lambda job: job.phrases, self.encoder.inner.encode, lambda job: job.vectors)

    def _begin(self, text: _Text, running: _Running) -> None:
        try:
            text.writing = running.write(text.prompt, **text.arguments)
            running.join(text.writing)
        except Exception as error:  # whoever asked for it is told
            text.pieces.put(error)

    def _step(self, texts: list[_Text], running: _Running) -> list[_Text]:
        """Write on; the texts that are not done."""
        for text in texts:
            if text.dropped:
                text.writing.done = True
        try:
            running.step()
        except Exception as error:
            for text in texts:
                text.writing.done = True
                text.pieces.put(error)
            with suppress(Exception):
                running.step()  # drops them
            return []
        for text in texts:
            for piece in text.writing.pieces():
                text.pieces.put(piece)
            if text.writing.done:
                text.pieces.put(None)
        return [text for text in texts if not text.writing.done]


class SharedEncoder(SentenceEncoder):
    """The encoder, safe to call from many threads."""

    def __init__(self, encoder: SentenceEncoder, encode: Callable[[list[str]], npt.NDArray[np.float32]]) -> None:
        self.inner = encoder
        self.computing = encoder.computing
        self._known = KnownVectors()
        self._encode = encode

    def load(self) -> tuple[Any, Any]:
        return self.inner.load()

    def encode(self, phrases: list[str]) -> npt.NDArray[np.float32]:
        return self._encode(phrases)


class _OneByOne:
    """A backend that writes one text at a time."""

    open = True

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._texts: list[_Whole] = []

    def write(self, prompt: str, **arguments: Any) -> _Whole:
        return _Whole(self._model.generate(prompt, **arguments))

    def join(self, text: _Whole) -> None:
        self._texts.append(text)

    def step(self) -> None:
        """A piece of the first text."""
        self._texts = [text for text in self._texts if not text.done]
        if self._texts:
            self._texts[0].go_on()


class _Whole:
    def __init__(self, text: Iterator[str]) -> None:
        self.done = False
        self._text = text
        self._ready: list[str] = []

    def go_on(self) -> None:
        try:
            self._ready.append(next(self._text))
        except StopIteration:
            self.done = True

    def pieces(self) -> list[str]:
        ready, self._ready = self._ready, []
        return ready


def _together(
    jobs: Sequence[Any],
    parts: Callable[[Any], Sequence[Any]],
    compute: Callable[[list[Any]], Any],
    future: Callable[[Any], Future[Any]],
) -> None:
    """Compute what many asked for at once; if that fails, each alone, so that only the guilty are told."""
    if not jobs:
        return
    try:
        found = compute([part for job in jobs for part in parts(job)])
    except Exception:
        for job in jobs:
            _settle(future(job), lambda job=job: compute(list(parts(job))))  # type: ignore[misc]
        return
    at = 0
    for job in jobs:
        end = at + len(parts(job))
        future(job).set_result(found[at:end])
        at = end


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
