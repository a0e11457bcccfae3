"""Studies: measurements of one part of KGT, without editors to compare; `kgt bench --dataset scope` and so on."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table

from kgt.bench.metrics import Estimate
from kgt.bench.spec import write_json
from kgt.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Sheet(NamedTuple):
    """A table; the first column holds labels."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Study:
    """What was found.

    Attributes:
        metrics: name → estimate, as in `summary.json`.
        figures: file name without ending → draws it.
    """

    metrics: dict[str, Estimate]
    sheets: list[Sheet]
    figures: dict[str, Callable[[], Figure]] = field(default_factory=dict)


def show(study: Study, console: Console) -> None:
    """Print a study's tables."""
    for sheet in study.sheets:
        table = Table(title=sheet.title, title_justify="left")
        for i, column in enumerate(sheet.columns):
            table.add_column(column, justify="right" if i else "left")
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)


def write(study: Study, name: str, folder: Path, **made_by: Any) -> list[Path]:
    """Write `summary.json`, with what made it, and the figures as PNGs, where matplotlib is installed.

    Raises:
        BadInput: the folder holds something else.
    """
    path = folder / "summary.json"
    if folder.exists() and any(folder.iterdir()) and not (path.is_file() and '"study"' in path.read_text("utf-8")):
        raise BadInput(f"{folder} is not empty and holds no study.", "Give another folder with --out.")
    folder.mkdir(parents=True, exist_ok=True)
    metrics = {key: {k: round(v, 4) for k, v in e._asdict().items()} for key, e in study.metrics.items()}
    write_json(path, {"study": name, **made_by, "python": platform.python_version(), "metrics": metrics})
    written = [path]
    try:
        import matplotlib

        matplotlib.use("Agg")
    except ImportError:
        return written
    for figure, draw in study.figures.items():
        written.append(folder / f"{figure}.png")
        draw().savefig(written[-1], dpi=150, bbox_inches="tight")
    return written


def estimate_text(estimate: Estimate, digits: int = 3) -> str:
    """A number with its interval as a cell of a table."""
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"
