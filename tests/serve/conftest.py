"""A real server on loopback, on the real model, and keys for its users."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from kgt import GraphStore, Settings
from kgt.lm import LanguageModel
from kgt.lm.encoder import SentenceEncoder
from kgt.serve.app import create_app
from kgt.serve.auth import new_key
from kgt.serve.service import Service
from kgt.serve.settings import Serving


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    url: str
    service: Service
    app: FastAPI

    def key(self, user: str, **options: Any) -> str:
        """A new key of this user's; from the first on, every request needs one."""
        return new_key(self.service.store, user, **options)[0]

    def client(self, key: str = "", **headers: str) -> httpx2.Client:
        """An HTTP client that sends the key."""
        given = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.Client(base_url=self.url, headers=given | headers, timeout=60)


@pytest.fixture
def serve(
    model: LanguageModel, encoder: SentenceEncoder, tmp_path: Path, cache: Path
) -> Iterator[Callable[..., Server]]:
    """Start a server, with settings of `Serving`; several may run. If it does not load, its model is not there."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(*, keyless: bool = True, store: GraphStore | None = None, loads: bool = True, **serving: Any) -> Server:
        settings = Settings(db=str(tmp_path / "graph.db"), cache=str(cache), max_tokens=48)
        given = {"model": model, "encoder": encoder} if loads else {}
        settings = settings if loads else replace(settings, model="no/such/model.gguf")
        service = Service(settings, store=store, keyless=keyless, **given)  # type: ignore[arg-type]
        listening = socket.create_server(("127.0.0.1", 0))
        app = create_app(service, Serving(**{"rate": 0} | serving))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        deadline = time.monotonic() + 60
        while not server.started or httpx2.get(url + ("/readyz" if loads else "/healthz")).status_code != 200:
            assert time.monotonic() < deadline and thread.is_alive()
            time.sleep(0.02)
        return Server(url, service, app)

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve()
