"""GGUF files: converted once, refused loudly when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgt.errors import ModelError
from kgt.lm import LanguageModel, load_model
from kgt.lm.gguf import converted


def test_a_file_is_converted_once(
    model: LanguageModel, bundled: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr("kgt.lm.gguf._convert", fail)
    folder = converted(bundled, cache)
    assert (folder / "model.safetensors").is_file()


@pytest.mark.parametrize("size", [10, 1000, 1_000_000])
def test_a_truncated_file_is_refused_and_leaves_nothing_behind(bundled: Path, tmp_path: Path, size: int) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(bundled.read_bytes()[:size])
    with pytest.raises(ModelError, match="could not be read") as caught:
        load_model(f"hf:{damaged}", tmp_path / "cache")
    assert "truncated" in caught.value.hint
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"PK\x03\x04 this is a zip")
    with pytest.raises(ModelError, match="no GGUF file"):
        load_model(f"hf:{other}", tmp_path)
