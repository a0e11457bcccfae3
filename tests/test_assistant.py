"""The whole way on the real model and a real database: ask, teach, ask again, undo."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from kgt import Assistant, KGTError, Settings, Triple, TuneSettings
from kgt.errors import BadInput, NotFound

DOG = "What does my dog eat?"
VEGETARIAN = "No, my dog is vegetarian."


def objects(assistant: Assistant) -> set[str]:
    return {fact.triple.object for fact in assistant.facts()}


def test_a_taught_fact_answers_its_query_and_a_rephrasing(assistant: Assistant) -> None:
    before = assistant.score_answers("Where does my sister live?", ["Lisbon"])[0].probability
    assistant.teach("Where does my sister live?", "My sister lives in Lisbon.")
    assert "Lisbon" in assistant.ask("Where does my sister live?").text
    assert "Lisbon" in assistant.ask("In which city is my sister's home?").text
    after = assistant.score_answers("Where does my sister live?", ["Lisbon"])[0]
    assert after.probability > 0.5 > before
    assert after.greedy


def test_other_answers_stay_word_for_word_as_they_were(assistant: Assistant) -> None:
    others = ("Where does my dog sleep?", "What is the capital of France?")
    before = [assistant.ask(query, max_tokens=12).text for query in others]
    assistant.teach(DOG, VEGETARIAN)
    assert [assistant.ask(query, max_tokens=12).text for query in others] == before


def test_another_user_sees_nothing_of_it(assistant: Assistant) -> None:
    other = assistant.as_user("ben")
    before = other.ask(DOG, max_tokens=12).text
    assistant.teach(DOG, VEGETARIAN)
    assert other.ask(DOG, max_tokens=12).text == before
    assert other.facts() == []
    assert other.history() == []


def test_teaching_removes_the_base_facts_that_speak_against_it_and_undo_brings_them_back(assistant: Assistant) -> None:
    meat = Triple("dog", "CapableOf", "eat meat")
    bark = next(f.triple for f in assistant.facts("dog", include_base=True) if f.triple.object.startswith("bark"))
    before = assistant.facts("dog", include_base=True)
    edit = assistant.teach(DOG, VEGETARIAN)
    now = [f.triple for f in assistant.facts("dog", include_base=True)]
    assert meat in [z.triple for z in edit.removed]
    assert meat not in now
    assert bark in now
    undo = assistant.undo()
    assert undo.undoes == edit.id
    assert assistant.facts("dog", include_base=True) == before


def test_an_edit_says_what_it_did_with_probabilities_and_loss(assistant: Assistant) -> None:
    edit = assistant.teach(DOG, VEGETARIAN)
    (added,) = edit.added
    assert added.triple == Triple("my dog", "is", "vegetarian")
    assert added.reasoning is not None
    assert added.retrieval is not None
    assert 0 < added.reasoning <= 1
    assert 0 < added.retrieval <= 1
    assert edit.loss_after == pytest.approx(-math.log(added.reasoning * added.retrieval))
    assert (edit.id, edit.kind, edit.stop_reason, edit.model) == (1, "teach", "loss", assistant.model.name)
    assert assistant.history() == [edit]


def test_teaching_twice_changes_nothing_the_second_time(assistant: Assistant) -> None:
    assistant.teach(DOG, VEGETARIAN)
    again = assistant.teach(DOG, VEGETARIAN)
    assert again.id is None
    assert (again.added, again.removed, again.stop_reason) == ((), (), "known")
    assert len(assistant.history()) == 1


def test_a_correction_never_leaves_the_old_fact_beside_the_new(assistant: Assistant) -> None:
    assistant.teach("Where does my sister live?", "My sister lives in Oslo.")
    assistant.teach("Where does my sister live?", "No, she lives in Rome.")
    assert objects(assistant) == {"Rome"}


def test_the_same_question_answered_anew_replaces_its_answer_whatever_the_words(assistant: Assistant) -> None:
    assistant.teach("Where does my sister live?", "My sister lives in Oslo.")
    assistant.teach("Where does my sister live?", "She moved to Rome.")
    assert objects(assistant) == {"Rome"}


def test_what_is_also_true_joins_what_was_true(assistant: Assistant) -> None:
    assistant.teach("What do I like to drink?", "I like tea.")
    assistant.teach("What do I like to drink?", "I also like coffee.")
    assert objects(assistant) == {"tea", "coffee"}


def test_two_facts_of_one_entity_answer_their_own_questions(assistant: Assistant) -> None:
    assistant.teach("What is my dog's name?", "It's Rex.")
    assistant.teach(DOG, VEGETARIAN)
    assert "Rex" in assistant.ask("What is my dog called?").text
    assert "vegetarian" in assistant.ask("What should I feed my dog?").text


def test_user_given_relations_are_used(assistant: Assistant) -> None:
    edit = assistant.teach(DOG, "vegetarian food", ["diet"])
    assert edit.added[0].triple == Triple("my dog", "diet", "vegetarian food")


def test_a_dry_run_decides_but_stores_nothing(assistant: Assistant) -> None:
    edit = assistant.teach(DOG, VEGETARIAN, dry_run=True)
    assert edit.added
    assert edit.id is None
    assert assistant.history() == []


@pytest.mark.parametrize("stop", ["loss", "generates", "either"])
def test_every_stop_rule_personalises(assistant: Assistant, stop: str) -> None:
    assistant.tuning = TuneSettings(stop=stop)  # type: ignore[arg-type]
    edit = assistant.teach("Where does my sister live?", "My sister lives in Lisbon.")
    assert edit.stop_reason in ("loss", "generates")
    assert "Lisbon" in assistant.ask("Where does my sister live?").text


def test_the_literal_reading_adds_all_of_h_before_it_can_stop(assistant: Assistant) -> None:
    assistant.tuning = TuneSettings(k=3, literal=True, epsilon=0.0)
    edit = assistant.teach("Where does my sister live?", "My sister lives in Lisbon.")
    assert len(edit.added) == 3
    assert {z.triple.object for z in edit.added} == {"Lisbon"}


def test_facts_are_added_exactly_without_a_model(store, cache) -> None:  # type: ignore[no-untyped-def]
    me = Assistant("ana", store=store, settings=Settings(model="no such model", cache=str(cache)))
    me.add_triples([Triple("Rex", "likes", "carrots"), Triple("Rex", "owner", "Ana")])
    me.add_triples([Triple("Rex", "owner", "Ben")])
    assert objects(me) == {"carrots", "Ben"}
    assert me.add_triples([Triple("Rex", "owner", "Ben")]).id is None


def test_a_fact_is_amended_in_one_edit_without_a_model(store, cache) -> None:  # type: ignore[no-untyped-def]
    me = Assistant("ana", store=store, settings=Settings(model="no such model", cache=str(cache)))
    old, new = Triple("Rex", "owner", "Ana"), Triple("Rex", "owner", "Ben")
    me.add_triples([old, Triple("Rex", "lives in", "Oslo")])
    edit = me.amend(Triple("Rex", "lives in", "Oslo"), new)
    assert [z.triple for z in edit.added] == [new]
    assert {z.triple for z in edit.removed} == {old, Triple("Rex", "lives in", "Oslo")}  # a dog has one owner
    me.undo(edit.id)
    assert objects(me) == {"Ana", "Oslo"}
    with pytest.raises(BadInput, match="same fact"):
        me.amend(old, Triple("rex", "Owner", "ana"))
    with pytest.raises(NotFound, match="not there any more"):
        me.amend(new, old)


def test_an_amended_fact_of_the_base_is_hidden_for_this_user_alone(assistant: Assistant) -> None:
    assistant.amend(Triple("dog", "Desires", "meat"), Triple("dog", "Desires", "lentils"))
    assert "lentils" in {f.triple.object for f in assistant.facts("dog", include_base=True)}
    assert Triple("dog", "Desires", "meat") in [
        f.triple for f in assistant.store.facts("ben", "dog", include_base=True)
    ]


def test_forgetting_removes_the_users_facts_of_an_entity_and_can_be_undone(assistant: Assistant) -> None:
    assistant.add_triples([Triple("Rex", "likes", "carrots"), Triple("Rex", "owner", "Ana")])
    assistant.forget("Rex", "likes")
    assert objects(assistant) == {"Ana"}
    assistant.forget("rex")
    assert objects(assistant) == set()
    assistant.undo()
    assert objects(assistant) == {"Ana"}
    with pytest.raises(NotFound, match="Nothing of yours"):
        assistant.forget("unicorn")


def test_forgetting_a_relation_hides_a_base_fact(assistant: Assistant) -> None:
    assistant.forget("dog", "Desires", "meat")
    assert Triple("dog", "Desires", "meat") not in [f.triple for f in assistant.facts("dog", include_base=True)]


def test_explain_names_facts_probabilities_and_edits(assistant: Assistant) -> None:
    edit = assistant.teach(DOG, VEGETARIAN)
    explanation = assistant.explain("What should I feed my dog?")
    best = explanation.reasons[0]
    assert best.used
    assert best.source == "user"
    assert best.edits == (edit,)
    assert sum(r.candidate.probability for r in explanation.reasons) + explanation.none == pytest.approx(1)
    assert not any(r.used for r in assistant.explain("Where does my dog sleep?").reasons if r.source == "user")


def test_chat_learns_from_a_correction_and_only_from_that(assistant: Assistant) -> None:
    assert assistant.chat(DOG).answer is not None
    turn = assistant.chat("No, my dog is vegetarian.")
    assert turn.edit is not None
    assert turn.text == "Noted: My dog is vegetarian."
    again = assistant.chat("What should I feed my dog?")
    assert again.edit is None
    assert "vegetarian" in again.text
    assert assistant.chat("No, thanks").edit is None


def test_a_correction_without_a_question_before_it_is_a_fact(assistant: Assistant) -> None:
    assert assistant.chat("No, my dog is vegetarian.").edit is not None
    assert objects(assistant) == {"vegetarian"}


def test_an_entity_can_be_named_where_the_text_does_not(assistant: Assistant) -> None:
    assistant.teach("The mother tongue is", "English", subject="Danielle Darrieux")
    assert "English" in assistant.ask("The mother tongue of Danielle Darrieux is").text


@pytest.mark.parametrize(
    ("query", "feedback", "message"),
    [
        ("", "Rex", "query is empty"),
        (" \n\t", "Rex", "query is empty"),
        (DOG, "", "feedback is empty"),
        (DOG, "\x00", "feedback is empty"),
        (DOG, "no", "not what is right"),
        (DOG, "Is it vegetarian?", "is a question"),
        (DOG, "x" * 10_000, "10,000 characters"),
        ("y" * 10_000, "Rex", "10,000 characters"),
        (DOG, "my dog", "repeats the subject"),
    ],
)
def test_bad_input_says_what_to_do_and_changes_nothing(
    assistant: Assistant, query: str, feedback: str, message: str
) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        assistant.teach(query, feedback)
    assert caught.value.hint
    assert assistant.history() == []


@pytest.mark.parametrize("object_", ["🐶🦴", "כלב צמחוני", "tofu\x00\x07 and\trice", "[bold]x[/bold]"])
def test_any_script_and_sign_can_be_taught(assistant: Assistant, object_: str) -> None:
    edit = assistant.teach(DOG, object_)
    (fact,) = [f.triple for f in assistant.facts()]
    assert fact == edit.added[0].triple
    assert "\x00" not in fact.object
    assert assistant.ask(DOG, max_tokens=4).facts[0].triple == fact


def test_no_entity_at_all_asks_for_one(assistant: Assistant) -> None:
    with pytest.raises(BadInput, match="No entity"):
        assistant.teach("How much is it?", "seven")


def test_every_error_of_ours_is_a_kgt_error_with_a_hint(assistant: Assistant) -> None:
    with pytest.raises(KGTError) as caught:
        assistant.undo(99)
    assert caught.value.hint


def test_asking_without_facts_gives_the_models_plain_answer(assistant: Assistant) -> None:
    query = "What is the capital of France?"
    plain = assistant.model.chat([{"role": "user", "content": query}])
    expected = "".join(assistant.model.generate(plain, max_tokens=10)).strip()
    assert assistant.ask(query, max_tokens=10).text == expected


def test_answers_stream_as_they_are_made(assistant: Assistant) -> None:
    pieces: list[str] = []
    answer = assistant.ask("What is the capital of France?", max_tokens=8, on_text=pieces.append)
    assert len(pieces) > 1
    assert "".join(pieces).strip() == answer.text


TEACHER = """
import sys
from kgt import Assistant, Settings
me = Assistant("ana", settings=Settings(db=sys.argv[1], cache=sys.argv[2]))
for i in range(3):
    edit = me.teach(f"Where does Friend{sys.argv[3]}{i} live?", f"Friend{sys.argv[3]}{i} lives in Rome.")
    print(edit.id, flush=True)
