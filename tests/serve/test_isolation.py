"""Nothing of one user is ever seen with another's key, by any route there is."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from .conftest import Server

ANA = "anastasia"
SECRET, GUESSED = "Quuxborough", "Vorplock"
"""In everything of Ana's; the other user knows one of the two words, and asks for it."""
PUBLIC = {"/healthz", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/static-offline-docs", "/openapi.json"}
PAGE = {"/", "/signin", "/signout", "/favicon.ico", "/_nicegui/{path:path}", "/_nicegui_ws/{path:path}"}
"""Two users' browsers are in tests/serve/test_page.py."""
TOLD = {"subject": "my sister", "relation": "lives in", "object": SECRET}
QUESTION = "Where does my sister live?"


@pytest.fixture
def ana(server: Server) -> str:
    """A user with the secret in her facts, in what she forgot and undid, in her questions and her request's key."""
    key = server.key(ANA, name=SECRET)
    with server.client(key, **{"Idempotency-Key": GUESSED}) as http:
        taught = {"query": f"Where is {GUESSED}?", "feedback": f"{GUESSED} is in {SECRET}."}
        http.post("/api/teach", json=taught).raise_for_status()
    with server.client(key) as http:
        http.post("/api/facts", json={"triples": [TOLD | {"subject": "my uncle"}]}).raise_for_status()
        http.post("/api/undo").raise_for_status()
        http.post("/api/facts", json={"triples": [TOLD | {"subject": "my aunt"}]}).raise_for_status()
        http.delete("/api/facts", params={"subject": "my aunt"}).raise_for_status()
        http.post("/api/facts", json={"triples": [TOLD]}).raise_for_status()
        assert SECRET in http.get("/api/me/data").text  # it is there to be found
    return key


def paths_of(server: Server) -> Iterator[str]:
    """Every path that the application serves, described or not."""

    def walk(routes: Any) -> Iterator[str]:
        for route in routes:
            inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
            if inner:
                yield from walk(inner)
            elif path := getattr(route, "path", ""):
                yield path

    yield from walk(server.app.routes)


def requests_of(server: Server, paths: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation with what is Ana's in the place of its parameters: (method, path, what is sent)."""
    given: dict[str, list[Any]] = {
        "id": [1, 2, 5], "entity": ["my sister", GUESSED], "subject": ["my sister", GUESSED],
        "query": [QUESTION, f"Where is {GUESSED}?"],
        "as_of": ["5"], "confirm": [ANA], "name": [GUESSED], "format": ["jsonl", "nt"], "before": [99],
        "base": [True],
    }  # fmt: skip
    bodies: dict[str, dict[str, Any]] = {
        "/api/ask": {"json": {"query": QUESTION, "max_tokens": 8}},
        "/api/teach": {"json": {"query": QUESTION, "feedback": "My sister lives in Rome.", "dry_run": True}},
        "/api/facts": {"json": {"triples": [TOLD | {"object": "Rome"}], "dry_run": True}},
        "/api/import": {"content": b"my sister\tlives in\tRome\n", "headers": {"Content-Type": "text/plain"}},
        "/v1/chat/completions": {"json": {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 8}},
        "/v1/completions": {"json": {"prompt": "My sister lives in", "max_tokens": 8}},
    }
    for path, operations in paths.items():
        for method, operation in operations.items():
            asked = [p for p in operation.get("parameters", []) if p["name"] in given]
            for chosen in itertools.product(*(given[p["name"]] for p in asked)):
                values = dict(zip((p["name"] for p in asked), chosen, strict=True))
                query = {p["name"]: values[p["name"]] for p in asked if p["in"] == "query"}
                url = path.format(**{k: v for k, v in values.items() if f"{{{k}}}" in path})
                yield method.upper(), url, {"params": query} | (bodies.get(path, {}) if method == "post" else {})


def described(server: Server) -> dict[str, Any]:
    with server.client() as http:
        paths: dict[str, Any] = http.get("/openapi.json").json()["paths"]
    return paths


def test_with_another_users_key_nothing_is_found(server: Server, ana: str) -> None:
    tried = 0
    for headers in ({}, {"X-KGT-User": ANA}, {"Idempotency-Key": GUESSED}):
        with server.client(server.key("ben"), **headers) as http:
            for method, path, sent in requests_of(server, described(server)):
                response = http.request(method, path, **sent)
                assert SECRET not in shown(response), f"{method} {path} {sent} {headers}"
                tried += 1
            for tool, arguments in {
                "facts": {}, "recall": {"question": QUESTION}, "forget": {"subject": "my sister"},
            }.items():  # fmt: skip
                call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
                response = http.post(
                    "/mcp",
                    json=call | {"params": {"name": tool, "arguments": arguments}},
                    headers={"Accept": "application/json, text/event-stream"},
                )
                assert response.status_code == (403 if "X-KGT-User" in headers else 200), response.text
                assert SECRET not in shown(response)
    assert tried > 80
    with server.client(ana) as http:
        assert [z["object"] for z in http.get("/api/facts", params={"entity": "my sister"}).json()["items"]] == [SECRET]
        assert len(http.get("/api/edits").json()["items"]) == 6


def test_the_users_and_their_number_are_nobodys_business(server: Server, ana: str) -> None:
    with server.client() as http:
        for path in PUBLIC:
            assert not re.search(f"{SECRET}|{GUESSED}|{ANA}", http.get(path).text, re.IGNORECASE), path


@pytest.mark.parametrize("key", ["", "kgt_made-up", ANA])
def test_without_a_valid_key_every_route_but_the_public_ones_is_refused(server: Server, ana: str, key: str) -> None:
    paths = described(server)
    with server.client(key, **{"X-KGT-User": ANA}) as http:
        for method, path, sent in requests_of(server, {p: o for p, o in paths.items() if p not in PUBLIC}):
            response = http.request(method, path, **sent)
            assert response.status_code == 401, f"{method} {path}"
            assert SECRET not in shown(response)
        assert http.post("/mcp", json={}).status_code == 401


def test_every_route_is_described_or_known_here(server: Server) -> None:
    """A new one has to be looked at by the tests above."""
    known = {path.replace("{name}", "{name:path}") for path in described(server)} | PUBLIC | PAGE
    assert set(paths_of(server)) - known == {"/mcp"}


def shown(response: httpx2.Response) -> str:
    return response.text + repr(response.headers.multi_items())
