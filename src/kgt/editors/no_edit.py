"""The model as it is: what every edit is compared with."""

from __future__ import annotations

from kgt.editors.base import EditReport, EditRequest, InContextEditor, Question
from kgt.lm import LanguageModel, Prompt
from kgt.method.reasoning import answer_prompt
from kgt.method.templates import templates_for


class NoEdit(InContextEditor):
    """Learns nothing."""

    name = "no_edit"

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self._templates = templates_for(model)

    def edit(self, request: EditRequest) -> EditReport:
        return EditReport(0.0)

    def prompt(self, question: Question) -> Prompt:
        subject = question.subject or ""
        return answer_prompt(self.model, self._templates, question.query, subject, (), stem=question.stem)

    def reset(self) -> None:
        pass