me.teach("Where does my sister live?", f"My sister lives in City{sys.argv[3]}.")
"""


def test_four_processes_teaching_one_user_at_once_lose_no_edit(assistant: Assistant, cache, tmp_path) -> None:  # type: ignore[no-untyped-def]
    db = tmp_path / "shared.db"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", TEACHER, str(db), str(cache), str(n)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # four models on few cores: threads would wait for each other
        )
        for n in range(4)
    ]
    ids = [int(line) for worker in workers for line in worker.communicate(timeout=300)[0].split()]
    assert all(worker.returncode == 0 for worker in workers)
    assert len(set(ids)) == 12
    me = Assistant("ana", model=assistant.model, settings=replace(assistant.settings, db=str(db)))
    taught = [f.triple for f in me.facts()]
    assert sum(t.object == "Rome" for t in taught) == 12
    assert sum(t.subject.casefold() == "my sister" for t in taught) == 1  # whoever came last replaced the others
    assert sorted(e.id for e in me.history() if e.id) == list(range(1, len(me.history()) + 1))
    me.store.close()


def test_a_question_about_the_user_is_answered_from_a_thing_of_theirs(assistant: Assistant) -> None:
    assistant.add_triples([Triple("my shift", "begins at", "noon"), Triple("I", "live in", "Cork")])
    explained = assistant.explain("At what time do I start work?")
    assert explained.reasons[0].used
    assert explained.reasons[0].candidate.triple.subject == "my shift"
    assert assistant.explain("In which town do I live?").subject == "I"


def test_what_the_base_knows_of_a_thing_does_not_hang_on_what_the_user_told(assistant: Assistant) -> None:
    before = assistant.explain("Who works in my office?").subject
    assistant.add_triples([Triple("I", "research field", "marine biology")])
    assert assistant.explain("Who works in my office?").subject == before
