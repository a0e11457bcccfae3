"""The entity a text is about."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgt import GraphStore, Triple
from kgt.graph import Edit, ScoredTriple
from kgt.linking import link


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
