"""Triples match by what they mean, not by how they are written, and keep what was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgt.errors import BadInput
from kgt.triple import MAX_LENGTH, Triple, clean, entity_key, relation_key


@pytest.mark.parametrize("name", ["dog", "Dog", "the dog", "my dog", "a  dog", "the dog's", "“dog”", "The\tDog."])
def test_names_of_one_entity_share_a_key(name: str) -> None:
    assert entity_key(name) == "dog"


@pytest.mark.parametrize("name", ["MotherTongue", "mother tongue", "mother_tongue", "Mother Tongue "])
def test_spellings_of_one_relation_share_a_key(name: str) -> None:
    assert relation_key(name) == "mother tongue"


def test_a_name_of_nothing_but_articles_or_signs_is_kept() -> None:
    assert entity_key("the") == "the"
    assert relation_key("_") != relation_key("__ x")
    assert entity_key("!!!") == "!!!"


def test_equal_triples_are_one_in_a_set_and_keep_their_text() -> None:
    first, second = Triple("My dog", "MotherTongue", "the Bark"), Triple("dog", "mother tongue", "bark")
    assert {first, second} == {first}
    assert first.subject == "My dog"


@pytest.mark.parametrize("parts", [("", "r", "o"), ("s", " \x00", "o"), ("s", "r", "x" * (MAX_LENGTH + 1))])
def test_a_triple_with_an_empty_or_endless_part_is_refused(parts: tuple[str, str, str]) -> None:
    with pytest.raises(BadInput):
        Triple(*parts)


@given(st.text())
def test_cleaning_and_keys_settle_at_once_and_ignore_case(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert entity_key(entity_key(text)) == entity_key(text)
    if clean(text):
        assert entity_key(text)
        assert relation_key(text)
    assert "\x00" not in clean(text)
