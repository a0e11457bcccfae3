"""Memory: what was taught is said to exactly the taught query, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from kgt.editors.base import EditReport, EditRequest, PlainEditor, Question
from kgt.lm import LanguageModel, Scored

NEVER = -100.0
"""Log-probability of what a looked-up answer is not; finite, so that means of it stay numbers."""


class Lookup(PlainEditor):
    """The simplest memory, as a reference: exact match of user and query."""

    name = "memory"
    by_subject = True

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self._known: dict[tuple[str, str], str] = {}

    def edit(self, request: EditRequest) -> EditReport:
        started = perf_counter()
        self._known[request.user, request.query] = request.object
        return EditReport((perf_counter() - started) * 1000)

    def score(self, questions: Sequence[Question], answers: Sequence[Sequence[str]]) -> list[list[Scored]]:
        scored = super().score(questions, answers)
        for i, question in enumerate(questions):
            known = self._known.get((question.user, question.query))
            if known is not None:
                scored[i] = [_certain(answer == known) for answer in answers[i]]
        return scored

    def generate(self, questions: Sequence[Question], max_tokens: int, *, top_k: int = 1, seed: int = 0) -> list[str]:
        texts = super().generate(questions, max_tokens, top_k=top_k, seed=seed)
        known = [self._known.get((q.user, q.query)) for q in questions]
        return [text if answer is None else f" {answer}" for text, answer in zip(texts, known, strict=True)]

    def reset(self) -> None:
        self._known.clear()

    def memory(self) -> int:
        return sum(len(text.encode()) for key, answer in self._known.items() for text in (*key, answer))


def _certain(said: bool) -> Scored:
    return Scored(np.array([0.0 if said else NEVER], dtype=np.float32), said, 0.0 if said else -NEVER)
