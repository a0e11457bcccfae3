"""The server as a process: stopped, killed, out of disk, left in the middle; and what it tells of itself."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import event

from kgt import cli
from kgt.graph import GraphStore

from .conftest import Server

STORY = {"query": "What does my dog eat?", "feedback": "No, my dog is vegetarian."}


class Process:
    """`kgt serve`, as an operator starts it."""

    def __init__(self, db: Path, log: Path, cache: Path) -> None:
        self.log, self.port = log, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = os.environ | {"KGT_CACHE": str(cache), "KGT_DB": str(db), "KGT_RATE": "0"}
        command = [sys.executable, "-m", "kgt.cli", "serve", "--port", str(self.port)]
        with log.open("w") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)

    def ready(self) -> Process:
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline and self.process.poll() is None, self.log.read_text()
            with suppress(httpx2.TransportError):
                if httpx2.get(f"{self.url}/readyz").status_code == 200:
                    return self
            time.sleep(0.05)

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=60)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged, after the line for people."""
        return [json.loads(line) for line in self.log.read_text().splitlines()[1:]]

    def taught(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line.get("route") == "/api/teach"]

    def metrics(self) -> dict[str, float]:
        rows = [line.rsplit(" ", 1) for line in httpx2.get(f"{self.url}/metrics").text.splitlines() if line[0] != "#"]
        return {name: float(value) for name, value in rows}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path, cache: Path) -> Iterator[Callable[[], Process]]:
    """Start a server on the test's database."""
    started: list[Process] = []

    def begin() -> Process:
        started.append(Process(tmp_path / "graph.db", tmp_path / f"log{len(started)}", cache))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.wait()


