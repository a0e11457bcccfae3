"""The transformers backend: equal to the oracle, and loud about names that load nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from kgt.errors import BadInput, ModelError, NotFound
from kgt.lm import DEFAULT_MODEL, Contrast, Request, load_model
from kgt.lm.hf import HFModel

from ..reference import continuation_logprobs

SHORT = "The capital of France is"
LONG = "Some people live in big cities, others in villages by the sea. The capital of Italy is"


def oracle(model: HFModel, prompt: str, continuation: str, contrast: Contrast | None = None) -> list[float]:
    without, alpha = (contrast.without, contrast.alpha) if contrast else (None, 0.0)
    return continuation_logprobs(model.module, model.tokenizer, prompt, continuation, without, alpha)


def test_a_mixed_batch_equals_one_prompt_at_a_time(exact: HFModel) -> None:
    contrast = Contrast("The capital is", alpha=1.5)
    requests = [
        Request(SHORT, (" Paris", " a city in the north", " Lyon")),
        Request(LONG, (" Rome", " not Paris")),
        Request(SHORT, (" Marseille, I think",), contrast),
    ]
    scored = exact.logprobs(requests)
    for request, scores in zip(requests, scored, strict=True):
        for continuation, score in zip(request.continuations, scores, strict=True):
            expected = oracle(exact, request.prompt, continuation, request.contrast)
            np.testing.assert_allclose(score.logprobs, expected, atol=1e-3)
            assert score.logprobs.dtype == np.float32


def test_bfloat16_stays_near_the_exact_probabilities(exact: HFModel, model: HFModel) -> None:
    request = Request(SHORT, (" Paris", " London", " a city"))
    for fast, slow in zip(model.logprobs([request])[0], exact.logprobs([request])[0], strict=True):
        assert fast.mean == pytest.approx(slow.mean, abs=0.3)


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GPT-2 with a byte-level tokenizer and no chat template."""
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["the capital of the land is the city"], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=300, n_positions=64, n_embd=32, n_layer=2, n_head=2, eos_token_id=0, bos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_folder_without_chat_template_works_through_plain_text(tiny_gpt2: Path, cache: Path) -> None:
    model = load_model(str(tiny_gpt2), cache, dtype="float32")
    prompt = model.chat([{"role": "user", "content": "Hi"}], prefill="So")
    assert prompt == "User: Hi\nAssistant: So"
    score = model.logprobs([Request(prompt, (" the city",))])[0][0]
    assert isinstance(model, HFModel)
    np.testing.assert_allclose(score.logprobs, oracle(model, prompt, " the city"), atol=1e-4)
    assert isinstance("".join(model.generate(prompt, max_tokens=3)), str)


def test_names_that_load_nothing_say_what_to_do(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "notes.txt").write_text("no model")
    cases = [
        ("gpt2-of-nowhere", ModelError, "hub cannot be reached"),
        ("not a name!", ModelError, "cannot be a model's name"),
        (str(tmp_path / "missing.gguf"), NotFound, "no model file"),
        (str(tmp_path / "notes.txt"), ModelError, "not a .gguf file"),
        (str(tmp_path), ModelError, "could not be loaded"),
    ]
    for name, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            load_model(name, cache)
        assert caught.value.hint


def test_a_mixture_is_eq_1_over_whole_continuations(exact: HFModel) -> None:
    """P = w·P(with facts) + (1 − w)·P(without), each over all tokens of the continuation."""
    without, weight = "The capital is", 0.3
    for continuation in (" Paris", " a city in the north"):
        mixed = exact.logprobs([Request(SHORT, (continuation,), Contrast(without, 1.5, 0.0, weight))])[0][0]
        facts = sum(oracle(exact, SHORT, continuation, Contrast(without, alpha=1.5)))
        plain = sum(oracle(exact, without, continuation))
        expected = np.logaddexp(np.log(weight) + facts, np.log(1 - weight) + plain)
        assert mixed.logprobs.sum() == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize(
    ("name", "value"), [("dtype", "nonsense"), ("dtype", "int8"), ("device", "warp"), ("device", "cuda:99")]
)
def test_a_device_or_type_that_is_none_is_refused(name: str, value: str, cache: Path) -> None:
    for model in (DEFAULT_MODEL, f"hf:{DEFAULT_MODEL}"):
        with pytest.raises(BadInput, match=value) as caught:
            load_model(model, cache, **{name: value})
        assert f"KGT_{name.upper()}" in caught.value.hint
