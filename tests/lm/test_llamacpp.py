"""The llama.cpp backend: near the exact probabilities, ready at once, and loud about files it cannot run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from kgt.errors import ModelError, NotFound
from kgt.lm import DEFAULT_MODEL, Contrast, LanguageModel, Message, Request, load_model
from kgt.lm.direct import DirectModel
from kgt.lm.hf import HFModel

pytest.importorskip("llama_cpp", reason="the extra llama-cpp is not installed")

from kgt.lm.llamacpp import MOST_TEXTS, OPENING, LlamaCppModel

SHORT = "The capital of France is"
TALK = [{"role": "system", "content": "Be kind. 🐶"}, {"role": "user", "content": "Where is Pico, then?\n\nIn café?"}]


def test_probabilities_are_the_exact_ones_within_quantisation_noise(llamacpp: LanguageModel, exact: HFModel) -> None:
    contrast = Contrast("The capital is", alpha=1.5, weight=0.6)
    continuations = (" Paris", " a city in the north", " Lyon", " the largest city of the country")
    requests = [Request(SHORT, continuations), Request(SHORT, continuations, contrast)]
    pairs = [
        (quantised, full)
        for ours, theirs in zip(llamacpp.logprobs(requests), exact.logprobs(requests), strict=True)
        for quantised, full in zip(ours, theirs, strict=True)
    ]
    assert [len(a.logprobs) for a, _ in pairs] == [len(b.logprobs) for _, b in pairs]
    differences = np.concatenate([a.logprobs - b.logprobs for a, b in pairs[: len(continuations)]])
    assert np.abs(differences).mean() < 0.15
    assert np.corrcoef([a.mean for a, _ in pairs], [b.mean for _, b in pairs])[0, 1] > 0.99


def test_tokens_and_chat_are_those_of_transformers(llamacpp: LanguageModel, exact: HFModel) -> None:
    prompt = llamacpp.chat(TALK, prefill="Pico is")  # type: ignore[arg-type]
    assert prompt == exact.chat(TALK, prefill="Pico is")  # type: ignore[arg-type]
    for text in (prompt, SHORT, " 1234 don't\n\n\tcafé 🐶", "<|im_end|>"):
        assert llamacpp.engine.encode(text) == exact.encode(text)  # type: ignore[attr-defined]
        assert llamacpp.engine.decode(exact.encode(text)) == text  # type: ignore[attr-defined]


def test_a_call_between_two_pieces_of_a_text_does_not_change_it(llamacpp: LanguageModel) -> None:
    contrast = Contrast("It is", 1.0, 0.01, 0.6)
    undisturbed = list(llamacpp.generate(SHORT, max_tokens=6, contrast=contrast))
    pieces = []
    for piece in llamacpp.generate(SHORT, max_tokens=6, contrast=contrast):
        pieces.append(piece)
        llamacpp.logprobs([Request("Something else.", (" Yes",))])
    assert pieces == undisturbed


@contextmanager
def counted(model: LanguageModel) -> Iterator[list[int]]:
    """How many tokens a model reads within this, a number for each pass."""
    engine = model.engine  # type: ignore[attr-defined]
    tokens: list[int] = []

    def read(todo: Sequence[Any]) -> Any:
        tokens.append(len(todo))
        return type(engine).read(engine, todo)

    with mock.patch.object(engine, "read", read):
        yield tokens


def asked(model: LanguageModel, query: str, *said: str) -> Request:
    """A query with and without a fact, both chats, and answers to it."""
    turn: Message = {"role": "user", "content": query}
    return Request(model.chat([TALK[0], turn]), said, Contrast(model.chat([turn]), 1.0))  # type: ignore[list-item]


def test_what_prompts_begin_with_alike_is_read_once(cache: Path, exact: HFModel) -> None:
    model = load_model(f"llama.cpp:{DEFAULT_MODEL}", cache)
    answers = " In the park", " In the old park", " At home"
    requests = [
        asked(model, "Where is Pico, then?", *answers),
        asked(model, "Where is the cat?", " On the roof"),
        asked(model, "Where is Pico, then?", " In the park"),
    ]
    read = []
    for request in requests:
        with counted(model) as tokens:
            (scores,) = model.logprobs([request])
        read.append(tokens)
        for ours, theirs in zip(scores, exact.logprobs([request])[0], strict=True):
            np.testing.assert_allclose(ours.mean, theirs.mean, atol=0.4)
    assert requests[0].contrast
    prompts = [exact.encode(text) for text in (requests[0].prompt, requests[0].contrast.without)]
    ends = [exact.encode(answer)[:-1] for answer in answers]
    whole = [prompt + end for prompt in prompts for end in ends]
    assert read[0] == [len({text[:n] for text in whole for n in range(1, len(text) + 1)})]
    assert len(read[1]) == 1
    assert sum(read[1]) < len(prompts[0])  # the chat template's words are known
    assert read[2] == [2 * (1 + len(ends[0]))]  # the last token of both prompts, and the answer but for its own last


def test_a_question_answered_again_is_read_alike(cache: Path) -> None:
    model = load_model(f"llama.cpp:{DEFAULT_MODEL}", cache)
    prompts = [model.chat([{"role": "user", "content": query}]) for query in ("Who wrote Faust?", "Where is Pico?")]
    list(model.generate(prompts[0], max_tokens=1))
    read = []
    for _ in range(3):
        with counted(model) as tokens:
            list(model.generate(prompts[1], max_tokens=1))
        read.append(tokens[0])
        model.logprobs([Request(prompts[1], (" In the park.",))])
    assert len(set(read)) == 1
    assert read[0] < len(model.engine.encode(prompts[1]))  # type: ignore[attr-defined]


def test_what_is_kept_is_bounded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgt.lm.llamacpp.KEPT_TOKENS", 64)
    monkeypatch.setattr("kgt.lm.llamacpp.KEPT_PROMPTS", 3)
    model = load_model(f"llama.cpp:{DEFAULT_MODEL}", cache)
    expected = load_model(f"llama.cpp:{DEFAULT_MODEL}", cache)
    for i in range(12):
        request = Request(f"{i} {i + 1} {i + 2} The capital of number {i} is", (" Paris", " Lyon"))
        for ours, theirs in zip(model.logprobs([request])[0], expected.logprobs([request])[0], strict=True):
            np.testing.assert_allclose(ours.logprobs, theirs.logprobs, atol=0.4)
    assert isinstance(model, LlamaCppModel)
    kept = model._prefixes._states
    assert 0 < len(kept) <= 3
    assert sum(map(len, kept)) <= 64
    assert sorted([*kept.values(), *model._free]) == list(range(MOST_TEXTS, OPENING))  # none is lost


def test_a_model_whose_sequences_cannot_share_tokens_reads_each_prompt_once(
    cache: Path, llamacpp: LanguageModel
) -> None:
    model = load_model(f"llama.cpp:{DEFAULT_MODEL}", cache)
    model.engine.branches = model.engine.keeps = False  # type: ignore[attr-defined]
    request = asked(model, "Where is Pico, then?", " In the park", " At home", " Home")
    assert request.contrast
    for _ in range(2):
        with counted(model) as tokens:
            (scores,) = model.logprobs([request])
        prompts = [len(model.engine.encode(text)) for text in (request.prompt, request.contrast.without)]  # type: ignore
        assert tokens == [sum(prompts), 2 * (2 + 1)]  # and of each answer all but the last token
        for ours, theirs in zip(scores, llamacpp.logprobs([request])[0], strict=True):
            np.testing.assert_allclose(ours.mean, theirs.mean, atol=0.4)


def test_after_a_failure_it_goes_on(cache: Path, llamacpp: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(f"llama.cpp:{DEFAULT_MODEL}", cache)
    request = asked(model, "Where is Pico, then?", " In the park", " At home")
    expected = [scored.mean for scored in llamacpp.logprobs([request])[0]]

    def check() -> None:
        np.testing.assert_allclose([scored.mean for scored in model.logprobs([request])[0]], expected, atol=0.4)

    check()
    with monkeypatch.context() as patch:
        patch.setattr("llama_cpp.llama_decode", lambda *_: 1)
        with pytest.raises(ModelError, match="could not decode"):
            model.logprobs([asked(model, "Who has seen the cat?", " My sister")])
    check()
    with monkeypatch.context() as patch:
        patch.setattr("llama_cpp.llama_init_from_model", lambda *_: None)
        with pytest.raises(ModelError, match="no memory"):
            list(model.generate("Once", max_tokens=8000))
    check()


def test_the_cache_grows_for_a_long_text(llamacpp: LanguageModel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgt.lm.llama_engine.CELLS", 512)
    monkeypatch.setattr("kgt.lm.llamacpp.KEPT_TOKENS", 64)
    small = load_model(f"llama.cpp:{DEFAULT_MODEL}", cache)
    for words in (12, 520, 12):  # the first is known the third time, were it not for the second
        request = Request("One word" + " word" * words, (" word and more",))
        expected = llamacpp.logprobs([request])[0][0].logprobs
        np.testing.assert_allclose(small.logprobs([request])[0][0].logprobs, expected, atol=0.4)
    assert small.engine.contexts == 2  # type: ignore[attr-defined]


def test_a_gguf_file_is_run_by_llamacpp_unless_the_name_says_otherwise(
    bundled: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(load_model(str(bundled), cache)).__name__ == "LlamaCppModel"
    assert load_model(f"llama.cpp:{bundled}", cache).name == f"llama.cpp:{bundled}"
    assert isinstance(load_model(f"hf:{bundled}", cache), HFModel)
    monkeypatch.setattr("kgt.lm.catalog.installed", lambda package: package != "llama_cpp")
    assert isinstance(load_model(str(bundled), cache), DirectModel)
    with pytest.raises(NotFound, match=r"needs llama\.cpp") as caught:
        load_model(f"llama.cpp:{bundled}", cache)
    assert "pip install" in caught.value.hint


@pytest.mark.parametrize("size", [10, 1000, 1_000_000, 50_000_000])
def test_a_truncated_file_is_refused(bundled: Path, tmp_path: Path, size: int) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(bundled.read_bytes()[:size])
    with pytest.raises(ModelError, match="could not be read") as caught:
        load_model(str(damaged), tmp_path)
    assert "truncated" in caught.value.hint


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"PK\x03\x04 this is a zip")
    with pytest.raises(ModelError, match="no GGUF file"):
        load_model(str(other), tmp_path)
    with pytest.raises(ModelError, match="cannot run"):
        load_model(f"llama.cpp:{tmp_path}", tmp_path)


def test_the_chat_is_ready_without_torch(bundled: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from kgt import cli; sys.argv = ['kgt', 'chat', '--model', sys.argv[1]]\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)), 'llama_cpp' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundled)],
        input="/quit\n",
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "KGT_DB": str(tmp_path / "graph.db")},
    )
    assert done.stderr.splitlines()[-1] == "[] True", done.stderr


def test_nothing_but_the_answer_is_written(bundled: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kgt.cli", "ask", "What does my dog eat?", "--model", str(bundled)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "KGT_DB": str(tmp_path / "graph.db")},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
