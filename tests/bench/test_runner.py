"""Runs on the real model: complete, resumable, refusing strangers' folders, the same however they are spread."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kgt import GraphStore, Settings, Triple
from kgt.bench.datasets import peint
from kgt.bench.lines import Lines
from kgt.bench.remember import RememberingModel
from kgt.bench.runner import Means, run
from kgt.bench.spec import Spec
from kgt.editors import Ablation
from kgt.errors import BadInput, KGTError
from kgt.lm import LanguageModel, Request

Go = Callable[..., dict[str, Any]]
SPEC = Spec("counterfact", n=4, model="smollm2-135m", methods=("kgt", "no_edit"), fluency=1)


@pytest.fixture
def go(data: Path, cache: Path, tmp_path: Path) -> Go:
    def measure(spec: Spec = SPEC, out: str = "run", **means: Any) -> dict[str, Any]:
        settings = Settings(cache=str(cache), dtype="float32")  # rounding to bfloat16 depends on the batch
        return run(spec, Means(data, tmp_path / out, command="kgt bench", **means), settings, Console(quiet=True))

    return measure


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def facts(out: Path) -> set[Triple]:
    """What the run's graph holds in the end."""
    with GraphStore.open(out / "kgt" / "graph.db") as store:
        return {fact.triple for user in store.users() for fact in store.facts(user)}


def numbers(summary: dict[str, Any], method: str = "kgt") -> dict[str, float]:
    """A method's metrics without those of time and memory."""
    metrics = summary["methods"][method]
    return {k: v["value"] for k, v in metrics.items() if "_ms_" not in k and "_mb" not in k}


def test_a_run_measures_everything_and_says_how(go: Go, tmp_path: Path) -> None:
    summary = go()
    kgt, plain = numbers(summary), numbers(summary, "no_edit")
    assert kgt["ES"] > plain["ES"]
    assert {"ES", "PS", "NS", "S", "exact", "same_subject_locality", "GE", "collateral_per_edit"} <= set(kgt)
    assert plain["same_subject_locality"] == plain["other_entity_locality"] == 100
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["finished"]
    assert manifest["spec"]["seed"] == 0
    assert len(manifest["model_sha256"]) == len(manifest["data_sha256"]) == 64
    assert len(rows(tmp_path / "run" / "kgt" / "edits.jsonl")) == 4
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary


def test_a_killed_run_goes_on_and_measures_nothing_twice(go: Go, tmp_path: Path) -> None:
    whole = go()
    folder = tmp_path / "run" / "kgt"
    edits, cases = rows(folder / "edits.jsonl"), rows(folder / "cases.jsonl")
    text = (folder / "cases.jsonl").read_text().splitlines(keepends=True)
    (folder / "cases.jsonl").write_text("".join(text[:2]) + text[2][:40])  # cut in the middle of a line
    (tmp_path / "run" / "summary.json").unlink()
    again = go()
    assert rows(folder / "edits.jsonl") == edits
    assert rows(folder / "cases.jsonl")[:2] == cases[:2]
    assert numbers(again) == pytest.approx(numbers(whole), abs=0.01)


def test_a_kill_between_an_edit_and_its_line_loses_neither(go: Go, tmp_path: Path) -> None:
    go()
    path = tmp_path / "run" / "kgt" / "edits.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    go()
    last = rows(path)[-1]
    assert last["case_id"] == json.loads(lines[-1])["case_id"]
    assert last["added"] == json.loads(lines[-1])["added"]


def test_another_method_joins_a_run_but_another_run_does_not(go: Go) -> None:
    go(replace(SPEC, methods=("no_edit",)))
    summary = go(replace(SPEC, methods=("klamp",)))
    assert set(summary["methods"]) == {"no_edit", "klamp"}
    with pytest.raises(BadInput, match="differs in seed") as raised:
        go(replace(SPEC, seed=5))
    assert "--out" in raised.value.hint
    with pytest.raises(BadInput, match="differs in options"):
        go(replace(SPEC, ablation=Ablation(k=1)))


