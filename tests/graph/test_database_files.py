"""Files that are no graph, or may not be written: said clearly, and never changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

import kgt.graph
from kgt.errors import GraphError
from kgt.graph import Edit, GraphStore, ScoredTriple, tables
from kgt.graph.connection import insert
from kgt.triple import Triple

SOURCE = str(Path(kgt.graph.__file__).parents[2])
FACT = Triple("dog", "likes", "carrots")
EDIT = Edit("ada", "add", (ScoredTriple(FACT),))


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph with one edit, closed."""
    path = tmp_path / "graph.db"
    with GraphStore.open(path) as store:
        store.commit(EDIT)
    return path


def refuse(path: Path, match: str) -> None:
    """Opening is refused with a hint, and leaves the file and its folder as they were."""
    before, files = path.read_bytes(), sorted(path.parent.iterdir())
    with pytest.raises(GraphError, match=match) as error:
        GraphStore.open(path)
    assert error.value.hint
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == files


def test_a_graph_is_kept_between_runs_and_its_seed_is_loaded_once(graph: Path) -> None:
    with GraphStore.open(graph) as store:
        assert [fact.triple for fact in store.facts("ada")] == [FACT]
    connection = sqlite3.connect(graph)
    connection.execute("DELETE FROM base WHERE subject_key = 'dog'")
    connection.commit()
    connection.close()
    with GraphStore.open(graph) as store:
        assert [fact.triple for fact in store.about("ada", "dog")] == [FACT]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    with GraphStore.open(tmp_path / "new" / "folder" / "graph.db", seed=False):
        assert (tmp_path / "new" / "folder" / "graph.db").exists()


def test_a_url_names_the_same_file(graph: Path) -> None:
    with GraphStore.open(f"sqlite:///{graph}") as store:
        assert store.users() == ["ada"]


def test_names_with_odd_characters_work(tmp_path: Path) -> None:
    path = tmp_path / "my graph?mode=ro#1 %41 ü.db"
    with GraphStore.open(path, seed=False) as store:
        store.commit(EDIT)
    assert path.exists()


def test_a_file_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Buy milk.\n" * 500)
    refuse(path, "not a database")


def test_a_truncated_database_is_refused(graph: Path) -> None:
    with graph.open("r+b") as file:
        file.truncate(graph.stat().st_size // 2)
    refuse(graph, "malformed")


def test_a_database_with_a_broken_header_is_refused(graph: Path) -> None:
    with graph.open("r+b") as file:
        file.write(b"\xff" * 100)
    refuse(graph, "not a database")


def test_damage_found_while_reading_is_a_graph_error(graph: Path) -> None:
    size = graph.stat().st_size
    with graph.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xff" * (size - 4096 * 2))
    with pytest.raises(GraphError, match="malformed"), GraphStore.open(graph) as store:
        store.about("ada", "dog")


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipes.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE meta (recipe)")
    connection.commit()
    connection.close()
    refuse(path, "not a KGT graph")


def test_a_database_from_a_newer_version_is_refused(graph: Path) -> None:
    connection = sqlite3.connect(graph)
    connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    connection.commit()
    connection.close()
    refuse(graph, "version 99.*update KGT")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="is a folder"):
        GraphStore.open(tmp_path)


def test_a_path_below_a_file_is_refused(graph: Path) -> None:
    with pytest.raises(GraphError, match="cannot be opened"):
        GraphStore.open(graph / "graph.db")


@pytest.mark.parametrize(
    "where", ["nosuch://host/db", "mysql://host/db", "://", "sqlite:////nosuch/folder/graph.db", "a\0b"]
)
def test_a_place_that_cannot_be_opened_is_refused(where: str) -> None:
    with pytest.raises(GraphError):
        GraphStore.open(where)


def test_a_database_opened_read_only_can_be_read_not_written(graph: Path) -> None:
    with GraphStore.open(f"sqlite:///file:{graph}?mode=ro&uri=true") as store:
        assert store.about("ada", "dog")[0].triple == FACT
        with pytest.raises(GraphError, match="may be read but not written"):
            store.commit(Edit("ada", "forget", removed=(ScoredTriple(FACT),)))


READER = """
import os, sys
from kgt.errors import GraphError
from kgt.graph import Edit, GraphStore, ScoredTriple
from kgt.triple import Triple
GraphStore.open(":memory:").close()  # loads every module while we still may
if os.geteuid() == 0:  # root may write everywhere, so become an ordinary user
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
with GraphStore.open(sys.argv[1]) as store:
    print(store.about("ada", "dog")[0].triple, len(store.history("ada")))
    try:
        store.commit(Edit("ada", "add", (ScoredTriple(Triple("a", "b", "c")),)))
    except GraphError as error:
        print(error)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can reach; `tmp_path` is for its owner only."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("mode", [0o555, 0o777], ids=["read-only folder", "writable folder"])
@pytest.mark.parametrize("seed", [True, False], ids=["seeded", "seed missing"])
def test_a_read_only_file_can_be_read_not_written(open_folder: Path, mode: int, seed: bool) -> None:
    path = open_folder / "graph.db"
    with GraphStore.open(path, seed=seed) as store:
        store.commit(EDIT)
    path.chmod(0o444)
    open_folder.chmod(mode)
    before = path.read_bytes()
    command = [sys.executable, "-c", READER, str(path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": SOURCE}, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "(dog, likes, carrots) 1" in done.stdout
    assert "may be read but not written" in done.stdout
    assert path.read_bytes() == before


def test_lookups_by_user_and_subject_follow_an_index(graph: Path) -> None:
    plans: list[str] = []
    with GraphStore.open(graph) as store:
        from sqlalchemy import event

        @event.listens_for(store._engine, "before_cursor_execute")
        def explain(_c: object, cursor: sqlite3.Cursor, sql: str, values: object, *_: object) -> None:
            if sql.startswith(("SELECT", "WITH")):
                rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)  # type: ignore[arg-type]
                plans.extend(row[3] for row in rows)

        store.about("ada", "dog")
        store.about("ada", "dog", as_of=1)
        store.mentions("ada", ["dog", "cat"])
        store.undo("ada", 1)
        store.edits_for("ada", FACT)
    assert "SEARCH base USING PRIMARY KEY (subject_key=?)" in plans
    assert "SEARCH overlay USING PRIMARY KEY (user=? AND subject_key=?)" in plans
    assert "SEARCH changes USING PRIMARY KEY (user=? AND subject_key=?)" in plans
    assert not [
        plan for plan in plans if plan.startswith("SCAN") and "VIRTUAL TABLE" not in plan and "CONSTANT" not in plan
    ]


def test_every_table_of_users_begins_with_the_user() -> None:
    for table in (tables.edits, tables.changes, tables.overlay):
        assert next(iter(table.primary_key.columns)).name == "user"


def test_rows_are_replaced_by_their_key_alone() -> None:
    with create_engine("sqlite://").connect() as connection:
        sql = str(insert(connection, tables.meta, duplicates="replace").compile(dialect=connection.dialect))
    assert "ON CONFLICT (name) DO UPDATE SET value = excluded.value" in sql
