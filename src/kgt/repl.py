"""The chat in the terminal: answers stream, corrections show their diff, and commands start with /."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING

from rich.console import Console

from kgt.errors import KGTError
from kgt.terminal import show_edit, show_error, show_explanation, show_facts, show_history, show_used, visible

if TYPE_CHECKING:
    from kgt.assistant import Assistant

HELP = "/facts [ENTITY]  /history  /undo [EDIT]  /explain QUESTION  /new  /help  /quit"


def chat(me: Assistant, out: Console) -> None:
    """Read messages until the end of input, answering or learning from each."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  line editing and history for input()
    if sys.stdin.isatty():
        if me.encoder:  # while the first message is typed: it imports torch, which takes seconds
            threading.Thread(target=me.encoder.load).start()
        out.print(f"Chatting with {visible(me.model.name)} as {visible(me.user)}. {HELP}", style="dim", markup=False)
    while True:
        try:
            message = input("> " if sys.stdin.isatty() else "").strip()
        except (EOFError, KeyboardInterrupt):
            out.print()
            return
        if message in ("/quit", "/exit", "/q"):
            return
        if not message:
            continue
        try:
            _turn(me, out, message)
        except KGTError as error:
            show_error(out, error.message, error.hint)
        except KeyboardInterrupt:
            out.print(" (stopped)", style="dim")


def _turn(me: Assistant, out: Console, message: str) -> None:
    command, _, rest = message.partition(" ")
    if command == "/facts":
        show_facts(out, me.facts(rest or None))
    elif command == "/history":
        show_history(out, me.history(20))
    elif command == "/undo":
        show_edit(out, me.undo(int(rest) if rest.isdecimal() else None))
    elif command == "/explain":
        show_explanation(out, me.explain(rest))
    elif command == "/new":
        me.new_chat()
    elif command.startswith("/"):
        out.print(HELP, style="dim", markup=False)
    else:
        turn = me.chat(message, on_text=lambda piece: out.print(visible(piece), end="", markup=False, soft_wrap=True))
        out.print()
        if turn.edit:
            show_edit(out, turn.edit)
        if turn.answer:
            show_used(out, turn.answer)
