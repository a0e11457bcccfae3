"""The instructions of the paper as data, one set a model family.

`{facts}`, `{query}`, `{subject}` … are filled in by the modules that use them. The words were
chosen by measurement on CounterFact records outside the reported sample
(docs/decisions/0002-templates.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from kgt.lm.base import LanguageModel


@dataclass(frozen=True, slots=True)
class Templates:
    """The three instructions and how answers are decoded.

    Attributes:
        reasoning: system message holding the facts (the paper's reasoning template).
        finish, finish_with_facts: user message where the query is a sentence to be finished; the
            sentence itself then starts the assistant's turn.
        retrieval: text whose continuation is the relation (the paper's retrieval template).
        relations: what follows the query's plain prompt, which the model has read or reads anyway, and after which
            relation names are scored; filled with the answer.
        raw: a whole prompt with facts and query that takes the place of the chat; "" where there is none.
        raw_relations: the same for relation names (the paper's relation template), filled with K, subject, object,
            query and answer.
        alpha, plausibility: context-aware decoding of answers with facts (see `kgt.lm.base.Contrast`).
    """

    reasoning: str = "Answer the query considering the user's personalized facts. <facts>: {facts}"
    finish: str = "Complete the sentence."
    finish_with_facts: str = "Complete the sentence using the facts."
    retrieval: str = "To answer the query: {query}, I need information {subject}"
    relations: str = "{answer} <relation>:"
    raw: str = ""
    raw_relations: str = ""
    alpha: float = 1.5
    plausibility: float = 0.01


DEFAULT = Templates()
PAPER = Templates(
    raw="Answer the query considering the user's personalized facts. <question>: {query} <facts>: {facts} <answer>:",
    raw_relations=(
        "Based on the provided query and answer, identify {k} types of relationships between the subject"
        " and the object, considering the context of the query and answer."
        " <query>: {query} <answer>: {answer} <subject>: {subject} <object>: {object} <relation>:"
    ),
    alpha=0.0,
)
"""The paper's templates, plain decoding: for the ablation."""
FAMILIES: dict[str, Templates] = {}
"""Model name prefix (lower case) → templates that measured better for that family than the default."""


def templates_for(model: LanguageModel) -> Templates:
    """The templates of the model's family, by the start of its name."""
    name = model.name.rsplit("/", 1)[-1].lower()
    return next((t for prefix, t in FAMILIES.items() if name.startswith(prefix)), DEFAULT)
