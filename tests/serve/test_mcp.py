"""MCP with the client of its own SDK: over HTTP, each key for its user, and over a program's standard input."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from .conftest import Server

DOG = {"subject": "my dog", "relation": "is called", "object": "Rex"}


@asynccontextmanager
async def over_http(server: Server, key: str, headers: dict[str, str]) -> AsyncIterator[Client]:
    headers = headers | ({"Authorization": f"Bearer {key}"} if key else {})
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client,
    ):
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool found; lists come in the field `result`."""
    reply = await client.call_tool(tool, arguments)
    assert not reply.is_error, reply.content
    found = reply.structured_content
    return found["result"] if set(found) == {"result"} else found


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    """What a model reads of a tool that failed."""
    reply = await client.call_tool(tool, arguments)
    assert reply.is_error
    return str(reply.content[0].text)


def over_http_do(
    server: Server, work: Callable[[Client], Awaitable[Any]], key: str = "", headers: dict[str, str] | None = None
) -> Any:
    async def run() -> Any:
        async with over_http(server, key, headers or {}) as client:
            return await work(client)

    return asyncio.run(run())


async def story(client: Client) -> None:
    """Remember, recall, correct, forget, list: what a model does for its user."""
    stored = await call(client, "remember", **DOG)
    assert stored["id"] == 1 and stored["added"][0]["object"] == "Rex"
    assert [z["object"] for z in await call(client, "recall", question="What is my dog called?")] == ["Rex"]
    corrected = await call(client, "correct", question="What is my dog called?", answer="No, my dog is called Bello.")
    assert [z["object"] for z in corrected["added"]] == ["Bello"]
    assert [z["object"] for z in corrected["removed"]] == ["Rex"]
    assert [z["object"] for z in await call(client, "recall", question="What is my dog called?")] == ["Bello"]
    await call(client, "remember", subject="my sister", relation="lives in", object="Lisbon")
    assert [z["object"] for z in await call(client, "facts")] == ["Lisbon", "Bello"]
    assert [z["object"] for z in await call(client, "facts", entity="my dog")] == ["Bello"]
    await call(client, "forget", subject="my dog")
    assert [z["object"] for z in await call(client, "facts")] == ["Lisbon"]
    assert await call(client, "recall", question="What is my dog called?") == []


def test_the_tools_say_what_they_are_for_and_what_they_take(server: Server) -> None:
    async def look(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"remember", "recall", "correct", "forget", "facts"}
        assert all(tool.description and tool.output_schema for tool in tools.values())
        for tool in tools.values():
            assert "ctx" not in tool.input_schema["properties"]
            assert all(field.get("description") for field in tool.input_schema["properties"].values())
        assert tools["remember"].input_schema["required"] == ["subject", "relation", "object"]
        assert tools["forget"].input_schema["required"] == ["subject"]
        assert client.server_info.name == "kgt" and "recall" in (client.instructions or "")

    over_http_do(server, look)


def test_the_story_over_http(server: Server) -> None:
    over_http_do(server, story)


def test_the_story_over_standard_input(tmp_path: Path, cache: Path) -> None:
    """The command that a desktop program starts."""
    database = tmp_path / "own.db"
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "kgt.cli", "mcp", "--user", "ana", "--db", str(database)],
        env={"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "KGT_CACHE": str(cache), "HOME": str(tmp_path)},
    )

    async def run() -> None:
        async with Client(command) as client:
            await story(client)

    asyncio.run(run())
    assert database.exists()


def test_a_tool_that_fails_says_what_to_do(server: Server) -> None:
    async def fail(client: Client) -> None:
        assert "See `kgt facts`" in await refusal(client, "forget", subject="nobody")
        assert "empty" in await refusal(client, "recall", question="  ")
        assert "subject" in await refusal(client, "correct", question="What?", answer="no")
        assert "relation" in await refusal(client, "remember", subject="my dog")
        assert "wizard" in await refusal(client, "wizard")

    over_http_do(server, fail)


@pytest.mark.parametrize(("key", "said"), [("", "needs an API key"), ("kgt_made-up", "not known"), ("x", "not known")])
def test_without_a_valid_key_nothing_is_served(server: Server, key: str, said: str) -> None:
    server.key("ana")
    with server.client(key) as http:
        refused = http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    with pytest.raises(ExceptionGroup) as failed:
        over_http_do(server, lambda client: client.list_tools(), key)
    assert said in repr(failed.value) and "kgt user add" in repr(failed.value)


def test_one_users_key_never_shows_anothers_facts(server: Server) -> None:
    async def tell(client: Client) -> None:
        await call(client, "remember", **DOG | {"object": "Xanthippe"})

    async def snoop(client: Client) -> None:
        assert await call(client, "facts") == await call(client, "facts", entity="my dog") == []
        assert await call(client, "recall", question="What is my dog called?") == []
        assert "Nothing of yours" in await refusal(client, "forget", subject="my dog")

    over_http_do(server, tell, server.key("ana"))
    over_http_do(server, snoop, server.key("ben"))
    edits = server.service.store.history("ana")
    assert [edit.added[0].triple.object for edit in edits] == ["Xanthippe"] and server.service.store.users() == ["ana"]


def test_a_trusted_key_remembers_for_the_user_it_names(server: Server) -> None:
    async def tell(client: Client) -> None:
        await call(client, "remember", **DOG)

    over_http_do(server, tell, server.key("app", trusted=True), {"X-KGT-User": "ana"})
    assert server.service.store.users() == ["ana"]


def test_no_stream_is_held_open_on_which_nothing_would_come(server: Server) -> None:
    with server.client() as http:
        assert http.get("/mcp").status_code == 405


def test_too_many_calls_are_refused(serve: Callable[..., Server]) -> None:
    server = serve(rate=3)
    with server.client() as http:
        found = [http.post("/mcp").status_code for _ in range(5)]
    assert found[-2:] == [429, 429]
