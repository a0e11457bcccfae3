"""Between triples and English: a triple as a sentence, and the relation a query's own words name.

Rules, not a parser: they cover prompts ("The mother tongue of X is"), questions ("What does X
eat?") and statements ("My sister lives in Rome"). Where no rule fits, the words are kept as they
are, so a triple is never lost and a person can still read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from kgt.triple import Triple, clean, entity_key, relation_key

ALSO = r"also|as well|too(?!\s+\w)"
"""Words that join a fact to others, as a pattern; "too dear" joins nothing."""

CONCEPTNET = {
    "at location": "{s} is found at {o}",
    "capable of": "{s} can {o}",
    "causes": "{s} causes {o}",
    "causes desire": "{s} makes one want to {o}",
    "created by": "{s} is created by {o}",
    "defined as": "{s} is {o}",
    "derived from": "{s} is derived from {o}",
    "desire of": "{s} is a desire of {o}",
    "desires": "{s} wants {o}",
    "distinct from": "{s} is distinct from {o}",
    "entails": "{s} entails {o}",
    "etymologically derived from": "{s} is etymologically derived from {o}",
    "etymologically related to": "{s} is etymologically related to {o}",
    "form of": "{s} is a form of {o}",
    "has a": "{s} has {o}",
    "has context": "{s} is a term in {o}",
    "has first subevent": "{s} begins with {o}",
    "has last subevent": "{s} ends with {o}",
    "has prerequisite": "{s} needs {o}",
    "has property": "{s} is {o}",
    "has subevent": "{s} includes {o}",
    "influenced by": "{s} is influenced by {o}",
    "instance of": "{s} is an instance of {o}",
    "is a": "{s} is {an_o}",
    "known for": "{s} is known for {o}",
    "located near": "{s} is near {o}",
    "made of": "{s} is made of {o}",
    "manner of": "{s} is a manner of {o}",
    "motivated by goal": "{s} is done to {o}",
    "not capable of": "{s} cannot {o}",
    "not causes": "{s} does not cause {o}",
    "not desires": "{s} does not want {o}",
    "not has a": "{s} does not have {o}",
    "not has property": "{s} is not {o}",
    "not is a": "{s} is not {an_o}",
    "not made of": "{s} is not made of {o}",
    "not used for": "{s} is not used for {o}",
    "obstructed by": "{s} is obstructed by {o}",
    "part of": "{s} is part of {o}",
    "receives action": "{s} can be {o}",
    "related to": "{s} is related to {o}",
    "similar to": "{s} is similar to {o}",
    "symbol of": "{s} is a symbol of {o}",
    "used for": "{s} is used for {o}",
}
"""ConceptNet's relation names (normalised) → a sentence with the subject {s} and the object {o}."""

