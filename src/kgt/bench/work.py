"""What a model did: forward passes, and the tokens they read; counts that no other load on the machine changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kgt.lm.torch_model import TorchModel


@dataclass(slots=True)
class Work:
    """Counts of one stretch.

    Attributes:
        passes: forward passes.
        scored: tokens read to be scored or gone on from; decoded: tokens read as a text goes on, guesses included.
        padded: both, with what only fills a batch up.
    """

    passes: int = 0
    scored: int = 0
    decoded: int = 0
    padded: int = 0


@contextmanager
def counted(model: TorchModel) -> Iterator[Work]:
    """Count a model's work until the end of the block."""
    work = Work()

    def count(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        ids, mask, cache = kwargs["input_ids"], kwargs["attention_mask"], kwargs.get("past_key_values")
        # In a packed row a token that only fills it up sees nothing.
        read = (mask == 0).any(-1) if mask.ndim == 4 else mask[:, -ids.shape[1] :]
        tokens = int(read.sum())
        work.passes += 1
        work.padded += ids.numel()
        if mask.ndim == 2 and cache is not None:
            work.decoded += tokens
        else:
            work.scored += tokens

    hook = model.module.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield work
    finally:
        hook.remove()
