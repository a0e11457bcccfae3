"""The base's triples get a weight."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    weight = sa.Column("weight", sa.Double, nullable=False, server_default="1", comment="how sure it is; 1 is usual")
    op.add_column("base", weight)
    op.execute("UPDATE base SET weight = 2 WHERE source = 'seed'")
