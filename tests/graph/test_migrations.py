"""Databases of earlier releases are brought up to date with everything in them, or left as they were."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

import kgt.graph
from kgt.errors import GraphError
from kgt.graph import Edit, GraphStore, ScoredTriple, migrations, tables
from kgt.graph.seed import SEED_WEIGHT
from kgt.triple import MAX_KEY, Triple
from tests.graph.conftest import NewDatabase

SOURCE = str(Path(kgt.graph.__file__).parents[2])
LONG = "a story that does not end " * 35
"""As in the databases of `old_versions`, which the code of those versions wrote."""


def run(where: str, script: str) -> None:
    """Run statements past KGT."""
    if "://" in where:
        with psycopg.connect(where.replace("+psycopg", "")) as connection:
            connection.execute(script.encode())
        return
    file = sqlite3.connect(where)
    file.executescript(script)
    file.close()


@pytest.fixture(params=[1, 2, 3])
def old(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """Where a database is that an earlier release wrote."""
    where = new_database("nothing")
    kind = "postgresql" if "://" in where else "sqlite"
    run(where, (Path(__file__).parent / "old_versions" / f"{kind}_{request.param}.sql").read_text())
    return where


def schema(store: GraphStore) -> dict[str, Any]:
    """Every table with its columns, keys and indexes, in any order."""

    def in_order(found: Sequence[Mapping[str, Any]]) -> list[str]:
        return sorted(str(sorted((name, in_words(value)) for name, value in each.items())) for each in found)

    def in_words(value: Any) -> str:
        return str({name: str(of) for name, of in value.items()} if isinstance(value, dict) else value)

    with store._engine.connect() as connection:
        inspector = inspect(connection)
        found: dict[str, Any] = {
            table: (
                in_order(inspector.get_columns(table)),
                inspector.get_pk_constraint(table)["constrained_columns"],
                in_order(inspector.get_foreign_keys(table)),
                in_order(inspector.get_indexes(table)),
            )
            for table in inspector.get_table_names()
        }
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql("SELECT name, sql LIKE '%WITHOUT ROWID%' FROM sqlite_master")
            found["made of keys"] = sorted(map(tuple, rows))
        else:
            collations = "SELECT table_name, column_name, collation_name FROM information_schema.columns "
            rows = connection.exec_driver_sql(collations + "WHERE table_schema = 'public' AND data_type = 'text'")
            found["collations"] = sorted(map(tuple, rows))
            assert {row[2] for row in found["collations"]} == {"C"}
        return found


def test_an_old_database_gets_the_schema_of_a_new_one(old: str, new_database: NewDatabase) -> None:
    with GraphStore.open(old, seed=False) as migrated, GraphStore.open(new_database("nothing"), seed=False) as new:
        assert schema(migrated) == schema(new)
        with migrated._engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_an_old_database_keeps_its_edits_facts_and_base(old: str) -> None:
    rex, carrots = Triple("My dog", "is called", "Rex"), Triple("My dog", "likes", "carrots")
    animal, story = Triple("dog", "IsA", "animal"), Triple("dog", "tells", LONG)
    told, other = Triple("Rex", "tells", LONG), Triple("dog", "tells", LONG + "but this one does")
    for _ in range(2):
        with GraphStore.open(old) as store:
            assert store.users() == ["ada", "bob"]
            first = store.edit("ada", 1)
            assert {part.triple for part in first.added} == {rex, carrots} and first.added[0].reasoning == 0.5
            assert (first.query, first.loss_before, first.said_by, first.request) == ("Who's that?", 2.5, "Ada", "")
            assert [edit.undoes for edit in store.history("ada")] == [1, None, None, None]
            assert {fact.triple for fact in store.facts("ada")} == {told, other}
            assert animal in {fact.triple for fact in store.about("ada", "dog")}
            assert {rex, carrots} <= {fact.triple for fact in store.about("ada", "dog", as_of=1)}
            assert story in {fact.triple for fact in store.about("bob", "dog")}
            assert story not in {fact.triple for fact in store.about("ada", "dog")}
            assert store.named("bob", ["łodz"]) == {"łodz": ["łódź"]}


def test_long_keys_of_an_old_database_are_those_of_today(old: str) -> None:
    with GraphStore.open(old) as store:
        story, told = Triple("dog", "tells", LONG), Triple("Rex", "tells", LONG)
        assert store.commit(Edit("ada", "add", (ScoredTriple(told),))).id is None
        assert [edit.id for edit in store.edits_for("ada", told)] == [2]
        assert store.undo("ada", 3).added[0].triple == story
        assert store.undo("ada", 2).removed[0].triple == told
        for fact in store.facts("ada", include_base=True):
            again = Triple(fact.triple.subject, fact.triple.relation, fact.triple.object)
            assert fact.triple.key == again.key and max(len(key.encode()) for key in again.key) <= MAX_KEY


def test_the_triples_of_a_base_without_weights_get_them(old: str) -> None:
    with GraphStore.open(old, seed=False) as store, store._engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT source, avg(weight) FROM base GROUP BY source")
        assert dict(map(tuple, rows)) == {"seed": SEED_WEIGHT, "test": 1.0}


def test_a_migration_that_fails_changes_nothing(old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(migrations.FOLDER / "versions", tmp_path / "next" / "versions")
    (tmp_path / "next" / "versions" / "v6.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision = '{tables.NEWEST + 1}', '{tables.NEWEST}'\n"
        "def upgrade():\n"
        "    op.execute('ALTER TABLE edits ADD COLUMN mood TEXT')\n"
        "    op.execute('ALTER TABLE nosuch ADD COLUMN mood TEXT')\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "FOLDER", tmp_path / "next")
        patch.setattr(tables, "NEWEST", tables.NEWEST + 1)
        for _ in range(2):
            with pytest.raises(GraphError, match="nosuch"):
                GraphStore.open(old)
    with GraphStore.open(old) as store:
        assert store.edit("ada", 1).query == "Who's that?"


def test_a_database_from_a_newer_version_is_refused(new_database: NewDatabase) -> None:
    where = new_database("tables")
    run(where, "UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(GraphError, match=r"version 99.*update KGT"):
        GraphStore.open(where)


def test_another_programs_database_is_refused(new_database: NewDatabase) -> None:
    where = new_database("nothing")
    run(where, "CREATE TABLE meta (recipe TEXT)")
    with pytest.raises(GraphError, match="not a KGT graph"):
        GraphStore.open(where)


def test_the_revisions_are_one_row_up_to_the_newest_version() -> None:
    revisions = [revision.revision for revision in ScriptDirectory(migrations.FOLDER).walk_revisions()]
    assert revisions == [str(version) for version in range(tables.NEWEST, 1, -1)]


def test_a_database_that_is_up_to_date_is_opened_without_alembic(new_database: NewDatabase) -> None:
    program = (
        "import sys; from kgt.graph import GraphStore; GraphStore.open(sys.argv[1]).close(); "
        "sys.exit('alembic' in sys.modules)"
    )
    for content in ("seed", "nothing"):
        command = [sys.executable, "-c", program, new_database(content)]
        subprocess.run(command, env={**os.environ, "PYTHONPATH": SOURCE}, check=True)
