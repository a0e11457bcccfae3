"""Subject, relation and object of the plain statements in a message."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kgt.errors import BadInput
from kgt.triple import Triple, entity_key
from kgt.wording import ALSO, Statement, is_verb, statement_in

MOST = 8
"""Most statements taken from one message."""
LONGEST = 400
"""Characters of a sentence that is read; a longer one is no plain statement."""

ATTRIBUTES = re.compile(
    r"(?:first |last |middle |phone |email |home |favou?rite |research |mother |native )*(?:name|nickname"
    r"|surname|birthday|age|job|profession|occupation|address|number|email|colou?r|size|weight|height|breed"
    r"|diet|hobby|film|movie|book|drink|food|dish|song|band|team|sport|season|animal|field|tongue|language"
    r"|nationality|religion|title|salary|shift|schedule|password|blood type|star sign|pronouns|initials"
    r"|home town|hometown)"
)
"""Nouns that say something of their owner, rather than name a thing or a person of theirs."""

_SPELT_OUT = (
    (re.compile(r"\b[iI]['’]?m\b"), "I am"),
    (re.compile(r"\b[iI]['’]ve\b"), "I have"),
    (re.compile(r"\bi\b"), "I"),
    (re.compile(r"\b(we|they)['’]re\b", re.IGNORECASE), r"\1 are"),
    (re.compile(r"\b(we|they)['’]ve\b", re.IGNORECASE), r"\1 have"),
    (re.compile(r"\b(he|she|it)['’]s\b", re.IGNORECASE), r"\1 is"),
)
_AUX = frozenset(
    (
        "am is are was were be have has had do does did can cannot can't don't doesn't didn't isn't aren't "
        "wasn't weren't "
        "haven't hasn't dont doesnt isnt cant don’t doesn’t isn’t can’t never always usually often also no "
        "now only still "
        "really just currently already"
    ).split()
)
_WHEN = (
    r"(?:in (?:january|february|march|april|may|june|july|august|september|october|november|december|\d{4}"
    r"|spring|summer|autumn|winter)|(?:last|this) (?:week|month|year|night|spring|summer|autumn|winter|monday"
    r"|tuesday|wednesday|thursday|friday|saturday|sunday)|yesterday|today|now|nowadays|these days|currently"
    r"|from now on|recently|at the moment|since \w+|\w+ (?:days?|weeks?|months?|years?) ago|as well|too|though"
    r"|any ?more|by the way|btw)"
)
_ENDS_IN_TIME = re.compile(rf"[\s,]+{_WHEN}[\s.!,]*$", re.IGNORECASE)
_BEGINS_WITH_TIME = re.compile(rf"^{_WHEN}[\s,]+", re.IGNORECASE)
_ALSO = re.compile(rf"\b(?:{ALSO})\b", re.IGNORECASE)
_CHANGED = re.compile(
    r"\b(?:now|nowadays|these days|from now on|currently|switched|changed|moved|no longer|not any ?more|instead)\b",
    re.IGNORECASE,
)
_SAME_SUBJECT = re.compile(r"^(?:he|she|it|they)\s+", re.IGNORECASE)
_NOT_BUT = re.compile(r"(?:,|,?\s+(?:and|but))\s+not (?:in |on |at |a |an |the )?[\w ]+$", re.IGNORECASE)


_ASIDE = re.compile(
    r",?\s+(?:because|since (?=I|i|my|the)|so (?=please|I|i|we|no|use|don't|it)|while|although|though (?=I|i))\b.*$"
    r"|,\s+(?:who|which|that['’]s|none|no kidding|actually|for (?=religious|medical|future)|really|please|lol|haha"
    r"|thanks|as I|if)\b.*$|\s+(?:lol|btw|tbh|haha+|please)$"
)
"""What follows the statement in its clause: a reason, a consequence, a relative clause, an interjection."""


@dataclass(frozen=True, slots=True)
class Said:
    """One statement.

    Attributes:
        adds: it joins others of its relation ("also").
        replaces: it says that something changed ("now"), so that it takes the place of others.
        text: the sentence, as it was read.
    """

    triple: Triple
    adds: bool = False
    replaces: bool = False
    text: str = ""


def statements(sentences: Iterable[str]) -> list[Said]:
    """What plain sentences state; one that is not of the form subject, verb, object is passed over.

    >>> [str(said.triple) for said in statements(["My dog is called Bella and she loves carrots."])]
    ['(my dog, is called, Bella)', '(my dog, loves, carrots)']
    """
    found: list[Said] = []
    subject = ""
    for sentence in sentences:
        if len(sentence) > LONGEST:
            continue
        for clause in _clauses(sentence):
            said, subject = _read(clause, subject)
            if said and len(found) < MOST:
                found.append(said)
    return found


def _clauses(sentence: str) -> list[str]:
    """A sentence cut at each "and" after which another statement begins."""
    parts: list[str] = []
    for piece in re.split(r",?\s+and\s+", sentence):
        words = piece.split()
        first = words[0].casefold() if words else ""
        starts = first in ("i", "we", "my", "our", "he", "she", "it", "they") or (first.endswith("s") and _verb(first))
        if parts and not starts:
            parts[-1] += f" and {piece}"
        else:
            parts.append(piece)
    parts = [c for part in parts for c in re.split(r"(?:,|,?\s+but)\s+(?=(?:I|i|we|my|our|he|she)\b)", part)]
    return [_ASIDE.sub("", part) for part in parts]


def _read(clause: str, before: str) -> tuple[Said | None, str]:
    """The statement in a clause and its subject, which the next clause's "she" means."""
    text = clause.strip().rstrip(".!").strip()
    for pattern, plain in _SPELT_OUT:
        text = pattern.sub(plain, text)
    adds, changed = bool(_ALSO.search(text)), bool(_CHANGED.search(text))
    text = _NOT_BUT.sub("", _without_time(text))
    if adds:
        text = " ".join(_ALSO.sub("", text).split())
    pronoun = _SAME_SUBJECT.match(text)
    if pronoun:
        if entity_key(before) in ("i", "we"):
            return None, before  # "we had to rehome Bruno, he is …": not we
        text = f"{before} {text[pronoun.end() :]}" if before else ""
    elif before and _verb(text.split()[0] if text else ""):
        text = f"{before} {text}"
    subject = _subject(text)
    if not subject:
        return None, before
    if subject.startswith(("My ", "Our ", "We")):
        subject = subject[0].lower() + subject[1:]
    text = re.sub(rf"^({re.escape(subject)}(?:\s+\w+)?)\s+now\b", r"\1", text, flags=re.IGNORECASE)
    statement = statement_in(text, subject) or _any_verb(text, subject)
    if not statement or not re.search(r"\w", statement.object):
        return None, subject
    try:
        triple = Triple(subject, *_tidied(statement))
    except BadInput:
        return None, subject
    return Said(triple, adds, changed and not adds, clause), subject


