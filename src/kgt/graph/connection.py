"""Connections to the graph's database, and all the SQL that only one kind of database understands.

Reads run in one transaction, so that base and overlay are seen at the same moment; writes take
the write lock before they read, so that nothing they decided on can change under them. On
PostgreSQL the lock is an advisory one in the transaction: it ends with it, and with its process.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import (
    ARRAY,
    URL,
    Column,
    ColumnElement,
    Connection,
    Double,
    Engine,
    FromClause,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    func,
    literal_column,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from kgt.errors import GraphError

BUSY_SECONDS = 30
"""How long a writer waits for another one to finish."""
IDLE_SECONDS = 60
"""How long a PostgreSQL server waits for a writer that has fallen silent, before it gives the lock to the next."""
CONNECT_SECONDS = 5
"""How long a PostgreSQL server may take to answer when connected to."""


def connect(where: str | Path) -> Engine:
    """An engine on a file, ":memory:" or an SQLAlchemy URL, proven to answer.

    Raises:
        GraphError: it cannot be opened, or is not a database. The file is left as it was.
    """
    url = _url(where)
    with graph_errors(url):
        if url.get_backend_name() == "postgresql":
            return _postgresql_engine(url)
        if url.get_backend_name() != "sqlite":
            url.get_dialect()  # else the error would be that it is unknown
            raise GraphError(f"KGT keeps no graphs in {url.get_backend_name()}.", "Use an SQLite file or PostgreSQL.")
        engine = _sqlite_engine(url)
        try:
            _probe(engine)
        except DBAPIError as error:
            engine.dispose()
            cannot_share = any(sign in str(error.orig) for sign in ("unable to open", "readonly"))
            if not cannot_share or not _settled(url):
                raise
            # In a read-only folder SQLite cannot make the shared-memory file that WAL needs. With no
            # log beside it the file is complete, and may be read as it lies: nobody is writing to it.
            uri = Path(url.database or "").absolute().as_uri()
            engine = _sqlite_engine(
                URL.create("sqlite", database=uri, query={"mode": "ro", "immutable": "1", "uri": "true"})
            )
            _probe(engine)
        return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection in a read transaction."""
    with graph_errors(engine.url), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine, lock: str) -> Iterator[Connection]:
    """A connection in a write transaction, holding off other writers of what `lock` names.

    SQLite has one lock for the whole database. On PostgreSQL what is read under the lock is what the last
    holder left: each statement sees what is committed by then, as a stricter isolation would not.
    """
    with graph_errors(engine.url), engine.connect() as connection:
        connection = connection.execution_options(kgt_writes=True)
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(
                    select(
                        func.set_config("lock_timeout", f"{BUSY_SECONDS}s", True),
                        func.set_config("idle_in_transaction_session_timeout", f"{IDLE_SECONDS}s", True),
                        func.pg_advisory_xact_lock(func.hashtextextended(lock, 0)),
                    )
                )
            yield connection


def insert(connection: Connection, table: Table, duplicates: Literal["keep", "replace"]) -> Any:
    """INSERT where a row whose primary key is there already is kept, or replaced."""
    return _insert(connection.dialect.name, table, duplicates)


@cache
def _insert(dialect: str, table: Table, duplicates: Literal["keep", "replace"]) -> Any:
    statement: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    if duplicates == "keep":
        return statement.on_conflict_do_nothing()
    key = list(table.primary_key.columns)
    rest = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=key, set_=rest)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """INSERT where a row whose primary key is there already is kept; how many were not."""
    counting = {"preserve_rowcount": True}  # SQLAlchemy leaves an INSERT's count out where it costs something
    return connection.execute(insert(connection, table, duplicates="keep"), rows, execution_options=counting).rowcount


