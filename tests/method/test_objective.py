"""Equations 3 to 7 on a table of probabilities small enough to compute by hand."""

from __future__ import annotations

import math

import pytest

from kgt.method.objective import (
    Evidence,
    loss,
    posterior,
    reasoning_loss,
    retrieval_loss,
    retrieval_probabilities,
)
from kgt.triple import Triple

DIET = Triple("dog", "diet", "vegetarian")
EATS = Triple("dog", "eats", "vegetarian food")
MEAT = Triple("dog", "Desires", "meat")
#                       P(a|q,z)  P(r|T)
TABLE = {
    DIET: Evidence(0.8, 0.3),
    EATS: Evidence(0.5, 0.1),
    MEAT: Evidence(0.1, 0.6),
}
H = [DIET, EATS]


def test_eq_3_the_posterior_is_uniform_on_h() -> None:
    assert posterior(H) == {DIET: 0.5, EATS: 0.5}


def test_eq_5_retrieval_normalises_relation_probabilities_over_the_entitys_triples() -> None:
    # 0.3, 0.1, 0.6 sum to 1.0 already
    assert retrieval_probabilities({z: TABLE[z].relevance for z in TABLE}) == pytest.approx(
        {DIET: 0.3, EATS: 0.1, MEAT: 0.6}
    )


def test_eq_5_a_single_fact_is_always_retrieved_unless_none_competes() -> None:
    assert retrieval_probabilities({MEAT: 0.01}) == {MEAT: 1.0}
    assert retrieval_probabilities({MEAT: 0.5}, none=1.5) == {MEAT: 0.25}  # 0.5 / (0.5 + 1.5)


def test_eq_5_of_no_triples_and_of_impossible_relations() -> None:
    assert retrieval_probabilities({}) == {}
    assert retrieval_probabilities({MEAT: 0.0}) == {MEAT: 0.0}


def test_eq_4_retrieval_loss() -> None:
    # −½ (ln 0.3 + ln 0.1) = −½ ln 0.03 = 1.75327…
    assert retrieval_loss(H, {DIET: 0.3, EATS: 0.1}) == pytest.approx(1.7532789, abs=1e-6)


def test_eq_4_is_infinite_while_a_triple_of_h_is_not_in_the_graph() -> None:
    assert retrieval_loss(H, {DIET: 1.0}) == math.inf


def test_eq_6_reasoning_loss() -> None:
    # −½ (ln 0.8 + ln 0.5) = −½ ln 0.4 = 0.458145…
    assert reasoning_loss(H, {DIET: 0.8, EATS: 0.5}) == pytest.approx(0.4581454, abs=1e-6)


def test_eq_7_is_the_sum_of_both() -> None:
    # graph {diet, eats, meat}: 1.7532789 + 0.4581454
    assert loss(H, list(TABLE), TABLE) == pytest.approx(2.2114243, abs=1e-6)


def test_the_loss_is_taken_over_what_of_h_is_in_the_graph() -> None:
    # graph {diet, meat}: P(diet|q) = 0.3/0.9 = 1/3, so L = −ln(0.8/3) = 1.321756
    assert loss(H, [DIET, MEAT], TABLE) == pytest.approx(1.3217558, abs=1e-6)
    assert loss(H, [DIET, MEAT], TABLE, literal=True) == math.inf


def test_none_takes_its_share_of_the_retrieval() -> None:
    # graph {diet}: P = 0.3 / (0.3 + 0.1) = 0.75, so L = −ln(0.8 · 0.75) = −ln 0.6
    assert loss(H, [DIET], TABLE, none=0.1) == pytest.approx(-math.log(0.6))


def test_the_loss_is_infinite_while_nothing_of_h_is_in() -> None:
    assert loss(H, [MEAT], TABLE) == math.inf
