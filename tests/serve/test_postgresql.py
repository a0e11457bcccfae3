"""Several servers on one PostgreSQL, and a database that goes away and returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kgt import GraphStore
from tests.postgres import Cluster
from tests.postgres import Server as Postgres

from .conftest import Server

STORY = {"query": "What does my dog eat?", "feedback": "No, my dog is vegetarian."}


@pytest.fixture
def cluster(postgres_server: Postgres) -> Iterator[Cluster]:
    """A PostgreSQL of the test's own, to be stopped and started."""
    try:
        own = Cluster()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield own
    own.remove()


def test_two_servers_on_one_database_lose_no_edit(serve: Callable[..., Server], postgres_url: str) -> None:
    servers = [serve(store=GraphStore.open(postgres_url)) for _ in range(2)]
    ana, ben = (servers[0].key(user) for user in ("ana", "ben"))
    with servers[0].client(ana) as one, servers[1].client(ana) as other, servers[1].client(ben) as bens:
        assert one.post("/api/teach", json=STORY).json()["id"] == 1
        answer = other.post("/api/ask", json={"query": "What should I feed my dog?"}).json()
        assert answer["facts"][0]["object"] == "vegetarian"

        def add(i: int) -> int:
            fact = {"subject": "I", "relation": "like", "object": f"tea {i}"}
            edit: dict[str, int] = (one, other, bens)[i % 3].post("/api/facts", json={"triples": [fact]}).json()
            return edit["id"]

        with ThreadPoolExecutor(6) as pool:
            ids = list(pool.map(add, range(30)))
        assert sorted(ids[0::3] + ids[1::3]) == list(range(2, 22)) and sorted(ids[2::3]) == list(range(1, 11))
        assert len(one.get("/api/facts").json()["items"]) == 21
        assert one.post("/api/edits/1/undo").json() == {
            **other.get("/api/edits/22").json(), "milliseconds": None
        }  # fmt: skip
        assert other.delete("/api/me", params={"confirm": "ana"}).json() == {"erased": "ana"}
        assert one.get("/api/me").status_code == 401
        assert len(bens.get("/api/facts").json()["items"]) == 10


def test_a_database_that_goes_away_is_said_so_and_used_again(serve: Callable[..., Server], cluster: Cluster) -> None:
    with cluster.server.database() as url:
        server = serve(store=GraphStore.open(url))
        with server.client(server.key("ana")) as http:
            assert http.post("/api/teach", json=STORY).json()["id"] == 1
            cluster.stop()
            away = http.post("/api/facts", json={"triples": [{"subject": "I", "relation": "like", "object": "tea"}]})
            assert away.status_code == 503 and away.json()["hint"] and "retry-after" in away.headers
            assert http.get("/readyz").status_code == 503 and http.get("/healthz").status_code == 200
            cluster.start()
            assert http.get("/readyz").status_code == 200
            assert [edit["id"] for edit in http.get("/api/edits").json()["items"]] == [1]
            assert http.post("/api/undo").json()["undoes"] == 1
