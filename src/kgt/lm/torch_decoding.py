"""Arithmetic on next-token distributions in torch, on whatever device they are; `kgt.lm.decoding` has it in numpy.

All distributions are natural log-probabilities, float32, shape (n, vocabulary).
"""

from __future__ import annotations

import torch

from kgt.lm.base import Contrast
from kgt.lm.decoding import log_odds


def decoded(logp: torch.Tensor, without: torch.Tensor, contrast: Contrast | None, odds: float) -> torch.Tensor:
    """The distribution that the next token is taken from, shape (1, vocabulary)."""
    if contrast is None:
        return logp
    contrasted = decode_contrast(logp, without, contrast)
    return contrasted if contrast.weight == 1 else mix(contrasted, without, torch.tensor([odds]))


def told_by(token: int, logp: torch.Tensor, without: torch.Tensor, contrast: Contrast | None) -> float:
    """How a token changes the log-odds that the context concerns the prompt."""
    if contrast is None or contrast.weight == 1:
        return 0.0
    with_context = decode_contrast(logp, without, contrast._replace(plausibility=0.0))
    return float(with_context[0, token] - without[0, token])


def decode_contrast(logp: torch.Tensor, without: torch.Tensor, contrast: Contrast) -> torch.Tensor:
    """Context-aware next-token log-probabilities from those with and without the context; shapes (n, vocabulary)."""
    mixed = (1 + contrast.alpha) * logp - contrast.alpha * without
    if contrast.plausibility > 0:
        floor = logp.max(-1, keepdim=True).values + torch.tensor(contrast.plausibility).log()
        mixed = mixed.masked_fill(logp < floor, float("-inf"))
    return mixed.log_softmax(-1)


def mix(contrasted: torch.Tensor, without: torch.Tensor, odds: torch.Tensor) -> torch.Tensor:
    """Log of w·contrasted + (1 − w)·without, rows of log-probabilities (n, vocabulary); odds = log w/(1 − w), (n,)."""
    odds = odds.to(contrasted)[:, None]
    logsigmoid = torch.nn.functional.logsigmoid
    return torch.logaddexp(logsigmoid(odds) + contrasted, logsigmoid(-odds) + without)


def odds_before(tokens: torch.Tensor, logp: torch.Tensor, without: torch.Tensor, weight: float) -> torch.Tensor:
    """The log-odds of the context before each token, those before it being said; shape (n,)."""
    told = (logp.gather(1, tokens[:, None]) - without.gather(1, tokens[:, None]))[:, 0]
    return log_odds(weight) + torch.cumsum(told, 0) - told
