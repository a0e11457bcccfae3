"""What a user sees: base - removed + added; and which edits stand when some have been undone."""

from __future__ import annotations

from collections.abc import Mapping
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


def undone_by(undos: Mapping[int, int]) -> dict[int, int]:
    """Which edits are undone, and by which edit, given {an undo's id: the id that it undoes}.

    An undo that was itself undone (a redo) counts for nothing, so we go from the newest back.
    """
    undone: dict[int, int] = {}
    for undo in sorted(undos, reverse=True):
        if undo not in undone:
            undone.setdefault(undos[undo], undo)
    return undone
