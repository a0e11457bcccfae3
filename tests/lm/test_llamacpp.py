"""The llama.cpp backend: near the exact probabilities, ready at once, and loud about files it cannot run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kgt.errors import ModelError, NotFound
from kgt.lm import Contrast, LanguageModel, Request, load_model
from kgt.lm.direct import DirectModel
from kgt.lm.hf import HFModel

pytest.importorskip("llama_cpp", reason="the extra llama-cpp is not installed")

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


def test_the_cache_grows_for_a_long_text(llamacpp: LanguageModel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgt.lm.llama_engine.CELLS", 512)
    small = load_model("llama.cpp:smollm2-135m", cache)
    for words in (3, 520):
        request = Request("One word" + " word" * words, (" word and more",))
        expected = llamacpp.logprobs([request])[0][0].logprobs
        np.testing.assert_allclose(small.logprobs([request])[0][0].logprobs, expected, atol=0.4)


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
