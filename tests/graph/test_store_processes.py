"""Several processes, and processes that die: no acknowledged edit is lost, none is half there."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kgt.graph
from kgt.graph import GraphStore

SOURCE = str(Path(kgt.graph.__file__).parents[2])

WRITER = """
import sys
from kgt.graph import Edit, GraphStore, ScoredTriple
from kgt.triple import Triple
path, name, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "seed"
with GraphStore.open(path, seed=seed) as store:
    for n in range(count):
        triples = [Triple(f"{name} {n}", "part", str(part)) for part in range(5)]
        edit = store.commit(Edit("ada", "add", tuple(map(ScoredTriple, triples)), query=f"{name} {n}"))
        print(edit.id, flush=True)
"""

COUNTER = """
import sys
from kgt.graph import Edit, GraphStore, ScoredTriple
from kgt.triple import Triple
with GraphStore.open(sys.argv[1], seed=False) as store:
    for _ in range(20):
        with store.transaction("ada") as graph:
            facts = graph.about("counter")
            now = facts[0].triple if facts else None
            then = Triple("counter", "is", str(int(now.object) + 1 if now else 1))
            removed = (ScoredTriple(now),) if now else ()
            graph.commit(Edit("ada", "teach", (ScoredTriple(then),), removed))
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_four_processes_that_open_a_new_file_and_write_to_one_user_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "graph.db"
    writers = [start(WRITER, path, f"writer {n}", 25, "seed") for n in range(4)]
    acknowledged = [int(line) for writer in writers for line in writer.communicate(timeout=60)[0].split()]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert sorted(acknowledged) == list(range(1, 101))
    with GraphStore.open(path) as store:
        edits = store.history("ada")
        assert [edit.id for edit in edits] == list(range(100, 0, -1))
        assert len({edit.query for edit in edits}) == 100
        assert len(store.facts("ada")) == 500
        times = [edit.time for edit in reversed(edits) if edit.time]
        assert times == sorted(times)


def test_reading_then_writing_in_a_transaction_loses_no_update(tmp_path: Path) -> None:
    path = tmp_path / "graph.db"
    workers = [start(COUNTER, path) for _ in range(3)]
    for worker in workers:
        worker.communicate(timeout=60)
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    with GraphStore.open(path, seed=False) as store:
        assert [fact.triple.object for fact in store.about("ada", "counter")] == ["60"]


@pytest.mark.parametrize("attempt", range(6))
def test_a_killed_process_leaves_every_acknowledged_edit_whole(tmp_path: Path, attempt: int) -> None:
    path = tmp_path / "graph.db"
    writer = start(WRITER, path, "killed", 200, "no seed")
    assert writer.stdout is not None
    lines = [writer.stdout.readline()]
    time.sleep(random.Random(attempt).uniform(0, 0.4))
    os.kill(writer.pid, signal.SIGKILL)
    lines += writer.stdout.readlines()  # a line cut off by the kill was not acknowledged
    writer.wait()
    writer.stdout.close()
    acknowledged = {int(line) for line in lines if line.endswith("\n")}
    with GraphStore.open(path, seed=False) as store:
        edits = store.history("ada")
        assert acknowledged <= {edit.id for edit in edits}
        assert [edit.id for edit in edits] == list(range(len(edits), 0, -1))
        assert {len(edit.added) for edit in edits} == {5}
        assert len(store.facts("ada")) == 5 * len(edits)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
