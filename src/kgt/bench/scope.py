"""Scope: does retrieval tell questions that a fact answers from other questions about its entity?

ParaRel: for subjects with two relations, one relation is taught (its object replaced); its other
wordings must be in scope, the other relation's must not. Pairs of relations that share wordings or
meaning (developer and manufacturer) are left out. PeInt: a pair's paraphrases are in scope, what
other pairs about the same subject ask is not. Half of ParaRel's relations and half of PeInt's users
are for fitting (`benchmarks/fit_scope.py`), with a few dozen everyday questions; all numbers are of
the other halves.
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kgt.bench.datasets import pararel, peint
from kgt.bench.metrics import Estimate, bootstrapped, mean
from kgt.bench.study import Sheet, Study, estimate_text
from kgt.lm import LanguageModel
from kgt.lm.encoder import SentenceEncoder
from kgt.method.pair import read_pair
from kgt.method.retrieval import relation_probabilities
from kgt.method.scope import OFFSET, STAND_INS, WEIGHTS, View, signals, views, wordings
from kgt.method.templates import templates_for
from kgt.triple import Triple
from kgt.wording import sentence_about

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N = 1000
"""ParaRel subjects, if not said otherwise."""
TEMPLATE_CASES = 300
"""Cases of a source that the paper's template is asked about; each costs a pass of the model."""
BINS = 10
EVERYDAY: list[tuple[tuple[str, str, str], str, list[str], list[str]]] = [
    (("my dog", "is", "vegetarian"), "What does my dog eat?",
     ["What should I feed my dog?", "Can my dog eat chicken?"],
     ["How old is my dog?", "What is my dog's name?", "Where does my dog sleep?", "What breed is my dog?"]),
    (("my sister", "lives in", "Lisbon"), "Where does my sister live?",
     ["In which city is my sister's home?", "Where can I visit my sister?"],
     ["What is my sister's job?", "How old is my sister?", "What does my sister like to eat?"]),
    (("my dog", "name", "Rex"), "What is my dog's name?",
     ["What is my dog called?", "What do I call my dog?"],
     ["What does my dog eat?", "Where does my dog sleep?"]),
    (("my office", "opens at", "7 am"), "When does my office open?",
     ["When can I get into my office?", "How early can I go to my office?"],
     ["Where is my office?", "Who works in my office?"]),
    (("my sister", "works as", "a nurse"), "What is my sister's job?",
     ["What does my sister do for a living?", "What is my sister's profession?"],
     ["Where does my sister live?", "When is my sister's birthday?"]),
    (("I", "research field", "marine biology"), "What is my research field?",
     ["What do I study?", "What is my area of research?"],
     ["Where do I live?", "What is my favourite drink?"]),
    (("I", "favourite drink", "jasmine tea"), "What is my favourite drink?",
     ["What do I like to drink?", "What should I order at the cafe?"],
     ["What do I like to eat?", "What is my job?"]),
    (("my car", "is", "a red Fiat"), "What car do I have?",
     ["What kind of car do I drive?", "What model is my car?", "What colour is my car?"],
     ["Where is my car parked?", "How old is my car?"]),
    (("my mother", "birthday", "12 March"), "When is my mother's birthday?",
     ["When was my mother born?", "On which date should I congratulate my mother?"],
     ["Where does my mother live?", "What is my mother's name?"]),
    (("I", "am allergic to", "peanuts"), "What am I allergic to?",
     ["Which food must I avoid?", "Can I eat peanut butter?"],
     ["Where do I work?", "What is my favourite colour?"]),
    (("my cat", "sleeps in", "the kitchen"), "Where does my cat sleep?",
     ["Where is my cat's bed?", "Where does my cat spend the night?"],
     ["What does my cat eat?", "How old is my cat?"]),
    (("my boss", "is called", "Ingrid"), "Who is my boss?",
     ["What is my boss called?", "What is the name of my boss?"],
     ["Where does my boss live?", "How old is my boss?"]),
]  # fmt: skip


class Case(NamedTuple):
    """A fact, the query that taught it, and a later query that asks for it or for something else."""

    fact: Triple
    taught_by: str
    query: str
    asks_for_it: bool
    source: str
    fitting: bool


Floats = npt.NDArray[np.float64]


def all_cases(data: Path, n: int, seed: int) -> list[Case]:
    """The cases of all three sources; those for fitting also as facts added by hand, which no query taught."""
    cases = pararel_cases(data, n, seed) + peint_cases() + everyday_cases()
    return cases + [c._replace(taught_by="", source=f"{c.source}, by hand") for c in cases if c.fitting]


