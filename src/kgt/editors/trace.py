"""Causal tracing: which layer's MLP recalls a fact at the subject's last token (Meng et al. 2022, Sec. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch

from kgt.editors.network import Network
from kgt.editors.rome import cut_at_subject
from kgt.lm.tokens import Tokens

NOISE = 3.0
"""Of the embeddings' standard deviation, as in the paper."""
WINDOW = 10 / 48
"""Share of the layers restored together: 10 of GPT-2 XL's 48."""


class Trace(NamedTuple):
    """One fact's.

    Attributes:
        clean, corrupted: the answer's probability, with the subject as it is and drowned in noise.
        restored: and with each layer's MLP, and those beside it, as in the clean run; shape (layers,).
    """

    clean: float
    corrupted: float
    restored: torch.Tensor

    @property
    def effect(self) -> torch.Tensor:
        """The indirect effect of each layer, shape (layers,)."""
        return self.restored - self.corrupted


@torch.no_grad()
def trace(network: Network, text: str, subject: str, answer: Tokens, *, noises: int = 4, seed: int = 0) -> Trace:
    """Trace one fact.

    Args:
        text: a prompt in which the subject stands.
        answer: the tokens the unedited model is right to say; the first is traced.

    Raises:
        BadInput: the subject does not occur in the text.
    """
    before, rest = cut_at_subject(network.model, text, subject)
    tokens, last = before + rest, len(before)
    first = _first_token(network, text, subject, last)
    ids = torch.tensor([tokens], device=network.embedding().device)
    mask = torch.ones_like(ids)
    clean_outputs: dict[int, torch.Tensor] = {}
    with ExitStack() as stack:
        for layer in range(network.depth):
            stack.callback(
                network.matrix(layer)
                .register_forward_hook(lambda _, __, out, at=layer: clean_outputs.update({at: out[0, last].clone()}))
                .remove
            )
        clean = _probability(network, ids, mask, answer[0])
    generator = torch.Generator().manual_seed(seed)
    embedding = network.embedding()
    noise = torch.randn(noises, last + 1 - first, embedding.shape[1], generator=generator).to(embedding)
    noise *= NOISE * embedding.float().std()

    def corrupt(_: Any, __: Any, out: torch.Tensor) -> torch.Tensor:
        out = out.clone()
        out[:, first : last + 1] += noise
        return out

    many, many_mask = ids.expand(noises, -1), mask.expand(noises, -1)
    inputs: Any = network.module.get_input_embeddings()  # type: ignore[operator]
    with ExitStack() as stack:
        stack.callback(inputs.register_forward_hook(corrupt).remove)
        corrupted = _probability(network, many, many_mask, answer[0])
        restored = []
        half = max(1, round(WINDOW * network.depth)) // 2
        for layer in range(network.depth):
            window = range(max(0, layer - half), min(network.depth, layer + half + 1))
            with ExitStack() as restoring:
                for at in window:

                    def restore(_: Any, __: Any, out: torch.Tensor, at: int = at) -> torch.Tensor:
                        out = out.clone()
                        out[:, last] = clean_outputs[at]
                        return out

                    restoring.callback(network.matrix(at).register_forward_hook(restore).remove)
                restored.append(_probability(network, many, many_mask, answer[0]))
    return Trace(clean, corrupted, torch.tensor(restored))


def mean_effect(traces: Sequence[Trace]) -> torch.Tensor:
    """The average indirect effect of each layer, shape (layers,)."""
    return torch.stack([t.effect for t in traces]).mean(0)


def _probability(network: Network, ids: torch.Tensor, mask: torch.Tensor, token: int) -> float:
    logits = network.model.forward(ids, mask, None, keep=1, use_cache=False).logits[:, -1].float()
    return float(logits.softmax(-1)[:, token].mean())


def _first_token(network: Network, text: str, subject: str, last: int) -> int:
    """Where the subject's tokens begin."""
    at = text.lower().rfind(subject.lower())
    encoded = network.model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return min(last, next(i for i, (_, end) in enumerate(encoded["offset_mapping"]) if end > at))
