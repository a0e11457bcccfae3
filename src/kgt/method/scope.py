"""Is a fact asked for at all? The odds that it answers a query, against "none of these".

A query asks for a fact if it means the same as the query that taught it, the fact itself, or its
relation. How near two texts are in meaning is the cosine of a small sentence encoder's vectors;
whose name stands in them must not matter, so each is compared three times, with the entity's name
left out and with two stand-ins for it. A logistic regression weighs the cosines
(docs/decisions/0005-scope.md; `benchmarks/scope.py --fit` prints the weights).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from kgt.lm.encoder import SentenceEncoder
from kgt.triple import Triple, relation_key
from kgt.wording import is_question, mask, sentence, sentence_about, stem

STAND_INS = ("", "X", "someone")
"""What stands in the entity's place when texts are compared; "" is nothing."""

Floats = npt.NDArray[np.float64]

WEIGHTS: Floats = np.array([2.98, 3.49, 0.01, -0.19, 2.83, 3.44, 1.88, 0.75, 1.95])
OFFSET = -6.67
"""Log-odds = weights · signals + offset. The signals: with each stand-in the cosine to the fact and to the query
that taught it, the cosine to the relation's name, the largest of all, and 1 for a question, whose cosines are
lower than those of an unfinished sentence."""
VAGUE = 0.1
"""Log-odds of every fact for a query of mere function words ("Ana, the"): it says nothing against them."""
OVERLAP_WEIGHT, OVERLAP_OFFSET = 3.0, -1.5
"""The same with the share of words in common, where no sentence encoder is installed."""

_FUNCTION_WORDS = frozenset(
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
    texts = [mask(asked, subject, name) for name in STAND_INS]
    for z in triples:
        texts += views(z, subject, taught_by.get(z, ""))
    vectors = encoder.embed(texts).astype(np.float64)
    queries, facts = vectors[: len(STAND_INS)], vectors[len(STAND_INS) :].reshape(len(triples), -1, vectors.shape[1])
    each = [facts[:, 2 * i + side] @ queries[i] for i in range(len(STAND_INS)) for side in (0, 1)]
    found = np.stack([*each, facts[:, -1] @ queries[0]], axis=1)
    question = np.full((len(triples), 1), float(is_question(asked)))
    return np.concatenate([found, found.max(1, keepdims=True), question], axis=1)


def views(z: Triple, subject: str, taught_by: str) -> list[str]:
    """The texts a query is compared with: for each stand-in the fact and the query that taught it; the relation.

    A fact that no query taught stands there without its object, as the sentence that asks for it.
    """
    taught = sentence_about(taught_by, subject)[1] if taught_by else stem(z.subject, z.relation) or z.relation
    found = []
    for name in STAND_INS:
        found += [mask(sentence(z), z.subject, name), mask(taught, subject, name)]
    plain = z.relation if is_question(z.relation) or says_nothing(z.relation) else relation_key(z.relation)
    return [*found, mask(taught, subject) if says_nothing(z.relation) else mask(plain, subject)]


def says_nothing(text: str) -> bool:
    """Whether a text is of function words only ("is", "the")."""
    return set(relation_key(text).split()) <= _FUNCTION_WORDS


def _overlaps(asked: str, subject: str, triples: Sequence[Triple], taught_by: Mapping[Triple, str]) -> Floats:
    """The largest share of the query's content words, cut to five letters, in common with a view of each triple."""

    def content(text: str) -> set[str]:
        return {w[:5] for w in re.findall(r"\w+", text.casefold()) if w not in _FUNCTION_WORDS}

    words = content(mask(asked, subject))
    shares = [max(len(words & content(v)) for v in views(z, subject, taught_by.get(z, ""))) for z in triples]
    return np.array(shares, dtype=np.float64) / max(1, len(words))
