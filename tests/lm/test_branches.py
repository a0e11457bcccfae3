"""Texts read as a tree: every sequence gets exactly its tokens, in order, and no beginning is read twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("llama_cpp", reason="the extra llama-cpp is not installed")

from kgt.lm.branches import Text, tree

TOKENS = st.lists(st.integers(0, 2), max_size=6).map(tuple)


@st.composite
def texts(draw: st.DrawFn) -> list[Text]:
    """Prompts of few different tokens, of which a beginning is known that others have in common or not."""
    found = []
    for _ in range(draw(st.integers(0, 6))):
        prompt = (draw(st.integers(0, 1)), *draw(TOKENS))
        found.append(Text(prompt, draw(TOKENS), draw(st.integers(0, len(prompt) - 1))))
    return found


@given(texts())
def test_each_sequence_gets_its_own_tokens_in_order(some: list[Text]) -> None:
    todo, stands = tree(some)
    for i, (prompt, end, known) in enumerate(some):
        own = [read for read in todo if i in read.sequences]
        assert [read.position for read in own] == list(range(known, len(prompt) + len(end)))
        assert tuple(read.token for read in own) == (prompt + end)[known:]
        wanted = [todo[place] for place in stands[i]]
        assert [read.position for read in wanted] == list(range(len(prompt) - 1, len(prompt) + len(end)))
        assert all(read.wanted and i in read.sequences for read in wanted)


@given(texts())
def test_what_texts_begin_with_alike_is_read_once(some: list[Text]) -> None:
    todo, _ = tree(some)
    whole = [(text.known, text.prompt + text.end) for text in some]
    beginnings = {(known, text[:n]) for known, text in whole for n in range(known + 1, len(text) + 1)}
    assert len(todo) == len(beginnings)
    assert sum(len(read.sequences) for read in todo) == sum(len(text) - known for known, text in whole)