def test_the_life_of_a_server(start: Callable[[], Process], tmp_path: Path) -> None:
    """One story, because each start loads the model: it counts, logs, is left, killed, started again and stopped."""
    first = start()
    first.ready()
    counts_edits_and_answers(first)
    logs_lines_of_json(first)
    keeps_whole_edits_of_clients_that_leave(first)
    acknowledged = is_killed_while_users_write(first)
    with closing(sqlite3.connect(tmp_path / "graph.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    second = start()
    second.ready()
    with GraphStore.open(tmp_path / "graph.db") as store:
        stored = {fact.triple.object for fact in store.facts("me")}
        assert len(acknowledged) > 20 and acknowledged <= stored
        ids = [edit.id for edit in store.history("me")]
        assert ids == list(range(len(ids), 0, -1))
    finishes_what_was_begun(second)


def counts_edits_and_answers(server: Process) -> None:
    with server.client() as http:
        http.post("/api/teach", json=STORY).raise_for_status()
        http.post("/api/teach", json=STORY).raise_for_status()  # known: no edit
        http.post("/api/ask", json={"query": "What should I feed my dog?", "max_tokens": 2}).raise_for_status()
        http.post("/api/ask", json={"query": "Who wrote Hamlet?", "max_tokens": 2}).raise_for_status()
        http.post("/api/undo").raise_for_status()
        http.get("/api/edits/99")
    counted = server.metrics()
    assert counted['kgt_edits_total{kind="teach"}'] == counted['kgt_edits_total{kind="undo"}'] == 1
    assert counted["kgt_edit_seconds_count"] == 1
    assert counted["kgt_answers_total"] == 2 and counted["kgt_answers_without_facts_total"] == 1
    assert counted["kgt_facts_used_total"] >= 1
    asked = 'kgt_request_seconds_count{method="POST",route="/api/ask",status="200"}'
    lost = 'kgt_request_seconds_count{method="GET",route="/api/edits/{id}",status="404"}'
    assert counted[asked] == 2 and counted[lost] == 1


def logs_lines_of_json(server: Process) -> None:
    with server.client() as http:
        good = http.get("/api/me", headers={"X-Request-Id": "mine-1:2.3_x"}).headers["x-request-id"]
        assert good == "mine-1:2.3_x"
        for bad in ('{"level":"x"}', "x" * 65, "a b"):
            assert re.fullmatch(
                r"[0-9a-f]{16}", http.get("/api/me", headers={"X-Request-Id": bad}).headers["x-request-id"]
            )
    line = next(line for line in server.lines() if line.get("request_id") == good)
    assert line["level"] == "info" and line["route"] == "/api/me" and line["status"] == 200 and line["user"] == "me"
    assert line["milliseconds"] > 0 and line["time"].endswith("+00:00")
    assert "vegetarian" not in server.log.read_text()


def keeps_whole_edits_of_clients_that_leave(server: Process) -> None:
    """However far the server was with what they asked for."""
    begun = len(server.taught())
    for i in range(12):
        body = json.dumps({"query": f"Where does Bob{i} live?", "feedback": f"Bob{i} lives in Town{i}."}).encode()
        head = "POST /api/teach HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}"
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head.encode() + b"\r\n\r\n" + (body[: len(body) // 2] if i % 4 == 0 else body))
            time.sleep(0.03 * (i % 4))
    deadline = time.monotonic() + 30
    while len(server.taught()) < begun + 12:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with server.client() as http:
        edits = http.get("/api/edits", params={"limit": 1000}).json()["items"]
        taught = {z["object"] for edit in edits for z in edit["added"] if z["object"].startswith("Town")}
        facts = {z["object"] for z in http.get("/api/facts", params={"limit": 1000}).json()["items"]}
        assert {z for z in facts if z.startswith("Town")} == taught
        assert not {f"Town{i}" for i in (0, 4, 8)} & taught and len(taught) > 3  # half a request is none
        assert http.post("/api/ask", json={"query": "Where does Bob3 live?", "max_tokens": 8}).status_code == 200


def is_killed_while_users_write(server: Process) -> set[str]:
    """What it acknowledged before it died."""
    acknowledged: set[str] = set()

    def write(writer: int) -> None:
        with server.client() as http, suppress(httpx2.TransportError):
            for i in range(10_000):
                town = f"Kill{writer}x{i}"
                if writer == 0:
                    told = {"query": f"Where does Pal{i} live?", "feedback": f"Pal{i} lives in {town}."}
                    response = http.post("/api/teach", json=told)
                else:
                    triple = {"subject": f"pal {writer} {i}", "relation": "lives in", "object": town}
                    response = http.post("/api/facts", json={"triples": [triple]})
                assert response.status_code == 200, response.text
                acknowledged.add(town)

    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write, writer) for writer in range(8)]
        time.sleep(2.5)
        server.process.send_signal(signal.SIGKILL)
        for writer in writers:
            writer.result()
    server.process.wait()
    assert any(town.startswith("Kill0x") for town in acknowledged)
    return acknowledged


def finishes_what_was_begun(server: Process) -> None:
    def ask(i: int) -> int:
        with server.client() as http:
            asked = {"query": f"Tell me a story about {i} cats.", "max_tokens": 60, "temperature": 1.0, "seed": i}
            return http.post("/api/ask", json=asked).status_code

    def stream() -> str:
        body = {"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 60, "stream": True}
        with server.client() as http:
            return http.post("/v1/chat/completions", json=body).text

    with ThreadPoolExecutor(8) as pool:
        asked, streamed = [pool.submit(ask, i) for i in range(5)], pool.submit(stream)
        taught = pool.submit(lambda: httpx2.post(f"{server.url}/api/teach", json=STORY, timeout=60).status_code)
        time.sleep(0.5)
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert [one.result() for one in asked] == [200] * 5 and taught.result() == 200
        assert streamed.result().endswith("data: [DONE]\n\n")
    assert server.process.wait(30) == 0 and time.monotonic() - told < 20
    lines = server.lines()
    assert not [line for line in lines if line["level"] == "error"], lines


# -- without a process of their own ---------------------------------------------------------------


def test_a_full_disk_refuses_edits_loses_nothing_and_recovers(server: Server, tmp_path: Path) -> None:
    """SQLite's own limit of pages stands for the disk's."""
    pages = {"most": 2**30}
    event.listen(
        server.service.store._engine, "checkout",
        lambda connection, *_: connection.execute(f"PRAGMA max_page_count = {pages['most']}").close(),
    )  # fmt: skip

    def add(town: str) -> httpx2.Response:
        many = [{"subject": f"friend {i}", "relation": "lives in", "object": f"{town} {i}"} for i in range(300)]
        return http.post("/api/facts", json={"triples": many})

    with server.client() as http:
        assert add("before").status_code == 200
        pages["most"] = 1  # means: as many as there are
        full = [add(f"town{i}") for i in range(3)]
        assert full[-1].status_code == 507 and full[-1].headers["content-type"] == "application/problem+json"
        assert "Free some space" in full[-1].json()["hint"]
        assert http.post("/api/teach", json=STORY).status_code in (200, 507)  # a small one may still fit
        assert http.post("/api/ask", json={"query": "Where does friend 1 live?", "max_tokens": 2}).status_code == 200
        edits = http.get("/api/edits").json()["items"]
        assert len(http.get("/api/facts", params={"limit": 1000}).json()["items"]) == sum(
            len(edit["added"]) - len(edit["removed"]) for edit in edits if edit["kind"] == "add"
        ) + sum(edit["kind"] == "teach" for edit in edits)
        pages["most"] = 2**30
        assert add("after").status_code == 200
    with closing(sqlite3.connect(tmp_path / "graph.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture
def kgt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, output, errors."""
    monkeypatch.setenv("KGT_DB", str(tmp_path / "graph.db"))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kgt", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def test_other_machines_are_not_served_without_keys(kgt: Callable[..., tuple[int, str, str]]) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        code, _, told = kgt("serve", "--host", host)
        assert code == 2 and "no API keys" in told and "kgt user add" in told


def test_an_address_that_cannot_be_had_is_told_in_words(kgt: Callable[..., tuple[int, str, str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, told = kgt("serve", "--port", str(taken.getsockname()[1]))
        assert code == 2 and "in use" in told and "--port" in told and "Traceback" not in told
    kgt("user", "add", "ana")
    code, _, told = kgt("serve", "--host", "192.0.2.1")
    assert code == 2 and "address of this machine" in told and "Traceback" not in told


def test_keys_are_made_listed_and_removed(kgt: Callable[..., tuple[int, str, str]]) -> None:
    code, shown, told = kgt("user", "add", "ana", "--label", "phone", "--days", "90")
    key = shown.strip()
    assert code == 0 and re.fullmatch(r"kgt_[\w-]{43}", key) and "shown this once" in told
    _, made, _ = kgt("user", "add", "app", "--trusted", "--json")
    assert json.loads(made)["trusted"] is True and json.loads(made)["key"].startswith("kgt_")
    _, listed, _ = kgt("user", "list", "--json")
    app, ana = json.loads(listed)
    assert (app["user"], app["trusted"], app["expires"]) == ("app", True, None)
    assert (ana["user"], ana["label"], ana["trusted"]) == ("ana", "phone", False) and ana["expires"] > ana["created"]
    _, lines, _ = kgt("user", "list")
    assert "phone until" in lines and key not in lines and key not in listed
    code, gone, _ = kgt("user", "remove", ana["id"], "--json")
    assert code == 0 and json.loads(gone) == {"removed": ana["id"]}
    assert [one["user"] for one in json.loads(kgt("user", "list", "--json")[1])] == ["app"]
    assert kgt("user", "remove", ana["id"])[0] == 2 and kgt("user", "remove", "")[0] == 2
    assert kgt("user", "add", "x" * 300)[0] == 2 and kgt("user", "add", "ana", "--days", "0")[0] == 2