def insert_highest(
    connection: Connection, table: Table, rank: Column[Any], rows: Sequence[Sequence[Any]], **same: str
) -> None:
    """INSERT where a row whose primary key is there already stays, with the higher value of one column.

    Args:
        rank: that column.
        rows: the values of the table's columns, in their order, without those that all rows have the `same`.
    """
    if not rows:
        return
    columns = [column for column in table.columns if column.name not in same]
    literals: dict[str, ColumnElement[str]] = {name: literal_column(f"'{value}'") for name, value in same.items()}
    key = list(table.primary_key.columns)
    if connection.dialect.name == "sqlite":  # tuples, past SQLAlchemy: four times as fast
        statement = _with_highest(sqlite.insert(table).values(literals), rank, key)
        names = [*(column.name for column in columns), *same]
        connection.exec_driver_sql(str(statement.compile(dialect=connection.dialect, column_keys=names)), list(rows))
        return
    places = [columns.index(column) for column in key]
    at = columns.index(rank)
    highest: dict[tuple[Any, ...], Sequence[Any]] = {}  # one statement may not change a row twice
    for row in rows:
        identity = tuple(row[place] for place in places)
        before = highest.setdefault(identity, row)
        if before[at] < row[at]:
            highest[identity] = (*before[:at], row[at], *before[at + 1 :])
    query = select(*rows_as_table(connection.dialect.name, columns).c, *literals.values())
    names = [*(column.name for column in columns), *same]
    statement = _with_highest(postgresql.insert(table).from_select(names, query), rank, key)
    connection.execute(statement, of_rows(connection.dialect.name, list(highest.values())))


def _with_highest(statement: Any, rank: Column[Any], key: list[Column[Any]]) -> Any:
    higher = statement.excluded[rank.name]
    return statement.on_conflict_do_update(index_elements=key, set_={rank.name: higher}, where=rank < higher)


def rows_as_table(dialect: str, columns: Sequence[ColumnElement[Any]]) -> FromClause:
    """Rows to be selected from, or joined, like a table that has columns like these, of text or numbers.

    They are one parameter, or one for each column, which `of_rows` gives: with a parameter for each value, putting a
    statement together takes longer than running it.
    """
    if dialect == "postgresql":  # arrays, because from their length it plans well, unlike from JSON
        kinds = (ARRAY(Double if isinstance(column.type, Double) else Text) for column in columns)
        values = (bindparam(f"rows_{n}", type_=kind) for n, kind in enumerate(kinds))
        return func.unnest(*values).table_valued(*(column.name for column in columns)).render_derived()
    row = func.json_each(bindparam("rows", type_=Text)).table_valued("value")
    parts = (func.json_extract(row.c.value, f"$[{n}]").label(column.name) for n, column in enumerate(columns))
    return select(*parts).cte("wanted")


