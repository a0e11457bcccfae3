"""What tunes the sentence encoder to read messages: a low-rank change of its matrices, and a linear head.

LoRA (Hu et al. 2021, arXiv 2106.09685), fitted by `benchmarks/fit_messages.py` on the fit part of
`bench/datasets/messages.tsv` and kept in `reader.npz`; all else of the encoder's work is untouched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from kgt.lm.encoder import SentenceEncoder
from kgt.method.reader import KINDS

LONGEST = 96
"""Tokens of a query and its message that are read."""
NO_QUERY = "-"


class Adapter(nn.Module):
    """What is added to the encoder, and the head.

    Args:
        rank: of each change.
    """

    def __init__(self, encoder: SentenceEncoder, rank: int = 16) -> None:
        super().__init__()
        self.names = [name for name, part in encoder.bert.named_modules() if _adapted(name, part)]
        parts = [encoder.bert.get_submodule(name) for name in self.names]
        self.down = nn.ParameterList(nn.Parameter(torch.randn(rank, p.in_features) / p.in_features**0.5) for p in parts)
        self.up = nn.ParameterList(nn.Parameter(torch.zeros(p.out_features, rank)) for p in parts)
        width = encoder.bert.width
        self.sides = nn.Parameter(torch.zeros(2, width))  # which of the two texts a token is of
        self.head = nn.Linear(width, len(KINDS))
        self.drop = nn.Dropout(0.1)

    def forward(self, encoder: SentenceEncoder, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        """Logits of the kinds, shape (pairs, 3), of (query, message) pairs."""
        with encoder.computing:
            return self._logits(encoder, pairs)

    def _logits(self, encoder: SentenceEncoder, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        ids, seen, sides = encoder.batch([(query or NO_QUERY, message) for query, message in pairs], LONGEST)
        with self._added(encoder):
            hidden = encoder.bert(ids, seen, sides).float()
        own = (seen * (sides == 1))[..., None]
        logits: torch.Tensor = self.head((hidden * own).sum(1) / own.sum(1).clamp(min=1))
        return logits

    @contextmanager
    def _added(self, encoder: SentenceEncoder) -> Iterator[None]:
        def adding(down: torch.Tensor, up: torch.Tensor) -> Any:
            return lambda _, args, out: (out + self.drop(args[0].float()) @ down.T @ up.T).to(out.dtype)

        hooks = [
            encoder.bert.get_submodule(name).register_forward_hook(adding(down, up))
            for name, down, up in zip(self.names, self.down, self.up, strict=True)
        ]
        sides = encoder.bert.embeddings.token_type_embeddings
        hooks.append(sides.register_forward_hook(lambda _, args, out: (out + self.sides[args[0]]).to(out.dtype)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@torch.inference_mode()
def probabilities(encoder: SentenceEncoder, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float32]:
    """P(kind) of each (query, message) by the shipped adapter, shape (pairs, 3); no feedback without a query."""
    logits = _shipped(encoder)(encoder, pairs)
    without = torch.tensor([not query for query, _ in pairs])
    logits[without, KINDS.index("feedback")] = -torch.inf
    found: npt.NDArray[np.float32] = logits.softmax(-1).numpy()
    return found


def save(adapter: Adapter, path: Any) -> None:
    """Write an adapter in half precision."""
    np.savez_compressed(path, **{name: p.numpy().astype(np.float16) for name, p in adapter.state_dict().items()})


@lru_cache(maxsize=2)
def _shipped(encoder: SentenceEncoder) -> Adapter:
    with (files("kgt.method") / "reader.npz").open("rb") as file, np.load(file) as stored:
        state = {name: torch.tensor(stored[name].astype(np.float32)) for name in stored.files}
    adapter = Adapter(encoder, state["down.0"].shape[0])
    adapter.load_state_dict(state)
    return adapter.eval()


def _adapted(name: str, part: nn.Module) -> bool:
    return name.startswith("encoder.") and isinstance(part, nn.Linear)
