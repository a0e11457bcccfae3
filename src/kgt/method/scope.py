"""Is a fact asked for at all? The odds that it answers a query, against "none of these".

A query asks for a fact if it means the same as the query that taught it, the fact itself, or its
relation. How near two texts are in meaning is the cosine of a small sentence encoder's vectors;
whose name stands in them must not matter, so each is compared three times, with the entity's name
left out and with two stand-ins for it. A logistic regression weighs the cosines
(docs/decisions/0005-scope.md; `benchmarks/fit_scope.py` fits the weights).
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kgt.lm.encoder import WIDTH, SentenceEncoder, cosines
from kgt.triple import Triple, relation_key
from kgt.wording import is_question, mask, sentence, sentence_about, stem

STAND_INS = ("", "X", "someone")
"""What stands in the entity's place when texts are compared; "" is nothing."""

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int_]

WEIGHTS: Floats = np.array([1.97, 0.99, 2.17, 1.53, 2.18, 2.02, 1.07, 2.49, 1.13])
OFFSET = -3.40
"""Log-odds = weights · signals + offset. The signals: with each stand-in the cosine to the fact and to the query
that taught it, the cosine to the relation's name, the largest of all, and 1 for a question, whose cosines are
lower than those of an unfinished sentence."""
QUERY, FACT, TAUGHT, RELATION, KINDS = 0, 6, 9, 15, 16
"""Kinds of text, each with a mean vector of its own: where the three query wordings start, statements and then
questions; the three of the fact; the three of the query that taught it; the relation's name; how many kinds."""
VIEWED = 2048
"""Facts whose wordings are remembered; a kilobyte each."""
KEPT = 8_192
"""Wordings whose vectors are, twice: those of the last queries, and of those before; 1.5 kilobytes each."""
VAGUE = 0.1
"""Log-odds of every fact for a query of mere function words ("Ana, the"): it says nothing against them."""
OVERLAP_WEIGHT, OVERLAP_OFFSET = 3.0, -1.5
"""The same with the share of words in common, where no sentence encoder is installed."""


class View(NamedTuple):
    """A text that is compared, and its kind."""

    text: str
    kind: int


FUNCTION_WORDS = frozenset(
    ("a an the is are was were am be has have had do does did of in at on to for by with").split()
)


def log_odds(
    query: str,
    subject: str,
    triples: Sequence[Triple],
    encoder: SentenceEncoder | None,
    taught_by: Mapping[Triple, str] = MappingProxyType({}),
) -> Floats:
    """Natural log of the odds that each triple answers the query, shape (n,); 0 is as likely as none.

    Args:
        subject: the query's entity, at which the triples start.
        taught_by: the query whose answer a triple was, where there was one.
    """
    asked = sentence_about(query, subject)[1]
    if says_nothing(mask(asked, subject)):
        return np.full(len(triples), VAGUE)
    if encoder is None:
        return OVERLAP_WEIGHT * _overlaps(asked, subject, triples, taught_by) + OVERLAP_OFFSET
    return signals(asked, subject, triples, encoder, taught_by) @ WEIGHTS + OFFSET


def signals(
    asked: str,
    subject: str,
    triples: Sequence[Triple],
    encoder: SentenceEncoder,
    taught_by: Mapping[Triple, str] = MappingProxyType({}),
) -> Floats:
    """What tells how near a query is to each triple in meaning; shape (n, 9), the columns that `WEIGHTS` names."""
    if not triples:
        return np.zeros((0, len(WEIGHTS)))
    queries = wordings(asked, subject)
    return columns(*_shelf(encoder).vectors(queries, subject, triples, taught_by), asks=queries[0].kind > QUERY)


def columns(asked: Vectors, told: Vectors, stand: Indices, asks: bool) -> Floats:
    """The signals of a query's wordings, (3, 384), and of n triples; shape (n, 9).

    Args:
        told: the triples' views, each text once, (m, 384).
        stand: which of them each triple's seven are, (n, 7).
        asks: whether the query is a question.
    """
    near = cosines(told, asked)
    each = [near[stand[:, 2 * i + side], i] for i in range(len(STAND_INS)) for side in (0, 1)]
    found = np.stack([*each, near[stand[:, -1], 0]], axis=1)
    return np.concatenate([found, found.max(1, keepdims=True), np.full((len(stand), 1), float(asks))], axis=1)


def compared(vectors: Vectors, kinds: Sequence[int], means: Vectors) -> Vectors:
    """Vectors of texts less the mean of their kind, of length 1: what all texts of a kind share tells nothing apart."""
    less = vectors - means[list(kinds)]
    return less / np.maximum(np.linalg.norm(less, axis=-1, keepdims=True), 1e-9)  # type: ignore[no-any-return]


_Key = tuple[str, str, str, str, str]
"""A triple's key, the query's entity, and the query that taught the triple."""


