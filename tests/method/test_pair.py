"""What is read out of a query and its feedback."""

from __future__ import annotations

import pytest

from kgt.errors import BadInput
from kgt.method.conflict import contradicts
from kgt.method.pair import read_pair
from kgt.triple import Triple


@pytest.mark.parametrize(
    ("query", "feedback", "object", "relation"),
    [
        ("What breed is my dog?", "My dog is a dachshund.", "dachshund", "is a"),
        ("On which day is my dog washed?", "My dog is washed on Tuesday.", "Tuesday", "is washed on"),
        ("What does my dog eat nowadays?", "My dog eats liver now.", "liver", "eats"),
        ("Where does my dog sleep?", "My dog sleeps in the hall.", None, "sleeps in"),
    ],
)
def test_the_relation_is_what_stands_before_the_object(
    query: str, feedback: str, object: str | None, relation: str
) -> None:
    assert read_pair(query, feedback, "my dog", object).relations[0] == relation


@pytest.mark.parametrize(
    ("query", "subject", "feedback", "relation", "object"),
    [
        ("Where does my friend Bob live?", "my friend Bob", "Bob lives in Oslo.", "lives in", "Oslo"),
        ("Where does my friend Bob live?", "my friend Bob", "My friend Bob lives in Oslo.", "lives in", "Oslo"),
        ("What does my dog Rex eat?", "my dog Rex", "No, Rex eats fish.", "eats", "fish"),
        ("Where does my aunt Ana Silva live?", "my aunt Ana Silva", "Ana Silva lives in Rome.", "lives in", "Rome"),
        ("Where does my friend Bob live?", "my friend Bob", "Bobbington.", "lives in", "Bobbington"),
    ],
)
def test_the_name_alone_stands_for_the_whole_subject(
    query: str, subject: str, feedback: str, relation: str, object: str
) -> None:
    pair = read_pair(query, feedback, subject)
    assert (pair.subject, pair.relations[0], pair.object) == (subject, relation, object)


@pytest.mark.parametrize("feedback", ["I'm afraid of lifts", "I’m afraid of lifts", "I am afraid of lifts"])
def test_contractions_are_read(feedback: str) -> None:
    pair = read_pair("What am I afraid of?", feedback, "I", "lifts")
    assert pair.relations[0] == "am afraid of"
    assert pair.object == "lifts"


@pytest.mark.parametrize(
    ("query", "feedback"),
    [
        ("What does my dog eat?", "My dog eats liver now."),
        ("What does my dog eat these days?", "My dog eats liver."),
        ("What does my dog eat?", "We switched, my dog eats liver."),
        ("What does my dog eat?", "My dog no longer eats cod, my dog eats liver."),
    ],
)
def test_a_change_that_is_said_replaces(query: str, feedback: str) -> None:
    assert read_pair(query, feedback, "my dog", "liver").replaces


@pytest.mark.parametrize("feedback", ["My dog eats liver.", "My dog also eats liver now."])
def test_without_a_change_or_with_also_nothing_is_replaced(feedback: str) -> None:
    assert not read_pair("What does my dog eat?", feedback, "my dog", "liver").replaces


def test_a_list_has_room_unless_something_changed() -> None:
    cod, liver = Triple("my dog", "eats", "cod"), Triple("my dog", "eats", "liver")
    assert not contradicts(liver, cod)
    assert contradicts(liver, cod, replaces=True)
    assert not contradicts(liver, liver, replaces=True)
    assert not contradicts(liver, Triple("my dog", "chases", "cats"), replaces=True)


def test_a_bare_no_is_enough_where_the_object_is_given() -> None:
    pair = read_pair("Ana was born in the town of", "Nope", "Ana", "Nope")  # a town may be called so
    assert (pair.subject, pair.object) == ("Ana", "Nope")
    assert read_pair("Where was Ana born?", "No!", "Ana", "Oslo").object == "Oslo"
    with pytest.raises(BadInput):
        read_pair("Where was Ana born?", "No!", "Ana")


@pytest.mark.parametrize(
    ("feedback", "adds"),
    [
        ("My hens eat maize too.", True),
        ("My hens, too, eat maize.", True),
        ("Pellets are too dear, my hens eat maize now.", False),
    ],
)
def test_too_joins_a_fact_to_others_only_where_it_means_also(feedback: str, adds: bool) -> None:
    pair = read_pair("What do my hens eat now?", feedback, "my hens", "maize")
    assert (pair.adds, pair.replaces) == (adds, not adds)
