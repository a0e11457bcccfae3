"""Run a benchmark: teach every case, ask everything, write a line for each, go on after a kill.

A run's folder holds `manifest.json` (what made it), `former.json` (the unedited model's answers),
and for each method `edits.jsonl` and `cases.jsonl`; `summary.json` is made from those lines.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kgt.bench import memory, snippets
from kgt.bench.case import Case
from kgt.bench.datasets import load
from kgt.bench.lines import Lines
from kgt.bench.measure import Evaluation, evaluate, former_answers, key, learn
from kgt.bench.remember import RememberingModel
from kgt.bench.spec import Spec, close_manifest, model_sha256, open_manifest, write_json
from kgt.bench.summary import summarise
from kgt.bench.workers import Engine, Map, Setup, edit_task, evaluate_task, pool, single_task
from kgt.editors import EDITORS, WEIGHT_EDITORS, Editor, EditReport, Parts, Question, load_editor
from kgt.editors.kgt import KGT
from kgt.errors import BadInput
from kgt.lm import LanguageModel, check_editable, load_model
from kgt.lm.encoder import bundled_encoder
from kgt.settings import Settings
from kgt.triple import entity_key

T = TypeVar("T")

CASES_A_BATCH = 8
"""Cases evaluated between two writes."""
EDITS_A_SAVE = 50
"""Edits in a sequence after which a weight editor's state is kept."""
LARGEST_TASK = 64
"""Most cases in a worker's task: a kill loses no more than that, and no worker waits long for the last one."""
PLAIN_QUESTIONS = 8
"""Questions whose answering is the plain inference that memory is compared with."""


@dataclass(frozen=True, slots=True)
class Means:
    """How a run is done; none of it changes the numbers."""

    data: Path
    out: Path
    workers: int = 1
    engine: Engine = "processes"
    batch: int = 32
    command: str = ""


def run(spec: Spec, means: Means, settings: Settings, console: Console) -> dict[str, Any]:
    """Measure, and return the summary that is also written to `summary.json`.

    Raises:
        BadInput: an unknown data set or method, damaged data, or a folder of another command.
        NotFound: data that is neither there nor to be fetched.
        ModelError: the model cannot be loaded, or a batch does not fit the memory.
    """
    for name in spec.methods:
        if name not in EDITORS:
            raise BadInput(f"There is no method {name!r}.", f"Take some of: {', '.join(EDITORS)}.")
        if name in WEIGHT_EDITORS:
            check_editable(settings.model)
    loaded = load(spec.dataset, means.data, spec.n, spec.seed)
    # Whatever the methods, so that all rows of a folder are computed alike.
    raw = load_model(settings.model, Path(settings.cache), **settings.loading, editable=True)
    manifest = open_manifest(
        means.out,
        spec,
        command=means.command,
        source=loaded.source,
        data_sha256=loaded.sha256,
        model_sha256=model_sha256(raw),
    )
    cases = _sampled(loaded.cases, spec)
    files = Path(settings.cache), spec.hparams, spec.corpus
    parts = Parts(RememberingModel(raw), bundled_encoder(), None, spec.ablation, *files)
    with _progress(console) as progress:
        how = _evaluation(cases, spec, means, parts, progress)
        work = _Work(spec, means, settings, raw, parts, cases, how, progress)
        for method in spec.methods:
            work.measure(method)
    summary = _summary(means.out, manifest, cases)
    close_manifest(means.out, manifest)
    return summary


