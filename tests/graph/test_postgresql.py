"""PostgreSQL: a server that goes away and comes back, writers that wait for one another, keys that fit its indexes."""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url, select

from kgt.errors import BadInput, GraphError
from kgt.graph import Edit, GraphStore, ScoredTriple, connection, tables
from kgt.triple import Triple
from tests.postgres import Cluster, Server

CARROTS, WALKS = Triple("dog", "likes", "carrots"), Triple("dog", "likes", "walks")


def edit_of(*triples: Triple, user: str = "ada") -> Edit:
    return Edit(user, "add", tuple(map(ScoredTriple, triples)))


@pytest.fixture
def store(postgres_url: str) -> Iterator[GraphStore]:
    with GraphStore.open(postgres_url) as opened:
        yield opened


@pytest.fixture
def cluster(postgres_server: Server) -> Iterator[Cluster]:
    """A server to be stopped; `postgres_server` is asked for because tests are skipped where there is none."""
    try:
        own = Cluster()
    except FileNotFoundError as error:
        pytest.skip(f"PostgreSQL is not installed: {error}")
    yield own
    own.remove()


def test_a_server_that_went_away_is_said_so_and_used_again_when_it_is_back(cluster: Cluster) -> None:
    with cluster.server.database("tables") as url, GraphStore.open(url, seed=False) as store:
        store.commit(edit_of(CARROTS))
        with store.transaction("bob"):  # two connections in the pool
            store.ping()
        cluster.stop()
        calls = (store.ping, lambda: store.about("ada", "dog"), lambda: store.commit(edit_of(WALKS)))
        for call in (*calls, lambda: GraphStore.open(url)):
            begun = time.monotonic()
            with pytest.raises(GraphError, match="connection") as error:
                call()
            assert "PostgreSQL is running" in error.value.hint
            assert time.monotonic() - begun < 5
        cluster.start()
        for call in calls:
            call()
        assert [fact.triple for fact in store.facts("ada")] == [WALKS, CARROTS]


def test_a_server_that_goes_away_within_a_transaction_leaves_nothing_of_it(cluster: Cluster) -> None:
    with cluster.server.database("tables") as url, GraphStore.open(url, seed=False) as store:
        with pytest.raises(GraphError), store.transaction("ada") as graph:
            graph.commit(edit_of(CARROTS))
            cluster.stop()
            graph.commit(edit_of(WALKS))
        cluster.start()
        assert store.history("ada") == []
        assert store.commit(edit_of(WALKS)).id == 1


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(GraphError, match="timeout"):
            GraphStore.open(f"postgresql://somebody:secret@127.0.0.1:{silent.getsockname()[1]}/graph")
        assert time.monotonic() - begun < 8


def test_no_error_tells_the_password() -> None:
    with pytest.raises(GraphError) as error:
        GraphStore.open("postgresql://somebody:secret@127.0.0.1:1/graph")
    assert "secret" not in str(error.value)


def test_a_missing_driver_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(GraphError, match="No driver") as error:
        GraphStore.open("postgresql://127.0.0.1:1/graph")
    assert "kgt[postgres]" in error.value.hint


def test_a_database_that_is_not_there_is_said_so(postgres_server: Server) -> None:
    with pytest.raises(GraphError, match="does not exist") as error:
        GraphStore.open(postgres_server.url("kgt_nowhere"))
    assert "createdb" in error.value.hint


@pytest.mark.parametrize("name", ["postgresql", "postgres", "postgresql+psycopg"])
def test_the_url_may_be_written_as_everywhere(postgres_url: str, name: str) -> None:
    url = make_url(postgres_url).set(drivername=name).render_as_string(hide_password=False)
    with GraphStore.open(url) as store:
        assert store.users() == []


def test_a_database_that_may_only_be_read_is_read(postgres_url: str, store: GraphStore) -> None:
    store.commit(edit_of(CARROTS))
    url = make_url(postgres_url).update_query_dict({"options": "-c default_transaction_read_only=on"})
    with GraphStore.open(url.render_as_string(hide_password=False)) as only_read:
        assert only_read.about("ada", "dog")[0].triple == CARROTS
        with pytest.raises(GraphError, match="may be read but not written"):
            only_read.commit(edit_of(WALKS))


def test_one_reading_sees_one_moment(store: GraphStore) -> None:
    store.commit(edit_of(CARROTS))
    with connection.reading(store._engine) as reader:
        assert len(reader.execute(select(tables.overlay)).all()) == 1
        store.commit(edit_of(WALKS))
        assert len(reader.execute(select(tables.overlay)).all()) == 1


def test_a_writer_sees_what_the_one_before_left(store: GraphStore) -> None:
    waited = threading.Thread(target=store.commit, args=[edit_of(CARROTS, WALKS)])
    with store.transaction("ada") as graph:
        waited.start()
        time.sleep(0.3)
        graph.commit(edit_of(CARROTS))
    waited.join()
    assert [[part.triple for part in edit.added] for edit in store.history("ada")] == [[WALKS], [CARROTS]]


def test_writers_of_one_user_wait_and_of_others_do_not(store: GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 1)
    with store.transaction("ada"):
        assert store.commit(edit_of(CARROTS, user="bob")).id == 1
        with pytest.raises(GraphError, match="lock timeout") as error:
            store.commit(edit_of(CARROTS))
        assert "try again" in error.value.hint
    assert store.commit(edit_of(CARROTS)).id == 1


def test_a_writer_that_falls_silent_loses_the_lock(store: GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 1)
    with pytest.raises(GraphError) as error, store.transaction("ada") as graph:
        graph.commit(edit_of(CARROTS))
        begun = time.monotonic()
        assert store.commit(edit_of(WALKS)).id == 1
        assert 0.5 < time.monotonic() - begun < 5
        graph.commit(edit_of(Triple("dog", "likes", "meat")))
    assert error.value.hint
    assert [fact.triple for fact in store.facts("ada")] == [WALKS]


def test_the_longest_names_fit_the_indexes(store: GraphStore) -> None:
    """Of random signs of four bytes, which no compression helps with."""
    signs = random.Random(0)

    def name(length: int) -> str:
        return "".join(chr(signs.randrange(0x20000, 0x2A6DF)) for _ in range(length))

    user = name(200)
    longest = [Triple(name(1000), name(1000), name(1000)), Triple(name(1000), "is called", name(1000))]
    longest.append(Triple(name(100), "is called", " ".join(name(100) for _ in range(9))))
    edit = Edit(user, "add", tuple(map(ScoredTriple, longest)), query=name(5000), request=name(200))
    stored = store.commit(edit)
    assert store.requested(user, edit.request) == stored == store.edit(user, 1)
    assert store.add_base(longest, "test") == 3
    for triple in longest:
        assert [fact.triple for fact in store.about("eve", triple.subject)] == [triple]
    assert store.add_key(user, "0" * 64, name(200)).user == user


def test_what_no_text_of_postgresql_can_hold_is_nowhere(store: GraphStore) -> None:
    store.commit(edit_of(Triple("d\0og", "li\0kes", "\0x")))
    assert store.about("ada", "do\0g")[0].triple.object == "x"
    assert store.mentions("ada", ["d\0og", "dog", "\ud800"]) == {"dog"}
    assert store.named("ada", ["d\0og", "\ud800", "dog"]) == {"dog": ["dog"]}
    assert store.misspelt("ada", "d\0ogs") == store.misspelt("ada", "dogs\ud800") == []
    with pytest.raises(BadInput):
        store.history("a\0da")
