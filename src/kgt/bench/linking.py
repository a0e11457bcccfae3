"""Linking: is the entity that a query is about found without a label?

CounterFact: one user's graph holds the subjects of n records; their taught queries and paraphrases, which
begin with an unrelated sentence, must link to them, and questions that name no subject must not link to
anything in the graph. PeInt: each user's graph holds their own pairs. A case's half is drawn from its
id: `kgt.linking` was developed on one half, and the numbers are of the other.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from kgt.assistant import Assistant
from kgt.bench.case import Case
from kgt.bench.datasets import load
from kgt.bench.metrics import Estimate, bootstrapped
from kgt.bench.study import Sheet, Study, estimate_text
from kgt.graph import Edit, GraphStore, ScoredTriple
from kgt.graph.names import words_of
from kgt.linking import asked_about, candidates
from kgt.lm import LanguageModel
from kgt.lm.encoder import SentenceEncoder
from kgt.triple import Triple, entity_key

Floats = npt.NDArray[np.float64]

N = 300
"""CounterFact records, if not said otherwise."""
SIZES = (10, 1_000, 100_000, 1_000_000)
"""Triples in the user's graph when times are taken."""
TIMED = 100
"""Queries timed at each size, half of which name somebody in the graph."""


class Query(NamedTuple):
    """A text and its entity; "" where it is about none in the graph."""

    user: str
    text: str
    entity: str
    source: str
    tested: bool


class Outcome(NamedTuple):
    """What linking a query came to, as counts."""

    right: int
    wrong: int
    missed: int


def study(data: Path, n: int | None, seed: int, encoder: SentenceEncoder | None, model: LanguageModel) -> Study:
    """F1 on the half not developed on, and the time that linking and scope add to an answer as the graph grows."""
    metrics: dict[str, Estimate] = {}
    rows = []
    with GraphStore.open(":memory:") as store:
        queries = _queries(store, "counterfact", data, n or N, seed) + _queries(store, "peint", data, None, seed)
        tested = [q for q in queries if q.tested]
        outcomes = [outcome(store, q, encoder) for q in tested]
    for source in ("counterfact", "peint"):
        some = [o for o, q in zip(outcomes, tested, strict=True) if q.source == source]
        for name, of in (("f1", _f1), ("precision", _precision), ("recall", _recall)):
            metrics[f"{name}_{source}"] = bootstrapped(np.array(some), of)
        cells = [estimate_text(metrics[f"{name}_{source}"]) for name in ("f1", "precision", "recall")]
        rows.append((f"{source} ({len(some):,})", *cells))
    sheets = [Sheet("Linking without labels, on the half not developed on", ("", "F1", "precision", "recall"), rows)]
    times = []
    for size in SIZES:
        taken = _milliseconds(size, [q.text for q in tested if q.source == "counterfact"], encoder, model)
        cells = [f"{size:,}"]
        for name, timings in zip(("link", "added"), taken, strict=True):
            metrics[f"{name}_ms_{size}"] = bootstrapped(np.array(timings), lambda t: float(np.median(t)))
            cells += [f"{np.median(timings):.2f}", f"{np.percentile(timings, 95):.2f}"]
        times.append(tuple(cells))
    columns = ("triples in the graph", "link p50", "p95", "link, scope and prompt p50", "p95")
    sheets.append(Sheet("What an answer waits for before the model begins, ms", columns, times))
    return Study(metrics, sheets)


def outcome(store: GraphStore, query: Query, encoder: SentenceEncoder | None) -> Outcome:
    """Whether the entity found is the one wanted; an entity outside the user's graph counts as none."""
    found = asked_about(store, query.user, candidates(store, query.user, query.text, encoder=encoder))
    key = entity_key(found.entity) if found else ""
    if key and not any(f.source == "user" for f in store.about(query.user, key)):
        key = ""
    wanted = entity_key(query.entity) if query.entity else ""
    return Outcome(
        int(bool(key) and key == wanted), int(bool(key) and key != wanted), int(bool(wanted) and key != wanted)
    )


def _queries(store: GraphStore, name: str, data: Path, n: int | None, seed: int) -> list[Query]:
    """The queries of a data set, whose facts are put into the graph."""
    cases = [case for case in load(name, data, n, seed).cases if not case.superseded]
    for user in dict.fromkeys(case.request.user for case in cases):
        facts = [_fact(case) for case in cases if case.request.user == user]
        store.commit(Edit(user, "add", tuple(ScoredTriple(z) for z in dict.fromkeys(facts))))
    subjects = {" ".join(words_of(case.request.subject)) for case in cases} - {"i"}
    found = []
    for case in cases:
        tested = bool(crc32(case.case_id.encode()) % 2)
        user, subject = case.request.user, case.request.subject
        found += [Query(user, p.query, subject, name, tested) for p in (case.rewrite, *case.paraphrases)]
        found += [
            Query(user, p.query, "", name, tested)
            for p in case.neighbourhood
            if not any(f" {known} " in f" {' '.join(words_of(p.query))} " for known in subjects)
        ]
    return found


def _fact(case: Case) -> Triple:
    return Triple(case.request.subject, case.request.relation or "is", case.request.object)


def _milliseconds(
    size: int, texts: Sequence[str], encoder: SentenceEncoder | None, model: LanguageModel
) -> tuple[list[float], list[float]]:
    """Of linking queries, and of all that comes before the model, in a graph of so many triples of made-up people."""
    draw = random.Random(size)
    people = [made_up_person(draw) for _ in range(max(1, size // 2))]
    facts = [
        Triple(person, relation, made_up_name(draw)) for person in people for relation in ("lives in", "works for")
    ]
    asked = draw.sample(people, min(TIMED // 2, len(people)))
    texts = [*texts[: TIMED - len(asked)], *(f"In which town does {person} live?" for person in asked)]
    link, added = [], []
    with GraphStore.open(":memory:") as store:
        for start in range(0, len(facts), 10_000):
            batch = dict.fromkeys(facts[start : start + 10_000])
            store.commit(Edit("someone", "add", tuple(ScoredTriple(z) for z in batch)))
        assistant = Assistant("someone", model=model, store=store, encoder=encoder)
        for text in [*texts[:5], *texts]:  # the first warm up
            fresh = f"{text} "  # its vector is not remembered from the other timing
            started = perf_counter()
            candidates(store, "someone", fresh, encoder=encoder)
            linked = perf_counter()
            assistant.answer_prompt(text)
            link.append((linked - started) * 1000)
            added.append((perf_counter() - linked) * 1000)
    return link[5:], added[5:]


def made_up_person(draw: random.Random) -> str:
    """A first and a last name."""
    return f"{made_up_name(draw)} {made_up_name(draw)}"


def made_up_name(draw: random.Random) -> str:
    """A name of two to four syllables."""
    return "".join(draw.choice("bdfgklmnprst") + draw.choice("aeiou") for _ in range(draw.randint(2, 4))).capitalize()


def _precision(o: Floats) -> float:
    right, wrong, _ = o.sum(0)
    return float(right / max(1, right + wrong))


def _recall(o: Floats) -> float:
    right, _, missed = o.sum(0)
    return float(right / max(1, right + missed))


def _f1(o: Floats) -> float:
    right, wrong, missed = o.sum(0)
    return float(2 * right / max(1, 2 * right + wrong + missed))
