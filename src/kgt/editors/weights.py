"""What all editors of weights share: an edit that fails leaves no trace, and reset is bit for bit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import torch
from torch import nn

from kgt.editors.base import EditReport, EditRequest, PlainEditor
from kgt.editors.network import Network, close_float32, open_in_float32
from kgt.errors import BadInput
from kgt.lm.tokens import Tokens


class WeightEditor(PlainEditor):
    """Edits matrices of a model in place; the model given is the unedited one again after `close`.

    Args:
        matrices: the linear layers it may change; they compute in float32 from here on.
    """

    def __init__(self, network: Network, matrices: Sequence[Any]) -> None:
        super().__init__(network.model)
        self.network = network
        self.matrices = list(matrices)
        self._opened = [(m, open_in_float32(m)) for m in self.matrices]
        self._original: list[torch.Tensor] | None = None

    @abstractmethod
    def learn(self, prompt: Tokens, target: Tokens, request: EditRequest) -> None:
        """Change the matrices so that the target follows the prompt.

        Raises:
            BadInput: the edit is not possible; what was changed is undone.
        """

    def edit(self, request: EditRequest) -> EditReport:
        started = perf_counter()
        before = self._values()
        try:
            self.learn(*self.pair(request), request)
            if not all(torch.isfinite(p).all() for p in self.parameters()):
                raise BadInput("The edit made weights that are no numbers; it was undone.", "Lower its learning rate.")
        except BaseException:  # an interruption too
            self._restore(before)
            raise
        finally:
            for p in self.parameters():
                p.requires_grad_(False)
        if self._original is None:
            self._original = before
        return EditReport((perf_counter() - started) * 1000)

    def pair(self, request: EditRequest) -> tuple[Tokens, Tokens]:
        """The tokens of the query as it is asked, and of the answer to be given."""
        return self.network.pair(self, request)

    def parameters(self) -> list[nn.Parameter]:
        return [p for m in self.matrices for p in m.parameters()]

    def reset(self) -> None:
        if self._original is not None:
            self._restore(self._original)
            self._original = None

    def state(self) -> dict[str, Any] | None:
        return {"weights": self._values()} if self._original is not None else None

    def restore(self, state: dict[str, Any]) -> None:
        self._original = self._original or self._values()
        self._restore(state["weights"])

    def memory(self) -> int:
        """Bytes of the weights that differ from the model's."""
        return sum(p.numel() * p.element_size() for p in self.parameters()) if self._original is not None else 0

    def close(self) -> None:
        self.reset()
        for matrix, handles in self._opened:
            close_float32(matrix, handles)
        self._opened = []
        self.network.close()

    def _values(self) -> list[torch.Tensor]:
        return [p.detach().clone() for p in self.parameters()]

    @torch.no_grad()
    def _restore(self, values: list[torch.Tensor]) -> None:
        for parameter, value in zip(self.parameters(), values, strict=True):
            parameter.copy_(value)


def finite(loss: torch.Tensor) -> torch.Tensor:
    """The loss, if it is a number.

    Raises:
        BadInput: it is not.
    """
    if not torch.isfinite(loss):
        raise BadInput("The edit's loss is not a number; the edit was undone.", "Lower its learning rate.")
    return loss
