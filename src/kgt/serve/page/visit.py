"""One browser tab: who is there, what they talked about, and what its panels show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from anyio import to_thread
from fastapi import FastAPI
from nicegui import Client, ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from kgt.assistant import Assistant
from kgt.conversation import Conversation, Reply, describe
from kgt.errors import GraphError, KGTError
from kgt.graph import Edit, Fact
from kgt.graph.overlay import undone_by
from kgt.serve import metrics
from kgt.serve.auth import Caller, Unauthorised, identify
from kgt.serve.service import Service
from kgt.triple import Triple, entity_key

MOST = 300
"""Most of the user's facts in the picture, the newest."""
LONGEST = 160
"""Tokens of an answer: a page has room for more than a terminal's line."""
ROWS = 60
"""Most facts in the list below it."""
SHARED = 12
"""Most facts of the base beside each entity of an answer."""
SHOWN = 20
"""Edits on one page of the history."""

T = TypeVar("T")
Action = Callable[[Any], Awaitable[object]]


@dataclass(slots=True)
class Marks:
    """What the last message, or change by hand, had to do with.

    Attributes:
        used: the facts of the answer, each with its P(z|q).
        about: the entities that the answer is about.
    """

    used: dict[Triple, float] = field(default_factory=dict)
    added: tuple[Triple, ...] = ()
    removed: tuple[Triple, ...] = ()
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What is stored, as the panels show it.

    Attributes:
        facts: the user's own, newest first; `more` if there are others.
        around: facts of the base about what the last answer is about.
        found: the facts that the search or the chosen entity asks for; `more_found` if there are others.
        undone: which edits are undone, and by which.
    """

    facts: tuple[Fact, ...] = ()
    more: bool = False
    around: tuple[Fact, ...] = ()
    found: tuple[Fact, ...] = ()
    more_found: bool = False
    edits: tuple[Edit, ...] = ()
    older: bool = False
    undone: dict[int, int] = field(default_factory=dict)


class Visit:
    """A tab of a user's. Whose key it is, is asked anew at every action.

    Args:
        key: as the browser has it; None where none is needed.
    """

    def __init__(self, app: FastAPI, key: str | None, caller: Caller) -> None:
        self._state, self._key = app.state, key
        self.service: Service = app.state.service
        self.user, self.signed_in = caller.user, key is not None
        self.client: Client = ui.context.client
        self.marks, self.view = Marks(), View()
        self.search, self.entity, self.pages = "", "", 1
        self.panels: list[Callable[[], None]] = []
        self._conversation: Conversation | None = None

    def on(self, element: Element, event: str, action: Action, js: str = "() => emit()") -> None:
        """Do something at an event; errors are told in a toast.

        Args:
            js: what the browser does, and what it sends as the action's argument.
        """

        async def handle(sent: GenericEventArguments) -> None:
            await self.attempt(partial(action, sent.args))

        element.on(event, handle, js_handler=js)

    async def attempt(self, action: Callable[[], Awaitable[object]]) -> None:
        """Do something, and tell what was wrong with it."""
        try:
            await action()
        except Unauthorised:  # what is on the screen is not theirs any more
            self.client.open("/?refused" if self.signed_in else "/")
        except KGTError as error:
            self.tell(error.message, error.hint, wrong=True)

    def tell(self, message: str, hint: str = "", *, wrong: bool = False) -> None:
        """Show a toast."""
        if self.client.is_deleted:
            return
        with self.client:
            ui.notify(
                message, caption=hint, position="top", classes="wrong" if wrong else "",
                timeout=8000 if wrong else 3000, close_button="Dismiss" if wrong else False,
            )  # fmt: skip

    async def work(self, job: Callable[[Assistant], T]) -> T:
        """Do something with the user's graph, in a thread."""
        return await self._in_thread(lambda caller: job(self.service.graph(caller.user, caller.name)))

    async def reply(self, message: str) -> Reply:
        """What a message did and found; its words are still to be read, `next_words` by `next_words`."""

        def work(caller: Caller) -> Reply:
            if self._conversation is None:
                self._conversation = Conversation(self.service.assistant(caller.user, caller.name))
            return self._conversation.reply(message, max_tokens=LONGEST)

        reply = await self._in_thread(work)
        if reply.edit:
            metrics.edited(reply.edit)
        if reply.answer:
            metrics.answered(reply.answer)
        self.marks = _marks(reply)
        return reply

    async def change(self, job: Callable[[Assistant], Edit]) -> Edit:
        """Edit the graph, say what changed, and show it."""
        edit = metrics.edited(await self.work(job))
        self.marks.added = tuple(z.triple for z in edit.added)
        self.marks.removed = tuple(z.triple for z in edit.removed)
        self.marks.used = {z: p for z, p in self.marks.used.items() if z not in self.marks.removed}
        self.tell(f"{'Undone. ' if edit.kind == 'undo' else ''}{_in_short(edit)}")
        await self.refresh()
        return edit

    async def undo(self, edit_id: int | None = None) -> None:
        """Undo an edit, by default the latest."""
        await self.change(lambda me: me.undo(edit_id))

    async def refresh(self) -> None:
        """Read what is stored, and have every panel show it."""
        marks, search, entity, pages = self.marks, self.search, self.entity, self.pages
        self.view = await self.work(lambda me: _read(me, marks, search, entity, pages))
        for show in self.panels if not self.client.is_deleted else ():
            show()

    async def watch(self) -> None:
        """Show edits that were made elsewhere."""
        newest = self.view.edits[0].id if self.view.edits else None
        try:
            latest = await self._in_thread(lambda caller: self.service.store.history(caller.user, 1), counts=False)
        except GraphError:  # the database is away: the next action says so
            return
        if (latest[0].id if latest else None) != newest:
            await self.refresh()

    async def _in_thread(self, job: Callable[[Caller], T], *, counts: bool = True) -> T:
        def authorised() -> T:
            caller = identify(self.service, self._key)
            if counts:
                self._state.limits.count(caller.user)
            return job(caller)

        return await to_thread.run_sync(authorised)


