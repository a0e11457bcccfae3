"""From runs to tables, before anything is printed: results, further metrics, and ours beside the paper's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, TypeVar

from kgt.bench import paper
from kgt.bench.metrics import Estimate

if TYPE_CHECKING:
    from kgt.bench.report import Run

T = TypeVar("T")

MAIN = (
    "ES", "PS", "NS", "S", "exact", "exact_paraphrase", "same_subject_locality", "other_entity_locality", "edit_ms_p50",
)  # fmt: skip
"""The first table's metrics; the second has all others."""
NOTHING = "–"
MEMORY = {"rss_over_inference_mb": "main memory", "cuda_over_inference_mb": "GPU memory"}

Rows = tuple[tuple[str, ...], ...]
Cells = Sequence[tuple[str, Mapping[str, str]]]
"""Rows: a label, and what the cell of each method says."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table before it is printed: its rows in parts, each under a heading of its own or under none ("")."""

    title: str
    columns: tuple[str, ...]
    parts: tuple[tuple[str, Rows], ...]
    note: str = ""


def chapters(runs: Sequence[Run]) -> list[tuple[str, list[Sheet]]]:
    """(data set, its tables), and last what edits cost."""
    found = []
    for dataset in dict.fromkeys(run.dataset for run in runs):
        here = [run for run in runs if run.dataset == dataset]
        found.append((dataset, [_main(here), *_further(here), *_beside_scores(here)]))
    costs = _beside_costs(runs)
    return [*found, ("Cost of an edit", costs)] if costs else found


def _main(runs: Sequence[Run]) -> Sheet:
    shown = [name for name in MAIN if any(name in found for run in runs for found in run.methods.values())]
    parts = []
    for run in runs:
        rows = [(m, *(_cell(found, name) for name in shown)) for m, found in run.methods.items()]
        parts.append((f"{run.label} ({run.folder})", tuple(rows)))
    note = "Percent; edit_ms_p50 in ms. ± is half the 95 % interval."
    return Sheet("Results", ("method", *shown), tuple(parts), note)


def _further(runs: Sequence[Run]) -> list[Sheet]:
    """All metrics that are not in the main table, a row each, for they are many."""
    methods = tuple(dict.fromkeys(m for run in runs for m in run.methods))
    parts = []
    for run in runs:
        there = {name for found in run.methods.values() for name in found}
        names = [name for name in paper.METRICS if name in there] + sorted(there - set(paper.METRICS))
        rows = [
            (name, _unit(name), *(_cell(run.methods.get(m, {}), name) for m in methods))
            for name in names
            if name not in MAIN
        ]
        if rows:
            parts.append((f"{run.label} ({run.folder})", tuple(rows)))
    return [Sheet("Further metrics", ("metric", "unit", *methods), tuple(parts))] if parts else []


def _beside_scores(runs: Sequence[Run]) -> list[Sheet]:
    """Efficacy and paraphrase, for a data set the paper has."""
    dataset = runs[0].dataset
    if dataset not in paper.SCORES:
        return []

    def both(found: Mapping[str, Estimate]) -> str:
        return " / ".join(f"{found[name].value:.1f}" if name in found else NOTHING for name in ("ES", "PS"))

    ours = [(run.label, {m: both(f) for m, f in run.methods.items() if "ES" in f}) for run in runs]
    theirs = _published(paper.SCORES[dataset], lambda scores: f"{scores.efficacy:.2f} / {scores.paraphrase:.2f}")
    note = "Percent, efficacy / paraphrase (here ES / PS). Models, graph and machine are not the paper's."
    return [_beside(f"Beside the paper's {paper.TABLES[dataset]}", ours, theirs, note)]


def _beside_costs(runs: Sequence[Run]) -> list[Sheet]:
    """Latency and memory, whatever the data set; Table 4 is on CounterFact."""
    seconds = [
        (r.title, {m: f"{f['edit_ms_p50'].value / 1000:.3f}" for m, f in r.methods.items() if "edit_ms_p50" in f})
        for r in runs
    ]
    taken = [
        (f"{r.title}: {kind}", {m: f"{f[name].value:,.0f}" for m, f in r.methods.items() if name in f})
        for r in runs
        for name, kind in MEMORY.items()
    ]
    slow = "Ours: median over the edits, on the run's machine. The paper's: CounterFact on eight A100s."
    large = "Ours: what teaching takes beyond plain inference. The paper's: all GPU memory, the model's included."
    found = []
    if any(cells for _, cells in seconds):
        theirs = _published(paper.COSTS, lambda cost: f"{cost.seconds:.2f}")
        found.append(_beside("Seconds an edit, beside the paper's Table 4", seconds, theirs, slow))
    if any(cells for _, cells in taken):
        theirs = _published(paper.COSTS, lambda cost: f"{cost.memory_mb:,.0f}")
        found.append(_beside("Memory in MB, beside the paper's Table 4", taken, theirs, large))
    return found


def _published(table: Mapping[str, Mapping[str, T]], text: Callable[[T], str]) -> Cells:
    """A table of the paper, a row a model."""
    return [(model, {m: text(row[model]) for m, row in table.items()}) for model in paper.MODELS]


def _beside(title: str, ours: Cells, theirs: Cells, note: str) -> Sheet:
    """Our rows, then the paper's; a column a method."""
    methods = tuple(dict.fromkeys(m for _, cells in (*ours, *theirs) for m in cells))
    labelled = (*ours, *((f"the paper, {model}", cells) for model, cells in theirs))
    rows = tuple((label, *(cells.get(m, NOTHING) for m in methods)) for label, cells in labelled if cells)
    return Sheet(title, ("", *methods), (("", rows),), note)


def _cell(found: Mapping[str, Estimate], name: str) -> str:
    """`99.3 ±0.9`; a number that is not a mean over cases has no interval."""
    if name not in found:
        return NOTHING
    e, unit = found[name], _unit(name)
    half = (e.high - e.low) / 2
    digits = 1 if unit == "%" else 0 if abs(e.value) >= 100 else 2
    return f"{e.value:,.{digits}f}" + (f" ±{half:,.{digits}f}" if isfinite(half) and e.n > 1 else "")


def _unit(name: str) -> str:
    return paper.METRICS[name].unit if name in paper.METRICS else ""
