"""The benchmarks at large shapes, on shapes that any machine holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_every_method_is_timed_at_every_shape(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    methods = "ft,rome,kn,grace,mend,ke"
    command = [
        sys.executable,
        str(BENCHMARKS / "editors_gpu.py"),
        "--tiny",
        "--edits",
        "1",
        "--methods",
        methods,
        "--json",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())
    assert [row["method"] for row in rows] == methods.split(",") * 2
    assert all(row["seconds"][0] > 0 and not row["refused"] for row in rows)
    assert "random weights" in done.stdout


def test_kgt_is_timed_at_the_shapes_of_the_papers_models(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--tiny", "--edits", "2", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())
    assert [row["shape"] for row in rows] == ["GPT2-XL, tiny", "Llama-2-7B, tiny", "Llama-3-8B, tiny"]
    assert all(len(row["seconds"]) == 2 and min(row["seconds"] + row["ask"]) > 0 for row in rows)
    assert "random weights" in done.stdout and "6,686" in done.stdout and "15,904" in done.stdout
