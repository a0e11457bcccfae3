"""Runs' folders become tables and a page; what is no run is said."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kgt.bench import paper, plots
from kgt.bench.report import Run, read_run, show, write
from kgt.editors import EDITORS
from kgt.errors import BadInput

KGT = {"ES": 99.3, "PS": 91.2, "NS": 75.0, "exact": 84.0, "same_subject_locality": 90.0, "TRR": 31.4, "GE": 6.12}
NO_EDIT = {"ES": 21.0, "PS": 23.4, "NS": 76.0}
HOSTILE = '<script>alert("x")</script>'


def a_run(
    folder: Path, methods: Mapping[str, Mapping[str, float]] | None = None, finished: bool = True, **spec: Any
) -> Path:
    """The files `kgt bench` writes, with 20 edits a method."""
    methods = methods or {"kgt": KGT | {"edit_ms_p50": 231.2, "rss_over_inference_mb": 41.3}, "no_edit": NO_EDIT}
    facts = {"dataset": "counterfact", "n": 300, "seed": 0, "protocol": "sequential", "model": "smollm2-135m"} | spec
    command = facts.pop("command", f"kgt bench --dataset {facts['dataset']} --n {facts['n']}")
    manifest = {
        "kgt": "0.2.0",
        "command": command,
        "spec": facts | {"methods": list(methods), "options": {"k": 5, "alpha": 1.5}},
        "source": "counterfact_350.json.xz",
        "data_sha256": "ab" * 32,
        "model_sha256": "cd" * 32,
        "versions": {"python": "3.11.7", "torch": "2.9.0"},
        "machine": {"platform": "Linux x86_64", "cpu": "A Fast One", "cores": 2, "gpu": ""},
        "started": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T01:00:00Z" if finished else None,
    }
    summary = facts | {
        "methods": {
            method: {name: {"value": v, "low": v - 1.5, "high": v + 1.5, "n": 300} for name, v in found.items()}
            for method, found in methods.items()
        },
        "notes": ["12 cases have no paraphrases."],
    }
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    for method in methods:
        if "/" not in method:
            lines = [
                json.dumps({"case_id": str(i), "ms": 0.0 if method == "no_edit" else 200.0 + i}) for i in range(20)
            ]
            (folder / method).mkdir()
            (folder / method / "edits.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def changed(path: Path, *names: str, to: Any) -> None:
    """Change one value in a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    inner = content
    for name in names[:-1]:
        inner = inner[name]
    inner[names[-1]] = to
    path.write_text(json.dumps(content), encoding="utf-8")


