"""The scripts in benchmarks/ that no other test runs still run; how fast they find things is not asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "benchmarks"


def told(script: str, *arguments: str) -> Any:
    """What a script prints with --json."""
    command = [sys.executable, str(FOLDER / script), *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_speed_tells_what_an_edit_costs() -> None:
    found = told("speed.py", "--n", "2", "--cold", "0")
    assert found["n"] == 2
    assert found["forward_passes"] == 1
    assert 0 < found["floor_ms"] < found["teach_ms_p50"]
    assert 0 < found["ask_ms_p50"] < found["answer_unguessed_ms_p50"]
    assert "cold_start_s" not in found


def test_growth_tells_the_memory_of_each_tenth(folder_of: Callable[[str], Path]) -> None:
    found = told("growth.py", "--edits", "10", "--model", str(folder_of("llama")))
    assert [row["edits"] for row in found] == list(range(1, 11))
    assert all(row["peak_rss_mb"] > 50 for row in found)
