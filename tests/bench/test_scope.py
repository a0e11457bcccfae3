import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kgt.bench import scope
from kgt.bench.metrics import mean
from kgt.bench.study import Sheet, Study, write
from kgt.cli import app
from kgt.errors import BadInput


def test_auc_counts_pairs_ranked_rightly() -> None:
    score, asked = np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, True, False, False])
    assert scope.auc(score, asked) == (1 + 1 + 0 + 0.5) / 4


def test_reliability_of_probabilities_that_are_right() -> None:
    log_odds = np.log(np.array([0.25, 0.75]) / np.array([0.75, 0.25])).repeat(100)
    asked = np.array([True] * 25 + [False] * 75 + [True] * 75 + [False] * 25)
    found = scope.reliability(log_odds, asked)
    assert sum(weight for *_, weight in found) == pytest.approx(1)
    assert np.average([f for _, f, _ in found], weights=[w for *_, w in found]) == pytest.approx(0.5)
    assert sorted({round(p, 6) for p, _, _ in found}) == [0.25, 0.75]


def test_what_is_fitted_is_not_tested(data: Path) -> None:
    cases = scope.all_cases(data, 6, 0)
    fitted = {c.fact.subject for c in cases if c.fitting and c.source == "PeInt"}
    assert fitted and {c.source for c in cases} >= {"ParaRel", "PeInt", "everyday"}
    relations = [
        {c.taught_by.replace(c.fact.subject, "X") for c in cases if c.source == "ParaRel" and c.fitting == f}
        for f in (True, False)
    ]
    assert not relations[0] & relations[1]


@pytest.mark.usefixtures("encoder", "model")
def test_study_of_scope(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "scope"
    result = CliRunner().invoke(app, ["bench", "-d", "scope", "-o", str(out), "--data", str(data), "--n", "6"])
    assert result.exit_code == 0, result.output
    found = json.loads((out / "summary.json").read_text())
    assert found["study"] == "scope" and 0.95 < found["metrics"]["auc_peint"]["value"] <= 1
    assert "AUC of each signal" in result.output
    assert (out / "reliability.png").stat().st_size > 10_000
    report = CliRunner().invoke(app, ["report", str(out)])
    assert report.exit_code != 0


def test_a_study_leaves_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ana")
    with pytest.raises(BadInput, match="holds no study"):
        write(Study({"a": mean([1.0])}, [Sheet("t", ("a",), [])]), "scope", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.usefixtures("encoder", "model")
def test_studies_of_linking_and_messages(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgt.bench.linking.SIZES", (10, 1000))
    found = {}
    for name, n in (("linking", "4"), ("messages", "40")):
        out = tmp_path / name
        result = CliRunner().invoke(app, ["bench", "-d", name, "-o", str(out), "--data", str(data), "--n", n])
        assert result.exit_code == 0, result.output
        found |= json.loads((out / "summary.json").read_text())["metrics"]
    assert found["f1_peint"]["value"] > 0.95
    assert found["macro_f1_test"]["value"] >= 0.92
    assert found["false_facts_test"]["value"] <= 0.01
    assert found["link_ms_1000"]["value"] < 3 * found["link_ms_10"]["value"]
