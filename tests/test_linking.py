"""The entity a text is about."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from kgt import GraphStore, Triple
from kgt.graph import Edit, ScoredTriple
from kgt.graph.names import one_edit_apart
from kgt.linking import ambiguous, asked_about, candidates, link
from kgt.lm.encoder import SentenceEncoder
from kgt.reference import Mention


def teach(store: GraphStore, subject: str) -> None:
    store.commit(Edit("ana", "add", added=(ScoredTriple(Triple(subject, "likes", "carrots")),)))


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("What does my dog eat?", "my dog"),
        ("What is my dog's name?", "my dog"),
        ("What does my sister's dog eat?", "my sister's dog"),
        ("What is my research field?", "I"),
        ("Where do I work?", "I"),
        ("The mother tongue of Danielle Darrieux is", "Danielle Darrieux"),
        ("Where was Niels Bohr's brother born?", "Niels Bohr"),
        ("What can a bicycle be used for?", "bicycle"),
    ],
)
def test_it_is_found_without_having_been_taught(store: GraphStore, text: str, entity: str) -> None:
    found = link(store, "ana", text)
    assert found is not None
    assert found.entity == entity


def test_a_name_the_user_taught_wins(store: GraphStore) -> None:
    teach(store, "grey parrot")
    found = link(store, "ana", "Can a grey parrot in London talk?")
    assert found is not None
    assert (found.entity, found.why) == ("grey parrot", "graph")
    other = link(store, "ben", "Can a grey parrot in London talk?")
    assert other is None or other.why != "graph"


def test_a_possession_names_its_owner(store: GraphStore) -> None:
    found = link(store, "ana", "In which city is my sister's home?")
    assert found is not None
    assert (found.entity, found.owner) == ("my sister's home", "my sister")


def test_a_text_about_nothing_links_to_nothing(store: GraphStore) -> None:
    assert link(store, "ana", "How much is it?") is None
    assert link(store, "ana", "") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_it(store: GraphStore, text: str) -> None:
    found = link(store, "ana", text)
    assert found is None or found.entity


def test_five_thousand_words_are_no_trouble(store: GraphStore) -> None:
    assert link(store, "ana", "My dog met Ana in Rome. " * 1000) is not None


def say(store: GraphStore, subject: str, relation: str, object: str) -> None:
    store.commit(Edit("ana", "add", added=(ScoredTriple(Triple(subject, relation, object)),)))


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("The profession of Johann Wolfgang von Goethe is", "Johann Wolfgang von Goethe"),
        ("Francis X. DiLorenzo has the position of", "Francis X. DiLorenzo"),
        ("Gran Trak 10, a product created by", "Gran Trak 10"),
        ("Porsche 911, created by", "Porsche 911"),
        ("Egypt, which has the capital city", "Egypt"),
        ("omphacite, which is named after", "omphacite"),
        ("2011 Cannes Film Festival can be found in", "2011 Cannes Film Festival"),
        ("Where do I work on Saturdays?", "I"),
        ("Which craft does my grandmother practise?", "my grandmother"),
    ],
)
def test_names_of_many_forms(store: GraphStore, text: str, entity: str) -> None:
    found = link(store, "ana", text)
    assert found is not None and found.entity == entity


@pytest.mark.parametrize(
    ("taught", "text", "why"),
    [
        ("my sister", "Where does my sisster live?", "typo"),
        ("Lisbon Tigers", "Who coaches the Lisbn Tigers?", "typo"),
        ("Ana Silva", "Where does Ana work?", "partial"),
        ("José Silva", "Where does Jose Silva work?", "partial"),
        ("Straße nach Süden", "Where is the Straße nach Süden?", "graph"),
        ("Москва", "Где находится Москва?", "graph"),
        ("东京", "东京在哪里？", "graph"),
    ],
)
def test_the_graph_knows_whom_a_name_means(store: GraphStore, taught: str, text: str, why: str) -> None:
    teach(store, taught)
    found = link(store, "ana", text)
    assert found is not None
    assert found.entity.casefold() == taught.casefold()
    assert found.why in (why, "possession")
    assert link(store, "ben", text) != found


def test_the_users_own_thing_keeps_its_my(store: GraphStore) -> None:
    say(store, "my boss", "is called", "Ingrid")
    found = link(store, "ana", "who is my boss?")
    assert found is not None and found.entity == "my boss"


def test_what_something_is_called_leads_to_it(store: GraphStore) -> None:
    say(store, "my dog", "name", "Rex")
    found = link(store, "ana", "What does Rex eat?")
    assert found is not None and (found.entity, found.why) == ("my dog", "alias")
    store.undo("ana")
    found = link(store, "ana", "What does Rex eat?")
    assert found is not None and found.entity == "Rex"


def test_a_near_name_is_the_same_thing_but_a_cat_is_no_dog(store: GraphStore, encoder: SentenceEncoder) -> None:
    for thing in ("my dog", "my wife"):
        teach(store, thing)
    found = link(store, "ana", "What does my puppy eat?", encoder=encoder)
    assert found is not None and (found.entity, found.why) == ("my dog", "near")
    for text, entity in (("What does my cat eat?", "my cat"), ("Where does my husband live?", "my husband")):
        other = link(store, "ana", text, encoder=encoder)
        assert other is not None and other.entity == entity


def test_hundreds_who_share_a_first_name_take_no_more_look_ups(store: GraphStore) -> None:
    say(store, "Ana Costa", "lives in", "Rome")
    say(store, "my boss", "name", "Ana Lima")
    statements: list[object] = []

    def count(*statement: object) -> None:
        statements.append(statement)

    event.listen(store._engine, "before_cursor_execute", count)
    taken = []
    try:
        for more in (2, 150):
            others = [ScoredTriple(Triple(f"Ana {chr(0x4E00 + more + i)}", "lives in", "Rome")) for i in range(more)]
            store.commit(Edit("ana", "add", tuple(others)))
            statements.clear()
            found = candidates(store, "ana", "Where does Ana Lima live?")
            assert (found[0].entity, found[0].why) == ("my boss", "alias")
            taken.append(len(statements))
    finally:
        event.remove(store._engine, "before_cursor_execute", count)
    assert taken[0] == taken[1]


def test_two_of_a_name_are_ambiguous_and_one_is_not(store: GraphStore) -> None:
    teach(store, "Ana Silva")
    assert not ambiguous(candidates(store, "ana", "Where does Ana live?"))
    teach(store, "Ana Costa")
    found = ambiguous(candidates(store, "ana", "Where does Ana live?"))
    assert {one.entity for one in found} == {"Ana Silva", "Ana Costa"}
    assert not ambiguous(candidates(store, "ana", "Where does Ana Costa live?"))


def test_part_of_another_name_is_not_the_entity(store: GraphStore) -> None:
    for name in ("London", "Istanbul University", "Airbus A350"):
        teach(store, name)
    for text in ("How long is London Bridge?", "The twin city of Istanbul is", "Airbus A380 was developed by"):
        found = link(store, "ana", text)
        assert found is None or found.entity not in ("London", "Istanbul University", "Airbus A350")
    hello = link(store, "ana", "Hi London, how are you?")
    assert hello is not None and hello.entity == "London"


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("Where does she live?", "my sister"),
        ("What is his name?", "my dog"),
        ("What is there to see there?", "Lisbon"),
        ("How large is that city?", "Lisbon"),
        ("How old is it?", "Lisbon"),
        ("What do they do?", "my sister"),
    ],
)
def test_pronouns_stand_for_what_was_spoken_of(store: GraphStore, text: str, entity: str) -> None:
    recent = [Mention("I"), Mention("Lisbon", "lives in"), Mention("my sister"), Mention("my dog")]
    found = link(store, "ana", text, recent=recent)
    assert found is not None and (found.entity, found.why) == (entity, "reference")
    alone = link(store, "ana", text)
    assert alone is None or alone.why == "base"


def test_a_thing_nothing_is_known_about_leads_to_its_owner(store: GraphStore) -> None:
    say(store, "I", "live in", "Porto")
    say(store, "my sister", "lives in", "Lisbon")
    for text, owner in (("Where is my house?", "I"), ("In which city is my sister's home?", "my sister")):
        found = asked_about(store, "ana", candidates(store, "ana", text))
        assert found is not None and found.entity == owner


@given(st.text(alphabet="abcd", min_size=1, max_size=7), st.integers(0, 8), st.sampled_from("abcd"))
def test_one_edit_is_one_edit(word: str, at: int, letter: str) -> None:
    at = min(at, len(word) - 1)
    edits = {word[:at] + letter + word[at + 1 :], word[:at] + letter + word[at:], word[:at] + word[at + 1 :]}
    if at + 1 < len(word):
        edits.add(word[:at] + word[at + 1] + word[at] + word[at + 2 :])
    for other in edits - {word}:
        assert one_edit_apart(word, other) and one_edit_apart(other, word)
    assert not one_edit_apart(word, word)
    assert not one_edit_apart(word, word + letter + letter)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.text(alphabet="abcdefgh", min_size=4, max_size=9), st.data())
def test_a_misspelt_word_is_found_again(store: GraphStore, word: str, data: st.DataObject) -> None:
    teach(store, word)
    at = data.draw(st.integers(0, len(word) - 2))
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if swapped != word:
        assert (word, word) in store.misspelt("ana", swapped)


def test_erasing_a_user_erases_what_their_things_are_called(store: GraphStore) -> None:
    say(store, "my dog", "name", "Rex")
    store.erase("ana")
    assert store.named("ana", ["rex", "dog", "my"]) == {}


@pytest.mark.parametrize(
    ("query", "thing"),
    [
        ("When does my shift begin this month?", "my shift"),
        ("On which ship does my brother serve?", "my brother"),
        ("When does my yoga class start?", "my yoga class"),
        ("What does my sister's dog eat?", "my sister's dog"),
        ("Where does my aunt live?", "my aunt"),
        ("How often does my cat see the vet?", "my cat"),
        ("Where did my parents meet?", "my parents"),
    ],
)
def test_the_verb_of_a_question_is_no_part_of_a_things_name(store: GraphStore, query: str, thing: str) -> None:
    found = link(store, "ana", query)
    assert found is not None
    assert found.entity == thing
