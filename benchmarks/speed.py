"""Where the time of one `teach` and one `ask` goes, against what the machine's arithmetic allows.

    python benchmarks/speed.py                # the bundled PeInt pairs
    python benchmarks/speed.py --json

Every pair is asked, corrected, then asked in other words, as people do, each user in a graph of their own; with
--unasked it is taught before it was ever asked, so that nothing of the question is known. The floor of an
edit is the tokens it has the model read, at the rate at which this machine reads a large batch. It is
measured between the edits, so that both see the same other load. No pass takes less than `weights_ms`, reading
the weights from memory; `pass_ms` is what one over a single token takes. `ask` is timed to its first token,
against the model's own to the bare question, and to its end, with and without guessing what comes next
(`kgt.lm.running`). The bare question is timed twice: after the template's words, which `ask` does not read again
either (`ask_overhead`), and with them, as a model reads it that remembers nothing (`ask_overhead_whole`).

The relation of a triple is in the words of the query, as the product has it, and where these are not
enough the model guesses; with --model-relations all come from the model, as in the paper.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import event

from kgt import Assistant, GraphStore, Settings, load_model
from kgt.bench.case import Case, Probe
from kgt.bench.datasets import peint
from kgt.bench.memory import peak_rss, restart_peaks
from kgt.bench.work import Work, counted
from kgt.editors.kgt import relations_by_model
from kgt.lm import running
from kgt.lm.encoder import bundled_encoder
from kgt.lm.prefixes import Known, PrefixCache
from kgt.lm.torch_model import TorchModel
from kgt.method import reasoning
from kgt.method.templates import templates_for
from kgt.method.tune import TuneSettings

BATCH = 32, 64
"""Rows and tokens of the batch at whose rate the floor is taken."""
WARM_UP = 5
"""Pairs before the clock: the first passes of a process compile kernels for their shapes."""


def main() -> None:
    arguments = parse()
    settings = Settings.load(model=arguments.model)
    console = Console(stderr=True)
    model = load_model(settings.model, Path(settings.cache), device=settings.device, dtype=settings.dtype)
    assert isinstance(model, TorchModel)
    cases = [case for case in peint.load() if case.paraphrases][: arguments.n + WARM_UP]
    with tempfile.TemporaryDirectory() as folder, GraphStore.open(Path(folder) / "graph.db") as store:
        measured = measure(
            model,
            store,
            settings,
            track(cases, "measuring", console=console),
            from_model=arguments.model_relations,
            asked=not arguments.unasked,
        )
        memory = memory_ratio(model, store, settings, cases)
    result = summary(measured) | {"peak_rss_ratio": round(memory, 3)}
    if arguments.cold:
        result["cold_start_s"] = round(median(cold_start(settings.model) for _ in range(arguments.cold)), 2)
    if arguments.json:
        print(json.dumps(result))
        return
    show(measured, result, model.name)


class Clock:
    """Milliseconds spent in parts of the work, each part's own."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._open: list[float] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = perf_counter()
        self._open.append(0.0)
        try:
            yield
        finally:
            took = (perf_counter() - started) * 1000
            self.spent[name] += took - self._open.pop()
            if self._open:
                self._open[-1] += took

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return timing


class Measured:
    """What all pairs took: a list an edit or question of milliseconds by part, and of the model's work."""

    def __init__(self) -> None:
        self.teach: list[dict[str, float]] = []
        self.ask: list[dict[str, float]] = []
        self.plain: list[float] = []
        self.whole: list[float] = []
        self.answer: list[float] = []
        self.unguessed: list[float] = []
        self.teach_work: list[Work] = []
        self.ask_work: list[Work] = []
        self.rate: list[float] = []
        self.one_token: list[float] = []
        self.weights: list[float] = []


