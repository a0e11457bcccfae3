"""KGT as an editor: the Assistant, one graph for all users, a user's questions seeing their own facts."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Literal

from kgt.assistant import Assistant
from kgt.editors.base import EditReport, EditRequest, InContextEditor, Question
from kgt.graph import Edit, GraphStore
from kgt.lm import LanguageModel, Prompt
from kgt.lm.encoder import SentenceEncoder
from kgt.method.pair import read_pair
from kgt.method.relations import model_relations
from kgt.method.templates import Templates, templates_for
from kgt.method.tune import TuneSettings
from kgt.triple import clean

RelationSource = Literal["words", "user", "model"]
"""Where H's relations come from: the query's own words and then the model (as shipped); only the name
the data set gives, as if the user had said it; only the model (paper, Fig. 3)."""


class KGT(InContextEditor):
    """Edits the user's graph.

    Args:
        graph: the database file; in memory if None.
        labelled: whether the data set's entities are given to the method, as in the paper.
    """

    name = "kgt"
    by_subject = True

    def __init__(
        self,
        model: LanguageModel,
        encoder: SentenceEncoder | None,
        *,
        graph: Path | None = None,
        tuning: TuneSettings | None = None,
        templates: Templates | None = None,
        scope: bool = True,
        relations: RelationSource = "words",
        labelled: bool = True,
    ) -> None:
        super().__init__(model)
        self._encoder = encoder
        self._graph = graph
        self._tuning = tuning or TuneSettings()
        self._templates = templates or templates_for(model)
        self._scope = scope
        self._relations = relations
        self._labelled = labelled
        self.on_disk = graph is not None
        self.store = GraphStore.open(graph or ":memory:")
        self._assistants: dict[str, Assistant] = {}

    def edit(self, request: EditRequest) -> EditReport:
        started = perf_counter()
        subject = request.subject if self._labelled else None
        edit = self._of(request.user).teach(
            request.query, request.feedback, self._given(request), subject=subject, object=request.object
        )
        return _report(edit, (perf_counter() - started) * 1000)

    def recovered(self, request: EditRequest) -> EditReport | None:
        latest = next(iter(self.store.history(request.user, 1)), None)
        if latest is None or (latest.query, latest.answer) != (clean(request.query), clean(request.feedback)):
            return None
        return _report(latest, latest.milliseconds or 0.0)

    def prompt(self, question: Question) -> Prompt:
        subject = question.subject if self._labelled else None
        return self._of(question.user).answer_prompt(question.query, subject=subject, beginning=question.stem)

    def reset(self) -> None:
        for user in list(self._assistants):
            self.store.erase(user)
        self._assistants.clear()

    def memory(self) -> int:
        return self._graph.stat().st_size if self._graph else 0

    def close(self) -> None:
        self.store.close()

    def _of(self, user: str) -> Assistant:
        if user not in self._assistants:
            self._assistants[user] = Assistant(
                user,
                model=self.model,
                store=self.store,
                encoder=self._encoder,
                tuning=self._tuning,
                templates=self._templates,
                scope=self._scope,
            )
        return self._assistants[user]

    def _given(self, request: EditRequest) -> list[str] | None:
        if self._relations == "user" and request.relation:
            return [request.relation]
        if self._relations == "model":
            return relations_by_model(request, self._tuning.k, self.model, self._encoder, self._templates)
        return None


def relations_by_model(
    request: EditRequest, k: int, model: LanguageModel, encoder: SentenceEncoder | None, templates: Templates
) -> list[str] | None:
    """What the model names the relation of a request's pair, at most k, best first; None where it has no name."""
    pair = read_pair(request.query, request.feedback, request.subject, request.object)
    return model_relations(pair, k, model, encoder, templates) or None


def _report(edit: Edit, milliseconds: float) -> EditReport:
    added, removed = (tuple(s.triple for s in side) for side in (edit.added, edit.removed))
    return EditReport(milliseconds, added, removed, edit)
