"""Keys and values of prompts met lately, so that one that begins alike is computed from where they part.

Every chat prompt begins with the template's own words, and one turn's prompt with those of the turn
before; of a short question's prompt most is known before it is asked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from kgt.lm.base import Message
from kgt.lm.tokens import Tokens, alike

S = TypeVar("S")
"""Where a backend has a prompt's keys and values."""

BLOCK = 8
"""A prompt met before is found by its beginnings of so many tokens, and of twice, three times … so many."""
MOST_TOKENS = 1024
"""Kept in all by default: 24 MB for the bundled model, 134 MB for an 8B Llama-3."""
WORTH = 0.25
"""A prompt is kept if more than this part of it was new."""
SPARED = 64
"""A plain prompt is read from the chat template's words on, unless more than so many further tokens of it are known."""


class Known(NamedTuple, Generic[S]):
    """What is known of a prompt.

    Attributes:
        tokens: its beginning.
        states: those of a prompt that begins so; only for the first len(tokens) tokens are they of use.
    """

    tokens: Tokens
    states: S | None


class PrefixCache(Generic[S]):
    """The states of the prompts met last.

    Args:
        most_tokens, most_prompts: how much is kept in all.

    Attributes:
        opening: what the prompt of every plain question begins with, once its backend has read it by itself.
    """

    def __init__(self, most_tokens: int = MOST_TOKENS, most_prompts: int = MOST_TOKENS) -> None:
        self._most_tokens, self._most_prompts = most_tokens, most_prompts
        self._states: OrderedDict[Tokens, S] = OrderedDict()
        self._begins: dict[Tokens, Tokens] = {}
        self.opening: Known[S] | None = None

    def clear(self) -> None:
        """Forget everything, as after a change of the model's weights."""
        self._states.clear()
        self._begins.clear()
        self.opening = None

    def find(self, prompt: Tokens, *, plain: bool = False) -> Known[S]:
        """What a prompt has in common with the last one met that begins with as many blocks of it.

        Never all of it: its last token is to be computed.

        Args:
            plain: whether it is of a question that no fact concerns. Of these the opening counts as known, as often as
                they are asked: read from another place on they are rounded otherwise, and in bfloat16 the answer might
                be in other words. Only where much more is known, of a conversation's earlier turns, that is taken.
        """
        known, opening = self._met(prompt), self.opening
        if not plain or opening is None or not opening.tokens:
            return known
        begins = len(prompt) > len(opening.tokens) == alike(prompt, opening.tokens)
        return opening if begins and len(known.tokens) - len(opening.tokens) <= SPARED else known

    def _met(self, prompt: Tokens) -> Known[S]:
        for end in range((len(prompt) - 1) // BLOCK * BLOCK, 0, -BLOCK):
            whole = self._begins.get(prompt[:end])
            if whole is not None:
                self._states.move_to_end(whole)
                return Known(prompt[: min(alike(prompt, whole), len(prompt) - 1)], self._states[whole])
        return Known((), None)

    def wants(self, prompt: Tokens) -> bool:
        """Whether a prompt is to be kept: not a very short or long one, nor one of which most is known."""
        if not BLOCK <= len(prompt) <= self._most_tokens:
            return False
        return len(prompt) - len(self.find(prompt).tokens) > WORTH * len(prompt)

    def keep(self, prompt: Tokens, states: S) -> None:
        """Remember a prompt's states, see `Known`; those not met for longest make room."""
        self.make_room(prompt)
        self._states[prompt] = states
        for end in range(BLOCK, len(prompt) + 1, BLOCK):
            self._begins[prompt[:end]] = prompt

    def make_room(self, prompt: Tokens) -> list[S]:
        """Forget a prompt, and those not met for longest until it may be kept.

        Returns:
            The states of what is forgotten.
        """
        gone = [self._states.pop(prompt)] if prompt in self._states else []
        left = self._most_tokens - len(prompt)
        while self._states and (sum(map(len, self._states)) > left or len(self._states) >= self._most_prompts):
            old, states = self._states.popitem(last=False)
            gone.append(states)
            for begin in [b for b, whole in self._begins.items() if whole == old]:
                del self._begins[begin]
        return gone


def opening_of(chat: Callable[[Sequence[Message]], str], encode: Callable[[str], Tokens]) -> Tokens:
    """What the prompts of all questions begin with where no fact and no turn comes before them."""
    one, other = (encode(chat([{"role": "user", "content": text}])) for text in "12")
    return one[: alike(one, other)]
