"""Scores from what a server tells of a distribution: a token's own log-probability and the likeliest tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kgt.errors import ModelError
from kgt.lm.base import Contrast, Scored
from kgt.lm.decoding import Floats, score

UNLISTED = 2.0
"""How far, in nats, a token that matters lies below what it may have at most where a server does not list it: in the
median 1.7 with 100 tokens listed, 1.8 with 20 and 3.1 with 5, on CounterFact records outside the reported sample."""
NEVER = -1e4
"""Log-probability of what cannot be drawn; finite, since contrasts subtract it from itself."""

Top = dict[str, float]
"""The likeliest tokens at one place, with their log-probabilities."""


class Place(NamedTuple):
    """One token of a text: itself, its log-probability, and the likeliest tokens at its place."""

    token: str
    logprob: float
    top: Top


def scored(places: Sequence[Place], without: Sequence[Place] | None, contrast: Contrast | None, k: int) -> Scored:
    """A continuation's score from its places after the prompt and after the contrasting one.

    With a contrast, its own tokens' log-probabilities are exact, and the distributions they are
    normalised over hold the likeliest tokens of both prompts. `greedy` and `behind` look at these
    tokens only, as generation does.
    """
    own = [0] * len(places)  # each place's own token stands first
    if contrast is None or without is None:
        rows = [[p.logprob, *(x for token, x in p.top.items() if token != p.token)] for p in places]
        return score(own, _table(rows))
    if [p.token for p in places] != [p.token for p in without]:
        raise ModelError(
            "The server splits a continuation into other tokens after one prompt than after the other.",
            "Please report this with the two prompts.",
        )
    listed = [(_listed(p, k), _listed(w, k)) for p, w in zip(places, without, strict=True)]
    spreads = [spread(*tops, first=p.token) for p, tops in zip(places, listed, strict=True)]
    logp, plain = _table([s[1].tolist() for s in spreads]), _table([s[2].tolist() for s in spreads])
    greedy, behind = score(own, logp, plain, contrast)[1:]
    can_be_drawn = all(p.token in top or p.token in other for p, (top, other) in zip(places, listed, strict=True))
    logp[:, 0], plain[:, 0] = [p.logprob for p in places], [w.logprob for w in without]
    return Scored(score(own, logp, plain, contrast).logprobs, greedy and can_be_drawn, behind)


def _listed(place: Place, k: int) -> Top:
    """The k likeliest tokens of a place; servers add the place's own token where it is not among them."""
    return place.top if len(place.top) <= k else {t: x for t, x in place.top.items() if t != place.token}


def spread(top: Top, without: Top, first: str | None = None) -> tuple[list[str], Floats, Floats]:
    """Tokens likeliest after either prompt and their log-probabilities after each, `first` before all others.

    A token that is not listed has at most what the last one listed has, and what all listed ones
    leave over; it gets UNLISTED less than that.
    """
    tokens = list(dict.fromkeys([*([first] if first is not None else []), *top, *without]))
    found = []
    for listed in (top, without):
        left = max(1 - sum(map(math.exp, listed.values())), 1e-9)
        rest = min(math.log(left), min(listed.values()))
        found.append(np.array([listed.get(token, rest - UNLISTED) for token in tokens], np.float32))
    return tokens, found[0], found[1]


def _table(rows: Sequence[Sequence[float]]) -> Floats:
    """Rows of different length as one array, filled up with next to nothing."""
    table = np.full((len(rows), max(map(len, rows))), NEVER, np.float32)
    for filled, row in zip(table, rows, strict=True):
        filled[: len(row)] = row
    return table


def suffix(places: Sequence[Place], continuation: str) -> list[Place]:
    """The last places, whose tokens are exactly the continuation; none if a token also holds the prompt's end."""
    text = ""
    for at in range(len(places) - 1, -1, -1):
        text = places[at].token + text
        if text == continuation:
            return list(places[at:])
        if len(text) > len(continuation):
            break
    return []


def after(head: Sequence[Place], whole: Sequence[Place]) -> list[Place]:
    """The places after those that a text shares with its prompt alone."""
    shared = 0
    for one, other in zip(head, whole, strict=False):
        if one.token != other.token:
            break
        shared += 1
    return list(whole[min(shared, len(whole) - 1) :])
