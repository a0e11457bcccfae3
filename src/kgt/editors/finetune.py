"""Fine-tuning one layer on the edit: FT, FT+L (clamped), FT+EWC and FT+retrain.

FT and FT+L after Meng et al. 2022 (arXiv 2202.05262, App. E.1) and its code; FT+EWC and FT+retrain as
the baselines of GRACE (Hartvigsen et al. 2023, arXiv 2211.11031, Sec. 4) describe them. The loss is
−log P of the whole target given the prompt; ROME's code reads all target tokens at the prompt's
last token, which only `objective = "prompt_last"` does here (docs/decisions/0012-weight-editors.md).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.functional import cross_entropy

from kgt.editors.base import EditRequest
from kgt.editors.network import Network, Tail
from kgt.editors.weights import WeightEditor, finite
from kgt.lm.tokens import Tokens

Example = tuple[Tokens, Tokens]


@dataclass(frozen=True, slots=True)
class FTSettings:
    """Hyper-parameters.

    Attributes:
        layer: the layer whose MLP's second matrix (and bias) is tuned.
        clamp: most that any weight may differ from the unedited model's (L∞); 0 for no limit.
        stop_at: loss at which the steps end.
        ewc: weight of elastic weight consolidation (Kirkpatrick et al. 2017, Eq. 3); 0 for none.
        replay: earlier edits trained on again beside the new one; 0 for none.
    """

    layer: int = 0
    steps: int = 25
    lr: float = 5e-4
    clamp: float = 0.0
    stop_at: float = 1e-2
    objective: Literal["target", "prompt_last"] = "target"
    ewc: float = 0.0
    replay: int = 0


class FineTune(WeightEditor):
    """FT and its kin, by their settings.

    Args:
        name: as given on the command line.
        texts: what the unedited model knows, as tokens, for EWC's Fisher information.
    """

    def __init__(self, name: str, network: Network, settings: FTSettings, texts: list[Tokens] | None = None) -> None:
        super().__init__(network, [network.matrix(settings.layer)])
        self.name = name
        self.settings = settings
        self._unedited = self._values()
        self._fisher = self._information(texts or []) if settings.ewc else []
        self._learnt: list[Example] = []
        self._draw = random.Random(0)

    def learn(self, prompt: Tokens, target: Tokens, request: EditRequest) -> None:
        s = self.settings
        again = self._draw.sample(self._learnt, min(s.replay, len(self._learnt)))
        tail = self.network.below(self.network.rows([(prompt, target), *again]), s.layer)
        parameters = self.parameters()
        for p in parameters:
            p.requires_grad_(True)
        adam = torch.optim.Adam(parameters, lr=s.lr)
        for _ in range(s.steps):
            loss = finite(self._loss(tail))
            if loss < s.stop_at:
                break
            adam.zero_grad()
            torch.autograd.backward(loss + self._drift())
            adam.step()
            self._clamp()
        if s.replay:
            self._learnt.append((prompt, target))

    def reset(self) -> None:
        super().reset()
        self._learnt.clear()

    def state(self) -> dict[str, Any] | None:
        state = super().state()
        return state and state | {"learnt": self._learnt}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._learnt = list(state["learnt"])

    def _loss(self, tail: Tail) -> torch.Tensor:
        if self.settings.objective == "target":
            return tail.loss()
        labels = tail.rows.labels
        first = (labels != -100).int().argmax(1) - 1  # the prompt's last token
        logits = self.network.head(tail.top()[torch.arange(len(first)), first])
        rows = [cross_entropy(logit.expand(len(t := row[row != -100]), -1), t) for logit, row in zip(logits, labels)]  # noqa: B905
        return torch.stack(rows).mean()

    def _drift(self) -> torch.Tensor | float:
        """EWC's penalty: λ/2 Σ F_i (θ_i − θ*_i)²."""
        pairs = zip(self.parameters(), self._unedited, self._fisher, strict=False)
        return sum((self.settings.ewc / 2 * (f * (p - old) ** 2).sum() for p, old, f in pairs), 0.0)

    @torch.no_grad()
    def _clamp(self) -> None:
        if self.settings.clamp:
            for p, old in zip(self.parameters(), self._unedited, strict=True):
                p.copy_(torch.clamp(p, old - self.settings.clamp, old + self.settings.clamp))

    def _information(self, texts: list[Tokens]) -> list[torch.Tensor]:
        """The Fisher information's diagonal: the mean squared gradient of −log P of each text."""
        parameters = self.parameters()
        for p in parameters:
            p.requires_grad_(True)
        total = [torch.zeros_like(p) for p in parameters]
        for text in texts:
            loss = self.network.below(self.network.rows([(text[:1], text[1:])]), self.settings.layer).loss()
            for part, gradient in zip(total, torch.autograd.grad(loss, parameters), strict=True):
                part += gradient**2 / len(texts)
        for p in parameters:
            p.requires_grad_(False)
        return total
