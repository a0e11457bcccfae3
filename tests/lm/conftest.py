"""The bundled model on each backend."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from kgt.lm import LanguageModel, load_model
from kgt.lm.catalog import BUNDLED, DEFAULT_MODEL
from kgt.lm.direct import DirectModel
from kgt.lm.hf import HFModel
from kgt.lm.torch_model import TorchModel


@pytest.fixture(scope="session")
def bundled() -> Path:
    """The bundled GGUF file."""
    package, file = BUNDLED[DEFAULT_MODEL]
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / file


@pytest.fixture(scope="session")
def exact(cache: Path) -> HFModel:
    """The bundled model in float32, where rounding hides nothing, run by transformers."""
    loaded = load_model(f"hf:{DEFAULT_MODEL}", cache, device="cpu", dtype="float32")
    assert isinstance(loaded, HFModel)
    return loaded


@pytest.fixture(scope="session")
def direct(cache: Path) -> DirectModel:
    """The same without transformers."""
    loaded = load_model(DEFAULT_MODEL, cache, device="cpu", dtype="float32")
    assert isinstance(loaded, DirectModel)
    return loaded


@pytest.fixture(scope="session")
def llamacpp(cache: Path) -> LanguageModel:
    """The bundled model's own quantised weights, run by llama.cpp."""
    pytest.importorskip("llama_cpp", reason="the extra llama-cpp is not installed")
    return load_model(f"llama.cpp:{DEFAULT_MODEL}", cache)


@pytest.fixture(scope="session")
def remote(llamacpp: LanguageModel, cache: Path) -> Iterator[LanguageModel]:
    """The same behind a server that keeps vLLM's contract."""
    from .server import VLLM, serving

    with serving(VLLM(llamacpp, key="secret", most_logprobs=100).answer) as address:  # type: ignore[arg-type]
        yield load_model(address, cache, api_key="secret")


@pytest.fixture(params=["direct", "hf", "llama.cpp", "remote"])
def backend(request: pytest.FixtureRequest) -> LanguageModel:
    """Each backend in turn; what holds for one holds for all."""
    fixture = {"direct": "direct", "hf": "exact", "llama.cpp": "llamacpp", "remote": "remote"}[request.param]
    found: LanguageModel = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def noise(backend: LanguageModel) -> float:
    """How far, in nats, a token's score may move with what is decoded beside it.

    llama.cpp rounds activations to eight bits, so that a last-bit difference grows: standard deviation 0.07.
    """
    return 0.02 if isinstance(backend, TorchModel) else 0.4