def _without_time(text: str) -> str:
    before = ""
    while text != before:
        before, text = text, _BEGINS_WITH_TIME.sub("", _ENDS_IN_TIME.sub("", text))
    return re.sub(r"\b(am|is|are)\s+now\b", r"\1", text)


def _subject(text: str) -> str:
    """The user, something of theirs, or a name, that a sentence begins with or speaks of ("The vet of my "
    "cat"); or ""."""
    words = text.split()
    if len(words) < 2:
        return ""
    first = words[0].casefold()
    if first in ("i", "we"):
        return words[0]
    of = re.match(r"the\s+\w+(?:\s+\w+)?\s+of\s+((?:my|our)\s+\w+)\s+(?:is|are|was|were)\s", text, re.IGNORECASE)
    if of:
        return of.group(1)
    if first in ("my", "our"):
        return _thing(words)
    name = re.match(r"[^\W\d_][\w'’-]*(?:\s+[A-Z][\w'’-]*)*", text)
    if not name or not name.group()[0].isupper():
        return ""
    rest = text[name.end() :].split()
    return name.group() if rest and _verb(rest[0]) and first not in _AUX | _NO_NAME else ""


_NO_NAME = frozenset(
    (
        "the a an this that these those there here it he she they you your his her its their what who where "
        "when why how "
        "which if but and or so as for in on at to of with no not yes every some any all most one people someone "
        "everyone nobody something nothing everything kindly please incidentally anyway actually"
    ).split()
)


