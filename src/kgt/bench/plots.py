"""The report's figures. Each is None where there is nothing to show.

A method has the same colour in every figure; the colours (Okabe & Ito's and Tol's) are told apart
by colour-blind readers, and lines differ in their markers too.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from kgt.bench.metrics import Estimate
from kgt.bench.sheets import MEMORY
from kgt.errors import BadInput
from kgt.terminal import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kgt.bench.report import Run

COLOURS = {
    "kgt": "#0072B2",
    "klamp": "#E69F00",
    "no_edit": "#888888",
    "ft": "#D55E00",
    "ft_l": "#CC79A7",
    "rome": "#009E73",
    "ke": "#56B4E9",
    "kn": "#999933",
    "mend": "#332288",
    "grace": "#882255",
    "defer": "#661100",
    "memory": "#117733",
    "ft_ewc": "#DDCC77",
    "ft_retrain": "#44AA99",
}
MARKERS = dict(zip(COLOURS, "osXD^vP<>ph8dH", strict=True))
SPARE = ("#AA4499", "#6699CC", "#222222")
"""For methods this file does not know."""
SCORES = ("ES", "PS", "NS", "exact", "same_subject_locality")
WIDTH = 8.0
"""Inches; at 200 dpi 1,600 pixels, a page's width."""
INK = "#333333"
WIDE = 20
"""From this ratio of the longest to the shortest edit on, the time axis is logarithmic."""
APART = 1.5
"""Least ratio of two labelled numbers of edits, so that labels do not touch."""
SHORTEST_MS = 0.001
"""Times are kept to a microsecond; a 0 is drawn as one on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with its data set, the name of its file and what it shows."""

    dataset: str
    name: str
    caption: str
    figure: Figure


def every(runs: Sequence[Run]) -> list[Plot]:
    """All figures of the runs. Of runs that differ only in n, the largest is shown whole."""
    series: dict[str, list[Run]] = {}
    for run in runs:
        series.setdefault(_same_but_n(run), []).append(run)
    found: list[Plot] = []

    def add(run: Run, kind: str, what: str, figure: Figure | None) -> None:
        if figure is not None:
            found.append(Plot(run.dataset, f"{len(found) + 1:02}-{_slug(run.dataset)}-{kind}", what, figure))

    for together in series.values():
        most = max(run.n for run in together)
        for run in together:
            if run.n == most:
                add(run, "scores", f"Scores, {run.title}; error bars: 95 % intervals.", scores(run))
                add(run, "latency", f"Time of an edit, {run.title}.", latency(run))
                add(run, "memory", f"Peak memory of teaching beyond plain inference, {run.title}.", memory(run))
        add(together[0], "edits", "Scores against the number of edits; error bars: 95 %.", against_edits(together))
    return found


def scores(run: Run) -> Figure | None:
    """ES, PS, NS, exact and same_subject_locality by method: bars with 95 % intervals, in percent."""
    shown = [name for name in SCORES if any(name in found for found in run.methods.values())]
    methods = {m: found for m, found in run.methods.items() if any(name in found for name in shown)}
    if not shown:
        return None
    figure, axes = _canvas(run.title, 4.4)
    width = 0.84 / len(methods)
    for i, (method, found) in enumerate(methods.items()):
        here = [(x + (i - (len(methods) - 1) / 2) * width, found[m]) for x, m in enumerate(shown) if m in found]
        axes.bar(
            [x for x, _ in here],
            [e.value for _, e in here],
            0.9 * width,
            yerr=_arms([e for _, e in here]),
            color=colour(method),
            label=_label(method),
            error_kw={"ecolor": INK, "elinewidth": 1, "capsize": min(3.0, 16 * width)},
        )
    axes.set_xticks(range(len(shown)), ["\n".join(name.replace("_", " ").rsplit(" ", 1)) for name in shown])
    axes.tick_params(axis="x", length=0)
    _percent(axes)
    _legend(figure, axes)
    return figure


def latency(run: Run) -> Figure | None:
    """How long edits took, in ms: a row a method, its box the middle half of the edits, its line 90 % of them."""
    taken = {m: ms for m, ms in run.edit_ms.items() if any(t > 0 for t in ms)}
    if not taken:
        return None
    figure, axes = _canvas(run.title, 1.3 + 0.42 * len(taken))
    quantiles = {m: np.maximum(np.percentile(ms, [5, 25, 50, 75, 95]), SHORTEST_MS) for m, ms in taken.items()}
    for y, (method, (low, first, median, third, high)) in enumerate(quantiles.items()):
        axes.hlines(y, low, high, color=INK, linewidth=1)
        axes.barh(y, third - first, 0.55, first, color=colour(method), edgecolor=INK, linewidth=0.8)
        axes.vlines(median, y - 0.275, y + 0.275, color="white", linewidth=3.5)
        axes.vlines(median, y - 0.275, y + 0.275, color=INK, linewidth=1.5)
    _rows(axes, [f"{_label(m)}, median {_short(q[2])} ms" for m, q in quantiles.items()])
    ends = np.concatenate(list(quantiles.values()))
    if ends.max() / ends.min() > WIDE:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(_plain_ticks)
        axes.set_xlabel("ms an edit, logarithmic (box: middle half; line: 5 % to 95 % of edits)")
    else:
        axes.set_xlim(left=0)
        axes.set_xlabel("ms an edit (box: middle half; line: 5 % to 95 % of edits)")
    return figure


KEPT = {"ES": "ES, taught queries", "PS": "PS, paraphrases", "other_entity_locality": "Others' answers as before"}
"""What is shown against the number of edits: metric → title."""


