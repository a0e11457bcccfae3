"""GraphStore: the knowledge graphs of all users in one database, with their whole history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType

from sqlalchemy import Engine, select

from kgt.errors import GraphError
from kgt.graph import keys, names, records, tables
from kgt.graph.connection import (
    READ_ONLY,
    connect,
    empty_write_ahead_log,
    insert,
    insert_new,
    reading,
    use_write_ahead_log,
    writing,
)
from kgt.graph.edit import Edit
from kgt.graph.keys import Key
from kgt.graph.loading import Imported, Progress, import_conceptnet
from kgt.graph.overlay import Fact
from kgt.graph.records import AsOf, checked_user
from kgt.graph.seed import SEED_WEIGHT, seed_triples
from kgt.graph.transaction import Transaction
from kgt.triple import Triple, entity_key

BASE_BATCH = 20_000
"""Base triples per transaction, so that users can write while a large base is loaded."""


class GraphStore:
    """A database of users' graphs over a shared base; safe to use from several threads and processes.

    Each method is one transaction. Database trouble is raised as GraphError, a bad user name as BadInput.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, path_or_url: str | Path, seed: bool = True) -> GraphStore:
        """Open a database, made if it is not there: a file, ":memory:" or an SQLAlchemy URL.

        Args:
            path_or_url: where the database is. A file's folder is made if missing.
            seed: load the seed graph that comes with KGT into the base, once.

        Raises:
            GraphError: it cannot be opened, is not a KGT graph, or is from a newer version. The
                file is then left as it was.
        """
        engine = connect(path_or_url)
        try:
            _prepare(engine, seed)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @property
    def embedded(self) -> bool:
        """Whether the database is in this process, so that a look-up waits for nothing but a disk."""
        return self._engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> GraphStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ping(self) -> None:
        """Ask the database for something small.

        Raises:
            GraphError: it does not answer.
        """
        with reading(self._engine) as connection:
            tables.get_meta(connection, "schema_version")

    def about(
        self, user: str, entity: str, as_of: AsOf = None, limit: int | None = None, shared: int | None = None
    ) -> list[Fact]:
        """The facts whose subject is the entity: the user's own, the newest first, then the base's of most weight.

        Args:
            as_of: see the graph as it was after this edit id, or at this time (with a time zone).
            limit: the most facts to return, the first of all there are.
            shared: of those at most so many of the base, where there is a limit.
        """
        user = checked_user(user)
        with reading(self._engine) as connection:
            return records.facts(connection, user, entity_key(entity), as_of, limit=limit, shared=shared)

    def facts(
        self,
        user: str,
        entity: str | None = None,
        as_of: AsOf = None,
        include_base: bool = False,
        limit: int | None = None,
    ) -> list[Fact]:
        """The user's own facts, and the base's on request; about one entity, or all."""
        user = checked_user(user)
        subject_key = None if entity is None else entity_key(entity)
        with reading(self._engine) as connection:
            return records.facts(connection, user, subject_key, as_of, include_base, limit)

    def version(self, user: str) -> tuple[int, int] | None:
        """What each edit of the user's changes: the last one's id and time in microseconds; None before the first."""
        user = checked_user(user)
        with reading(self._engine) as connection:
            return records.version(connection, user)

    def mentions(self, user: str, keys: Collection[str], include_base: bool = True) -> set[str]:
        """Those of the entity keys that are the subject of a fact the user sees, or of one of the user's own."""
        user = checked_user(user)
        with reading(self._engine) as connection:
            return records.known_subjects(connection, user, keys, include_base)

    def named(self, user: str, words: Collection[str]) -> dict[str, list[str]]:
        """Word → keys of the user's entities that have the word in a name; the words as `names.words_of` gives them."""
        user = checked_user(user)
        with reading(self._engine) as connection:
            return names.with_words(connection, user, words)

    def called(self, user: str, entities: Collection[str]) -> list[Triple]:
        """The user's own facts that say what these entities, given by their keys, are called."""
        user = checked_user(user)
        with reading(self._engine) as connection:
            return records.called(connection, user, entities)

    def misspelt(self, user: str, word: str) -> list[tuple[str, str]]:
        """(word, entity key) of the user's entities with a word in their name that is one letter off this one."""
        user = checked_user(user)
        with reading(self._engine) as connection:
            return names.misspelt(connection, user, word)

    def commit(self, edit: Edit) -> Edit:
        """Store an edit, giving it the user's next id and the time (UTC).

        Adding what the user sees already, or removing what the user does not see, is left out of
        the stored edit. If nothing is left, nothing is stored and the returned edit has no id.
        If an edit with the same `request` is stored already, that one is returned and nothing is stored.

        Raises:
            BadInput: the edit both adds and removes a triple.
        """
        with self.transaction(edit.user) as graph:
            return graph.commit(edit)

    @contextmanager
    def transaction(self, user: str) -> Iterator[Transaction]:
        """Read a user's graph and change it with no other writer between; everything is stored or nothing.

        On SQLite other users' writers wait too (30 s at most), so do slow work, such as asking a
        model, before: read without it, decide, then check in here that what was read still holds.
        A PostgreSQL server ends a transaction that has been silent for a minute, so that nobody holds a lock for ever.
        """
        user = checked_user(user)
        with writing(self._engine, lock=f"user {user}") as connection:
            yield Transaction(connection, user)

    def undo(self, user: str, edit_id: int | None = None, said_by: str = "", request: str = "") -> Edit:
        """Make the graph as if an edit had not been made, by an edit that says so.

        Args:
            edit_id: the edit to undo; by default the latest that is neither undone nor an undo. An
                undo given by its id is undone too: a redo.
            request: the client's name for this request; if an edit has it already, that one is returned.

        Raises:
            BadInput: it is undone already, or later edits changed all that it did.
            NotFound: there is no such edit, or none to undo.
        """
        with self.transaction(user) as graph:
            return graph.undo(edit_id, said_by, request)

    def requested(self, user: str, request: str) -> Edit | None:
        """The user's edit that was made for this request of a client; None if there is none."""
        user = checked_user(user)
        with reading(self._engine) as connection:
            return Transaction(connection, user).requested(request)

    def requested_beginning(self, user: str, text: str) -> Edit | None:
        """The user's edit that was made for a request that begins so; None if there is none."""
        user = checked_user(user)
        begins = tables.edits.c.request.startswith(text, autoescape=True)
        with reading(self._engine) as connection:
            return next(iter(records.read_edits(connection, user, begins, limit=1)), None)

    def history(self, user: str, limit: int | None = None, before: int | None = None) -> list[Edit]:
        """The user's edits, newest first: all, or those with an id less than `before`."""
        user = checked_user(user)
        older = () if before is None else (tables.edits.c.id < min(max(before, 0), records.MAX_ID),)
        with reading(self._engine) as connection:
            return records.read_edits(connection, user, *older, limit=limit)

    def edit(self, user: str, edit_id: int) -> Edit:
        """One edit.

        Raises:
            NotFound: the user has no such edit.
        """
        user = checked_user(user)
        with reading(self._engine) as connection:
            return Transaction(connection, user).edit(edit_id)

    def edits_for(self, user: str, triple: Triple) -> list[Edit]:
        """The user's edits that added or removed a triple, newest first."""
        user = checked_user(user)
        with reading(self._engine) as connection:
            ids = {change.edit_id for change in records.changes_of(connection, user, [triple.key])}
            return records.read_edits(connection, user, tables.edits.c.id.in_(ids))

    def users(self) -> list[str]:
        """Everyone with at least one edit, in order of name."""
        with reading(self._engine) as connection:
            return sorted(connection.scalars(select(tables.edits.c.user).distinct()))

    def add_base(self, triples: Iterable[Triple], source: str) -> int:
        """Add triples to the base that all users share; how many of them were new.

        Done in steps: broken off, the triples so far are there, and running it again adds the rest.
        """
        added, left = 0, iter(triples)
        while batch := list(islice(left, BASE_BATCH)):
            with writing(self._engine, lock="base") as connection:
                rows = [{**records.triple_row(triple), "source": source} for triple in batch]
                added += insert_new(connection, tables.base, rows)
        return added

    def import_conceptnet(
        self, path: str | Path, language: str = "en", min_weight: float = 0.0, progress: Progress | None = None
    ) -> Imported:
        """Add the assertions of a ConceptNet file to the base: the official format, or CN-100K's.

        Of triples with one key the first stays, with the highest weight. Done in batches: broken off, what they held is
        there, and the next call goes on after it.

        Args:
            path: a file, plain or packed (.gz, .xz).
            language: ConceptNet's code of the language that both concepts must be in.
            min_weight: assertions of less weight are skipped.

        Raises:
            NotFound: the file cannot be read.
            BadInput: it is no ConceptNet file, or cut off or damaged. What came before the damage is in.
        """
        return import_conceptnet(self._engine, path, language, min_weight, progress)

    def add_key(
        self, user: str, hash: str, name: str = "", trusted: bool = False, expires: datetime | None = None
    ) -> Key:
        """Remember a key that lets a client act for a user, by its SHA-256 in hex; the key itself is not kept.

        Raises:
            BadInput: it is there already, or no SHA-256, or `expires` has no time zone.
        """
        user = checked_user(user)
        with writing(self._engine, lock=f"user {user}") as connection:
            return keys.add(connection, user, hash, name, trusted, expires)

    def key(self, hash: str) -> Key | None:
        """What is remembered of a key, expired or not."""
        with reading(self._engine) as connection:
            return keys.find(connection, hash)

    def keys(self, user: str | None = None) -> list[tuple[str, Key]]:
        """The keys of one user, or of all, each with its hash; the newest first."""
        user = None if user is None else checked_user(user)
        with reading(self._engine) as connection:
            return keys.listed(connection, user)

    def has_keys(self) -> bool:
        """Whether anybody has a key."""
        with reading(self._engine) as connection:
            return connection.scalar(select(tables.keys.c.hash).limit(1)) is not None

    def remove_key(self, hash: str) -> bool:
        """Forget a key; whether it was there."""
        with writing(self._engine, lock=f"key {hash}") as connection:
            return keys.remove(connection, hash)

    def erase(self, user: str) -> None:
        """Remove everything of a user, history and keys included. There is no undo.

        In a file, where it stood is overwritten at once; a PostgreSQL server does that when it next vacuums, and may
        keep logs and copies of its own.
        """
        user = checked_user(user)
        with writing(self._engine, lock=f"user {user}") as connection:
            for table in (tables.names, tables.overlay, tables.changes, tables.edits, tables.keys):
                connection.execute(table.delete().where(table.c.user == user))
        empty_write_ahead_log(self._engine)


def _prepare(engine: Engine, seed: bool) -> None:
    """Make or migrate the tables and load the seed, if that is still to be done."""
    with reading(engine) as connection:
        version = tables.version(connection)
        current = version == tables.NEWEST
        if current and (not seed or tables.get_meta(connection, "seed") is not None):
            return
    if version == 0:
        use_write_ahead_log(engine)
    try:
        with writing(engine, lock="schema") as connection:
            tables.migrate(connection)
            # Asked again under the lock: another process may have opened the file at the same moment.
            if seed and tables.get_meta(connection, "seed") is None:
                same = {"weight": SEED_WEIGHT, "source": "seed"}
                rows = [{**records.triple_row(triple), **same} for triple in seed_triples()]
                connection.execute(insert(connection, tables.base, duplicates="keep"), rows)
                tables.set_meta(connection, "seed", "loaded")
    except GraphError as error:
        # A graph that lacks only the seed can still be read where it cannot be written.
        if not current or error.hint not in READ_ONLY:
            raise
