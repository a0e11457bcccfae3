"""From a query's words to a relation and back to a sentence."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kgt import wording
from kgt.errors import BadInput
from kgt.method.pair import is_correction, read_pair
from kgt.triple import Triple, clean
from kgt.wording import is_unfinished, mask, relation_in, sentence, sentence_about, statement_in, stem


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(wording).failed == 0


@pytest.mark.parametrize(
    ("query", "subject", "relation"),
    [
        ("The mother tongue of Ana is", "Ana", "mother tongue"),
        ("Ana's profession is a", "Ana", "profession"),
        ("Ana plays the instrument", "Ana", "plays the instrument"),
        ("Windows, developed by", "Windows", "is developed by"),
        ("Ana, who works as", "Ana", "works as"),
        ("Ana, whose headquarters are in", "Ana", "headquarters"),
        ("In Peru, an official language is", "Peru", "official language"),
        ("What is the twin city of Rome? It is", "Rome", "twin city"),
        ("What sport does Ana play? They play", "Ana", "plays"),
        ("Some words before. Rome is located in", "Rome", "is located in"),
        ("Where does my sister live?", "my sister", "lives in"),
        ("What is my dog's name?", "my dog", "name"),
        ("What is the name of my dog?", "my dog", "name"),
        ("What is my job?", "I", "job"),
        ("Where do I work?", "I", "work in"),
        ("How old is my dog?", "my dog", "How old is my dog?"),
    ],
)
def test_the_relation_is_in_the_querys_own_words(query: str, subject: str, relation: str) -> None:
    assert relation_in(query, subject) == relation


@pytest.mark.parametrize(
    ("triple", "text"),
    [
        (("Ana", "mother tongue", "English"), "Ana's mother tongue is English."),
        (("Ana", "lives in", "Rome"), "Ana lives in Rome."),
        (("dog", "IsA", "animal"), "Dog is an animal."),
        (("dog", "CapableOf", "bark"), "Dog can bark."),
        (("I", "job", "nurse"), "My job is nurse."),
        (("I", "work as", "a nurse"), "I work as a nurse."),
        (("my dog", "name", "Rex"), "My dog's name is Rex."),
        (("my dog", "How old is my dog?", "seven"), "How old is my dog? seven."),
    ],
)
def test_a_triple_reads_as_a_sentence(triple: tuple[str, str, str], text: str) -> None:
    assert sentence(Triple(*triple)) == text


@pytest.mark.parametrize(
    ("text", "subject", "relation", "object_"),
    [
        ("My sister lives in Rome.", "my sister", "lives in", "Rome"),
        ("my dog is vegetarian", "my dog", "is", "vegetarian"),
        ("The capital of France is Lyon", "France", "capital", "Lyon"),
        ("My sister does not eat meat", "my sister", "does not eat", "meat"),
        ("I work as a nurse", "I", "work as", "a nurse"),
        ("My research field is marine biology", "I", "research field", "marine biology"),
    ],
)
def test_a_statement_gives_relation_and_object(text: str, subject: str, relation: str, object_: str) -> None:
    assert statement_in(text, subject) == (relation, object_)


def test_the_stem_of_an_answer_is_its_sentence_up_to_the_object() -> None:
    assert stem("my sister", "lives in") == "My sister lives in"
    assert stem("my dog", "How old is my dog?") == ""


@pytest.mark.parametrize("query", ["The mother tongue of Ana is", "What is the twin city of Rome? It is", "Ana plays"])
def test_sentences_left_to_finish(query: str) -> None:
    assert is_unfinished(query)


@pytest.mark.parametrize("query", ["", "Hi", "What does Ana eat?", "Tell me about Ana", "Thanks.", "Where is Ana"])
def test_questions_requests_and_greetings_are_not(query: str) -> None:
    assert not is_unfinished(query)


def test_the_sentence_about_the_subject_starts_after_what_stands_before() -> None:
    assert sentence_about("It rained. Ana lives in", "Ana") == ("It rained.", "Ana lives in")
    assert sentence_about("Category: birds\nAna lives in", "Ana") == ("Category: birds", "Ana lives in")


CORRECTIONS = """No, my dog is vegetarian.|no it's Rex|Nope, it's Rome|Actually, she lives in Rome.|actually it's Rex
That's wrong, it's Rome.|That is not right. She lives in Oslo|that's incorrect: it is 7 am|Wrong, it's Rome
Incorrect. It is Rome.|Not quite, it's 8 am|I meant Rome|Sorry, I mean Oslo|No no, Rex!|No – Rome
It's not true, I live in Rome|That isn't right, it's Oslo|In fact, it's blue|Well, actually it's Rex
that was wrong, it is Rex"""
OTHERS = """No, thanks|No thank you.|No problem|No worries!|Where is Rome?|Actually, what time is it?|No idea
Nobody knows|Noah lives in Rome|My dog is vegetarian.|I actually like tea|Thanks!|Yes|Tell me more|Is that wrong?
Wrongly built houses fall|Notes on birds please|Not bad|Hello|It's raining here today|no need"""