def against_edits(runs: Sequence[Run]) -> Figure | None:
    """What holds, and what stays as it was, against the number of edits of runs that differ in n; percent, 95 %."""
    ns = sorted({run.n for run in runs})
    shown = [name for name in KEPT if any(name in found for run in runs for found in run.methods.values())]
    if len(ns) < 2 or not shown:
        return None
    first = runs[0]
    figure, panels = _canvas(f"{first.dataset}: {first.protocol}, {first.model_name}", 4.2, len(shown))
    for axes, metric in zip(np.atleast_1d(panels), shown, strict=True):
        for method in dict.fromkeys(m for run in runs for m in run.methods):
            points = [(r.n, r.methods[method][metric]) for r in runs if metric in r.methods.get(method, {})]
            _line(axes, method, sorted(points))
        axes.set_xscale("log")
        axes.set_xticks(_apart(ns))
        axes.xaxis.set_major_formatter(_plain_ticks)
        axes.minorticks_off()
        axes.set_xlabel("edits made before asking" if first.protocol == "sequential" else "cases, each edited alone")
        axes.set_title(KEPT[metric], fontsize=10)
        _percent(axes)
    _legend(figure, np.atleast_1d(panels)[0])
    return figure


def memory(run: Run) -> Figure | None:
    """Peak memory while editing, beyond that of plain inference, in MB by method."""
    kinds = [name for name in MEMORY if any(name in found for found in run.methods.values())]
    methods = {m: found for m, found in run.methods.items() if any(name in found for name in kinds)}
    if not kinds:
        return None
    figure, axes = _canvas(run.title, 1.3 + (0.2 + 0.22 * len(kinds)) * len(methods))
    height = 0.7 / len(kinds)
    for y, (method, found) in enumerate(methods.items()):
        for k, kind in enumerate(kinds):
            if kind in found:
                place = y + (k - (len(kinds) - 1) / 2) * height
                hatch = "//" if kind.startswith("cuda") else ""
                bar = axes.barh(
                    place, found[kind].value, 0.9 * height, color=colour(method), hatch=hatch, edgecolor="white"
                )
                said = MEMORY[kind] if len(kinds) > 1 else ""
                axes.bar_label(bar, [f"{_short(found[kind].value)} MB {said}".strip()], padding=4, fontsize=9)
    _rows(axes, [_label(m) for m in methods])
    axes.xaxis.set_major_formatter(_plain_ticks)
    axes.set_xlim(0, 1.3 * max(1.0, *(f[k].value for f in methods.values() for k in kinds if k in f)))
    axes.set_xlabel("MB beyond plain inference" + ("" if len(kinds) > 1 else f" ({MEMORY[kinds[0]]})"))
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG at 200 dpi."""
    figure.savefig(path, dpi=200, format="png")


def colour(method: str) -> str:
    """A method's colour, the same in every figure."""
    return COLOURS.get(method) or SPARE[zlib.crc32(method.encode("utf-8", "replace")) % len(SPARE)]


def _same_but_n(run: Run) -> str:
    """What two runs must share to be points of one line."""
    options = {k: v for k, v in run.manifest["spec"].get("options", {}).items() if k not in ("sample", "fluency")}
    return json.dumps([run.dataset, run.protocol, run.model, options], sort_keys=True)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]


def _canvas(title: str, height: float, panels: int = 1) -> tuple[Figure, Any]:
    """A figure without pyplot: no window and no backend to choose, PNGs are drawn by Agg."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BadInput(
            "The report's figures need matplotlib, which is not installed.", 'pip install "kgt[bench]"'
        ) from error
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    axes = figure.subplots(1, panels, sharey=True)
    figure.suptitle(_label(title), fontsize=11)
    for a in np.atleast_1d(axes):
        a.spines[["top", "right"]].set_visible(False)
        a.set_axisbelow(True)
        a.grid(axis="both", color="#e4e4e4", linewidth=0.7)
    return figure, axes


def _line(axes: Axes, method: str, points: Sequence[tuple[int, Estimate]]) -> None:
    """Every run's point with its interval; the line goes through the mean of runs with as many edits."""
    if not points:
        return
    by_n: dict[int, list[float]] = {}
    for n, e in points:
        by_n.setdefault(n, []).append(e.value)
    above = 4 if method == "kgt" else 3  # where lines meet, ours is seen
    axes.plot(list(by_n), [fmean(v) for v in by_n.values()], color=colour(method), linewidth=1.6, zorder=above)
    xs, estimates = [n for n, _ in points], [e for _, e in points]
    axes.errorbar(
        xs,
        [e.value for e in estimates],
        _arms(estimates),
        color=colour(method),
        marker=MARKERS.get(method, "*"),
        markersize=6,
        linestyle="",
        capsize=3,
        zorder=above,
        label=_label(method),
    )


def _arms(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths of the error bars down and up; an interval without an end is not drawn."""
    down, up = [e.value - e.low for e in estimates], [e.high - e.value for e in estimates]
    return [[max(0.0, v) if np.isfinite(v) else 0.0 for v in arm] for arm in (down, up)]


def _percent(axes: Axes) -> None:
    axes.set_ylim(0, 103)
    axes.set_ylabel("%")
    axes.grid(axis="x", visible=False)
    axes.yaxis.set_tick_params(labelleft=True)


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    """One row a method, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)


def _apart(ns: Sequence[int]) -> list[int]:
    kept = [ns[0]]
    for n in ns[1:]:
        if n >= APART * kept[-1]:
            kept.append(n)
    return kept


def _label(text: str) -> str:
    """Text as it is: `$` would begin a formula, and a control character has no glyph."""
    return visible(text).replace("\n", " ").replace("\t", " ").replace("$", r"\$")


def _plain_ticks(value: float, _: object) -> str:
    return f"{value:,.10g}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
