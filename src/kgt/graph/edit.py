"""Edit: what one feedback did to a user's graph, and everything needed to explain or undo it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from kgt.triple import Triple

Kind = Literal["teach", "add", "forget", "undo", "import"]


@dataclass(frozen=True, slots=True)
class ScoredTriple:
    """A triple with the probabilities the model gave it when the edit was made.

    `reasoning` is P(a|q,z) (Eq. 6), `retrieval` P(z|q) (Eq. 5), both in [0, 1]; None where no
    model was asked, as when a triple is added by hand.
    """

    triple: Triple
    reasoning: float | None = None
    retrieval: float | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of one user's graph; append-only, the graph being the fold of its edits over the base.

    `id` and `time` are None until `GraphStore.commit` has stored it. `said_by` is who gave the
    feedback; `undoes` the id of the edit that this one reverses; `request` the client's name for what
    it asked, under which a user has at most one edit: asked again, the stored edit is the answer.
    """

    user: str
    kind: Kind
    added: tuple[ScoredTriple, ...] = ()
    removed: tuple[ScoredTriple, ...] = ()
    query: str = ""
    answer: str = ""
    loss_before: float | None = None
    loss_after: float | None = None
    stop_reason: str = ""
    model: str = ""
    milliseconds: float | None = None
    said_by: str = ""
    undoes: int | None = None
    id: int | None = None
    time: datetime | None = None
    request: str = ""
