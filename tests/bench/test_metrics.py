"""Every metric on a case worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kgt.bench.metrics import (
    Heard,
    bootstrapped,
    harmonic_mean,
    magnitude,
    mean,
    ngram_entropy,
    of_case,
    prefers_new,
    prefers_true,
    reference_score,
)
from kgt.bench.summary import summarise

WON = Heard(new=math.log(0.5), true=math.log(0.25), says_new=True)
LOST = Heard(new=math.log(0.1), true=math.log(0.4), says_true=True, unchanged=True)
TIE = Heard(new=-1.0, true=-1.0)


def test_success_is_a_strict_comparison() -> None:
    assert (prefers_new(WON), prefers_new(LOST), prefers_new(TIE)) == (True, False, False)
    assert (prefers_true(WON), prefers_true(LOST), prefers_true(TIE)) == (False, True, False)


def test_magnitude_is_the_difference_of_probabilities() -> None:
    assert magnitude(WON) == pytest.approx(0.25)
    assert magnitude(LOST) == pytest.approx(-0.3)


def test_a_cases_metrics() -> None:
    other = Heard(new=math.log(0.3), true=math.log(0.2), unchanged=False)
    found = of_case(WON, [WON, LOST], [LOST, other], [LOST, other])
    assert found["ES"] == 1
    assert found["EM"] == pytest.approx(0.25)
    assert found["PS"] == 0.5
    assert found["PM"] == pytest.approx((0.25 - 0.3) / 2)
    assert found["NS"] == 0.5
    assert found["NM"] == pytest.approx((0.3 - 0.1) / 2)
    assert found["exact"] == found["success"] == found["ERR"] == 1
    assert found["exact_paraphrase"] == found["equivalence"] == 0.5
    assert found["TRR"] == 0.5  # one of the neighbours is answered with the truth, word for word
    assert found["retain"] == found["other_entity_locality"] == 0.5
    assert found["same_subject_locality"] == 0.5


def test_what_was_not_asked_has_no_metric() -> None:
    assert set(of_case(WON, [], [], [])) == {"ES", "EM", "exact", "success", "ERR"}
    unknown = Heard(new=-1.0, unchanged=None)
    assert "same_subject_locality" not in of_case(WON, [], [], [unknown])


def test_an_expected_answer_counts_as_kept() -> None:
    right = Heard(new=-5.0, true=-1.0, unchanged=False)
    leaked = Heard(new=-1.0, true=-5.0, unchanged=False)
    assert of_case(WON, [], [], [right, leaked])["same_subject_locality"] == 0.5


def test_s_is_the_harmonic_mean() -> None:
    assert harmonic_mean([1.0, 0.5, 0.25]) == pytest.approx(3 / 7)
    assert harmonic_mean([1.0, 0.0, 1.0]) == 0


def test_entropy_of_a_text_counts_its_bigrams_and_trigrams() -> None:
    # a b a b: bigrams ab, ba, ab: H2 = −(2/3 log 2/3 + 1/3 log 1/3) = 0.918; trigrams aba, bab: H3 = 1
    h2 = -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))
    assert ngram_entropy("a b a b") == pytest.approx((2 / 3 * h2 + 4 / 3 * 1.0) / 2)
    assert ngram_entropy("a a a a a") == 0
    assert ngram_entropy("word") == 0


def test_reference_score_is_the_cosine_of_tf_idf() -> None:
    vocabulary, idf = {"cat": 0, "dog": 1}, np.array([1.0, 2.0])
    # generated: cat ×1, dog ×1 → (1, 2)/√5; reference: dog → (0, 1): cosine 2/√5
    assert reference_score(["The cat", "a dog."], ["Dog!"], vocabulary, idf) == pytest.approx(2 / math.sqrt(5))
    assert reference_score(["bird"], ["dog"], vocabulary, idf) == 0


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Wilson for 8 of 10: (0.4902, 0.9433)
    found = mean([1.0] * 8 + [0.0] * 2)
    assert (found.value, found.n) == (0.8, 10)
    assert (found.low, found.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert mean([1.0] * 300).low < 1


def test_the_interval_of_other_means_is_normal() -> None:
    found = mean([0.0, 0.5, 1.0, 0.5])
    half = 1.959964 * np.std([0.0, 0.5, 1.0, 0.5], ddof=1) / 2
    assert (found.low, found.high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))


def test_the_bootstrap_holds_the_statistic_and_repeats_itself() -> None:
    values = list(range(100))
    found = bootstrapped(values, lambda v: float(np.percentile(v, 50)))
    assert found == bootstrapped(values, lambda v: float(np.percentile(v, 50)))
    assert found.low < found.value == 49.5 < found.high


def test_a_summary_in_percent_with_latencies_and_collateral() -> None:
    metrics = {"ES": 1.0, "PS": 0.5, "NS": 1.0}
    cases = [{"case_id": str(i), "metrics": metrics} for i in range(4)]
    edits = [{"case_id": str(i), "ms": 100.0 * (i + 1), "collateral": i % 2} for i in range(4)]
    found = summarise(cases, edits, {"rss_over_inference_mb": 12.0})
    assert (found["ES"]["value"], found["PS"]["value"], found["ES"]["n"]) == (100, 50, 4)
    assert found["S"]["value"] == pytest.approx(75)  # 3 / (1 + 2 + 1)
    assert found["edit_ms_p50"]["value"] == 250
    assert found["collateral_per_edit"]["value"] == 0.5
    assert found["rss_over_inference_mb"]["value"] == 12


def test_outdated_cases_count_for_updates_only() -> None:
    old = {"case_id": "1", "superseded": True, "old_query_prefers_update": True, "metrics": {"ES": 0.0}}
    new = {"case_id": "2", "updates": "1", "metrics": {"ES": 1.0}}
    found = summarise([old, new], [], {})
    assert (found["ES"]["value"], found["ES"]["n"]) == (100, 1)
    assert found["updates_replaced"]["value"] == 100
    found = summarise([old | {"old_query_prefers_update": False}, new], [], {})
    assert found["updates_replaced"]["value"] == 0