async def next_words(words: Iterator[str]) -> str | None:
    """The next piece of a reply, awaited in a thread; None at its end."""
    return await to_thread.run_sync(lambda: next(words, None))


def _marks(reply: Reply) -> Marks:
    used = reply.answer.facts if reply.answer else ()
    about = [reply.answer.subject] if reply.answer and reply.answer.subject else []
    about += [c.triple.subject for c in used]
    return Marks(
        used={c.triple: c.probability for c in used},
        added=tuple(z.triple for z in reply.edit.added) if reply.edit else (),
        removed=tuple(z.triple for z in reply.edit.removed) if reply.edit else (),
        about=tuple({entity_key(name): name for name in about}.values()),
    )


def _read(me: Assistant, marks: Marks, search: str, entity: str, pages: int) -> View:
    facts = me.facts(limit=MOST + 1)
    around = [f for name in marks.about for f in me.store.about(me.user, name, limit=MOST, shared=SHARED)]
    found = facts
    if entity:
        found = me.store.about(me.user, entity, limit=ROWS + 1, shared=SHARED)
        found += [f for f in me.facts() if f.triple.key[2] == entity and f.triple.key[0] != entity]
    elif search:
        words = search.casefold().split()
        found = [f for f in me.facts() if all(word in str(f.triple).casefold() for word in words)]
    edits = me.history(SHOWN * pages + 1)
    return View(
        facts=tuple(facts[:MOST]), more=len(facts) > MOST,
        around=tuple(f for f in around if f.source == "base"),
        found=tuple(found[:ROWS]), more_found=len(found) > ROWS,
        edits=tuple(edits[: SHOWN * pages]), older=len(edits) > SHOWN * pages,
        undone=undone_by({e.id: e.undoes for e in edits if e.id and e.undoes}),
    )  # fmt: skip


def _in_short(edit: Edit) -> str:
    if len(edit.added) + len(edit.removed) > 3:
        return f"{len(edit.added)} added, {len(edit.removed)} removed."
    return describe(edit)
