"""The commands `kgt train-editor` and `kgt trace`, for the weight editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from kgt.bench.cli import Data, Hparams, Model, _data, _one_of

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def train_editor(
    method: Annotated[str, typer.Option("--method", help="mend or ke.")],
    data: Data = None,
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="counterfact or zsre.")] = "counterfact",
    model: Model = None,
    n: Annotated[int, typer.Option("--n", min=2, help="Most training records.")] = 4000,
    held_out: Annotated[int, typer.Option("--held-out", min=1, help="Records that decide when to stop.")] = 60,
    minutes: Annotated[float, typer.Option("--minutes", help="Most time, over all runs.")] = 60,
    patience: Annotated[int, typer.Option("--patience", help="Steps without getting better.")] = 600,
    every: Annotated[int, typer.Option("--every", min=1, help="Steps between two looks at the held-out records.")] = 50,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew instead of going on.")] = False,
    hparams: Hparams = None,
) -> None:
    """Train MEND's or KnowledgeEditor's network for a model; goes on where it was stopped."""
    from kgt.bench import lessons
    from kgt.editors.hypernetwork import Progress, train
    from kgt.editors.open import network_file, opened, untrained
    from kgt.lm import check_editable, load_model
    from kgt.settings import Settings

    _one_of("--method", method, ("mend", "ke"))
    _one_of("--dataset", dataset, lessons.CORPORA)
    settings = Settings.load(model=model)
    check_editable(settings.model)
    records = lessons.cases(dataset, _data(data), n + held_out, seed)
    loaded = load_model(settings.model, Path(settings.cache), **settings.loading, editable=True)
    network, hyper = opened(loaded, hparams)
    editor, chosen = untrained(method, network, hyper)
    made = lessons.lessons(network, editor, records, seed)
    file = network_file(method, settings.model, Path(settings.cache))
    if fresh:
        for old in (file, file.with_suffix(".state")):
            old.unlink(missing_ok=True)
    err.print(f"{method}: {len(made) - held_out:,} records, {held_out} held out; at most {minutes:g} minutes.")

    def report(progress: Progress) -> None:
        latest = progress.curve[-1]
        best = " (best)" if progress.best_step == progress.step else ""
        err.print(
            f"step {progress.step:>6,}  {progress.seconds / 60:5.1f} min  held out: loss {latest['loss']:.4f}"
            f"  edit {latest['edit']:.3f}  drift {latest['drift']:.4f}{best}"
        )

    done = train(
        editor,
        made[held_out:],
        made[:held_out],
        chosen,
        file,
        minutes=minutes,
        patience=patience,
        every=every,
        report=report,
    )
    editor.close()
    for path in (file, plot(done.curve, file.with_suffix(".png"), method)):
        err.print(f"Wrote {path}", markup=False)


def plot(curve: list[dict[str, float]], path: Path, method: str) -> Path:
    """The held-out losses against steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    steps = [look["step"] for look in curve]
    axes.plot(steps, [look["edit"] for look in curve], label="edit: −log P(target), nats a token")
    axes.plot(steps, [look["drift"] for look in curve], label="drift: KL of other answers, nats")
    axes.set(xlabel="training step", title=f"{method}: held-out losses", yscale="symlog")
    axes.legend()
    figure.savefig(path, dpi=120)
    return path


def trace(
    data: Data = None,
    model: Model = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Facts that the model knows.")] = 40,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    hparams: Hparams = None,
) -> None:
    """Find the layer that recalls facts, for ROME: the indirect effect of each layer's MLP on CounterFact."""
    from random import Random

    from rich.progress import track

    from kgt.bench.datasets import counterfact
    from kgt.editors import NoEdit, Question
    from kgt.editors.open import opened
    from kgt.editors.trace import mean_effect
    from kgt.editors.trace import trace as trace_fact
    from kgt.lm import load_model
    from kgt.method.reasoning import answers_request
    from kgt.settings import Settings

    settings = Settings.load(model=model)
    loaded = load_model(settings.model, Path(settings.cache), **settings.loading, editable=True)
    network, _ = opened(loaded, hparams)
    plain = NoEdit(loaded)
    cases = counterfact.load(counterfact.files(_data(data), None), None)
    found = []
    for case in track(Random(seed).sample(cases, len(cases)), "tracing", total=n, console=err):
        request = case.request
        start = plain.prompt(Question(request.user, request.query, request.subject))
        asked = answers_request(start, [request.former])
        if not loaded.logprobs([asked])[0][0].greedy:
            continue
        _, answer = network.model.split(asked.prompt, asked.continuations[0])
        found.append(trace_fact(network, asked.prompt, request.subject, answer))
        if len(found) == n:
            break
    effect = mean_effect(found)
    table = Table("layer", "indirect effect of its MLP", title=f"{len(found)} facts that {settings.model} knows")
    best = int(effect.argmax())
    for layer, value in enumerate(effect.tolist()):
        table.add_row(str(layer), f"{value:+.4f}" + ("  largest" if layer == best else ""))
    out.print(table)
    clean, corrupted = (sum(getattr(t, name) for t in found) / len(found) for name in ("clean", "corrupted"))
    out.print(f"P(answer): {clean:.3f} clean, {corrupted:.3f} with noise on the subject.")
