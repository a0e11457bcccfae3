"""The chat: messages as they are written, and below each what it changed and which facts it used."""

from __future__ import annotations

from functools import partial
from typing import Any

from nicegui import ui
from nicegui.element import Element

from kgt.conversation import Reply
from kgt.errors import KGTError
from kgt.graph import Edit
from kgt.serve.page.parts import button, changes, el, probability, triple
from kgt.serve.page.visit import Visit, next_words
from kgt.triple import Triple

STARTERS = ("What does my dog eat?", "My sister Ana lives in Lisbon.", "My favourite colour is green.")
_ENTER = "(e) => { if (!e.shiftKey && !e.isComposing) { e.preventDefault(); emit(e.target.value); } }"


class Chat:
    """The conversation of one tab."""

    def __init__(self, visit: Visit) -> None:
        self._visit, self._busy = visit, False
        self._cards: list[tuple[Edit, Element]] = []
        with el("div", "scroller"), el("div", "messages", role="log", aria_label="Messages") as self._log:
            self._intro()
        with el("div", "composer"):
            self._box = ui.textarea(placeholder="Ask, correct, or tell something").props("borderless autogrow rows=1")
            self._box.props["aria-label"] = "Message"
            send = button("Send", "send", icon="arrow_upward")
        visit.on(self._box, "keydown.enter", self.send, _ENTER)
        visit.on(send, "click", lambda _: self.send(self._box.value))
        visit.panels.append(self._show_cards)

    async def send(self, message: str) -> None:
        """Say something, and show the reply as it comes."""
        message = (message or "").strip()
        if not message or self._busy:
            return
        self._busy = True
        self._intro_shown.set_visibility(False)
        self._box.value = ""
        with self._log:
            el("div", "message mine", message)
            said = el("div", "message theirs")
        with said:
            text = ui.label().classes("text waiting")
            text.props["aria-label"] = "" if self._visit.service.loaded else "Waiting for the model"
        try:
            await self._answer(message, said, text)
        except KGTError:
            said.delete()
            self._box.value = message
            raise
        finally:
            text.classes(remove="waiting")
            self._busy = False

    async def _answer(self, message: str, said: Element, text: ui.label) -> None:
        reply = await self._visit.reply(message)
        await self._visit.refresh()  # the graph shows what was found before the words come
        text.classes(remove="waiting")
        words = iter(reply.words)
        while (piece := await next_words(words)) is not None:
            if not said.client.is_deleted:
                text.set_text((text.text + piece).lstrip())
        if not said.client.is_deleted:
            with said:
                self._notes(reply)

    def _notes(self, reply: Reply) -> None:
        if reply.edit and reply.edit.id:
            card = el("div", "card")
            self._cards.append((reply.edit, card))
            self._show_card(reply.edit, card)
        if reply.answer:
            self._provenance([(c.triple, c.probability) for c in reply.answer.facts])

    def _provenance(self, used: list[tuple[Triple, float]]) -> None:
        with el("div", "provenance"):
            if not used:
                el("span", "quiet", "No stored fact was used.")
                return
            el("span", "quiet", "From")
            for z, p in used:
                with el("span", "used"):
                    triple(z)
                    probability("P(z|q)", p)

    def _show_cards(self) -> None:
        for edit, card in self._cards:
            self._show_card(edit, card)

    def _show_card(self, edit: Edit, card: Element) -> None:
        """What an edit changed, and the way back; or forth, where it is undone."""
        assert edit.id is not None
        undone_by = self._visit.view.undone.get(edit.id)
        card.clear()
        card.classes(add="undone" if undone_by else "", remove="" if undone_by else "undone")
        with card:
            with el("div", "bar"):
                el("span", "quiet", "Undone" if undone_by else "Your graph changed")
                turn = button("Redo" if undone_by else "Undo", "both", icon="redo" if undone_by else "undo")
            changes(edit)
        self._visit.on(turn, "click", lambda _: self._visit.undo(undone_by or edit.id))

    async def _start(self, text: str, _: Any) -> None:
        await self.send(text)

    def _intro(self) -> None:
        with el("div", "intro") as self._intro_shown:
            el("h2", "", "What should I know about you?")
            el("p", "", "Ask something. Correct an answer once, and it is right however you ask next time. "
               "Every change shows on the graph, and can be undone.")  # fmt: skip
            with el("div", "starters"):
                for text in STARTERS:
                    self._visit.on(button(text, "starter"), "click", partial(self._start, text))
