"""Settings: defaults, then the file, then KGT_* variables, then arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgt import Settings
from kgt.errors import BadInput


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("KGT_CONFIG", str(path))
    return path


def test_arguments_beat_variables_beat_the_file_beats_defaults(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('user = "file"\nmodel = "file"\ndevice = "file"\nmax_tokens = 7\n')
    monkeypatch.setenv("KGT_USER", "variable")
    monkeypatch.setenv("KGT_MODEL", "variable")
    found = Settings.load(user="argument", model=None)
    assert (found.user, found.model, found.device, found.dtype) == ("argument", "variable", "file", "auto")
    assert found.max_tokens == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user = ", "not valid TOML"),
        ('nonsense = "x"', "unknown setting 'nonsense'"),
        ('max_tokens = "x"', "whole number"),
    ],
)
def test_a_bad_file_is_named_with_what_to_do(config: Path, text: str, message: str) -> None:
    config.write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        Settings.load()
    assert caught.value.hint
