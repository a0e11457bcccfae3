"""A benchmark case: one edit and everything asked after it, whatever data set it came from."""

from __future__ import annotations

from dataclasses import dataclass

from kgt.editors import EditRequest


@dataclass(frozen=True, slots=True)
class Probe:
    """One question with the two answers that compete.

    Attributes:
        new: the answer the edit teaches.
        true: the answer that competes with it: the former one, or the right one of another entity
            or relation; "" where only the model's own answer matters.
        subject: its entity where it is labelled.
        stem: how the answer begins; "" where the query is an unfinished sentence.
    """

    query: str
    new: str
    true: str = ""
    subject: str | None = None
    stem: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One record.

    Attributes:
        rewrite: the taught query.
        paraphrases: the same question in other words.
        neighbourhood: questions about other entities.
        same_subject: questions about another relation of the edited entity.
        generation_prompts: beginnings of texts about the subject, for GE and RS.
        relation_id: Wikidata's property, "" where unknown.
        target_id: Wikidata's item of the new answer, "" where unknown.
        updates: the case whose fact this one makes outdated.
        superseded: whether a later case makes this one's fact outdated.
    """

    case_id: str
    request: EditRequest
    rewrite: Probe
    paraphrases: tuple[Probe, ...] = ()
    neighbourhood: tuple[Probe, ...] = ()
    same_subject: tuple[Probe, ...] = ()
    generation_prompts: tuple[str, ...] = ()
    relation_id: str = ""
    target_id: str = ""
    updates: str = ""
    superseded: bool = False