def pararel_cases(data: Path, n: int, seed: int) -> list[Case]:
    """n subjects with two relations each, of different meaning; up to three queries for either."""
    known = pararel.load(data)
    true: dict[str, dict[str, str]] = defaultdict(dict)
    for relation, facts in known.facts.items():
        for subject, object in facts:
            true[subject].setdefault(relation, object)
    relations_in_order = sorted(known.facts)
    draw = random.Random(seed)
    cases: list[Case] = []
    for subject in draw.sample(sorted(true), len(true)):
        relations = sorted(r for r in true[subject] if len(known.openings.get(r, ())) > 1)
        if len(relations) < 2:
            continue
        taught, other = draw.sample(relations, 2)
        if other not in known.beside[taught]:
            continue
        wrong = draw.choice([f.object for f in known.facts[taught] if f.object not in (true[subject][taught], subject)])
        wordings = draw.sample(known.openings[taught], len(known.openings[taught]))
        first, *rest = (p.replace("[X]", subject) for p in wordings)
        elsewhere = [p.replace("[X]", subject) for p in draw.sample(known.openings[other], len(known.openings[other]))]
        fact = _taught(first, wrong, subject, wrong)
        fitting = relations_in_order.index(taught) % 2 == 0
        cases += [Case(fact, first, query, True, "ParaRel", fitting) for query in rest[:3]]
        cases += [Case(fact, first, query, False, "ParaRel", fitting) for query in elsewhere[:3]]
        n -= 1
        if not n:
            break
    return cases


def peint_cases() -> list[Case]:
    """Every pair's paraphrases, and two questions each of the other pairs about its subject."""
    cases: list[Case] = []
    for i, user in enumerate(peint.users()):
        for pair in user["pairs"]:
            fact = _taught(pair["query"], pair["feedback"], pair["subject"], pair["answer"])
            later: list[dict[str, Any]] = [p for p in user["pairs"] if p["subject"] == pair["subject"]]
            others = [p for p in later if p["topic"] != pair["topic"] and pair["id"] not in (p["id"], p["updates"])]
            inside = [p["query"] for p in pair["paraphrases"]]
            outside = [
                q for p in others if p["id"] != pair["updates"] for q in (p["query"], p["paraphrases"][0]["query"])
            ]
            for query in inside + outside:
                cases.append(Case(fact, pair["query"], query, query in inside, "PeInt", i % 2 == 0))
    return cases


def everyday_cases() -> list[Case]:
    return [
        Case(Triple(*fact), taught_by, query, query in inside, "everyday", True)
        for fact, taught_by, inside, outside in EVERYDAY
        for query in inside + outside
    ]


def _taught(query: str, feedback: str, subject: str, answer: str) -> Triple:
    """The fact that KGT stores for a pair: the first of H."""
    pair = read_pair(query, feedback, subject, answer)
    return Triple(pair.subject, pair.relations[0] if pair.relations else "is", pair.object)


def views_of(case: Case) -> tuple[list[View], list[View]]:
    """The query's wordings and the fact's, as `kgt.method.scope` compares them."""
    subject = case.fact.subject
    return wordings(sentence_about(case.query, subject)[1], subject), list(views(case.fact, subject, case.taught_by))


def signals_of(case: Case, encoder: SentenceEncoder) -> Floats:
    """What `kgt.method.scope` tells a case by; shape (1, 9)."""
    asked = sentence_about(case.query, case.fact.subject)[1]
    return signals(asked, case.fact.subject, [case.fact], encoder, {case.fact: case.taught_by})


def template(case: Case, model: LanguageModel) -> float:
    """P(r|T) as the paper prints it."""
    z = case.fact
    return relation_probabilities(case.query, z.subject, [z.relation], model, templates_for(model))[z.relation]


def auc(score: Floats, y: npt.NDArray[np.bool_]) -> float:
    """Share of (in scope, out of scope) pairs that the score ranks rightly; ties count half."""
    inside, outside = score[y][:, None], score[~y][None]
    return float((inside > outside).mean() + (inside == outside).mean() / 2) if inside.size and outside.size else 0.5


SIGNALS = (
    *(f"{text}, {name or 'no name'}" for name in STAND_INS for text in ("fact", "taught query")),
    "relation",
    "largest",
    "is a question",
)
"""The columns of `kgt.method.scope.signals`."""


