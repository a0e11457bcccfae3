"""H(q, a, K): the personalised triples a pair gives (the set under Eq. 3), from three sources.

The user's relations, the words of the feedback and the query, and the model. A small model does
not follow the paper's instruction to list K relations (it repeats itself), so instead of decoding
a list the model scores known relation names.
"""

from __future__ import annotations

from collections.abc import Sequence

from kgt.lm.base import LanguageModel, Request
from kgt.lm.encoder import SentenceEncoder, cosines
from kgt.method import reasoning
from kgt.method.pair import Pair
from kgt.method.templates import Templates
from kgt.triple import Triple, relation_key

KNOWN_RELATIONS = (
    "name", "nickname", "age", "birthday", "place of birth", "lives in", "address", "home town", "nationality",
    "native language", "speaks", "religion", "occupation", "works as", "works at", "employer", "field of work",
    "research field", "studies", "school", "degree", "position", "title", "boss", "colleague", "married to",
    "partner", "mother", "father", "sister", "brother", "child", "friend", "owner", "owned by", "pet", "breed",
    "diet", "eats", "does not eat", "drinks", "likes", "dislikes", "favourite food", "favourite drink",
    "favourite colour", "favourite music", "hobby", "plays", "sport", "instrument", "team", "position played",
    "allergic to", "health", "medicine", "doctor", "schedule", "opens at", "closes at", "time", "date", "starts at",
    "price", "size", "weight", "height", "colour", "shape", "made of", "material", "brand", "model", "made by",
    "created by", "developed by", "author", "founder", "founded in", "originated in", "country", "country of origin",
    "capital", "official language", "language", "city", "twin city", "located in", "continent", "headquarters",
    "genre", "record label", "broadcast on", "named after", "part of", "member of", "kind", "symptom", "drives",
    "travels by", "sleeps in", "kept in", "phone number", "email", "uses", "tool", "goal", "plan", "fear", "died in",
)  # fmt: skip
"""Everyday and encyclopedic relation names the model chooses from."""

SHORTLIST = 12
"""How many names the encoder leaves for the model to score: more cost time and changed nothing."""
KINSHIP = 0.45
"""Least cosine between a known name and the user's own words: below it the relation says something else."""

BEHIND = 2.0
"""Most nats a token that a name may be less likely than the best: farther ones cost time and say "died in" of where the
cat sleeps. Answers are as good without them (docs/decisions/0015-speed.md)."""


def personalised_triples(
    pair: Pair,
    k: int,
    model: LanguageModel,
    encoder: SentenceEncoder | None,
    templates: Templates,
    given: Sequence[str] = (),
) -> list[Triple]:
    """H(q, a, K): at most K distinct triples (e_q, r, e_a), what the user stated first; never empty.

    Args:
        given: relations the user named; with them H has no others and the model is not asked (paper, Fig. 3).
    """
    stated = stated_triples(pair, k, given)
    if given or len(stated) == k:
        return stated
    names = [z.relation for z in stated] if pair.relations else []
    names += model_relations(pair, k - len(names), model, encoder, templates)
    return _triples(pair, names or ["is"], k)


def stated_triples(pair: Pair, k: int, given: Sequence[str] = ()) -> list[Triple]:
    """The part of H that needs no model: of the relations given or, where none is, those of query and feedback."""
    return _triples(pair, given or pair.relations or ["is"], k)


def _triples(pair: Pair, names: Sequence[str], k: int) -> list[Triple]:
    distinct = {relation_key(name): name for name in reversed(names)}
    return [Triple(pair.subject, name, pair.object) for name in sorted(distinct.values(), key=names.index)[:k]]


def model_relations(
    pair: Pair, k: int, model: LanguageModel, encoder: SentenceEncoder | None, templates: Templates
) -> list[str]:
    """The known relations likeliest after the paper's relation template, at most k and none far behind, best first.

    Without an encoder to say which names are near the user's words in meaning, none is taken: a
    small model's likelihood alone puts wrong relations (and so false facts) into H.
    """
    if encoder is None or not pair.relations:
        return []
    nearness = cosines(encoder.embed(KNOWN_RELATIONS), encoder.embed(list(pair.relations))).max(1)
    near = sorted(range(len(KNOWN_RELATIONS)), key=lambda i: -nearness[i])[:SHORTLIST]
    shortlist = [KNOWN_RELATIONS[i] for i in near if nearness[i] >= KINSHIP]
    if not shortlist:
        return []
    if templates.raw_relations:
        prompt = templates.raw_relations.format(
            k=k, subject=pair.subject, object=pair.object, query=pair.query, answer=pair.answer
        )
    else:
        plain = reasoning.prompt(model, templates, pair.query)
        prompt = plain + reasoning.joined(plain, templates.relations.format(answer=pair.answer))
    scores = model.logprobs([Request(prompt, tuple(" " + name for name in shortlist))])[0]
    ranked = sorted(zip((float(s.mean) for s in scores), shortlist, strict=True), key=lambda s: -s[0])
    return [name for mean, name in ranked[:k] if mean >= ranked[0][0] - BEHIND]
