"""What every backend promises: scores that mean what generation does, streaming, seeds, and loud refusals."""

from __future__ import annotations

import numpy as np
import pytest

from kgt.errors import BadInput
from kgt.lm import Contrast, LanguageModel, Prompt, Request

SHORT = "The capital of France is"
LONG = "Some people live in big cities, others in villages by the sea. The capital of Italy is"


def total(model: LanguageModel, request: Request) -> list[float]:
    return [float(scored.logprobs.sum()) for scored in model.logprobs([request])[0]]


def test_greedy_means_what_generation_does(backend: LanguageModel) -> None:
    contrast = Contrast("Complete the sentence. It is", alpha=1.0, plausibility=0.01)
    for used in (None, contrast):
        text = "".join(backend.generate(LONG, max_tokens=3, contrast=used))
        right, wrong = backend.logprobs([Request(LONG, (text, " Berlin"), used)])[0]
        assert right.greedy
        assert not wrong.greedy


def test_scores_do_not_depend_on_their_neighbours(backend: LanguageModel, noise: float) -> None:
    alone = backend.logprobs([Request(SHORT, (" Paris",))])[0][0]
    among = backend.logprobs([Request(LONG, (" a very long continuation indeed",)), Request(SHORT, (" Paris",))])[1][0]
    assert among.mean == pytest.approx(alone.mean, abs=noise)


def test_every_continuation_gets_its_own_score_in_order(backend: LanguageModel, noise: float) -> None:
    contrast = Contrast("The capital is", alpha=1.5, weight=0.4)
    requests = [
        Request(SHORT, (" Paris", " a city in the north", " Lyon")),
        Request(LONG, (" Rome", " not Paris"), contrast),
        Request(SHORT, ()),
        Request(LONG, (" Rome",)),
    ]
    together = backend.logprobs(requests)
    assert [len(scores) for scores in together] == [3, 2, 0, 1]
    for request, scores in zip(requests, together, strict=True):
        for continuation, scored in zip(request.continuations, scores, strict=True):
            alone = backend.logprobs([Request(request.prompt, (continuation,), request.contrast)])[0][0]
            assert scored.logprobs.dtype == np.float32
            np.testing.assert_allclose(scored.logprobs, alone.logprobs, atol=noise)


def test_more_continuations_than_fit_one_batch_are_scored_all(backend: LanguageModel, noise: float) -> None:
    numbers = tuple(f" {n} is the number" for n in range(100, 200))
    scored = backend.logprobs([Request("Pick one:", numbers)])[0]
    assert len(scored) == len(numbers)
    alone = backend.logprobs([Request("Pick one:", numbers[-1:])])[0][0]
    np.testing.assert_allclose(scored[-1].logprobs, alone.logprobs, atol=noise)


def test_chat_uses_the_models_own_format_and_the_prefill(backend: LanguageModel) -> None:
    prompt = backend.chat([{"role": "user", "content": "Hi"}], prefill="I am")
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nI am")


def test_greedy_text_is_the_same_every_time_and_streams(backend: LanguageModel) -> None:
    prompt = backend.chat([{"role": "user", "content": "Where is Paris?"}], prefill="Paris is the capital of")
    pieces = list(backend.generate(prompt, max_tokens=12))
    assert len(pieces) > 1
    assert "".join(pieces) == "".join(backend.generate(prompt, max_tokens=12))
    assert "France" in "".join(pieces)


