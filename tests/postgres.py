"""A real PostgreSQL for tests: a server of their own, stopped and removed after them, and databases made in no time."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.pool import NullPool

from kgt.graph import GraphStore

Content = Literal["nothing", "tables", "seed"]
"""What a new database holds: nothing at all, a graph's empty tables, or the seed graph."""


class Server:
    """A PostgreSQL server that lets us make databases."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._names = (f"kgt_test_{os.getpid()}_{n}" for n in count())
        self._templates: dict[Content, str] = {}

    def url(self, database: str) -> str:
        """Where `GraphStore.open` finds a database."""
        return self._url.set(database=database).render_as_string(hide_password=False)

    @contextmanager
    def database(self, content: Content = "seed") -> Iterator[str]:
        """The URL of a new database, dropped in the end."""
        name = self._create(self._template(content))
        try:
            yield self.url(name)
        finally:
            self._drop(name)

    def close(self) -> None:
        """Drop what is left of ours."""
        for name in self._templates.values():
            if name != "template0":
                self._drop(name)

    def _template(self, content: Content) -> str:
        """A database to be copied: ten times as fast as making the tables each time."""
        if content == "nothing":
            return "template0"
        if content not in self._templates:
            self._templates[content] = self._create("template0")
            GraphStore.open(self.url(self._templates[content]), seed=content == "seed").close()
        return self._templates[content]

    def _create(self, template: str) -> str:
        name = next(self._names)
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _drop(self, name: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)


class Cluster:
    """A server of our own in a temporary folder, reached by a socket in it.

    Its databases sort text by the rules of a language where the server can, so that tests notice who relies on order.
    PostgreSQL refuses to run as root; then it is run as another user.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kgt-pg-"))
        self._as: dict[str, Any] = {}
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            user, group = _ordinary_user()
            os.chown(self.folder, user, group)
            self._as = {"user": user, "group": group, "extra_groups": []}
        try:
            initdb = ["initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"]
            try:
                self._run(*initdb, "--locale-provider=icu", "--icu-locale=en")
            except subprocess.CalledProcessError:  # an old server, or one without ICU
                self._run(*initdb)
            self.start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        self.server = Server(
            URL.create("postgresql+psycopg", "postgres", database="postgres", query={"host": str(self.folder)})
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off -c max_connections=60"
        self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop the server at once, as when its machine fails."""
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        """Stop the server if it runs, and remove its folder."""
        try:
            if (self.folder / "data" / "postmaster.pid").exists():
                self.stop()
        finally:
            shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(binaries() / program), *arguments]
        # Not captured by pipes: the server would inherit them, and we would wait for it to end.
        with (self.folder / "output").open("w") as output:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            done = subprocess.run(command, cwd=self.folder, **streams, **self._as)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, (self.folder / "output").read_text())


def binaries() -> Path:
    """The folder of PostgreSQL's programs.

    Raises:
        FileNotFoundError: there is none.
    """
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -float(folder.parent.name))
    if found := shutil.which("pg_ctl"):
        places.insert(0, Path(found).resolve().parent)
    for place in places:
        if (place / "initdb").exists() and (place / "pg_ctl").exists():
            return place
    raise FileNotFoundError("no initdb and pg_ctl in PATH or /usr/lib/postgresql")


@contextmanager
def running() -> Iterator[Server]:
    """The server that KGT_TEST_POSTGRES names (a URL of its database "postgres", say), or one of our own.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    if named := os.environ.get("KGT_TEST_POSTGRES"):
        server = Server(make_url(named))
        try:
            yield server
        finally:
            server.close()
        return
    cluster = Cluster()
    try:
        yield cluster.server
    finally:
        cluster.remove()


def _ordinary_user() -> tuple[int, int]:
    import pwd  # not on Windows

    names = {user.pw_name: (user.pw_uid, user.pw_gid) for user in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]
