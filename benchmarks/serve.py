"""Load on a real server on loopback: users at once against one at a time, and the graph's routes alone.

    python benchmarks/serve.py                 # 50 users, 60 seconds: about 3 minutes
    python benchmarks/serve.py --users 20 --seconds 10 --json

Nine of ten requests ask (one token), one teaches. Afterwards every acknowledged edit is looked for in
its user's history, and every fact used in an answer must be of the user who asked: each user's facts hold
a word of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from kgt.graph import GraphStore
from kgt.serve.auth import new_key

FRIENDS = ["Bo", "Cleo", "Dimitri", "Esther", "Farid", "Gudrun", "Hanako", "Ivan"]
COMMON = ["What is the capital of France?", "Name a colour.", "How do bees make honey?", "Who wrote Faust?"]
READERS = 4
"""Connections that read the graph at a time."""
TOWNS = ["Oslo", "Rome", "Lima", "Kyoto", "Accra", "Riga", "Porto", "Perth"]


@dataclass
class Load:
    """What a run of requests came to."""

    seconds: float = 0.0
    times: dict[str, list[float]] = field(default_factory=lambda: {"ask": [], "teach": [], "graph": []})
    errors: list[str] = field(default_factory=list)
    edits: dict[str, set[int]] = field(default_factory=dict)
    strangers: int = 0

    @property
    def per_second(self) -> float:
        return sum(map(len, self.times.values())) / self.seconds

    def percentile(self, kind: str, q: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.times[kind], q)) * 1000 if self.times[kind] else float("nan")


class Client:
    """One kept-open connection; much leaner than a client library, which would take the processor from the server."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        sent = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        writer.write(head.encode() + sent)
        answer = await reader.readuntil(b"\r\n\r\n")
        status = int(answer.split(b" ", 2)[1])
        length = next(int(x[15:]) for x in answer.lower().split(b"\r\n") if x.startswith(b"content-length:"))
        return status, json.loads(await reader.readexactly(length))

    async def close(self) -> None:
        if self._streams:
            self._streams[1].close()


