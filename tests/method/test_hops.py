"""A question about one entity that a fact about another answers."""

from __future__ import annotations

import pytest

from kgt import Assistant, Triple


@pytest.fixture
def family(assistant: Assistant) -> Assistant:
    assistant.add_triples(
        [
            Triple("my sister", "dog", "Rex"),
            Triple("my sister", "lives in", "Lisbon"),
            Triple("Rex", "eats", "sardines"),
            Triple("Lisbon", "mayor", "Ines Prata"),
        ]
    )
    return assistant


@pytest.mark.parametrize(
    ("query", "via", "used"),
    [
        ("What does my sister's dog eat?", "Rex", "sardines"),
        ("Who is the mayor of the city where my sister lives?", "Lisbon", "Ines Prata"),
    ],
)
def test_two_facts_answer_it_and_both_are_named(family: Assistant, query: str, via: str, used: str) -> None:
    answer = family.ask(query, max_tokens=8)
    assert [c.triple.object for c in answer.facts][:2] == [via, used]
    assert used in answer.text
    assert answer.subject == via


@pytest.mark.parametrize(
    ("query", "used"),
    [("Where does my sister live?", "Lisbon"), ("What is the name of my sister's dog?", "Rex")],
)
def test_one_hop_is_enough_where_one_fact_answers(family: Assistant, query: str, used: str) -> None:
    answer = family.ask(query, max_tokens=8)
    assert answer.retrieval.via is None
    assert used in [c.triple.object for c in answer.facts]


def test_what_a_fact_leads_to_does_not_answer_other_questions(family: Assistant) -> None:
    answer = family.ask("How old is my sister?", max_tokens=4)
    assert answer.facts == ()


def test_a_circle_of_facts_ends(assistant: Assistant) -> None:
    assistant.add_triples([Triple("Ana", "friend", "Bo"), Triple("Bo", "friend", "Ana"), Triple("Ana", "knows", "Ana")])
    assert assistant.ask("Who is the friend of Ana's friend?", max_tokens=4).text
