"""The store equals a plain-Python model: the base, folded with the edits that stand."""

from __future__ import annotations

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kgt.errors import BadInput, NotFound
from kgt.graph import Edit, GraphStore, ScoredTriple
from kgt.triple import Triple

WORLD = [Triple(s, r, o) for s in ("dog", "cat") for r in ("likes", "is") for o in ("meat", "milk")]
BASE = WORLD[::3]
some_triples = st.sets(st.sampled_from(WORLD), max_size=3)


class StoreMachine(RuleBasedStateMachine):
    """The model knows only: each edit's changes, what undoes what, and what was visible after each."""

    def __init__(self, store: GraphStore, user: str) -> None:
        super().__init__()
        self.store, self.user = store, user
        self.changes: dict[int, tuple[set[Triple], set[Triple]]] = {}
        self.undoes: dict[int, int] = {}
        self.seen_after: list[set[Triple]] = [set(BASE)]

    def stands(self, edit_id: int) -> bool:
        return not any(self.undoes[undo] == edit_id and self.stands(undo) for undo in self.undoes)

    def fold(self) -> set[Triple]:
        seen = set(BASE)
        for edit_id, (added, removed) in self.changes.items():
            if self.stands(edit_id):
                seen = (seen | added) - removed
        return seen

    @rule(added=some_triples, removed=some_triples)
    def commit(self, added: set[Triple], removed: set[Triple]) -> None:
        edit = Edit(self.user, "teach", tuple(map(ScoredTriple, added)), tuple(map(ScoredTriple, removed)))
        if added & removed:
            try:
                self.store.commit(edit)
            except BadInput:
                return
            raise AssertionError("a triple both added and removed was accepted")
        seen = self.seen_after[-1]
        added, removed = added - seen, removed & seen
        stored = self.store.commit(edit)
        if not added and not removed:
            assert stored.id is None
            return
        assert stored.id == len(self.seen_after)
        self.changes[stored.id] = (added, removed)
        self.seen_after.append((seen | added) - removed)

    @rule(data=st.data())
    def undo_any(self, data: st.DataObject) -> None:
        count = len(self.seen_after) - 1
        edit_id = data.draw(st.integers(1, count)) if count else 1
        try:
            undo = self.store.undo(self.user, edit_id)
        except NotFound:
            assert not count
        except BadInput:
            if self.stands(edit_id):  # then undoing it must make no difference
                self.undoes[count + 1] = edit_id
                assert self.fold() == self.seen_after[-1]
                del self.undoes[count + 1]
        else:
            assert self.stands(edit_id)
            self.undone(undo)

    @rule()
    def undo_latest(self) -> None:
        try:
            undo = self.store.undo(self.user)
        except NotFound:
            return
        assert undo.undoes in self.changes and self.stands(undo.undoes)
        self.undone(undo)

    def undone(self, undo: Edit) -> None:
        assert undo.id == len(self.seen_after) and undo.undoes is not None
        self.undoes[undo.id] = undo.undoes
        assert self.fold() != self.seen_after[-1]
        self.seen_after.append(self.fold())

    @invariant()
    def what_the_user_sees_is_the_fold(self) -> None:
        facts = self.store.facts(self.user, include_base=True)
        assert {fact.triple for fact in facts} == self.fold()
        for fact in facts:
            assert (fact.edit_id is None) == (fact.source == "base")
        subjects = {fact.triple.key[0] for fact in facts}
        assert self.store.mentions(self.user, ["dog", "cat"]) == subjects
        dog = [fact for fact in facts if fact.triple.subject == "dog"]
        assert self.store.about(self.user, "dog") == dog
        for limit in (0, 1, 2, 9):
            assert self.store.about(self.user, "dog", limit=limit) == dog[:limit]

    @invariant()
    def the_past_stays_as_it_was(self) -> None:
        for edit_id, seen in enumerate(self.seen_after):
            facts = self.store.facts(self.user, as_of=edit_id, include_base=True)
            assert {fact.triple for fact in facts} == seen
            assert self.store.facts(self.user, as_of=edit_id, include_base=True, limit=3) == facts[:3]
        assert self.store.facts(self.user, as_of=len(self.seen_after) - 1) == self.store.facts(self.user)


def test_the_store_equals_the_model(empty_store: GraphStore) -> None:
    empty_store.add_base(BASE, "test")
    users = (f"user {n}" for n in count())
    examples = 40 if empty_store._engine.dialect.name == "sqlite" else 12
    run_state_machine_as_test(
        lambda: StoreMachine(empty_store, next(users)),
        settings=settings(max_examples=examples, stateful_step_count=15, deadline=None),
    )
