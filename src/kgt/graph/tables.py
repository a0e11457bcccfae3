"""The SQL schema of the graph, and which version of it a database has.

Every per-user table's key starts with the user, so that the graph can be spread by user. The
primary keys begin with (user, subject key) and (subject key), so one-depth retrieval is two
look-ups along them; a second index on the same columns would only cost space.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import postgresql

from kgt.errors import GraphError
from kgt.graph import migrations

NEWEST = 5
"""The schema version that this code writes; `kgt.graph.migrations` brings older ones to it."""

metadata = MetaData()

_TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text that is compared byte by byte, as SQLite does, whatever the language of the database."""


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, _TEXT, nullable=False, **options)


def _triple_key(**options: Any) -> list[Column[str]]:
    return [_text(name, **options) for name in ("subject_key", "relation_key", "object_key")]


def _triple_text() -> list[Column[str]]:
    return [_text(name) for name in ("subject", "relation", "object")]


meta = Table("meta", metadata, _text("name", primary_key=True), _text("value"), sqlite_with_rowid=False)
"""Facts about the database itself: `schema_version`, and whether the `seed` has been loaded."""

base = Table(
    "base",
    metadata,
    *_triple_key(primary_key=True),
    *_triple_text(),
    Column("weight", Double, nullable=False, server_default="1", comment="how sure it is; 1 is usual"),
    _text("source"),
    sqlite_with_rowid=False,
)
"""The graph that all users share. About an entity with very many triples, those of most weight are read."""

edits = Table(
    "edits",
    metadata,
    _text("user", primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
    _text("kind"),
    _text("query"),
    _text("answer"),
    Column("loss_before", Double),
    Column("loss_after", Double),
    _text("stop_reason"),
    _text("model"),
    Column("milliseconds", Double),
    _text("said_by"),
    Column("undoes", BigInteger),
    _text("request", server_default="", comment="the client's idempotency key"),
    sqlite_with_rowid=False,
)
"""What each feedback did; append-only, ids 1, 2, 3… within each user."""

_REQUESTED = text("request <> ''")
edits_by_request = Index(
    "edits_by_request",
    edits.c.user,
    edits.c.request,
    unique=True,
    sqlite_where=_REQUESTED,
    postgresql_where=_REQUESTED,
)

changes = Table(
    "changes",
    metadata,
    _text("user", primary_key=True),
    *_triple_key(primary_key=True),
    Column("edit_id", BigInteger, primary_key=True, autoincrement=False),
    *_triple_text(),
    Column("position", Integer, nullable=False),
    Column("sign", SmallInteger, nullable=False, comment="+1 added, -1 removed"),
    Column("reasoning", Double),
    Column("retrieval", Double),
    ForeignKeyConstraint(["user", "edit_id"], ["edits.user", "edits.id"], ondelete="CASCADE"),
    Index("changes_by_edit", "user", "edit_id", "position"),
    sqlite_with_rowid=False,
)
"""The triples that each edit added and removed."""

overlay = Table(
    "overlay",
    metadata,
    _text("user", primary_key=True),
    *_triple_key(primary_key=True),
    *_triple_text(),
    Column("sign", SmallInteger, nullable=False, comment="+1 added, -1 removed"),
    Column("edit_id", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The last change of each triple that a user's edits touched: the fold of `changes`, kept ready."""

names = Table(
    "names",
    metadata,
    _text("user", primary_key=True),
    _text("word", primary_key=True),
    _text("entity_key", primary_key=True),
    sqlite_with_rowid=False,
)
"""The words of what a user's entities are called (`kgt.graph.names`); a hint, checked against the overlay."""

keys = Table(
    "keys",
    metadata,
    _text("hash", primary_key=True, comment="SHA-256 of the key in hex"),
    _text("user"),
    _text("name"),
    Column("trusted", SmallInteger, nullable=False, server_default="0"),
    Column("created", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
    Column("expires", BigInteger),
    Index("keys_by_user", "user"),
    sqlite_with_rowid=False,
)
"""What clients of a server show to say who they are (`kgt.graph.keys`). The only table that is not by user first:
a key is looked up before the user is known."""


def version(connection: Connection) -> int:
    """The schema version of a database; 0 for an empty one. Changes nothing.

    Raises:
        GraphError: it is another program's database, or from a newer version of KGT.
    """
    names = sorted(inspect(connection).get_table_names())
    if not names:
        return 0
    found = get_meta(connection, "schema_version") if {"meta", "overlay"} <= set(names) else None
    if found is None or not found.isdecimal():
        raise GraphError(
            f"{_where(connection)} is a database, but not a KGT graph: its tables are {', '.join(names)}.",
            "Name another file; this one was not changed.",
        )
    if int(found) > NEWEST:
        raise GraphError(
            f"{_where(connection)} has schema version {found}; this KGT knows up to {NEWEST}.",
            "A newer KGT wrote it: update KGT, or name another file. This one was not changed.",
        )
    return int(found)


def migrate(connection: Connection) -> None:
    """Bring an empty or older database to the newest version, inside the caller's transaction."""
    found = version(connection)
    if found == 0:
        metadata.create_all(connection)
    elif found < NEWEST:
        migrations.upgrade(connection, found)
    set_meta(connection, "schema_version", str(NEWEST))


def get_meta(connection: Connection, name: str) -> str | None:
    """One fact about the database, or None."""
    return connection.scalar(select(meta.c.value).where(meta.c.name == name))


def set_meta(connection: Connection, name: str, value: str) -> None:
    """Write one fact about the database."""
    connection.execute(meta.delete().where(meta.c.name == name))
    connection.execute(meta.insert().values(name=name, value=value))


def _where(connection: Connection) -> str:
    return connection.engine.url.database or "The database"