def test_a_folder_with_other_things_in_it_is_left_alone(go: Go, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("")
    with pytest.raises(BadInput, match="holds no run"):
        go()


def test_each_alone_forgets_between_cases(go: Go) -> None:
    summary = go(replace(SPEC, protocol="single", methods=("kgt",)))
    assert numbers(summary)["ES"] == 100  # one after another, the second edit of a subject replaces the first
    assert numbers(go(replace(SPEC, methods=("kgt",)), out="sequential"))["ES"] == 75


def test_a_case_that_a_later_one_contradicts_is_noted(go: Go) -> None:
    summary = go(replace(SPEC, methods=("kgt",), fluency=0))
    assert numbers(summary)["ES"] == 75
    assert any("1 cases are taught otherwise" in note and "ES is 100.0" in note for note in summary["notes"])


def test_two_processes_find_what_one_finds(go: Go, tmp_path: Path) -> None:
    spec = replace(SPEC, fluency=0, methods=("kgt",))
    two, one = numbers(go(spec, out="two", workers=2)), numbers(go(spec, out="one"))
    assert two == pytest.approx(one, abs=0.1)  # percent; what a process asked before changes the rounding
    assert facts(tmp_path / "two") == facts(tmp_path / "one")


@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="Ray is not installed")
@pytest.mark.filterwarnings("ignore")
def test_ray_finds_what_one_process_finds(go: Go, tmp_path: Path) -> None:
    spec = replace(SPEC, fluency=0, methods=("kgt",))
    assert numbers(go(spec, out="ray", engine="ray")) == pytest.approx(numbers(go(spec, out="one")), abs=0.1)
    assert facts(tmp_path / "ray") == facts(tmp_path / "one")


def test_a_sample_is_asked_more_than_the_rest(go: Go, tmp_path: Path) -> None:
    summary = go(replace(SPEC, sample=2, methods=("no_edit",)))
    assert summary["methods"]["no_edit"]["ES"]["n"] == 4
    assert summary["methods"]["no_edit"]["PS"]["n"] == 2


def test_a_peint_users_updates_replace_what_they_said_before(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    one_user = peint.users()[-1:]
    monkeypatch.setattr(peint, "users", lambda: one_user)
    found = numbers(go(Spec("peint", model="smollm2-135m", methods=("kgt",))))
    assert found["updates_replaced"] == 100
    assert found["ES"] >= 90


def test_an_edit_that_is_refused_is_counted_and_the_run_goes_on(go: Go, data: Path, tmp_path: Path) -> None:
    path = data / "counterfact" / "counterfact_350.json"
    records = json.loads(path.read_text())
    records[0]["requested_rewrite"]["target_new"]["str"] = records[0]["requested_rewrite"]["subject"]
    path.write_text(json.dumps(records))
    summary = go(replace(SPEC, fluency=0, methods=("kgt",)))
    assert any("kgt refused 1 edit" in note for note in summary["notes"])
    assert len(rows(tmp_path / "run" / "kgt" / "edits.jsonl")) == 4


def test_an_unknown_method_is_refused_before_any_work(go: Go, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no method 'rom'"):
        go(replace(SPEC, methods=("rom",)))
    assert not (tmp_path / "run").exists()


def test_out_of_memory_names_the_batch_and_what_to_lower(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    from kgt.lm.torch_model import TorchModel

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(TorchModel, "logprobs", full)
    with pytest.raises(KGTError, match=r"batch of \d+ questions") as raised:
        go(replace(SPEC, methods=("no_edit",)))
    assert "--batch" in raised.value.hint


def test_lines_survive_a_cut(tmp_path: Path) -> None:
    with Lines(tmp_path / "a.jsonl") as lines:
        lines.append([{"case_id": "1"}, {"case_id": "2"}])
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write('{"case_id": "3"')
    with Lines(tmp_path / "a.jsonl") as lines:
        assert lines.ids == {"1", "2"}
        lines.append([{"case_id": "3"}])
    assert [row["case_id"] for row in rows(tmp_path / "a.jsonl")] == ["1", "2", "3"]


def test_what_was_scored_once_is_remembered(model: LanguageModel) -> None:
    remembering = RememberingModel(model)
    request = Request("The capital of France is", (" Paris",))
    (first,), (again,) = remembering.logprobs([request, request])
    assert first is again
    assert remembering.logprobs([request])[0][0] is first
    assert first.mean == pytest.approx(model.logprobs([request])[0][0].mean, abs=1e-6)
