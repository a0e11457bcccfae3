"""The benchmark of editors at large shapes, on shapes that any machine holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "editors_gpu.py"


def test_every_method_is_timed_at_every_shape(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    methods = "ft,rome,kn,grace,mend,ke"
    command = [sys.executable, str(SCRIPT), "--tiny", "--edits", "1", "--methods", methods, "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())
    assert [row["method"] for row in rows] == methods.split(",") * 2
    assert all(row["seconds"][0] > 0 and not row["refused"] for row in rows)
    assert "random weights" in done.stdout
