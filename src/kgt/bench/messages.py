"""Chat messages: is feedback, a fact or neither recognised, and the fact read rightly?

`datasets/messages.tsv` has two parts: `kgt.method.reader` is fitted on the first; the second was written by
another author, who saw neither the first nor the code, and nothing was chosen by it.
"""

from __future__ import annotations

import csv
from importlib.resources import files
from time import perf_counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kgt.bench.metrics import Estimate, bootstrapped, mean
from kgt.bench.study import Sheet, Study, estimate_text
from kgt.lm.encoder import SentenceEncoder
from kgt.method.message import read_message
from kgt.method.reader import KINDS
from kgt.triple import entity_key


class Labelled(NamedTuple):
    """A message and what it is.

    Attributes:
        query: what the user asked before, "" if nothing.
        facts: subject and object keys of what it states; empty also where it is short ("Tuesdays.").
    """

    part: str
    label: str
    kind: str
    query: str
    message: str
    facts: frozenset[tuple[str, str]]


def labelled() -> list[Labelled]:
    """The messages of the package."""
    with (files("kgt.bench.datasets") / "messages.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    found = []
    for row in rows:
        triples = [fact.split(";") for fact in row.pop("facts").split("&") if fact]
        keys = frozenset((entity_key(subject), entity_key(object)) for subject, _, object in triples)
        found.append(Labelled(**row, facts=keys))
    return found


def study(encoder: SentenceEncoder | None, n: int | None = None) -> Study:
    """Macro-F1, false facts and extraction, on either part; of the fitted part n, evenly taken."""
    metrics: dict[str, Estimate] = {}
    sheets = []
    for part in ("test", "fit"):
        messages = [m for m in labelled() if m.part == part]
        if n and part == "fit":
            messages = messages[:: max(1, len(messages) // n)][:n]
        taken, found = [], []
        for m in messages:
            started = perf_counter()
            found.append(read_message(m.message, m.query, encoder))
            taken.append((perf_counter() - started) * 1000)
        kinds = np.array([[KINDS.index(m.label), KINDS.index(r.kind)] for m, r in zip(messages, found, strict=True)])
        facts = [(m, r) for m, r in zip(messages, found, strict=True) if m.label == r.kind == "fact" and m.facts]
        read = [float({(s.triple.key[0], s.triple.key[2]) for s in r.statements} == m.facts) for m, r in facts]
        others = [float(r.kind == "fact") for m, r in zip(messages, found, strict=True) if m.label != "fact"]
        metrics[f"macro_f1_{part}"] = bootstrapped(kinds, macro_f1)
        metrics[f"false_facts_{part}"] = mean(others)
        metrics[f"facts_read_rightly_{part}"] = mean(read)
        metrics[f"ms_{part}"] = bootstrapped(np.array(taken), lambda t: float(np.median(t)))
        rows = [
            (label, *(str(int(((kinds[:, 0] == i) & (kinds[:, 1] == j)).sum())) for j in range(len(KINDS))))
            for i, label in enumerate(KINDS)
        ]
        numbers = [
            ("macro-F1", estimate_text(metrics[f"macro_f1_{part}"]), "", ""),
            ("false facts", estimate_text(metrics[f"false_facts_{part}"]), "", ""),
            ("facts read rightly", estimate_text(metrics[f"facts_read_rightly_{part}"]), "", ""),
            ("ms a message, median", estimate_text(metrics[f"ms_{part}"], 2), "", ""),
        ]
        whose = "by another author, not fitted on" if part == "test" else "the reader was fitted on"
        title = f"{len(messages):,} messages, {whose}"
        sheets.append(Sheet(title, ("is / taken for", *KINDS), [*rows, *numbers]))
    return Study(metrics, sheets)


def macro_f1(kinds: npt.NDArray[np.float64]) -> float:
    """The mean over kinds of F1; rows of (is, taken for)."""
    scores = []
    for kind in range(len(KINDS)):
        right = ((kinds[:, 0] == kind) & (kinds[:, 1] == kind)).sum()
        scores.append(2 * right / max(1, (kinds[:, 0] == kind).sum() + (kinds[:, 1] == kind).sum()))
    return float(np.mean(scores))
