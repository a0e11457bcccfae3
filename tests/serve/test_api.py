"""REST: the story over HTTP, its errors, and what it promises of one user's data."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from .conftest import Server

STORY = {"query": "What does my dog eat?", "feedback": "No, my dog is vegetarian."}


def test_the_story_ask_teach_ask_undo(server: Server) -> None:
    with server.client() as http:
        edit = http.post("/api/teach", json=STORY).json()
        assert [(z["subject"], z["object"]) for z in edit["added"]] == [("my dog", "vegetarian")]
        assert 0 < edit["added"][0]["reasoning"] <= 1
        answer = http.post("/api/ask", json={"query": "What should I feed my dog?"}).json()
        assert "vegetarian" in answer["text"] and answer["facts"][0]["object"] == "vegetarian"
        why = http.get("/api/explain", params={"query": "What should I feed my dog?"}).json()
        assert why["reasons"][0]["edits"] == [edit["id"]]
        undo = http.post(f"/api/edits/{edit['id']}/undo").json()
        assert undo["kind"] == "undo" and undo["undoes"] == edit["id"]
        assert http.get("/api/facts").json()["items"] == []
        assert [e["id"] for e in http.get("/api/edits").json()["items"]] == [2, 1]


def test_facts_are_added_listed_in_pages_and_forgotten(server: Server) -> None:
    triples = [{"subject": f"friend {i}", "relation": "lives in", "object": f"town {i}"} for i in range(25)]
    with server.client() as http:
        assert http.post("/api/facts", json={"triples": triples}).json()["id"] == 1
        seen, offset = [], 0
        while offset is not None:
            page = http.get("/api/facts", params={"limit": 10, "offset": offset}).json()
            seen += [fact["subject"] for fact in page["items"]]
            offset = page["next"]
        assert sorted(seen) == sorted(z["subject"] for z in triples)
        assert http.delete("/api/facts", params={"subject": "Friend 3"}).json()["removed"][0]["object"] == "town 3"
        assert http.get("/api/facts", params={"entity": "friend 3"}).json()["items"] == []
        assert len(http.get("/api/facts", params={"as_of": "1", "limit": 100}).json()["items"]) == 25


def test_edits_are_listed_in_pages(server: Server) -> None:
    with server.client() as http:
        for i in range(5):
            http.post("/api/facts", json={"triples": [{"subject": "I", "relation": "like", "object": f"tea {i}"}]})
        first = http.get("/api/edits", params={"limit": 3}).json()
        rest = http.get("/api/edits", params={"limit": 3, "before": first["next"]}).json()
        assert [e["id"] for e in first["items"] + rest["items"]] == [5, 4, 3, 2, 1] and rest["next"] is None


def test_a_request_with_a_key_is_done_once(server: Server) -> None:
    with server.client(**{"Idempotency-Key": "abc"}) as http:
        first = http.post("/api/teach", json=STORY).json()
        assert http.post("/api/teach", json=STORY).json() == first
        other = http.post("/api/teach", json=STORY | {"feedback": "My dog eats fish."})
        assert other.status_code == 409 and "new key" in other.json()["hint"]
    with server.client() as http:
        assert len(http.get("/api/edits").json()["items"]) == 1


def test_export_and_import_are_inverse(server: Server) -> None:
    with server.client() as http:
        http.post("/api/facts", json={"triples": [{"subject": "Ana", "relation": "née", "object": "Øst"}]})
        for format in ("tsv", "jsonl", "graphml", "nt"):
            text = http.get("/api/export", params={"format": format}).text
            http.delete("/api/facts", params={"subject": "Ana"})
            edit = http.post(
                "/api/import", params={"format": format}, content=text.encode(), headers={"Content-Type": "text/plain"}
            ).json()
            assert edit["kind"] == "import" and edit["added"][0]["object"] == "Øst"


def test_everything_can_be_downloaded_and_erased_from_the_file(server: Server, tmp_path: Path) -> None:
    ana, ben = server.key("ana"), server.key("ben")
    with server.client(ana) as http, server.client(ben) as other:
        secret = {"subject": "my dog", "relation": "is called", "object": "Xanthippezebra"}
        http.post("/api/facts", json={"triples": [secret]})
        other.post("/api/facts", json={"triples": [{**secret, "object": "Rex"}]})
        data = http.get("/api/me/data").json()
        assert data["facts"][0]["object"] == "Xanthippezebra" and len(data["edits"]) == 1 and data["keys"]
        assert http.delete("/api/me", params={"confirm": "ben"}).status_code == 400
        assert http.delete("/api/me", params={"confirm": "ana"}).json() == {"erased": "ana"}
        assert http.get("/api/facts").status_code == 401  # the key is gone as well
        assert other.get("/api/facts").json()["items"][0]["object"] == "Rex"
    for file in tmp_path.glob("graph.db*"):
        assert b"anthippezebra" not in file.read_bytes().lower()
    with sqlite3.connect(tmp_path / "graph.db") as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            if "user" in columns:
                assert database.execute(f"SELECT count(*) FROM {table} WHERE user = 'ana'").fetchone() == (0,)


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", "/api/ask", {"content": b'{"query": '}, 422),
        ("POST", "/api/ask", {"json": {"query": 7}}, 422),
        ("POST", "/api/ask", {"json": {"query": ""}}, 422),
        ("POST", "/api/ask", {"json": {"query": "  "}}, 400),
        ("POST", "/api/ask", {"json": {"query": "Hi?", "max_token": 3}}, 422),
        ("POST", "/api/ask", {"json": {"query": "Hi?", "max_tokens": 10**9}}, 422),
        ("POST", "/api/teach", {"json": {"query": "What?", "feedback": "no"}}, 400),
        ("POST", "/api/teach", {"json": STORY, "headers": {"Idempotency-Key": "a b"}}, 422),
        ("POST", "/api/facts", {"json": {"triples": []}}, 422),
        ("POST", "/api/facts", {"json": {"triples": [{"subject": "\u0000", "relation": "a", "object": "b"}]}}, 400),
        ("GET", "/api/facts?base=true", {}, 400),
        ("GET", "/api/facts?limit=0", {}, 422),
        ("GET", "/api/facts?as_of=yesterday", {}, 400),
        ("GET", "/api/facts?as_of=2026-01-31", {}, 400),
        ("GET", "/api/edits/99", {}, 404),
        ("GET", "/api/edits/99999999999999999999", {}, 422),
        ("POST", "/api/undo", {}, 404),
        ("DELETE", "/api/facts?subject=nobody", {}, 404),
        ("POST", "/api/import", {"content": b"one\ttwo", "headers": {"Content-Type": "text/plain"}}, 400),
        ("POST", "/api/import", {"content": b"\xff\xfe", "headers": {"Content-Type": "text/plain"}}, 422),
        ("POST", "/api/ask", {"content": b'{"query": "' + b"x" * 3_000_000}, 413),
        ("GET", "/api/nothing", {}, 404),
        ("PUT", "/api/ask", {}, 405),
    ],
)  # fmt: skip
def test_bad_requests_get_a_problem_that_says_what_to_do(
    server: Server, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    with server.client() as http:
        response = http.request(method, path, **sent)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        told = response.json()
        assert told["status"] == status and told["detail"] and told["request_id"] == response.headers["x-request-id"]
        assert http.get("/api/edits").json()["items"] == []


def test_a_body_of_unknown_length_is_cut_off(server: Server) -> None:
    with server.client() as http:
        sent = http.post(
            "/api/ask", content=(b"x" * 100_000 for _ in range(50)), headers={"Content-Type": "application/json"}
        )
        assert sent.status_code == 413


def test_keys_are_needed_once_there_is_one_and_expire(server: Server) -> None:
    with server.client() as http:
        assert http.get("/api/me").json()["user"] == "me"
        old = server.key("ana", expires=datetime.now(UTC) - timedelta(seconds=1))
        refused = http.get("/api/me")
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    with server.client(old) as http:
        assert "expired" in http.get("/api/me").json()["detail"]
    with server.client("kgt_made-up") as http:
        assert "not known" in http.get("/api/me").json()["detail"]


def test_only_a_trusted_key_acts_for_others(server: Server) -> None:
    with server.client(server.key("ana"), **{"X-KGT-User": "ben"}) as http:
        assert http.get("/api/me").status_code == 403
    with server.client(server.key("app", trusted=True), **{"X-KGT-User": "ben"}) as http:
        assert http.get("/api/me").json()["user"] == "ben"


def test_one_user_may_send_so_much_in_a_minute(serve: Any) -> None:
    server = serve(rate=5)
    ana, ben = server.key("ana"), server.key("ben")
    with server.client(ana) as http, server.client(ben) as other:
        found = [http.get("/api/me") for _ in range(7)]
        assert [r.status_code for r in found] == [200] * 5 + [429] * 2
        assert 1 <= int(found[-1].headers["retry-after"]) <= 60
        assert other.get("/api/me").status_code == 200


def test_a_page_of_another_origin_gets_nothing(server: Server, serve: Any) -> None:
    with server.client() as http:
        assert (
            "access-control-allow-origin" not in http.get("/api/me", headers={"Origin": "https://evil.example"}).headers
        )
        refused = http.get("/api/me", headers={"Host": "evil.example"})
        assert refused.status_code == 400 and "evil.example" in refused.json()["detail"]
        for origin in ("https://evil.example", "null", "http://localhost.evil.example", "http://["):
            form = {"Content-Type": "text/plain", "Origin": origin}  # which a browser sends without asking
            assert http.post("/api/import", content=b"I\tlike\ttea", headers=form).status_code == 403
            assert http.post("/api/undo", headers={"Origin": origin}).status_code == 403
        assert http.get("/api/edits", headers={"Origin": server.url}).json()["items"] == []
    with server.client(server.key("ana"), Host="kgt.example", Origin="https://kgt.example") as http:  # a proxy's name
        assert http.get("/api/me").json()["user"] == "ana"
    allowed = serve(cors=("https://app.example",))
    with allowed.client(allowed.key("ben"), Origin="https://app.example") as http:
        assert http.get("/api/me").headers["access-control-allow-origin"] == "https://app.example"


def test_keys_are_nowhere_in_the_log_or_the_database(
    server: Server, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    key = server.key("ana")
    with caplog.at_level("DEBUG", logger="kgt"), server.client(key) as http:
        http.post("/api/ask", json={"query": "What does my Xylophone eat?"})
        http.get("/api/nothing", params={"key": key})
    assert key not in caplog.text and "Xylophone" not in caplog.text
    assert all(key.encode() not in file.read_bytes() for file in tmp_path.glob("graph.db*"))
