"""OpenAI's protocol, as the programs speak it that people have: OpenAI's own client, and LangChain's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI

from kgt import GraphStore, Triple

from .conftest import Server

WRONG = [
    {"role": "user", "content": "What does my dog eat?"},
    {"role": "assistant", "content": "Your dog eats meat."},
]
CORRECTION: list[Any] = [*WRONG, {"role": "user", "content": "No, my dog is vegetarian."}]
QUESTION: list[Any] = [{"role": "user", "content": "What should I feed my dog?"}]
PLAIN = {"kgt": {"learn": False, "facts": False}}


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    with connect(server) as opened:
        yield opened


def connect(server: Server, key: str = "none-needed") -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def objects(facts: list[dict[str, Any]]) -> list[str]:
    return [fact["object"] for fact in facts]


def test_a_local_user_needs_no_key_so_any_will_do_but_one_of_ours_that_is_gone(client: OpenAI, server: Server) -> None:
    assert client.models.list().data[0].id == "kgt"
    with connect(server, "kgt_removed") as removed, pytest.raises(openai.AuthenticationError):
        removed.models.list()


def test_a_correction_is_learnt_and_the_next_conversation_knows_it(client: OpenAI) -> None:
    told = client.chat.completions.with_raw_response.create(model="kgt", messages=CORRECTION)
    learnt = told.parse().model_extra["kgt"]["learnt"]
    assert objects(learnt["added"]) == ["vegetarian"] and told.headers["X-KGT-Edit"] == str(learnt["id"])
    assert "My dog is vegetarian" in told.parse().choices[0].message.content

    raw = client.chat.completions.with_raw_response.create(model="kgt", messages=QUESTION, max_tokens=32)
    reply = raw.parse()
    assert "vegetarian" in reply.choices[0].message.content and reply.object == "chat.completion"
    assert objects(reply.model_extra["kgt"]["used"]) == ["vegetarian"] and reply.model_extra["kgt"]["learnt"] is None
    assert raw.headers["X-KGT-Facts-Used"] == "1" and "X-KGT-Edit" not in raw.headers
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0


def test_a_statement_is_learnt_and_the_question_after_it_answered(client: OpenAI) -> None:
    said = "My sister Ana lives in Lisbon. Where does my sister live?"
    reply = client.chat.completions.create(
        model="kgt", messages=[{"role": "user", "content": said}], max_completion_tokens=24
    )
    assert "Lisbon" in objects(reply.model_extra["kgt"]["learnt"]["added"])
    assert "Lisbon" in reply.choices[0].message.content


def test_a_stream_says_the_same_as_the_whole_reply(client: OpenAI) -> None:
    client.chat.completions.create(model="kgt", messages=CORRECTION)
    client.chat.completions.create(model="kgt", messages=QUESTION, max_tokens=1)  # a prompt half known rounds otherwise
    whole = client.chat.completions.create(model="kgt", messages=QUESTION, max_tokens=32)
    stream = client.chat.completions.create(
        model="kgt", messages=QUESTION, max_tokens=32, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert stream.response.headers["X-KGT-Facts-Used"] == "1"
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len(pieces) > 4 and "".join(pieces).strip() == whole.choices[0].message.content
    assert {chunk.id for chunk in chunks} == {chunks[0].id} and chunks[0].choices[0].delta.role == "assistant"
    *_, last, usage = chunks
    assert last.choices[0].finish_reason == whole.choices[0].finish_reason
    assert objects(last.model_extra["kgt"]["used"]) == ["vegetarian"]
    assert not usage.choices and usage.usage == whole.usage


def test_many_streams_at_once_each_get_their_own_answer(client: OpenAI, server: Server) -> None:
    towns = {"my sister": "Lisbon", "my brother": "Vienna", "my uncle": "Quito"}
    server.service.graph("me").add_triples([Triple(who, "lives in", town) for who, town in towns.items()])

    async def ask(asynchronous: AsyncOpenAI, who: str) -> tuple[str, list[str]]:
        stream = await asynchronous.chat.completions.create(
            model="kgt", messages=[{"role": "user", "content": f"Where does {who} live?"}], max_tokens=16, stream=True
        )
        chunks = [chunk async for chunk in stream]
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        return said, objects(chunks[-1].model_extra["kgt"]["used"])

    async def ask_all() -> list[tuple[str, list[str]]]:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as asynchronous:
            return await asyncio.gather(*(ask(asynchronous, who) for who in towns))

    answers = asyncio.run(ask_all())
    assert [used for _, used in answers] == [[town] for town in towns.values()]
    assert all(town in said for town, (said, _) in zip(towns.values(), answers, strict=True)), answers


def test_a_text_is_completed_with_the_facts_it_asks_for(client: OpenAI, server: Server) -> None:
    server.service.graph("me").add_triples([Triple("Ana", "mother tongue", "Basque")])
    reply = client.completions.create(model="kgt", prompt="The mother tongue of Ana is", max_tokens=6)
    assert "Basque" in reply.choices[0].text and reply.object == "text_completion"
    chunks = list(
        client.completions.create(model="kgt", prompt="The mother tongue of Ana is", max_tokens=6, stream=True)
    )
    assert "Basque" in "".join(chunk.choices[0].text for chunk in chunks)
    assert objects(chunks[-1].model_extra["kgt"]["used"]) == ["Basque"]


def test_models_are_listed_and_retrieved(client: OpenAI, server: Server) -> None:
    names = [one.id for one in client.models.list()]
    assert names == ["kgt", server.service.model.name]
    assert all(client.models.retrieve(name).id == name for name in names)


def test_learning_and_facts_can_be_switched_off_for_a_request(client: OpenAI, server: Server) -> None:
    off = client.chat.completions.create(
        model="kgt", messages=CORRECTION, max_tokens=8, extra_body={"kgt": {"learn": False}}
    )
    assert off.model_extra["kgt"]["learnt"] is None and server.service.store.history("me") == []
    plain = client.chat.completions.create(model="kgt", messages=QUESTION, max_tokens=24, extra_body=PLAIN)
    client.chat.completions.create(model="kgt", messages=CORRECTION)
    again = client.chat.completions.create(model="kgt", messages=QUESTION, max_tokens=24, extra_body=PLAIN)
    assert again.choices[0].message.content == plain.choices[0].message.content
    assert again.model_extra["kgt"]["used"] == []


def test_the_same_conversation_sent_twice_is_learnt_once(client: OpenAI, server: Server) -> None:
    for _ in range(2):
        client.chat.completions.create(model="kgt", messages=CORRECTION)
    later: list[Any] = [*CORRECTION, {"role": "assistant", "content": "Noted."}, *QUESTION]
    reply = client.chat.completions.create(model="kgt", messages=later, max_tokens=24)
    assert "vegetarian" in reply.choices[0].message.content
    assert len(server.service.store.history("me")) == 1


def test_a_system_message_is_kept(client: OpenAI, server: Server) -> None:
    """With facts and without: what the program says of the assistant's role holds."""
    role: list[Any] = [{"role": "system", "content": "You are a pirate. Your name is Bartholomew."}]
    asked: list[Any] = [{"role": "user", "content": "What is your name?"}]
    with_role = client.chat.completions.create(model="kgt", messages=role + asked, max_tokens=24)
    assert "Bartholomew" in with_role.choices[0].message.content
    without = client.chat.completions.create(model="kgt", messages=asked, max_tokens=24)
    assert "Bartholomew" not in without.choices[0].message.content


