"""What the sentence encoder remembers changes nothing but how often it computes, and stays bounded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgt.lm import encoder
from kgt.lm.encoder import WIDTH, SentenceEncoder

PHRASES = st.lists(st.lists(st.integers(0, 12).map(str), max_size=8), max_size=12)


class Counting(SentenceEncoder):
    """An encoder whose vectors are made of the phrase's number, and which counts what it computes."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.computed: list[str] = []

    def encode(self, phrases: list[str]) -> npt.NDArray[np.float32]:
        self.computed += phrases
        return expected(phrases)


def expected(phrases: Sequence[str]) -> npt.NDArray[np.float32]:
    return np.array([[int(p)] * WIDTH for p in phrases], np.float32).reshape(-1, WIDTH)


@given(PHRASES)
@settings(max_examples=50, deadline=None)
def test_vectors_are_those_of_the_phrases_however_little_is_remembered(asked: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "KNOWN", 5)
        found = Counting()
        for phrases in asked:
            np.testing.assert_array_equal(found.embed(phrases), expected(phrases))


def test_a_phrase_is_computed_once() -> None:
    found = Counting()
    for phrases in (["1", "2", "1"], ["2", "3"], ["1", "3"]):
        found.embed(phrases)
    assert found.computed == ["1", "2", "3"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "KNOWN", 10)
    found = Counting()
    for start in range(0, 100, 4):
        found.embed([str(i) for i in range(start, start + 4)])
        assert len(found._known._row) <= len(found._known._block) == 10
    many = [str(i) for i in range(200, 230)]
    found.embed(many)
    found.computed.clear()
    found.embed(many)
    assert found.computed == many[10:]


def test_threads_may_share_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "KNOWN", 20)
    found = Counting()
    asked = [[str((7 * i + j) % 60) for j in range(15)] for i in range(400)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            for phrases, vectors in zip(asked, pool.map(found.embed, asked), strict=True):
                np.testing.assert_array_equal(vectors, expected(phrases))
    finally:
        sys.setswitchinterval(interval)
