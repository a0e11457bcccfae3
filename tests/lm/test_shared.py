"""A model that many threads use: same answers as alone, and one user's trouble is not another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kgt.errors import BadInput, ModelError
from kgt.lm import Contrast, LanguageModel, Request
from kgt.lm.encoder import SentenceEncoder
from kgt.lm.hf import HFModel
from kgt.lm.shared import SharedModel

QUESTIONS = [
    "What does my dog eat?",
    "Where is Rome?",
    "Who wrote Faust?",
    "What is the capital of Portugal?",
    "Say yes.",
    "Count to five.",
]


@pytest.fixture(scope="module")
def shared(model: LanguageModel, encoder: SentenceEncoder) -> Iterator[SharedModel]:
    shared = SharedModel(model, encoder)
    yield shared
    shared.close()


def prompts(model: LanguageModel) -> list[str]:
    return [model.chat([{"role": "user", "content": q}]) for q in QUESTIONS]


def test_scores_from_many_threads_are_those_of_one(shared: SharedModel, model: LanguageModel) -> None:
    requests = [Request(p, (" Yes", " No, thank you", " It is")) for p in prompts(model)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda r: shared.logprobs([r])[0], requests))
    for request, found in zip(requests, together, strict=True):
        for a, b in zip(found, model.logprobs([request])[0], strict=True):
            assert a.mean == pytest.approx(b.mean, rel=0.02, abs=0.05)  # bfloat16, in another batch


def test_texts_written_together_are_those_written_alone(shared: SharedModel, model: LanguageModel) -> None:
    starts = prompts(model)
    contrasts = [None, Contrast(starts[0]), None, Contrast(starts[2], weight=0.8), None, None]
    lengths = [12, 1, 20, 7, 16, 3]

    def write(to: LanguageModel, i: int) -> str:
        return "".join(to.generate(starts[i], max_tokens=lengths[i], contrast=contrasts[i]))

    alone = [write(model, i) for i in range(len(starts))]
    same = 0
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            together = list(pool.map(lambda i: write(shared, i), range(len(starts))))
            same += sum(a == b for a, b in zip(alone, together, strict=True))
    assert same >= 12  # of 18: bfloat16 rounds otherwise in another batch; in full precision see below


@pytest.mark.parametrize("kind", ["gpt2", "gptj", "llama", "qwen3"])
def test_in_full_precision_company_changes_nothing(tiny: Callable[[str], HFModel], kind: str) -> None:
    model = tiny(kind)
    starts = [
        "The mother",
        "of Danielle Darrieux is",
        "French, that of Victor",
        "User: The tongue of Victor Hugo is",
        "is",
    ]
    contrasts = [None, Contrast("is"), None, Contrast("The mother", weight=0.7), None]
    lengths, heat = [30, 5, 1, 18, 9], [0.0, 0.0, 0.9, 1.2, 0.7]

    def write(to: LanguageModel, i: int) -> str:
        decoding = {"max_tokens": lengths[i], "temperature": heat[i], "contrast": contrasts[i], "seed": i}
        return "".join(to.generate(starts[i], **decoding))  # type: ignore[arg-type]

    alone = [write(model, i) for i in range(len(starts))]
    shared = SharedModel(model)
    with ThreadPoolExecutor(5) as pool:
        for _ in range(5):
            assert list(pool.map(lambda i: write(shared, i), range(len(starts)))) == alone
    shared.close()


def test_only_who_asks_wrongly_is_told(shared: SharedModel) -> None:
    with ThreadPoolExecutor(2) as pool:
        bad = pool.submit(shared.logprobs, [Request("Hello", ("",))])
        good = pool.submit(shared.logprobs, [Request("Hello", (" world",))])
        assert good.result()[0][0].mean < 0
        with pytest.raises(BadInput, match="empty"):
            bad.result()
    with pytest.raises(BadInput, match="tokens"):
        "".join(shared.generate("word " * 9000, max_tokens=5))
    assert "".join(shared.generate("One, two,", max_tokens=2))


def test_a_reader_that_goes_away_stops_its_text(shared: SharedModel, model: LanguageModel) -> None:
    stream = shared.generate(prompts(model)[5], max_tokens=400)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert "".join(shared.generate("One, two,", max_tokens=2))  # does not wait for 400 tokens


def test_phrases_are_embedded_as_alone(shared: SharedModel, encoder: SentenceEncoder) -> None:
    assert shared.encoder is not None
    with ThreadPoolExecutor(6) as pool:
        rows = list(pool.map(lambda q: shared.encoder.embed([q])[0], QUESTIONS))  # type: ignore[union-attr]
    assert np.allclose((np.stack(rows) * encoder.embed(QUESTIONS)).sum(1), 1, atol=0.01)


def test_after_closing_nothing_is_taken(model: LanguageModel) -> None:
    shared = SharedModel(model)
    assert "".join(shared.generate("One, two,", max_tokens=1))
    shared.close()
    with pytest.raises(ModelError, match="shutting down"):
        shared.logprobs([Request("Hello", (" world",))])
