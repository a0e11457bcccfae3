"""Several processes, and processes that die: no acknowledged edit is lost, none is half there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kgt.graph
from kgt.graph import Edit, GraphStore, ScoredTriple
from kgt.triple import Triple
from tests.graph.conftest import NewDatabase, assert_sound

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


MANY_USERS = """
import random, sys
from kgt.graph import Edit, GraphStore, ScoredTriple
from kgt.triple import Triple
path, name, *users = sys.argv[1:]
turns = [(user, i) for user in users for i in range(15)]
random.Random(name).shuffle(turns)
with GraphStore.open(path, seed=False) as store:
    for user, i in turns:
        store.commit(Edit(user, "add", (ScoredTriple(Triple(name, "counts", str(i))),), query=f"{name}, {i}"))
"""

STUCK = """
import sys, time
from kgt.graph import Edit, GraphStore, ScoredTriple
from kgt.triple import Triple
with GraphStore.open(sys.argv[1], seed=False) as store, store.transaction("ada") as graph:
    edits = [graph.commit(Edit("ada", "add", (ScoredTriple(Triple("a", "b", part)),))) for part in "cd"]
    print(*(edit.id for edit in edits), flush=True)
    time.sleep(60)
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_four_processes_that_open_a_new_database_and_write_to_one_user_lose_nothing(new_database: NewDatabase) -> None:
    path = new_database("nothing")
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


def test_reading_then_writing_in_a_transaction_loses_no_update(new_database: NewDatabase) -> None:
    path = new_database("nothing")
    workers = [start(COUNTER, path) for _ in range(3)]
    for worker in workers:
        worker.communicate(timeout=60)
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    with GraphStore.open(path, seed=False) as store:
        assert [fact.triple.object for fact in store.about("ada", "counter")] == ["60"]


@pytest.mark.parametrize("attempt", range(6))
def test_a_killed_process_leaves_every_acknowledged_edit_whole(new_database: NewDatabase, attempt: int) -> None:
    path = new_database("nothing")
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
    assert_sound(path)


def test_processes_that_write_to_many_users_at_once_lose_nothing(new_database: NewDatabase) -> None:
    path, users = new_database("tables"), [f"user {n}" for n in range(5)]
    writers = [start(MANY_USERS, path, f"writer {n}", *users) for n in range(3)]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with GraphStore.open(path, seed=False) as store:
        assert store.users() == users
        for user in users:
            assert [edit.id for edit in store.history(user)] == list(range(45, 0, -1))
            assert {edit.query for edit in store.history(user)} == {
                f"writer {n}, {i}" for n in range(3) for i in range(15)
            }
            assert len(store.facts(user)) == 45


def test_a_process_killed_in_a_transaction_leaves_no_lock_and_nothing_half_done(new_database: NewDatabase) -> None:
    path = new_database("tables")
    with GraphStore.open(path, seed=False) as store:
        store.commit(Edit("ada", "add", (ScoredTriple(Triple("a", "b", "before")),)))
        stuck = start(STUCK, path)
        assert stuck.stdout is not None and stuck.stdout.readline() == "2 3\n"
        os.kill(stuck.pid, signal.SIGKILL)
        stuck.communicate()
        begun = time.monotonic()
        edit = store.commit(Edit("ada", "add", (ScoredTriple(Triple("a", "b", "after")),)))
        assert time.monotonic() - begun < 5
        assert edit.id == 2
        assert [fact.triple.object for fact in store.facts("ada")] == ["after", "before"]