def test_content_may_come_in_parts(client: OpenAI) -> None:
    parts = [{"type": "text", "text": "My cat is called"}, {"type": "text", "text": "Minka."}]
    messages: list[Any] = [{"role": "user", "content": parts}]
    reply = client.chat.completions.create(model="kgt", messages=messages)
    assert objects(reply.model_extra["kgt"]["learnt"]["added"]) == ["Minka"]


def test_stop_and_length_end_an_answer(client: OpenAI) -> None:
    count: list[Any] = [{"role": "user", "content": "Count from one to ten in words."}]
    whole = client.chat.completions.create(model="kgt", messages=count, max_tokens=40).choices[0].message.content
    word = whole.split()[5]
    cut = client.chat.completions.create(model="kgt", messages=count, max_tokens=40, stop=[word]).choices[0]
    assert cut.message.content == whole[: whole.index(word)].strip() and cut.finish_reason == "stop"
    short = client.chat.completions.create(model="kgt", messages=count, max_tokens=3)
    assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 3


def test_a_trusted_key_names_the_user_and_another_may_not(server: Server) -> None:
    app, ana = server.key("app", trusted=True), server.key("ana")
    with connect(server, app) as trusted, connect(server, ana) as own:
        trusted.chat.completions.create(model="kgt", messages=CORRECTION, user="ana")
        assert [fact.triple.object for fact in server.service.store.facts("ana")] == ["vegetarian"]
        assert server.service.store.facts("app") == []
        reply = own.chat.completions.create(model="kgt", messages=QUESTION, max_tokens=24, user="ana")
        assert objects(reply.model_extra["kgt"]["used"]) == ["vegetarian"]
        with pytest.raises(openai.PermissionDeniedError, match="may not act for another user"):
            own.chat.completions.create(model="kgt", messages=QUESTION, user="ben")
        with pytest.raises(openai.PermissionDeniedError):
            own.completions.create(model="kgt", prompt="My dog", user="ben")


