"""ROME: one rank-one update of an MLP's second matrix (Meng et al. 2022, arXiv 2202.05262, Sec. 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from kgt.editors.base import EditRequest, Question
from kgt.editors.network import Network, Rows, mean_nll, prefix_of
from kgt.editors.weights import WeightEditor, finite
from kgt.errors import BadInput
from kgt.lm import Prompt
from kgt.lm.tokens import Tokens

RIDGE = 1e-6
"""Of C's mean diagonal, added to it: fewer tokens than neurons would leave it singular."""


@dataclass(frozen=True, slots=True)
class ROMESettings:
    """Hyper-parameters, by the names of the published files.

    Attributes:
        layer: whose MLP is edited.
        steps, lr: of Adam on v*.
        weight_decay: weight of ‖δ‖ / ‖v₀‖².
        clamp: most that ‖δ‖ may be, as a multiple of ‖v₀‖.
        kl: weight of the drift of "{subject} is a".
        stop_at: loss at which the steps end.
        prefixes: texts put before the query, of 5 and of 10 tokens, so many of each.
        adjust: whether keys are weighed by C⁻¹ (`mom2_adjustment`).
    """

    layer: int = 5
    steps: int = 20
    lr: float = 0.5
    weight_decay: float = 0.5
    clamp: float = 4.0
    kl: float = 0.0625
    stop_at: float = 5e-2
    prefixes: int = 10
    adjust: bool = True


class Contexts(NamedTuple):
    """A query in many contexts, cut where its subject ends.

    Attributes:
        before: each context's tokens up to the subject's last token, which is not among them.
        after: from the subject's last token to the query's end; the same in every context.
    """

    before: list[Tokens]
    after: Tokens


