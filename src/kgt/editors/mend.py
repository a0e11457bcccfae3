"""MEND: small networks turn an edit's gradient into a better update (Mitchell et al. 2022, arXiv 2110.11309).

Each matrix's gradient is taken apart into tokens' inputs u and output gradients δ; a network, one for all
matrices of a shape, maps each pair to another, and the update is their sum of outer products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kgt.editors.hypernetwork import HyperNetwork
from kgt.editors.low_rank import Factors, shape


@dataclass(frozen=True, slots=True)
class MENDSettings:
    """Hyper-parameters, from eric-mitchell/mend config/alg/mend.yaml unless a family's file says otherwise.

    Attributes:
        last_layers: how many of the last layers' MLPs are edited.
        rank: of the networks' matrices.
        lr: of Adam on the networks; edit_lr: the learnt step of each matrix at the start; lr_lr: of Adam on it.
        c_edit, c_loc: weights of the edit's and of the locality loss.
        batch: edits in a training step, each made alone.
    """

    last_layers: int = 3
    rank: int = 1920
    lr: float = 1e-6
    edit_lr: float = 1e-4
    lr_lr: float = 1e-4
    c_edit: float = 0.1
    c_loc: float = 1.0
    batch: int = 10


class MENDNetwork(HyperNetwork):
    """The networks of all edited matrices."""

    def __init__(self, matrices: Sequence[Any], settings: MENDSettings) -> None:
        super().__init__()
        shapes = [shape(m) for m in matrices]
        self._place = [(f"{out}x{inner}", shapes[:i].count((out, inner))) for i, (out, inner) in enumerate(shapes)]
        self.networks = nn.ModuleDict(
            {
                f"{out}x{inner}": _PairNetwork(inner, out, shapes.count((out, inner)), settings.rank)
                for out, inner in shapes
            }
        )
        self.lrs = nn.Parameter(torch.full((len(shapes),), settings.edit_lr))

    def groups(self, settings: Any) -> list[dict[str, Any]]:
        return [
            {"params": list(self.networks.parameters()), "lr": settings.lr},
            {"params": [self.lrs], "lr": settings.lr_lr},
        ]

    def forward(self, gradients: Sequence[Factors], condition: Sequence[Sequence[int]]) -> list[Factors]:
        changes = []
        for i, ((kind, mode), gradient) in enumerate(zip(self._place, gradients, strict=True)):
            left, right = self.networks[kind](gradient, mode, learn_scale=self.training)
            changes.append(Factors(-self.lrs[i] * left, right))
        return changes


class _PairNetwork(nn.Module):
    """(u, δ) → (ũ, δ̃): normalised, then two low-rank residual layers that start as the identity (Sec. 3.2)."""

    def __init__(self, inner: int, out: int, modes: int, rank: int) -> None:
        super().__init__()
        self.inner = inner
        for name, width in (("u", inner), ("d", out)):
            self.register_buffer(f"{name}_mean", torch.zeros(modes, width))
            self.register_buffer(f"{name}_square", torch.zeros(modes, width))
        self.register_buffer("seen", torch.zeros(modes))
        self.layers = nn.ModuleList(_LowRank(inner + out, rank, modes, relu) for relu in (True, False))

    def forward(self, gradient: Factors, mode: int, *, learn_scale: bool) -> tuple[torch.Tensor, torch.Tensor]:
        used = (gradient.left != 0).any(-1)
        u, d = gradient.right[used], gradient.left[used]
        if learn_scale:
            self._observe(u, d, mode)
        x = torch.cat([self._normal("u", u, mode), self._normal("d", d, mode)], -1)
        for layer in self.layers:
            x = layer(x, mode)
        left, right = torch.zeros_like(gradient.left), torch.zeros_like(gradient.right)
        return left.masked_scatter(used[..., None], x[:, self.inner :]), right.masked_scatter(
            used[..., None], x[:, : self.inner]
        )

    @torch.no_grad()
    def _observe(self, u: torch.Tensor, d: torch.Tensor, mode: int) -> None:
        seen = self.get_buffer("seen")
        seen[mode] += len(u)
        share = len(u) / float(seen[mode])
        for name, x in (("u", u), ("d", d)):
            mean, square = getattr(self, f"{name}_mean")[mode], getattr(self, f"{name}_square")[mode]
            mean += share * (x.mean(0) - mean)
            square += share * ((x**2).mean(0) - square)

    def _normal(self, name: str, x: torch.Tensor, mode: int) -> torch.Tensor:
        mean, square = getattr(self, f"{name}_mean")[mode], getattr(self, f"{name}_square")[mode]
        normal: torch.Tensor = (x - mean) / ((square - mean**2).clamp(min=0).sqrt() + 1e-7)
        return normal


class _LowRank(nn.Module):
    """x + σ(scale ∘ (A B x + b) + shift), the scale and shift being each matrix's own; A starts at zero."""

    def __init__(self, width: int, rank: int, modes: int, relu: bool) -> None:
        super().__init__()
        rank = min(rank, width)
        self.a = nn.Parameter(torch.zeros(width, rank))
        self.b = nn.Parameter(torch.randn(rank, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(modes, width))
        self.shift = nn.Parameter(torch.zeros(modes, width))
        self.relu = relu

    def forward(self, x: torch.Tensor, mode: int) -> torch.Tensor:
        h = self.scale[mode] * (x @ self.b.T @ self.a.T + self.bias) + self.shift[mode]
        changed: torch.Tensor = x + (h.clamp(min=0) if self.relu else h)
        return changed
