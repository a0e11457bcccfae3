"""A model that scores the same request only once: editors that leave the prompt alone share the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kgt.lm import Contrast, LanguageModel, Message, Prompt, Request, Scored

MOST = 200_000
"""Requests kept; a few hundred bytes each."""


class RememberingModel:
    """The same answers as the model it wraps; see `kgt.lm.LanguageModel`.

    It also makes "unchanged" exact: the same prompt gives the same numbers, whatever it is batched with.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.inner = model
        self._known: dict[Request, list[Scored]] = {}

    @property
    def name(self) -> str:
        return self.inner.name

    def chat(self, messages: Sequence[Message], prefill: str = "") -> str:
        return self.inner.chat(messages, prefill)

    def count(self, text: str) -> int | None:
        return self.inner.count(text)

    def logprobs(self, requests: Sequence[Request]) -> list[list[Scored]]:
        new = [r for r in dict.fromkeys(requests) if r not in self._known]
        if len(self._known) + len(new) > MOST:
            self._known.clear()
            new = list(dict.fromkeys(requests))
        self._known.update(zip(new, self.inner.logprobs(new), strict=True))
        return [self._known[r] for r in requests]

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
        return self.inner.generate(
            prompt, max_tokens=max_tokens, stop=stop, temperature=temperature, seed=seed, contrast=contrast
        )

    def generate_many(
        self, prompts: Sequence[Prompt], *, max_tokens: int, top_k: int = 1, seed: int | None = None
    ) -> list[str]:
        return self.inner.generate_many(prompts, max_tokens=max_tokens, top_k=top_k, seed=seed)
