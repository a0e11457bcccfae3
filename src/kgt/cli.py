"""The command `kgt`: every verb of the Assistant in the terminal.

Heavy modules are imported inside the commands, so that `kgt --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from kgt import __version__
from kgt.bench import cli as benchmark
from kgt.bench import editor_cli
from kgt.errors import BadInput, KGTError, NotFound
from kgt.options import GIVEN, wants_json
from kgt.options import settings as settings_with
from kgt.serve import cli as server
from kgt.terminal import (
    as_json,
    reading,
    show_edit,
    show_error,
    show_explanation,
    show_facts,
    show_history,
    show_imported,
    show_used,
    visible,
    waiting,
)

if TYPE_CHECKING:
    from kgt.assistant import Assistant
    from kgt.graph import Edit

app = typer.Typer(
    help="Personalise a language model by editing your knowledge graph.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

User = Annotated[str | None, typer.Option("--user", "-u", help="Whose graph (default: KGT_USER, or me).")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="A name from `kgt models`, a folder, a .gguf file, a hub name or http://host/v1#name."
    ),
]
Db = Annotated[str | None, typer.Option("--db", help="Database file or SQLAlchemy URL.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
Subject = Annotated[
    str | None, typer.Option("--subject", "-s", help="The entity it is about, if it is not found by itself.")
]
Object = Annotated[
    str | None, typer.Option("--object", "-o", help="The answer's entity, if it is not found by itself.")
]
Relations = Annotated[
    list[str] | None,
    typer.Option("--relation", "-r", help="How subject and object are related; may be repeated."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the edit, store nothing.")]
Format = Annotated[
    str | None, typer.Option("--format", "-f", help="tsv, jsonl, graphml or nt (default: by the file's name).")
]


MOST_LISTED = 50_000
"""Shared facts that are listed at once; ConceptNet has millions."""


def _version(wanted: bool) -> None:
    if wanted:
        print(f"kgt {__version__}")
        raise typer.Exit


@app.callback()
def options(
    user: User = None,
    model: Model = None,
    db: Db = None,
    json: Json = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Personalise a language model by editing your knowledge graph."""
    GIVEN.update(user=user, model=model, db=db, json=json)