def main() -> None:
    """Run the load and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument(
        "--seconds", type=float, default=60, help="of the load of all users; a third of it one at a time"
    )
    parser.add_argument("--servers", type=int, default=1, help="processes on the one database")
    parser.add_argument("--db", default="", help="a database URL (default: an SQLite file of its own)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = options.db or str(Path(folder) / "graph.db")
        users = [f"user{i}" for i in range(options.users)]
        with GraphStore.open(db) as store:
            keys = {user: new_key(store, user)[0] for user in users}
        with ExitStack() as servers:
            ports = [servers.enter_context(_server(db, options.servers)) for _ in range(options.servers)]
            found = asyncio.run(_measure(ports, keys, options.seconds))
    print(json.dumps(found)) if options.json else _show(found, options)


async def _measure(ports: list[int], keys: dict[str, str], seconds: float) -> dict[str, Any]:
    clients = {user: Client(ports[i % len(ports)], key) for i, (user, key) in enumerate(keys.items())}
    for user, client in clients.items():
        facts = [
            {"subject": f"my friend {name}", "relation": "lives in", "object": f"{name} town of {user}"}
            for name in FRIENDS
        ]
        status, _ = await client.request("POST", "/api/facts", {"triples": facts})
        assert status == 200
    rng = random.Random(0)
    everyone = list(clients)
    await _loaded(clients, everyone, 3, rng, together=True)  # warm
    alone = await _loaded(clients, everyone, seconds / 3, rng, together=False)
    together = await _loaded(clients, everyone, seconds, rng, together=True)
    graph = await _graph({u: clients[u] for u in everyone[:READERS]}, max(3.0, seconds / 6))
    lost = 0
    for load in (alone, together):
        for user, ids in load.edits.items():
            lost += len(ids - await _history(clients[user]))
    for client in clients.values():
        await client.close()
    rows = {
        name: {
            "per_second": load.per_second,
            **{f"{kind}_{q}": load.percentile(kind, p) for kind in kinds for q, p in (("p50", 50), ("p95", 95))},
            "requests": sum(map(len, load.times.values())),
            "errors": len(load.errors),
            "strangers": load.strangers,
        }
        for name, load, kinds in (
            ("one at a time", alone, ("ask", "teach")),
            ("all users", together, ("ask", "teach")),
            ("graph", graph, ("graph",)),
        )
    }  # fmt: skip
    for load in (alone, together, graph):
        for error in load.errors[:3]:
            print(error, file=sys.stderr)
    return {"rows": rows, "lost_edits": lost, "gain": together.per_second / alone.per_second}


async def _loaded(
    clients: dict[str, Client], users: list[str], seconds: float, rng: random.Random, *, together: bool
) -> Load:
    """Requests for so long: of each user in a task of their own, or of one after the other."""
    load = Load()
    started = time.perf_counter()

    async def one(user: str) -> None:
        kind, path, body = _request(rng)
        begun = time.perf_counter()
        status, answer = await clients[user].request("POST", path, body)
        load.times[kind].append(time.perf_counter() - begun)
        if status != 200:
            load.errors.append(f"{path} {status} {answer}")
        elif kind == "teach" and answer["id"]:
            load.edits.setdefault(user, set()).add(answer["id"])
        elif kind == "ask":
            load.strangers += sum(
                " of user" in f["object"] and not f["object"].endswith(f" of {user}") for f in answer["facts"]
            )

    async def loop(chosen: list[str]) -> None:
        while time.perf_counter() - started < seconds:
            for user in chosen:
                await one(user)
                if time.perf_counter() - started >= seconds:
                    break

    await asyncio.gather(*(loop([user]) for user in users)) if together else await loop(users)
    load.seconds = time.perf_counter() - started
    return load


def _request(rng: random.Random) -> tuple[str, str, Any]:
    name = rng.choice(FRIENDS)
    if rng.random() < 0.1:
        colleague = f"{rng.choice(FRIENDS)}{rng.randrange(10_000)}"
        said = f"My colleague {colleague} lives in {rng.choice(TOWNS)}."
        return "teach", "/api/teach", {"query": f"Where does my colleague {colleague} live?", "feedback": said}
    asked = f"Where does my friend {name} live?" if rng.random() < 0.7 else rng.choice(COMMON)
    return "ask", "/api/ask", {"query": asked, "max_tokens": 1}


async def _graph(clients: dict[str, Client], seconds: float) -> Load:
    """Reads of an entity's facts, and of the history, for so long."""
    load = Load()
    started = time.perf_counter()

    async def loop(client: Client) -> None:
        i = 0
        while time.perf_counter() - started < seconds:
            path = "/api/edits?limit=5" if i % 5 == 4 else f"/api/facts?entity=my%20friend%20{FRIENDS[i % 8]}"
            begun = time.perf_counter()
            status, answer = await client.request("GET", path)
            load.times["graph"].append(time.perf_counter() - begun)
            if status != 200 or not answer["items"]:
                load.errors.append(f"{path} {status} {answer}")
            i += 1

    await asyncio.gather(*map(loop, clients.values()))
    load.seconds = time.perf_counter() - started
    return load


async def _history(client: Client) -> set[int]:
    ids: set[int] = set()
    before = ""
    while True:
        _, page = await client.request("GET", f"/api/edits?limit=1000{before}")
        ids |= {edit["id"] for edit in page["items"]}
        if page["next"] is None:
            return ids
        before = f"&before={page['next']}"


@contextmanager
def _server(db: str, of: int) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "kgt.cli", "serve", "--port", str(port), "--rate", "0", "--db", db]
    environment = dict(os.environ)
    if of > 1:  # threads of several processes that wait by spinning take each other's cores
        environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // of))
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stderr=log, env=environment) as process:
        try:
            _wait(lambda: asyncio.run(Client(port, "").request("GET", "/readyz"))[0] == 200, process)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit("The server did not start.")


def _show(found: dict[str, Any], options: argparse.Namespace) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in (
        "",
        "requests/s",
        "ask p50 ms",
        "p95",
        "teach p50 ms",
        "p95",
        "read p50 ms",
        "p95",
        "requests",
        "errors",
    ):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in found["rows"].items():
        cells = [row.get(f"{kind}_{q}") for kind in ("ask", "teach", "graph") for q in ("p50", "p95")]
        shown = ["" if cell is None else f"{cell:.1f}" for cell in cells]
        table.add_row(name, f"{row['per_second']:.1f}", *shown, str(row["requests"]), str(row["errors"]))
    out = Console()
    out.print(table)
    strangers = sum(row["strangers"] for row in found["rows"].values())
    out.print(
        f"{options.users} users, servers: {options.servers}; "
        f"{found['gain']:.2f} times the throughput of one at a time; "
        f"lost edits: {found['lost_edits']}; facts of another user: {strangers}"
    )


if __name__ == "__main__":
    main()
