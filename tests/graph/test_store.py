"""What a user's graph promises: edits, history, undo, time travel, erasure."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kgt.errors import BadInput, GraphError, NotFound
from kgt.graph import Edit, Fact, GraphStore, ScoredTriple
from kgt.triple import Triple

MEAT = Triple("dog", "Desires", "meat")
CARROTS = Triple("My dog", "likes", "carrots")
WALKS = Triple("dog", "likes", "long walks")


def add(store: GraphStore, *triples: Triple, user: str = "ada") -> Edit:
    return store.commit(Edit(user, "add", added=tuple(map(ScoredTriple, triples))))


def remove(store: GraphStore, *triples: Triple, user: str = "ada") -> Edit:
    return store.commit(Edit(user, "forget", removed=tuple(map(ScoredTriple, triples))))


def triples(facts: list[Fact]) -> set[Triple]:
    return {fact.triple for fact in facts}


def test_an_added_triple_comes_before_the_base(store: GraphStore) -> None:
    edit = add(store, CARROTS)
    facts = store.about("ada", "the dog")
    assert facts[0] == Fact(CARROTS, "user", edit.id)
    assert facts[0].triple.subject == "My dog"
    assert Fact(MEAT, "base", None) in facts[1:]


def test_the_newest_edit_comes_first(store: GraphStore) -> None:
    add(store, CARROTS)
    add(store, WALKS)
    assert [fact.triple for fact in store.facts("ada")] == [WALKS, CARROTS]


def test_users_do_not_see_one_another(store: GraphStore) -> None:
    add(store, CARROTS)
    remove(store, MEAT)
    assert CARROTS not in triples(store.about("bob", "dog"))
    assert MEAT in triples(store.about("bob", "dog"))


def test_a_removed_base_triple_is_hidden_and_can_come_back(store: GraphStore) -> None:
    remove(store, MEAT)
    assert MEAT not in triples(store.about("ada", "dog"))
    add(store, MEAT)
    assert MEAT in triples(store.about("ada", "dog"))


def test_adding_twice_stores_nothing_the_second_time(store: GraphStore) -> None:
    add(store, CARROTS)
    again = add(store, Triple("the DOG", "Likes", "carrots"))
    assert again.id is None and again.added == ()
    assert len(store.history("ada")) == 1


def test_adding_what_the_base_says_stores_nothing(store: GraphStore) -> None:
    assert add(store, MEAT).id is None


def test_removing_what_is_not_there_stores_nothing(store: GraphStore) -> None:
    assert remove(store, CARROTS).id is None


def test_what_changes_nothing_is_left_out_of_the_stored_edit(store: GraphStore) -> None:
    edit = add(store, MEAT, CARROTS, CARROTS)
    assert [part.triple for part in edit.added] == [CARROTS]
    assert store.edit("ada", 1) == edit


def test_adding_and_removing_one_triple_is_refused(store: GraphStore) -> None:
    with pytest.raises(BadInput, match="both adds and removes"):
        store.commit(Edit("ada", "teach", added=(ScoredTriple(MEAT),), removed=(ScoredTriple(MEAT),)))


def test_an_edit_is_kept_with_all_its_fields(store: GraphStore) -> None:
    before = datetime.now(UTC)
    stored = store.commit(
        Edit(
            "ada",
            "teach",
            added=(ScoredTriple(CARROTS, 0.75, 0.5),),
            removed=(ScoredTriple(MEAT, 0.25, None),),
            query="What does\nmy dog like?",
            answer="carrots 🥕",
            loss_before=2.5,
            loss_after=0.125,
            stop_reason="loss",
            model="some-model",
            milliseconds=12.5,
            said_by="Ada",
        )
    )
    assert stored.id == 1
    assert stored.time is not None and before <= stored.time <= datetime.now(UTC)
    assert store.edit("ada", 1) == stored
    assert store.edit("ada", 1).added[0].reasoning == 0.75
    assert store.edit("ada", 1).removed[0].reasoning == 0.25


def test_texts_that_no_database_can_hold_are_made_storable(store: GraphStore) -> None:
    edit = Edit("ada", "add", (ScoredTriple(CARROTS, float("nan")),), query="a\0b\ud800")
    stored = store.commit(edit)
    assert (stored.query, stored.added[0].reasoning) == ("ab?", None)
    assert store.edit("ada", 1) == stored


def test_ids_count_within_each_user(store: GraphStore) -> None:
    assert [add(store, CARROTS).id, add(store, WALKS).id, add(store, WALKS, user="bob").id] == [1, 2, 1]
    assert store.users() == ["ada", "bob"]


def test_time_does_not_run_back_with_the_clock(store: GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = add(store, CARROTS)

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) - timedelta(days=1)

    monkeypatch.setattr("kgt.graph.records.datetime", Yesterday)
    assert add(store, WALKS).time == first.time


def test_history_is_newest_first_and_can_be_cut(store: GraphStore) -> None:
    add(store, CARROTS)
    add(store, WALKS)
    remove(store, CARROTS)
    assert [edit.id for edit in store.history("ada")] == [3, 2, 1]
    assert [edit.id for edit in store.history("ada", limit=1)] == [3]


def test_history_is_read_in_pages(store: GraphStore) -> None:
    for n in range(5):
        add(store, Triple("page", "has number", str(n)))
    pages = [store.history("ada", limit=2), store.history("ada", 2, before=4), store.history("ada", 2, before=2)]
    assert [[edit.id for edit in page] for page in pages] == [[5, 4], [3, 2], [1]]
    assert store.history("ada", before=1) == store.history("ada", before=-(10**30)) == []
    assert store.history("ada", before=10**30) == store.history("ada")


def test_a_request_made_again_is_answered_by_the_edit_it_made(store: GraphStore) -> None:
    edit = Edit("ada", "add", (ScoredTriple(CARROTS),), request="r1")
    first = store.commit(edit)
    remove(store, CARROTS)
    assert store.commit(edit) == store.requested("ada", "r1") == first
    assert store.commit(replace(edit, added=(ScoredTriple(WALKS),))) == first
    assert CARROTS not in triples(store.facts("ada"))
    assert store.commit(replace(edit, user="bob")).user == "bob"
    assert store.requested("ada", "r2") is store.requested("eve", "r1") is None


def test_edits_without_a_request_are_not_one_another(store: GraphStore) -> None:
    assert add(store, CARROTS) != add(store, WALKS)
    assert store.requested("ada", "") is None


def test_an_undo_asked_for_twice_is_made_once(store: GraphStore) -> None:
    add(store, CARROTS)
    add(store, WALKS)
    undo = store.undo("ada", request="r1")
    assert store.undo("ada", request="r1") == undo
    assert triples(store.facts("ada")) == {CARROTS}


def test_a_request_that_is_no_name_is_refused(store: GraphStore) -> None:
    with pytest.raises(BadInput, match="201 characters"):
        store.commit(Edit("ada", "add", (ScoredTriple(CARROTS),), request="x" * 201))
    stored = store.commit(Edit("ada", "add", (ScoredTriple(CARROTS),), request="a\0b"))
    assert store.requested("ada", "a\0b") == stored


def test_a_database_that_answers_is_there(store: GraphStore) -> None:
    store.ping()


def test_edits_for_a_triple_are_those_that_touched_it(store: GraphStore) -> None:
    add(store, CARROTS)
    add(store, WALKS)
    remove(store, CARROTS)
    assert [edit.id for edit in store.edits_for("ada", CARROTS)] == [3, 1]


def test_as_of_shows_the_graph_after_an_edit_or_at_a_time(store: GraphStore) -> None:
    first = add(store, CARROTS)
    second = remove(store, CARROTS, MEAT)
    assert first.time is not None and second.time is not None
    for as_of in (first.id, first.time):
        assert {CARROTS, MEAT} <= triples(store.about("ada", "dog", as_of=as_of))
    assert not {CARROTS, MEAT} & triples(store.about("ada", "dog", as_of=second.time))
    assert store.facts("ada", as_of=0) == store.facts("ada", as_of=first.time - timedelta(seconds=1)) == []
    assert store.facts("ada", as_of=10**30) == store.facts("ada")


def test_a_time_without_a_zone_is_refused(store: GraphStore) -> None:
    with pytest.raises(BadInput, match="no time zone"):
        store.about("ada", "dog", as_of=datetime(2025, 1, 1))


def test_undo_reverses_the_latest_edit_then_the_one_before(store: GraphStore) -> None:
    before = store.about("ada", "dog")
    add(store, CARROTS)
    remove(store, CARROTS, MEAT)
    undo = store.undo("ada", said_by="Ada")
    assert (undo.kind, undo.undoes, undo.said_by) == ("undo", 2, "Ada")
    assert {CARROTS, MEAT} <= triples(store.about("ada", "dog"))
    assert store.undo("ada").undoes == 1
    assert triples(store.about("ada", "dog")) == triples(before)
    with pytest.raises(NotFound, match="no edit to undo"):
        store.undo("ada")


def test_undoing_an_undo_is_a_redo_and_the_edit_can_be_undone_again(store: GraphStore) -> None:
    add(store, CARROTS)
    undo = store.undo("ada")
    assert store.undo("ada", undo.id).undoes == undo.id
    assert CARROTS in triples(store.facts("ada"))
    assert store.undo("ada").undoes == 1
    assert store.facts("ada") == []


def test_undoing_twice_is_refused_and_names_the_undo(store: GraphStore) -> None:
    add(store, CARROTS)
    store.undo("ada", 1)
    with pytest.raises(BadInput, match="already undone by edit 2"):
        store.undo("ada", 1)


def test_undo_in_the_middle_leaves_what_later_edits_changed(store: GraphStore) -> None:
    add(store, CARROTS, WALKS)
    remove(store, CARROTS)
    undo = store.undo("ada", 1)
    assert [part.triple for part in undo.removed] == [WALKS] and undo.added == ()
    assert store.facts("ada") == []


def test_undo_of_an_edit_wholly_overtaken_names_the_later_edit(store: GraphStore) -> None:
    add(store, CARROTS)
    add(store, WALKS)
    remove(store, CARROTS)
    with pytest.raises(BadInput, match="the later edit 3 already changed it"):
        store.undo("ada", 1)


def test_undo_of_what_the_base_has_come_to_say_is_refused(store: GraphStore) -> None:
    add(store, CARROTS)
    store.add_base([CARROTS], "test")
    with pytest.raises(BadInput, match="the shared graph says the same"):
        store.undo("ada", 1)


@pytest.mark.parametrize("edit_id", [0, -1, 7, 10**30])
def test_an_unknown_edit_is_not_found(store: GraphStore, edit_id: int) -> None:
    for call in (store.undo, store.edit):
        with pytest.raises(NotFound, match="kgt history"):
            call("ada", edit_id)


def test_an_undo_cannot_be_committed_by_hand(store: GraphStore) -> None:
    with pytest.raises(BadInput, match="undo"):
        store.commit(Edit("ada", "undo", (ScoredTriple(CARROTS),), undoes=1))


def test_a_transaction_stores_everything_or_nothing(store: GraphStore) -> None:
    with pytest.raises(RuntimeError), store.transaction("ada") as graph:
        graph.commit(Edit("ada", "add", (ScoredTriple(CARROTS),)))
        assert CARROTS in triples(graph.about("dog"))
        raise RuntimeError
    assert store.history("ada") == []


def test_a_transaction_is_for_one_user(store: GraphStore) -> None:
    with store.transaction("ada") as graph, pytest.raises(BadInput, match="'bob'"):
        graph.commit(Edit("bob", "add", (ScoredTriple(CARROTS),)))


def test_mentions_are_subjects_the_user_can_see(store: GraphStore) -> None:
    add(store, Triple("Rex", "IsA", "dog"))
    remove(store, *triples(store.about("ada", "dove")))
    keys = {"rex", "dog", "dove", "nobody"}
    assert store.mentions("ada", keys) == {"rex", "dog"}
    assert store.mentions("bob", keys) == {"dog", "dove"}
    assert store.mentions("ada", []) == set()
    assert store.mentions("ada", keys, include_base=False) == {"rex"}
    assert store.mentions("bob", keys, include_base=False) == set()


def test_what_the_base_says_is_nobodys_own_mention(store: GraphStore) -> None:
    remove(store, MEAT)
    add(store, MEAT)
    assert store.mentions("ada", ["dog"], include_base=False) == set()
    add(store, WALKS)
    assert store.mentions("ada", ["dog"], include_base=False) == {"dog"}


def test_what_entities_are_called(store: GraphStore) -> None:
    name, nickname = Triple("my dog", "name", "Rex"), Triple("my dog", "is called", "Rexy")
    add(store, name, nickname, Triple("my dog", "likes", "Rex"), Triple("my cat", "name", "Tom"))
    assert {z.key for z in store.called("ada", ["dog", "bird", "d\0og"])} == {name.key, nickname.key}
    remove(store, name)
    assert store.called("ada", ["dog"]) == [nickname]
    assert store.called("bob", ["dog"]) == store.called("ada", []) == []


def test_each_edit_makes_a_new_version(store: GraphStore) -> None:
    assert store.version("ada") is None
    first = add(store, CARROTS)
    version = store.version("ada")
    assert version is not None and version[0] == first.id
    add(store, WALKS, user="bob")
    assert store.version("ada") == version
    store.undo("ada")
    assert store.version("ada") not in (None, version)
    with store.transaction("ada") as graph:
        assert graph.version() == store.version("ada")
    store.erase("ada")
    assert store.version("ada") is None


def test_more_keys_than_one_statement_takes(store: GraphStore) -> None:
    many = [Triple(f"thing {n}", "IsA", "thing") for n in range(1201)]
    assert len(add(store, *many).added) == 1201
    assert len(store.mentions("ada", {triple.key[0] for triple in many})) == 1201
    assert len(store.undo("ada").removed) == 1201


def test_base_triples_are_added_once(store: GraphStore) -> None:
    cow = [Triple("purple cow", "IsA", "cow"), Triple("purple cow", "HasA", "purple fur")]
    assert store.add_base([*cow, Triple("the purple cow", "is_a", "Cow")], "test") == 2
    assert store.add_base(iter(cow), "test") == 0
    assert triples(store.about("ada", "purple cow")) == set(cow)


def test_what_a_user_forgot_stays_forgotten_when_the_base_learns_it(store: GraphStore) -> None:
    add(store, CARROTS)
    remove(store, CARROTS)
    store.add_base([CARROTS], "test")
    assert CARROTS not in triples(store.about("ada", "dog"))
    assert CARROTS in triples(store.about("bob", "dog"))


def test_erase_leaves_no_trace_of_the_user_in_the_files(tmp_path: Path) -> None:
    with GraphStore.open(tmp_path / "graph.db") as store:
        add(store, Triple("xyzzy-secret", "IsA", "word"), user="eve")
        add(store, CARROTS)
        store.erase("eve")
        assert store.users() == ["ada"] and store.history("eve") == [] == store.facts("eve")
        for file in tmp_path.iterdir():
            assert b"xyzzy-secret" not in file.read_bytes(), file.name
        assert add(store, CARROTS, user="eve").id == 1


@pytest.mark.parametrize("user", ["", "  ", "a\tb", "a\0b", "x" * 201, "\ud800"])
def test_a_bad_user_name_is_refused(store: GraphStore, user: str) -> None:
    for call in (store.history, store.erase, store.undo, store.facts):
        with pytest.raises(BadInput, match="user name"):
            call(user)
    with pytest.raises(BadInput, match="user name"):
        add(store, CARROTS, user=user)


def test_one_store_serves_several_threads(store: GraphStore) -> None:
    def work(n: int) -> None:
        for i in range(10):
            add(store, Triple(f"thread {n}", "counts", str(i)))
            store.about("ada", "dog")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [edit.id for edit in store.history("ada")] == list(range(40, 0, -1))


def test_a_store_in_memory_is_one_graph_for_all_threads() -> None:
    with GraphStore.open(":memory:", seed=False) as store:
        thread = threading.Thread(target=add, args=(store, CARROTS))
        thread.start()
        thread.join()
        assert triples(store.about("ada", "dog")) == {CARROTS}


def test_using_the_store_inside_its_own_transaction_in_memory_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kgt.graph.connection.BUSY_SECONDS", 0.1)
    with (
        GraphStore.open(":memory:", seed=False) as store,
        store.transaction("ada"),
        pytest.raises(GraphError, match="connections"),
    ):
        store.about("ada", "dog")
