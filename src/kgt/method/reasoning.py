"""P(a|q,z): the answer given facts (Eq. 6), and answering with facts in context (Eq. 1).

The facts stand in the system message. A query that is an unfinished sentence starts the
assistant's own turn, which then finishes it; anything else is the user's turn. Without facts the
prompt is the model's plain one, so answers that no fact concerns stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kgt.lm.base import Contrast, LanguageModel, Message, Request, Scored
from kgt.method.templates import Templates
from kgt.triple import Triple
from kgt.wording import is_unfinished, sentence, sentence_about


def prompt(
    model: LanguageModel,
    templates: Templates,
    query: str,
    subject: str,
    facts: Sequence[Triple] = (),
    *,
    turns: Sequence[Message] = (),
    stem: str = "",
) -> str:
    """The text after which the model answers.

    Args:
        turns: the conversation so far, without this query.
        stem: how the answer is made to begin.
    """
    messages: list[Message] = []
    if facts:
        told = " ".join(sentence(z) for z in facts)
        messages.append({"role": "system", "content": templates.reasoning.format(facts=told)})
    messages += turns
    if is_unfinished(query):
        messages.append({"role": "user", "content": templates.finish_with_facts if facts else templates.finish})
        return model.chat(messages, prefill=sentence_about(query, subject)[1] if subject else query)
    messages.append({"role": "user", "content": query})
    return model.chat(messages, prefill=stem)


def answer_scores(
    model: LanguageModel,
    templates: Templates,
    query: str,
    subject: str,
    facts: Sequence[Triple],
    answers: Sequence[str],
    *,
    stem: str = "",
) -> list[Scored]:
    """Score answers to a query as the assistant would give them: with its facts and its decoding (Eq. 1)."""
    text, contrast = _decoding(model, templates, query, subject, facts, stem=stem)
    return model.logprobs([Request(text, tuple(_joined(text, answer) for answer in answers), contrast)])[0]


def reasoning_probabilities(
    model: LanguageModel,
    templates: Templates,
    query: str,
    subject: str,
    answer: str,
    triples: Sequence[Triple],
    *,
    stem: str = "",
) -> list[float]:
    """P(a|q,z) for each triple alone in the context (Eq. 6), decoded as answers are.

    The answer's probability is the geometric mean over its tokens, in [0, 1].
    """
    requests = []
    for z in triples:
        text, contrast = _decoding(model, templates, query, subject, [z], stem=stem)
        requests.append(Request(text, (_joined(text, answer),), contrast))
    return [scored[0].probability for scored in model.logprobs(requests)]


def generate_answer(
    model: LanguageModel,
    templates: Templates,
    query: str,
    subject: str,
    facts: Sequence[Triple],
    *,
    turns: Sequence[Message] = (),
    max_tokens: int,
    temperature: float = 0.0,
    seed: int | None = None,
) -> Iterator[str]:
    """The answer's text, piece by piece; an unfinished sentence is finished to its end."""
    text, contrast = _decoding(model, templates, query, subject, facts, turns=turns)
    if is_unfinished(query):
        stop: tuple[str, ...] = ("\n", ". ")
    else:
        stop = ("\n",) if facts else ()  # past its first paragraph a contrasted answer drifts
    return model.generate(text, max_tokens=max_tokens, stop=stop, temperature=temperature, seed=seed, contrast=contrast)


def _decoding(
    model: LanguageModel,
    templates: Templates,
    query: str,
    subject: str,
    facts: Sequence[Triple],
    *,
    turns: Sequence[Message] = (),
    stem: str = "",
) -> tuple[str, Contrast | None]:
    text = prompt(model, templates, query, subject, facts, turns=turns, stem=stem)
    if not facts or templates.alpha == 0:
        return text, None
    without = prompt(model, templates, query, subject, turns=turns, stem=stem)
    return text, Contrast(without, templates.alpha, templates.plausibility)


def _joined(prompt: str, answer: str) -> str:
    """The answer as it follows the prompt: after a space where words would otherwise run together."""
    return answer if not prompt or prompt[-1].isspace() else " " + answer
