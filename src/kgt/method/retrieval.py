"""P(z|q): which stored facts a query asks for (Eq. 5), and the scope decision "none of these".

Eq. 5 normalises over the triples at e_q, so a single stored fact is retrieved for any question
about its entity. Here each triple competes against "none": its relevance is the odds that it
answers the query (`kgt.method.scope`), beside which none has a weight of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from kgt.graph import Fact
from kgt.lm.base import LanguageModel, Request
from kgt.lm.encoder import SentenceEncoder
from kgt.method.objective import retrieval_probabilities
from kgt.method.scope import Floats, log_odds
from kgt.method.templates import Templates
from kgt.triple import Triple
from kgt.wording import sentence_about

NONE = 3.6
"""Weight of "none" when a question is asked: most questions about an entity ask for no given fact. While an edit
is decided it is 1: feedback to a query says that the query does ask for the fact."""
MAX_USED = 3
"""Most facts put into the context of an answer."""
LEAST_SHARE = 0.25
"""A further fact is used if it is at least this fraction as likely as the likeliest: others distract the model."""
LEAST_WEIGHT = 0.02
"""Below this probability a fact is left out of the answer altogether, and the prompt is the model's plain one."""
LISTED = 100
"""Most candidates of a retrieval; of the facts of an entity that has more, the others count by their sum."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored triple as one query sees it.

    Attributes:
        probability: P(z|q), Eq. 5 with "none" in the denominator.
        relevance: its odds of answering the query, the numerator.
    """

    triple: Triple
    probability: float
    relevance: float


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the graph offers a query: candidates, likeliest first, and the probability of none.

    Attributes:
        candidates: the LISTED likeliest; where there are no more, their probabilities and none's sum to 1.
        shared: facts of the base, common knowledge that the model mostly has: weighed only where likelier than none.
        via: the fact that led from the query's entity to that of the candidates, where there were two hops.
    """

    candidates: tuple[Candidate, ...] = ()
    none: float = 1.0
    shared: frozenset[Triple] = frozenset()
    via: Candidate | None = None

    @property
    def used(self) -> tuple[Candidate, ...]:
        """The facts that decide the answer: those weighed that are likelier than none."""
        return tuple(c for c in self.weighed if c.probability > self.none)

    @property
    def weighed(self) -> tuple[Candidate, ...]:
        """The facts in the answer's context: likely enough, and near the likeliest, at most MAX_USED."""
        floor = max(LEAST_WEIGHT, LEAST_SHARE * max((c.probability for c in self.candidates), default=0.0))
        return tuple(
            c
            for c in self.candidates
            if c.probability >= floor and (c.probability > self.none or c.triple not in self.shared)
        )[:MAX_USED]

    @property
    def weight(self) -> float:
        """How much the weighed facts count in the answer against the model's own (Eq. 1): their share beside "none"."""
        facts = sum(c.probability for c in self.weighed)
        return facts / (facts + self.none) if facts else 0.0


def retrieve(
    query: str,
    subject: str,
    triples: Sequence[Triple],
    model: LanguageModel,
    encoder: SentenceEncoder | None,
    templates: Templates,
    *,
    taught_by: Mapping[Triple, str] = MappingProxyType({}),
    scope: bool = True,
) -> Retrieval:
    """P(z|q) for triples that start at the query's entity.

    Args:
        taught_by: the query whose answer a triple was, where there was one.
        scope: False gives the paper's Eq. 5 as written: relevance = P_θ(r|T), no "none".
    """
    if not triples:
        return Retrieval(none=1.0 if scope else 0.0)
    found = relevances(query, subject, triples, model, encoder, templates, taught_by=taught_by, scope=scope)
    return retrieval(triples, found, NONE if scope else 0.0)


def relevances(
    query: str,
    subject: str,
    triples: Sequence[Triple],
    model: LanguageModel,
    encoder: SentenceEncoder | None,
    templates: Templates,
    *,
    taught_by: Mapping[Triple, str] = MappingProxyType({}),
    scope: bool = True,
) -> Floats:
    """The numerator of Eq. 5 of each triple, shape (n,): the odds that it is asked for; arguments as for `retrieve`."""
    if scope:
        return np.exp(log_odds(query, subject, triples, encoder, taught_by))
    asked = relation_probabilities(query, subject, list(dict.fromkeys(z.relation for z in triples)), model, templates)
    return np.array([asked[z.relation] for z in triples])


def retrieval(triples: Sequence[Triple], relevance: Floats, none: float) -> Retrieval:
    """P(z|q) from the triples' relevances and the weight of "none"; of alike ones the first is first."""
    order = np.argsort(-relevance, kind="stable")
    listed = {triples[i]: float(relevance[i]) for i in order[:LISTED].tolist()}
    probability = retrieval_probabilities(listed, none + float(relevance[order[LISTED:]].sum()))
    candidates = tuple(Candidate(z, probability[z], listed[z]) for z in listed)
    return Retrieval(candidates, none / (none + float(relevance.sum())) if none else 0.0)


def relation_probabilities(
    query: str, subject: str, relations: Sequence[str], model: LanguageModel, templates: Templates
) -> dict[str, float]:
    """P_θ(r|T_retrieve(q)) of each relation, the geometric mean over its tokens: the numerator of Eq. 5 as printed."""
    prompt = templates.retrieval.format(query=sentence_about(query, subject)[1], subject=subject)
    scores = model.logprobs([Request(prompt, tuple(" " + relation for relation in relations))])[0]
    return {relation: scored.probability for relation, scored in zip(relations, scores, strict=True)}


def taught_queries(facts: Iterable[Fact]) -> dict[Triple, str]:
    """The query that taught each fact, where there was one."""
    return {f.triple: f.query for f in facts if f.query}
