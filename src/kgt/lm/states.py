"""Keys and values of what was read, layer by layer; as much of transformers' DynamicCache as we use."""

from __future__ import annotations

from collections.abc import Iterable

import torch


class LayerStates:
    """One layer's keys and values, each (rows, heads, length, width of a head); None while nothing was read."""

    def __init__(self, keys: torch.Tensor | None = None, values: torch.Tensor | None = None) -> None:
        self.keys, self.values = keys, values

    def grow(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Put what was read now behind the rest; a copy, as what is given may be a part of something larger."""
        self.keys = keys.clone() if self.keys is None else torch.cat([self.keys, keys], 2)
        self.values = values.clone() if self.values is None else torch.cat([self.values, values], 2)


class States:
    """A cache.

    Args:
        pairs: each layer's keys and values.
    """

    def __init__(self, pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
        self.layers = [LayerStates(keys, values) for keys, values in pairs]

    @classmethod
    def empty(cls, layers: int) -> States:
        states = cls([])
        states.layers = [LayerStates() for _ in range(layers)]
        return states

    def batch_select_indices(self, rows: torch.Tensor) -> None:
        """Keep these rows, in this order."""
        for layer in self.layers:
            if layer.keys is not None and layer.values is not None:
                layer.keys, layer.values = layer.keys[rows], layer.values[rows]
