"""Attention for steps of gradients on a CPU, where torch's fused one is slow backwards (decision 0012)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface

NAME = "grouped"


def grouped(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Two products and a softmax; heads that share keys are multiplied with them together, so none is repeated.

    Args:
        query: (rows, heads, n, width); key, value: (rows, groups, cached + n, width).
        attention_mask: (rows, 1, n, cached + n), true or 0 where a token is seen; None: all that come before.

    Returns:
        (rows, n, heads, width), and no weights, as transformers asks of an attention.
    """
    rows, heads, n, width = query.shape
    groups, seen = key.shape[1:3]
    scaled = query * (width**-0.5 if scaling is None else scaling)
    scores = (scaled.reshape(rows, groups, -1, width) @ key.transpose(2, 3)).float().view(rows, groups, -1, n, seen)
    if attention_mask is None:
        attention_mask = torch.ones(n, seen, dtype=torch.bool, device=query.device).tril(seen - n)[None, None]
    mask = attention_mask[:, :, None]
    if mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    else:
        scores = scores + mask
    shares = scores.softmax(-1).to(value.dtype).view(rows, groups, -1, seen)
    return (shares @ value).view(rows, heads, n, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, grouped)


@contextmanager
def for_gradients(module: Any) -> Iterator[None]:
    """A model computing with `grouped` where that is the faster one."""
    config = module.config
    kind = config._attn_implementation
    if kind == "sdpa" and module.device.type == "cpu":
        config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = kind