@pytest.mark.parametrize("message", CORRECTIONS.replace("\n", "|").split("|"))
def test_corrections_are_recognised(message: str) -> None:
    assert is_correction(message)


@pytest.mark.parametrize("message", OTHERS.replace("\n", "|").split("|"))
def test_what_is_no_correction_is_not(message: str) -> None:
    assert not is_correction(message)


@pytest.mark.parametrize(
    ("query", "feedback", "subject", "object_", "relation"),
    [
        ("Where does my sister live?", "No, she moved to Rome", "my sister", "Rome", "moved to"),
        ("When does my office open?", "It opens at 7 am.", "my office", "7 am", "opens at"),
        ("What is my dog's name?", "Actually, it's Rex", "my dog", "Rex", "name"),
        ("What does my dog eat?", "No, my dog is vegetarian.", "my dog", "vegetarian", "is"),
        ("What is my research field?", "marine biology", "I", "marine biology", "research field"),
        ("What do I like to drink?", "I also like coffee.", "I", "coffee", "like"),
        ("The mother tongue of Ana is", "English", "Ana", "English", "mother tongue"),
    ],
)
def test_a_pair_is_read_out_of_query_and_feedback(
    query: str, feedback: str, subject: str, object_: str, relation: str
) -> None:
    pair = read_pair(query, feedback, subject)
    assert (pair.object, pair.relations[0]) == (object_, relation)


words = st.text(max_size=60) | st.lists(
    st.sampled_from("my dog's is the of What who No, Actually Ana , ? . ' 🐶 שלום it they".split()), max_size=12
).map(" ".join)


@given(words, words, words)
@example("OF 0O000", "", "0O000")
def test_no_text_whatever_breaks_the_reading(query: str, feedback: str, subject: str) -> None:
    if not clean(subject):
        return
    relation_in(query, subject)
    statement_in(feedback, subject)
    sentence_about(query, subject)
    mask(query, subject)
    is_correction(feedback)
    try:
        pair = read_pair(query, feedback, subject)
    except BadInput:
        return
    assert pair.object
    assert all(pair.relations)


@pytest.mark.parametrize(
    ("text", "subject", "clause"),
    [
        ("Category:Villages in Krotoszyn County Ana, who lives in", "Ana", "Ana, who lives in"),
        ("Category:Boardsports Where is Rex? It is in", "Rex", "Where is Rex? It is in"),
        ("Insects of 1869 The headquarter of Acme is located in", "Acme", "The headquarter of Acme is located in"),
        ('The song "Greek to Me!" Ana was born in', "Ana", "Ana was born in"),
        ("The mother tongue of Ana is", "Ana", "The mother tongue of Ana is"),
        ("Fans of The Beatles live in", "The Beatles", "Fans of The Beatles live in"),
        ("What does my dog eat?", "my dog", "What does my dog eat?"),
        ("The city I live in is", "I", "The city I live in is"),
    ],
)  # fmt: skip
def test_the_clause_about_the_subject_starts_after_what_has_nothing_to_do_with_it(
    text: str, subject: str, clause: str
) -> None:
    assert sentence_about(text, subject)[1] == clause


@pytest.mark.parametrize(
    ("text", "subject", "masked"),
    [
        ("What does my dog eat?", "my dog", "What does someone eat?"),
        ("Where is my bike?", "I", "Where is someone's bike?"),
        ("Ana's mother tongue is", "Ana", "someone's mother tongue is"),
        ("What do I study?", "I", "What do someone study?"),
    ],
)
def test_another_name_takes_the_subjects_place(text: str, subject: str, masked: str) -> None:
    assert mask(text, subject, "someone") == masked
