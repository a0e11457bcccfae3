"""The facts as a list: search, and adding, editing and deleting by hand."""

from __future__ import annotations

from copy import copy
from typing import Any

from nicegui import ui

from kgt.graph import Fact
from kgt.graph.exchange import PARTS
from kgt.serve.page.parts import button, el, triple
from kgt.serve.page.visit import ROWS, Visit
from kgt.triple import Triple


class Facts:
    """The list below the picture."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._editing: Triple | None = None
        self._shown: object = None
        with el("section", "facts", aria_label="Facts"):
            with el("div", "tools"):
                self._search = ui.input(placeholder="Search facts").props("borderless dense clearable debounce=250")
                self._search.classes("search").props["aria-label"] = "Search facts"
                add = button("Add a fact", "both", icon="add")
            self._about = el("div", "about")
            self._list = el("ul", "rows")
        self._dialog = self._editor()
        visit.on(self._search, "update:model-value", self._searched, "(text) => emit(text)")
        visit.on(add, "click", lambda _: self._edit(None))
        visit.panels.append(self._show)

    async def _searched(self, text: str | None) -> None:
        self._visit.search, self._visit.entity = (text or "").strip(), ""
        await self._visit.refresh()

    async def all(self, _: Any = None) -> None:
        """Show all facts again."""
        if not self._visit.search and not self._visit.entity:
            return
        self._visit.search = self._visit.entity = ""
        self._search.value = ""
        await self._visit.refresh()

    def _show(self) -> None:
        visit = self._visit
        shown = (visit.view.found, visit.view.more_found, visit.entity, visit.search, copy(visit.marks))
        if shown == self._shown:
            return
        self._shown = shown
        self._about.clear()
        with self._about:
            if visit.entity:
                name = next((n for f in visit.view.found for n in _called(f.triple, visit.entity)), visit.entity)
                el("span", "", f"About {name}")
                visit.on(button("Show all facts", icon="close"), "click", self.all)
            if visit.view.more_found:
                el("span", "quiet", f"The first {ROWS} are listed; search for others.")
        self._list.clear()
        with self._list:
            for fact in visit.view.found:
                self._row(fact)
            if not visit.view.found and (visit.search or visit.entity):
                el("li", "quiet", "No fact is found.")

    def _row(self, fact: Fact) -> None:
        marks, z = self._visit.marks, fact.triple
        kind = "added" if z in marks.added else "used" if z in marks.used else ""
        with el("li", f"row {kind}"):
            triple(z)
            if fact.source == "base":
                el("span", "shared", "shared", title="Everybody's: if you change it, only you see the change.")
            edit, delete = button(f"Edit {z}", icon="edit"), button(f"Delete {z}", icon="delete_outline")
        self._visit.on(edit, "click", lambda _: self._edit(z))
        self._visit.on(
            delete, "click", lambda _: self._visit.change(lambda me: me.forget(z.subject, z.relation, z.object))
        )

    def _editor(self) -> ui.dialog:
        with ui.dialog() as dialog, el("form", "dialog", aria_label="Fact") as form:
            self._title = el("h2", "", "")
            self._inputs = {part: ui.input(part.capitalize()).props("outlined dense") for part in PARTS}
            self._inputs["subject"].props("autofocus")
            with el("div", "bar end"):
                cancel = button("Cancel")
                el("button", "button primary", "Save", type="submit")
        cancel.on("click", dialog.close)
        self._visit.on(form, "submit.prevent", self._save)
        return dialog

    async def _edit(self, z: Triple | None) -> None:
        self._editing = z
        self._title.set_text("Edit a fact" if z else "Add a fact")
        for part, box in self._inputs.items():
            box.value = getattr(z, part) if z else ""
        self._dialog.open()

    async def _save(self, _: Any) -> None:
        old, new = self._editing, Triple(*(box.value or "" for box in self._inputs.values()))
        if old and (old.subject, old.relation, old.object) == (new.subject, new.relation, new.object):
            self._dialog.close()
            return
        await self._visit.change(lambda me: me.amend(old, new) if old else me.add_triples([new]))
        self._dialog.close()


def _called(z: Triple, key: str) -> list[str]:
    return [name for name, one in ((z.subject, z.key[0]), (z.object, z.key[2])) if one == key]
