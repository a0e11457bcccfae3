"""The command line: every verb, on the real model and a real database file."""

from __future__ import annotations

import gzip
import json
import os
import resource
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


def test_the_demo_keeps_its_promises(kgt: Callable[..., Result]) -> None:
    story = kgt("demo")
    assert story.code == 0, story.out


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


def assertion(start: str, end: str, relation: str = "UsedFor", weight: float = 1.0) -> str:
    return (
        f"/a/[/r/{relation}/,/c/en/{start}/,/c/en/{end}/]\t/r/{relation}\t/c/en/{start}\t/c/en/{end}\t"
        f'{{"dataset": "/d/test", "weight": {weight}}}\n'
    )


def test_conceptnet_is_imported_for_everybody_and_only_once(db: Path, tmp_path: Path) -> None:
    file = tmp_path / "assertions.csv.gz"
    lines = assertion("zither/n", "make_music") + assertion("zither", "furniture", "IsA", 0.5) + "nonsense\n"
    file.write_bytes(gzip.compress(lines.encode()))
    done = process("import", "conceptnet", str(file), "--min-weight", "1", db=db)
    assert done.code == 0, done.err
    assert "Read 3 lines: 1 state a triple." in done.out
    assert "1 skipped: below the least weight" in done.out
    assert "line 3 is not the columns of an assertion" in done.out
    for user in ("ana", "ben"):
        process("add", "Rex", "owner", user, "--user", user, db=db)
        shown = process("facts", "the zither", "--base", "--user", user, "--json", db=db).json
        assert [fact["triple"] for fact in shown] == [
            {"subject": "zither", "relation": "used for", "object": "make music"}
        ]
    again = process("import", "conceptnet", str(file), "--min-weight", "1", "--json", db=db)
    assert (again.json["before"], again.json["lines"], again.json["kept"]) == (3, 3, 1)
    assert process("history", "--user", "ana", "--json", db=db).json[0]["kind"] == "add"


def test_a_file_of_that_name_is_still_ones_own(db: Path, tmp_path: Path) -> None:
    (tmp_path / "conceptnet").write_text("Rex\tlikes\tcarrots\n")
    done = process("import", "./conceptnet", "--format", "tsv", db=db, cwd=tmp_path)
    assert "+ (Rex, likes, carrots)" in done.out, done.err
    assert process("import", "conceptnet", "--format", "tsv", db=db, cwd=tmp_path).code == 2


def test_a_file_cut_off_is_kept_up_to_there(db: Path, tmp_path: Path) -> None:
    file = tmp_path / "assertions.csv.gz"
    whole = gzip.compress("".join(assertion(f"thing_{n}", f"use_{n * 7919}") for n in range(20_000)).encode())
    file.write_bytes(whole[: len(whole) // 2])
    done = process("import", "conceptnet", str(file), db=db)
    assert done.code == 2
    assert "ends in the middle" in " ".join(done.err.split())
    assert "Traceback" not in done.err
    file.write_bytes(whole)
    done = process("import", "conceptnet", str(file), "--json", db=db)
    assert 0 < done.json["before"] < 20_000 == done.json["kept"]


def test_a_disk_that_takes_no_more_is_an_error_in_words(db: Path, tmp_path: Path) -> None:
    process("facts", db=db)
    file = tmp_path / "assertions.csv"
    file.write_text("".join(assertion(f"thing_{n}", f"use_{n * 7919}") for n in range(60_000)))
    most = db.stat().st_size + (1 << 20)
    done = process(
        "import",
        "conceptnet",
        str(file),
        db=db,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    assert done.code == 2
    assert "what was saved before is safe" in " ".join(done.err.split())
    assert process("import", "conceptnet", str(file), "--json", db=db).json["kept"] == 60_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["conceptnet"], "goes before a file"),
        (["facts.tsv", "more.tsv"], "goes before a file"),
        (["facts.tsv", "--language", "de"], "--language does not go"),
        (["conceptnet", "a.csv", "--format", "tsv"], "--format does not go"),
        (["conceptnet", "nowhere.csv.gz"], "cannot be read"),
        (["conceptnet", sys.executable], "first"),
        (["conceptnet", __file__], "first 20 lines"),
    ],
)
def test_an_import_of_conceptnet_that_cannot_be_says_why(db: Path, arguments: list[str], message: str) -> None:
    done = process("import", *arguments, db=db)
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert "→" in done.err
    assert "Traceback" not in done.err


def test_commands_import_no_more_than_they_need(db: Path) -> None:
    program = (
        "import sys; from kgt import cli; sys.argv = ['kgt', *{arguments!r}]\n"
        "try: cli.main()\nexcept SystemExit as end: code = end.code\n"
        "print(sorted({{'torch', 'transformers', 'sqlalchemy'}} & set(sys.modules)), file=sys.stderr)"
    )
    for arguments, loaded in (
        (["--help"], "[]"),
        (["history"], "['sqlalchemy']"),
        (["add", "a", "b", "c"], "['sqlalchemy']"),
        (["ask", "What does Pico eat?"], "['sqlalchemy', 'torch']"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program.format(arguments=arguments)],
            capture_output=True,
            text=True,
            timeout=120,
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