def test_sampling_repeats_with_its_seed(backend: LanguageModel) -> None:
    texts = ["".join(backend.generate(SHORT, max_tokens=12, temperature=1.5, seed=seed)) for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_a_temperature_of_hardly_anything_is_greedy(backend: LanguageModel) -> None:
    greedy = "".join(backend.generate("The capital of France is", max_tokens=5))
    for temperature in (5e-324, 1e-30, 1e-6):
        assert "".join(backend.generate("The capital of France is", max_tokens=5, temperature=temperature)) == greedy


def test_a_stop_string_is_never_shown_not_even_its_beginning(backend: LanguageModel) -> None:
    whole = "".join(backend.generate("1, 2, 3, 4,", max_tokens=12))
    stop = whole[5:8]
    pieces = list(backend.generate("1, 2, 3, 4,", max_tokens=12, stop=[stop]))
    assert "".join(pieces) == whole[: whole.index(stop)]


def test_an_emoji_is_never_cut_in_two(backend: LanguageModel) -> None:
    pieces = list(backend.generate("Repeat: 🐶🦴🐶🦴🐶🦴🐶🦴🐶", max_tokens=16))
    assert "\ufffd" not in "".join(pieces[:-1])


def test_generation_stops_at_max_tokens(backend: LanguageModel) -> None:
    assert len(list(backend.generate(SHORT, max_tokens=1))) <= 1


def test_a_prompt_longer_than_the_context_is_refused(backend: LanguageModel) -> None:
    with pytest.raises(BadInput, match="tokens") as caught:
        list(backend.generate("word " * 9000, max_tokens=1))
    assert caught.value.hint
    with pytest.raises(BadInput, match="tokens"):
        backend.logprobs([Request("word " * 9000, (" x",))])


def test_an_empty_continuation_is_refused(backend: LanguageModel) -> None:
    with pytest.raises(BadInput, match="empty"):
        backend.logprobs([Request(SHORT, ("",))])


def test_a_mixture_is_eq_1_over_whole_continuations(backend: LanguageModel, noise: float) -> None:
    """P = w·P(with facts) + (1 − w)·P(without), each over all tokens of the continuation."""
    without, weight = "The capital is", 0.3
    continuations = (" Paris", " a city in the north")
    mixed = total(backend, Request(SHORT, continuations, Contrast(without, 1.5, 0.0, weight)))
    facts = total(backend, Request(SHORT, continuations, Contrast(without, 1.5)))
    plain = total(backend, Request(without, continuations))
    expected = np.logaddexp(np.log(weight) + facts, np.log(1 - weight) + plain)
    np.testing.assert_allclose(mixed, expected, atol=10 * noise)


def test_a_mixture_generates_what_it_scores_as_greedy(backend: LanguageModel) -> None:
    for weight in (0.05, 0.5, 0.95):
        contrast = Contrast("Complete the sentence. It is", 1.0, 0.01, weight)
        text = "".join(backend.generate(LONG, max_tokens=3, contrast=contrast))
        (scored,) = backend.logprobs([Request(LONG, (text,), contrast)])[0]
        assert scored.greedy
        assert scored.behind == 0


def test_with_hardly_any_weight_the_plain_answer_stays(backend: LanguageModel) -> None:
    plain = "".join(backend.generate(LONG, max_tokens=3))
    contrast = Contrast(LONG, 1.0, 0.01, 0.001)
    assert "".join(backend.generate("Rome has moved. " + SHORT, max_tokens=3, contrast=contrast)) == plain


def test_many_prompts_go_on_as_each_alone(backend: LanguageModel) -> None:
    contrast = Contrast("Complete the sentence. It is", 1.0, 0.01, 0.6)
    prompts = [Prompt(SHORT), Prompt(LONG, contrast), Prompt(LONG)]
    alone = ["".join(backend.generate(p.text, max_tokens=5, contrast=p.contrast)) for p in prompts]
    assert backend.generate_many(prompts, max_tokens=5) == alone
    drawn = backend.generate_many(prompts, max_tokens=5, top_k=5, seed=3)
    assert drawn == backend.generate_many(prompts, max_tokens=5, top_k=5, seed=3)
    assert backend.generate_many([], max_tokens=5) == []


def test_behind_says_how_far_a_continuation_is_from_greedy(backend: LanguageModel) -> None:
    best = "".join(backend.generate(SHORT, max_tokens=1))
    greedy, other = backend.logprobs([Request(SHORT, (best, " Lyon"))])[0]
    assert (greedy.behind, greedy.greedy, other.greedy) == (0, True, False)
    assert other.behind == pytest.approx(float(greedy.logprobs[0] - other.logprobs[0]), abs=1e-4)
