"""Texts written together, and what is guessed of them: the same words in fewer passes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from kgt.bench.work import counted
from kgt.lm import Contrast
from kgt.lm.direct import DirectModel
from kgt.lm.hf import HFModel
from kgt.lm.running import Running, Writing

FACT = "Answer the query considering the user's personalized facts. <facts>: My sister lives in Leicester."
QUESTION = {"role": "user", "content": "Where does my sister live?"}


def test_an_answer_that_repeats_its_fact_takes_fewer_passes(
    direct: DirectModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = direct.chat([{"role": "system", "content": FACT}, QUESTION], "My")  # type: ignore[list-item]
    contrast = Contrast(direct.chat([QUESTION], "My"), 1.5, 0.01, 0.9)  # type: ignore[list-item]

    def answer(free: int) -> tuple[str, int]:
        monkeypatch.setattr("kgt.lm.running.FREE", free)
        with counted(direct) as work:
            text = "".join(direct.generate(prompt, max_tokens=20, contrast=contrast))
        return text, work.passes

    plain, with_guesses = answer(0), answer(16)
    assert plain[0] == with_guesses[0] == " sister lives in Leicester."
    assert with_guesses[1] <= plain[1] - 3


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3"])
@pytest.mark.parametrize("heat", [0.0, 0.8])
def test_whatever_is_guessed_the_texts_are_the_same(
    tiny: Callable[[str], HFModel], monkeypatch: pytest.MonkeyPatch, kind: str, heat: float
) -> None:
    model = tiny(kind)
    texts = [
        ("The mother tongue of", 14, None),
        ("Victor Hugo", 3, Contrast("is", 0.5, 0.1, 0.7)),
        ("is", 9, Contrast("The mother tongue")),
    ]

    def written() -> list[list[int]]:
        running = Running(model)
        begun = [running.write(start, most, (), heat, 7, contrast) for start, most, contrast in texts]
        for text in begun:  # each joins while the ones before it are written
            running.join(text)
            running.step()
            running.step()
        while not all(text.done for text in begun):
            running.step()
        return [text._tokens for text in begun]

    monkeypatch.setattr("kgt.lm.running.FREE", 0)
    written()  # what is read once for all is read now
    with counted(model) as unguessed:
        plain = written()
    draw = random.Random(0)

    def guess(self: Writing, most: int) -> tuple[int, ...]:
        tokens = plain[[start for start, *_ in texts].index(model.decode(self.prompts[0]))]
        right = tokens[len(self._tokens) :][: draw.randint(0, 3)]
        return (*right, *(draw.randrange(50) for _ in range(draw.randint(0, 2))))

    monkeypatch.setattr("kgt.lm.running.FREE", 100)
    monkeypatch.setattr(Writing, "guess", guess)
    with counted(model) as work:
        assert written() == plain
    assert work.passes < unguessed.passes
    assert work.scored == unguessed.scored


def test_no_more_is_guessed_than_may_be_said() -> None:
    text = Writing([(1, 2, 3, 4, 5), (1,)], 4, (), 0.0, None, Contrast(""))  # which the context has room for
    for said, guessed in (([2], (3, 4)), ([9, 2], (3,)), ([9, 9, 2], ())):
        text._tokens = said
        assert text.guess(7) == guessed


def test_what_was_guessed_wrong_is_not_kept(tiny: Callable[[str], HFModel], monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    monkeypatch.setattr("kgt.lm.running.FREE", 100)
    monkeypatch.setattr(Writing, "guess", lambda self, most: (1, 1, 1))
    running = Running(model)
    text = running.write("The mother tongue of", 30, (), 1.5, 3, None)
    running.join(text)
    while not text.done:
        running.step()
        if not text.done:
            assert running._mask.shape[1] <= len(text.prompts[0]) + len(text._tokens) + 3


def test_what_may_come_next_is_what_followed_the_last_tokens() -> None:
    prompt = (1, 2, 3, 4, 9, 3, 5, 6)
    text = Writing([prompt, (1,)], 9, (), 0.0, None, Contrast(""))
    assert text.guess(3) == ()
    text._tokens = [7, 3]
    assert text.guess(3) == (4, 9, 3)
    text._tokens = [9, 3]  # two tokens tell more than one
    assert text.guess(3) == (5, 6)
    text._tokens = [6]
    assert text.guess(3) == ()
    alone = Writing([prompt], 9, (), 0.0, None, None)
    alone._tokens = [3]
    assert alone.guess(3) == ()
