"""`kgt bench`, `kgt report` and `kgt dataset` as a user types them: mistakes are named, exit code 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kgt.cli import main


@pytest.fixture
def kgt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["kgt", *arguments])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset", "countefact"], "no data set 'countefact'"),
        (["--dataset", "peint", "--method", "kgt,rom"], "no method 'rom'"),
        (["--dataset", "peint", "--protocol", "paralel"], "--protocol is 'paralel'"),
        (["--dataset", "peint", "--n", "100000"], "peint has 130 cases"),
        (["--dataset", "counterfact", "--data", "nowhere"], "There is no folder nowhere"),
        (["--dataset", "peint", "--stop", "never"], "--stop is 'never'"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(kgt, tmp_path: Path, arguments: list[str], said: str) -> None:  # type: ignore[no-untyped-def]
    code, text = kgt("bench", *arguments, "--out", str(tmp_path / "run"))
    assert code == 2
    assert said in text
    assert "→" in text  # what to do next
    assert not (tmp_path / "run").exists()


def test_reporting_on_a_folder_that_is_no_run(kgt, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, text = kgt("report", str(tmp_path))
    assert code == 2
    assert "manifest.json" in text


def test_building_the_extension(kgt, data: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "out" / "counterfact_extension.json"
    code, text = kgt("dataset", "extension", "--data", str(data), "--out", str(path))
    assert (code, len(json.loads(path.read_text()))) == (0, 12)
    assert "12 records" in text
