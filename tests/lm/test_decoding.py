"""The arithmetic on distributions in numpy equals the one in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kgt.lm import Contrast, torch_decoding
from kgt.lm.decoding import Decoder, decode_contrast, draw, log_odds, log_softmax, mix, score, streamed

RNG = np.random.default_rng(0)
LOGP, WITHOUT = (log_softmax(RNG.normal(scale=4, size=(5, 97)).astype(np.float32)) for _ in range(2))
TOKENS = (3, 14, 15, 92, 65)


def test_log_softmax_is_torchs() -> None:
    logits = RNG.normal(scale=30, size=(5, 97)).astype(np.float32)
    logits[1, 4] = -np.inf
    np.testing.assert_allclose(log_softmax(logits), torch.tensor(logits).log_softmax(-1), atol=1e-4)


@pytest.mark.parametrize("plausibility", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_contrast_is_torchs(alpha: float, plausibility: float) -> None:
    contrast = Contrast("", alpha, plausibility)
    expected = torch_decoding.decode_contrast(torch.tensor(LOGP), torch.tensor(WITHOUT), contrast)
    np.testing.assert_allclose(decode_contrast(LOGP, WITHOUT, contrast), expected, atol=1e-4)


def test_mixture_is_torchs() -> None:
    odds = np.array([-50.0, -1.0, 0.0, 3.0, np.inf])
    expected = torch_decoding.mix(torch.tensor(LOGP), torch.tensor(WITHOUT), torch.tensor(odds))
    np.testing.assert_allclose(mix(LOGP, WITHOUT, odds), expected, atol=1e-4)


def test_the_odds_follow_what_was_said_whether_scored_or_decoded() -> None:
    contrast = Contrast("", 1.0, 0.01, 0.3)
    decoder, chosen = Decoder(contrast._replace(plausibility=0.0)), []
    for i, token in enumerate(TOKENS):
        chosen.append(decoder.distribution(LOGP[i], WITHOUT[i])[token])
        decoder.said(token, LOGP[i], WITHOUT[i])
    np.testing.assert_allclose(score(TOKENS, LOGP, WITHOUT, contrast).logprobs, chosen, atol=1e-4)


def test_greedy_and_behind_look_at_every_token() -> None:
    best = tuple(int(t) for t in LOGP.argmax(1))
    assert score(best, LOGP)[1:] == (True, 0.0)
    other = (*best[:2], (best[2] + 1) % 97, *best[3:])
    scored = score(other, LOGP)
    assert not scored.greedy
    assert scored.behind == pytest.approx(float(LOGP[2, best[2]] - LOGP[2, other[2]]))


def test_draws_follow_the_distribution_and_stay_among_the_likeliest() -> None:
    logp = log_softmax(np.log(np.array([0.5, 0.3, 0.1, 0.1], np.float32)))
    rng = np.random.default_rng(1)
    drawn = np.bincount([draw(logp, rng) for _ in range(2000)], minlength=4) / 2000
    np.testing.assert_allclose(drawn, [0.5, 0.3, 0.1, 0.1], atol=0.04)
    assert {draw(logp, rng, top_k=2) for _ in range(100)} == {0, 1}
    assert {draw(logp, rng, temperature=0) for _ in range(5)} == {0}


def test_certainty_has_infinite_odds() -> None:
    assert log_odds(1.0) == np.inf
    assert log_odds(0.5) == 0


def test_a_stream_holds_back_what_may_become_a_stop_string() -> None:
    texts = ["One", "One.", "One. ", "One. T"]
    assert list(streamed(texts, [". "])) == ["One"]
    assert list(streamed(["a\ufffd", "aé"], [])) == ["a", "é"]
    assert list(streamed(["One", "One."], [". "])) == ["One", "."]
