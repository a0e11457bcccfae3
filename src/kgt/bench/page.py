"""The report as one HTML page that loads nothing: its style and figures are in it, everything else is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from kgt.bench import paper
from kgt.bench.sheets import Sheet, chapters
from kgt.terminal import visible

if TYPE_CHECKING:
    from kgt.bench.report import Run

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5a6572; --paper: #fff; --line: #d8dee4; --band: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --dim: #9aa5b1; --paper: #14171a; --line: #353c44; --band: #1f2429; }
}
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h2 { margin-top: 2.5rem; border-bottom: 2px solid var(--line); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
td { white-space: nowrap; }
td:first-child, .words td { white-space: normal; overflow-wrap: anywhere; }
tr.part th { background: var(--band); text-align: left; font-weight: 500; }
.note, figcaption { color: var(--dim); font-size: .875rem; }
figure { margin: 1.5rem 0; }
img { width: 100%; max-width: 56rem; background: #fff; border-radius: 4px; }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Image:
    """A figure: the data set it belongs to, what it shows, and its PNG."""

    dataset: str
    caption: str
    png: bytes


def render(runs: Sequence[Run], images: Sequence[Image]) -> str:
    """The whole page."""
    body = []
    for heading, sheets in chapters(runs):
        body.append(f"<h2>{_text(heading)}</h2>")
        body += [_table(sheet) for sheet in sheets]
        body += [_figure(image) for image in images if image.dataset == heading]
    body.append("<h2>Runs</h2>")
    body += [_run(run) for run in runs]
    body.append("<h2>What the names mean</h2>")
    body.append(_words(("name", "unit", "meaning", "source"), ((name, *m) for name, m in paper.METRICS.items())))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>KGT benchmark</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>KGT benchmark</h1>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _table(sheet: Sheet) -> str:
    head = "".join(f'<th scope="col">{_name(c)}</th>' for c in sheet.columns)
    lines = [f"<thead><tr>{head}</tr></thead>"]
    for heading, rows in sheet.parts:
        part = f'<tr class="part"><th colspan="{len(sheet.columns)}">{_text(heading)}</th></tr>'
        lines.append("<tbody>" + (part if heading else "") + "".join(_row(row) for row in rows) + "</tbody>")
    note = f'<p class="note">{_text(sheet.note)}</p>' if sheet.note else ""
    return f'<h3>{_text(sheet.title)}</h3>\n<div class="scroll"><table>' + "\n".join(lines) + f"</table></div>{note}"


def _row(cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<td>{_name(cell)}</td>" for cell in cells) + "</tr>"


def _figure(image: Image) -> str:
    data, caption = base64.b64encode(image.png).decode(), _text(image.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def _run(run: Run) -> str:
    """How a run's numbers came about."""
    m = run.manifest
    facts = {
        "command": m["command"],
        "folder": run.folder,
        "model": f"{run.model}, SHA-256 {m.get('model_sha256') or 'unknown'}",
        "data": f"{m.get('source', 'unknown')}, SHA-256 {m.get('data_sha256', 'unknown')}",
        "options": _pairs(m["spec"].get("options", {})),
        "versions": _pairs({"kgt": m.get("kgt", "unknown"), **m["versions"]}),
        "machine": _pairs(m["machine"]),
        "time": f"{m.get('started')} to {m.get('finished') or 'not finished'}",
        "notes": " ".join(run.notes) or "none",
    }
    return f"<h3>{_text(run.title)}</h3>\n" + _words((), ((k, str(v)) for k, v in facts.items()))


def _words(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of words, not of numbers."""
    head = "<thead><tr>" + "".join(f"<th>{c}</th>" for c in columns) + "</tr></thead>" if columns else ""
    lines = "\n".join(_row(row) for row in rows)
    return f'<div class="scroll"><table class="words">{head}<tbody>{lines}</tbody></table></div>'


def _pairs(value: Mapping[str, Any]) -> str:
    """`k 5, alpha 1.5, gpu none`."""
    return ", ".join(f"{k} {'none' if v in ('', None) else str(v)}" for k, v in value.items())


def _name(text: str) -> str:
    """A cell; a metric's long name may break at its underscores."""
    return _text(text).replace("_", "_<wbr>") if text in paper.METRICS else _text(text)


def _text(text: str) -> str:
    return escape(visible(text))