@app.command()
def ask(
    query: str,
    subject: Subject = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer, in tokens.")] = None,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """Ask a question.  Example: kgt ask "What should I feed my dog?" """
    with _assistant(user, model, db, json) as (me, as_data):
        _load(me, as_data)
        stream = None if as_data else lambda piece: out.print(visible(piece), end="", markup=False, soft_wrap=True)
        answer = me.ask(query, subject=subject, max_tokens=max_tokens, on_text=stream)
        if as_data:
            kept = {"query": answer.query, "text": answer.text, "subject": answer.subject}
            print(as_json({**kept, "facts": answer.facts, "none": answer.retrieval.none}))
        else:
            out.print()
            show_used(out, answer)


@app.command()
def teach(
    query: str,
    feedback: str,
    relation: Relations = None,
    subject: Subject = None,
    object: Object = None,
    dry_run: DryRun = False,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """Say what the right answer is.  Example: kgt teach "What does my dog eat?" "My dog is vegetarian." """
    with _assistant(user, model, db, json) as (me, as_data):
        _load(me, as_data)
        _say(me.teach(query, feedback, relation, subject=subject, object=object, dry_run=dry_run), as_data)


@app.command()
def chat(user: User = None, model: Model = None, db: Db = None) -> None:
    """Chat; correct an answer ("No, …", "Actually, …") and it is learnt."""
    from kgt.repl import chat as talk

    with _assistant(user, model, db, False) as (me, _):
        _load(me, False, encoder=False)
        talk(me, out)


@app.command()
def facts(
    entity: Annotated[str | None, typer.Argument(help="Only what is known about this.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="An edit's number, or a time (2026-01-31T12:00+00:00).")
    ] = None,
    base: Annotated[bool, typer.Option("--base", help="With the shared common-sense facts.")] = False,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """List what is known.  Example: kgt facts "my dog" --base"""
    with _assistant(user, model, db, json, reads=True) as (me, as_data):
        most = MOST_LISTED + 1 if base and entity is None else None
        found = me.facts(entity, as_of=_moment(as_of), include_base=base, limit=most)
        if most and len(found) == most:
            raise BadInput(f"There are more than {MOST_LISTED:,} shared facts.", "Name an entity: kgt facts dog --base")
        print(as_json(found)) if as_data else show_facts(out, found)


@app.command()
def add(
    subject: str,
    relation: str,
    object: str,
    dry_run: DryRun = False,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """Add a fact exactly, without a model.  Example: kgt add Rex likes carrots"""
    from kgt.triple import Triple

    with _assistant(user, model, db, json) as (me, as_data):
        _say(me.add_triples([Triple(subject, relation, object)], dry_run=dry_run), as_data)


@app.command()
def history(
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Only the latest edits.")] = None,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """List your edits, latest first."""
    with _assistant(user, model, db, json, reads=True) as (me, as_data):
        edits = me.history(limit)
        print(as_json(edits)) if as_data else show_history(out, edits)


@app.command()
def undo(
    edit: Annotated[int | None, typer.Argument(help="The edit's number (default: the latest).")] = None,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """Reverse an edit; the undo is an edit too.  Example: kgt undo 7"""
    with _assistant(user, model, db, json, reads=True) as (me, as_data):
        _say(me.undo(edit), as_data)


@app.command()
def forget(
    subject: str,
    relation: Annotated[str | None, typer.Argument(help="Only this relation.")] = None,
    object: Annotated[str | None, typer.Argument(help="Only this fact.")] = None,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """Forget what you said about an entity; can be undone.  Example: kgt forget "my dog" """
    with _assistant(user, model, db, json, reads=True) as (me, as_data):
        _say(me.forget(subject, relation, object), as_data)


@app.command()
def erase(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """Delete everything of yours for good, history included; cannot be undone."""
    with _assistant(user, model, db, json, reads=True) as (me, as_data):
        if not yes and typer.prompt(f"Everything of {me.user} will be gone. Type the user's name") != me.user:
            raise BadInput("The name does not match; nothing was erased.", "Type it exactly, or give --yes.")
        me.store.erase(me.user)
        print(as_json({"erased": me.user})) if as_data else out.print(f"Erased everything of {me.user}.", markup=False)


@app.command()
def explain(
    query: str,
    subject: Subject = None,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """Why a question is answered as it is: facts, probabilities, edits."""
    with _assistant(user, model, db, json) as (me, as_data):
        _load(me, as_data)
        explanation = me.explain(query, subject=subject)
        print(as_json(explanation)) if as_data else show_explanation(out, explanation)


@app.command(name="export")
def export_(
    file: Annotated[Path | None, typer.Argument(help="Where to (default: the terminal).")] = None,
    format: Format = None,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """Write your facts to a file.  Example: kgt export facts.jsonl"""
    from kgt.graph import exchange

    with _assistant(user, model, db, json, reads=True) as (me, as_data):
        found = me.facts()
        kind = format or (exchange.format_of(file) if file else "tsv")
        if file is None:
            exchange.write(found, sys.stdout, kind)  # type: ignore[arg-type]
            return
        try:
            with file.open("w", encoding="utf-8") as stream:
                exchange.write(found, stream, kind)  # type: ignore[arg-type]
        except OSError as error:
            raise BadInput(f"{file} cannot be written: {error.strerror}.", "Choose another place.") from error
        if as_data:
            print(as_json({"file": str(file), "facts": len(found)}))
        else:
            out.print(f"Wrote {len(found)} facts to {file}.", markup=False)


@app.command(name="import")
def import_(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file of your facts, or - for standard input.", show_default=False)
    ],
    shared: Annotated[
        str | None,
        typer.Argument(metavar="or conceptnet FILE", help="A file of ConceptNet's, for all users.", show_default=False),
    ] = None,
    format: Format = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Code of the language to take from ConceptNet (default: en).")
    ] = None,
    min_weight: Annotated[
        float | None, typer.Option("--min-weight", help="Take no assertion of ConceptNet below this weight.")
    ] = None,
    user: User = None, model: Model = None, db: Db = None, json: Json = False,
) -> None:  # fmt: skip
    """Add the facts of a file, all or none.  Example: kgt import facts.tsv

    `kgt import conceptnet FILE` fills the graph that all users share, from the official assertions or CN-100K, plain
    or packed (.gz, .xz). Where it was stopped, the same command goes on.
    """
    options = {"--format": format, "--language": language, "--min-weight": min_weight}
    others = {"--format"} if shared else {"--language", "--min-weight"}
    misplaced = [name for name in others if options[name] is not None]
    if misplaced or (file == "conceptnet") != (shared is not None):
        what = f"{min(misplaced)} does not go with this." if misplaced else "The word conceptnet goes before a file."
        raise BadInput(
            what,
            "kgt import FILE [--format …] adds facts of yours (write ./conceptnet, if that is the file's name); "
            "kgt import conceptnet FILE [--language …] [--min-weight …] adds to the graph that all users share.",
        )
    if shared:
        _import_conceptnet(shared, language or "en", min_weight or 0.0, db, json)
    else:
        _import_facts(Path(file), format, user, model, db, json)


def _import_facts(
    file: Path, format: str | None, user: str | None, model: str | None, db: str | None, json: bool
) -> None:
    from kgt.graph import exchange

    if str(file) == "-" and not format:
        raise BadInput("Standard input has no name to tell its format by.", "Give --format tsv, jsonl, graphml or nt.")
    kind = format or exchange.format_of(file)
    try:
        stream = sys.stdin if str(file) == "-" else file.open(encoding="utf-8")
        with stream:
            triples = list(exchange.read(stream, kind))  # type: ignore[arg-type]
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}.", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    with _assistant(user, model, db, json) as (me, as_data):
        _say(me.add_triples(triples, kind="import"), as_data)


def _import_conceptnet(file: str, language: str, min_weight: float, db: str | None, json: bool) -> None:
    with _assistant(None, None, db, json) as (me, as_data):
        try:
            with reading(Console(quiet=True) if as_data else err, Path(file).name) as progress:
                done = me.store.import_conceptnet(file, language, min_weight, progress)
        except KeyboardInterrupt:
            err.print("Stopped. The same command goes on from here.", style="dim")
            raise
        print(as_json(done)) if as_data else show_imported(out, done)


@app.command()
def models(json: Json = False) -> None:
    """List the models that run without a network."""
    from kgt.lm.catalog import model_names

    if wants_json(json):
        print(as_json([{"name": name, "where": where} for name, where in model_names()]))
        return
    for name, where in model_names():
        out.print(f"{name}   {where}", markup=False)
    out.print(
        "Also: a folder, a .gguf file, a server's http://host:8000/v1#name, while online a hub name such as gpt2.",
        style="dim",
    )


@app.command()
def demo(model: Model = None) -> None:
    """Tell the story of one user on the real model, and check every promise; exit code 1 if one is broken."""
    from kgt.demo import run

    raise typer.Exit(run(out, settings_with(None, model, None)))


for command in (benchmark.bench, benchmark.report, benchmark.dataset, editor_cli.train_editor, editor_cli.trace):
    app.command()(command)
app.command()(server.serve)
app.command()(server.mcp)
app.add_typer(server.user_app, name="user")


def main() -> None:
    """Run the command line: errors in words with exit code 2, never a traceback."""
    try:
        app(standalone_mode=True)
    except KGTError as error:
        if "--json" in sys.argv:
            print(as_json({"error": error.message, "hint": error.hint}))
        show_error(err, error.message, error.hint)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains at exit
        sys.exit(0)


@contextmanager
def _assistant(
    user: str | None, model: str | None, db: str | None, json: bool, *, reads: bool = False
) -> Iterator[tuple[Assistant, bool]]:
    """The assistant and whether to print JSON; the database is closed at the end.

    Args:
        reads: the command works on what is stored, so a user named but unknown is a mistake.
    """
    from kgt.assistant import Assistant

    settings = settings_with(user, model, db)
    me = Assistant(settings.user, settings=settings)
    try:
        named = user or GIVEN.get("user") or os.environ.get("KGT_USER")
        if reads and named and settings.user not in me.store.users():
            known = ", ".join(me.store.users()[:10]) or "none yet"
            raise NotFound(f"There is no user {settings.user!r}.", f"Known users: {known}. Teaching creates one.")
        yield me, wants_json(json)
    finally:
        if "store" in vars(me):
            me.store.close()


def _load(me: Assistant, quietly: bool, *, encoder: bool = True) -> None:
    """Load the model under a bar, so that nobody wonders what takes seconds."""
    with waiting(Console(quiet=True) if quietly else err, f"Loading {me.settings.model} (the first time about 20 s)"):
        _ = me.model
        if encoder and me.encoder:
            me.encoder.load()


def _say(edit: Edit, as_data: bool) -> None:
    print(as_json(edit)) if as_data else show_edit(out, edit)


def _moment(text: str | None) -> Any:
    """An edit's number or a time with its zone."""
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    from datetime import datetime

    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is no edit number and no time.", "Write 7, or 2026-01-31T12:00+00:00.") from error


if __name__ == "__main__":
    main()
