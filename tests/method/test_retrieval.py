"""P(z|q) on the real model: the right fact for the right question, and none for another."""

from __future__ import annotations

import pytest

from kgt.lm import LanguageModel
from kgt.lm.encoder import SentenceEncoder
from kgt.lm.torch_model import TorchModel
from kgt.method.pair import read_pair
from kgt.method.relations import model_relations, personalised_triples
from kgt.method.retrieval import LISTED, Retrieval, relation_probabilities, retrieve
from kgt.method.scope import log_odds
from kgt.method.templates import DEFAULT
from kgt.triple import Triple

LIVES = Triple("my sister", "lives in", "Lisbon")
JOB = Triple("my sister", "works as", "a nurse")


@pytest.fixture
def ask(model: LanguageModel, encoder: SentenceEncoder):  # type: ignore[no-untyped-def]
    def asked(query: str, *triples: Triple, **more: object) -> Retrieval:
        return retrieve(query, "my sister", triples, model, encoder, DEFAULT, **more)  # type: ignore[arg-type]

    return asked


def test_a_question_finds_its_fact_among_others(ask) -> None:  # type: ignore[no-untyped-def]
    assert ask("In which city is my sister's home?", JOB, LIVES).used[0].triple == LIVES
    assert ask("What does my sister do for a living?", JOB, LIVES).used[0].triple == JOB


def test_another_question_about_the_entity_finds_none(ask) -> None:  # type: ignore[no-untyped-def]
    found = ask("How old is my sister?", JOB, LIVES)
    assert found.used == ()
    assert found.none > 0.5


def test_probabilities_and_none_sum_to_one(ask) -> None:  # type: ignore[no-untyped-def]
    found = ask("Where does my sister live?", JOB, LIVES)
    assert sum(c.probability for c in found.candidates) + found.none == pytest.approx(1)


def test_of_many_facts_the_likeliest_are_listed_and_the_others_count(ask) -> None:  # type: ignore[no-untyped-def]
    vases = [Triple("my sister", "owns a", f"vase number {i}") for i in range(LISTED + 50)]
    found = ask("Where does my sister live?", *vases, LIVES)
    assert len(found.candidates) == LISTED
    assert found.candidates[0].triple == LIVES
    few = ask("Where does my sister live?", LIVES)
    assert found.candidates[0].relevance == pytest.approx(few.candidates[0].relevance, rel=1e-3)
    unlisted = 1 - found.none - sum(c.probability for c in found.candidates)
    assert 0 < unlisted < 51 * found.candidates[-1].probability


def test_without_scope_it_is_the_papers_eq_5(ask, model: TorchModel) -> None:  # type: ignore[no-untyped-def]
    found = ask("How old is my sister?", LIVES, scope=False)
    assert (found.candidates[0].probability, found.none) == (pytest.approx(1), 0)
    model.prefixes.clear()  # in bfloat16 a score depends a little on what is known of the prompt
    both = ask("Where does my sister live?", LIVES, JOB, scope=False)
    model.prefixes.clear()
    asked = relation_probabilities("Where does my sister live?", "my sister", ["lives in", "works as"], model, DEFAULT)
    shares = {c.triple.relation: c.probability for c in both.candidates}
    assert shares == pytest.approx({r: p / sum(asked.values()) for r, p in asked.items()})


def test_no_facts_no_retrieval(ask) -> None:  # type: ignore[no-untyped-def]
    assert ask("Where does my sister live?") == Retrieval()


def test_the_query_that_taught_a_fact_helps_to_find_it(encoder: SentenceEncoder) -> None:
    fact = Triple("my dog", "is", "vegetarian")
    query = "What should I feed my dog?"
    (without,) = log_odds(query, "my dog", [fact], encoder)
    (with_query,) = log_odds(query, "my dog", [fact], encoder, {fact: "What does my dog eat?"})
    assert with_query > without


def test_without_an_encoder_words_in_common_decide(model: LanguageModel) -> None:
    found = retrieve("Where does my sister live?", "my sister", [LIVES, JOB], model, None, DEFAULT)
    assert found.candidates[0].triple == LIVES


class Counting:
    """The real model, counting what is asked of it."""

    def __init__(self, model: LanguageModel) -> None:
        self.name = model.name
        self._model = model
        self.continuations: list[int] = []

    def chat(self, *given, **more):  # type: ignore[no-untyped-def]
        return self._model.chat(*given, **more)

    def generate(self, *given, **more):  # type: ignore[no-untyped-def]
        return self._model.generate(*given, **more)

    def logprobs(self, requests):  # type: ignore[no-untyped-def]
        self.continuations += [len(r.continuations) for r in requests]
        return self._model.logprobs(requests)


def test_scope_asks_nothing_of_the_model(model: LanguageModel, encoder: SentenceEncoder) -> None:
    counting = Counting(model)
    retrieve("Where does my sister live?", "my sister", [LIVES, JOB], counting, encoder, DEFAULT)
    assert counting.continuations == []


def test_h_holds_the_querys_words_first_and_at_most_k(model: LanguageModel, encoder: SentenceEncoder) -> None:
    pair = read_pair("Where does my sister live?", "My sister lives in Lisbon.", "my sister")
    h = personalised_triples(pair, 5, model, encoder, DEFAULT)
    assert h[0] == LIVES
    assert 1 < len(h) <= 5
    assert len(set(h)) == len(h)
    assert {z.object for z in h} == {"Lisbon"}
    assert personalised_triples(pair, 1, model, encoder, DEFAULT) == [LIVES]


def test_with_the_users_relations_the_model_is_not_asked(model: LanguageModel, encoder: SentenceEncoder) -> None:
    pair = read_pair("Where does my sister live?", "My sister lives in Lisbon.", "my sister")
    counting = Counting(model)
    h = personalised_triples(pair, 5, counting, encoder, DEFAULT, given=["home", "city"])
    assert [z.relation for z in h] == ["home", "city"]
    assert counting.continuations == []


def test_a_relation_far_less_likely_than_the_best_is_left_out(model: LanguageModel, encoder: SentenceEncoder) -> None:
    pair = read_pair("Where does my cat sleep?", "My cat sleeps on the radiator.", "my cat")
    names = model_relations(pair, 5, model, encoder, DEFAULT)
    assert names[0] == "sleeps in"
    assert "died in" not in names


def test_h_is_never_empty(model: LanguageModel) -> None:
    pair = read_pair("Hm", "seven", "it all")
    assert personalised_triples(pair, 5, model, None, DEFAULT)