_PREPOSITIONS = frozenset(
    (
        "about after against around as at before behind by for from in into near of off on onto over through to "
        "under until up with within without"
    ).split()
)
_AUXILIARIES = frozenset(
    (
        "am are is was were be been being has have had can cannot could do does did may might must shall should "
        "will would isn't aren't wasn't weren't doesn't don't didn't can't won't not never always usually often "
        "also only now no longer still"
    ).split()
)
_VERBS = frozenset(
    (
        "accept allow attend avoid bake bear become believe belong bike bring build buy call care carry "
        "celebrate choose code collect come commute cook create cycle dance debut declare develop die dislike "
        "draw dream drink drive eat employ end enjoy exercise fear feed feel find finish fly follow form found "
        "get give go graduate grow hate hear help hike hold invent join keep know lead learn leave like listen "
        "live look lose love make manage marry meet move name need open originate own paint pass perform plan "
        "play practice practise prefer premiere produce program pronounce read release ride root run say see "
        "sell sing sit ski sleep smoke speak spell start stay study support swim take talk taste teach think "
        "train travel treat understand use visit volunteer wake walk want watch wear work worship write"
    ).split()
)
_IRREGULAR = {
    "ate": "eat", "became": "become", "began": "begin", "born": "bear", "bought": "buy", "built": "build",
    "came": "come", "chose": "choose", "drank": "drink", "drew": "draw", "drove": "drive", "felt": "feel",
    "flew": "fly", "found": "find", "gave": "give", "goes": "go", "went": "go", "grew": "grow", "held": "hold",
    "kept": "keep", "knew": "know", "known": "know", "led": "lead", "left": "leave", "lost": "lose",
    "made": "make", "met": "meet", "ran": "run", "rode": "ride", "sang": "sing", "saw": "see", "sold": "sell",
    "spoke": "speak", "taught": "teach", "thought": "think", "told": "tell", "took": "take", "understood":
    "understand", "woke": "wake", "wore": "wear", "wrote": "write", "studies": "study", "died": "die",
}  # fmt: skip
_ARTICLES = frozenset(["the", "a", "an"])
_PRONOUNS = frozenset(["i", "we", "you", "they"])
_PLACED = ("lives", "works", "sleeps", "plays", "live", "work", "sleep", "play")
_REQUESTS = frozenset(
    ("tell suggest write give list name recommend explain describe show help please let make find").split()
)
_HOLE = "\u25a1"
_COPULAS = frozenset(["is", "are", "was", "were", "be"])
_WH = frozenset(("what which who whom whose where when why how").split())
_IS = r"(?:\s+(?:is|are|was|were)|['’]s)"
_POSSESSED = re.compile(r"['’]s?\s+")
_SENTENCE_START = re.compile(r"(?:[.!?)][\"'”’]?\s+|\n\s*)(?=\S)")
_CAPITAL_START = re.compile(r"(?<=\w)\s+(?=(?:The|In|What|Where|Which|Who|When|How|Why)\s)")
_LEADS_UP = _PREPOSITIONS | _AUXILIARIES | _COPULAS | _ARTICLES | _WH | frozenset("and or but that if because".split())


class Statement(NamedTuple):
    """A relation and an object as a text words them."""

    relation: str
    object: str


def is_question(text: str) -> bool:
    """Whether the text asks rather than leaves a sentence to be completed."""
    return text.rstrip().endswith("?")


def is_verbal(relation: str) -> bool:
    """Whether a relation reads as a predicate ("lives in") and not as a noun ("mother tongue", "work")."""
    words = relation_key(relation).split()
    inflected = words[0] not in _VERBS and _base_form(words[0]) in _VERBS
    return inflected or words[0] in _AUXILIARIES or words[-1] in _PREPOSITIONS


def is_verb(word: str) -> bool:
    """Whether a word is a form of a common verb ("teaches", "grown")."""
    return _base_form(word.casefold()) in _VERBS


def sentence(triple: Triple) -> str:
    """The triple as one English sentence, the form in which the model reads facts.

    >>> sentence(Triple("Angola", "is located in", "Antarctica"))
    'Angola is located in Antarctica.'
    >>> sentence(Triple("Ana", "mother tongue", "English"))
    "Ana's mother tongue is English."
    """
    s, r, o = triple.subject, triple.relation, triple.object
    key = relation_key(r)
    if key in CONCEPTNET:
        text = CONCEPTNET[key].format(s=s, o=o, an_o=_with_article(o))
    elif is_question(r):
        text = f"{r} {o}"
    elif key in _PREPOSITIONS:
        text = f"{s} is {r} {o}"
    elif key.startswith(("they ", "people ")):  # "In X, they understand": the subject is a place
        text = f"In {s}, {r} {o}"
    elif is_verbal(r) or (entity_key(s) in _PRONOUNS and _starts_as_verb(r)):
        text = f"{s} {r} {o}"
    else:
        text = f"{_possessive(s)} {r} is {o}"
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."


def stem(subject: str, relation: str) -> str:
    """The fact's sentence up to its object: "My sister lives in". Empty for a relation that is a question."""
    if is_question(relation):
        return ""
    return sentence(Triple(subject, relation, _HOLE)).partition(_HOLE)[0].rstrip()


