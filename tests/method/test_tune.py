"""Every branch of Algorithm 1, on probabilities given by hand, and against the oracle."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgt.method.conflict import contradicts
from kgt.method.objective import Evidence
from kgt.method.tune import Plan, TuneSettings, tune
from kgt.triple import Triple

from ..reference import algorithm_1

DIET = Triple("dog", "diet", "vegetarian")
EATS = Triple("dog", "fed with", "vegetarian")
MEAT = Triple("dog", "Desires", "meat")
BARK = Triple("dog", "CapableOf", "bark")
OLD_DIET = Triple("dog", "diet", "meat")


def plan(h, graph, table, **more) -> Plan:  # type: ignore[no-untyped-def]
    settings = more.pop("settings", TuneSettings(epsilon=0.7))
    return tune(h, graph, {z: Evidence(*pair) for z, pair in table.items()}, settings=settings, **more)


def test_what_is_good_enough_already_stays_untouched() -> None:
    # L = −ln(0.9 · 9/10) = 0.21 ≤ 0.7
    done = plan([DIET], [DIET], {DIET: (0.9, 9.0)})
    assert (done.added, done.removed, done.stop_reason) == ((), (), "loss")
    assert done.loss_before == done.loss_after == pytest.approx(-math.log(0.81))


def test_the_likeliest_triple_goes_in_first_and_stops_it() -> None:
    # after diet: L = −ln(0.9 · 9/10) = 0.21 ≤ 0.7; eats is never added
    done = plan([EATS, DIET], [], {DIET: (0.9, 9.0), EATS: (0.5, 9.0)})
    assert (done.added, done.stop_reason) == ((DIET,), "loss")
    assert (done.loss_before, done.loss_after) == (math.inf, pytest.approx(-math.log(0.81)))


def test_what_the_user_stated_goes_in_before_a_likelier_guess() -> None:
    assert plan([EATS, DIET], [], {DIET: (0.99, 9.0), EATS: (0.9, 9.0)}, stated=[EATS]).added == (EATS,)


def test_a_rival_is_removed_after_the_addition_was_not_enough() -> None:
    # with meat:    P(diet|q) = 9/(9+9+1) = 0.474, L = −ln(0.9 · 0.474) = 0.852 > 0.7
    # without meat: P(diet|q) = 9/10,              L = −ln 0.81 = 0.211 ≤ 0.7
    done = plan([DIET], [MEAT], {DIET: (0.9, 9.0), MEAT: (0.1, 9.0)})
    assert (done.added, done.removed, done.stop_reason) == ((DIET,), (MEAT,), "loss")


def test_a_fact_the_query_does_not_ask_for_is_no_rival() -> None:
    # bark has relevance 0.5 < 1, the weight of none
    done = plan([DIET], [BARK], {DIET: (0.4, 9.0), BARK: (0.0, 0.5)})
    assert (done.removed, done.stop_reason) == ((), "exhausted")


def test_an_old_fact_that_makes_the_answer_likelier_is_no_rival() -> None:
    done = plan([DIET], [MEAT], {DIET: (0.5, 9.0), MEAT: (0.6, 9.0)})
    assert done.removed == ()


def test_nothing_but_contradictions_goes_where_the_user_only_adds() -> None:
    assert plan([DIET], [MEAT], {DIET: (0.9, 9.0), MEAT: (0.1, 9.0)}, removes=False).removed == ()


def test_a_contradicted_fact_goes_in_the_same_step_even_if_the_loss_is_met() -> None:
    # 1.1 is above none, but the loss is met at once: −ln(0.9 · 9/10) after the replacement
    done = plan([DIET], [OLD_DIET], {DIET: (0.9, 9.0), OLD_DIET: (0.1, 0.2)})
    assert (done.added, done.removed, done.stop_reason) == ((DIET,), (OLD_DIET,), "loss")


def test_saying_again_what_stands_beside_its_contradiction_removes_that() -> None:
    done = plan([DIET], [DIET, OLD_DIET], {DIET: (0.9, 9.0), OLD_DIET: (0.1, 0.2)})
    assert (done.added, done.removed, done.stop_reason) == ((), (OLD_DIET,), "loss")


def test_a_relation_that_holds_of_many_things_replaces_nothing() -> None:
    tea, coffee = Triple("I", "like", "tea"), Triple("I", "like", "coffee")
    assert plan([coffee], [tea], {coffee: (0.9, 9.0), tea: (0.1, 9.0)}).removed == ()


def test_steps_that_did_not_help_are_taken_back_when_h_runs_out() -> None:
    # diet alone: L = −ln(0.4 · 9/10) = 1.022; with eats both P(z|q) halve and L rises: only diet stays
    done = plan([DIET, EATS], [], {DIET: (0.4, 9.0), EATS: (0.3, 9.0)})
    assert (done.added, done.stop_reason) == ((DIET,), "exhausted")
    assert done.loss_after == pytest.approx(-math.log(0.36))


def test_a_removal_that_helped_stays_when_a_later_step_did_not() -> None:
    # diet: −ln(.6·9/19)=1.26; −meat: −ln(.6·.9)=0.62 ≤ 0.7 → stops there
    done = plan([DIET, EATS], [MEAT], {DIET: (0.6, 9.0), EATS: (0.3, 9.0), MEAT: (0.1, 9.0)})
    assert (done.added, done.removed, done.stop_reason) == ((DIET,), (MEAT,), "loss")


def test_the_other_stop_rule_asks_whether_the_model_generates_the_answer() -> None:
    asked: list[list[Triple]] = []

    def generates(graph) -> bool:  # type: ignore[no-untyped-def]
        asked.append(list(graph))
        return EATS in graph

    table = {DIET: (0.9, 9.0), EATS: (0.8, 9.0)}
    done = plan([DIET, EATS], [], table, settings=TuneSettings(stop="generates"), generates=generates)
    assert (done.added, done.stop_reason) == ((DIET, EATS), "generates")
    assert asked == [[DIET], [DIET, EATS]]


def test_either_rule_may_stop_it() -> None:
    settings = TuneSettings(stop="either")
    by_loss = plan([DIET], [], {DIET: (0.9, 9.0)}, settings=settings, generates=lambda g: False)
    by_text = plan([DIET], [], {DIET: (0.1, 9.0)}, settings=settings, generates=lambda g: True)
    assert (by_loss.stop_reason, by_text.stop_reason) == ("loss", "generates")


def test_read_literally_all_of_h_must_be_in_and_any_old_triple_may_go() -> None:
    # P(z|q) without none: 0.9 · ½ and 0.8 · ½: L = −½ ln(0.45 · 0.40) = 0.857
    table = {DIET: (0.9, 1.0), EATS: (0.8, 1.0), BARK: (0.0, 0.001), OLD_DIET: (0.1, 1.0)}
    settings = TuneSettings(literal=True, epsilon=0.9)
    done = plan([DIET, EATS], [BARK, OLD_DIET], table, settings=settings)
    # + diet, − bark, + eats: L = −½ ln(0.9/3 · 0.8/3) = 1.263 > 0.9, − old diet: 0.857 ≤ 0.9
    assert (done.added, done.removed, done.stop_reason) == ((DIET, EATS), (BARK, OLD_DIET), "loss")
    assert done.loss_after == pytest.approx(-0.5 * math.log(0.45 * 0.40))


def test_an_empty_graph_and_an_unreachable_loss_still_keep_the_stated_fact() -> None:
    done = plan([DIET], [], {DIET: (1e-9, 1e-6)}, stated=[DIET])
    assert (done.added, done.stop_reason) == ((DIET,), "exhausted")


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (("Ana", "lives in", "Rome"), ("ana", "Lives In", "Oslo"), True),
        (("Ana", "lives in", "Rome"), ("Ana", "lives in", "rome"), False),
        (("Ana", "lives in", "Rome"), ("Ben", "lives in", "Oslo"), False),
        (("Ana", "lives in", "Rome"), ("Ana", "works in", "Oslo"), False),
        (("Ana", "likes", "tea"), ("Ana", "likes", "coffee"), False),
        (("Ana", "IsA", "nurse"), ("Ana", "is a", "dancer"), False),
    ],
)
def test_contradictions(new: tuple[str, str, str], old: tuple[str, str, str], expected: bool) -> None:
    assert contradicts(Triple(*new), Triple(*old)) is expected


probabilities = st.floats(0.01, 1.0)


@given(st.data(), st.integers(1, 4), st.integers(0, 5), st.floats(0.1, 6.0))
def test_literally_it_does_what_the_printed_algorithm_does(
    data: st.DataObject, n_h: int, n_graph: int, epsilon: float
) -> None:
    names = [f"h{i}" for i in range(n_h)] + [f"g{i}" for i in range(n_graph)]
    distinct = st.lists(probabilities, min_size=len(names), max_size=len(names), unique=True)
    p_answer = dict(zip(names, data.draw(distinct), strict=True))
    relevance = {name: data.draw(probabilities) for name in names}
    triples = {name: Triple("s", name, "o") for name in names}
    evidence = {triples[n]: Evidence(p_answer[n], relevance[n]) for n in names}
    done = tune(
        [triples[n] for n in names[:n_h]],
        [triples[n] for n in names[n_h:]],
        evidence,
        settings=TuneSettings(literal=True, epsilon=epsilon),
    )
    expected = {triples[n] for n in algorithm_1(names[:n_h], names[n_h:], p_answer, relevance, epsilon)}
    now = ({triples[n] for n in names[n_h:]} - set(done.removed)) | set(done.added)
    assert now == expected


@given(st.data(), st.integers(1, 4), st.integers(0, 5))
def test_it_never_ends_with_a_higher_loss_than_with_its_first_step_alone(
    data: st.DataObject, n_h: int, n_graph: int
) -> None:
    h = [Triple("s", f"h{i}", "o") for i in range(n_h)]
    graph = [Triple("s", f"g{i}", "o") for i in range(n_graph)]
    evidence = {z: Evidence(data.draw(probabilities), data.draw(st.floats(0.01, 50))) for z in [*h, *graph]}
    first = max(h, key=lambda z: evidence[z].reasoning)
    total = 1 + evidence[first].relevance + sum(evidence[z].relevance for z in graph)
    alone = -math.log(evidence[first].reasoning * evidence[first].relevance / total)
    done = tune(h, graph, evidence)
    assert done.loss_after <= alone + 1e-9
    assert done.added
