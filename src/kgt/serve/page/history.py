"""The history: every edit, newest first, and the way back from each."""

from __future__ import annotations

from typing import Any

from kgt.graph import Edit
from kgt.serve.page.parts import button, changes, el
from kgt.serve.page.visit import Visit

_KINDS = {"teach": "Corrected", "add": "Added", "forget": "Forgotten", "import": "Imported", "undo": "Undone"}


class History:
    """The timeline of edits."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._shown: object = None
        self._list = el("ol", "timeline", aria_label="Edits")
        self._more = button("Show older edits", "older")
        visit.on(self._more, "click", self._older)
        visit.panels.append(self._show)

    async def _older(self, _: Any) -> None:
        self._visit.pages += 1
        await self._visit.refresh()

    def _show(self) -> None:
        view = self._visit.view
        shown = (view.edits, view.undone)
        if shown == self._shown:
            return
        self._shown = shown
        self._list.clear()
        with self._list:
            for edit in view.edits:
                self._entry(edit)
            if not view.edits:
                el("li", "quiet", "No edits yet.")
        self._more.set_visibility(view.older)

    def _entry(self, edit: Edit) -> None:
        assert edit.id is not None and edit.time is not None
        undone_by = self._visit.view.undone.get(edit.id)
        with el("li", f"edit {edit.kind} {'undone' if undone_by else ''}"):
            with el("div", "bar"):
                el("span", "kind", _KINDS[edit.kind] + (f" #{edit.undoes}" if edit.undoes else ""))
                el("time", "quiet", f"{edit.time:%Y-%m-%d %H:%M} UTC", datetime=edit.time.isoformat())
                el("span", "quiet number", f"#{edit.id}")
                if undone_by:
                    el("span", "quiet", f"undone by #{undone_by}")
                else:
                    turn = button("Redo" if edit.kind == "undo" else "Undo", "both",
                                  icon="redo" if edit.kind == "undo" else "undo")  # fmt: skip
                    self._visit.on(turn, "click", lambda _: self._visit.undo(edit.id))
            if edit.query or edit.answer:
                el("p", "said", " → ".join(filter(None, [edit.query, edit.answer])))
            changes(edit)