def is_unfinished(query: str) -> bool:
    """Whether the query is a sentence left for the model to finish, as CounterFact's are, not a question or a request.

    >>> is_unfinished("The mother tongue of Ana is"), is_unfinished("What does my dog eat?")
    (True, False)
    """
    query = query.strip()
    if not query or query[-1] in ".?!…":
        return False
    last = _SENTENCE_START.split(query)[-1]
    if len(last.split()) < 2:
        return False
    return last.casefold().split()[0] not in _WH | _AUXILIARIES | _REQUESTS


def leaves_off(text: str) -> bool:
    """Whether a text ends where a sentence cannot: "The capital of France is", "Ana lives in the"."""
    words = text.casefold().split()
    return len(words) > 1 and words[-1] in _COPULAS | _PREPOSITIONS | _ARTICLES


def mask(text: str, subject: str, name: str = "") -> str:
    """The text with another name, or none, in the subject's place: what is said or asked about it.

    >>> mask("What does my dog eat?", "my dog", "X"), mask("Where is my bike?", "I", "X")
    ('What does X eat?', "Where is X's bike?")
    """

    def put(found: re.Match[str]) -> str:
        return f" {name}'s " if name and found.group().casefold() == "my" != entity_key(subject) else f" {name} "

    masked = " ".join(_name_pattern(subject).sub(put, text).split()).strip(" ,")
    return masked.replace(f"{name} '", f"{name}'").replace(f"{name} ’", f"{name}'") or text if name else masked or text


def sentence_about(text: str, subject: str) -> tuple[str, str]:
    """Split a text into what stands before the last sentence naming the subject, and that sentence on.

    CounterFact's paraphrases put an unrelated sentence in front; what the query asks starts where
    its subject's sentence starts. A text that never names the subject is returned whole.
    """
    found = _last_mention(text, subject)
    if not found:
        return "", text
    starts = (m.end() for m in _SENTENCE_START.finditer(text) if m.end() <= found.start())
    start = max(starts, default=0)
    start += _clause_start(text[start : found.start()], text[found.end() :], subject)
    return text[:start].strip(), text[start:]


def _clause_start(lead: str, rest: str, subject: str) -> int:
    """Where, in what stands before the subject in its sentence, the clause about it starts.

    CounterFact's unrelated sentences need not end in a full stop ("Category:Insects of Asia X lives
    in"). A new clause starts at a capitalised "The", "In", "What" … in mid-sentence, or at the
    subject itself where a word stands before it that cannot lead up to a name.
    """
    start = 0
    for found in _CAPITAL_START.finditer(lead):
        if lead[: found.start()].split()[-1].casefold() not in _LEADS_UP:
            start = found.end()
    before = lead[start:].split()
    joined = not before or not before[-1][-1].isalnum() or before[-1].casefold() in _LEADS_UP
    if joined or entity_key(subject) == "i" or not rest.split() or rest.rstrip()[-1] in ".?!…":
        return start
    return len(lead)


_AT_PRESENT = re.compile(
    r"\s+(?:(?:this|these) (?:week|month|year|term|season|days)|at the moment|at present|nowadays|currently)$",
    re.IGNORECASE,
)
"""A question about how things are now asks for the same relation as one without: what it is becomes outdated alike."""


