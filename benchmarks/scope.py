"""Scope: does retrieval tell questions that a fact answers from other questions about its entity?

    python benchmarks/scope.py --data ../shared/data/pararel

For ParaRel subjects with two relations, one relation is taught (its object replaced); its other
patterns must be in scope, the other relation's patterns must not. Pairs of relations that share
patterns or meaning (developer and manufacturer) are left out. Prints the area under the ROC curve
of each signal, what the shipped weights decide, and the weights that logistic regression finds on
half of the relations, scored on the other half. A few dozen everyday questions are scored beside.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from data import fail, open_text
from rich.console import Console
from rich.progress import track
from rich.table import Table

from kgt import Settings, Triple, load_model
from kgt.lm import LanguageModel
from kgt.lm.encoder import SentenceEncoder, bundled_encoder
from kgt.method.retrieval import log_odds, nearness, relation_logprobs, signals
from kgt.method.templates import templates_for
from kgt.wording import relation_in

SAME_MEANING = [
    {"P178", "P176"}, {"P740", "P495"}, {"P407", "P364"}, {"P103", "P1412"}, {"P106", "P101"}, {"P27", "P495"},
    {"P19", "P27"}, {"P276", "P131"}, {"P17", "P131"}, {"P937", "P108"}, {"P17", "P276"}, {"P36", "P1376"},
    {"P17", "P30"}, {"P159", "P131"}, {"P740", "P159"}, {"P17", "P159"}, {"P276", "P159"}, {"P17", "P495"},
]  # fmt: skip
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
    group: str


def main() -> None:
    arguments = parse()
    settings = Settings.load(model=arguments.model)
    model, encoder = load_model(settings.model, Path(settings.cache)), bundled_encoder()
    cases = pararel_cases(arguments.data, arguments.n, arguments.seed)
    everyday = everyday_cases()
    table = Table(title=f"Scope on ParaRel ({len(cases)} questions) and everyday questions ({len(everyday)})")
    for column in ("signal", "AUC ParaRel", "AUC everyday"):
        table.add_column(column, justify="left" if column == "signal" else "right")
    x, y = features(cases, model, encoder), labels(cases)
    x_every, y_every = features(everyday, model, encoder), labels(everyday)
    names = ("P(r|T), the paper's template", "PMI of the relation", "nearness")
    result: dict[str, float] = {}
    for i, name in enumerate(names):
        table.add_row(name, f"{auc(x[:, i], y):.3f}", f"{auc(x_every[:, i], y_every):.3f}")
    odds, odds_every = shipped(x, encoder), shipped(x_every, encoder)
    table.add_row("shipped combination", f"{auc(odds, y):.3f}", f"{auc(odds_every, y_every):.3f}")
    train = np.array([sum(map(ord, c.group)) % 2 == 0 for c in cases])
    weights = fit(np.concatenate([x[train][:, 1:], x_every[:, 1:]]), np.concatenate([y[train], y_every]))
    held_out = x[~train][:, 1:] @ weights[:2] + weights[2]
    table.add_row("fitted on half the relations, the other half", f"{auc(held_out, y[~train]):.3f}", "")
    result |= {
        "n": len(cases),
        "auc_template": auc(x[:, 0], y),
        "auc_pmi": auc(x[:, 1], y),
        "auc_nearness": auc(x[:, 2], y),
    }
    result |= {"auc": auc(odds, y), "auc_held_out": auc(held_out, y[~train]), "auc_everyday": auc(odds_every, y_every)}
    result |= {"in_scope_found": share(odds[y] > 0), "out_of_scope_kept_out": share(odds[~y] <= 0)}
    result |= {"everyday_found": share(odds_every[y_every] > 0), "everyday_kept_out": share(odds_every[~y_every] <= 0)}
    if arguments.json:
        print(json.dumps({k: round(v, 3) for k, v in result.items()}))
        return
    Console(width=100).print(table)
    print(
        f"Shipped weights: in scope found {result['in_scope_found']:.1%}, out of scope kept out"
        f" {result['out_of_scope_kept_out']:.1%}; everyday {result['everyday_found']:.1%}"
        f" and {result['everyday_kept_out']:.1%}."
    )
    print(f"Fitted log-odds = {weights[1]:.1f} nearness + {weights[0]:.2f} PMI {weights[2]:+.1f}")


def pararel_cases(folder: Path, n: int, seed: int) -> list[Case]:
    """n subjects with two relations each, of different meaning; up to three queries for either."""
    if not (folder / "facts").is_dir() or not (folder / "patterns").is_dir():
        fail(f"{folder} has no facts/ and patterns/. Give ParaRel's folder with --data.")
    patterns: dict[str, list[str]] = {}
    for path in sorted((folder / "patterns").glob("*.jsonl")):
        with open_text(path) as file:
            written = [json.loads(line)["pattern"] for line in file]
        unfinished = [p.removesuffix(" [Y].") for p in written if p.endswith(" [Y].") and "[Y]" not in p[:-4]]
        if len(unfinished) > 1:
            patterns[path.stem] = unfinished
    true: dict[str, dict[str, str]] = defaultdict(dict)
    objects: dict[str, list[str]] = defaultdict(list)
    for path in sorted((folder / "facts").glob("*.jsonl")):
        with open_text(path) as file:
            for line in file:
                fact = json.loads(line)
                true[fact["sub_label"]].setdefault(path.stem, fact["obj_label"])
                objects[path.stem].append(fact["obj_label"])
    draw = random.Random(seed)
    cases: list[Case] = []
    for subject in draw.sample(sorted(true), len(true)):
        relations = sorted(r for r in true[subject] if r in patterns)
        if len(relations) < 2:
            continue
        taught, other = draw.sample(relations, 2)
        if {taught, other} in SAME_MEANING or set(patterns[taught]) & set(patterns[other]):
            continue
        wrong = draw.choice([o for o in objects[taught] if o != true[subject][taught]])
        first, *rest = (p.replace("[X]", subject) for p in draw.sample(patterns[taught], len(patterns[taught])))
        fact = Triple(subject, relation_in(first, subject) or "is", wrong)
        cases += [Case(fact, first, query, True, taught) for query in rest[:3]]
        elsewhere = draw.sample(patterns[other], min(3, len(patterns[other])))
        cases += [Case(fact, first, p.replace("[X]", subject), False, taught) for p in elsewhere]
        n -= 1
        if not n:
            return cases
    return cases


def everyday_cases() -> list[Case]:
    cases = []
    for fact, taught_by, inside, outside in EVERYDAY:
        z = Triple(*fact)
        cases += [Case(z, taught_by, query, query in inside, "everyday") for query in inside + outside]
    return cases


def features(cases: list[Case], model: LanguageModel, encoder: SentenceEncoder | None) -> npt.NDArray[np.float64]:
    """log P(r|T), PMI and nearness of each case; shape (n, 3)."""
    rows = []
    for case in track(cases, "Scoring", console=Console(stderr=True)):
        subject, relation = case.fact.subject, case.fact.relation
        near = nearness(case.query, subject, [case.fact], encoder, {case.fact: case.taught_by})[0]
        given, prior = relation_logprobs(case.query, subject, [relation], model, templates_for(model))
        rows.append((given[relation], signals(case.fact, near, given, prior)[1], float(near)))
    return np.array(rows)


def labels(cases: list[Case]) -> npt.NDArray[np.bool_]:
    return np.array([case.asks_for_it for case in cases])


def shipped(x: npt.NDArray[np.float64], encoder: SentenceEncoder | None) -> npt.NDArray[np.float64]:
    return np.array([log_odds(near, pmi, with_encoder=encoder is not None) for _, pmi, near in x])


def fit(x: npt.NDArray[np.float64], y: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Logistic regression: a weight for each column of x, then the offset."""
    inputs, wanted = torch.tensor(x), torch.tensor(y, dtype=torch.float64)
    weights = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = inputs @ weights[:-1] + weights[-1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weights.detach().numpy()


def auc(score: npt.NDArray[np.float64], y: npt.NDArray[np.bool_]) -> float:
    """Share of (in scope, out of scope) pairs that the score ranks rightly; ties count half."""
    inside, outside = score[y][:, None], score[~y][None]
    return float((inside > outside).mean() + (inside == outside).mean() / 2)


def share(hits: npt.NDArray[np.bool_]) -> float:
    return float(hits.mean())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="ParaRel's folder, with facts/ and patterns/")
    parser.add_argument("--n", type=int, default=200, help="subjects (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument("--model", help="as for kgt --model")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser.parse_args()


if __name__ == "__main__":
    main()