class ROME(WeightEditor):
    """Args:
    moment: gives C, shape (inner, inner); asked for at the first edit.
    """

    name = "rome"

    def __init__(self, network: Network, settings: ROMESettings, moment: Callable[[], torch.Tensor]) -> None:
        super().__init__(network, [network.matrix(settings.layer)])
        self.settings = settings
        self._matrix = network.matrix(settings.layer)
        self._moment = moment
        self._factor: torch.Tensor | None = None  # C's, by Cholesky
        self._prefixes: list[str] | None = None

    def learn(self, prompt: Tokens, target: Tokens, request: EditRequest) -> None:
        contexts = self._contexts(request)
        k, v = self.key_and_value(contexts, target, self._drift_prompt(request))
        insert(self._matrix, k, v, self._weighed(k))

    def key_and_value(
        self, contexts: Contexts, target: Tokens, drift: tuple[Tokens, Tokens]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """k*, the mean key of the subject over the contexts (Eq. 3), and v*, which makes the target likely (Eq. 4).

        Args:
            drift: the tokens of "{subject} is a" before and from the subject's last token.
        """
        s, model = self.settings, self.network.model
        rows = self._suffixes(contexts, target, drift[1])
        tail = self.network.below(rows, s.layer, prefix_of(model, [*contexts.before, drift[0]]))
        seen: dict[str, torch.Tensor] = {}
        delta = torch.zeros(self._width(), device=rows.ids.device, requires_grad=True)

        def add(_: Any, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> torch.Tensor:
            if not seen:
                seen.update(keys=args[0][:, 0].detach().float(), values=out[:, 0].detach().float())
            return torch.cat([out[:, :1] + delta.to(out.dtype), out[:, 1:]], 1)

        hook = self._matrix.register_forward_hook(add, prepend=True)
        before: torch.Tensor | None = None
        try:
            adam = torch.optim.Adam([delta], lr=s.lr)
            for step in range(s.steps):
                logits = tail.logits()
                now = logits[-1].log_softmax(-1)
                before = now.detach() if before is None else before
                nll = mean_nll(logits[:-1], rows.labels[:-1])
                kl = (now.exp() * (now - before)).sum()  # as ROME's code: KL(edited ‖ unedited)
                size = seen["values"][0].norm()
                loss = finite(nll + s.kl * kl + s.weight_decay * delta.norm() / size**2)
                if loss < s.stop_at or step == s.steps - 1:
                    break
                adam.zero_grad()
                torch.autograd.backward(loss)
                adam.step()
                with torch.no_grad():
                    delta *= (s.clamp * size / delta.norm().clamp(min=1e-9)).clamp(max=1)
        finally:
            hook.remove()
        return seen["keys"][:-1].mean(0), seen["values"][0] + delta.detach()

    def _suffixes(self, contexts: Contexts, target: Tokens, drift: Tokens) -> Rows:
        """What follows the prefixes: every context's end and target, then the drift prompt's end, its label any."""
        texts = [contexts.after + target] * len(contexts.before) + [drift]
        starts = [len(contexts.after)] * len(contexts.before) + [len(drift)]
        width = max(max(map(len, texts)), len(drift) + 1)
        device = self._matrix.weight.device
        ids = torch.tensor([text + (text[-1],) * (width - len(text)) for text in texts], device=device)
        mask = torch.tensor([(1,) * len(text) + (0,) * (width - len(text)) for text in texts], device=device)
        labels = torch.full_like(ids, -100)
        for row, (text, start) in enumerate(zip(texts, starts, strict=True)):
            labels[row, start : max(len(text), start + 1)] = ids[row, start : max(len(text), start + 1)]
        return Rows(ids, mask, labels)

    def _contexts(self, request: EditRequest) -> Contexts:
        if self._prefixes is None:
            self._prefixes = self._written()
        question = Question(request.user, request.query, request.subject, request.stem)
        cut = [self._cut(question, request.subject, prefix) for prefix in ("", *self._prefixes)]
        ends = cut[0][1]
        return Contexts([before for before, end in cut if end == ends], ends)

    def _drift_prompt(self, request: EditRequest) -> tuple[Tokens, Tokens]:
        return self._cut(Question(request.user, f"{request.subject} is a", request.subject), request.subject)

    def _cut(self, question: Question, subject: str, prefix: str = "") -> tuple[Tokens, Tokens]:
        query = prefix + question.query
        text = self.prompt(Question(question.user, query, question.subject, question.stem)).text
        return cut_at_subject(self.network.model, text, subject)

    def _written(self) -> list[str]:
        """Beginnings of texts by the model itself, each ended as a sentence."""
        n, model = self.settings.prefixes, self.network.model
        texts: list[str] = []
        for length in (5, 10):
            if n:
                texts += model.generate_many([Prompt("")] * n, max_tokens=length, top_k=5, seed=length)
        return [" ".join(text.split()).rstrip(".") + ". " for text in texts if text.strip()]

    def _weighed(self, k: torch.Tensor) -> torch.Tensor:
        """C⁻¹k, or k itself without adjustment."""
        if not self.settings.adjust:
            return k
        if self._factor is None:
            c = self._moment().to(k.device, torch.float64)
            c = c + RIDGE * c.diagonal().mean() * torch.eye(len(c), dtype=c.dtype, device=c.device)
            try:
                self._factor = torch.linalg.cholesky(c)
            except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
                raise BadInput(
                    "The statistics are no second moments: not positive definite.", "Give other ones with --corpus."
                ) from error
        return torch.cholesky_solve(k.double()[:, None], self._factor)[:, 0].float()

    def _width(self) -> int:
        weight = self._matrix.weight
        return int(weight.shape[1 if _transposed(self._matrix) else 0])


@torch.no_grad()
def insert(matrix: Any, k: torch.Tensor, v: torch.Tensor, u: torch.Tensor) -> None:
    """Ŵ = W + (v − Wk − b) uᵀ / (u·k), so that the layer gives v for k (Eq. 2).

    Args:
        matrix: the linear layer, in place.
        k: (inner,); v: (width,); u: C⁻¹k, (inner,).

    Raises:
        BadInput: k is orthogonal to u; C cannot be that of this layer.
    """
    scale = torch.dot(u, k)
    if not torch.isfinite(scale) or scale.abs() < 1e-12:
        raise BadInput("The subject's key has no direction of its own.", "Give other statistics with --corpus.")
    difference = v - matrix(k[None])[0].float()
    update = torch.outer(difference, u / scale)
    matrix.weight += update.T if _transposed(matrix) else update


def cut_at_subject(model: Any, text: str, subject: str) -> tuple[Tokens, Tokens]:
    """A prompt's tokens before the last token of its subject's last occurrence, and from there on.

    Raises:
        BadInput: the subject does not occur in it.
    """
    at = text.lower().rfind(subject.lower())
    if at < 0:
        raise BadInput(
            f"The query does not name its subject {subject!r}; ROME edits at the subject's last token.",
            "Give a query in which the subject stands.",
        )
    encoded = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    end = at + len(subject)
    last = max(i for i, (start, _) in enumerate(encoded["offset_mapping"]) if start < end)
    tokens = tuple(encoded["input_ids"])
    return tokens[:last], tokens[last:]


def _transposed(matrix: Any) -> bool:
    """Whether the weight is (in, out), as in GPT-2's Conv1D."""
    return type(matrix).__name__ == "Conv1D"
