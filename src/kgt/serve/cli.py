"""`kgt serve`, `kgt mcp` and `kgt user`: the commands of the server."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from kgt.errors import BadInput, NotFound
from kgt.options import settings as settings_with
from kgt.options import wants_json
from kgt.terminal import as_json

if TYPE_CHECKING:
    from kgt.graph import GraphStore
    from kgt.serve.service import Service
    from kgt.settings import Settings

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

user_app = typer.Typer(help="API keys of the server's users.", no_args_is_help=True)

Db = Annotated[str | None, typer.Option("--db", help="Database file or SQLAlchemy URL.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="As for the other commands.")]
User = Annotated[str | None, typer.Option("--user", "-u", help="The local user, while there are no keys.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
KEPT_SECONDS = 75
"""How long an idle connection is kept: longer than balancers keep theirs (60 s), which else use a closed one."""
GRACE_SECONDS = 30
"""How long a server that is told to stop finishes what was begun."""


def serve(
    host: Annotated[str, typer.Option(envvar="KGT_HOST", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", envvar="KGT_PORT", min=1, max=65535)] = 8080,
    upstream: Annotated[
        str, typer.Option(envvar="KGT_UPSTREAM", help="An OpenAI-compatible server (http://…/v1) that answers chats.")
    ] = "",
    upstream_model: Annotated[
        str, typer.Option(envvar="KGT_UPSTREAM_MODEL", help="The model to ask it for (default: the client's choice).")
    ] = "",
    rate: Annotated[int, typer.Option(envvar="KGT_RATE", min=0, help="Requests a minute of one user; 0: any.")] = 600,
    max_body: Annotated[
        int, typer.Option(envvar="KGT_MAX_BODY", min=1000, help="Longest request, in bytes.")
    ] = 2_000_000,
    cors: Annotated[
        list[str] | None, typer.Option(help="An origin whose pages may call the server; may be repeated.")
    ] = None,
    user: User = None,
    model: Model = None,
    db: Db = None,
) -> None:
    """Serve the page, REST, OpenAI's protocol and MCP.  Example: kgt serve --port 8080

    On this machine no key is needed until `kgt user add` has made one. KGT_UPSTREAM_KEY is sent to the other server.
    """
    _check_installed()
    settings = settings_with(user, model, db)
    serving, service = _opened(settings, host, port, upstream, upstream_model, rate, max_body, tuple(cors or ()))
    listening = _listening(host, port, service)
    import uvicorn

    from kgt.serve.app import create_app
    from kgt.serve.logs import log_in_json

    log_in_json()
    shown = f"[{host}]" if ":" in host else host
    err.print(f"http://{shown}:{port}/  (API at /docs, OpenAI's protocol at /v1, MCP at /mcp)", markup=False)
    signal.signal(signal.SIGTERM, _stopped)  # uvicorn hands the signal on when it has finished
    config = uvicorn.Config(
        create_app(service, serving), log_config=None, timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEPT_SECONDS, server_header=False,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])


def _opened(
    settings: Settings, host: str, port: int, upstream: str, upstream_model: str, rate: int, max_body: int,
    cors: tuple[str, ...],
) -> tuple[Any, Any]:  # fmt: skip
    from kgt.serve.service import Service
    from kgt.serve.settings import Serving

    if upstream and not upstream.startswith(("http://", "https://")):
        raise BadInput(f"{upstream!r} is no server's address.", "Write --upstream http://host:8000/v1")
    service = Service(settings, keyless=_is_loopback(host))
    if not service.keyless and not service.store.has_keys():
        service.store.close()
        raise BadInput(
            f"{host} can be reached from other machines, and there are no API keys yet.",
            "Make one first: kgt user add NAME. Or serve this machine alone: --host 127.0.0.1",
        )
    key = os.environ.get("KGT_UPSTREAM_KEY", "")
    return Serving(host, port, rate, max_body, cors, upstream, upstream_model, key), service


def _listening(host: str, port: int, service: Service) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        service.store.close()
        hint = "Stop what listens there, or name another: --port 8081"
        if error.errno != errno.EADDRINUSE:
            hint = "Name an address of this machine, and a port that you may use."
        raise BadInput(f"{host}, port {port}: {error.strerror or error}.", hint) from error


def _stopped(_signal: int, _frame: object) -> None:
    sys.exit(0)


def mcp(
    user: Annotated[str | None, typer.Option("--user", "-u", help="Whose graph (default: KGT_USER, or me).")] = None,
    model: Model = None,
    db: Db = None,
) -> None:
    """Serve MCP over standard input and output, for one user.  Example: kgt mcp --user ana"""
    _check_installed()
    from kgt.serve.mcp import serve_stdio

    serve_stdio(settings_with(user, model, db))


@user_app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="Whose graph the key opens.")],
    label: Annotated[str, typer.Option(help="What the key is for, such as the program that has it.")] = "",
    trusted: Annotated[
        bool, typer.Option("--trusted", help="The holder may act for any user (the field `user`, X-KGT-User).")
    ] = False,
    days: Annotated[int | None, typer.Option(min=1, max=36500, help="Valid for so long (default: always).")] = None,
    db: Db = None,
    json: Json = False,
) -> None:
    """Make an API key; it is shown once.  Example: kgt user add ana --days 90"""
    _check_installed()
    from kgt.serve.auth import new_key

    with _store(db) as store:
        expires = datetime.now(UTC) + timedelta(days=days) if days else None
        text, key = new_key(store, name, label, trusted=trusted, expires=expires)
    if wants_json(json):
        print(as_json({"user": key.user, "key": text, "trusted": key.trusted, "expires": key.expires}))
    else:
        err.print(f"A key of {key.user}'s; it is shown this once:", markup=False)
        print(text)


@user_app.command("list")
def list_users(db: Db = None, json: Json = False) -> None:
    """List the keys, by the beginning of their hashes."""
    with _store(db) as store:
        keys = [{"id": hash[:12], "user": k.user, "label": k.name, "trusted": k.trusted, "created": k.created,
                 "expires": k.expires} for hash, k in store.keys(None)]  # fmt: skip
    if wants_json(json):
        print(as_json(keys))
        return
    for key in keys:
        until = f"until {key['expires']:%Y-%m-%d}" if key["expires"] else ""
        marks = " ".join(filter(None, [str(key["label"]), "trusted" if key["trusted"] else "", until]))
        out.print(f"{key['id']}  {key['user']}  {marks}", markup=False)


@user_app.command("remove")
def remove_key(
    id: Annotated[str, typer.Argument(help="As `kgt user list` shows it.")], db: Db = None, json: Json = False
) -> None:
    """Make a key invalid at once; the user's graph stays.  Example: kgt user remove 3f1c9a52b0d8"""
    with _store(db) as store:
        found = [hash for hash, _ in store.keys(None) if hash.startswith(id.lower())] if len(id) >= 6 else []
        if len(found) != 1:
            raise NotFound(f"There is no key {id!r}.", "`kgt user list` shows the ids.")
        store.remove_key(found[0])
    print(as_json({"removed": id})) if wants_json(json) else out.print(f"Removed {id}.", markup=False)


def _check_installed() -> None:
    missing = [name for name in ("fastapi", "limits", "mcp", "nicegui", "uvicorn") if find_spec(name) is None]
    if missing:
        raise BadInput(
            f"The server needs packages that are not here: {', '.join(missing)}.", "pip install 'kgt[serve]'"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _store(db: str | None) -> GraphStore:
    from kgt.graph import GraphStore

    return GraphStore.open(settings_with(None, None, db).db)