def relation_in(query: str, subject: str) -> str:
    """The relation that a query's own words name, the subject taken out; "" where nothing is left.

    >>> relation_in("The mother tongue of Ana is", "Ana")
    'mother tongue'
    >>> relation_in("Angola is located in", "Angola")
    'is located in'
    >>> relation_in("What does my dog eat?", "my dog")
    'eats'
    >>> relation_in("When does my shift begin this month?", "my shift")
    'begins'
    """
    asked = clean(sentence_about(query, subject)[1])
    found = _last_mention(asked, subject)
    if not found:
        return asked if is_question(asked) else ""
    before, after = asked[: found.start()].strip(), asked[found.end() :].strip()
    if found.group().casefold() in ("my", "our"):
        after = f"'s {after}"
    inflect = _third_person if entity_key(subject) not in _PRONOUNS else str
    if is_question(asked):
        return _relation_of_question(asked, before, _AT_PRESENT.sub("", after.rstrip("?! ")), inflect)
    question, mark, reply = after.rpartition("?")
    if mark:  # "What is the twin city of X? It is": the reply's words if they say more than "it is"
        predicate = re.sub(r"^(?:it|they|he|she)\s+", "", reply.strip(), flags=re.IGNORECASE)
        if _is_copula(predicate):
            return _relation_of_question(asked, before, question, inflect)
        return inflect(predicate)
    if before and not _is_copula(after) and before.casefold() not in _PREPOSITIONS and _noun(before):
        return _noun(before) if _noun(after) == "" else f"{_noun(before)} {after}"
    if before and before.casefold() not in _PREPOSITIONS:
        return _noun(before)
    possessive = _POSSESSED.match(after)
    relative = re.match(r",?\s*(?:which|who|that|(whose))\s+", after)
    if possessive or (relative and relative.group(1)):
        return _noun(after[(possessive or relative).end() :])  # type: ignore[union-attr]
    if relative:
        return after[relative.end() :]
    apposed = after.lstrip("?,.;: ")
    if before and apposed:  # "In X, an official language is"
        return _noun(apposed) if _is_copula(apposed.split()[-1]) else apposed
    if apposed != after and not _is_finite(apposed):  # "X, developed by" = X is developed by
        return f"is {apposed}"
    return apposed


def statement_in(text: str, subject: str) -> Statement | None:
    """Relation and object of a statement about the subject, or None where the text is no such statement.

    >>> statement_in("My sister lives in Rome.", "my sister")
    Statement(relation='lives in', object='Rome')
    >>> statement_in("My dog's name is Rex", "my dog")
    Statement(relation='name', object='Rex')
    """
    text = clean(text).rstrip(".!")
    if is_question(text):
        return None
    found = _last_mention(text, subject)
    if not found:
        return None
    before, after = text[: found.start()].strip(), text[found.end() :].strip()
    if found.group().casefold() in ("my", "our"):
        after = f"'s {after}"
    possessed = re.match(r"['’]s?\s+(.+?)\s+(?:is|are|was|were)\s+(.+)", after)
    if possessed:
        return Statement(possessed.group(1), possessed.group(2))
    of = re.match(r"(?:the\s+)?(.+?)\s+of$", before, re.IGNORECASE)
    is_ = re.match(r"(?:is|are|was|were)\s+(.+)", after)
    if of and is_:
        return Statement(of.group(1), is_.group(1))
    words = after.split()
    if not words or not _starts_as_verb(after):
        return None
    end = 0
    while end < len(words) - 1 and words[end].casefold() in _AUXILIARIES:
        end += 1
    if end < len(words) - 1 and _base_form(words[end].casefold()) in _VERBS:
        end += 1
    if end < len(words) - 1 and words[end].casefold() in _PREPOSITIONS:
        end += 1
    return Statement(" ".join(words[:end]), " ".join(words[end:])) if end else None


