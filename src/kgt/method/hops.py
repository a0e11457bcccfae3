"""Two hops: a question about X that asks for a fact about Y, where a fact about X leads to Y.

"What is the official language of the country where Ana was born?" is about Ana; the fact "Ana was born in
Norway" leads to Norway, and asked of Norway the question is answered by a fact about it. Both steps
pass the scope test of one (`kgt.method.scope`), the first more leniently: only a part of the question asks
for it. The question must have words beside those of the second fact, or it is about X itself, and be nearer
the second fact than the first or have words of it that the first lacks, or one hop is enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from kgt.graph import Fact
from kgt.lm.encoder import SentenceEncoder
from kgt.method.retrieval import Candidate, taught_queries
from kgt.method.scope import FUNCTION_WORDS, log_odds, views
from kgt.triple import Triple, entity_key
from kgt.wording import is_unfinished, mask, stem

LEAST_FIRST, LEAST_SECOND = -2.0, 0.0
"""Least log-odds of the fact that leads on and of the fact that answers: 96 % of two-hop questions of three
relations outside the reported ones pass, and 2 % of others about the same entity."""
LEAST_OWN = 1.0
"""And of a fact about a thing of the user's for a question that names only the user."""
MOST_THINGS = 20
MOST_FIRST, MOST_SECOND = 5, 50
"""Facts about either entity that are tried: a hub costs no more than this."""


@dataclass(frozen=True, slots=True)
class Hop:
    """The second step.

    Attributes:
        via: the fact that leads to it, as the query sees it.
        subject: the entity that the question is really about.
        query: what it comes to: the sentence of the answering fact, left to be finished.
        facts: the user's facts about it.
    """

    via: Candidate
    subject: str
    query: str
    facts: Sequence[Fact]


def second_hop(
    query: str,
    subject: str,
    first: Sequence[Candidate],
    about: Callable[[str], Sequence[Fact]],
    encoder: SentenceEncoder | None,
    first_queries: Mapping[Triple, str] = MappingProxyType({}),
) -> Hop | None:
    """The best second hop, or None where one is enough.

    Args:
        first: facts about the subject with their odds, likeliest first.
        about: the user's facts about an entity.
        first_queries: the queries that taught the first facts.
    """
    if encoder is None:
        return None
    best, best_score = None, -np.inf
    highest = max((np.log(max(c.relevance, 1e-9)) for c in first), default=-np.inf)
    for candidate in first[:MOST_FIRST]:
        leads = float(np.log(max(candidate.relevance, 1e-9)))
        middle = candidate.triple.object
        if leads < LEAST_FIRST or entity_key(middle) == entity_key(subject):
            continue
        facts = about(middle)[:MOST_SECOND]
        if not facts:
            continue
        asked, queries = mask(query, subject, middle), taught_queries(facts)
        odds = log_odds(asked, middle, [f.triple for f in facts], encoder, queries)
        answers = facts[int(odds.argmax())].triple
        asks = _stems(mask(query, subject))
        words, words_before = _words(answers, queries), _words(candidate.triple, first_queries)
        both = bool(asks - words) and (odds.max() > highest or bool((asks - words_before) & words))
        if both and odds.max() > LEAST_SECOND and leads + odds.max() > best_score:
            plain = queries.get(answers) or asked
            to_finish = stem(answers.subject, answers.relation)
            best = Hop(candidate, middle, to_finish if is_unfinished(to_finish) else plain, facts)
            best_score = leads + float(odds.max())
    return best


def own_thing(
    query: str, things: Sequence[str], about: Callable[[str], Sequence[Fact]], encoder: SentenceEncoder | None
) -> str | None:
    """The thing of the user's, a fact about which answers a question about the user; None if there is none.

    "When do I start work?" is answered by "my shift begins at noon": which of the two a fact starts at is chance.
    """
    best, best_odds = None, LEAST_OWN
    if encoder is None:
        return None
    for thing in things[:MOST_THINGS]:
        facts = about(thing)[:MOST_FIRST]
        if facts:
            odds = float(log_odds(query, thing, [f.triple for f in facts], encoder, taught_queries(facts)).max())
            if odds > best_odds:
                best, best_odds = thing, odds
    return best


def _words(z: Triple, queries: Mapping[Triple, str]) -> set[str]:
    """The words that ask for a fact."""
    return _stems(" ".join(text for text, _ in views(z, z.subject, queries.get(z, ""))))


def _stems(text: str) -> set[str]:
    return {w.rstrip("s")[:5] for w in re.findall(r"\w+", text.casefold()) if w not in FUNCTION_WORDS | _ASKING}


_ASKING = frozenset("what which who where when how whose s x someone it they this that one".split())
