"""The method, slow and readable: the oracle that the fast path must equal.

One prompt and one continuation at a time, plain floats, no batching, no cache, no padding; written
from the paper and from the context-aware decoding paper, not from the code under test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch


def next_token_logprobs(model: Any, tokens: list[int]) -> list[float]:
    """log P(token | tokens) over the vocabulary."""
    with torch.inference_mode():
        logits = model(torch.tensor([tokens])).logits[0, -1].double()
    return torch.log_softmax(logits, -1).tolist()  # type: ignore[no-any-return]


def contrasted(with_context: list[float], without: list[float], alpha: float) -> list[float]:
    """Shi et al. 2023, Eq. 4: softmax((1+α) log p(·|context) − α log p(·|no context)), in logs."""
    mixed = [(1 + alpha) * a - alpha * b for a, b in zip(with_context, without, strict=True)]
    top = max(mixed)
    total = top + math.log(sum(math.exp(m - top) for m in mixed))
    return [m - total for m in mixed]


def continuation_logprobs(
    model: Any, tokenizer: Any, prompt: str, continuation: str, without: str | None = None, alpha: float = 0.0
) -> list[float]:
    """The log-probability of each token of the continuation."""
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    plain = tokenizer(without, add_special_tokens=False)["input_ids"] if without is not None else None
    found = []
    for token in tokenizer(continuation, add_special_tokens=False)["input_ids"]:
        logp = next_token_logprobs(model, before)
        if plain is not None:
            logp = contrasted(logp, next_token_logprobs(model, plain), alpha)
            plain = [*plain, token]
        found.append(logp[token])
        before = [*before, token]
    return found


def loss(
    h: Sequence[str], graph: Sequence[str], p_answer: dict[str, float], relevance: dict[str, float], none: float
) -> float:
    """Eq. 7 over H ∩ G, with Eq. 5 (and a weight for "none") for P(z|q)."""
    inside = [z for z in h if z in graph]
    if not inside:
        return math.inf
    total = sum(relevance[z] for z in graph) + none
    return -sum(math.log(p_answer[z] * relevance[z] / total) for z in inside) / len(inside)


def algorithm_1(
    h: Sequence[str], graph: Sequence[str], p_answer: dict[str, float], relevance: dict[str, float], epsilon: float
) -> list[str]:
    """Algorithm 1 as printed: add the next of H, check, remove the next of G_q, check; returns the graph.

    The loss is the paper's: infinite while any triple of H is outside.
    """

    def enough(g: list[str]) -> bool:
        return all(z in g for z in h) and loss(h, g, p_answer, relevance, 0.0) <= epsilon

    now = list(graph)
    additions = sorted([z for z in h if z not in graph], key=lambda z: -p_answer[z])
    removals = sorted([z for z in graph if z not in h], key=lambda z: p_answer[z])
    while not enough(now) and (additions or removals):
        if additions:
            now.append(additions.pop(0))
            if enough(now):
                break
        if removals:
            now.remove(removals.pop(0))
    return now
