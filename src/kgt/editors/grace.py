"""GRACE: a codebook of keys with radii beside one layer (Hartvigsen et al. 2023, arXiv 2211.11031, Sec. 3)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields
from time import perf_counter
from typing import Any, Literal

import torch

from kgt.editors.base import EditReport, EditRequest
from kgt.editors.network import Network
from kgt.editors.prompt_layer import PromptLayerEditor
from kgt.editors.weights import finite
from kgt.lm.tokens import Tokens

Happened = Literal["added", "expanded", "split"]


@dataclass(frozen=True, slots=True)
class GRACESettings:
    """Hyper-parameters.

    Attributes:
        layer, module: the linear layer beside which the codebook stands; "" is the MLP's second.
        radius: ε_init, Euclidean, of a new key.
        steps, lr: of Adam on a value.
        stop_at: loss at which the steps end.
    """

    layer: int = 0
    module: str = ""
    radius: float = 1.0
    steps: int = 100
    lr: float = 1.0
    stop_at: float = 1e-2


@dataclass(slots=True)
class Codebook:
    """Keys, each with a radius, a label and a value."""

    keys: list[torch.Tensor] = field(default_factory=list)
    radii: list[float] = field(default_factory=list)
    labels: list[Tokens] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)

    def nearest(self, key: torch.Tensor) -> tuple[int, float]:
        """The nearest key's place and distance; (-1, ∞) of an empty book."""
        if not self.keys:
            return -1, float("inf")
        distances = torch.stack(self.keys).sub(key).norm(dim=1)
        at = int(distances.argmin())
        return at, float(distances[at])

    def within(self, key: torch.Tensor) -> int | None:
        """The place of the nearest key, if this one lies in its radius: the deferral (Eq. 1)."""
        at, distance = self.nearest(key)
        return at if at >= 0 and distance <= self.radii[at] else None

    def admit(self, key: torch.Tensor, label: Tokens, value: torch.Tensor, radius: float) -> tuple[int, Happened]:
        """Make room for an edit (Algorithm 1): a new key, a wider one, or a split of the space between two.

        Returns:
            The place of its entry, and what happened.
        """
        at, distance = self.nearest(key)
        if distance > radius + (self.radii[at] if at >= 0 else 0.0):
            return self._add(key, label, value, radius), "added"
        if self.labels[at] == label:
            self.radii[at] = max(self.radii[at], distance)
            return at, "expanded"
        self.radii[at] = distance / 2
        return self._add(key, label, value, distance / 2), "split"

    def _add(self, key: torch.Tensor, label: Tokens, value: torch.Tensor, radius: float) -> int:
        for part, new in zip(
            (self.keys, self.radii, self.labels, self.values), (key, radius, label, value), strict=True
        ):
            part.append(new)  # type: ignore[attr-defined]
        return len(self.keys) - 1


PARTS = tuple(part.name for part in fields(Codebook))


class GRACE(PromptLayerEditor):
    """Looks the last prompt token's activation up in the codebook; inside a radius, the layer gives the value."""

    name = "grace"

    def __init__(self, network: Network, settings: GRACESettings) -> None:
        super().__init__(network, settings.layer, settings.module)
        self.settings = settings
        self.book = Codebook()
        self._draw = torch.Generator().manual_seed(0)

    def edit(self, request: EditRequest) -> EditReport:
        started = perf_counter()
        prompt, target = self.pair(request)
        key, width, device = self.key(prompt)
        cold = torch.rand(width, generator=self._draw).to(device)  # the released code's "cold" start
        before = copy.deepcopy(self.book.radii), len(self.book.keys), list(self.book.values)
        try:
            at, _ = self.book.admit(key, target, cold, self.settings.radius)
            self.book.values[at] = self._trained(prompt, target, self.book.values[at])
        except BaseException:  # an interruption too
            self.book = Codebook(self.book.keys[: before[1]], before[0], self.book.labels[: before[1]], before[2])
            raise
        return EditReport((perf_counter() - started) * 1000)

    def reset(self) -> None:
        self.book = Codebook()

    def state(self) -> dict[str, Any] | None:
        return {name: getattr(self.book, name) for name in PARTS} | {"draw": self._draw.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self._draw.set_state(state["draw"])
        self.book = Codebook(*(list(state[name]) for name in PARTS))

    def memory(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.book.keys, *self.book.values))

    def given(self, keys: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        if not self.book.keys:
            return outputs
        found = [self.book.within(key) for key in keys]
        rows = [out if at is None else self.book.values[at].to(out) for out, at in zip(outputs, found, strict=True)]
        return torch.stack(rows)

    def _trained(self, prompt: Tokens, target: Tokens, value: torch.Tensor) -> torch.Tensor:
        """The value with which the target follows the prompt."""
        s = self.settings
        tail = self.network.below(self.network.rows([(prompt, target)]), s.layer)
        value = value.clone().requires_grad_(True)
        adam = torch.optim.Adam([value], lr=s.lr)
        with torch.enable_grad(), self.put(lambda _: value[None], len(prompt) - 1):
            for _ in range(s.steps):
                loss = finite(tail.loss())
                if loss < s.stop_at:
                    break
                adam.zero_grad()
                torch.autograd.backward(loss)
                adam.step()
        return value.detach()
