"""What is at /: the three views beside or behind one another, or the form to sign in."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI, Request
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from kgt.errors import KGTError
from kgt.serve.auth import Caller, Unauthorised, identify
from kgt.serve.page.chat import Chat
from kgt.serve.page.facts import Facts
from kgt.serve.page.graph import Graph
from kgt.serve.page.history import History
from kgt.serve.page.parts import button, el
from kgt.serve.page.visit import Visit
from kgt.serve.service import Service

COOKIE = "kgt_key"
SECONDS = 3.0
"""How often a tab looks whether its user's graph was edited elsewhere."""
VIEWS = (("chat", "Chat", "chat_bubble_outline"), ("graph", "Graph", "hub"), ("history", "History", "history"))
KEYS = (
    ("Enter", "send the message"),
    ("Shift Enter", "a new line"),
    ("/", "search the facts"),
    ("Ctrl Z or ⌘ Z", "undo the latest edit"),
    ("Esc", "close, or show all facts again"),
    ("?", "this help"),
)
_HERE = Path(__file__).parent


async def home(request: Request) -> None:
    """The page of whoever has the key in the browser's cookie."""
    app: FastAPI = request.scope["kgt"]
    ui.add_head_html(f"<style>{_read('page.css')}</style><script>{_read('page.js')}</script>")
    try:
        key, caller = await to_thread.run_sync(_who, app.state.service, request.cookies.get(COOKIE))
    except Unauthorised:
        return _sign_in("refused" in request.query_params)
    except KGTError as error:
        return _unavailable(error)
    visit = Visit(app, key, caller)
    ui.on_exception(lambda: visit.tell("Something went wrong in the server.", "Its log says what.", wrong=True))
    with el("div", "page"):
        _header(visit)
        with el(
            "p", "loading", "The model is still loading. Graph and history work already.", role="status"
        ) as loading:
            loading.set_visibility(not app.state.service.loaded)
        with el("div", "panes"):
            with el("section", "view chat", id="chat", aria_label="Chat"):
                Chat(visit)
            with el("div", "side"):
                _tabs("tabs top")
                with el("div", "views"):
                    with el("section", "view graph", id="graph", aria_label="Graph"):
                        Graph(visit)
                        facts = Facts(visit)
                    with el("section", "view history", id="history", aria_label="History"):
                        History(visit)
        _tabs("tabs bottom")
    visit.on(ui.context.client.layout, "kgt-undo", lambda _: visit.undo())
    visit.on(ui.context.client.layout, "kgt-escape", facts.all)
    ui.timer(0, partial(visit.attempt, visit.refresh), once=True)
    ui.timer(SECONDS, partial(visit.attempt, visit.watch))
    if not app.state.service.loaded:
        ui.timer(0, partial(_load, app.state.service, loading), once=True)


def _who(service: Service, key: str | None) -> tuple[str | None, Caller]:
    """Whose page it is, and by which key.

    Raises:
        Unauthorised: the key is not valid, and one is needed.
    """
    try:
        return key or None, identify(service, key)
    except Unauthorised:
        return None, identify(service, None)


async def _load(service: Service, loading: TextElement) -> None:
    try:
        await to_thread.run_sync(service.load)
    except KGTError as error:
        loading.set_text(f"The model could not be loaded: {error}")
        return
    loading.set_visibility(False)


def _header(visit: Visit) -> None:
    help = _help()
    with el("header"):
        el("h1", "", "KGT")
        el("span", "user", visit.user, title="Whose graph this is")
        button("Theme", "theme", icon="contrast").on("click", js_handler="() => kgt.nextTheme()")
        button("Keyboard shortcuts", "help", icon="keyboard").on("click", help.open)
        if visit.signed_in:
            with el("form", "", action="/signout", method="post"):
                el("button", "button", "Sign out", type="submit")


def _tabs(classes: str) -> None:
    with el("nav", classes, aria_label="Views"):
        for name, title, icon in VIEWS:
            with el("button", f"tab to-{name}", type="button", data_view=name) as tab:
                el("i", "material-icons", icon, aria_hidden="true")
                el("span", "", title)
            tab.on("click", js_handler=f"() => kgt.view('{name}')")


def _help() -> ui.dialog:
    with ui.dialog() as help, el("div", "dialog"):
        el("h2", "", "Keyboard")
        with el("dl", "keys"):
            for key, does in KEYS:
                el("dt", "", key)
                el("dd", "", does)
        with el("div", "bar end"):
            button("Close", "primary").on("click", help.close)
    return help


def _sign_in(refused: bool) -> None:
    with el("div", "signin"), el("form", "dialog", action="/signin", method="post"):
        el("h1", "", "KGT")
        el("p", "", "This server asks who you are. Your API key was made by “kgt user add”.")
        el("label", "", "API key", for_="key")
        el("input", "", id="key", name="key", type="password", autocomplete="current-password", required=True,
           autofocus=True)  # fmt: skip
        if refused:
            el("p", "refused", "That key is not known, or is no longer valid.", role="alert")
        el("button", "button primary", "Sign in", type="submit")


def _unavailable(error: KGTError) -> None:
    ui.context.client.status_code = 503
    with el("div", "signin"), el("div", "dialog", role="alert"):
        el("h1", "", "KGT")
        el("p", "", error.message)
        el("p", "quiet", error.hint)


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
