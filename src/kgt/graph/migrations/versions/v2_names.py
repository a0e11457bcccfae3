"""The words of what users' entities are called get an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kgt.graph import names

revision = "2"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "names",
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("word", sa.Text, primary_key=True),
        sa.Column("entity_key", sa.Text, primary_key=True),
        sqlite_with_rowid=False,
    )
    names.fill(op.get_bind())