def measure(
    model: TorchModel, store: GraphStore, settings: Settings, cases: Iterable[Case], *, from_model: bool, asked: bool
) -> Measured:
    found = Measured()
    encoder = bundled_encoder()
    k, templates = TuneSettings().k, templates_for(model)
    weights = {weight.data_ptr(): weight.nbytes for weight in model.weights().values()}
    memory = torch.ones(sum(weights.values()) // 4)
    for i, case in enumerate(cases):
        clock = Clock()
        request, probe = case.request, case.paraphrases[0]
        me = Assistant(request.user, model=model, store=store, encoder=encoder, settings=settings)
        if asked:
            me.ask(request.query, subject=request.subject, max_tokens=1)
        with timing(clock, model, encoder, store):
            with counted(model) as teach_work, clock.part("rest"):
                relations = relations_by_model(request, k, model, encoder, templates) if from_model else None
                me.teach(
                    request.query,
                    request.feedback,
                    subject=request.subject,
                    object=request.object,
                    relations=relations,
                )
            taught, clock.spent = clock.spent, defaultdict(float)
        alone = reasoning.prompt(model, templates, probe.query)
        with forgotten(model):
            plain = first_token(model, alone)
        with forgotten(model):
            model.prefixes.clear()
            model.prefixes.opening = Known((), None)  # nothing is read apart
            whole = first_token(model, alone)
        with timing(clock, model, encoder, store), counted(model) as ask_work, clock.part("rest"):
            me.ask(probe.query, subject=probe.subject, max_tokens=1)
        answers = [timed_answer(me, probe, free) for free in (running.FREE, 0)]
        if i < WARM_UP:
            continue
        found.answer.append(answers[0])
        found.unguessed.append(answers[1])
        found.rate.append(tokens_a_second(model, *BATCH))
        found.one_token.append(1000 / tokens_a_second(model, 1, 1))
        found.weights.append(reading_ms(memory))
        found.teach.append(taught)
        found.ask.append(clock.spent)
        found.plain.append(plain)
        found.whole.append(whole)
        found.teach_work.append(teach_work)
        found.ask_work.append(ask_work)
    return found


def first_token(model: TorchModel, prompt: str) -> float:
    """Milliseconds to the first token after a prompt."""
    started = perf_counter()
    next(model.generate(prompt, max_tokens=1), "")
    return (perf_counter() - started) * 1000


def timed_answer(me: Assistant, probe: Probe, free: int) -> float:
    """Milliseconds to the end of an answer, as many tokens of a pass being free for guesses."""
    with mock.patch.object(running, "FREE", free):
        started = perf_counter()
        me.ask(probe.query, subject=probe.subject)
        return (perf_counter() - started) * 1000


@contextmanager
def forgotten(model: TorchModel) -> Iterator[None]:
    """What the model reads within this it does not know after it."""
    known = model.prefixes
    model.prefixes = PrefixCache()
    model.prefixes._states |= known._states  # a benchmark may look
    model.prefixes._begins |= known._begins
    model.prefixes.opening = known.opening
    try:
        yield
    finally:
        model.prefixes = known


@contextmanager
def timing(clock: Clock, model: TorchModel, encoder: Any, store: GraphStore) -> Iterator[None]:
    """Within this, the clock sees who does what."""
    patched: list[tuple[Any, str]] = []
    for owner, method, name in (
        (model, "logprobs", "model"),
        (model, "read", "model"),
        (model, "forward", "model"),
        (model, "_run", "model"),
        (model, "encode", "tokenizer"),
        (model, "chat", "tokenizer"),
        (encoder, "embed", "encoder"),
        (store, "about", "graph"),
        (store, "named", "graph"),
    ):
        setattr(owner, method, clock.timed(name, getattr(owner, method)))
        patched.append((owner, method))
    started: list[float] = []
    engine = store._engine

    def before(*_: Any) -> None:
        started.append(perf_counter())

    def after(*_: Any) -> None:
        if started:
            clock.spent["sql"] += (perf_counter() - started.pop()) * 1000

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "after_cursor_execute", after)
        for owner, method in patched:
            delattr(owner, method)


def reading_ms(memory: torch.Tensor) -> float:
    """Milliseconds that reading as much memory as the weights take lasts."""
    started = perf_counter()
    memory.sum()
    return (perf_counter() - started) * 1000


