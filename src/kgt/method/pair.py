"""A query and its feedback with both entities labelled: the (q, a, e_q, e_a) that the method edits with."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kgt.errors import BadInput
from kgt.triple import clean, entity_key
from kgt.wording import ALSO, Statement, is_question, is_unfinished, relation_in, sentence_about, statement_in, stem

MAX_QUERY = 4000
MAX_FEEDBACK = 1000
"""Longest texts taken, in characters: a fact is a sentence, not a document."""

_MARKER = re.compile(
    r"^(?:(?:no+|nope|nah|wrong|incorrect|actually|sorry|well|not quite|not really|not true|i meant|i mean|in fact"
    r"|(?:that|this|it)(?:['’]s| is| was)?\s*(?:not|n['’]t)?\s*(?:wrong|incorrect|false|right|correct|true|so|it))"
    r"(?=\W|$)[\s,.:;!—–-]*)+",
    re.IGNORECASE,
)
_NO_CORRECTION = re.compile(
    r"(?:thanks?|thank you|problem|worries|need|idea|way|one|more|i(?:['’]m| am) (?:fine|good|done))\b", re.IGNORECASE
)
_NOW = re.compile(
    r"\s*\b(?:right now|nowadays|now|these days|currently|at present|at the moment|from now on|any ?more|any longer)\b",
    re.IGNORECASE,
)
_CHANGE = re.compile(r"\b(?:no longer|instead|changed?|switched|moved|replaced|became|not any ?more)\b", re.IGNORECASE)
_CONTRACTED = {"'m": " am", "'re": " are", "'ve": " have"}
_ALSO = re.compile(rf"\b(?:{ALSO}|in addition|another)\b", re.IGNORECASE)
_PRONOUN = re.compile(r"(?:it|he|she|they)\b['’]?s?\s+", re.IGNORECASE)
_NAME = re.compile(r"(?<=[a-z]\s)[A-Z]\w*(?:\s[A-Z]\w*)*$")
_LEAD = re.compile(
    r"^(?:(?:it|that|he|she|they|the (?:right|correct) answer)(?:['’]s|['’]re| is| are| was)\s+)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One query and the answer its user wants.

    Attributes:
        query: q, cleaned.
        answer: a, the feedback as given, cleaned.
        subject, object: e_q and e_a.
        relations: the relation as the feedback and the query word it, best first.
        stem: how an answering sentence begins ("My sister lives in"), so that P(a|q) can be read
            off the object alone; "" where no such sentence is known.
        adds: whether the feedback says that its fact joins others ("also") and replaces none.
        replaces: whether it says that something changed ("now", "no longer"), so that its fact takes the
            place of any other of the same relation.
    """

    query: str
    answer: str
    subject: str
    object: str
    relations: tuple[str, ...]
    stem: str
    adds: bool = False
    replaces: bool = False


def read_pair(query: str, feedback: str, subject: str, object: str | None = None) -> Pair:
    """Read the entities and the relation out of a query and its feedback.

    Raises:
        BadInput: query or feedback is empty, too long, a question, or says nothing but "no" and no object is given.
    """
    query, answer = checked_query(query), clean(feedback)
    if not answer:
        raise BadInput("The feedback is empty.", "Say what the right answer is.")
    if len(answer) > MAX_FEEDBACK:
        raise BadInput(
            f"The feedback has {len(answer):,} characters; the most is {MAX_FEEDBACK:,}.", "Say the fact in a sentence."
        )
    if is_question(answer):
        raise BadInput(f"The feedback is a question: {answer!r}.", "Say what the right answer is.")
    said = strip_marker(answer) or clean(object or "")
    if not said:
        raise BadInput(f"{answer!r} says that the answer is wrong, not what is right.", "Say what the right answer is.")
    worded = []
    beginning = ""
    said = re.sub(r"['’](?:m|re|ve)\b", lambda m: _CONTRACTED[m.group().replace("’", "'").casefold()], said)
    adds = bool(_ALSO.search(said))
    replaces = not adds and bool(_NOW.search(f"{query} {said}") or _CHANGE.search(said))
    timeless, said = _NOW.sub("", query), clean(_NOW.sub("", said)).strip(" ,") or said
    if adds:
        said = clean(_ALSO.sub("", said)).strip(" ,") or said
    name = _NAME.search(subject)
    if name and re.match(rf"{re.escape(name.group())}\b", said):  # "Bob lives in Oslo", of "my friend Bob"
        said = subject + said[len(name.group()) :]
    pronoun = _PRONOUN.match(said)
    statement = statement_in(f"{subject} {said[pronoun.end() :]}" if pronoun else said, subject)
    if pronoun and statement and statement.relation.casefold() in ("is", "are", "was", "were"):
        statement = None  # "It's Rex" names the object; the query's words name the relation
    if statement and object:
        statement = _cut_at(statement, clean(object))
    if statement:
        worded.append(statement.relation)
        beginning = stem(subject, statement.relation)
    own = relation_in(timeless, subject)
    if own:
        worded.append(own)
    if is_unfinished(query):
        beginning = sentence_about(query, subject)[1]
        worded.reverse()  # the query's words continue as the user will ask again
    elif not beginning and own:
        beginning = stem(subject, own)
    told = object or (statement.object if statement else _LEAD.sub("", said))
    told = clean(told).strip(' .,!;:"“”') or clean(told)
    if entity_key(told) == entity_key(subject):
        raise BadInput(f"The feedback only repeats the subject {subject!r}.", "Say what is true of it.")
    return Pair(query, answer, clean(subject), told, tuple(dict.fromkeys(worded)), beginning, adds, replaces)


def _cut_at(statement: Statement, object: str) -> Statement:
    """A statement whose object is known: what stands before it belongs to the relation ("is a", "is closed on")."""
    at = statement.object.casefold().find(object.casefold())
    lead = statement.object[:at].strip() if at > 0 else ""
    return Statement(f"{statement.relation} {lead}", object) if lead else statement


def checked_query(query: str) -> str:
    """The query, cleaned line by line: where a line ends tells where a sentence starts.

    Raises:
        BadInput: it is empty or longer than MAX_QUERY characters.
    """
    text = "\n".join(filter(None, map(clean, query.splitlines())))
    if not text:
        raise BadInput("The query is empty.", "Ask something.")
    if len(text) > MAX_QUERY:
        raise BadInput(f"The query has {len(text):,} characters; the most is {MAX_QUERY:,}.", "Shorten it.")
    return text


def strip_marker(feedback: str) -> str:
    """Feedback without its "No, …", "Actually, …", "That's wrong, …"."""
    return _MARKER.sub("", clean(feedback)).strip()


def is_correction(message: str) -> bool:
    """Whether a message corrects the last answer: "No, …", "Actually, …", "that's wrong, it's …".

    "No, thanks" and a question ("Actually, what time is it?") do not.
    """
    text = clean(message)
    return bool(_MARKER.match(text)) and not is_question(text) and not _NO_CORRECTION.match(strip_marker(text))
