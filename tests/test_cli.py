"""The command line: every verb, on the real model and a real database file."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kgt import cli
from kgt.lm import LanguageModel

DOG, VEGETARIAN = "What does my dog eat?", "No, my dog is vegetarian."


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "graph.db"


@pytest.fixture
def kgt(
    db: Path, model: LanguageModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Run the command line in this process, on the model that is loaded already."""
    monkeypatch.setattr("kgt.assistant.load_model", lambda *_, **__: model)
    monkeypatch.setenv("KGT_DB", str(db))

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["kgt", *arguments])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Result(code, *capsys.readouterr())

    return run


def process(*arguments: str, db: Path, **more: Any) -> Result:
    """Run the command line as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "kgt.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "KGT_DB": str(db)},
        **more,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_teach_shows_the_diff_the_probabilities_and_the_loss(kgt: Callable[..., Result]) -> None:
    shown = kgt("teach", DOG, VEGETARIAN).out
    assert "+ (my dog, is, vegetarian)   P(a|q,z) 0." in shown
    assert "− (dog, CapableOf, eat meat)" in shown
    assert "loss ∞ → 0." in shown
    assert "edit 1" in shown


def test_ask_answers_with_the_fact_and_names_it(kgt: Callable[..., Result]) -> None:
    kgt("teach", DOG, VEGETARIAN)
    shown = kgt("ask", "What should I feed my dog?").out
    assert "vegetarian" in shown
    assert "from (my dog, is, vegetarian)" in shown


def test_teaching_what_is_known_says_so(kgt: Callable[..., Result]) -> None:
    kgt("teach", DOG, VEGETARIAN)
    again = kgt("teach", DOG, VEGETARIAN)
    assert (again.code, again.out) == (0, "Known already; nothing changed.\n")


def test_every_reading_command_speaks_json(kgt: Callable[..., Result]) -> None:
    edit = kgt("teach", DOG, VEGETARIAN, "--json").json
    assert edit["added"][0]["triple"] == {"subject": "my dog", "relation": "is", "object": "vegetarian"}
    assert (edit["loss_before"], edit["id"]) == (None, 1)
    assert kgt("--json", "facts").json[0]["triple"]["object"] == "vegetarian"
    assert kgt("history", "--json").json[0]["query"] == DOG
    assert kgt("explain", DOG, "--json").json["reasons"][0]["used"] is True
    assert kgt("ask", DOG, "--json").json["facts"][0]["triple"]["object"] == "vegetarian"
    assert kgt("models", "--json").json[0]["name"] == "smollm2-135m"
    assert kgt("undo", "--json").json["undoes"] == 1
    assert kgt("facts", "--json").json == []


def test_explain_shows_which_fact_was_used_and_its_edit(kgt: Callable[..., Result]) -> None:
    kgt("teach", DOG, VEGETARIAN)
    shown = kgt("explain", "What should I feed my dog?").out
    assert "vegetarian" in shown
    assert "edit 1" in shown
    assert "none of them" in shown


def test_history_undo_and_a_look_back(kgt: Callable[..., Result]) -> None:
    kgt("add", "Rex", "owner", "Ana")
    kgt("add", "Rex", "owner", "Ben")
    assert "undoes edit 2" in kgt("undo").out
    assert [f["triple"]["object"] for f in kgt("facts", "--json").json] == ["Ana"]
    assert [f["triple"]["object"] for f in kgt("facts", "Rex", "--as-of", "2", "--json").json] == ["Ben"]
    assert len(kgt("history", "--json").json) == 3


def test_users_do_not_see_each_other(kgt: Callable[..., Result]) -> None:
    kgt("add", "Rex", "owner", "Ana", "--user", "ana")
    kgt("--user", "ben", "add", "Tom", "owner", "Ben")
    assert [f["triple"]["subject"] for f in kgt("facts", "--user", "ana", "--json").json] == ["Rex"]
    assert [f["triple"]["subject"] for f in kgt("--user", "ben", "facts", "--json").json] == ["Tom"]


@pytest.mark.parametrize("ending", ["tsv", "jsonl", "graphml", "nt"])
def test_facts_travel_through_a_file(kgt: Callable[..., Result], tmp_path: Path, ending: str) -> None:
    kgt("add", "Rex", "likes", "🥕 [red]carrots[/red]", "--user", "ana")
    file = tmp_path / f"facts.{ending}"
    assert kgt("export", str(file), "--user", "ana").code == 0
    assert kgt("import", str(file), "--user", "ben").code == 0
    assert kgt("facts", "--user", "ben", "--json").json[0]["triple"]["object"] == "🥕 [red]carrots[/red]"


def test_a_damaged_file_imports_nothing(kgt: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text('{"subject": "a", "relation": "b", "object": "c"}\n{"subject": "d"}\n')
    done = kgt("import", str(file))
    assert done.code == 2
    assert "Line 2" in done.err
    assert kgt("facts", "--json").json == []


def test_forget_and_erase(kgt: Callable[..., Result]) -> None:
    kgt("add", "Rex", "likes", "carrots")
    assert "− (Rex, likes, carrots)" in kgt("forget", "Rex").out
    assert kgt("erase", "--yes").code == 0
    assert kgt("history", "--json").json == []


def test_markup_and_control_characters_are_shown_not_obeyed(kgt: Callable[..., Result]) -> None:
    kgt("add", "Rex", "says", "[bold]wuff\x1b[31m")
    shown = kgt("facts").out
    assert "[bold]wuff" in shown
    assert "\x1b[31m" not in shown


def test_chat_learns_from_a_correction(kgt: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter([DOG, VEGETARIAN, "What should I feed my dog?", "no", "/facts", "/undo", "/nonsense", "/quit"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    done = kgt("chat")
    assert done.code == 0
    assert "Noted: My dog is vegetarian." in done.out
    assert "+ (my dog, is, vegetarian)" in done.out
    assert "what is right" in done.out
    assert "undoes edit 1" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["teach", "", "x"], "query is empty"),
        (["teach", DOG, ""], "feedback is empty"),
        (["teach", DOG, "x" * 10_000], "10,000 characters"),
        (["ask", " "], "query is empty"),
        (["undo", "99"], "no edit 99"),
        (["undo"], "no edit to undo"),
        (["facts", "--user", "nobody"], "no user"),
        (["facts", "--user", ""], "1 to 200"),
        (["facts", "--as-of", "yesterday"], "no time"),
        (["forget", "unicorn"], "Nothing of yours"),
        (["import", "nowhere.tsv"], "cannot be read"),
        (["import", "facts.docx"], "format"),
        (["import", "-"], "format"),
        (["add", "a", "b", ""], "object is empty"),
    ],
)
def test_bad_input_says_what_to_do_and_exits_with_2(
    kgt: Callable[..., Result], arguments: list[str], message: str
) -> None:
    done = kgt(*arguments)
    assert done.code == 2
    assert message.casefold() in " ".join(done.err.split()).casefold()
    assert "→" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("text", ["🐶", "כלב", "tofu\x07\tand rice", "\udcff oops"])
def test_any_characters_can_be_taught_and_asked(kgt: Callable[..., Result], text: str) -> None:
    assert kgt("teach", DOG, text, "--json").code == 0
    assert kgt("facts").code == 0
    assert kgt("ask", f"Does my dog like {text}?", "--max-tokens", "2").code == 0


def test_an_error_is_json_too_where_json_was_asked_for(kgt: Callable[..., Result]) -> None:
    done = kgt("undo", "99", "--json")
    assert done.code == 2
    assert "no edit 99" in done.json["error"]
    assert done.json["hint"]


def test_a_damaged_foreign_or_newer_database_is_refused_and_left_alone(kgt: Callable[..., Result], db: Path) -> None:
    kgt("add", "Rex", "likes", "carrots")
    with sqlite3.connect(db) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE name = 'schema_version'")
    connection.close()
    for content in (db.read_bytes(), b"this is no database" * 100, db.read_bytes()[:5000]):
        db.write_bytes(content)
        for extra in ("-wal", "-shm"):
            Path(str(db) + extra).unlink(missing_ok=True)
        done = kgt("facts")
        assert done.code == 2
        assert "→" in done.err
        assert db.read_bytes() == content


def test_the_whole_way_as_a_user_goes_it(db: Path) -> None:
    taught = process("teach", DOG, VEGETARIAN, db=db)
    assert taught.code == 0, taught.err
    assert "Traceback" not in taught.err
    asked = process("ask", "What should I feed my dog?", "--json", db=db)
    assert "vegetarian" in asked.json["text"]
    assert process("undo", db=db).code == 0
    assert process("facts", "--json", db=db).json == []


def test_help_and_the_graphs_commands_load_no_model(db: Path) -> None:
    program = (
        "import sys; from kgt import cli; sys.argv = ['kgt', *{arguments!r}]\n"
        "try: cli.main()\nexcept SystemExit as end: code = end.code\n"
        "print(sorted({{'torch', 'transformers', 'sqlalchemy'}} & set(sys.modules)), file=sys.stderr)"
    )
    for arguments, loaded in (
        (["--help"], "[]"),
        (["history"], "['sqlalchemy']"),
        (["add", "a", "b", "c"], "['sqlalchemy']"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program.format(arguments=arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "KGT_DB": str(db)},
        )
        assert done.stderr.splitlines()[-1] == loaded


def test_a_hub_model_without_a_network_says_how_to_go_on(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = process("ask", "Hi", "--model", "nobody/nothing", db=db)
    assert done.code == 2
    assert "hub cannot be reached" in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_a_closed_pipe_is_no_error(db: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m kgt.cli facts --base | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "KGT_DB": str(db)},
    )
    assert done.stderr == ""
