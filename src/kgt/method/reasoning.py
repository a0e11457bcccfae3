"""P(a|q,z): the answer given facts (Eq. 6), and answering with facts in context (Eq. 1).

The facts stand in the system message. A query that is an unfinished sentence starts the
assistant's own turn, which then finishes it; anything else is the user's turn. Without facts the
prompt is the model's plain one, so answers that no fact concerns stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kgt.lm.base import Contrast, LanguageModel, Message, Prompt, Request, Scored
from kgt.method.templates import Templates
from kgt.triple import Triple
from kgt.wording import is_unfinished, sentence, sentence_about


def prompt(
    model: LanguageModel,
    templates: Templates,
    query: str,
    facts: Sequence[Triple] = (),
    *,
    turns: Sequence[Message] = (),
    stem: str = "",
) -> str:
    """The text after which the model answers.

    Args:
        turns: the conversation so far, without this query; a system message first, if there is one.
        stem: how the answer is made to begin.
    """
    messages: list[Message] = []
    told = " ".join(sentence(z) for z in facts)
    if facts and templates.raw:
        return templates.raw.format(query=query, facts=told) + (f" {stem}" if stem else "")
    if facts:
        told = templates.reasoning.format(facts=told)
        if turns and turns[0]["role"] == "system":
            told, turns = f"{turns[0]['content']}\n\n{told}", turns[1:]
        messages.append({"role": "system", "content": told})
    messages += turns
    if is_unfinished(query):
        messages.append({"role": "user", "content": templates.finish_with_facts if facts else templates.finish})
        return model.chat(messages, prefill=query)
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
    weight: float = 1.0,
    stem: str = "",
) -> list[Scored]:
    """Score answers to a query as the assistant would give them: with its facts and its decoding (Eq. 1)."""
    start = answer_prompt(model, templates, query, subject, facts, weight=weight, stem=stem)
    return model.logprobs([answers_request(start, answers)])[0]


def answers_request(start: Prompt, answers: Sequence[str]) -> Request:
    """The request that scores answers after a prompt."""
    return Request(start.text, tuple(joined(start.text, answer) for answer in answers), start.contrast)


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
        requests.append(answers_request(answer_prompt(model, templates, query, subject, [z], stem=stem), [answer]))
    return [scored[0].probability for scored in model.logprobs(requests)]


def generate_answer(
    model: LanguageModel,
    templates: Templates,
    query: str,
    subject: str,
    facts: Sequence[Triple],
    *,
    weight: float = 1.0,
    turns: Sequence[Message] = (),
    max_tokens: int,
    temperature: float = 0.0,
    seed: int | None = None,
) -> Iterator[str]:
    """The answer's text, piece by piece; an unfinished sentence is finished to its end."""
    text, contrast = answer_prompt(model, templates, query, subject, facts, weight=weight, turns=turns)
    if is_unfinished(query):
        stop: tuple[str, ...] = ("\n", ". ")
    else:
        stop = ("\n",) if facts else ()  # past its first paragraph a contrasted answer drifts
    return model.generate(text, max_tokens=max_tokens, stop=stop, temperature=temperature, seed=seed, contrast=contrast)


def answer_prompt(
    model: LanguageModel,
    templates: Templates,
    query: str,
    subject: str,
    facts: Sequence[Triple],
    *,
    weight: float = 1.0,
    turns: Sequence[Message] = (),
    stem: str = "",
) -> Prompt:
    """What the model answers from: the prompt with its facts, contrasted and mixed with the one without them.

    Args:
        weight: probability that the query asks for the facts, the rest being that of "none" (Eq. 1).
    """
    if facts and is_unfinished(query):
        query = sentence_about(query, subject)[1]
    text = prompt(model, templates, query, facts, turns=turns, stem=stem)
    if not facts or (templates.alpha == 0 and weight == 1):
        return Prompt(text)
    without = prompt(model, templates, query, turns=turns, stem=stem)
    return Prompt(text, Contrast(without, templates.alpha, templates.plausibility, weight))


def joined(prompt: str, answer: str) -> str:
    """The answer as it follows the prompt: after a space where words would otherwise run together."""
    return answer if not prompt or prompt[-1].isspace() else " " + answer
