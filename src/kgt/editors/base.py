"""What the benchmark asks of an editor: take one edit, answer questions, forget everything."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kgt.graph import Edit
from kgt.lm import LanguageModel, Prompt, Scored
from kgt.method.reasoning import answer_prompt, answers_request
from kgt.method.templates import templates_for
from kgt.triple import Triple


@dataclass(frozen=True, slots=True)
class EditRequest:
    """One pair to learn, with its entities labelled.

    Attributes:
        user: whose it is.
        query: q; the subject stands in it, or it is about the user ("I").
        feedback: what the user says, from the object alone ("Antarctica") to a sentence ("No, …").
        subject, object: e_q and e_a, the object being the answer wanted.
        former: the answer to be replaced.
        relation: the data set's own name for the relation ("native language"), "" if it has none.
        stem: how the answer begins when the query is asked, "" where that is an unfinished sentence.
    """

    user: str
    query: str
    feedback: str
    subject: str
    object: str
    former: str = ""
    relation: str = ""
    stem: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask after the edits.

    Attributes:
        subject: its entity, where the data set labels it; None lets the editor find it.
        stem: how the answer begins, "" where the query is itself an unfinished sentence.
    """

    user: str
    query: str
    subject: str | None = None
    stem: str = ""


@dataclass(frozen=True, slots=True)
class EditReport:
    """What an edit did.

    Attributes:
        milliseconds: from the feedback's arrival until the next answer sees it.
        removed: facts of a memory that are no longer active.
        edit: the edit of the graph, where the editor has one, so that it can be stored elsewhere.
        refused: why nothing was learnt, "" otherwise.
    """

    milliseconds: float
    added: tuple[Triple, ...] = ()
    removed: tuple[Triple, ...] = ()
    edit: Edit | None = None
    refused: str = ""


class Editor(ABC):
    """One way of editing a model.

    Attributes:
        name: as given on the command line.
        by_subject: whether edits of different subjects never touch one another, so that they may
            be made in different processes and their graphs joined.
        on_disk: whether edits outlive the process.
    """

    name: str
    by_subject: bool = False
    on_disk: bool = False

    @abstractmethod
    def edit(self, request: EditRequest) -> EditReport:
        """Learn one pair; it is in effect when this returns."""

    @abstractmethod
    def score(self, questions: Sequence[Question], answers: Sequence[Sequence[str]]) -> list[list[Scored]]:
        """Score each question's candidate answers as the edited model would give them; one batch."""

    @abstractmethod
    def generate(self, questions: Sequence[Question], max_tokens: int, *, top_k: int = 1, seed: int = 0) -> list[str]:
        """What the edited model says after each question; greedy for top_k = 1."""

    @abstractmethod
    def reset(self) -> None:
        """Forget every edit."""

    def answer_logprobs(self, question: Question, candidates: Sequence[str]) -> list[float]:
        """Mean token log-probability of each candidate answer to one question."""
        return [scored.mean for scored in self.score([question], [candidates])[0]]

    def recovered(self, request: EditRequest) -> EditReport | None:
        """What the latest edit did, if it was this one: made, but not written down when a run was killed."""
        return None

    def memory(self) -> int:
        """Bytes that the edits take, beyond the model itself."""
        return 0

    def state(self) -> dict[str, Any] | None:
        """What was learnt, in a form that torch.save keeps; None where learning it again is as quick."""
        return None

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027 - see `state`
        """Go on from a state of an editor with the same settings on the same model."""

    def close(self) -> None:  # noqa: B027 - most editors have nothing to let go of
        """Let go of files and connections."""


class InContextEditor(Editor):
    """An editor that leaves the model alone and changes the prompt."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @abstractmethod
    def prompt(self, question: Question) -> Prompt:
        """What the model answers the question from."""

    def score(self, questions: Sequence[Question], answers: Sequence[Sequence[str]]) -> list[list[Scored]]:
        return self.model.logprobs(
            [answers_request(self.prompt(q), candidates) for q, candidates in zip(questions, answers, strict=True)]
        )

    def generate(self, questions: Sequence[Question], max_tokens: int, *, top_k: int = 1, seed: int = 0) -> list[str]:
        return self.model.generate_many(
            [self.prompt(q) for q in questions], max_tokens=max_tokens, top_k=top_k, seed=seed
        )


class PlainEditor(InContextEditor):
    """An editor whose model answers from the question alone, asked as the unedited model is."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self._templates = templates_for(model)

    def prompt(self, question: Question) -> Prompt:
        subject = question.subject or ""
        return answer_prompt(self.model, self._templates, question.query, subject, (), stem=question.stem)
