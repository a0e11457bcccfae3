"""Reading and changing one user's graph under one lock: commit and undo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from kgt.errors import BadInput, NotFound
from kgt.graph import records
from kgt.graph.edit import Edit, ScoredTriple
from kgt.graph.overlay import Fact, undone_by
from kgt.graph.tables import edits
from kgt.triple import Triple, entity_key


class Transaction:
    """One user's graph, held still: nobody else writes to it until the `with` block ends.

    Made by `GraphStore.transaction`. All edits of the block are stored at its end, or none.
    """

    def __init__(self, connection: Connection, user: str) -> None:
        self._connection = connection
        self.user = user

    def about(
        self, entity: str, as_of: records.AsOf = None, limit: int | None = None, shared: int | None = None
    ) -> list[Fact]:
        """The facts whose subject is the entity; see `GraphStore.about`."""
        return records.facts(self._connection, self.user, entity_key(entity), as_of, limit=limit, shared=shared)

    def version(self) -> tuple[int, int] | None:
        """What each edit changes; see `GraphStore.version`."""
        return records.version(self._connection, self.user)

    def commit(self, edit: Edit) -> Edit:
        """Store an edit; see `GraphStore.commit`."""
        if edit.undoes is not None or edit.kind == "undo":
            raise BadInput("An undo cannot be committed.", "Use `undo()`, which works out what to reverse.")
        edit = records.storable(edit)
        if edit.user != self.user:
            raise BadInput(
                f"An edit of user {edit.user!r} in a transaction of {self.user!r}.", "Open one for each user."
            )
        return self.requested(edit.request) or self._store(edit)

    def requested(self, request: str) -> Edit | None:
        """The edit made for a request; see `GraphStore.requested`."""
        return records.requested(self._connection, self.user, records.checked_request(request))

    def undo(self, edit_id: int | None = None, said_by: str = "", request: str = "") -> Edit:
        """Reverse an edit; see `GraphStore.undo`."""
        if done := self.requested(request):
            return done
        undos = records.undos(self._connection, self.user)
        if edit_id is not None:
            self.edit(edit_id)
            if by := undone_by(undos).get(edit_id):
                raise BadInput(f"Edit {edit_id} is already undone by edit {by}.", f"To redo it, undo edit {by}.")
            added, removed = self._reversal(edit_id, undos)
            if not added and not removed:
                raise self._nothing_to_reverse(edit_id, undos)
            return self._commit_undo(edit_id, added, removed, said_by, request)
        passed_over = undone_by(undos).keys() | undos.keys()
        for candidate in records.edit_ids(self._connection, self.user):
            if candidate not in passed_over:
                added, removed = self._reversal(candidate, undos)
                if added or removed:  # else: nothing of it is left to reverse, so the one before is meant
                    return self._commit_undo(candidate, added, removed, said_by, request)
        raise NotFound(f"User {self.user!r} has no edit to undo.", "`kgt history` lists the edits.")

    def edit(self, edit_id: int) -> Edit:
        """One edit; see `GraphStore.edit`."""
        found = (
            records.read_edits(self._connection, self.user, edits.c.id == edit_id)
            if 0 < edit_id <= records.MAX_ID
            else []
        )
        if not found:
            raise NotFound(f"User {self.user!r} has no edit {edit_id}.", "`kgt history` lists the edits and their ids.")
        return found[0]

    def _commit_undo(
        self, edit_id: int, added: list[Triple], removed: list[Triple], said_by: str, request: str
    ) -> Edit:
        edit = Edit(
            user=self.user,
            kind="undo",
            added=tuple(ScoredTriple(triple) for triple in added),
            removed=tuple(ScoredTriple(triple) for triple in removed),
            said_by=said_by,
            undoes=edit_id,
            request=request,
        )
        return self._store(records.storable(edit))

    def _store(self, edit: Edit) -> Edit:
        added, removed = _once_each(edit.added), _once_each(edit.removed)
        if both := sorted(added.keys() & removed.keys()):
            raise BadInput(f"The edit both adds and removes {added[both[0]].triple}.", "Say which of the two is meant.")
        seen = records.seen(self._connection, self.user, [part.triple for part in (*edit.added, *edit.removed)])
        edit = replace(
            edit,
            added=tuple(part for key, part in added.items() if key not in seen),
            removed=tuple(part for key, part in removed.items() if key in seen),
        )
        if not edit.added and not edit.removed:
            return edit
        edit_id, time = records.next_id_and_time(self._connection, self.user)
        edit = replace(edit, id=edit_id, time=time)
        records.write_edit(self._connection, edit)
        return edit

    def _reversal(self, edit_id: int, undos: dict[int, int]) -> tuple[list[Triple], list[Triple]]:
        """The triples to add and to remove so that the graph is as if the edit had not been made.

        The graph is the fold of the edits that stand: no undos, and not undone. So each triple
        that the edit touched gets the sign it has in the last edit still standing, or else what
        the base says; a triple that a later edit changed thereby stays as that edit left it.
        """
        now = max(edit_id, *undos, 0) + 1
        gone = undone_by(undos | {now: edit_id}).keys() | undos.keys()
        touched = self._triples(_origin(edit_id, undos))
        target = dict.fromkeys(records.in_base(self._connection, touched.keys()), +1)
        for change in records.changes_of(self._connection, self.user, touched.keys()):
            if change.edit_id not in gone:
                target[change.triple.key] = change.sign
        seen = records.seen(self._connection, self.user, touched.values())
        wanted = {key for key, sign in target.items() if sign > 0}
        return (
            [triple for key, triple in touched.items() if key in wanted and key not in seen],
            [triple for key, triple in touched.items() if key in seen and key not in wanted],
        )

    def _nothing_to_reverse(self, edit_id: int, undos: dict[int, int]) -> BadInput:
        """Names the later edit that decides the triples: the last standing, else the last to touch them."""
        keys = self._triples(_origin(edit_id, undos)).keys()
        touching = {change.edit_id for change in records.changes_of(self._connection, self.user, keys)}
        later = {other for other in touching | undos.keys() if other > edit_id}
        standing = (later & touching) - undone_by(undos).keys() - undos.keys()
        if not later:
            return BadInput(
                f"Undoing edit {edit_id} would change nothing: the shared graph says the same by now.",
                "To hide a fact that the shared graph holds, remove it.",
            )
        by = max(standing or later & touching or later)
        return BadInput(
            f"Nothing is left of edit {edit_id} to reverse: the later edit {by} already changed it.",
            f"Undo edit {by} first; `kgt history` shows both.",
        )

    def _triples(self, edit_id: int) -> dict[records.Key, Triple]:
        edit = self.edit(edit_id)
        return {part.triple.key: part.triple for part in (*edit.added, *edit.removed)}


def _origin(edit_id: int, undos: dict[int, int]) -> int:
    """The edit that an undo of an undo of … is about in the end."""
    while edit_id in undos:
        edit_id = undos[edit_id]
    return edit_id


def _once_each(parts: Iterable[ScoredTriple]) -> dict[records.Key, ScoredTriple]:
    once: dict[records.Key, ScoredTriple] = {}
    for part in parts:
        once.setdefault(part.triple.key, part)
    return once
