"""Defer: a trained gate decides when a small layer answers instead (a baseline of GRACE, arXiv 2211.11031)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import nn

from kgt.editors.base import EditReport, EditRequest
from kgt.editors.network import Network
from kgt.editors.prompt_layer import PromptLayerEditor
from kgt.editors.weights import finite


@dataclass(frozen=True, slots=True)
class DeferSettings:
    """Hyper-parameters.

    Attributes:
        layer: beside whose MLP's second matrix gate and layer stand.
        threshold: gate from which the small layer answers.
    """

    layer: int = 0
    steps: int = 100
    lr: float = 1e-3
    threshold: float = 0.5
    stop_at: float = 1e-2


class Defer(PromptLayerEditor):
    """A linear gate and a linear layer on the last prompt token's activation, trained at every edit."""

    name = "defer"

    def __init__(self, network: Network, settings: DeferSettings) -> None:
        super().__init__(network, settings.layer)
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        self._gate: nn.Linear | None = None
        self._layer: nn.Linear | None = None

    def edit(self, request: EditRequest) -> EditReport:
        started = perf_counter()
        prompt, target = self.pair(request)
        key, width, device = self.key(prompt)
        if self._gate is None or self._layer is None:
            torch.manual_seed(0)
            self._gate, self._layer = nn.Linear(len(key), 1).to(device), nn.Linear(len(key), width).to(device)
        before = [p.detach().clone() for p in self._parameters()]
        try:
            self._train(prompt, target, key)
        except BaseException:  # an interruption too
            with torch.no_grad():
                for parameter, value in zip(self._parameters(), before, strict=True):
                    parameter.copy_(value)
            raise
        return EditReport((perf_counter() - started) * 1000)

    def memory(self) -> int:
        return sum(p.numel() * p.element_size() for p in self._parameters())

    @torch.no_grad()
    def given(self, keys: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        if self._gate is None or self._layer is None:
            return outputs
        open_ = torch.sigmoid(self._gate(keys)) > self.settings.threshold
        return torch.where(open_, self._layer(keys).to(outputs.dtype), outputs)

    def _train(self, prompt: tuple[int, ...], target: tuple[int, ...], key: torch.Tensor) -> None:
        tail = self.network.below(self.network.rows([(prompt, target)]), self.settings.layer)
        adam = torch.optim.Adam(self._parameters(), lr=self.settings.lr)
        with torch.enable_grad(), self._mixed(key, len(prompt) - 1):
            for _ in range(self.settings.steps):
                loss = finite(tail.loss())
                if loss < self.settings.stop_at and self._is_open(key):
                    break
                adam.zero_grad()
                torch.autograd.backward(loss - torch.nn.functional.logsigmoid(self._gate(key))[0])  # type: ignore[misc]
                adam.step()

    @contextmanager
    def _mixed(self, key: torch.Tensor, position: int) -> Iterator[None]:
        """The layer's output at the prompt's end as the gate weighs it: what training can follow."""

        def mixed(out: torch.Tensor) -> torch.Tensor:
            share: torch.Tensor = torch.sigmoid(self._gate(key))  # type: ignore[misc]
            answer: torch.Tensor = self._layer(key)  # type: ignore[misc]
            return share * answer + (1 - share) * out.float()

        with self.put(mixed, position):
            yield

    def _is_open(self, key: torch.Tensor) -> bool:
        return bool(torch.sigmoid(self._gate(key)) > self.settings.threshold)  # type: ignore[misc]

    def _parameters(self) -> list[nn.Parameter]:
        return [p for part in (self._gate, self._layer) if part for p in part.parameters()]
