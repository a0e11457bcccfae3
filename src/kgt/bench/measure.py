"""Ask one editor everything about some cases, and write down what it answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from time import perf_counter
from typing import Any, NamedTuple

from kgt.bench.case import Case, Probe
from kgt.bench.metrics import Heard, ngram_entropy, of_case, prefers_new, reference_score
from kgt.bench.snippets import Snippets
from kgt.editors import Editor, EditReport, Question
from kgt.errors import BadInput, ModelError

FORMER_TOKENS = 4
"""Tokens of the model's own answer that must stay for it to count as unchanged."""
ROUNDING = 0.25
"""Nats by which a token may lie behind the likeliest and still count as the same answer: what padding to another
length changes in bfloat16."""
TEXT_TOKENS = 85
"""Tokens of a text written for GE; with CounterFact's generation prompts about ROME's 100 in all."""
TOP_K = 5
"""ROME draws generated tokens from the five likeliest."""

Key = tuple[str, str]
"""A question's query and stem: what the model's own answer to it depends on."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is asked beyond each case's own probes.

    Attributes:
        former: the unedited model's greedy answers to the locality questions.
        updated_by: outdated case → the case that makes it so.
        fluency: the cases for which texts are generated.
        batch: most questions in one call.
    """

    former: Mapping[Key, str]
    updated_by: Mapping[str, Case]
    fluency: frozenset[str] = frozenset()
    snippets: Snippets | None = None
    batch: int = 32


def learn(editor: Editor, case: Case) -> EditReport:
    """Make one edit; one that the editor refuses is reported, and the run goes on."""
    started = perf_counter()
    try:
        return editor.edit(case.request)
    except BadInput as error:
        return EditReport((perf_counter() - started) * 1000, refused=str(error))


def evaluate(editor: Editor, cases: Sequence[Case], how: Evaluation) -> list[dict[str, Any]]:
    """One line a case: its metrics and the answers they come from.

    Raises:
        ModelError: out of memory; says which batch and what to lower.
    """
    asked: list[Asked] = []
    for case in cases:
        for probe in (case.rewrite, *case.paraphrases):
            asked.append(Asked(_question(case, probe), probe.new, probe.true))
        for probe in (*case.neighbourhood, *case.same_subject):
            asked.append(Asked(_question(case, probe), probe.new, probe.true, how.former[key(probe)]))
        if case.case_id in how.updated_by:
            later = how.updated_by[case.case_id].request.object
            asked.append(Asked(_question(case, case.rewrite), later, case.request.object))
    heard = iter(_ask(editor, asked, how.batch))
    lines = []
    for case in cases:
        rewrite, *paraphrases = (next(heard) for _ in (case.rewrite, *case.paraphrases))
        neighbourhood = [next(heard) for _ in case.neighbourhood]
        same_subject = [next(heard) for _ in case.same_subject]
        line: dict[str, Any] = {"case_id": case.case_id}
        if case.updates:
            line["updates"] = case.updates
        if case.superseded:
            line["superseded"] = True
        if case.case_id in how.updated_by:
            line["old_query_prefers_update"] = prefers_new(next(heard))
        line["metrics"] = of_case(rewrite, paraphrases, neighbourhood, same_subject)
        if case.case_id in how.fluency:
            line["metrics"] |= _text_metrics(editor, case, how)
        line["heard"] = {
            "rewrite": rewrite,
            "paraphrases": paraphrases,
            "neighbourhood": neighbourhood,
            "same_subject": same_subject,
        }
        lines.append(line)
    return lines


def former_answers(plain: Editor, cases: Iterable[Case], batch: int, step: Callable[[int], None]) -> dict[Key, str]:
    """What the unedited model says to every locality question: its greedy answer's first tokens.

    An answer counts only if scoring it confirms it: cut to one word if the whole is not, and else "",
    which leaves the question out.

    Args:
        step: told how many questions were answered.
    """
    probes = {key(p): _question(c, p) for c in cases for p in (*c.neighbourhood, *c.same_subject)}
    # Alike lengths share a batch, so that little is padded.
    ordered = sorted(probes, key=lambda k: len(k[0]) + len(k[1]))
    found: dict[Key, str] = {}
    for start in range(0, len(ordered), batch):
        keys = ordered[start : start + batch]
        questions = [probes[k] for k in keys]
        with out_of_memory_told(len(keys)):
            answers = [" ".join(text.split()) for text in plain.generate(questions, FORMER_TOKENS)]
            candidates = [[a, a.split()[0]] if a else ["?"] for a in answers]
            scored = plain.score(questions, candidates)
        for k, texts, scores in zip(keys, candidates, scored, strict=True):
            found[k] = next((text for text, s in zip(texts, scores, strict=True) if s.behind <= ROUNDING / 2), "")
        step(len(keys))
    return found


def key(probe: Probe) -> Key:
    """What a probe's former answer is kept under."""
    return probe.query, probe.stem


class out_of_memory_told:  # noqa: N801 - reads as a statement
    """Turns running out of memory into an error that says what to lower."""

    def __init__(self, questions: int) -> None:
        self._questions = questions

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        full = isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error).lower())
        if full:
            raise ModelError(
                f"Out of memory on a batch of {self._questions} questions.",
                "Lower --batch, or take fewer --workers; what was measured is kept, the same command goes on from it.",
            ) from error


def _question(case: Case, probe: Probe) -> Question:
    return Question(case.request.user, probe.query, probe.subject, probe.stem)


class Asked(NamedTuple):
    """A question and the answers to score; an empty one is not asked for."""

    question: Question
    new: str
    true: str = ""
    former: str = ""


def _ask(editor: Editor, asked: Sequence[Asked], batch: int) -> list[Heard]:
    ordered = sorted(range(len(asked)), key=lambda i: len(asked[i].question.query) + len(asked[i].question.stem))
    heard: dict[int, Heard] = {}
    for start in range(0, len(ordered), batch):
        rows = ordered[start : start + batch]
        with out_of_memory_told(len(rows)):
            scored = editor.score(
                [asked[i].question for i in rows],
                [list(dict.fromkeys(filter(None, asked[i][1:]))) for i in rows],
            )
        for i, found in zip(rows, scored, strict=True):
            by_answer = dict(zip(dict.fromkeys(filter(None, asked[i][1:])), found, strict=True))
            new, true, former = (by_answer.get(answer) for answer in asked[i][1:])
            assert new is not None
            heard[i] = Heard(
                round(new.mean, 5),
                round(true.mean, 5) if true else None,
                new.greedy,
                bool(true and true.greedy),
                former.behind <= ROUNDING if former else None,
            )
    return [heard[i] for i in range(len(asked))]


def _text_metrics(editor: Editor, case: Case, how: Evaluation) -> dict[str, float]:
    if not case.generation_prompts:
        return {}
    questions = [Question(case.request.user, p, case.request.subject) for p in case.generation_prompts]
    with out_of_memory_told(len(questions)):
        written = editor.generate(questions, TEXT_TOKENS, top_k=TOP_K, seed=int(case.case_id))
    texts = [q.query + text for q, text in zip(questions, written, strict=True)]
    found = {"GE": fmean(map(ngram_entropy, texts))}
    if how.snippets and (reference := how.snippets.about(case.relation_id, case.target_id)):
        found["RS"] = reference_score(texts, reference, how.snippets.vocabulary, how.snippets.idf)
    return found