@torch.inference_mode()
def tokens_a_second(model: TorchModel, rows: int, length: int) -> float:
    """The rate at which the machine reads a batch just now."""
    ids = torch.randint(0, 1000, (rows, length), generator=torch.Generator().manual_seed(0)).to(model.device)
    started = perf_counter()
    model.forward(ids, torch.ones_like(ids), None, keep=1, use_cache=False)
    return rows * length / (perf_counter() - started)


def memory_ratio(model: TorchModel, store: GraphStore, settings: Settings, cases: Sequence[Case]) -> float:
    """Peak resident memory of editing over that of answering the same questions plainly."""
    plain = Assistant("plain", model=model, store=store, settings=settings)
    restart_peaks()
    for case in cases[:20]:
        plain.ask(case.request.query, max_tokens=8)
    inference = peak_rss()
    me = Assistant("memory", model=model, store=store, settings=settings)
    restart_peaks()
    for case in cases[:20]:
        me.teach(case.request.query, case.request.object, subject=case.request.subject, object=case.request.object)
    return peak_rss() / inference


def cold_start(model: str) -> float:
    """Seconds from the shell to the end of a one-token answer."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"KGT_DB": str(Path(folder) / "graph.db"), "KGT_MAX_TOKENS": "1", "KGT_MODEL": model}
        command = [sys.executable, "-m", "kgt.cli", "ask", "What does my dog eat?"]
        started = perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return perf_counter() - started


def summary(found: Measured) -> dict[str, float]:
    teach = [sum(parts.values()) - parts.get("sql", 0.0) for parts in found.teach]
    ask = [sum(parts.values()) - parts.get("sql", 0.0) for parts in found.ask]
    rate = median(found.rate)
    floor = median(w.scored + w.decoded for w in found.teach_work) / rate * 1000
    return {
        "n": len(teach),
        "teach_ms_p50": round(median(teach), 1),
        "teach_ms_p95": round(quantiles(teach, n=20)[-1], 1),
        "floor_ms": round(floor, 1),
        "teach_over_floor": round(median(teach) / floor, 2),
        "ask_ms_p50": round(median(ask), 1),
        "plain_ms_p50": round(median(found.plain), 1),
        "ask_overhead": round(median(a / p for a, p in zip(ask, found.plain, strict=True)), 2),
        "plain_whole_ms_p50": round(median(found.whole), 1),
        "ask_overhead_whole": round(median(a / p for a, p in zip(ask, found.whole, strict=True)), 2),
        "answer_ms_p50": round(median(found.answer), 1),
        "answer_unguessed_ms_p50": round(median(found.unguessed), 1),
        "tokens_scored": median(w.scored for w in found.teach_work),
        "tokens_padded": median(w.padded for w in found.teach_work),
        "forward_passes": median(w.passes for w in found.teach_work),
        "tokens_a_second": round(rate),
        "pass_ms": round(median(found.one_token), 1),
        "weights_ms": round(median(found.weights), 1),
    }


def show(found: Measured, result: dict[str, float], name: str) -> None:
    steps = Table("step", "teach, ms", "ask, ms", title=f"{name}: medians of each step ({result['n']:.0f} pairs)")
    for part in ("model", "tokenizer", "encoder", "graph", "rest", "sql"):
        row = [f"{median(p.get(part, 0.0) for p in rows):.1f}" for rows in (found.teach, found.ask)]
        steps.add_row(part if part != "sql" else "of graph and rest: SQL", *row)
    for name, count in (("forward passes", "passes"), ("tokens scored", "scored")):
        steps.add_row(
            name, *(f"{median(getattr(w, count) for w in ws):.0f}" for ws in (found.teach_work, found.ask_work))
        )
    console = Console()
    console.print(steps)
    table = Table("", "")
    for key, value in result.items():
        table.add_row(key, f"{value:,}")
    console.print(table)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=60, help="pairs, two or more (default 60)")
    parser.add_argument("--model", help="as for the kgt commands")
    parser.add_argument("--model-relations", action="store_true", help="have the model name the relations")
    parser.add_argument("--unasked", action="store_true", help="teach pairs that were not asked before")
    parser.add_argument("--cold", type=int, default=3, help="cold starts, 0 for none (default 3)")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
