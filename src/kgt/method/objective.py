"""The paper's equations on plain probabilities: Eq. 3 to 7. Natural logarithms throughout."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

from kgt.triple import Triple


class Evidence(NamedTuple):
    """What the model says of one triple z for a pair (q, a).

    Attributes:
        reasoning: P(a|q,z) in [0, 1].
        relevance: how strongly q asks for z's relation, ≥ 0: the numerator of Eq. 5.
    """

    reasoning: float
    relevance: float


def posterior(triples: Collection[Triple]) -> dict[Triple, float]:
    """Q(z|q,a) = 1/K on the K personalised triples, 0 elsewhere (Eq. 3)."""
    return {z: 1 / len(triples) for z in triples}


def retrieval_probabilities(relevance: Mapping[Triple, float], none: float = 0.0) -> dict[Triple, float]:
    """P(z|q): each triple's relevance over the sum of all that start at e_q (Eq. 5).

    Args:
        relevance: P_θ(r|T_retrieve(q)) for every triple of the graph that starts at e_q.
        none: weight of "no stored fact answers this"; 0 is the paper's Eq. 5, by which one fact is
            always retrieved.
    """
    total = sum(relevance.values()) + none
    return {z: weight / total if total else 0.0 for z, weight in relevance.items()}


def retrieval_loss(h: Collection[Triple], retrieval: Mapping[Triple, float]) -> float:
    """L_retrieve = −(1/K) Σ_H log P(z|q) (Eq. 4); infinite if a triple of H is not in the graph."""
    q = posterior(h)
    return -sum(q[z] * _log(retrieval.get(z, 0.0)) for z in h)


def reasoning_loss(h: Collection[Triple], reasoning: Mapping[Triple, float]) -> float:
    """L_reasoning = −(1/K) Σ_H log P(a|q,z) (Eq. 6)."""
    q = posterior(h)
    return -sum(q[z] * _log(reasoning[z]) for z in h)


def loss(
    h: Collection[Triple],
    graph: Collection[Triple],
    evidence: Mapping[Triple, Evidence],
    *,
    none: float = 0.0,
    literal: bool = False,
) -> float:
    """L = −(1/K) Σ log[P(a|q,z)·P(z|q)] = L_retrieve + L_reasoning (Eq. 7).

    By Eq. 5 a triple of H outside the graph has P(z|q) = 0, so read literally L is infinite until
    all of H is in. By default the expectation runs over H ∩ graph, the posterior renormalised on
    what has been added (docs/decisions/0003-finite-loss.md); it is infinite while that is empty.

    Args:
        graph: the triples that start at e_q.
        literal: the paper's reading, over all of H.
    """
    support = list(h) if literal else [z for z in h if z in graph]
    if not support:
        return math.inf
    retrieval = retrieval_probabilities({z: evidence[z].relevance for z in graph}, none)
    return retrieval_loss(support, retrieval) + reasoning_loss(support, {z: evidence[z].reasoning for z in support})


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf
