"""The data sets: read as written, damaged ones refused by name."""

from __future__ import annotations

import json
import lzma
import re
from pathlib import Path
from typing import Any

import pytest

from kgt.bench.datasets import counterfact, extension, load, pararel, peint, zsre
from kgt.bench.datasets.files import Source, fetch, field, filled, find
from kgt.errors import BadInput, NotFound
from tests.bench.conftest import record

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")


def test_counterfact_in_its_original_schema(data: Path) -> None:
    loaded = load("counterfact", data, 3, seed=0)
    case = next(c for c in counterfact.load(counterfact.files(data, 4), pararel.load(data)) if c.case_id == "7")
    assert len(loaded.cases) == 3
    assert loaded.source == "counterfact_350.json"
    assert case.rewrite.query == "The mother tongue of Danielle Darrieux is"
    assert (case.rewrite.new, case.rewrite.true, case.rewrite.subject) == ("English", "French", "Danielle Darrieux")
    assert case.request.relation == "native language"
    assert case.neighbourhood[0].subject is None
    assert {p.query for p in case.same_subject} <= {
        "Danielle Darrieux was born in",
        "Danielle Darrieux is originally from",
    }
    assert len(case.same_subject) == 1


def test_the_same_seed_draws_the_same_cases(data: Path) -> None:
    ids = [[c.case_id for c in load("counterfact", data, 2, seed).cases] for seed in (1, 1, 2, 3, 4)]
    assert ids[0] == ids[1]
    assert any(other != ids[0] for other in ids[2:])


def test_the_reduced_schema_and_its_trap(tmp_path: Path) -> None:
    row = {
        "case_id": 3,
        "prompt": "Apple A5 was created by",
        "target_new": "Google",
        "subject": "Apple A5",
        "ground_truth": "Apple",
        "rephrase_prompt": "Apple A5 is amazing at",
        "locality_prompt": "Newton was created by",
        "locality_ground_truth": "Apple",
    }
    for name in counterfact.REDUCED:
        rows = [row] if "train" in name else []
        (tmp_path / f"{name}.xz").write_bytes(lzma.compress(json.dumps(rows).encode()))
    (case,) = counterfact.load(counterfact.files(tmp_path, None), None)
    assert case.paraphrases == ()  # rephrase_prompt is mostly no paraphrase
    assert case.neighbourhood[0].query == "Newton was created by"


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda r: r["requested_rewrite"].pop("subject"), "requested_rewrite.subject"),
        (lambda r: r["requested_rewrite"]["target_new"].update(str=""), "requested_rewrite.target_new.str"),
        (lambda r: r.pop("paraphrase_prompts"), "paraphrase_prompts"),
        (lambda r: r["requested_rewrite"].update(prompt="The mother tongue of her is"), "lacks the subject"),
        (lambda r: r.update(case_id="seven"), "case_id"),
    ],
)
def test_a_malformed_record_is_named(data: Path, damage: Any, named: str) -> None:
    bad = record(1, "Ana", "English", "French")
    damage(bad)
    (data / "counterfact" / "counterfact_350.json").write_text(json.dumps([bad]))
    with pytest.raises(BadInput, match=re.escape(named)) as raised:
        load("counterfact", data, 1, 0)
    assert "record 0" in raised.value.message


def test_broken_json_names_the_line(data: Path) -> None:
    (data / "counterfact" / "counterfact_350.json").write_text("[\n{,}\n]")
    with pytest.raises(BadInput, match="line 2"):
        load("counterfact", data, 1, 0)
    path = data / "pararel" / "facts" / "P103.jsonl"
    path.write_text('{"sub_label": "a", "obj_label": "b"}\n{oops\n')
    with pytest.raises(BadInput, match=r"P103.jsonl, line 2"):
        pararel.load(data)


def test_asking_for_what_is_not_there(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no data set 'countefact'"):
        load("countefact", data, 1, 0)
    with pytest.raises(BadInput, match="peint has 130 cases"):
        load("peint", data, 5000, 0)
    with pytest.raises(BadInput, match="--n is 0"):
        load("peint", data, 0, 0)


def test_fetching_without_a_network_says_what_to_do(tmp_path: Path) -> None:
    nowhere = Source("set.json", "http://127.0.0.1:9/set.json", "0" * 64)
    with pytest.raises(NotFound, match="cannot be reached") as raised:
        fetch([nowhere], tmp_path)
    assert "--data" in raised.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_is_refused_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("[]")
    changed = Source("set.json", (tmp_path / "there.json").as_uri(), "0" * 64)
    with pytest.raises(BadInput, match="sha256"):
        fetch([changed], tmp_path)
    assert not (tmp_path / "set.json").exists()
    good = changed._replace(sha256="4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945")
    assert (fetch([good], tmp_path) / "set.json").read_text() == "[]"


def test_zsre_leaves_out_records_that_teach_nothing(tmp_path: Path) -> None:
    row = {
        "subject": "UniFirst",
        "src": "What is the product made by UniFirst?",
        "rephrase": "What will be the product of UniFirst?",
        "alt": "unmanned aircraft",
        "answers": ["uniform"],
        "loc": "nq question: john goodman's character in the big lebowski",
        "loc_ans": "Walter Sobchak",
    }
    (tmp_path / "zsre_mend_eval.json").write_text(json.dumps([row, row | {"alt": ""}]))
    (case,) = zsre.load(zsre.files(tmp_path))
    assert (case.rewrite.new, case.rewrite.true) == ("unmanned aircraft", "uniform")
    assert case.neighbourhood[0].query == "john goodman's character in the big lebowski?"


def test_the_extension_is_built_the_same_every_time(data: Path, tmp_path: Path) -> None:
    known = pararel.load(data)
    records = extension.build(known, seed=3)
    assert records == extension.build(known, seed=3)
    assert len(records) == 12  # two usable relations of six facts
    for r in records:
        rewrite = r["requested_rewrite"]
        assert rewrite["target_new"] != rewrite["target_true"]
        assert "{}" in rewrite["prompt"]
        assert rewrite["prompt"].replace("{}", rewrite["subject"]) not in r["generation_prompts"]
    extension.write(records, tmp_path / "counterfact_extension.json")
    assert extension.load(tmp_path / "counterfact_extension.json", known) == extension.load(records, known)


@needs_shared
def test_the_extension_is_as_large_as_the_papers() -> None:
    records = extension.build(pararel.load(SHARED))
    assert len(records) == 27_737
    wanted: dict[tuple[str, str], set[str]] = {}
    for r in records:
        rewrite = r["requested_rewrite"]
        wanted.setdefault((rewrite["subject"], rewrite["relation_id"]), set()).add(rewrite["target_new"])
    assert all(len(targets) == 1 for targets in wanted.values())  # no two records contradict one another


@needs_shared
def test_all_of_counterfact_is_read() -> None:
    assert len(load("counterfact", SHARED, None, 0).cases) == 21_919


def test_peint_has_what_it_promises() -> None:
    users = peint.users()
    cases = peint.load()
    assert len(users) >= 10
    assert all(len(user["pairs"]) >= 12 for user in users)
    assert len({case.case_id for case in cases}) == len(cases)
    standing: dict[tuple[str, str], set[str]] = {}
    for case in cases:
        if not case.superseded:
            standing.setdefault((case.request.user, case.request.subject), set()).add(case.request.object)
    for case in cases:
        assert case.request.object.casefold() in case.request.feedback.casefold(), case.case_id
        assert len(case.paraphrases) >= 3
        assert len(case.same_subject) >= 2
        assert len(case.neighbourhood) >= 1
        named = r"\b(I|me|my|mine)\b" if case.request.subject == "I" else re.escape(case.request.subject)
        for probe in (case.rewrite, *case.paraphrases, *case.same_subject):
            assert re.search(named, probe.query, re.IGNORECASE), (case.case_id, probe.query)
        for probe in case.same_subject:  # the expected answer is another standing fact of the subject
            assert probe.true in standing[case.request.user, case.request.subject] - {case.request.object}


def test_peints_conversations_lead_up_to_the_query() -> None:
    for user in peint.users():
        for pair in user["pairs"]:
            turns = pair["conversation"]
            assert turns[-2]["content"] == pair["query"]
            assert pair["former"].casefold() in turns[-1]["content"].casefold()
            assert [t["role"] for t in turns] == ["user", "assistant"] * (len(turns) // 2)
            assert pair["updates"] is None or pair["updates"] < pair["id"]


def test_fields_and_prompts() -> None:
    assert field({"a": {"b": "c"}}, "a.b", str, "here") == "c"
    with pytest.raises(BadInput, match=r"here has no field 'a\.x'"):
        field({"a": {}}, "a.x", str, "here")
    assert filled("{} lives", "Ana", "here") == filled("Ana lives", "Ana", "here") == "Ana lives"


def test_files_are_found_plain_or_packed_one_folder_down(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.json.xz").touch()
    assert find(tmp_path, ["b.json", "a.json"]) == tmp_path / "sub" / "a.json.xz"
    assert find(tmp_path, ["c.json"]) is None