@dataclass
class _Work:
    """One run under way."""

    spec: Spec
    means: Means
    settings: Settings
    raw: LanguageModel
    parts: Parts
    cases: list[Case]
    how: Evaluation
    progress: Progress

    @cached_property
    def _taught(self) -> dict[tuple[str, str, str], set[str]]:
        """All objects that the cases teach of a user's subject in a relation."""
        found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for case in self.cases:
            found[_relation_of(case)].add(entity_key(case.request.object))
        return found

    def measure(self, method: str) -> None:
        folder = self.means.out / method
        with Lines(folder / "edits.jsonl") as edits, Lines(folder / "cases.jsonl") as lines:
            if len(edits.rows) == len(lines.rows) == len(self.cases):
                return
            with self._pool() as mapped:
                if self.spec.protocol == "single":
                    self._single(method, edits, lines, mapped)
                else:
                    self._sequential(method, folder, edits, lines, mapped)

    def _sequential(self, method: str, folder: Path, edits: Lines, lines: Lines, mapped: Map | None) -> None:
        graph = folder / "graph.db" if method == "kgt" else None
        editor = load_editor(method, replace(self.parts, graph=graph))
        try:
            with self._bar(f"{method}: teaching", len(edits.rows)) as step:
                if mapped and isinstance(editor, KGT):
                    self._teach_apart(editor, edits, mapped, step)
                else:
                    self._teach(editor, edits, folder, step)
            todo = _missing(lines, self.cases)
            with self._bar(f"{method}: asking", len(lines.rows)) as step:
                if mapped:
                    made = _copy_of(graph) if graph else self.cases
                    chunks = self._cut(todo)
                    found = mapped(evaluate_task, [(method, made, chunk, self._how_for(chunk)) for chunk in chunks])
                else:
                    found = (evaluate(editor, batch, self.how) for batch in _batches(todo, CASES_A_BATCH))
                for rows in found:
                    lines.append(rows)
                    step(len(rows))
        finally:
            editor.close()

    def _teach(self, editor: Editor, edits: Lines, folder: Path, step: Callable[[int], None]) -> None:
        todo = _missing(edits, self.cases)
        kept = folder / "state.pt"
        if not editor.on_disk:
            unsaved = edits.ids - _restored(editor, kept)
            for case in self.cases:  # after a kill: learnt again, not measured again
                if case.case_id in unsaved:
                    learn(editor, case)
        if not todo:
            return
        plain = self._plain_peaks()
        memory.restart_peaks()
        for case in todo:
            report = editor.recovered(case.request) if case is todo[0] else None
            edits.append([self._edit_line(case, report or learn(editor, case))])
            if len(edits.rows) % EDITS_A_SAVE == 0 or case is todo[-1]:
                _save(editor, kept, edits.ids)
            step(1)
        write_json(folder / "memory.json", _over_inference(plain))

    def _teach_apart(self, editor: KGT, edits: Lines, mapped: Map, step: Callable[[int], None]) -> None:
        """Edits of different subjects in different processes, joined in one graph.

        A subject of which any case is missing is taught anew from its first: the graph is the same
        whether or not a killed run had stored some of it.
        """
        missing = {case.case_id for case in _missing(edits, self.cases)}
        subjects: dict[tuple[str, str], list[Case]] = {}
        for case in self.cases:
            subjects.setdefault((case.request.user, entity_key(case.request.subject)), []).append(case)
        todo = [cases for cases in subjects.values() if any(case.case_id in missing for case in cases)]
        chunks = [[case for cases in part for case in cases] for part in self._cut(todo)]
        for reports in mapped(edit_task, [(editor.name, chunk) for chunk in chunks]):
            for _, report in reports:
                if report.edit and (report.added or report.removed):
                    editor.store.commit(replace(report.edit, id=None, time=None))
            new = [self._edit_line(case, report) for case, report in reports if case.case_id in missing]
            edits.append(new)
            step(len(new))

    def _single(self, method: str, edits: Lines, lines: Lines, mapped: Map | None) -> None:
        done = edits.ids & lines.ids
        todo = [case for case in self.cases if case.case_id not in done]
        with self._bar(f"{method}: each alone", len(done)) as step:
            if mapped:
                found = mapped(single_task, [(method, case, self._how_for([case])) for case in todo])
            else:
                found = self._each_alone(method, todo)
            for case, report, row in found:
                if case.case_id not in edits.ids:
                    edits.append([self._edit_line(case, report)])
                lines.append([row])
                step(1)

    def _each_alone(self, method: str, todo: Sequence[Case]) -> Iterator[tuple[Case, EditReport, dict[str, Any]]]:
        editor = load_editor(method, self.parts)
        try:
            for case in todo:
                report = learn(editor, case)
                yield case, report, evaluate(editor, [case], self.how)[0]
                editor.reset()
        finally:
            editor.close()

    def _edit_line(self, case: Case, report: EditReport) -> dict[str, Any]:
        """What is kept of an edit; collateral are removed facts that no earlier case on the same relation taught."""
        collateral = [z for z in report.removed if entity_key(z.object) not in self._taught[_relation_of(case)]]
        return {
            "case_id": case.case_id,
            "ms": round(report.milliseconds, 3),
            "added": len(report.added),
            "removed": len(report.removed),
            "collateral": len(collateral),
        } | ({"refused": report.refused} if report.refused else {})

    def _cut(self, items: Sequence[T]) -> list[Sequence[T]]:
        """Runs of items, at least one for each worker."""
        size = max(1, min(LARGEST_TASK, -(-len(items) // self.means.workers)))
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _how_for(self, cases: Sequence[Case]) -> Evaluation:
        """The evaluation with only what these cases need, to be sent to a worker."""
        ids = {case.case_id for case in cases}
        wanted = {key(p) for case in cases for p in (*case.neighbourhood, *case.same_subject)}
        return replace(
            self.how,
            former={k: v for k, v in self.how.former.items() if k in wanted},
            updated_by={k: v for k, v in self.how.updated_by.items() if k in ids},
        )

    def _plain_peaks(self) -> dict[str, float]:
        """Peak memory of answering single questions with the unedited model."""
        plain = load_editor("no_edit", replace(self.parts, model=self.raw))
        memory.restart_peaks()
        for case in self.cases[:PLAIN_QUESTIONS]:
            plain.score([Question(case.request.user, case.request.query)], [[case.request.object]])
        return _peaks()

    @contextmanager
    def _pool(self) -> Iterator[Map | None]:
        if self.means.workers == 1 and self.means.engine == "processes":
            yield None
            return
        threads = max(1, (os.cpu_count() or 1) // self.means.workers)
        with pool(self.means.engine, self.means.workers, Setup(self.settings, self.spec, threads)) as mapped:
            yield mapped

    @contextmanager
    def _bar(self, what: str, done: int) -> Iterator[Callable[[int], None]]:
        task = self.progress.add_task(what, total=len(self.cases), completed=done)
        yield lambda n: self.progress.advance(task, n)


def _save(editor: Editor, path: Path, learnt: set[str]) -> None:
    """Keep what an editor learnt, so that a killed run need not teach it all again."""
    import torch

    state = editor.state()
    if state is not None:
        part = path.with_suffix(".part")
        torch.save({"cases": sorted(learnt), "state": state}, part)
        part.replace(path)


def _restored(editor: Editor, path: Path) -> set[str]:
    """The cases that an editor has learnt by what `_save` kept."""
    if not path.exists():
        return set()
    import torch

    saved = torch.load(path, weights_only=True)
    editor.restore(saved["state"])
    return set(saved["cases"])


def _sampled(cases: list[Case], spec: Spec) -> list[Case]:
    """The cases, of which only a sample keeps the questions beside the taught query."""
    if spec.sample is None or spec.sample >= len(cases):
        return cases
    kept = {c.case_id for c in random.Random(spec.seed).sample(cases, spec.sample)}
    bare: dict[str, Any] = {"paraphrases": (), "neighbourhood": (), "same_subject": (), "generation_prompts": ()}
    return [c if c.case_id in kept else replace(c, **bare) for c in cases]


def _evaluation(cases: list[Case], spec: Spec, means: Means, parts: Parts, progress: Progress) -> Evaluation:
    """Ask the unedited model first what it says; kept in `former.json`."""
    path = means.out / "former.json"
    if not path.exists():
        total = len({key(p) for c in cases for p in (*c.neighbourhood, *c.same_subject)})
        task = progress.add_task("unedited answers", total=total)
        plain = load_editor("no_edit", parts)
        found = former_answers(plain, cases, means.batch, lambda n: progress.advance(task, n))
        write_json(path, [[*k, answer] for k, answer in found.items()])
    former = {(query, stem): answer for query, stem, answer in json.loads(path.read_text(encoding="utf-8"))}
    fluent = [c.case_id for c in cases if c.generation_prompts][: spec.fluency]
    updated_by = {c.updates: c for c in cases if c.updates}
    return Evaluation(former, updated_by, frozenset(fluent), snippets.load(means.data), means.batch)


def _summary(out: Path, manifest: dict[str, Any], cases: list[Case]) -> dict[str, Any]:
    """Make `summary.json` of all methods that are complete."""
    spec = manifest["spec"]
    methods, notes = {}, _notes(cases)
    for method in manifest["spec"]["methods"]:
        with Lines(out / method / "edits.jsonl") as edits, Lines(out / method / "cases.jsonl") as lines:
            if len(lines.rows) < len(cases):
                continue
            peaks = out / method / "memory.json"
            used = json.loads(peaks.read_text(encoding="utf-8")) if peaks.exists() else {}
            methods[method] = summarise(lines.rows, edits.rows, used)
            again = _contradicted(cases) if spec["protocol"] == "sequential" else set()
            standing = [row for row in lines.rows if row["case_id"] not in again]
            if again and standing:
                efficacy = 100 * fmean(row["metrics"]["ES"] for row in standing)
                notes.append(
                    f"{len(again):,} cases are taught otherwise by a later case of the same subject and relation;"
                    f" without them {method}'s ES is {efficacy:.1f}."
                )
            refused = [row["case_id"] for row in edits.rows if "refused" in row]
            if refused:
                notes.append(f"{method} refused {len(refused)} edits, the first being case {refused[0]}.")
    summary = {k: spec[k] for k in ("dataset", "protocol", "model", "seed")} | {
        "n": len(cases),
        "methods": methods,
        "notes": notes,
    }
    write_json(out / "summary.json", summary)
    return summary


def _notes(cases: Sequence[Case]) -> list[str]:
    notes = []
    asked = sum(bool(c.same_subject) for c in cases)
    if asked < len(cases):
        notes.append(f"{asked:,} of {len(cases):,} cases have questions on another relation of their subject.")
    rephrased = sum(bool(c.paraphrases) for c in cases)
    if rephrased < len(cases):
        notes.append(f"{rephrased:,} of {len(cases):,} cases have paraphrases to ask.")
    superseded = sum(c.superseded for c in cases)
    if superseded:
        notes.append(f"{superseded} cases are made outdated by later ones and count only for updates_replaced.")
    return notes


def _contradicted(cases: Sequence[Case]) -> set[str]:
    """Cases not marked as outdated, of whose subject and relation a later case teaches another object."""
    latest: dict[tuple[str, str, str], str] = {}
    found = set()
    for case in reversed(cases):
        about, told = _relation_of(case), entity_key(case.request.object)
        if case.relation_id and not case.superseded and latest.setdefault(about, told) != told:
            found.add(case.case_id)
    return found


def _over_inference(plain: dict[str, float]) -> dict[str, float]:
    now = _peaks()
    return {f"{name}_over_inference_mb": round(max(0.0, now[name] - plain[name]), 1) for name in now}


def _peaks() -> dict[str, float]:
    cuda = memory.peak_cuda()
    return {"rss": memory.peak_rss()} | ({"cuda": cuda} if cuda is not None else {})


def _copy_of(graph: Path) -> bytes:
    """A database as one file's bytes, what stands in its write-ahead log included."""
    with closing(sqlite3.connect(graph)) as source, closing(sqlite3.connect(":memory:")) as copy:
        source.backup(copy)
        return bytes(copy.serialize())


def _relation_of(case: Case) -> tuple[str, str, str]:
    return case.request.user, entity_key(case.request.subject), case.relation_id


def _missing(lines: Lines, cases: Sequence[Case]) -> list[Case]:
    done = lines.ids
    return [case for case in cases if case.case_id not in done]


def _batches(cases: Sequence[Case], size: int) -> Iterator[Sequence[Case]]:
    return (cases[start : start + size] for start in range(0, len(cases), size))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:>24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
