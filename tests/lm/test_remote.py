"""The remote backend: what a server scores is what the model scores, and servers that cannot score are refused."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from kgt import Settings
from kgt.errors import BadInput, KGTError, ModelError
from kgt.lm import Contrast, LanguageModel, Prompt, Request, load_model
from kgt.lm.base import Message

from .server import VLLM, serving

SHORT = "The capital of France is"
TALK: list[Message] = [{"role": "user", "content": "Where is Pico?"}]
KEY = "sk-very-secret"

Answer = Callable[[str, Any, str], tuple[int, Any]]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgt.lm.server.WAITS", (0.0, 0.0, 0.0, 0.0))


@pytest.fixture
def vllm(llamacpp: LanguageModel) -> VLLM:
    return VLLM(llamacpp)  # type: ignore[arg-type]


# -- a server that keeps the contract ------------------------------------------------------------------


def test_scores_are_the_models_own(vllm: VLLM, llamacpp: LanguageModel, cache: Path) -> None:
    requests = [Request(SHORT, (" Paris", " a city in the north")), Request("Ünïted 🐶", (" Käse 🦴", "is"))]
    with serving(vllm.answer) as address:
        remote = load_model(address, cache)
        assert remote.name == f"{address}#smol"
        for ours, theirs in zip(remote.logprobs(requests), llamacpp.logprobs(requests), strict=True):
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a.logprobs, b.logprobs, atol=0.4)
                assert a.greedy == b.greedy


def test_the_chat_format_is_the_servers(remote: LanguageModel, llamacpp: LanguageModel) -> None:
    assert remote.chat(TALK, prefill="It is") == llamacpp.chat(TALK, prefill="It is")


def test_a_contrast_on_the_likeliest_tokens_is_near_the_whole_one(
    remote: LanguageModel, llamacpp: LanguageModel
) -> None:
    facts: list[Message] = [{"role": "system", "content": "The capital of France is Rome."}, *TALK]
    prompt, without = (llamacpp.chat(talk, prefill="The capital of France is") for talk in (facts, TALK))
    request = Request(prompt, (" Rome", " Paris"), Contrast(without, 1.5, 0.01, 0.9))
    (new, old), (new_whole, old_whole) = (model.logprobs([request])[0] for model in (remote, llamacpp))
    assert new.probability == pytest.approx(new_whole.probability, abs=0.1)
    assert old.probability == pytest.approx(old_whole.probability, abs=0.1)
    assert (new.greedy, old.greedy) == (new_whole.greedy, old_whole.greedy) == (True, False)


def test_prompts_go_in_lists_where_the_server_takes_them_and_one_by_one_where_not(vllm: VLLM, cache: Path) -> None:
    def single(path: str, body: Any, key: str) -> tuple[int, Any]:
        return (
            (500, {"error": {"message": "no lists"}})
            if isinstance(body.get("prompt"), list)
            else known(path, body, key)
        )

    known = vllm.answer
    request = Request(SHORT, (" Paris", " Lyon", " Rome"))
    found = []
    for answer, calls in ((known, 1), (single, 3)):
        with serving(answer) as address:
            remote = load_model(address, cache)
            vllm.asked.clear()
            found.append([scored.mean for scored in remote.logprobs([request])[0]])
            assert len(vllm.asked) == calls
    assert found[0] == pytest.approx(found[1], abs=0.01)


def test_a_busy_server_is_asked_again(vllm: VLLM, cache: Path) -> None:
    failures = iter([429, 503, 500] * 100)
    with serving(lambda *asked: (next(failures), b"busy") if len(vllm.asked) % 2 else vllm.answer(*asked)) as address:
        vllm.asked.append(("/", {}))
        with pytest.raises(ModelError, match="busy") as caught:
            load_model(address, cache)
        assert "later" in caught.value.hint
    turns = iter(range(10**6))
    with serving(lambda *asked: (503, b"busy") if next(turns) % 2 == 0 else vllm.answer(*asked)) as address:
        assert load_model(address, cache).logprobs([Request(SHORT, (" Paris",))])[0][0].greedy


def test_the_key_is_sent_and_never_shown(vllm: VLLM, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGT_API_KEY", KEY)
    settings = Settings.load()
    assert settings.api_key == KEY
    assert KEY not in repr(settings)
    vllm.key = KEY
    with serving(vllm.answer) as address:
        assert KEY not in load_model(address, cache, **settings.loading).name

    def telling(path: str, body: Any, key: str) -> tuple[int, Any]:
        return 400, {"error": {"message": f"bad request with {key}"}}

    with serving(telling) as address, pytest.raises(ModelError) as caught:
        load_model(f"{address}#smol", cache, api_key=KEY)
    assert KEY not in str(caught.value)


# -- servers that fail ---------------------------------------------------------------------------------


def completing(choice: dict[str, Any], **more: Any) -> Answer:
    """A server whose completions are all the same."""

    def answer(path: str, body: Any, key: str) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {"data": [{"id": "smol"}]}
        return 200, {"choices": [{"index": 0, "text": " Paris", "finish_reason": "length", **choice}], **more}

    return answer


def constant(path: str, body: Any, key: str) -> tuple[int, Any]:
    """A server that echoes, but gives every token the probability 1."""
    if path == "/v1/models":
        return 200, {"data": [{"id": "smol"}]}
    words = [*(body["prompt"].split() if body.get("echo") else []), " Paris"]
    words = [f" {w.strip()}" for w in words]
    tops = [{w: 0.0, " x": 0.0} for w in words]
    found = {"tokens": words, "token_logprobs": [0.0] * len(words), "top_logprobs": tops}
    return 200, {"choices": [{"text": " Paris", "logprobs": found, "finish_reason": "length"}]}


LOGPROBS = {"tokens": [" Paris"], "token_logprobs": [-0.2], "top_logprobs": [{" Paris": -0.2, " a": -2.0}]}


@pytest.mark.parametrize(
    ("answer", "message", "hint"),
    [
        (lambda *_: (401, {"error": "Unauthorized"}), "wants an API key", "KGT_API_KEY"),
        (lambda *_: (200, b"<html>welcome</html>"), "not answer in JSON", "/v1"),
        (lambda *_: (200, {"data": 7}), "a list of models", "/v1"),
        (lambda *_: (200, {"data": [{"id": "llama"}]}), "no model 'smol'", "llama"),
        (lambda *_: (500, {"error": {"message": "out of memory"}}), "out of memory", "log"),
        (lambda *_: (404, {"detail": "Not Found"}), "404", "address"),
        (completing({"logprobs": None}), "no log-probabilities", "vLLM"),
        (completing({"logprobs": LOGPROBS}), "ignores `echo`", "vLLM"),
        (completing({"logprobs": {**LOGPROBS, "tokens": [" Paris", "?"]}}), "not in the OpenAI form", "vLLM"),
        (completing({}, choices=7), "without choices", "/v1"),
        (constant, "every token the same", "vLLM"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_server_that_cannot_be_used_is_refused_with_what_to_do(
    answer: Answer, message: str, hint: str, cache: Path
) -> None:
    with serving(answer) as address, pytest.raises(KGTError, match=message) as caught:
        load_model(f"{address}#smol", cache)
    assert hint in caught.value.hint


def test_a_server_that_pairs_tokens_with_the_wrong_distributions_is_refused(vllm: VLLM, cache: Path) -> None:
    def shifted(path: str, body: Any, key: str) -> tuple[int, Any]:
        status, found = vllm.answer(path, body, key)
        for choice in found.get("choices", []) if body.get("echo") else []:
            values = choice["logprobs"]["token_logprobs"]
            choice["logprobs"]["token_logprobs"] = [*values[1:], -3.0]
        return status, found

    with serving(shifted) as address, pytest.raises(ModelError, match="wrong log-probabilities") as caught:
        load_model(address, cache)
    assert caught.value.hint


def test_a_server_that_does_not_tell_its_chat_format_needs_a_tokenizer(vllm: VLLM, cache: Path, bundled: Path) -> None:
    def silent(path: str, body: Any, key: str) -> tuple[int, Any]:
        return vllm.answer(path, body, key) if path.startswith("/v1") else (404, {"detail": "Not Found"})

    with serving(silent) as address:
        with pytest.raises(ModelError, match="does not tell") as caught:
            load_model(address, cache)
        assert "KGT_TOKENIZER" in caught.value.hint
        for tokenizer in (str(bundled), "smollm2-135m"):
            assert load_model(address, cache, tokenizer=tokenizer).chat(TALK) == vllm.model.chat(TALK)
        assert load_model(address, cache, tokenizer="plain").chat(TALK) == "User: Where is Pico?\nAssistant:"


def test_a_server_that_is_not_there(cache: Path) -> None:
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        load_model("http://127.0.0.1:9/v1#smol", cache)
    assert "Start the server" in caught.value.hint


def test_a_password_in_the_address_is_refused(cache: Path) -> None:
    with pytest.raises(BadInput, match="password"):
        load_model("http://me:secret@127.0.0.1:9/v1", cache)


# -- llama-cpp-python's own server ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_server(bundled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("llama_cpp", reason="the extra llama-cpp is not installed")
    if not all(importlib.util.find_spec(p) for p in ("fastapi", "uvicorn", "sse_starlette", "starlette_context")):
        pytest.skip("llama-cpp-python's server is not installed: pip install 'llama-cpp-python[server]'")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, str(Path(__file__).with_name("own_server.py")), str(bundled), str(port), KEY]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        try:
            for _ in range(300):
                if process.poll() is not None:
                    pytest.fail(f"the server ended: {log.read_text()[-2000:]}")
                try:
                    httpx2.get(f"http://127.0.0.1:{port}/v1/models")
                    break
                except httpx2.TransportError:
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def own(own_server: str, bundled: Path, cache: Path) -> LanguageModel:
    return load_model(own_server, cache, api_key=KEY, tokenizer=str(bundled))


def test_llama_cpp_pythons_server_scores_as_the_model_does(own: LanguageModel, llamacpp: LanguageModel) -> None:
    prompt = llamacpp.chat(TALK, prefill="The island of Pico is in")
    without = llamacpp.chat([{"role": "user", "content": "Hi"}], prefill="The island of Pico is in")
    plain, contrasted = (
        Request(prompt, (" Portugal", " the Azores")),
        Request(prompt, (" Portugal",), Contrast(without, 1)),
    )
    ours, theirs = (model.logprobs([plain, contrasted]) for model in (own, llamacpp))
    for a, b in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=0.4)
    assert ours[1][0].mean == pytest.approx(theirs[1][0].mean, abs=1.5)


def test_llama_cpp_pythons_server_generates_as_the_model_does(own: LanguageModel, llamacpp: LanguageModel) -> None:
    prompt = llamacpp.chat(TALK, prefill="Paris is the capital of")
    contrast = Contrast(llamacpp.chat([{"role": "user", "content": "Hi"}], prefill="Paris is the capital of"), 0.5, 0.1)
    for used in (None, contrast):
        texts = ["".join(model.generate(prompt, max_tokens=3, contrast=used)) for model in (own, llamacpp)]
        assert texts[0] == texts[1]
    assert own.generate_many([Prompt(prompt)], max_tokens=2) == llamacpp.generate_many([Prompt(prompt)], max_tokens=2)


def test_llama_cpp_pythons_server_refuses_loudly(own: LanguageModel, own_server: str, cache: Path) -> None:
    with pytest.raises(ModelError, match="wants an API key"):
        load_model(own_server, cache)
    with pytest.raises(ModelError, match="refuses the API key"):
        load_model(own_server, cache, api_key="wrong")
    with pytest.raises(ModelError, match="wrong log-probabilities"):  # without a BOS token its prompt's are shifted
        load_model(own_server, cache, api_key=KEY, tokenizer="plain")
    with pytest.raises(BadInput, match="tokens"):
        own.logprobs([Request("word " * 600, (" x",))])