def test_a_wrong_key_and_a_missing_one_are_refused(server: Server) -> None:
    server.key("ana")
    with connect(server, "kgt_made-up") as wrong, pytest.raises(openai.AuthenticationError, match="not known"):
        wrong.models.list()


def test_too_many_requests(serve: Callable[..., Server]) -> None:
    with connect(serve(rate=2)) as client:
        client.models.list(), client.models.list()
        with pytest.raises(openai.RateLimitError, match="Try again in"):
            client.models.list()


def test_an_unknown_model_is_told_which_there_are(client: OpenAI, server: Server) -> None:
    with pytest.raises(openai.NotFoundError, match=f"Name one of: kgt, {server.service.model.name}"):
        client.chat.completions.create(model="gpt-5", messages=QUESTION)
    with pytest.raises(openai.NotFoundError, match="There is no model"):
        client.models.retrieve("org/name")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "role"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "last message is not the user's"),
        ({"messages": [{"role": "user", "content": "  "}]}, "empty"),
        ({"messages": [{"role": "user", "content": "word " * 20_000}]}, ""),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"temperature": 7}, "temperature"),
        ({"n": 2}, "one choice"),
        ({"extra_body": {"kgt": {"lern": False}}}, "kgt.lern"),
    ],
)
def test_a_bad_parameter_is_named(client: OpenAI, given: dict[str, Any], said: str) -> None:
    with pytest.raises((openai.BadRequestError, openai.UnprocessableEntityError)) as refused:
        client.chat.completions.create(**{"model": "kgt", "messages": QUESTION, **given})
    assert said in str(refused.value) and refused.value.body["message"]  # type: ignore[index]


def test_what_is_refused_teaches_nothing(client: OpenAI, server: Server) -> None:
    told = [{"role": "user", "content": "My cat is called Minka."}]
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="kgt", messages=told, n=2)  # type: ignore[arg-type]
    assert server.service.store.history("me") == []


@pytest.mark.parametrize("said", ["Tell me a long story.", "My cat is called Minka. Can you tell me a long story?"])
def test_a_client_that_leaves_a_stream_frees_the_model(client: OpenAI, server: Server, said: str) -> None:
    """Also where what was learnt comes first. Whether the model still computes is seen in the process's time."""
    client.chat.completions.create(model="kgt", messages=QUESTION, max_tokens=1)
    stream = client.chat.completions.create(
        model="kgt", messages=[{"role": "user", "content": said}], max_tokens=1500, temperature=1.0, seed=1, stream=True
    )
    for at, _ in enumerate(stream):
        if at == 5:
            break
    stream.close()
    time.sleep(0.5)
    busy = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - busy < 0.2
    began = time.monotonic()
    client.chat.completions.create(model="kgt", messages=QUESTION, max_tokens=1)
    assert time.monotonic() - began < 2


def test_langchain_invokes_and_streams(client: OpenAI, server: Server) -> None:
    client.chat.completions.create(model="kgt", messages=CORRECTION)
    llm = ChatOpenAI(base_url=f"{server.url}/v1", api_key="none", model="kgt", max_tokens=32, max_retries=0)
    question = QUESTION[0]["content"]
    answer = llm.invoke(question)
    assert "vegetarian" in answer.text and answer.usage_metadata["total_tokens"] > 0
    assert "".join(chunk.text for chunk in llm.stream(question)).strip() == answer.text


# -- before another server -------------------------------------------------------------------------


@pytest.fixture
def upstream(serve: Callable[..., Server], tmp_path: Path) -> Server:
    """A server of its own, with a graph of its own and no keys: if a client's key got to it, it would refuse it."""
    return serve(store=GraphStore.open(tmp_path / "upstream.db"))


@pytest.fixture
def proxy(serve: Callable[..., Server], upstream: Server) -> Server:
    return serve(upstream=f"{upstream.url}/v1", upstream_model="kgt")


