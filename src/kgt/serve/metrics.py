"""What the server counts, as Prometheus reads it at /metrics: no user's name, no text."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from kgt.assistant import Answer
from kgt.graph import Edit

_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

REQUESTS = Histogram("kgt_request_seconds", "Time of a request.", ["method", "route", "status"], buckets=_SECONDS)
EDIT_SECONDS = Histogram("kgt_edit_seconds", "Time to decide an edit.", buckets=_SECONDS)
EDITS = Counter("kgt_edits", "Edits stored.", ["kind"])
ANSWERS = Counter("kgt_answers", "Questions looked up in a graph.")
NONE = Counter("kgt_answers_without_facts", 'Questions that no fact answers: scope "none".')
FACTS = Counter("kgt_facts_used", "Facts put into the context of an answer.")


def edited(edit: Edit) -> Edit:
    """Count an edit, if it was stored."""
    if edit.id is not None:
        EDITS.labels(edit.kind).inc()
        if edit.milliseconds is not None:
            EDIT_SECONDS.observe(edit.milliseconds / 1000)
    return edit


def answered(answer: Answer) -> Answer:
    """Count the facts of an answer."""
    ANSWERS.inc()
    FACTS.inc(len(answer.facts))
    if not answer.facts:
        NONE.inc()
    return answer
