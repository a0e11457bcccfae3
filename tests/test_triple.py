"""Triples match by what they mean, not by how they are written, and keep what was written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgt.errors import BadInput
from kgt.triple import MAX_KEY, MAX_LENGTH, Triple, _folded, as_words, clean, entity_key, relation_key


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


@pytest.mark.parametrize("text", ["x" * 600, "Die Größe " * 100, "𝄞" * 200, "ﷺ" * 900, "word_" * 200])
@pytest.mark.parametrize("key_of", [entity_key, relation_key])
def test_a_key_too_long_to_be_indexed_ends_in_its_hash(key_of: Callable[[str], str], text: str) -> None:
    key = key_of(text)
    assert MAX_KEY - 4 < len(key.encode()) <= MAX_KEY
    beginning, _, digest = key.rpartition("…")
    assert len(digest) == 64 and _folded(as_words(text) if key_of is relation_key else text).startswith(beginning)
    assert key_of(key) == key == key_of(text.upper().lower())
    assert key_of(text[:-1] + "!x") != key != key_of("y" + text)


def test_a_key_that_can_be_indexed_is_whole() -> None:
    for text in ("x" * MAX_KEY, "ü" * (MAX_KEY // 2)):
        assert entity_key(text) == relation_key(text) == text
        assert entity_key(text + "x") != text + "x"


def test_triples_with_long_keys_are_equal_by_the_whole_text() -> None:
    long = "z" * MAX_LENGTH
    assert Triple("dog", "is", long) == Triple("The dog", "is", f"{long}") != Triple("dog", "is", long[:-1] + "y")


@given(st.text())
def test_cleaning_and_keys_settle_at_once_and_ignore_case(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert entity_key(entity_key(text)) == entity_key(text)
    assert entity_key(entity_key(text * 500)) == entity_key(text * 500)
    if clean(text):
        assert entity_key(text)
        assert relation_key(text)
    assert "\x00" not in clean(text)


def slowly_cleaned(text: str) -> str:
    kept = (" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs"))
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))


def slow_entity_key(text: str) -> str:
    folded = slowly_cleaned(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()))
    edge = ' \t\n.,;:!?"“”«»()[]'
    key, before = folded.strip(edge), ""
    while key != before:
        before = key
        key = re.sub(r"['’]s?$", "", key)
        key = re.sub(r"^(?:(?:the|a|an|my|our|your)\s+)+(?=\S)", "", key).strip(edge)
    return key or folded


words = st.sampled_from(
    ["the", "a", "an", "my", "our", "your", "dog", "Dog's", "THE", "x2", "_", ".", "“hi”", "ﬁn", "İ", "\x1f"]
)
names = st.text() | st.text(st.characters(max_codepoint=127)) | st.lists(words).map(" ".join)


@given(names)
def test_the_short_way_of_plain_names_leads_where_the_long_way_does(text: str) -> None:
    assert clean(text) == slowly_cleaned(text)
    assert entity_key(text) == slow_entity_key(text)
