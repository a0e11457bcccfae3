"""An edit decided among hundreds of facts: those that it cannot remove count by their sum, and exactly so."""

from __future__ import annotations

import math

import pytest

from kgt.graph import Edit, Fact
from kgt.lm import LanguageModel
from kgt.lm.encoder import SentenceEncoder
from kgt.method.objective import Evidence, loss, retrieval_probabilities
from kgt.method.pair import read_pair
from kgt.method.relations import stated_triples
from kgt.method.retrieval import relevances
from kgt.method.teach import decide_edit
from kgt.method.templates import DEFAULT
from kgt.method.tune import TuneSettings
from kgt.triple import Triple

SUBJECT, QUERY = "my sister", "Where does my sister live?"
OLD = Fact(Triple(SUBJECT, "lives in", "Rome"), "user", 1, QUERY)
OTHERS = [Fact(Triple(SUBJECT, "owns a", f"vase number {i}"), "user", 2) for i in range(300)]


@pytest.fixture
def decide(model: LanguageModel, encoder: SentenceEncoder):  # type: ignore[no-untyped-def]
    def decided(facts: list[Fact], **settings: object) -> Edit:
        pair = read_pair(QUERY, "My sister lives in Lisbon.", SUBJECT)
        tuning = TuneSettings(**settings)  # type: ignore[arg-type]
        return decide_edit(pair, stated_triples(pair, 5), facts, model, encoder, DEFAULT, tuning, user="ana")

    return decided


def test_the_loss_is_eq_7_over_all_facts_of_the_entity(  # type: ignore[no-untyped-def]
    decide, model: LanguageModel, encoder: SentenceEncoder
) -> None:
    edit = decide([*OTHERS[:150], OLD, *OTHERS[150:]])
    assert [part.triple for part in edit.removed] == [OLD.triple]
    (new,) = edit.added
    graph = [new.triple, *(f.triple for f in OTHERS)]
    odds = relevances(QUERY, SUBJECT, graph, model, encoder, DEFAULT).tolist()
    assert new.retrieval == pytest.approx(retrieval_probabilities(dict(zip(graph, odds, strict=True)), 1.0)[new.triple])
    evidence = {z: Evidence(new.reasoning or 0, odd) for z, odd in zip(graph, odds, strict=True)}
    assert edit.loss_after == pytest.approx(loss([new.triple], graph, evidence, none=1.0))
    assert edit.loss_before == math.inf


def test_the_facts_order_is_nothing_to_an_edit(decide) -> None:  # type: ignore[no-untyped-def]
    first, last = decide([OLD, *OTHERS]), decide([*OTHERS, OLD])
    assert first.added[0].triple == last.added[0].triple
    assert first.removed == last.removed
    assert first.loss_after == pytest.approx(last.loss_after)


def test_until_the_answer_is_generated_every_fact_counts(decide) -> None:  # type: ignore[no-untyped-def]
    edit = decide([*OTHERS, OLD], stop="generates")
    assert edit.added[0].triple.object == "Lisbon"
    assert edit.stop_reason == "generates"


def test_a_known_fact_among_many_is_no_edit(decide) -> None:  # type: ignore[no-untyped-def]
    known = Fact(Triple(SUBJECT, "lives in", "Lisbon"), "user", 3)
    edit = decide([*OTHERS, known])
    assert (edit.added, edit.removed, edit.stop_reason) == ((), (), "known")
