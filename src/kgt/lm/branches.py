"""Texts as a tree: what several begin with alike is read once, by all their sequences together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kgt.lm.llama_engine import Read
from kgt.lm.tokens import Tokens, alike


class Text(NamedTuple):
    """What is read in a sequence of its own.

    Attributes:
        prompt: after its last token the next one's distribution is wanted.
        end: as after each of these tokens, which follow it.
        known: how many tokens of the prompt the sequence holds already; never all.
    """

    prompt: Tokens
    end: Tokens
    known: int


def tree(texts: Sequence[Text]) -> tuple[list[Read], list[list[int]]]:
    """Texts, text i as sequence i, in as few tokens as possible, each after all that it follows.

    Returns:
        The tokens, and for each text which of them its distributions stand after, (1 + its end's length).
    """
    todo: list[Read] = []
    found: list[list[int]] = [[] for _ in texts]
    before: Tokens = ()
    path: list[int] = []  # where the last text's tokens stand in `todo`, those it does not hold already
    held = 0
    for i in sorted(range(len(texts)), key=lambda i: (texts[i].known, (*texts[i].prompt, *texts[i].end))):
        prompt, end, known = texts[i]
        tokens = (*prompt, *end)
        common = alike(tokens, before) if known == held else 0
        path = path[: max(common - known, 0)]
        for place in path:
            todo[place].sequences.append(i)
        for position in range(known + len(path), len(tokens)):
            path.append(len(todo))
            todo.append(Read(tokens[position], position, [i], wanted=False))
        found[i] = path[len(prompt) - 1 - known :]
        before, held = tokens, known
    wanted = {place for places in found for place in places}
    return [read._replace(wanted=place in wanted) for place, read in enumerate(todo)], found
