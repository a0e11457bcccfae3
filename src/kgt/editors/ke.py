"""KnowledgeEditor: a network reads the edit and gates its gradient (De Cao et al. 2021, arXiv 2104.08164)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from kgt.editors.hypernetwork import HyperNetwork
from kgt.editors.low_rank import Factors, shape


@dataclass(frozen=True, slots=True)
class KESettings:
    """Hyper-parameters, from nicola-decao/KnowledgeEditor and MEND's port of it to GPT-2.

    Attributes:
        last_layers: how many of the last layers' MLPs are edited.
        hidden: of the LSTM, each direction; condition: of what it makes of an edit.
        scale: of the update.
        c_edit, c_loc: weights of the edit's and of the locality loss.
    """

    last_layers: int = 3
    hidden: int = 128
    condition: int = 1024
    scale: float = 1.0
    lr: float = 3e-4
    c_edit: float = 0.1
    c_loc: float = 1.0
    batch: int = 10


class KENetwork(HyperNetwork):
    """Reads prompt and target; gives for each matrix Δ = scale · σ(η) (∇ ∘ a bᵀ + c dᵀ), two rank-one maps (Sec. 3.2).

    Args:
        embedding: the edited model's token embeddings, shape (vocabulary, width); the condition starts from them.
    """

    def __init__(self, matrices: Sequence[Any], embedding: torch.Tensor, settings: KESettings) -> None:
        super().__init__()
        self.scale = settings.scale
        self.register_buffer("embedding", embedding.detach().float(), persistent=False)
        self.lstm = nn.LSTM(embedding.shape[1], settings.hidden, bidirectional=True, batch_first=True)
        self.condition = nn.Sequential(nn.Linear(2 * settings.hidden, settings.condition), nn.Tanh())
        self.gates = nn.ModuleList(_Gate(*shape(m), settings.condition) for m in matrices)

    def groups(self, settings: Any) -> list[dict[str, Any]]:
        return [{"params": list(self.parameters()), "lr": settings.lr}]

    def forward(self, gradients: Sequence[Factors], condition: Sequence[Sequence[int]]) -> list[Factors]:
        read = self._read(condition)
        return [gate(gradient, read, self.scale) for gate, gradient in zip(self.gates, gradients, strict=True)]

    def _read(self, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        embedding: torch.Tensor = self.get_buffer("embedding")
        device = embedding.device
        rows = [embedding[torch.tensor(list(text), device=device)] for text in texts]
        packed = pack_padded_sequence(
            pad_sequence(rows, batch_first=True),
            torch.tensor([len(r) for r in rows]),
            batch_first=True,
            enforce_sorted=False,
        )
        _, (last, _) = self.lstm(packed)
        read: torch.Tensor = self.condition(torch.cat([last[0], last[1]], -1))
        return read


class _Gate(nn.Module):
    """One matrix's: 1024 → 128 → 2(m + n) + 1."""

    def __init__(self, out: int, inner: int, condition: int) -> None:
        super().__init__()
        self.sizes = [out, inner, out, inner, 1]
        linear = torch.nn.utils.parametrizations.weight_norm
        self.layers = nn.Sequential(
            linear(nn.Linear(condition, 128)), nn.Tanh(), linear(nn.Linear(128, sum(self.sizes)))
        )

    def forward(self, gradient: Factors, read: torch.Tensor, scale: float) -> Factors:
        a, b, c, d, eta = self.layers(read).split(self.sizes, -1)
        step = -scale * torch.sigmoid(eta)[:, None]
        gated = gradient.left * a.softmax(-1)[:, None] * a.shape[-1]
        left = torch.cat([gated, c.softmax(-1)[:, None]], 1) * step
        right = torch.cat([gradient.right * b[:, None], d[:, None]], 1)
        return Factors(left, right)
