"""P(z|q): which stored facts a query asks for (Eq. 5), and the scope decision "none of these".

Eq. 5 normalises over the triples at e_q, so a single stored fact is retrieved for any question
about its entity. Here each triple competes against "none": its relevance is the odds that it
answers the query, and none has relevance 1. The log-odds combine how near the query (without its
entity) is in meaning to the relation, to the fact and to the query that taught it, and how much
likelier the query makes the relation under the paper's retrieval template than the template alone
does (PMI).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from kgt.graph import Fact
from kgt.lm.base import LanguageModel, Request
from kgt.lm.encoder import SentenceEncoder
from kgt.method.objective import retrieval_probabilities
from kgt.method.templates import Templates
from kgt.triple import Triple, relation_key
from kgt.wording import is_question, mask, sentence, sentence_about

NEARNESS_WEIGHT, PMI_WEIGHT, OFFSET = 15.3, 0.5, -5.2
"""Log-odds of relevance = 15.3·nearness + 0.5·PMI − 5.2. The slopes are those benchmarks/scope.py fits; the
offset it fits, −7.2, misses too many rephrasings (docs/decisions/0005-scope.md)."""
VAGUE_NEARNESS = 0.35
OVERLAP_WEIGHT, OVERLAP_OFFSET = 3.0, -1.5
"""The same with words in common for nearness, where no sentence encoder is installed."""
PMI_RANGE = (-2.0, 6.0)
MAX_SCORED = 24
"""Most triples whose relation the model scores for one query: a hub costs no more than this."""
MAX_USED = 3
"""Most facts put into the context of an answer."""
LEAST_SHARE = 0.25
"""A further fact is used if it is at least this fraction as likely as the likeliest: others distract the model."""

_FUNCTION_WORDS = frozenset(
    ("a an the is are was were am be has have had do does did of in at on to for by with").split()
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored triple as one query sees it.

    Attributes:
        probability: P(z|q), Eq. 5 with "none" in the denominator.
        relevance: its odds of answering the query, the numerator.
        relation_probability: P_θ(r|T_retrieve(q)) as the geometric mean over r's tokens, or None
            where the triple was too far from the query for the model to be asked.
    """

    triple: Triple
    probability: float
    relevance: float
    relation_probability: float | None


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the graph offers a query: candidates, likeliest first, and the probability of none."""

    candidates: tuple[Candidate, ...] = ()
    none: float = 1.0

    @property
    def used(self) -> tuple[Candidate, ...]:
        """The facts that go into the answer's context: likelier than none and near the likeliest, at most MAX_USED."""
        floor = max(self.none, LEAST_SHARE * max((c.probability for c in self.candidates), default=0.0))
        return tuple(c for c in self.candidates if c.probability > self.none and c.probability >= floor)[:MAX_USED]


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
    asked = sentence_about(query, subject)[1]
    near = nearness(asked, subject, triples, encoder, taught_by)
    scored = sorted(range(len(triples)), key=lambda i: -near[i])[: MAX_SCORED if scope else None]
    relations = list(dict.fromkeys(triples[i].relation for i in scored))
    given, prior = relation_logprobs(asked, subject, relations, model, templates)
    relevance: dict[Triple, float] = {}
    for i, z in enumerate(triples):
        if not scope:
            relevance[z] = math.exp(given[z.relation])
            continue
        relevance[z] = math.exp(log_odds(*signals(z, near[i], given, prior), with_encoder=encoder is not None))
    probability = retrieval_probabilities(relevance, none=1.0 if scope else 0.0)
    candidates = [
        Candidate(z, probability[z], relevance[z], math.exp(given[z.relation]) if z.relation in given else None)
        for z in triples
    ]
    candidates.sort(key=lambda c: -c.probability)
    return Retrieval(tuple(candidates), max(0.0, 1 - sum(probability.values())))


def taught_queries(facts: Iterable[Fact]) -> dict[Triple, str]:
    """The query that taught each fact, where there was one."""
    return {f.triple: f.query for f in facts if f.query}


def signals(z: Triple, near: float, given: Mapping[str, float], prior: Mapping[str, float]) -> tuple[float, float]:
    """(nearness, PMI) of a triple; a relation of function words ("is") or one not asked of the model has PMI 0."""
    if z.relation not in given or _says_nothing(z.relation):
        return near, 0.0
    return near, given[z.relation] - prior[z.relation]


def log_odds(near: float, pmi: float, *, with_encoder: bool) -> float:
    """Log-odds that a fact answers a query; 0 means as likely as none."""
    pmi = min(max(pmi, PMI_RANGE[0]), PMI_RANGE[1])
    weight, offset = (NEARNESS_WEIGHT, OFFSET) if with_encoder else (OVERLAP_WEIGHT, OVERLAP_OFFSET)
    return weight * near + PMI_WEIGHT * pmi + offset


def relation_logprobs(
    query: str, subject: str, relations: Sequence[str], model: LanguageModel, templates: Templates
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean token log P_θ(r|T_retrieve(q)), and the same without the query, for each relation."""
    words = tuple(" " + relation for relation in relations)
    asked, prior = model.logprobs(
        [
            Request(templates.retrieval.format(query=query, subject=subject), words),
            Request(templates.retrieval_prior.format(subject=subject), words),
        ]
    )
    return (
        {r: s.mean for r, s in zip(relations, asked, strict=True)},
        {r: s.mean for r, s in zip(relations, prior, strict=True)},
    )


def nearness(
    query: str,
    subject: str,
    triples: Sequence[Triple],
    encoder: SentenceEncoder | None,
    taught_by: Mapping[Triple, str] = MappingProxyType({}),
) -> npt.NDArray[np.float32]:
    """How near the query is to each triple in meaning, both without the entity; shape (n,), at most 1.

    The largest of the cosines to the relation's words, to the whole fact, and to the query that
    taught it. A relation of mere function words ("is") is not compared, and a query of such words
    ("Ana, the") is vague: it is as near to every fact as leaves the decision to the other signals.
    """
    asked = mask(query, subject)
    if _says_nothing(asked):
        return np.full(len(triples), VAGUE_NEARNESS, np.float32)
    views = [_views(z, subject, taught_by.get(z, "")) for z in triples]
    if encoder is None:
        return np.array([max(_overlap(asked, view) for view in v) for v in views], np.float32)
    vector = encoder.embed([asked])[0]
    cosines = iter(encoder.embed([view for v in views for view in v]) @ vector)
    return np.array([max(next(cosines) for _ in v) for v in views], np.float32)


def _views(z: Triple, subject: str, taught_by: str) -> list[str]:
    """The texts a query is compared with: the fact, its relation, the query that taught it."""
    views = [mask(sentence(z), z.subject)]
    if is_question(z.relation):
        views.append(mask(z.relation, subject))
    elif not _says_nothing(z.relation):
        views.append(relation_key(z.relation))
    if taught_by:
        views.append(mask(sentence_about(taught_by, subject)[1], subject))
    return views


def _says_nothing(relation: str) -> bool:
    return set(relation_key(relation).split()) <= _FUNCTION_WORDS


def _overlap(left: str, right: str) -> float:
    """Share of the left text's content words, cut to their first five letters, that the right one has."""

    def content(text: str) -> set[str]:
        return {w[:5] for w in re.findall(r"\w+", text.casefold()) if w not in _FUNCTION_WORDS}

    words = content(left)
    return len(words & content(right)) / len(words) if words else 0.0
