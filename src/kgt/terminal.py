"""How edits, answers, facts and errors look in a terminal, and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from kgt.assistant import Answer, Explanation
    from kgt.graph import Edit, Fact, ScoredTriple
    from kgt.graph.loading import Imported
    from kgt.triple import Triple


@contextmanager
def waiting(console: Console, text: str) -> Iterator[None]:
    """A moving bar and the seconds gone by, for work that does not say how far it is; nothing in a pipe."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(visible(text), total=None)
        yield


@contextmanager
def reading(console: Console, text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that fills as a file is read, told (bytes read, bytes there are); nothing in a pipe."""
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(bar_width=20), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(visible(text), total=None)
        yield lambda read, size: progress.update(task, completed=read, total=size or None)


def show_edit(console: Console, edit: Edit) -> None:
    """An edit as a diff: + and − triples with P(a|q,z) and P(z|q), then the loss, the time and how to undo it."""
    if not (edit.added or edit.removed):
        console.print("Known already; nothing changed.", style="dim")
        return
    for sign, style, scored in _changes(edit):
        line = Text(f"  {sign} {visible(str(scored.triple))}", style=style)
        console.print(line + Text(_probabilities(scored), style="dim"))
    parts = []
    if edit.loss_after is not None:
        parts.append(f"loss {_number(edit.loss_before)} → {_number(edit.loss_after)}")
    if edit.stop_reason:
        parts.append(f"stopped by: {edit.stop_reason}")
    if edit.milliseconds is not None:
        parts.append(f"{edit.milliseconds:.0f} ms")
    if edit.undoes is not None:
        parts.append(f"undoes edit {edit.undoes}")
    parts.append(f"edit {edit.id}" if edit.id else "not stored")
    console.print("    " + " · ".join(parts), style="dim")


def show_used(console: Console, answer: Answer) -> None:
    """The facts an answer used, in a dim line each."""
    for c in answer.facts:
        console.print(Text(f"  from {visible(str(c.triple))}   P(z|q) {c.probability:.2f}", style="dim"))


def show_facts(console: Console, facts: Sequence[Fact]) -> None:
    """Facts as a table."""
    table = _table("subject", "relation", "object", "from")
    for fact in facts:
        source = f"edit {fact.edit_id}" if fact.source == "user" else "base"
        table.add_row(*_cells(fact.triple), source)
    console.print(table if facts else Text("No facts.", style="dim"))


def show_history(console: Console, edits: Sequence[Edit]) -> None:
    """Edits, latest first."""
    table = _table("edit", "when", "what", "query → feedback", "changes")
    for e in edits:
        what = f"{e.kind} {e.undoes}" if e.undoes else e.kind
        said = visible(f"{e.query} → {e.answer}") if e.query else ""
        changes = Text()
        for sign, style, scored in _changes(e):
            changes.append(f"{sign} {visible(str(scored.triple))}\n", style)
        changes.right_crop(1)
        table.add_row(str(e.id), f"{e.time:%Y-%m-%d %H:%M}" if e.time else "", what, Text(said), changes)
    console.print(table if edits else Text("No edits yet.", style="dim"))


def show_imported(console: Console, done: Imported) -> None:
    """What a file of ConceptNet's came to."""
    before = f", {done.before:,} of them by an earlier import" if done.before else ""
    console.print(f"Read {done.lines:,} lines{before}: {done.kept:,} state a triple.")
    for why, count in sorted(done.skipped.items(), key=lambda item: -item[1]):
        console.print(f"  {count:,} skipped: {why}", style="dim")
    for number, why in done.malformed:
        console.print(f"  line {number:,} is {why}", style="yellow")
    console.print(f"The graph that all users share has {done.triples:,} triples now.")


def show_explanation(console: Console, explanation: Explanation) -> None:
    """Which facts were candidates for a query, how likely each is, and the edits behind them."""
    if not explanation.subject:
        console.print("No entity was found in the query, so no fact was considered.", style="dim")
        return
    console.print(Text(f"About {visible(explanation.subject)} (found by: {explanation.linked_by})"))
    table = _table("used", "P(z|q)", "odds", "subject", "relation", "object", "from")
    for r in explanation.reasons[:15]:
        made = ", ".join(f"edit {e.id}" for e in r.edits) or r.source
        row = ("yes" if r.used else "", f"{r.candidate.probability:.3f}", f"{r.candidate.relevance:.2f}")
        table.add_row(*row, *_cells(r.candidate.triple), made, style="green" if r.used else "dim")
    none_wins = not any(r.used for r in explanation.reasons)
    table.add_row("yes" if none_wins else "", f"{explanation.none:.3f}", "1", "none of them")
    console.print(table)


def show_error(console: Console, message: str, hint: str) -> None:
    """What was wrong, and what to do next."""
    console.print(Text("Error: ", style="bold red") + Text(visible(message)))
    if hint:
        console.print(Text(f"→ {visible(hint)}", style="dim"))


def visible(text: str) -> str:
    """Text that cannot command the terminal: control characters and lone surrogates shown as their escapes."""
    harmless = (c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else ascii(c)[1:-1] for c in text)
    return "".join(harmless)


def as_json(value: Any) -> str:
    """Any of KGT's values as one JSON text; an infinite loss is null, times are ISO 8601."""
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = [f for f in dataclasses.fields(value) if f.name != "key"]
        return {f.name: _plain(getattr(value, f.name)) for f in shown}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _cells(triple: Triple) -> tuple[Text, Text, Text]:
    return Text(visible(triple.subject)), Text(visible(triple.relation)), Text(visible(triple.object))


def _changes(edit: Edit) -> list[tuple[str, str, ScoredTriple]]:
    """(sign, colour, triple) of everything an edit changed."""
    return [("+", "green", z) for z in edit.added] + [("−", "red", z) for z in edit.removed]


def _probabilities(scored: ScoredTriple) -> str:
    if scored.reasoning is None or scored.retrieval is None:
        return ""
    return f"   P(a|q,z) {scored.reasoning:.3f}  P(z|q) {scored.retrieval:.3f}"


def _number(loss: float | None) -> str:
    return "–" if loss is None else "∞" if math.isinf(loss) else f"{loss:.3f}"
