"""Llama's forward pass (Touvron et al. 2023, arXiv 2302.13971) for scoring on a CPU, without transformers.

Importing transformers' takes two seconds, and it multiplies matrices apart that can be multiplied together, in a
layout that oneDNN rearranges at every pass. Weights, arithmetic and rounding are the same (docs/decisions/0019).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import embedding, linear, scaled_dot_product_attention, silu

from kgt.lm.matrix import Matrix
from kgt.lm.packing import added
from kgt.lm.states import States


class Shape(NamedTuple):
    """Sizes of a Llama, by the names of its config.json."""

    layers: int
    heads: int
    groups: int
    head_dim: int
    eps: float
    theta: float
    context: int


class Out(NamedTuple):
    """What a pass gives, named as transformers names it."""

    logits: torch.Tensor
    past_key_values: States


class Llama(nn.Module):
    """A Llama in memory; called as transformers' own is.

    Args:
        tensors: weights by their names in the file; consumed.
    """

    def __init__(self, shape: Shape, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = tensors.pop("model.embed_tokens.weight")
        self.head = tensors.pop("lm_head.weight", self.embedding)
        self.norm = tensors.pop("model.norm.weight")
        self.dtype = self.embedding.dtype
        self.device = self.embedding.device
        half = torch.arange(0, shape.head_dim, 2, dtype=torch.int64).float()
        self._frequencies = 1.0 / shape.theta ** (half / shape.head_dim)
        self.layers = [Layer(shape, _of_layer(tensors, i)) for i in range(shape.layers)]

    def forward(
        self,
        *,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        past_key_values: States | None,
        logits_to_keep: int | torch.Tensor = 0,
        use_cache: bool = True,
    ) -> Out:
        """One pass.

        Args:
            input_ids, position_ids: (rows, n).
            attention_mask: added to the scores, (rows, 1, n, cached + n), or which tokens are none of padding,
                (rows, cached + n).
            past_key_values: what stands before; grows by n.
            logits_to_keep: places of n, or how many of the last; 0: all.
        """
        states = past_key_values if past_key_values is not None else States.empty(self.shape.layers)
        mask = attention_mask if attention_mask.dim() == 4 else _causal(attention_mask, input_ids.shape[1], self.dtype)
        angles = (position_ids[..., None].float() * self._frequencies).repeat(1, 1, 2)[:, None]
        turn = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        hidden = embedding(input_ids, self.embedding)
        for layer, state in zip(self.layers, states.layers, strict=True):
            hidden = layer(hidden, mask, turn, state)
        keep = logits_to_keep if isinstance(logits_to_keep, torch.Tensor) else slice(-logits_to_keep or None, None)
        return Out(linear(_normed(hidden[:, keep], self.norm, self.shape.eps), self.head), states)


class Layer:
    """One layer; the matrices that multiply the same thing stand in one."""

    def __init__(self, shape: Shape, of: dict[str, torch.Tensor]) -> None:
        self.shape = shape
        self.before, self.between = of["input_layernorm"], of["post_attention_layernorm"]
        self.qkv = Matrix(torch.cat([of[f"self_attn.{x}_proj"] for x in "qkv"]))
        self.out = Matrix(of["self_attn.o_proj"])
        self.gate_up = Matrix(torch.cat([of["mlp.gate_proj"], of["mlp.up_proj"]]))
        self.down = Matrix(of["mlp.down_proj"])

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor, turn: Any, state: Any) -> torch.Tensor:
        s = self.shape
        rows, n, _ = hidden.shape
        mixed = self.qkv(_normed(hidden, self.before, s.eps)).view(rows, n, -1, s.head_dim).transpose(1, 2)
        turned = _turned(mixed[:, : s.heads + s.groups], *turn)
        state.grow(turned[:, s.heads :], mixed[:, s.heads + s.groups :])
        hidden = hidden + self.out(_attended(turned[:, : s.heads], state.keys, state.values, mask))
        gate, up = self.gate_up(_normed(hidden, self.between, s.eps)).chunk(2, -1)
        return hidden + self.down(silu(gate) * up)


def _normed(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions; x (rows, heads, n, width)."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def _attended(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Attention; (rows, heads, n, width) → (rows, n, heads · width)."""
    rows, _, n, _ = query.shape
    seen = scaled_dot_product_attention(query, keys, values, attn_mask=mask, enable_gqa=True)
    return seen.transpose(1, 2).reshape(rows, n, -1)


def _causal(seen: torch.Tensor, n: int, dtype: torch.dtype) -> torch.Tensor:
    """Added to the scores, (rows, 1, n, all), so that each of the last n sees what is before it and no padding."""
    length = seen.shape[1]
    sees = seen[:, None, None].bool() & torch.ones(n, length, dtype=torch.bool).tril(length - n)
    return added(sees, dtype)


def _of_layer(tensors: dict[str, torch.Tensor], i: int) -> dict[str, torch.Tensor]:
    begin = f"model.layers.{i}."
    names = [name for name in tensors if name.startswith(begin)]
    return {name.removeprefix(begin).removesuffix(".weight"): tensors.pop(name) for name in names}


def shape_of(folder: Path) -> Shape | None:
    """The sizes of a model folder's Llama; None if it is none, or one with a part that is not here."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = rope.get("rope_theta", config.get("rope_theta"))
    known = (
        config.get("model_type") == "llama"
        and config.get("hidden_act") == "silu"
        and theta is not None
        and rope.get("rope_type", rope.get("type", "default")) == "default"
        and not any(config.get(name) for name in ("attention_bias", "mlp_bias", "quantization_config"))
        and (folder / "model.safetensors").is_file()
    )
    if not known:
        return None
    heads = config["num_attention_heads"]
    return Shape(
        config["num_hidden_layers"],
        heads,
        config.get("num_key_value_heads") or heads,
        config.get("head_dim") or config["hidden_size"] // heads,
        config["rms_norm_eps"],
        theta,
        config["max_position_embeddings"],
    )