class Shelf:
    """The vectors of facts' views as queries are compared with them, kept for the next query.

    An entity may have thousands of facts, and all but the newest were there at the last query. Many of them share
    their relation: each text is kept once. When there are KEPT, a new board is begun, and the old one is kept until
    that too is full; what is asked for in the meantime is carried over. May be used from several threads.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder, self._lock = encoder, threading.Lock()
        self._board, self._before = _Board(), _Board()

    def vectors(
        self, queries: Sequence[View], subject: str, triples: Sequence[Triple], taught_by: Mapping[Triple, str]
    ) -> tuple[Vectors, Vectors, Indices]:
        """What `columns` needs of the query's wordings and of the triples; a new text is embedded."""
        keys = [(*z.key, subject, taught_by.get(z, "")) for z in triples]
        with self._lock:
            if len(self._board.row) - self._board.carried > KEPT:
                self._board, self._before = _Board(), self._board
            board = self._board  # this one to the end, whatever other threads begin: nothing leaves a board
            board.carry_over([key for key in keys if key not in board.rows_of], self._before)
            new = {key: views(z, *key[3:]) for key, z in zip(keys, triples, strict=True) if key not in board.rows_of}
            texts = [v for v in dict.fromkeys(itertools.chain(*new.values())) if v not in board.row]
        # Without the lock, so that a server's users are read together.
        embedded = self._encoder.embed([text for text, _ in [*queries, *texts]])
        units = compared(embedded, [kind for _, kind in [*queries, *texts]], means())
        with self._lock:
            board.keep(texts, units[len(queries) :])
            board.rows_of |= {key: [board.row[view] for view in found] for key, found in new.items()}
            rows, stand = np.unique([board.rows_of[key] for key in keys], return_inverse=True)
            return units[: len(queries)], board.units[rows], stand.reshape(len(keys), -1)


class _Board:
    """Vectors of texts, each in a row of one block, whose memory is taken as it is filled; and each triple's rows.

    Attributes:
        carried: rows from the board before, which do not count towards its end: what is in use may be more than KEPT.
    """

    def __init__(self) -> None:
        self.carried = 0
        self.row: dict[View, int] = {}
        self.rows_of: dict[_Key, list[int]] = {}
        self.units = np.empty((2 * KEPT, WIDTH), np.float32)

    def keep(self, texts: Sequence[View], units: Vectors) -> None:
        """Put texts' vectors here, but for those that are here already."""
        new = [i for i, text in enumerate(texts) if text not in self.row]
        start, end = len(self.row), len(self.row) + len(new)
        if end > len(self.units):
            more = np.empty((2 * end, WIDTH), np.float32)
            more[:start] = self.units[:start]
            self.units = more
        self.units[start:end] = units[new]
        self.row |= {texts[i]: start + n for n, i in enumerate(new)}

    def carry_over(self, keys: Sequence[_Key], before: _Board) -> None:
        """Take the triples' views from another board, those that it has."""
        known = [key for key in keys if key in before.rows_of]
        if known:
            text = list(before.row)
            rows = sorted({row for key in known for row in before.rows_of[key]})
            self.carried -= len(self.row)
            self.keep([text[row] for row in rows], before.units[rows])
            self.carried += len(self.row)
            self.rows_of |= {key: [self.row[text[row]] for row in before.rows_of[key]] for key in known}


@lru_cache(maxsize=2)
def _shelf(encoder: SentenceEncoder) -> Shelf:
    return Shelf(encoder)


def wordings(asked: str, subject: str) -> list[View]:
    """The query with each stand-in for its entity."""
    question = is_question(asked)
    return [View(mask(asked, subject, name), QUERY + 2 * i + question) for i, name in enumerate(STAND_INS)]


@cache
def means() -> Vectors:
    """The mean vector of each kind of text, shape (16, 384), as `benchmarks/fit_scope.py` writes it."""
    with (files("kgt.method") / "scope_means.npy").open("rb") as file:
        return np.load(file)  # type: ignore[no-any-return]


@lru_cache(maxsize=VIEWED)
def views(z: Triple, subject: str, taught_by: str) -> tuple[View, ...]:
    """The texts a query is compared with and their kinds: for each stand-in fact and taught query; the relation.

    A fact that no query taught stands there without its object, as the sentence that asks for it;
    where that sentence says nothing ("someone is a"), as the fact.
    """
    taught = sentence_about(taught_by, subject)[1] if taught_by else stem(z.subject, z.relation) or z.relation
    empty = says_nothing(mask(taught, subject))
    found = []
    for i, name in enumerate(STAND_INS):
        fact = View(mask(sentence(z), z.subject, name), FACT + i)
        found += [fact, fact if empty else View(mask(taught, subject, name), TAUGHT + 2 * i + is_question(taught))]
    if says_nothing(z.relation):
        return (*found, found[1])
    plain = z.relation if is_question(z.relation) else relation_key(z.relation)
    return (*found, View(mask(plain, subject), RELATION))


def says_nothing(text: str) -> bool:
    """Whether a text is of function words only ("is", "the")."""
    return set(relation_key(text).split()) <= FUNCTION_WORDS


def _overlaps(asked: str, subject: str, triples: Sequence[Triple], taught_by: Mapping[Triple, str]) -> Floats:
    """The largest share of the query's content words, cut to five letters, in common with a view of each triple."""

    def content(text: str) -> set[str]:
        return {w[:5] for w in re.findall(r"\w+", text.casefold()) if w not in FUNCTION_WORDS}

    words = content(mask(asked, subject))
    shares = [max(len(words & content(v)) for v, _ in views(z, subject, taught_by.get(z, ""))) for z in triples]
    return np.array(shares, dtype=np.float64) / max(1, len(words))
