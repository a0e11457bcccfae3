"""What a user sees: base - removed + added; and which edits stand when some have been undone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kgt.triple import Triple


@dataclass(frozen=True, slots=True)
class Fact:
    """A triple that a user sees: shared by all ("base"), or put there by the user's edit `edit_id`.

    `query` is the question that edit answered, "" where there was none.
    """

    triple: Triple
    source: Literal["base", "user"]
    edit_id: int | None = None
    query: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One triple that one edit added (`sign` +1) or removed (-1)."""

    triple: Triple
    sign: int
    edit_id: int
    query: str = ""


def visible(base: Iterable[Triple], changes: Iterable[Change]) -> list[Fact]:
    """The facts a user sees, given the base and the user's changes, oldest first.

    The user's own come first, the newest edit's before others; the rest in order of key.
    """
    last = {change.triple.key: change for change in changes}
    added = [Fact(change.triple, "user", change.edit_id, change.query) for change in last.values() if change.sign > 0]
    added.sort(key=lambda fact: (-(fact.edit_id or 0), fact.triple.key))
    shared = sorted((triple for triple in base if triple.key not in last), key=lambda triple: triple.key)
    return added + [Fact(triple, "base") for triple in shared]


def undone_by(undos: Mapping[int, int]) -> dict[int, int]:
    """Which edits are undone, and by which edit, given {an undo's id: the id that it undoes}.

    An undo that was itself undone (a redo) counts for nothing, so we go from the newest back.
    """
    undone: dict[int, int] = {}
    for undo in sorted(undos, reverse=True):
        if undo not in undone:
            undone.setdefault(undos[undo], undo)
    return undone
