"""Keys longer than an index of PostgreSQL takes end in their hash; PostgreSQL compares text byte by byte."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kgt.triple import short_key

revision = "5"
down_revision = "4"

TRIPLE = ["subject_key", "relation_key", "object_key"]
KEYS = {
    "base": TRIPLE,
    "changes": ["user", *TRIPLE, "edit_id"],
    "overlay": ["user", *TRIPLE],
    "names": ["user", "word", "entity_key"],
}
"""The tables with keys of entities or relations, and their primary keys."""
LONGEST_WORD = 100
SURELY_SHORT = 128
"""Characters: a key of so many has no more than 512 bytes, whatever they are."""


def upgrade() -> None:
    connection = op.get_bind()
    word = sa.column("word", sa.Text)
    connection.execute(sa.delete(sa.table("names", word)).where(sa.func.length(word) > LONGEST_WORD + 1))
    for table, columns in KEYS.items():
        _shorten(connection, sa.table(table, *map(sa.column, columns)))
    if connection.dialect.name == "postgresql":
        for name, found in _text_columns(connection).items():
            changes = (f'ALTER COLUMN "{column}" TYPE TEXT COLLATE "C"' for column in found)
            op.execute(f'ALTER TABLE "{name}" {", ".join(changes)}')


def _shorten(connection: sa.Connection, table: sa.TableClause) -> None:
    keys = [column for column in table.c if column.name.endswith("_key")]
    long = sa.or_(*(sa.func.length(key) > SURELY_SHORT for key in keys))
    rows = [dict(row) for row in connection.execute(sa.select(table).where(long)).mappings()]
    changed = [
        {f"new_{key.name}": short_key(row[key.name]) for key in keys} | {f"old_{n}": v for n, v in row.items()}
        for row in rows
        if any(short_key(row[key.name]) != row[key.name] for key in keys)
    ]
    if changed:
        same = [column == sa.bindparam(f"old_{column.name}") for column in table.c]
        new: dict[str, sa.BindParameter[str]] = {key.name: sa.bindparam(f"new_{key.name}") for key in keys}
        connection.execute(sa.update(table).where(*same).values(new), changed)


def _text_columns(connection: sa.Connection) -> dict[str, list[str]]:
    inspector = sa.inspect(connection)
    return {
        table: [column["name"] for column in inspector.get_columns(table) if isinstance(column["type"], sa.Text)]
        for table in ("base", "changes", "edits", "keys", "meta", "names", "overlay")
    }
