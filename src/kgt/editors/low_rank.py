"""Gradients and updates as sums of outer products, an own one for each row of a batch.

A linear layer's gradient is Σ_t δ_t u_tᵀ over tokens t, u being its input and δ the loss's gradient
in its output (Mitchell et al. 2022, arXiv 2110.11309, Sec. 3). What hyper-networks make of it has the
same form, so that no matrix is ever built before an edit is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from kgt.editors.network import Tail


class Factors(NamedTuple):
    """Σ_t left_t rightᵀ_t for each row of a batch.

    Attributes:
        left: of a layer's outputs, shape (rows, terms, out).
        right: of its inputs, shape (rows, terms, in).
    """

    left: torch.Tensor
    right: torch.Tensor

    def matrix(self, row: int) -> torch.Tensor:
        """The sum itself, shape (out, in)."""
        return self.left[row].T @ self.right[row]


def gradients(tail: Tail, matrices: Sequence[Any]) -> list[Factors]:
    """Each matrix's gradient of each row's own loss (the mean −log P of its labels), float32."""
    inputs: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []

    def keep(_: Any, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> torch.Tensor:
        inputs.append(args[0].detach().float())
        outputs.append(out if out.requires_grad else out.requires_grad_(True))
        return outputs[-1]

    hooks = [m.register_forward_hook(keep) for m in matrices]
    try:
        with torch.enable_grad():
            loss = tail.loss() * len(tail.rows.ids)  # a mean over rows: each row's own again
            found = torch.autograd.grad(loss, outputs)
    finally:
        for hook in hooks:
            hook.remove()
    seen = tail.rows.mask[..., None].float()  # padding has no part in it
    return [Factors(delta.detach().float() * seen, u * seen) for delta, u in zip(found, inputs, strict=True)]


@contextmanager
def changed_by(matrices: Sequence[Any], factors: Sequence[Factors]) -> Iterator[None]:
    """Each row computed with its own change added to the matrices; gradients flow into the factors."""

    def adding(change: Factors) -> Any:
        def add(_: Any, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> torch.Tensor:
            inner = torch.einsum("bsi,bti->bst", args[0].float(), change.right)
            return out + torch.einsum("bst,bto->bso", inner, change.left).to(out.dtype)

        return add

    hooks = [m.register_forward_hook(adding(f)) for m, f in zip(matrices, factors, strict=True)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def commit(matrices: Sequence[Any], factors: Sequence[Factors]) -> None:
    """Add the first row's change to the matrices' weights."""
    for matrix, change in zip(matrices, factors, strict=True):
        update = change.matrix(0)
        matrix.weight += update.T if type(matrix).__name__ == "Conv1D" else update


def shape(matrix: Any) -> tuple[int, int]:
    """(out, in) of a linear layer or of GPT-2's Conv1D."""
    a, b = matrix.weight.shape
    return (b, a) if type(matrix).__name__ == "Conv1D" else (a, b)