def _relation_of_question(asked: str, before: str, after: str, inflect: Callable[[str], str]) -> str:
    """The relation of "What does X eat?" (eats), "What is X's name?" and "What is the name of X?" (name)."""
    possessive = _POSSESSED.match(after)
    if possessive and re.fullmatch(rf"(?:what|who|which|where|when){_IS}", before, re.IGNORECASE):
        return _noun(after[possessive.end() :])
    does = re.fullmatch(r"(what|which|who|where|when)\b.*?\s+(?:does|do|did)", before, re.IGNORECASE)
    if does and after and not possessive:
        predicate = inflect(after)
        if does.group(1).casefold() == "where" and predicate.split()[-1] in _PLACED:
            predicate += " in"
        return predicate
    of_kind = re.fullmatch(r"(?:what|which)\s+(.+?)\s+(?:is|are|was|were)", before, re.IGNORECASE)
    if of_kind and not after:  # "What breed is X?"
        return of_kind.group(1)
    noun_of = re.fullmatch(rf"(?:what|who|which|where|when){_IS}\s+(.+?)\s+(?:of|for|in|to|at)", before, re.IGNORECASE)
    if noun_of and not after:
        return _noun(noun_of.group(1))
    if re.fullmatch(rf"where{_IS}", before, re.IGNORECASE):
        return f"is {after} in" if after else "is in"
    if re.fullmatch(rf"(?:what|who|how){_IS}", before, re.IGNORECASE):
        return f"is {after}".strip()
    return asked


def _noun(text: str) -> str:
    """A noun phrase freed of question words, articles, copulas and the preposition that led to the subject."""
    words = clean(text).strip(" ,.;:?").split()
    while words and (words[0].casefold() in _ARTICLES | _AUXILIARIES | _WH):
        words = words[1:]
    while words and (words[-1].casefold() in _ARTICLES | _PREPOSITIONS | _AUXILIARIES or words[-1] == "located"):
        words = words[:-1]
    return " ".join(words)


def _is_copula(text: str) -> bool:
    words = text.casefold().split()
    return bool(words) and set(words) <= _COPULAS | _ARTICLES | _PREPOSITIONS | {"located"} and words[0] in _COPULAS


def _is_finite(text: str) -> bool:
    """Whether a predicate starts with a finite verb ("plays the"), not a participle ("played by")."""
    first = text.casefold().split()[0]
    return first in _AUXILIARIES or (_base_form(first) in _VERBS and first.endswith("s"))


def _starts_as_verb(text: str) -> bool:
    first = text.casefold().split()[0]
    return first in _AUXILIARIES or _base_form(first) in _VERBS


def _base_form(word: str) -> str:
    if word in _VERBS:
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending, stem in (
        ("ies", "y"),
        ("ied", "y"),
        ("es", ""),
        ("es", "e"),
        ("s", ""),
        ("ed", ""),
        ("ed", "e"),
        ("ing", ""),
        ("ing", "e"),
    ):
        if word.endswith(ending) and word[: -len(ending)] + stem in _VERBS:
            return word[: -len(ending)] + stem
    return word


def _third_person(phrase: str) -> str:
    """ "eat for breakfast" → "eats for breakfast"."""
    verb, _, rest = phrase.partition(" ")
    if verb in ("have", "do", "go"):
        verb = {"have": "has", "do": "does", "go": "goes"}[verb]
    elif verb and verb[-1] == "y" and verb[-2:-1] not in "aeiou":
        verb = verb[:-1] + "ies"
    elif verb.endswith(("s", "x", "z", "ch", "sh")):
        verb += "es"
    elif verb:
        verb += "s"
    return f"{verb} {rest}".strip()


def _name_pattern(subject: str) -> re.Pattern[str]:
    """Finds an entity's name as whole words; the user is also "my" and "me"."""
    if entity_key(subject) == "i":
        return re.compile(r"\b(?:I|my|me)\b(?!\s*['’])", re.IGNORECASE)
    return re.compile(rf"(?<!\w){re.escape(clean(subject))}(?!\w)", re.IGNORECASE)


def _last_mention(text: str, subject: str) -> re.Match[str] | None:
    return max(_name_pattern(subject).finditer(text), key=lambda m: m.start(), default=None)


def _possessive(name: str) -> str:
    if entity_key(name) in _PRONOUNS:
        return {"i": "my", "we": "our", "you": "your", "they": "their"}[entity_key(name)]
    return name + ("'" if name.endswith("s") else "'s")


def _with_article(noun: str) -> str:
    if noun.casefold().split()[0] in _ARTICLES or noun[0].isupper():
        return noun
    return ("an " if noun[0] in "aeiou" else "a ") + noun
