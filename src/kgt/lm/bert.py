"""BERT's forward pass (Devlin et al. 2019, arXiv 1810.04805) for the sentence encoder, without transformers.

Parts are named as in the weights' file, so an adapter finds them (`kgt.method.adapter`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from kgt.lm.matrix import Matrix


class Bert(nn.Module):
    """A BERT without pooling.

    Args:
        width, heads, layers, inner, words, positions, sides: its sizes.
        eps: of its norms.
    """

    def __init__(
        self, *, width: int, heads: int, layers: int, inner: int, words: int, positions: int, sides: int, eps: float
    ) -> None:
        super().__init__()
        self.width = width
        self.embeddings = _Embeddings(width, words, positions, sides, eps)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_Layer(width, heads, inner, eps) for _ in range(layers))

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype) -> Bert:
        """A model folder's BERT.

        Raises:
            OSError, KeyError, RuntimeError: the folder holds another model, or is damaged.
        """
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        bert = cls(
            width=config["hidden_size"],
            heads=config["num_attention_heads"],
            layers=config["num_hidden_layers"],
            inner=config["intermediate_size"],
            words=config["vocab_size"],
            positions=config["max_position_embeddings"],
            sides=config["type_vocab_size"],
            eps=config["layer_norm_eps"],
        )
        tensors = load_file(folder / "model.safetensors")
        bert.load_state_dict({name: tensors[name].to(dtype) for name in bert.state_dict()}, assign=True)
        for part in bert.modules():
            if isinstance(part, _Linear):
                part.arrange()
        return bert.eval()

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, sides: torch.Tensor | None = None) -> torch.Tensor:
        """The last layer's output, (rows, n, width).

        Args:
            ids: tokens, (rows, n).
            mask: 0 where a row is padded, (rows, n).
            sides: which of two texts a token is of, (rows, n); None: all of the first.
        """
        hidden: torch.Tensor = self.embeddings(ids, torch.zeros_like(ids) if sides is None else sides)
        sees = mask[:, None, None].bool()
        for layer in self.encoder.layer:  # type: ignore[union-attr]
            hidden = layer(hidden, sees)
        return hidden


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Nothing: weights come from the file, and drawing others takes time."""

    def arrange(self) -> None:
        """Have passes without gradients take the weights as they are now."""
        self._now = Matrix(self.weight.detach(), self.bias.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() or x.dtype != self._now.weight.dtype:
            return super().forward(x)
        return self._now(x)


class _Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        """As above."""


class _Embeddings(nn.Module):
    def __init__(self, width: int, words: int, positions: int, sides: int, eps: float) -> None:
        super().__init__()
        self.word_embeddings = _Embedding(words, width)
        self.position_embeddings = _Embedding(positions, width)
        self.token_type_embeddings = _Embedding(sides, width)
        self.LayerNorm = nn.LayerNorm(width, eps)

    def forward(self, ids: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
        places = self.position_embeddings.weight[: ids.shape[1]]
        normed: torch.Tensor = self.LayerNorm(self.word_embeddings(ids) + self.token_type_embeddings(sides) + places)
        return normed


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention = nn.ModuleDict({"self": _maps(width), "output": _added(width, width, eps)})
        self.intermediate = nn.ModuleDict({"dense": _Linear(width, inner)})
        self.output = _added(inner, width, eps)

    def forward(self, hidden: torch.Tensor, sees: torch.Tensor) -> torch.Tensor:
        rows, n, width = hidden.shape
        maps: Any = self.attention["self"]
        out: Any = self.attention["output"]
        q, k, v = (maps[x](hidden).view(rows, n, self.heads, -1).transpose(1, 2) for x in ("query", "key", "value"))
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=sees).transpose(1, 2).reshape(rows, n, width)
        hidden = out["LayerNorm"](out["dense"](mixed) + hidden)
        wide = gelu(self.intermediate["dense"](hidden))
        result: torch.Tensor = self.output["LayerNorm"](self.output["dense"](wide) + hidden)
        return result


def _maps(width: int) -> nn.ModuleDict:
    return nn.ModuleDict({name: _Linear(width, width) for name in ("query", "key", "value")})


def _added(inner: int, width: int, eps: float) -> nn.ModuleDict:
    """A linear map, added to what went in before, and a norm."""
    return nn.ModuleDict({"dense": _Linear(inner, width), "LayerNorm": nn.LayerNorm(width, eps)})
