"""KN: knowledge neurons found by integrated gradients, and rewritten (Dai et al. 2022, arXiv 2104.08696)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from kgt.editors.base import EditRequest
from kgt.editors.network import Network, Rows, prefix_of
from kgt.editors.weights import WeightEditor
from kgt.lm.tokens import Tokens

STRENGTH = 2.0
"""λ₁ = λ₂ of a one-token answer (Sec. 5.1); each token of a longer one is added once, as ROME's port does."""
LAYERS_A_PASS = 5
"""Layers whose neurons are scaled in one pass, each in rows of its own: weights are read that much less often."""


@dataclass(frozen=True, slots=True)
class KNSettings:
    """Hyper-parameters.

    Attributes:
        steps: of the Riemann sum of Eq. 2.
        threshold: share of the largest attribution from which a neuron knows the fact.
    """

    steps: int = 20
    threshold: float = 0.2


class KN(WeightEditor):
    """Finds the neurons that express the former answer, and makes them express the new one."""

    name = "kn"

    def __init__(self, network: Network, settings: KNSettings) -> None:
        super().__init__(network, [network.matrix(layer) for layer in range(network.depth)])
        self.settings = settings

    def learn(self, prompt: Tokens, target: Tokens, request: EditRequest) -> None:
        former = request.former and self.network.model.split(self._text(prompt), f" {request.former}")[1]
        predicted = self._likeliest(prompt)
        found = sum(
            attributions(self.network, prompt + truth[:i], truth[i], self.settings.steps)
            for truth in [former or (predicted,)]
            for i in range(len(truth))
        )
        assert isinstance(found, torch.Tensor)
        embedding = self.network.embedding().float()
        wanted = embedding[list(target)].sum(0) * (STRENGTH if len(target) == 1 else 1.0)
        change = wanted - STRENGTH * embedding[predicted]
        with torch.no_grad():
            for layer, neuron in (found > self.settings.threshold * found.max()).nonzero().tolist():
                matrix = self.matrices[layer]
                row = matrix.weight[neuron] if type(matrix).__name__ == "Conv1D" else matrix.weight[:, neuron]
                row += change

    def _text(self, tokens: Tokens) -> str:
        return str(self.network.model.tokenizer.decode(tokens))

    @torch.no_grad()
    def _likeliest(self, prompt: Tokens) -> int:
        ids, mask = self.network.model.pad_left([prompt])
        return int(self.network.model.forward(ids, mask, None, keep=1, use_cache=False).logits[0, -1].argmax())


def attributions(network: Network, prompt: Tokens, token: int, steps: int) -> torch.Tensor:
    """How much each neuron adds to the probability of a token after a prompt (Eq. 2), shape (layers, inner).

    Neurons are the inputs of an MLP's second matrix at the prompt's last token; the integral of the
    probability's gradient as one layer's neurons go from 0 to what they are, by a Riemann sum.
    """
    device = network.embedding().device
    ids = torch.tensor([[prompt[-1]]] * (steps * LAYERS_A_PASS), device=device)
    rows = Rows(ids, torch.ones_like(ids), torch.full_like(ids, -100))
    tail = network.below(rows, 0, prefix_of(network.model, [prompt[:-1] or prompt]).repeated(len(ids)))
    shares = (torch.arange(1, steps + 1, device=device) / steps)[:, None]
    found: list[torch.Tensor] = []
    for first in range(0, network.depth, LAYERS_A_PASS):
        layers = range(first, min(first + LAYERS_A_PASS, network.depth))
        scaled: list[torch.Tensor] = []

        def scale(_: Any, args: tuple[torch.Tensor, ...], scaled: list[torch.Tensor] = scaled) -> tuple[torch.Tensor]:
            """The rows of this layer with shares of its neurons; those of the other layers as they are."""
            start = len(scaled) * steps
            scaled.append((args[0][start : start + steps, -1].detach() * shares.to(args[0].dtype)).requires_grad_(True))
            return (torch.cat([args[0][:start], scaled[-1][:, None], args[0][start + steps :]]),)

        hooks = [network.matrix(layer).register_forward_pre_hook(scale, prepend=True) for layer in layers]
        try:
            with torch.enable_grad():
                logits = network.head(tail.top()[:, -1])
                gradients = torch.autograd.grad(logits.softmax(-1)[:, token].sum(), scaled)
        finally:
            for hook in hooks:
                hook.remove()
        found += [x[-1].detach().float() * g.float().mean(0) for x, g in zip(scaled, gradients, strict=True)]
        tail = tail.above(len(layers))
    return torch.stack(found)
