"""The real model, loaded once, small random ones, a PostgreSQL server, and a fresh database for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from kgt import Assistant, GraphStore, Settings, load_model
from kgt.lm import DEFAULT_MODEL, LanguageModel
from kgt.lm.encoder import SentenceEncoder, bundled_encoder
from tests import postgres
from tests.tiny_models import folder_of, tiny

__all__ = ["folder_of", "tiny"]


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where converted weights are kept: the user's own cache, so that a machine converts once."""
    return Path(platformdirs.user_cache_dir("kgt"))


@pytest.fixture(scope="session")
def model(cache: Path) -> LanguageModel:
    return load_model(DEFAULT_MODEL, cache)


@pytest.fixture(scope="session")
def encoder() -> SentenceEncoder:
    found = bundled_encoder()
    if found is None:
        pytest.skip("the sentence encoder's package is not installed")
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GraphStore]:
    with GraphStore.open(tmp_path / "graph.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    try:
        with postgres.running() as server:
            yield server
    except FileNotFoundError as error:
        pytest.skip(f"PostgreSQL is not installed: {error}")


@pytest.fixture
def postgres_url(postgres_server: postgres.Server) -> Iterator[str]:
    """A fresh database with the seed graph."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def assistant(model: LanguageModel, store: GraphStore, encoder: SentenceEncoder, cache: Path) -> Assistant:
    settings = Settings(cache=str(cache), max_tokens=24)
    return Assistant("ana", model=model, store=store, encoder=encoder, settings=settings)


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    for name in ("USER", "DB", "MODEL", "DEVICE", "DTYPE", "MAX_TOKENS", "TOKENIZER", "API_KEY"):
        monkeypatch.delenv(f"KGT_{name}", raising=False)
    monkeypatch.setenv("KGT_CONFIG", str(tmp_path / "no-config.toml"))
    monkeypatch.setenv("KGT_CACHE", str(cache))