def study(data: Path, n: int | None, seed: int, encoder: SentenceEncoder, model: LanguageModel | None) -> Study:
    """Ranking and calibration on the cases not fitted, and what each signal gives.

    Args:
        model: asked for the paper's template; without it that row is left out.
    """
    cases = [case for case in all_cases(data, n or N, seed) if not case.fitting]
    x = np.concatenate([signals_of(case, encoder) for case in cases])
    asked = np.array([case.asks_for_it for case in cases])
    log_odds = x @ WEIGHTS + OFFSET
    sources = {name: np.array([case.source == name for case in cases]) for name in ("ParaRel", "PeInt")}
    metrics: dict[str, Estimate] = {}
    for name, rows in sources.items():
        both = np.stack([log_odds[rows], asked[rows]], 1)
        metrics[f"auc_{name.lower()}"] = bootstrapped(both, lambda b: auc(b[:, 0], b[:, 1] > 0))
        metrics[f"found_{name.lower()}"] = mean((log_odds[rows & asked] > 0).astype(float).tolist())
        metrics[f"kept_out_{name.lower()}"] = mean((log_odds[rows & ~asked] <= 0).astype(float).tolist())
        metrics[f"calibration_error_{name.lower()}"] = bootstrapped(
            both, lambda b: sum(w * abs(p - f) for p, f, w in reliability(b[:, 0], b[:, 1] > 0))
        )
    result = Sheet(
        "Scope, on relations and users not fitted",
        ("", *(f"{name} ({rows.sum():,})" for name, rows in sources.items())),
        [
            (label, *(estimate_text(metrics[f"{key}_{name.lower()}"]) for name in sources))
            for key, label in (
                ("auc", "AUC"),
                ("found", "rephrasings likelier than none"),
                ("kept_out", "other questions less likely"),
                ("calibration_error", "calibration error"),
            )
        ],
    )
    rows_of_signals: list[tuple[str, ...]] = []
    shares = Sheet(
        "AUC of each signal",
        ("signal", *(f"{name}{what}" for name in sources for what in (", alone", ", without it"))),
        rows_of_signals,
    )
    for i, signal in enumerate(SIGNALS):
        rest = log_odds - x[:, i] * WEIGHTS[i]
        cells = [f"{auc(score[rows], asked[rows]):.3f}" for rows in sources.values() for score in (x[:, i], rest)]
        rows_of_signals.append((signal, *cells))
    if model:
        draw = random.Random(seed)
        cells = []
        for rows in sources.values():
            some = draw.sample(np.flatnonzero(rows).tolist(), min(TEMPLATE_CASES, int(rows.sum())))
            scores = np.array([template(cases[i], model) for i in some])
            cells += [f"{auc(scores, asked[some]):.3f}", ""]
        rows_of_signals.append(("P(r|T), the paper's template", *cells))
    figure = {"reliability": lambda: _reliability_figure(log_odds, asked, sources)}
    return Study(metrics, [result, shares], figure)


def reliability(log_odds: Floats, asked: npt.NDArray[np.bool_]) -> list[tuple[float, float, float]]:
    """(mean probability given, share that ask for the fact, weight) for each bin of equally many cases.

    Both classes weigh the same, as in the fit: how often users ask for a stored fact is not known here.
    """
    probability = 1 / (1 + np.exp(-log_odds))
    weight = np.where(asked, 0.5 / max(1, asked.sum()), 0.5 / max(1, (~asked).sum()))
    bins = np.array_split(np.argsort(probability), BINS)
    return [
        (
            float(np.average(probability[b], weights=weight[b])),
            float(np.average(asked[b], weights=weight[b])),
            float(weight[b].sum()),
        )
        for b in bins
        if len(b)
    ]


def _reliability_figure(log_odds: Floats, asked: npt.NDArray[np.bool_], sources: dict[str, Any]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.5))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, label="perfectly calibrated")
    for (name, rows), colour, marker in zip(sources.items(), ("#0072B2", "#D55E00"), "os", strict=True):
        given, found, _ = zip(*reliability(log_odds[rows], asked[rows]), strict=True)
        axes.plot(given, found, color=colour, marker=marker, label=name)
    axes.set(xlabel="probability that the fact is asked for", ylabel="share of queries that ask for it")
    axes.set_title("Scope's calibration on what was not fitted")
    axes.legend(frameon=False)
    return figure
