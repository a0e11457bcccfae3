"""ConceptNet's files come into the base whole or up to where they break, and an import broken off goes on."""

from __future__ import annotations

import gzip
import lzma
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event

import kgt.graph
from kgt.errors import BadInput, GraphError, NotFound
from kgt.graph import Edit, GraphStore, ScoredTriple, loading, text_file
from kgt.graph.loading import Imported
from kgt.triple import Triple
from tests.graph.conftest import NewDatabase, assert_sound

SOURCE = str(Path(kgt.graph.__file__).parents[2])


@pytest.fixture
def store(empty_store: GraphStore) -> GraphStore:
    return empty_store


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[GraphStore]:
    """A store that knows nothing, in a file."""
    with GraphStore.open(tmp_path / "graph.db", seed=False) as opened:
        yield opened


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and batches of a few lines."""
    monkeypatch.setattr(text_file, "BLOCK", 1000)
    monkeypatch.setattr(loading, "BATCH", 20)


def line(start: str, relation: str, end: str, weight: float = 1.0) -> str:
    uri = f"/a/[/r/{relation}/,/c/en/{start}/,/c/en/{end}/]"
    return f'{uri}\t/r/{relation}\t/c/en/{start}\t/c/en/{end}\t{{"dataset": "/d/test", "weight": {weight}}}\n'


MANY = [line(f"thing_{n % 37}", "RelatedTo", f"number_{n}", 1.0 + n % 3) for n in range(400)]
WHOLE = "".join(MANY).encode()


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def base(store: GraphStore) -> list[tuple[Triple, float]]:
    with store._engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT subject, relation, object, weight FROM base ORDER BY 1, 2, 3")
        return [(Triple(*row[:3]), row[3]) for row in rows]


def test_a_file_becomes_facts_that_every_user_sees(store: GraphStore, tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", line("hot_dog", "UsedFor", "eat") + line("hot_dog", "IsA", "food", 2.0))
    done = store.import_conceptnet(file)
    assert (done.lines, done.kept, done.skipped, done.triples) == (2, 2, {}, 2)
    expected = [Triple("hot dog", "is a", "food"), Triple("hot dog", "used for", "eat")]
    for user in ("ada", "ben"):
        facts = store.about(user, "the hot dog")
        assert [fact.triple for fact in facts] == expected
        assert {fact.source for fact in facts} == {"base"}
    assert store.mentions("ada", ["hot dog", "eat"]) == {"hot dog"}


def test_of_one_triple_in_several_senses_the_highest_weight_stays(store: GraphStore, tmp_path: Path) -> None:
    lines = [line("dog/n", "IsA", "pet", 1.0), line("dog", "IsA", "pet/n", 3.5), line("the_dog", "IsA", "pet", 2.0)]
    store.import_conceptnet(written(tmp_path / "a.csv", "".join(lines)))
    assert base(store) == [(Triple("dog", "is a", "pet"), 3.5)]
    store.import_conceptnet(written(tmp_path / "b.csv", line("dog/v", "IsA", "pet", 3.0)))
    assert base(store) == [(Triple("dog", "is a", "pet"), 3.5)]
    store.import_conceptnet(written(tmp_path / "c.csv", line("dog/a", "IsA", "pet", 4.0)))
    assert base(store) == [(Triple("dog", "is a", "pet"), 4.0)]


def test_the_seed_keeps_its_words_and_gets_the_weight(tmp_path: Path) -> None:
    with GraphStore.open(tmp_path / "graph.db") as store:
        store.import_conceptnet(written(tmp_path / "a.csv", line("dog", "CapableOf", "eat_meat", 9.0)))
        first = store.about("ada", "dog")[0].triple
    assert str(first) == "(dog, CapableOf, eat meat)"


def test_what_a_user_changed_stays_changed(store: GraphStore, tmp_path: Path) -> None:
    mine, food, pet = (Triple("dog", "is a", name) for name in ("friend", "food", "pet"))
    lines = "".join(line("dog", "IsA", name) for name in ("food", "pet"))
    store.import_conceptnet(written(tmp_path / "a.csv", lines))
    store.commit(Edit("ada", "teach", (ScoredTriple(mine),), (ScoredTriple(food),)))
    store.import_conceptnet(written(tmp_path / "b.csv", lines + line("dog", "IsA", "food", 5.0)))
    assert [fact.triple for fact in store.about("ada", "dog")] == [mine, pet]
    assert [fact.triple for fact in store.about("ada", "dog", limit=2)] == [mine, pet]
    assert [fact.triple for fact in store.about("ben", "dog", limit=1)] == [food]


objects = st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from([0.5, 1.0, 2.0, 3.0]), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(objects, st.sets(st.sampled_from("abcdefghij")), st.lists(st.sampled_from("cdexyz"), max_size=4, unique=True))
def test_the_first_facts_are_the_users_newest_then_the_heaviest(
    new_database: NewDatabase, tmp_path: Path, weights: dict[str, float], removed: set[str], added: list[str]
) -> None:
    with GraphStore.open(new_database("tables"), seed=False) as store:
        if weights:
            lines = (line("hub", "RelatedTo", name, weight) for name, weight in weights.items())
            store.import_conceptnet(written(tmp_path / "a.csv", "".join(lines)))
        triples = {name: Triple("hub", "related to", name) for name in "abcdefghijxyz"}
        store.commit(Edit("ada", "forget", removed=tuple(ScoredTriple(triples[name]) for name in sorted(removed))))
        for name in added:
            store.commit(Edit("ada", "add", (ScoredTriple(triples[name]),)))
        own = [name for name in reversed(added) if name not in weights]
        shared = sorted(weights.keys() - (removed - set(added)), key=lambda name: (-weights[name], name))
        facts = store.about("ada", "hub")
        assert [fact.triple for fact in facts] == [triples[name] for name in own + shared]
        assert [fact.source for fact in facts] == ["user"] * len(own) + ["base"] * len(shared)
        for limit in range(len(facts) + 2):
            assert store.about("ada", "hub", limit=limit) == facts[:limit]
            for shared in range(3):
                own = [fact for fact in facts[:limit] if fact.source == "user"]
                some = [fact for fact in facts if fact.source != "user"][: min(shared, limit - len(own))]
                assert store.about("ada", "hub", limit=limit, shared=shared) == own + some


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.xz"])
def test_a_file_may_be_packed(store: GraphStore, tmp_path: Path, ending: str) -> None:
    pack = {"csv": bytes, "csv.gz": gzip.compress, "csv.xz": lzma.compress}[ending]
    done = store.import_conceptnet(written(tmp_path / f"a.{ending}", pack(WHOLE)))
    assert (done.lines, done.kept, done.bytes) == (400, 400, len(WHOLE))


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(store: GraphStore, tmp_path: Path) -> None:
    text = "\ufeff" + "".join(MANY[:50]).replace("\n", "\r\n")
    done = store.import_conceptnet(written(tmp_path / "a.csv", text))
    assert (done.kept, done.skipped) == (50, {})


def test_malformed_lines_are_counted_and_the_first_shown(store: GraphStore, tmp_path: Path) -> None:
    broken = [b"nonsense\n", MANY[1].encode().replace(b"number_1", b"n\xfcmber"), b"\n", MANY[2].encode()[:60] + b"\n"]
    done = store.import_conceptnet(written(tmp_path / "a.csv", b"".join([MANY[0].encode(), *broken * 3, WHOLE])))
    assert (done.lines, done.kept) == (413, 401)
    assert done.skipped == {"not the columns of an assertion": 6, "not UTF-8": 3, "blank": 3}
    assert done.malformed[:2] == [(2, "not the columns of an assertion"), (3, "not UTF-8")]
    assert len(done.malformed) == loading.SHOWN


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"dog\tis a\tanimal\n" * 30, "first 20 lines"),
        ("a.csv.gz", WHOLE, "not packed with gzip"),
        ("a.csv.xz", WHOLE, "not packed with xz"),
        ("a.csv", gzip.compress(WHOLE), "name does not say so"),
        ("a.csv", lzma.compress(WHOLE), "name does not say so"),
        ("a.csv.gz", gzip.compress(WHOLE)[:5], "cut off"),
        ("a.csv.xz", b"", "cut off"),
        ("a.csv", random.Random(0).randbytes(3000), "first"),
    ],
)
def test_what_is_no_file_of_conceptnets_is_refused(
    store: GraphStore, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(BadInput, match=message) as error:
        store.import_conceptnet(written(tmp_path / name, content))
    assert error.value.hint
    assert base(store) == []


def test_a_file_without_line_ends_is_refused_before_it_fills_the_memory(
    store: GraphStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "LONGEST_LINE", 10_000)
    with pytest.raises(BadInput, match="a line of more than"):
        store.import_conceptnet(written(tmp_path / "a.csv.gz", gzip.compress(WHOLE + b"x" * (4 << 20))))
    assert len(base(store)) == 400 or base(store) == []


@pytest.mark.parametrize("path", ["nowhere.csv", ".", "a\0b"])
def test_a_file_that_is_not_there_is_said_so(store: GraphStore, path: str) -> None:
    with pytest.raises(NotFound, match="cannot be read"):
        store.import_conceptnet(path)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("ending", ["gz", "xz"])
def test_a_file_cut_off_is_imported_up_to_there_and_goes_on_when_whole(
    store: GraphStore, tmp_path: Path, ending: str
) -> None:
    path, packed = tmp_path / f"a.csv.{ending}", {"gz": gzip.compress, "xz": lzma.compress}[ending](WHOLE)
    with pytest.raises(BadInput, match=r"it ends in the middle\. The .* whole lines before that are in") as error:
        store.import_conceptnet(written(path, packed[: len(packed) * 2 // 3]))
    assert "goes on" in error.value.hint
    there = len(base(store))
    assert 0 < there < 400
    done = store.import_conceptnet(written(path, packed))
    assert (done.lines, done.kept, done.before) == (400, 400, there)
    assert len(base(store)) == 400


@pytest.mark.usefixtures("small_steps")
def test_a_damaged_file_is_imported_up_to_the_damage(store: GraphStore, tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    half = packer.compress("".join(MANY[:200]).encode()) + packer.flush(zlib.Z_FULL_FLUSH)
    with pytest.raises(BadInput, match="is damaged"):
        store.import_conceptnet(written(tmp_path / "a.csv.gz", half + b"\xff" * 100))
    assert 190 < len(base(store)) <= 200  # what shares a block with the damage is lost
    wrong_sum = gzip.compress(WHOLE)[:-8] + b"\0" * 8
    with pytest.raises(BadInput, match=r"is damaged.* The 400 whole lines"):
        store.import_conceptnet(written(tmp_path / "b.csv.gz", wrong_sum))
    assert len(base(store)) == 400


class Stopped(Exception):
    pass


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("at", range(1, 60, 7))
def test_an_import_broken_off_goes_on_after_the_last_batch(store: GraphStore, tmp_path: Path, at: int) -> None:
    file, calls = written(tmp_path / "a.csv", WHOLE), 0

    def stop(read: int, size: int) -> None:
        nonlocal calls
        calls += 1
        assert read <= size == len(WHOLE)
        if calls == at:
            raise Stopped

    if at < 50:
        with pytest.raises(Stopped):
            store.import_conceptnet(file, progress=stop)
    there = len(base(store))
    renamed = file.rename(tmp_path / "b.csv")
    done = store.import_conceptnet(renamed)
    assert (done.before, done.lines, done.kept, done.triples) == (there, 400, 400, 400)
    again = store.import_conceptnet(renamed)
    assert (again.before, again.lines, again.kept) == (400, 400, 400)


@pytest.mark.usefixtures("small_steps")
def test_a_file_that_grew_is_read_on(store: GraphStore, tmp_path: Path) -> None:
    cut = len(WHOLE) // 2 + 7  # within a line
    done = store.import_conceptnet(written(tmp_path / "a.csv", WHOLE[:cut]))
    assert sum(done.skipped.values()) == 1
    done = store.import_conceptnet(written(tmp_path / "a.csv", WHOLE))
    assert (done.lines, done.kept, done.skipped) == (400, 400, {})
    assert done.before == WHOLE[:cut].count(b"\n")


@pytest.mark.usefixtures("small_steps")
def test_another_file_with_the_same_first_line_is_read_from_its_beginning(store: GraphStore, tmp_path: Path) -> None:
    store.import_conceptnet(written(tmp_path / "a.csv", WHOLE))
    other = MANY[:1] + [line("cow", "IsA", f"animal_{n}") for n in range(450)]
    done = store.import_conceptnet(written(tmp_path / "a.csv", "".join(other)))
    assert (done.before, done.lines, done.triples) == (0, 451, 850)
    done = store.import_conceptnet(written(tmp_path / "a.csv", "".join(other[:3])))
    assert (done.before, done.lines, done.triples) == (0, 3, 850)


def test_other_options_are_another_import(store: GraphStore, tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", WHOLE)
    assert store.import_conceptnet(file, min_weight=3.0).kept == 133
    assert store.import_conceptnet(file, "de").skipped == {"in another language": 400}
    assert store.import_conceptnet(file, min_weight=2.0).kept == 266
    assert len(base(store)) == 266


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_read_once(store: GraphStore, tmp_path: Path) -> None:
    def feed(text: bytes) -> Imported:
        feeder = threading.Thread(target=written, args=(tmp_path / "pipe", text))
        feeder.start()
        try:
            return store.import_conceptnet(tmp_path / "pipe")
        finally:
            feeder.join()

    os.mkfifo(tmp_path / "pipe")
    assert feed(WHOLE).kept == 400
    assert feed(WHOLE).before == 400
    with pytest.raises(BadInput, match="cannot be read twice"):
        feed((MANY[0] + MANY[5]).encode())


@pytest.mark.usefixtures("small_steps")
def test_a_full_disk_keeps_the_batches_before(file_store: GraphStore, tmp_path: Path) -> None:
    store = file_store

    @event.listens_for(store._engine, "begin")
    def small_disk(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 12")

    file = written(tmp_path / "a.csv", WHOLE)
    with pytest.raises(GraphError, match="full") as error:
        store.import_conceptnet(file)
    assert "Free some space" in error.value.hint
    there = len(base(store))
    assert 0 < there < 400
    event.remove(store._engine, "begin", small_disk)
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")
    done = store.import_conceptnet(file)
    assert (done.before, done.triples) == (there, 400)


def test_a_database_that_may_only_be_read_is_said_so(file_store: GraphStore, tmp_path: Path) -> None:
    file_store.close()
    with GraphStore.open(f"sqlite:///file:{tmp_path / 'graph.db'}?mode=ro&uri=true", seed=False) as only_read:
        with pytest.raises(GraphError, match="may be read but not written"):
            only_read.import_conceptnet(written(tmp_path / "a.csv", WHOLE))
        assert base(only_read) == []


IMPORTER = """
import sys
from kgt.graph import GraphStore, loading
loading.BATCH = 500
with GraphStore.open(sys.argv[1], seed=False) as store:
    print("ready", flush=True)
    print(store.import_conceptnet(sys.argv[2]).lines)
"""


@pytest.mark.parametrize("attempt", range(4))
def test_a_killed_import_leaves_whole_batches_and_goes_on(
    tmp_path: Path, new_database: NewDatabase, attempt: int
) -> None:
    lines = [line(f"thing_{n * 7919 % 5003}", "RelatedTo", f"number_{n}") for n in range(40_000)]
    file, path = written(tmp_path / "a.csv.gz", gzip.compress("".join(lines).encode(), 1)), new_database("tables")
    importer = subprocess.Popen(
        [sys.executable, "-c", IMPORTER, path, str(file)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert importer.stdout is not None and importer.stdout.readline() == "ready\n"
    time.sleep(random.Random(attempt).uniform(0.1, 0.8))
    os.kill(importer.pid, signal.SIGKILL)
    importer.communicate()
    with GraphStore.open(path, seed=False) as store:
        there = len(base(store))
        done = store.import_conceptnet(file)
        assert (done.before, done.lines, done.kept, done.triples) == (there, 40_000, 40_000, 40_000)
        assert len(base(store)) == 40_000
    assert_sound(path)
