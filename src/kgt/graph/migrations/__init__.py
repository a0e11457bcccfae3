"""How a database of an earlier KGT becomes one of this: revisions of Alembic, one after the other.

Version 1 was the first release's. A revision of version n is `versions/v<n>_<what it does>.py`; one that has been
released is never edited. `kgt.graph.tables` always describes the newest version, and a new database is made from
that directly. Alembic is imported only where there is something to migrate. It keeps no table of its own: the
version stands in `meta`, where earlier releases look for it, too.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def upgrade(connection: Connection, version: int) -> None:
    """Bring a database of that version to the newest one, inside the caller's transaction."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    with Operations.context(MigrationContext.configure(connection)):
        for revision in reversed(list(ScriptDirectory(FOLDER).walk_revisions())):
            if int(revision.revision) > version:
                revision.module.upgrade()