def of_rows(dialect: str, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The parameters of a statement with `rows_as_table`; at least one row."""
    if dialect == "postgresql":
        return {f"rows_{n}": list(values) for n, values in enumerate(zip(*rows, strict=True))}
    return {"rows": json.dumps(rows, ensure_ascii=False)}


def can_be_stored(text: str) -> bool:
    """Whether databases can hold it: PostgreSQL takes no NUL, and nobody half a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def use_write_ahead_log(engine: Engine) -> None:
    """Let readers read while one writer writes; remembered in the file, so needed once."""
    if engine.dialect.name != "sqlite":
        return
    deadline = time.monotonic() + BUSY_SECONDS
    with graph_errors(engine.url):
        while True:
            try:
                return _autocommit(engine, "PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                # Unlike other statements, this one does not wait for a process doing the same.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def empty_write_ahead_log(engine: Engine) -> None:
    """Move what the log holds into the file, and cut the log to nothing: erased text goes for good."""
    if engine.dialect.name == "sqlite":
        with graph_errors(engine.url):
            _autocommit(engine, "PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def graph_errors(url: URL) -> Iterator[None]:
    """Turn what a database driver raises into a GraphError that says what to do."""
    where = url.database or "The database"
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        reason = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split()).rstrip(".")
        if url.get_backend_name() == "postgresql":
            hints, hint = _POSTGRESQL_HINTS, "Check that PostgreSQL is running and lets you in; then the same goes on."
        else:
            hints, hint = _SQLITE_HINTS, "Check that the database is running and may be used."
        raise GraphError(
            f"{where}: {reason}.", next((found for sign, found in hints.items() if sign in reason), hint)
        ) from error
    except PoolTimeout as error:
        raise GraphError(
            f"{where}: all its connections are in use.",
            "Inside `transaction()` use the object it gives, not the store.",
        ) from error
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        install = "pip install 'kgt[postgres]'" if url.get_backend_name() == "postgresql" else "Install it"
        raise GraphError(f"No driver for {url.drivername} databases: {error}.", f"{install}, or use a file.") from error


_UNTOUCHED = "Name another file, or restore this one from a copy; it was not changed."
READ_ONLY = (
    "It may be read but not written: allow writing to the file and its folder, or use a copy.",
    "It may be read but not written: name the server that takes writes, with a user who may write.",
)
_LATER = "Another process is writing to it: try again when that is done."
_POSTGRESQL_HINTS = {
    "lock timeout": _LATER,
    "idle-in-transaction timeout": "Nothing was stored. Do slow work before the transaction, not in it.",
    "read-only transaction": READ_ONLY[1],
    "permission denied": READ_ONLY[1],
    "authentication failed": "Check the user and the password in the URL.",
    "no password supplied": "Put the password into the URL, or into ~/.pgpass.",
    "No space left": "Free some space on the server's disk; what was saved before is safe.",
    "too many clients": "Raise max_connections of the server, or run fewer processes.",
    "remaining connection slots": "Raise max_connections of the server, or run fewer processes.",
    "does not exist": "Make it: `createdb` with the same host and user.",
}
_SQLITE_HINTS = {
    "file is not a database": _UNTOUCHED,
    "malformed": _UNTOUCHED,
    "file is encrypted": _UNTOUCHED,
    "unsupported file format": _UNTOUCHED,
    "readonly": READ_ONLY[0],
    "read-only": READ_ONLY[0],
    "locked": _LATER,
    "disk is full": "Free some space on the disk; what was saved before is safe.",
    "disk I/O": "Check the disk; what was saved before is safe.",
    "unable to open": "Check that the path is right, a file and not a folder, and may be read.",
}


def _url(where: str | Path) -> URL:
    if isinstance(where, str) and "://" in where:
        try:
            url = make_url(where)
            # The names that everything else gives PostgreSQL; SQLAlchemy knows the second one no more, and takes
            # the first for an older driver.
            plain = url.drivername in ("postgresql", "postgres")
            return url.set(drivername="postgresql+psycopg") if plain else url
        except (ArgumentError, ValueError) as error:
            raise GraphError(f"Not a database URL: {error}", "Give a file, or e.g. sqlite:///graph.db.") from error
    if str(where) == ":memory:":
        return URL.create("sqlite", database=":memory:")
    path = Path(where)
    try:
        os.fsencode(path)
        if "\0" in str(path):
            raise ValueError("a file name cannot hold NUL")
        path = path.expanduser()
        if path.is_dir():
            raise GraphError(f"{path} is a folder.", "Name a file in it, such as graph.db.")
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise GraphError(f"{path} cannot be opened: {error}.", "Check the path and who may write there.") from error
    return URL.create("sqlite", database=str(path))


def _in_memory(url: URL) -> bool:
    return url.database in (None, "") or ":memory:" in str(url.database) or url.query.get("mode") == "memory"


def _sqlite_engine(url: URL) -> Engine:
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY_SECONDS, "check_same_thread": False}}
    if _in_memory(url):
        # One connection that threads hand to one another: a second would be another, empty database.
        options |= {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}
    engine = create_engine(url, pool_timeout=BUSY_SECONDS, **options)

    @event.listens_for(engine, "connect")
    def prepare(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # left to itself, sqlite3 begins only at the first write
        dbapi_connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        dbapi_connection.execute("PRAGMA foreign_keys = ON")
        dbapi_connection.execute("PRAGMA synchronous = FULL")  # an acknowledged edit survives a power cut
        dbapi_connection.execute("PRAGMA secure_delete = ON")  # what a user erases is overwritten

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("kgt_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(url: URL) -> Engine:
    # A connection is tried before it is used: one that broke while the database was away is replaced.
    engine_options: dict[str, Any] = {"pool_pre_ping": True, "pool_timeout": BUSY_SECONDS}
    if url.get_driver_name() in ("psycopg", "psycopg2"):
        # A server that vanishes without a word is given up within half a minute; TCP itself waits a quarter of an hour.
        options = {
            "connect_timeout": CONNECT_SECONDS,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        }
        engine_options["connect_args"] = {name: value for name, value in options.items() if name not in url.query}
    return create_engine(url, **engine_options)


def _probe(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")


def _settled(url: URL) -> bool:
    """Whether the file is there with nothing waiting in its log, so that it is complete by itself."""
    try:
        return Path(url.database or "").is_file() and not Path(f"{url.database}-wal").exists()
    except OSError:
        return False


def _autocommit(engine: Engine, pragma: str) -> None:
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(pragma)
        cursor.fetchall()
    finally:
        connection.close()
