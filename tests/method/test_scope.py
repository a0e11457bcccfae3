"""The vectors of facts' wordings, kept from one query to the next, change nothing but the time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kgt.lm.encoder import SentenceEncoder, cosines
from kgt.method import scope
from kgt.method.scope import Shelf, Vectors, columns, log_odds, wordings
from kgt.triple import Triple

QUERIES = ("Where does my sister live?", "The home town of my sister is", "What does my sister eat?")
FACTS = [Triple("my sister", f"{relation} number", str(i)) for i, relation in enumerate(["house", "bus", "shoe"] * 40)]
TAUGHT = {FACTS[1]: "Which bus does my sister take?"}


def signals(shelf: Shelf, query: str, facts: list[Triple]) -> scope.Floats:
    found = shelf.vectors(wordings(query, "my sister"), "my sister", facts, TAUGHT)
    return columns(*found, asks=query.endswith("?"))


def test_a_fact_has_the_signals_among_others_that_it_has_alone(encoder: SentenceEncoder) -> None:
    shelf = Shelf(encoder)
    for query in QUERIES:
        together = signals(shelf, query, FACTS)
        alone = [signals(Shelf(encoder), query, [z])[0] for z in FACTS[:4]]
        np.testing.assert_allclose(together[:4], alone, atol=1e-5)


def test_a_full_shelf_begins_anew(encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(encoder)
    before = [signals(shelf, query, FACTS) for query in QUERIES]
    monkeypatch.setattr(scope, "KEPT", 50)
    for query, found in zip(QUERIES, before, strict=True):
        np.testing.assert_allclose(signals(shelf, query, FACTS[:20]), found[:20], atol=1e-5)
        np.testing.assert_allclose(signals(shelf, query, FACTS), found, atol=1e-5)


def test_what_is_asked_for_stays_on_a_full_shelf(encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "KEPT", 60)
    shelf = Shelf(encoder)
    hub, others = FACTS[:5], FACTS[5:]
    signals(shelf, QUERIES[0], hub)
    embedded: list[str] = []
    embed = encoder.embed

    def counting(texts: Sequence[str]) -> Vectors:
        embedded.extend(texts)
        return embed(texts)

    monkeypatch.setattr(encoder, "embed", counting)
    for z in others:
        signals(shelf, QUERIES[0], [z])
        embedded.clear()
        signals(shelf, QUERIES[0], hub)
        assert len(embedded) == 3  # the query's wordings
    assert 60 < len(shelf._before.row) <= 60 + 7 * len(hub)  # it did begin anew


def test_a_failed_embedding_leaves_the_shelf_usable(encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(encoder)
    expected = signals(Shelf(encoder), QUERIES[0], FACTS)
    signals(shelf, QUERIES[0], FACTS[:5])
    with monkeypatch.context() as broken:
        broken.setattr(encoder, "embed", lambda texts: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            signals(shelf, QUERIES[0], FACTS)
    np.testing.assert_allclose(signals(shelf, QUERIES[0], FACTS), expected, atol=1e-5)


def test_threads_may_share_a_shelf(encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "KEPT", 100)  # emptied again and again
    shelf = Shelf(encoder)
    asked = [(query, FACTS[start::5]) for query in QUERIES for start in range(5)] * 3
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda pair: signals(shelf, *pair), asked))
    for pair, together in zip(asked, found, strict=True):
        np.testing.assert_allclose(together, signals(Shelf(encoder), *pair), atol=1e-5)


def test_a_fact_taught_by_a_query_and_the_same_untaught_are_told_apart(encoder: SentenceEncoder) -> None:
    z, query = FACTS[1], "What bus is my sister on?"
    odds = [log_odds(query, "my sister", [z], encoder, taught)[0] for taught in (TAUGHT, {}, TAUGHT)]
    assert odds[0] == odds[2] > odds[1]


def test_cosines_are_those_of_numpy(encoder: SentenceEncoder) -> None:
    vectors = encoder.embed([*QUERIES, "my sister"])
    np.testing.assert_allclose(cosines(vectors, vectors[:2]), vectors @ vectors[:2].T, atol=1e-6)
    np.testing.assert_allclose(np.diag(cosines(vectors, vectors)), 1, atol=1e-3)