def printed(*runs: Run, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(runs, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells_of(text: str, row: str) -> list[str]:
    """The first printed row that begins like this, cut where two spaces or more stand."""
    return next(re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.startswith(row))


def test_a_run_is_read_with_its_estimates_and_its_edit_times(tmp_path: Path) -> None:
    run = read_run(a_run(tmp_path / "run"))
    assert (run.dataset, run.n, run.model) == ("counterfact", 300, "smollm2-135m")
    assert run.methods["kgt"]["ES"] == (99.3, 97.8, 100.8, 300)
    assert run.edit_ms["kgt"] == tuple(200.0 + i for i in range(20))


def test_a_line_of_edits_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run")
    with (folder / "kgt" / "edits.jsonl").open("a") as file:
        file.write('{"case_id": "20", "m')
    assert len(read_run(folder).edit_ms["kgt"]) == 20


def test_the_main_table_gives_each_number_with_half_its_interval(tmp_path: Path) -> None:
    text = printed(read_run(a_run(tmp_path / "run")))
    assert cells_of(text, "method") == [
        "method", "ES", "PS", "NS", "exact", "same subject locality", "edit ms p50"
    ]  # fmt: skip
    assert cells_of(text, "kgt") == [
        "kgt", "99.3 ±1.5", "91.2 ±1.5", "75.0 ±1.5", "84.0 ±1.5", "90.0 ±1.5", "231 ±2"
    ]  # fmt: skip
    assert cells_of(text, "no_edit") == ["no_edit", "21.0 ±1.5", "23.4 ±1.5", "76.0 ±1.5", "–", "–", "–"]


def test_all_other_metrics_stand_in_a_second_table_with_their_units(tmp_path: Path) -> None:
    text = printed(read_run(a_run(tmp_path / "run")))
    assert cells_of(text, "TRR") == ["TRR", "%", "31.4 ±1.5", "–"]
    assert cells_of(text, "GE") == ["GE", "bits", "6.12 ±1.50", "–"]


def test_a_number_without_an_interval_is_printed_without_one(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run")
    changed(folder / "summary.json", "methods", "kgt", "GE", "high", to=float("inf"))
    assert cells_of(printed(read_run(folder)), "GE")[2] == "6.12"


def test_our_scores_stand_beside_the_papers_three_models(tmp_path: Path) -> None:
    text = printed(read_run(a_run(tmp_path / "run")))
    beside = text[text.index("Beside the paper's Table 1") :]
    assert cells_of(beside, "smollm2-135m")[1:3] == ["99.3 / 91.2", "21.0 / 23.4"]
    assert cells_of(beside, "the paper, GPT2-XL")[1:4] == ["91.77 / 91.75", "35.87 / 29.74", "58.43 / 55.77"]
    assert cells_of(beside, "the paper, Llama3-8B")[1] == "94.58 / 86.89"


def test_our_costs_stand_beside_the_papers_table_4(tmp_path: Path) -> None:
    text = printed(read_run(a_run(tmp_path / "run")))
    seconds, memory = text.split("Seconds an edit, beside")[1].split("Memory in MB, beside")
    assert "0.231" in seconds and cells_of(seconds, "the paper, GPT2-XL")[1] == "0.16"
    assert "41" in memory and cells_of(memory, "the paper, Llama3-8B")[1] == "15,904"


def test_a_data_set_the_paper_has_not_gets_no_table_beside_its_scores(tmp_path: Path) -> None:
    text = printed(read_run(a_run(tmp_path / "run", dataset="zsre")))
    assert "99.3" in text and "Beside the paper's Table" not in text


def test_a_narrow_terminal_cuts_no_number(tmp_path: Path) -> None:
    text = printed(read_run(a_run(tmp_path / "run")), width=80)
    assert max(map(len, text.splitlines())) <= 80
    for number in ("99.3", "91.2", "±1.5", "91.77", "91.75", "15,904"):
        assert number in text


def test_notes_and_a_run_that_is_not_finished_are_said(tmp_path: Path) -> None:
    text = printed(read_run(a_run(tmp_path / "run", finished=False)))
    assert "12 cases have no paraphrases." in text
    assert "Not finished: run the same command again to resume." in text


def test_the_page_holds_numbers_command_versions_machine_and_glossary(tmp_path: Path) -> None:
    html = write([read_run(a_run(tmp_path / "run"))], tmp_path / "out")[0].read_text(encoding="utf-8")
    command = "kgt bench --dataset counterfact --n 300"
    for wanted in ("99.3 ±1.5", "91.77 / 91.75", command, "torch 2.9.0", "A Fast One"):
        assert wanted in html
    assert all(escape(metric.meaning) in html for metric in paper.METRICS.values())
    assert "prefers-color-scheme: dark" in html


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", command="kgt bench --model https://example.org/x")
    html = write([read_run(run)], tmp_path / "out")[0].read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]{0,30})', html)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"@import|url\(", html)


def test_the_figures_are_pngs_beside_the_page_and_the_same_are_in_it(tmp_path: Path) -> None:
    page, *figures = write([read_run(a_run(tmp_path / "run"))], tmp_path / "out")
    assert [f.name.split("-", 1)[1] for f in figures] == [
        "counterfact-scores.png", "counterfact-latency.png", "counterfact-memory.png"
    ]  # fmt: skip
    assert all(f.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for f in figures)
    assert page.read_text(encoding="utf-8").count("data:image/png;base64,") == len(figures)


def test_hostile_names_are_escaped_on_the_page_and_drawn_as_they_are(tmp_path: Path) -> None:
    methods = {HOSTILE: KGT, "$\\frac{x$": KGT, "\x1b[31m": KGT, "[bold]": KGT}
    run = read_run(a_run(tmp_path / "run", methods, command=f"kgt bench {HOSTILE}", model=HOSTILE, dataset=HOSTILE))
    text = printed(run)
    assert "\x1b" not in text and "[bold]" in text
    html = write([run], tmp_path / "out")[0].read_text(encoding="utf-8")
    assert "<script" not in html and "&lt;script&gt;" in html


def test_runs_that_differ_in_n_are_drawn_against_the_number_of_edits(tmp_path: Path) -> None:
    runs = [read_run(a_run(tmp_path / str(n), n=n)) for n in (10, 1000, 100)]
    _, *figures = write(runs, tmp_path / "out")
    assert sum("edits" in f.name for f in figures) == 1
    assert sum("scores" in f.name for f in figures) == 1  # of the largest alone
    figure = plots.against_edits(runs)
    assert figure is not None
    es = figure.axes[0]
    assert es.get_xscale() == "log"
    assert [list(line.get_xdata()) for line in es.lines[:1]] == [[10, 100, 1000]]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["kgt", "no_edit"]


@pytest.mark.parametrize("other", [{"protocol": "single"}, {"model": "gpt2"}, {"dataset": "zsre"}, {"n": 10}])
def test_runs_that_differ_in_more_or_not_in_n_are_no_line(tmp_path: Path, other: dict[str, Any]) -> None:
    runs = [read_run(a_run(tmp_path / "a", n=10)), read_run(a_run(tmp_path / "b", **({"n": 100} | other)))]
    assert not any("edits" in plot.name for plot in plots.every(runs))


def test_a_figure_with_nothing_to_show_is_left_out(tmp_path: Path) -> None:
    run = read_run(a_run(tmp_path / "run", {"no_edit": {"GE": 6.0}}))
    assert plots.scores(run) is plots.latency(run) is plots.memory(run) is None
    assert [path.name for path in write([run], tmp_path / "out")] == ["report.html"]


def test_times_far_apart_are_drawn_on_a_logarithmic_axis(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run", {"kgt": KGT, "klamp": KGT})
    near = plots.latency(read_run(folder))
    (folder / "klamp" / "edits.jsonl").write_text('{"ms": 0.0}\n{"ms": 0.5}\n')
    far = plots.latency(read_run(folder))
    assert near is not None and near.axes[0].get_xscale() == "linear"
    assert far is not None and far.axes[0].get_xscale() == "log"


def test_every_method_has_its_own_colour() -> None:
    assert len({plots.colour(m) for m in plots.COLOURS}) == len(plots.COLOURS)
    assert len(set(plots.MARKERS.values())) == len(plots.MARKERS)
    assert set(plots.COLOURS) == set(EDITORS)


def test_the_papers_tables_are_whole() -> None:
    for table in paper.SCORES.values():
        assert len(table) == 8 and all(set(row) == set(paper.MODELS) for row in table.values())
    assert paper.SCORES["peint"]["mend"]["Llama2-7B"] == (67.34, 65.30)
    assert paper.COSTS["ke"]["Llama3-8B"] == (69542, 0.13)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no run: it has no manifest\.json"):
        read_run(tmp_path)


def test_a_run_without_results_says_how_to_resume_it(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run", finished=False)
    (folder / "summary.json").unlink()
    with pytest.raises(BadInput, match="not finished: run the same command again to resume") as caught:
        read_run(folder)
    assert "kgt bench --dataset counterfact --n 300" in caught.value.hint


@pytest.mark.parametrize(
    ("file", "names", "to", "said"),
    [
        ("manifest.json", ("command",), 3, "command is 3, not a text"),
        ("manifest.json", ("spec", "options"), [], "spec.options is [], not an object"),
        ("summary.json", ("n",), "many", "n is 'many', not a whole number"),
        ("summary.json", ("methods", "kgt", "ES"), {"low": 1, "high": 2}, "methods.kgt.ES.value is missing"),
        ("summary.json", ("methods", "kgt", "ES", "low"), None, "methods.kgt.ES.low is None, not a number"),
        ("summary.json", ("methods", "kgt", "ES", "value"), float("nan"), "methods.kgt.ES.value is nan"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(
    tmp_path: Path, file: str, names: tuple[str, ...], to: Any, said: str
) -> None:
    folder = a_run(tmp_path / "run")
    changed(folder / file, *names, to=to)
    with pytest.raises(BadInput, match=re.escape(said)) as caught:
        read_run(folder)
    assert str(folder / file) in caught.value.message


@pytest.mark.parametrize("file", ["manifest.json", "summary.json", "kgt/edits.jsonl"])
@pytest.mark.parametrize("content", [b"{]\n", b"\xff\xfe\n", b"[]\n"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str, content: bytes) -> None:
    folder = a_run(tmp_path / "run")
    (folder / file).write_bytes(content)
    with pytest.raises(BadInput, match="is damaged") as caught:
        read_run(folder)
    assert str(folder / file) in caught.value.message


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run")
    run = read_run(folder)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(BadInput, match="cannot be written"):
        write([run], tmp_path / "taken")


def test_without_matplotlib_the_page_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_run(a_run(tmp_path / "run"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BadInput, match="matplotlib") as caught:
        write([run], tmp_path / "out")
    assert caught.value.hint == 'pip install "kgt[bench]"'
    assert not (tmp_path / "out").exists()
