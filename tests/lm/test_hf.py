"""The transformers backend: equal to the oracle, streaming, seeded, and loud about bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from kgt.errors import BadInput, ModelError, NotFound
from kgt.lm import Contrast, LanguageModel, Prompt, Request, load_model
from kgt.lm.hf import HFModel

from ..reference import continuation_logprobs

SHORT = "The capital of France is"
LONG = "Some people live in big cities, others in villages by the sea. The capital of Italy is"


@pytest.fixture(scope="session")
def exact(cache: Path) -> LanguageModel:
    """The bundled model in float32, where rounding hides nothing."""
    return load_model("smollm2-135m", cache, device="cpu", dtype="float32")


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


def test_greedy_means_what_generation_does(exact: LanguageModel) -> None:
    contrast = Contrast("Complete the sentence. It is", alpha=1.0, plausibility=0.01)
    for used in (None, contrast):
        text = "".join(exact.generate(LONG, max_tokens=3, contrast=used))
        right, wrong = exact.logprobs([Request(LONG, (text, " Berlin"), used)])[0]
        assert right.greedy
        assert not wrong.greedy


def test_scores_do_not_depend_on_their_neighbours(exact: LanguageModel) -> None:
    alone = exact.logprobs([Request(SHORT, (" Paris",))])[0][0]
    among = exact.logprobs([Request(LONG, (" a very long continuation indeed",)), Request(SHORT, (" Paris",))])[1][0]
    assert among.mean == pytest.approx(alone.mean, abs=1e-4)


def test_chat_uses_the_models_own_format_and_the_prefill(model: LanguageModel) -> None:
    prompt = model.chat([{"role": "user", "content": "Hi"}], prefill="I am")
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nI am")


def test_greedy_text_is_the_same_every_time_and_streams(model: LanguageModel) -> None:
    prompt = model.chat([{"role": "user", "content": "What is the capital of France?"}])
    pieces = list(model.generate(prompt, max_tokens=12))
    assert len(pieces) > 1
    assert "".join(pieces) == "".join(model.generate(prompt, max_tokens=12))
    assert "Paris" in "".join(pieces)


def test_sampling_repeats_with_its_seed(model: LanguageModel) -> None:
    texts = ["".join(model.generate(SHORT, max_tokens=12, temperature=1.5, seed=seed)) for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_a_stop_string_is_never_shown_not_even_its_beginning(model: LanguageModel) -> None:
    whole = "".join(model.generate("1, 2, 3, 4,", max_tokens=12))
    stop = whole[5:8]
    pieces = list(model.generate("1, 2, 3, 4,", max_tokens=12, stop=[stop]))
    assert "".join(pieces) == whole[: whole.index(stop)]


def test_an_emoji_is_never_cut_in_two(model: LanguageModel) -> None:
    pieces = list(model.generate("Repeat: 🐶🦴🐶🦴🐶🦴🐶🦴🐶", max_tokens=16))
    assert "\ufffd" not in "".join(pieces[:-1])


def test_generation_stops_at_max_tokens(model: LanguageModel) -> None:
    assert len(list(model.generate(SHORT, max_tokens=1))) <= 1


def test_a_prompt_longer_than_the_context_is_refused(model: LanguageModel) -> None:
    with pytest.raises(BadInput, match="tokens"):
        list(model.generate("word " * 9000, max_tokens=1))
    with pytest.raises(BadInput, match="tokens"):
        model.logprobs([Request("word " * 9000, (" x",))])


def test_an_empty_continuation_is_refused(model: LanguageModel) -> None:
    with pytest.raises(BadInput, match="empty"):
        model.logprobs([Request(SHORT, ("",))])


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


def test_a_mixture_generates_what_it_scores_as_greedy(exact: HFModel) -> None:
    for weight in (0.05, 0.5, 0.95):
        contrast = Contrast("Complete the sentence. It is", 1.0, 0.01, weight)
        text = "".join(exact.generate(LONG, max_tokens=3, contrast=contrast))
        (scored,) = exact.logprobs([Request(LONG, (text,), contrast)])[0]
        assert scored.greedy
        assert scored.behind == 0


def test_with_hardly_any_weight_the_plain_answer_stays(exact: HFModel) -> None:
    plain = "".join(exact.generate(LONG, max_tokens=3))
    contrast = Contrast(LONG, 1.0, 0.01, 0.001)
    assert "".join(exact.generate("Rome has moved. " + SHORT, max_tokens=3, contrast=contrast)) == plain


def test_many_prompts_go_on_as_each_alone(exact: HFModel) -> None:
    contrast = Contrast("Complete the sentence. It is", 1.0, 0.01, 0.6)
    prompts = [Prompt(SHORT), Prompt(LONG, contrast), Prompt(LONG)]
    alone = ["".join(exact.generate(p.text, max_tokens=5, contrast=p.contrast)) for p in prompts]
    assert exact.generate_many(prompts, max_tokens=5) == alone
    drawn = exact.generate_many(prompts, max_tokens=5, top_k=5, seed=3)
    assert drawn == exact.generate_many(prompts, max_tokens=5, top_k=5, seed=3)
    assert exact.generate_many([], max_tokens=5) == []


def test_behind_says_how_far_a_continuation_is_from_greedy(exact: HFModel) -> None:
    best = "".join(exact.generate(SHORT, max_tokens=1))
    greedy, other = exact.logprobs([Request(SHORT, (best, " Lyon"))])[0]
    assert (greedy.behind, greedy.greedy, other.greedy) == (0, True, False)
    assert other.behind == pytest.approx(float(greedy.logprobs[0] - other.logprobs[0]), abs=1e-4)
