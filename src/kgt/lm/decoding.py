"""Arithmetic on next-token distributions that every backend needs, in numpy: contrast, mixture, scores, sampling.

All distributions are natural log-probabilities, float32, shape (n, vocabulary).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from kgt.lm.base import Contrast, Scored

Floats = npt.NDArray[np.float32]


def log_softmax(logits: Floats) -> Floats:
    """Logits of any scale to log-probabilities, along the last axis; −inf stays −inf."""
    shifted = logits - logits.max(-1, keepdims=True)
    normalised: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return normalised


def decode_contrast(logp: Floats, without: Floats, contrast: Contrast) -> Floats:
    """Context-aware next-token log-probabilities from those with and without the context."""
    mixed = (1 + contrast.alpha) * logp - contrast.alpha * without
    if contrast.plausibility > 0:
        floor = logp.max(-1, keepdims=True) + math.log(contrast.plausibility)
        mixed = np.where(logp < floor, np.float32(-np.inf), mixed)
    return log_softmax(mixed)


def mix(contrasted: Floats, without: Floats, odds: npt.NDArray[np.float64]) -> Floats:
    """Log of w·contrasted + (1 − w)·without; odds = log w/(1 − w), shape (n,)."""
    odds = odds[:, None]
    yes, no = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
    mixed: Floats = np.logaddexp(yes + contrasted, no + without).astype(np.float32)
    return mixed


def log_odds(weight: float) -> float:
    """Natural log of w/(1 − w), for w in (0, 1]."""
    return math.log(weight) - math.log1p(-weight) if weight < 1 else math.inf


def score(
    tokens: Sequence[int], logp: Floats, without: Floats | None = None, contrast: Contrast | None = None
) -> Scored:
    """One continuation's score.

    Args:
        tokens: its n tokens.
        logp: the distributions they are drawn from, shape (n, vocabulary).
        without: the same after the contrasting prompt, where there is a contrast.
    """
    rows = np.arange(len(tokens))
    greedy = logp
    if contrast is not None and without is not None:
        greedy = decode_contrast(logp, without, contrast)
        logp = decode_contrast(logp, without, contrast._replace(plausibility=0.0)) if contrast.plausibility else greedy
        if contrast.weight < 1:
            told = (logp[rows, tokens] - without[rows, tokens]).astype(np.float64)
            odds = log_odds(contrast.weight) + np.cumsum(told) - told
            greedy, logp = mix(greedy, without, odds), mix(logp, without, odds)
    chosen = logp[rows, tokens].astype(np.float32)
    behind = (greedy.max(1) - greedy[rows, tokens]).max()
    return Scored(chosen, bool((greedy.argmax(1) == np.asarray(tokens)).all()), float(behind))


class Decoder:
    """What the next token of one text is drawn from, step by step; with a contrast it keeps the odds of the context."""

    def __init__(self, contrast: Contrast | None) -> None:
        self._contrast = contrast
        self._odds = log_odds(contrast.weight) if contrast else 0.0

    def distribution(self, logp: Floats, without: Floats | None) -> Floats:
        """The next token's distribution from those after the prompts; shapes (vocabulary,)."""
        if self._contrast is None or without is None:
            return logp
        contrasted = decode_contrast(logp, without, self._contrast)
        if self._contrast.weight == 1:
            return contrasted
        mixed: Floats = mix(contrasted[None], without[None], np.array([self._odds]))[0]
        return mixed

    def said(self, token: int, logp: Floats, without: Floats | None) -> None:
        """Take note of the token chosen: by Bayes' rule it tells whether the context concerns the prompt."""
        if self._contrast is None or without is None or self._contrast.weight == 1:
            return
        with_context = decode_contrast(logp, without, self._contrast._replace(plausibility=0.0))
        self._odds += float(with_context[token] - without[token])


COLDEST = 1e-3
"""A lower temperature is as good as 0; what is divided by it would leave the range of floats."""


def draw(logp: Floats, rng: np.random.Generator, *, temperature: float = 1.0, top_k: int = 0) -> int:
    """A token from a distribution of shape (vocabulary,): the likeliest at temperature 0 (below COLDEST) or top_k 1.

    Args:
        top_k: draw from the k likeliest only; 0 is all.
    """
    if temperature < COLDEST or top_k == 1:
        return int(logp.argmax())
    among = np.argpartition(-logp, top_k - 1)[:top_k] if 0 < top_k < len(logp) else np.arange(len(logp))
    p = np.exp(log_softmax(logp[among] / np.float32(temperature)).astype(np.float64))
    return int(among[rng.choice(len(among), p=p / p.sum())])


def streamed(texts: Iterable[str], stop: Sequence[str]) -> Iterator[str]:
    """The pieces of a growing text that can be shown, up to the first stop string.

    Args:
        texts: the whole text after each token.
    """
    stream = Stream(stop)
    for text in texts:
        yield from stream.grown(text)
        if stream.stopped:
            return
    yield from stream.rest()


class Stream:
    """What of a growing text was shown.

    Attributes:
        stopped: whether a stop string came, so that nothing more is shown.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self.stopped = False
        self._stop, self._shown, self._text = stop, 0, ""

    def grown(self, text: str) -> list[str]:
        """The new piece that can be shown of the whole text as it is now, if there is one."""
        self._text = text
        cut = min((at for s in self._stop if (at := text.find(s)) >= 0), default=None)
        self.stopped = cut is not None
        return self._up_to(_ready(text, self._stop) if cut is None else cut)

    def rest(self) -> list[str]:
        """What was held back, at the text's end."""
        return [] if self.stopped else self._up_to(len(self._text))

    def _up_to(self, end: int) -> list[str]:
        piece, self._shown = self._text[self._shown : end], max(self._shown, end)
        return [piece] if piece else []


def _ready(text: str, stop: Sequence[str]) -> int:
    """How much of the text can be shown: not half a character, and nothing that may become a stop string."""
    end = len(text)
    while end and text[end - 1] == "\ufffd":
        end -= 1
    for s in stop:
        for n in range(min(len(s) - 1, end), 0, -1):
            if text.endswith(s[:n], 0, end):
                end -= n
                break
    return end
