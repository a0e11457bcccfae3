"""Two hops: facts (X, r₁, Y) and (Y, r₂, Z) are taught, and a question about X asks for Z.

Built from ParaRel: X has the relation r₁, Y and Z are drawn among the relations' other objects, so that
the model cannot know. Cases come in pairs, a hop each; the second one's paraphrases are the questions
that need both. The thresholds of `kgt.method.hops` were chosen on other relations than these.
"""

from __future__ import annotations

import random

from kgt.bench.case import Case, Probe
from kgt.bench.datasets.pararel import Pararel
from kgt.editors import EditRequest

USER = "two_hop"
FIRST = {
    "P17": ("the country in which {} is located", "the country where {} is"),
    "P495": ("the country where {} comes from", "{}'s country of origin"),
    "P19": ("the city where {} was born", "{}'s birthplace"),
    "P159": ("the city where {} has its headquarters",),
}
"""Relation → phrases that stand for its object, {} being its subject."""
SECOND = {
    "P37": ("What is the official language of {}?", "Which language is official in {}?"),
    "P30": ("On which continent is {}?", "Which continent does {} belong to?"),
    "P190": ("What is the twin city of {}?", "Which city is twinned with {}?"),
}
"""Relation → questions about its subject."""
JOINED = {"P17": ("P37", "P30"), "P495": ("P37", "P30"), "P19": ("P190",), "P159": ("P190",)}
"""First relation → second relations that its objects have."""
STEM = "It is"
"""How an answer to a two-hop question begins; it gives nothing away."""
PAIRS = 100
"""Pairs of hops for each of the six combinations, where ParaRel has as many."""


def build(pararel: Pararel, seed: int) -> list[Case]:
    """All pairs of cases, shuffled with the seed; an entity has one object in a relation throughout."""
    draw = random.Random(seed)
    pairs: list[tuple[Case, Case]] = []
    taught: dict[tuple[str, str], str] = {}
    starts: set[str] = set()
    for first, seconds in JOINED.items():
        for second in seconds:
            led_to = {fact.object for fact in pararel.facts.get(first, ())}
            middles = sorted({fact.subject for fact in pararel.facts.get(second, ())} & led_to)
            ends = sorted({fact.object for fact in pararel.facts.get(second, ())})
            facts = [f for f in pararel.facts.get(first, ()) if f.subject not in middles and f.subject not in starts]
            for fact in draw.sample(facts, min(PAIRS, len(facts))):
                middle = draw.choice([m for m in middles if m != fact.object])
                end = taught.setdefault((middle, second), draw.choice([e for e in ends if e != middle]))
                starts.add(fact.subject)
                one = _hop(pararel, first, fact.subject, middle, f"{len(pairs)}/1", draw)
                two = _hop(pararel, second, middle, end, f"{len(pairs)}/2", draw)
                asked = [q.format(p.format(fact.subject)) for q in SECOND[second] for p in FIRST[first]]
                probes = tuple(Probe(query, end, middle, fact.subject, STEM) for query in asked)
                pairs.append((one, Case(two.case_id, two.request, two.rewrite, probes, relation_id=second)))
    draw.shuffle(pairs)
    return [case for pair in pairs for case in pair]


def _hop(pararel: Pararel, relation: str, subject: str, object: str, case_id: str, draw: random.Random) -> Case:
    query = draw.choice(pararel.openings[relation]).replace("[X]", subject)
    known = next((f.object for f in pararel.facts[relation] if f.subject == subject), "")
    request = EditRequest(USER, query, object, subject, object, known, pararel.labels.get(relation, ""))
    return Case(case_id, request, Probe(query, object, known, subject), relation_id=relation)
