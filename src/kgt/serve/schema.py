"""What goes in and out over HTTP, as JSON."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from kgt.assistant import Answer, Explanation
from kgt.graph import Edit, Fact, ScoredTriple
from kgt.method.retrieval import Candidate
from kgt.triple import MAX_LENGTH, Triple

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Model(BaseModel):
    """Unknown fields are refused: a misspelt option would be ignored in silence."""

    model_config = ConfigDict(extra="forbid")


class TripleModel(Model):
    subject: Name = Field(examples=["my dog"])
    relation: Name = Field(examples=["is"])
    object: Name = Field(examples=["vegetarian"])

    def triple(self) -> Triple:
        return Triple(self.subject, self.relation, self.object)


class FactModel(TripleModel):
    source: Literal["base", "user"] = Field(description="Shared by all, or this user's own.", examples=["user"])
    edit: int | None = Field(None, description="The edit that put it there.", examples=[1])
    query: str = Field("", description="The question that edit answered.", examples=["What does my dog eat?"])

    @classmethod
    def of(cls, fact: Fact) -> Self:
        z = fact.triple
        return cls(
            subject=z.subject, relation=z.relation, object=z.object,
            source=fact.source, edit=fact.edit_id, query=fact.query,
        )  # fmt: skip


class ScoredModel(TripleModel):
    reasoning: Probability | None = Field(None, description="P(a|q,z) when the edit was made.", examples=[0.94])
    retrieval: Probability | None = Field(None, description="P(z|q) when the edit was made.", examples=[0.86])

    @classmethod
    def of(cls, part: ScoredTriple) -> Self:
        z = part.triple
        return cls(
            subject=z.subject, relation=z.relation, object=z.object,
            reasoning=part.reasoning, retrieval=part.retrieval,
        )  # fmt: skip


class UsedModel(TripleModel):
    probability: Probability = Field(description="P(z|q).", examples=[0.83])

    @classmethod
    def of(cls, candidate: Candidate) -> Self:
        z = candidate.triple
        return cls(subject=z.subject, relation=z.relation, object=z.object, probability=candidate.probability)


_SHARED = {"subject": "dog", "relation": "CapableOf", "object": "eat meat"}


class EditModel(BaseModel):
    """One change of the user's graph."""

    id: int | None = Field(description="None where nothing was stored: known already, or a dry run.", examples=[1])
    time: datetime | None = Field(examples=["2026-01-31T12:00:00Z"])
    kind: str = Field(examples=["teach"])
    query: str = Field(examples=["What does my dog eat?"])
    answer: str = Field(examples=["No, my dog is vegetarian."])
    added: list[ScoredModel]
    removed: list[ScoredModel] = Field(examples=[[_SHARED | {"reasoning": 0.0, "retrieval": 0.61}]])
    loss_before: float | None = Field(description="Eq. 7 before the edit; None where it was infinite.", examples=[None])
    loss_after: float | None = Field(examples=[0.212])
    stop_reason: str = Field(examples=["loss"])
    milliseconds: float | None = Field(examples=[105.2])
    model: str = Field(examples=["smollm2-135m"])
    said_by: str = Field(examples=["ana"])
    undoes: int | None = Field(description="The edit that this one reverses.", examples=[None])

    @classmethod
    def of(cls, edit: Edit) -> Self:
        return cls(
            id=edit.id, time=edit.time, kind=edit.kind, query=edit.query, answer=edit.answer,
            added=[ScoredModel.of(part) for part in edit.added],
            removed=[ScoredModel.of(part) for part in edit.removed],
            loss_before=_finite(edit.loss_before), loss_after=_finite(edit.loss_after),
            stop_reason=edit.stop_reason, milliseconds=edit.milliseconds, model=edit.model,
            said_by=edit.said_by, undoes=edit.undoes,
        )  # fmt: skip


class AnswerModel(BaseModel):
    query: str = Field(examples=["What should I feed my dog?"])
    text: str = Field(examples=["Your dog would like a vegetarian diet."])
    subject: str = Field(description="The entity the question is about.", examples=["my dog"])
    facts: list[UsedModel] = Field(description="The facts that decided the answer.")
    none: Probability = Field(description="Probability that no stored fact answers the question.", examples=[0.11])

    @classmethod
    def of(cls, answer: Answer) -> Self:
        return cls(
            query=answer.query, text=answer.text, subject=answer.subject,
            facts=[UsedModel.of(c) for c in answer.facts], none=answer.retrieval.none,
        )  # fmt: skip


class ReasonModel(UsedModel):
    used: bool = Field(examples=[True])
    source: str = Field(examples=["user"])
    edits: list[int] = Field(description="The edits that made the fact.", examples=[[1]])


class ExplanationModel(BaseModel):
    query: str = Field(examples=["What should I feed my dog?"])
    subject: str = Field(examples=["my dog"])
    linked_by: str = Field(description="How the question's entity was found.", examples=["possession"])
    none: Probability = Field(description="Probability that no stored fact answers the question.", examples=[0.11])
    reasons: list[ReasonModel]

    @classmethod
    def of(cls, why: Explanation) -> Self:
        reasons = [
            ReasonModel(
                **UsedModel.of(r.candidate).model_dump(),
                used=r.used, source=r.source, edits=[e.id for e in r.edits if e.id is not None],
            )
            for r in why.reasons
        ]  # fmt: skip
        return cls(query=why.query, subject=why.subject, linked_by=why.linked_by, none=why.none, reasons=reasons)


class AskModel(Model):
    query: Text = Field(examples=["What should I feed my dog?"])
    subject: Name | None = Field(None, description="The entity it is about, if it is not found by itself.")
    max_tokens: int | None = Field(None, ge=1, le=4096)
    temperature: float = Field(0.0, ge=0, le=2)
    seed: int | None = Field(None, ge=0, lt=2**63)


class TeachModel(Model):
    query: Text = Field(examples=["What does my dog eat?"])
    feedback: Text = Field(examples=["No, my dog is vegetarian."])
    relations: list[Name] = Field([], max_length=20, description="The user's own names for the relation.")
    subject: Name | None = None
    object: Name | None = None
    dry_run: bool = Field(False, description="Decide, but store nothing.")


class AddModel(Model):
    triples: list[TripleModel] = Field(min_length=1, max_length=10_000)
    dry_run: bool = False


class Facts(BaseModel):
    items: list[FactModel]
    next: int | None = Field(None, description="The offset of the next page, if there is one.", examples=[None])


class Edits(BaseModel):
    items: list[EditModel]
    next: int | None = Field(None, description="`before` of the next page, if there is one.", examples=[None])


class Me(BaseModel):
    user: str = Field(examples=["ana"])
    trusted: bool = Field(description="May act for other users.", examples=[False])
    edits: int = Field(description="How many edits there are.", examples=[1])


class Everything(BaseModel):
    """All that is stored about a user."""

    user: str = Field(examples=["ana"])
    facts: list[FactModel]
    edits: list[EditModel]
    keys: list[dict[str, Any]] = Field(description="Names and times of the user's API keys.", examples=[[]])


class Erased(BaseModel):
    erased: str = Field(examples=["ana"])


def _finite(loss: float | None) -> float | None:
    return loss if loss is not None and math.isfinite(loss) else None