def _thing(words: list[str]) -> str:
    """The user's thing that words beginning with "my" name; "I" where they name an attribute of the user's."""
    name = [words[0]]
    for i, word in enumerate(words[1:], 1):
        owner = re.sub(r"['’]s?$", "", word)
        if i > 1 and (word.casefold() in _AUX or _verb(word)):
            break
        name.append(word)
        rest = " ".join(words[i + 1 :])
        if owner != word and re.match(rf"{ATTRIBUTES.pattern}\s+(?:is|are|was|were)\b", rest, re.IGNORECASE):
            return " ".join([*name[:-1], owner])
    else:  # no verb that is known: "My greenhouse faces north"
        end = next((i for i in range(2, len(words) - 1) if re.fullmatch(r"[a-z]+[^s']s", words[i])), 0)
        return " ".join(words[:end])
    attribute = re.fullmatch(ATTRIBUTES.pattern, " ".join(name[1:]), re.IGNORECASE)
    return "I" if attribute and words[len(name)].casefold() in ("is", "are", "was", "were") else " ".join(name)


def _verb(word: str) -> bool:
    word = word.casefold().strip(".,;:!")
    return word in _AUX or word in _PAST or is_verb(word)


_PAST = frozenset(
    (
        "fought broke sold quit won cut hurt fell threw spent sent meant lost paid swam rang slept kept dealt stole "
        "hates owes breeds grows lent bred forgot froze shot stood stuck struck wed hosts co-owns coaches tutors "
        "got gets suffers joined retired divorced married adopted graduated switched turned stopped started gave"
    ).split()
)


def _tidied(statement: Statement) -> Statement:
    """The words that lead up to the object moved into the relation: "is afraid of", "has switched to", "grew "
    "up in"."""
    relation, words = statement.relation.split(), statement.object.strip(" ,;:").split()
    auxiliary = all(word.casefold() in _AUX for word in relation)
    leads = auxiliary and (_verb(words[0]) or words[0].endswith("ed") or words[0].casefold() in _LEADING)
    if len(words) > 1 and (leads or words[0].casefold() in _PARTICLES):
        followed = words[1].casefold() in _PREPOSITIONS | _PARTICLES
        if followed or _verb(words[0]) or words[0].casefold() in _PARTICLES:
            relation.append(words.pop(0))
    while len(words) > 1 and words[0].casefold() in _PREPOSITIONS and (auxiliary or relation[-1] in _PARTICLES):
        relation.append(words.pop(0))
    if len(words) > 1 and words[0].casefold() in ("on", "called", "spelt") and not auxiliary and len(relation) <= 2:
        words.pop(0)  # "My birthday is on 3 April"
    return Statement(" ".join(relation), " ".join(words))


_PREPOSITIONS = frozenset("to in at on for from by with of about as into near".split())
_PARTICLES = frozenset("up down out off away back over".split())
_LEADING = frozenset(
    (
        "allergic afraid fond proud scared keen good bad responsible famous late early sick tired jealous "
        "similar closed open "
        "married engaged related interested born"
    ).split()
)


def _any_verb(text: str, subject: str) -> Statement | None:
    """A statement with a verb that `wording` does not know: "I wear a size 43 shoe"."""
    rest = text[len(subject) :].split() if text.casefold().startswith(subject.casefold()) else []
    end = 0
    while end < len(rest) - 1 and rest[end].casefold() in _AUX:
        end += 1
    if len(rest) - end < 2 or not rest[end].isalpha():
        return None
    end += 1
    if end < len(rest) - 1 and rest[end].casefold() in ("to", "in", "at", "on", "for", "from", "by", "with", "of"):
        end += 1
    return Statement(" ".join(rest[:end]), " ".join(rest[end:]))
