"""From runs' folders to tables in a terminal, and to a page with figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kgt.bench import paper
from kgt.bench.metrics import Estimate
from kgt.bench.sheets import Sheet, chapters
from kgt.errors import BadInput
from kgt.terminal import visible

LABEL = 30
"""Columns of a terminal that a row's label takes at most."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run's results.

    Attributes:
        methods: method → metric → estimate, in the units of `paper.METRICS`.
        edit_ms: method → how long each edit took, in ms.
    """

    folder: Path
    manifest: Mapping[str, Any]
    dataset: str
    protocol: str
    model: str
    n: int
    seed: int
    methods: Mapping[str, Mapping[str, Estimate]]
    notes: tuple[str, ...]
    edit_ms: Mapping[str, tuple[float, ...]]

    @property
    def model_name(self) -> str:
        return self.model.rstrip("/").rsplit("/", 1)[-1]

    @property
    def label(self) -> str:
        return f"{self.model_name}, {self.n:,} cases, {self.protocol}, seed {self.seed}"

    @property
    def title(self) -> str:
        return f"{self.dataset}: {self.label}"


def read_run(folder: Path) -> Run:
    """Read what `kgt bench` wrote.

    Raises:
        BadInput: no run's folder, a run without results yet, or a damaged file.
    """
    path = folder / "manifest.json"
    if not path.is_file() and (folder / "summary.json").is_file():
        raise BadInput(f"{folder} holds a study, which compares no methods.", "Its numbers are in summary.json.")
    if not path.is_file():
        raise BadInput(f"{folder} holds no run: it has no manifest.json.", "Give a folder that kgt bench wrote.")
    manifest = _json(path)
    _field(path, manifest, str, "command")
    for names in (("spec", "options"), ("versions",), ("machine",)):
        _field(path, manifest, dict, *names)
    path, unfinished = folder / "summary.json", "not finished: run the same command again to resume"
    summary = _json(path) if path.is_file() else {"methods": {}}
    methods = {method: _estimates(path, summary, method) for method in _field(path, summary, dict, "methods")}
    if not methods:
        raise BadInput(f"{folder} has no results yet; {unfinished}.", f"The command was: {manifest['command']}")
    notes = [str(note) for note in _field(path, summary, list, "notes")]
    return Run(
        folder,
        manifest,
        dataset=_field(path, summary, str, "dataset"),
        protocol=_field(path, summary, str, "protocol"),
        model=_field(path, summary, str, "model"),
        n=_field(path, summary, int, "n"),
        seed=_field(path, summary, int, "seed"),
        methods=methods,
        notes=tuple(notes if manifest.get("finished") else [*notes, f"{unfinished.capitalize()}."]),
        edit_ms={m: _edit_ms(folder / m / "edits.jsonl") for m in methods if Path(m).name == m},
    )


def show(runs: Sequence[Run], console: Console) -> None:
    """Print runs' tables, data set by data set, what edits cost beside the paper's Table 4, and the notes."""
    for heading, sheets in chapters(runs):
        console.rule(Text(visible(heading), style="bold"), align="left")
        for sheet in sheets:
            _print(sheet, console)
    for run in runs:
        for note in run.notes:
            console.print(Text(visible(f"{run.title}: {note}")), style="dim")


def write(runs: Sequence[Run], out: Path) -> list[Path]:
    """Write `report.html`, which holds everything, and its figures as PNGs beside it; return the files' paths.

    Raises:
        BadInput: matplotlib is missing, or the folder cannot be written.
    """
    from kgt.bench import page, plots

    drawn = plots.every(runs)
    report = out / "report.html"
    files = [out / f"{plot.name}.png" for plot in drawn]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for plot, path in zip(drawn, files, strict=True):
            plots.save(plot.figure, path)
        images = [page.Image(p.dataset, p.caption, path.read_bytes()) for p, path in zip(drawn, files, strict=True)]
        report.write_text(page.render(runs, images), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error}.", "Give another folder with --out.") from error
    return [report, *files]


def _print(sheet: Sheet, console: Console) -> None:
    console.print(Text(visible(f"\n{sheet.title}"), style="bold"))
    for heading, rows in sheet.parts:
        if heading:
            console.print(Text(visible(heading), style="italic"))
        table = _table(sheet.columns, rows)
        if console.measure(table, options=console.options.update_width(10_000)).maximum > console.width:
            table = _table(sheet.columns, rows, narrow=True)
        console.print(table)
    if sheet.note:
        console.print(sheet.note, style="dim")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], narrow: bool = False) -> Table:
    """Names of metrics as words; narrow, words and a cell's two numbers stand below each other."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, name in enumerate(columns):
        words = visible(name).replace("_", " ") if name in paper.METRICS else visible(name)
        shown = Text(words.replace(" ", "\n") if narrow else words)
        table.add_column(shown, justify="right" if i else "left", overflow="fold", max_width=None if i else LABEL)
    for label, *cells in rows:
        texts = [visible(cell) for cell in cells]
        if narrow:
            texts = [text.replace(" / ", "\n/").replace(" ±", "\n±") for text in texts]
        table.add_row(Text(visible(label)), *map(Text, texts))
    return table


def _json(path: Path) -> Any:
    try:
        return json.loads(_content(path))
    except ValueError as error:
        raise _damaged(path, f"it is not JSON: {error}") from error


def _estimates(path: Path, summary: Any, method: str) -> dict[str, Estimate]:
    """A method's metrics; the ends of an interval may be infinite, a value may not."""
    found = {}
    for name in _field(path, summary, dict, "methods", method):
        at = ("methods", method, name)
        low, high = (float(_field(path, summary, (int, float), *at, end)) for end in ("low", "high"))
        found[name] = Estimate(_number(path, summary, *at, "value"), low, high, _field(path, summary, int, *at, "n"))
    return found


def _edit_ms(path: Path) -> tuple[float, ...]:
    """The times of the edits, in ms; a last line cut short by a kill is left out."""
    if not path.is_file():
        return ()
    content = _content(path)
    found = []
    for i, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            found.append(_number(path, {f"line {i}": json.loads(line)}, f"line {i}", "ms"))
        except ValueError as error:
            raise _damaged(path, f"line {i} is not JSON: {error}") from error
    return tuple(found)


def _number(path: Path, value: Any, *names: str) -> float:
    number = float(_field(path, value, (int, float), *names))
    if not isfinite(number):
        raise _damaged(path, f"{'.'.join(names)} is {number}")
    return number


def _field(path: Path, value: Any, kind: type | tuple[type, ...], *names: str) -> Any:
    """The value under these names, one inside the other."""
    for i, name in enumerate(names):
        if not isinstance(value, dict) or name not in value:
            raise _damaged(path, f"{'.'.join(names[: i + 1])} is missing")
        value = value[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _damaged(path, f"{'.'.join(names)} is {value!r:.60}, not {KINDS[kind]}")
    return value


KINDS: Mapping[type | tuple[type, ...], str] = {
    str: "a text",
    int: "a whole number",
    (int, float): "a number",
    list: "a list",
    dict: "an object",
}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read: {error.strerror}.", "Make it readable, or give another folder."
        ) from error


def _damaged(path: Path, what: str) -> BadInput:
    hint = "Restore it, or measure again into another folder (kgt bench --out)."
    return BadInput(f"{path} is damaged: {what}.", hint)
