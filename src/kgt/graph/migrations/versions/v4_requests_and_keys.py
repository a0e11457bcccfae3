"""A client's request stands beside the edit it made, and clients have keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"


def upgrade() -> None:
    request = sa.Column("request", sa.Text, nullable=False, server_default="", comment="the client's idempotency key")
    op.add_column("edits", request)
    some = sa.text("request <> ''")
    op.create_index(
        "edits_by_request", "edits", ["user", "request"], unique=True, sqlite_where=some, postgresql_where=some
    )
    op.create_table(
        "keys",
        sa.Column("hash", sa.Text, primary_key=True, comment="SHA-256 of the key in hex"),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("trusted", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("created", sa.BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
        sa.Column("expires", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_index("keys_by_user", "keys", ["user"])
