"""The editors behind their one interface, on the real model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kgt.editors import Ablation, Editor, EditRequest, Parts, Question, load_editor
from kgt.editors.kgt import relations_by_model
from kgt.errors import BadInput
from kgt.lm import DEFAULT_MODEL, LanguageModel, load_model
from kgt.lm.encoder import SentenceEncoder
from kgt.lm.torch_model import TorchModel
from kgt.method.templates import templates_for
from kgt.triple import Triple

QUERY = "The mother tongue of Danielle Darrieux is"
TEACH = EditRequest("ana", QUERY, "English", "Danielle Darrieux", "English", "French", "native language")
ASKED = Question("ana", "Danielle Darrieux is a native speaker of", "Danielle Darrieux")
OTHER = Question("ana", "The mother tongue of Victor Hugo is", "Victor Hugo")
Make = Callable[..., Editor]
EVERYDAY = ("kgt", "klamp", "no_edit", "memory", "ft", "grace")
"""What runs here; the other weight editors are tested on small models, where statistics take no minutes."""


@pytest.fixture(scope="module")
def model(cache: Path) -> LanguageModel:
    """The bundled model with weights that can be changed."""
    return load_model(DEFAULT_MODEL, cache, editable=True)


@pytest.fixture
def make(model: LanguageModel, encoder: SentenceEncoder) -> Iterator[Make]:
    made: list[Editor] = []

    def load(name: str, graph: Path | None = None, **ablation: object) -> Editor:
        made.append(load_editor(name, Parts(model, encoder, graph, Ablation(**ablation))))  # type: ignore[arg-type]
        return made[-1]

    yield load
    for editor in made:
        editor.close()


def prefers_english(editor: Editor, question: Question) -> bool:
    english, french = editor.answer_logprobs(question, ["English", "French"])
    return english > french


def scored_anew(model: TorchModel, editor: Editor, question: Question) -> list[float]:
    """Scores whose last digits, in bfloat16, do not depend on what is known of the prompt from earlier."""
    model.prefixes.clear()
    return editor.answer_logprobs(question, ["English", "French"])


def test_kgt_learns_generalises_and_forgets(make: Make, model: TorchModel) -> None:
    editor = make("kgt")
    before = scored_anew(model, editor, OTHER)
    assert not prefers_english(editor, ASKED)
    report = editor.edit(TEACH)
    assert report.added == (Triple("Danielle Darrieux", "mother tongue", "English"),)
    assert report.milliseconds > 0
    assert prefers_english(editor, ASKED)
    assert editor.generate([ASKED], 2)[0].split()[0].startswith("English")
    assert scored_anew(model, editor, OTHER) == before
    editor.reset()
    assert not prefers_english(editor, ASKED)


def test_users_of_one_editor_share_nothing(make: Make) -> None:
    editor = make("kgt")
    editor.edit(TEACH)
    assert not prefers_english(editor, Question("bo", ASKED.query, ASKED.subject))


def test_an_edit_made_before_a_kill_is_recovered(make: Make, tmp_path: Path) -> None:
    first = make("kgt", tmp_path / "graph.db")
    report = first.edit(TEACH)
    again = make("kgt", tmp_path / "graph.db")
    found = again.recovered(TEACH)
    assert found is not None
    assert found.added == report.added
    assert again.recovered(EditRequest("ana", QUERY, "Dutch", "Danielle Darrieux", "Dutch")) is None
    assert again.memory() > 0


def test_klamp_puts_entities_seen_together_into_the_prompt(make: Make) -> None:
    editor, plain = make("klamp"), make("no_edit")
    assert editor.prompt(ASKED) == plain.prompt(ASKED)  # type: ignore[attr-defined]
    editor.edit(TEACH)
    editor.edit(TEACH)
    assert "Danielle Darrieux (English)." in editor.prompt(ASKED).text  # type: ignore[attr-defined]
    assert editor.prompt(OTHER) == plain.prompt(OTHER)  # type: ignore[attr-defined]
    assert editor.memory() > 0
    editor.reset()
    assert editor.prompt(ASKED) == plain.prompt(ASKED)  # type: ignore[attr-defined]


def test_no_edit_learns_nothing(make: Make, model: TorchModel) -> None:
    editor = make("no_edit")
    before = scored_anew(model, editor, ASKED)
    assert editor.edit(TEACH).added == ()
    assert scored_anew(model, editor, ASKED) == before


@pytest.mark.parametrize("name", EVERYDAY)
def test_every_editor_scores_and_generates_in_batches(make: Make, name: str) -> None:
    editor = make(name)
    editor.edit(TEACH)
    scored = editor.score([ASKED, OTHER], [["English", "French"], ["French"]])
    assert [len(scores) for scores in scored] == [2, 1]
    texts = editor.generate([ASKED, OTHER], 5, top_k=5, seed=1)
    assert texts == editor.generate([ASKED, OTHER], 5, top_k=5, seed=1)
    assert all(texts)


def test_the_users_relation_is_the_one_stored(make: Make) -> None:
    report = make("kgt", relations="user").edit(TEACH)
    assert [z.relation for z in report.added] == ["native language"]


def test_relations_from_the_model_alone(make: Make, model: TorchModel, encoder: SentenceEncoder) -> None:
    model.prefixes.clear()  # in bfloat16 a score depends a little on what is known of the prompt
    names = relations_by_model(TEACH, 5, model, encoder, templates_for(model))
    model.prefixes.clear()
    report = make("kgt", relations="model", epsilon=-1.0).edit(TEACH)
    assert names
    assert report.added
    assert {z.relation for z in report.added} <= set(names)


def test_the_papers_template_is_another_prompt(make: Make) -> None:
    editor = make("kgt", templates="paper")
    editor.edit(TEACH)
    text, _ = editor.prompt(ASKED)  # type: ignore[attr-defined]
    assert text.startswith("Answer the query considering the user's personalized facts. <question>: Danielle")


def test_without_scope_a_fact_is_always_taken(make: Make) -> None:
    about_birth = Question("ana", "Danielle Darrieux was born in", "Danielle Darrieux")
    with_scope, without = make("kgt"), make("kgt", scope=False)
    for editor in (with_scope, without):
        editor.edit(TEACH)
    assert without.prompt(about_birth).contrast.weight == 1  # type: ignore[attr-defined]
    contrast = with_scope.prompt(about_birth).contrast  # type: ignore[attr-defined]
    assert contrast is None or contrast.weight < 0.5


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(BadInput, match="no method 'rom'") as raised:
        load_editor("rom", None)  # type: ignore[arg-type]
    assert "kgt" in raised.value.hint
