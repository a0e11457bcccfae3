"""Is a fact asked for at all? The odds that it answers a query, against "none of these".

A query asks for a fact if it means the same as the query that taught it, the fact itself, or its
relation. How near two texts are in meaning is the cosine of a small sentence encoder's vectors;
whose name stands in them must not matter, so each is compared three times, with the entity's name
left out and with two stand-ins for it. A logistic regression weighs the cosines
(docs/decisions/0005-scope.md; `benchmarks/fit_scope.py` fits the weights).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kgt.lm.encoder import SentenceEncoder
from kgt.triple import Triple, relation_key
from kgt.wording import is_question, mask, sentence, sentence_about, stem

STAND_INS = ("", "X", "someone")
"""What stands in the entity's place when texts are compared; "" is nothing."""

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]

WEIGHTS: Floats = np.array([1.97, 0.99, 2.17, 1.53, 2.18, 2.02, 1.07, 2.49, 1.13])
OFFSET = -3.40
"""Log-odds = weights · signals + offset. The signals: with each stand-in the cosine to the fact and to the query
that taught it, the cosine to the relation's name, the largest of all, and 1 for a question, whose cosines are
lower than those of an unfinished sentence."""
QUERY, FACT, TAUGHT, RELATION, KINDS = 0, 6, 9, 15, 16
"""Kinds of text, each with a mean vector of its own: where the three query wordings start, statements and then
questions; the three of the fact; the three of the query that taught it; the relation's name; how many kinds."""
VIEWED = 8192
"""Facts whose wordings are remembered; a kilobyte each."""
VAGUE = 0.1
"""Log-odds of every fact for a query of mere function words ("Ana, the"): it says nothing against them."""
OVERLAP_WEIGHT, OVERLAP_OFFSET = 3.0, -1.5
"""The same with the share of words in common, where no sentence encoder is installed."""


class Views(NamedTuple):
    """Vectors of texts and the kind of each text; shapes (…, 384) and (…)."""

    vectors: Vectors
    kinds: npt.NDArray[np.int_]


FUNCTION_WORDS = frozenset(
    ("a an the is are was were am be has have had do does did of in at on to for by with").split()
)


def log_odds(
    query: str,
    subject: str,
    triples: Sequence[Triple],
    encoder: SentenceEncoder | None,
    taught_by: Mapping[Triple, str] = MappingProxyType({}),
) -> Floats:
    """Natural log of the odds that each triple answers the query, shape (n,); 0 is as likely as none.

    Args:
        subject: the query's entity, at which the triples start.
        taught_by: the query whose answer a triple was, where there was one.
    """
    asked = sentence_about(query, subject)[1]
    if says_nothing(mask(asked, subject)):
        return np.full(len(triples), VAGUE)
    if encoder is None:
        return OVERLAP_WEIGHT * _overlaps(asked, subject, triples, taught_by) + OVERLAP_OFFSET
    return signals(asked, subject, triples, encoder, taught_by) @ WEIGHTS + OFFSET


def signals(
    asked: str,
    subject: str,
    triples: Sequence[Triple],
    encoder: SentenceEncoder,
    taught_by: Mapping[Triple, str] = MappingProxyType({}),
) -> Floats:
    """What tells how near a query is to each triple in meaning; shape (n, 9), the columns that `WEIGHTS` names."""
    if not triples:
        return np.zeros((0, len(WEIGHTS)))
    return columns(*vectors(asked, subject, triples, encoder, taught_by), means())


def columns(queries: Views, facts: Views, stand: npt.NDArray[np.int_], means: Vectors) -> Floats:
    """The signals of a query's wordings, (3, 384), and of n triples; shape (n, 9).

    Of each vector the mean of its kind is taken away first: what all texts of a kind share tells nothing apart.

    Args:
        facts: the triples' views, each text once, (m, 384).
        stand: which of them each triple's seven are, (n, 7).
    """
    less = [views.vectors - means[views.kinds] for views in (queries, facts)]
    asked, told = (v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9) for v in less)
    near = told @ asked.T
    each = [near[stand[:, 2 * i + side], i] for i in range(len(STAND_INS)) for side in (0, 1)]
    found = np.stack([*each, near[stand[:, -1], 0]], axis=1)
    question = np.full((len(stand), 1), float(queries.kinds[0] - QUERY))
    return np.concatenate([found, found.max(1, keepdims=True), question], axis=1)


def vectors(
    asked: str, subject: str, triples: Sequence[Triple], encoder: SentenceEncoder, taught_by: Mapping[Triple, str]
) -> tuple[Views, Views, npt.NDArray[np.int_]]:
    """The encoder's vectors of the query's wordings and of the triples' views, and where these stand; see `columns`.

    Many triples of an entity share their relation: each text is embedded and compared once.
    """
    question = is_question(asked)
    wordings = [(mask(asked, subject, name), QUERY + 2 * i + question) for i, name in enumerate(STAND_INS)]
    place: dict[tuple[str, int], int] = {}
    stand = [[place.setdefault(view, len(place)) for view in views(z, subject, taught_by.get(z, ""))] for z in triples]
    texts, kinds = zip(*wordings, *place, strict=True)
    embedded = encoder.embed(texts)
    cut = len(wordings)
    return (
        Views(embedded[:cut], np.array(kinds[:cut])),
        Views(embedded[cut:], np.array(kinds[cut:])),
        np.array(stand),
    )


@cache
def means() -> Vectors:
    """The mean vector of each kind of text, shape (16, 384), as `benchmarks/fit_scope.py` writes it."""
    with (files("kgt.method") / "scope_means.npy").open("rb") as file:
        return np.load(file)  # type: ignore[no-any-return]


@lru_cache(maxsize=VIEWED)
def views(z: Triple, subject: str, taught_by: str) -> tuple[tuple[str, int], ...]:
    """The texts a query is compared with and their kinds: for each stand-in fact and taught query; the relation.

    A fact that no query taught stands there without its object, as the sentence that asks for it;
    where that sentence says nothing ("someone is a"), as the fact.
    """
    taught = sentence_about(taught_by, subject)[1] if taught_by else stem(z.subject, z.relation) or z.relation
    empty = says_nothing(mask(taught, subject))
    found = []
    for i, name in enumerate(STAND_INS):
        fact = (mask(sentence(z), z.subject, name), FACT + i)
        found += [fact, fact if empty else (mask(taught, subject, name), TAUGHT + 2 * i + is_question(taught))]
    if says_nothing(z.relation):
        return (*found, found[1])
    plain = z.relation if is_question(z.relation) else relation_key(z.relation)
    return (*found, (mask(plain, subject), RELATION))


def says_nothing(text: str) -> bool:
    """Whether a text is of function words only ("is", "the")."""
    return set(relation_key(text).split()) <= FUNCTION_WORDS


def _overlaps(asked: str, subject: str, triples: Sequence[Triple], taught_by: Mapping[Triple, str]) -> Floats:
    """The largest share of the query's content words, cut to five letters, in common with a view of each triple."""

    def content(text: str) -> set[str]:
        return {w[:5] for w in re.findall(r"\w+", text.casefold()) if w not in FUNCTION_WORDS}

    words = content(mask(asked, subject))
    shares = [max(len(words & content(v)) for v, _ in views(z, subject, taught_by.get(z, ""))) for z in triples]
    return np.array(shares, dtype=np.float64) / max(1, len(words))
