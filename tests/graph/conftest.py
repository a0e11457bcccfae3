"""What goes through a store is tested on both databases."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from kgt.graph import GraphStore
from tests.postgres import Content, Server

NewDatabase = Callable[[Content], str]
"""Makes a fresh database and says where it is."""


@pytest.fixture(scope="session")
def template_files(tmp_path_factory: pytest.TempPathFactory) -> dict[Content, Path]:
    """Files to be copied, as a PostgreSQL server copies its templates."""
    folder = tmp_path_factory.mktemp("templates")
    files: dict[Content, Path] = {"tables": folder / "tables.db", "seed": folder / "seed.db"}
    for content, path in files.items():
        GraphStore.open(path, seed=content == "seed").close()
    return files


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(
    request: pytest.FixtureRequest, tmp_path: Path, template_files: dict[Content, Path]
) -> Iterator[NewDatabase]:
    numbers = count()

    def new_file(content: Content) -> str:
        path = tmp_path / f"graph{next(numbers) or ''}.db"
        if content != "nothing":
            shutil.copyfile(template_files[content], path)
        return str(path)

    if request.param == "sqlite":
        yield new_file
        return
    server: Server = request.getfixturevalue("postgres_server")
    with ExitStack() as databases:
        yield lambda content: databases.enter_context(server.database(content))


@pytest.fixture
def store(new_database: NewDatabase) -> Iterator[GraphStore]:
    """A store with the seed graph, in each kind of database."""
    with GraphStore.open(new_database("seed")) as opened:
        yield opened


@pytest.fixture
def empty_store(new_database: NewDatabase) -> Iterator[GraphStore]:
    """A store that knows nothing, in each kind of database."""
    with GraphStore.open(new_database("tables"), seed=False) as opened:
        yield opened


def assert_sound(where: str) -> None:
    """SQLite finds no damage in the file; a PostgreSQL server looks after its own."""
    if "://" not in where:
        connection = sqlite3.connect(where)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
