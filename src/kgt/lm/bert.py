"""BERT's forward pass (Devlin et al. 2019, arXiv 1810.04805) for the sentence encoder, without transformers.

Parts are named as in the weights' file, so an adapter finds them (`kgt.method.adapter`). Of rows that are padded
only the tokens are multiplied: of a batch of phrases half is padding.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention

from kgt.lm.matrix import Matrix

STEP = 8
"""So many tokens, or twice, three times … so many, are multiplied: few numbers of them have oneDNN compile kernels."""


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
        rows = Rows.of(mask)
        embedded: torch.Tensor = self.embeddings(ids, torch.zeros_like(ids) if sides is None else sides)
        hidden = rows.tokens(embedded)
        for layer in self.encoder.layer:  # type: ignore[union-attr]
            hidden = layer(hidden, rows)
        return rows.padded(hidden)


class Rows(NamedTuple):
    """Where the tokens of padded rows stand.

    Attributes:
        sees: which tokens of a row there are, (rows, 1, 1, n).
        places: of each token in the rows one after the other, and of STEP - 1 at most that fill up, (tokens,).
        token: which token stands in each place, any for padding, (rows, n).
    """

    sees: torch.Tensor
    places: torch.Tensor
    token: torch.Tensor

    @classmethod
    def of(cls, mask: torch.Tensor) -> Rows:
        """The rows of a mask, (rows, n), 0 where they are padded."""
        there = mask.bool()
        places = there.flatten().nonzero()[:, 0]
        token = (there.flatten().cumsum(0) - 1).clamp(min=0).view(mask.shape)
        return cls(there[:, None, None], pad(places, (0, -len(places) % STEP)), token)

    def tokens(self, padded: torch.Tensor) -> torch.Tensor:
        """(rows, n, width) → (tokens, width)."""
        return padded.flatten(0, 1).index_select(0, self.places)

    def padded(self, tokens: torch.Tensor) -> torch.Tensor:
        """(tokens, width) → (rows, n, width)."""
        return tokens.index_select(0, self.token.flatten()).view(*self.token.shape, -1)


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

    def forward(self, hidden: torch.Tensor, rows: Rows) -> torch.Tensor:
        maps: Any = self.attention["self"]
        out: Any = self.attention["output"]
        mapped = (rows.padded(maps[x](hidden)) for x in ("query", "key", "value"))
        q, k, v = (x.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in mapped)
        mixed = rows.tokens(scaled_dot_product_attention(q, k, v, attn_mask=rows.sees).transpose(1, 2).flatten(2))
        hidden = out["LayerNorm"](out["dense"](mixed) + hidden)
        wide = gelu(self.intermediate["dense"](hidden))
        result: torch.Tensor = self.output["LayerNorm"](self.output["dense"](wide) + hidden)
        return result


def _maps(width: int) -> nn.ModuleDict:
    return nn.ModuleDict({name: _Linear(width, width) for name in ("query", "key", "value")})


def _added(inner: int, width: int, eps: float) -> nn.ModuleDict:
    """A linear map, added to what went in before, and a norm."""
    return nn.ModuleDict({"dense": _Linear(inner, width), "LayerNorm": nn.LayerNorm(width, eps)})