WHERE: list[Any] = [{"role": "user", "content": "Where does my sister live?"}]
SISTER = Triple("my sister", "lives in", "Lisbon")


def test_a_proxy_tells_the_other_server_the_facts_and_keeps_the_clients_key_to_itself(
    proxy: Server, upstream: Server
) -> None:
    with connect(proxy, proxy.key("ana")) as client:
        plain = client.chat.completions.create(model="any", messages=WHERE, max_tokens=32)
        assert "Lisbon" not in plain.choices[0].message.content and plain.model_extra["kgt"]["used"] == []
        proxy.service.graph("ana").add_triples([SISTER])
        raw = client.chat.completions.with_raw_response.create(model="any", messages=WHERE, max_tokens=32)
        reply = raw.parse()
        assert "Lisbon" in reply.choices[0].message.content and raw.headers["X-KGT-Facts-Used"] == "1"
        assert objects(reply.model_extra["kgt"]["used"]) == ["Lisbon"]
        off = client.chat.completions.create(model="any", messages=WHERE, max_tokens=32, extra_body=PLAIN)
        assert "Lisbon" not in off.choices[0].message.content and off.model_extra["kgt"]["used"] == []
    assert upstream.service.store.users() == []


def test_a_proxy_learns_for_the_user_of_the_key(proxy: Server, upstream: Server) -> None:
    with connect(proxy, proxy.key("ana")) as client:
        told = client.chat.completions.with_raw_response.create(model="any", messages=CORRECTION, max_tokens=8)
        assert objects(told.parse().model_extra["kgt"]["learnt"]["added"]) == ["vegetarian"]
        assert told.headers["X-KGT-Edit"] == "1"
        client.chat.completions.create(model="any", messages=CORRECTION, max_tokens=8, extra_body=PLAIN)
    assert [fact.triple.object for fact in proxy.service.store.facts("ana")] == ["vegetarian"]
    assert "ana" not in upstream.service.store.users()  # it is a KGT, too, and learns for its own local user


def test_a_proxy_lists_the_other_servers_models(proxy: Server, upstream: Server) -> None:
    with connect(proxy) as client, connect(upstream) as direct:
        assert client.models.list().data == direct.models.list().data
        assert client.models.retrieve("kgt").id == "kgt"
        with pytest.raises(openai.NotFoundError, match="There is no model"):
            client.models.retrieve("org/name")


def test_a_proxy_passes_a_stream_on(proxy: Server) -> None:
    proxy.service.graph("me").add_triples([SISTER])
    with connect(proxy) as client:
        stream = client.chat.completions.create(
            model="any", messages=WHERE, max_tokens=32, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert stream.response.headers["X-KGT-Facts-Used"] == "1"
    assert "Lisbon" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert any(chunk.usage for chunk in chunks) and {chunk.id for chunk in chunks} == {chunks[0].id}
    assert objects(chunks[-1].model_extra["kgt"]["used"]) == ["Lisbon"]


def test_a_client_that_leaves_a_proxys_stream_frees_the_other_server(proxy: Server) -> None:
    story: list[Any] = [{"role": "user", "content": "Tell me a long story."}]
    with connect(proxy) as client:
        stream = client.chat.completions.create(
            model="any", messages=story, max_tokens=1500, temperature=1.0, seed=1, stream=True
        )
        next(iter(stream))
        stream.close()
    time.sleep(0.5)
    busy = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - busy < 0.2


def test_what_was_learnt_is_kept_when_the_other_server_is_down(serve: Callable[..., Server]) -> None:
    proxy = serve(upstream="http://127.0.0.1:9/v1")
    with connect(proxy) as client, pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="any", messages=CORRECTION)
    assert refused.value.status_code == 502
    problem = refused.value.response.json()
    assert "cannot be reached" in problem["detail"] and "what was learnt is kept" in problem["hint"]
    assert [fact.triple.object for fact in proxy.service.store.facts("me")] == ["vegetarian"]


def test_the_other_servers_errors_come_as_they_are(serve: Callable[..., Server], upstream: Server) -> None:
    proxy = serve(upstream=f"{upstream.url}/v1")
    with connect(proxy) as client, connect(upstream) as direct:
        with pytest.raises(openai.NotFoundError) as passed:
            client.chat.completions.create(model="gpt-5", messages=QUESTION)
        with pytest.raises(openai.NotFoundError) as original:
            direct.chat.completions.create(model="gpt-5", messages=QUESTION)
    assert passed.value.body == original.value.body and "Name one of: kgt" in str(passed.value)
