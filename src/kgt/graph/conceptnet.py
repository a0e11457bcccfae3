"""ConceptNet's lines as triples of the base: the official assertions, and CN-100K.

Official: URI, relation, start, end and a JSON with the weight, with tabs between, every language in one file. CN-100K:
relation, head and tail, in a few files a label 1 or 0 behind. Nothing here knows of files or databases.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from kgt.errors import BadInput
from kgt.triple import MAX_KEY, MAX_LENGTH, PLAIN, as_words, clean, entity_key, relation_key

MAX_WEIGHT = 1e9
"""ConceptNet's own end at about 50; a weight beyond this, or none that can be compared, is an error in the file."""


BaseTriple = tuple[str, str, str, str, str, str, float]
"""A row of the base: the keys of subject, relation and object, their texts, and the weight (1 is usual).

A plain tuple: one with names would take a sixth longer to make and store.
"""


@dataclass(frozen=True, eq=False, slots=True)
class Skip:
    """Why a line gives no triple; one of those below, equal to itself alone.

    Attributes:
        malformed: it is no assertion at all, so that somebody should look at it.
    """

    why: str
    malformed: bool = False


OTHER_LANGUAGE = Skip("in another language")
NO_CONCEPT = Skip("about something outside ConceptNet")
LIGHT = Skip("below the least weight")
FALSE = Skip("labelled false")
BLANK = Skip("blank")
COLUMNS = Skip("not the columns of an assertion", malformed=True)
RELATION = Skip("not a relation of ConceptNet", malformed=True)
CONCEPT = Skip("a concept that is empty or too long", malformed=True)
ENCODING = Skip("not UTF-8", malformed=True)
WEIGHT = Skip("no JSON with a weight in the last column", malformed=True)
LABEL = Skip("a label other than 0 and 1", malformed=True)

Parser = Callable[[bytes], BaseTriple | Skip]
"""One line, without its line end → the triple it states, or why there is none."""

CN100K_RELATIONS = frozenset(
    (
        "AtLocation CapableOf Causes CausesDesire CreatedBy DefinedAs DesireOf Desires HasA HasFirstSubevent "
        "HasLastSubevent HasPainCharacter HasPainIntensity HasPrerequisite HasProperty HasSubevent InheritsFrom "
        "InstanceOf IsA LocatedNear LocationOfAction MadeOf MotivatedByGoal NotCapableOf NotDesires NotHasA "
        "NotHasProperty NotIsA NotMadeOf PartOf ReceivesAction RelatedTo SymbolOf UsedFor "
        "NotCauses NotUsedFor SimilarTo"
    ).split()
)
"""Without them every table of three columns, a user's own facts among them, would pass for CN-100K."""

_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z]+)?")
_ANY_ASSERTION = re.compile(rb"/a/[^\t]*+\t/r/[^\t]*+\t/c/[^\t]*+\t(/c/)?+[^\t]*+\t[^\t]++")
_Named = tuple[str, str]
"""The text of a concept or a relation, and its key."""


class _Unreadable(Exception):
    """A part of a line that is not as it should be."""

    def __init__(self, why: Skip) -> None:
        super().__init__(why.why)
        self.why = why


def assertions(language: str = "en", min_weight: float = 0.0) -> Parser:
    """A reader of the official format.

    Args:
        language: ConceptNet's code of the language that both concepts must be in.
        min_weight: assertions of less weight are skipped.

    Raises:
        BadInput: the language is no code, or the weight no number.
    """
    _check(language, min_weight)
    # ConceptNet writes the weight last. What ends a JSON object after these words can be nothing but its weight.
    concept = rf"/c/{language}/([^\t/]*+)[^\t]*+"
    metadata = r"(?:\{[^\t]*\"weight\": ([0-9]{1,9}\.[0-9]{1,20})\}|([^\t]++))"
    columns = re.compile(rf"/a/[^\t]*+\t(/r/[^\t]*+)\t{concept}\t{concept}\t{metadata}".encode()).fullmatch

    def parse(line: bytes) -> BaseTriple | Skip:
        found = columns(line)
        if found is None:
            return _no_assertion(line)
        uri, start, end, number, other = found.groups()
        try:
            weight = float(number) if number else _weight(other)
            if weight < min_weight:
                return LIGHT
            (subject, s), (relation, r), (object_, o) = _concept(start), _relation(uri), _concept(end)
            return s, r, o, subject, relation, object_, weight
        except _Unreadable as error:
            return error.why

    return parse


def cn100k(language: str = "en", min_weight: float = 0.0) -> Parser:
    """A reader of CN-100K's format, in which every triple weighs 1; arguments and errors as for `assertions`."""
    _check(language, min_weight)

    def parse(line: bytes) -> BaseTriple | Skip:
        relation, *concepts = line.split(b"\t")
        if len(concepts) not in (2, 3):
            return COLUMNS if line.strip() else BLANK
        if len(concepts) == 3 and concepts[2] not in (b"0", b"1"):
            return LABEL
        try:
            head, tail = (_name(part.decode()) for part in concepts[:2])
            words = _relation(relation) if relation.decode() in CN100K_RELATIONS else None
        except UnicodeDecodeError:
            return ENCODING
        except _Unreadable as error:
            return error.why
        if words is None:
            return RELATION
        if concepts[2:] == [b"0"]:
            return FALSE
        if language != "en":
            return OTHER_LANGUAGE
        (subject, s), (object_, o) = head, tail
        return (s, words[1], o, subject, words[0], object_, 1.0) if min_weight <= 1 else LIGHT

    return parse


def parser_for(first: Iterable[bytes], language: str = "en", min_weight: float = 0.0) -> Parser:
    """The reader of the format that a file's first lines are in.

    Raises:
        BadInput: they are in neither; or the arguments are wrong, as for `assertions`.
    """
    lines = list(first)
    for reader in (assertions, cn100k):
        parse = reader(language, min_weight)
        found = [parse(line) for line in lines]
        if any(not isinstance(one, Skip) or not (one.malformed or one is BLANK) for one in found):
            return parse
    shown = next((line for line in lines if line.strip()), b"")[:60].decode(errors="backslashreplace")
    raise BadInput(
        f"None of the first {len(lines)} lines is an assertion; one is {shown!r}." if shown else "The file is empty.",
        "Give ConceptNet's assertions (conceptnet-assertions-5.7.0.csv.gz, five columns), or CN-100K's "
        "relation, head and tail, with tabs between.",
    )


def relation_words(name: str) -> str:
    """A relation's name as words: "/r/UsedFor", "UsedFor" → "used for"; "/r/dbpedia/influencedBy" → "influenced by"."""
    return clean(as_words(name.rpartition("/")[2]).lower())


def _no_assertion(line: bytes) -> Skip:
    """Why a line is not an assertion in the language that is read."""
    found = _ANY_ASSERTION.fullmatch(line)
    if found is None:
        return COLUMNS if line.strip() else BLANK
    return OTHER_LANGUAGE if found[1] else NO_CONCEPT


def _concept(term: bytes) -> _Named:
    try:
        name = term.decode().replace("_", " ")
    except UnicodeDecodeError:
        raise _Unreadable(ENCODING) from None
    return (name, name) if PLAIN.fullmatch(name) and len(name) <= MAX_KEY else _name(name)


@lru_cache(1024)
def _relation(uri: bytes) -> _Named:
    try:
        words = relation_words(uri.decode())
    except UnicodeDecodeError:
        raise _Unreadable(ENCODING) from None
    if not words or len(words) > MAX_LENGTH:
        raise _Unreadable(RELATION)
    return words, relation_key(words)


def _name(name: str) -> _Named:
    """What `Triple` makes of a name."""
    text = clean(name)
    if not text or len(text) > MAX_LENGTH:
        raise _Unreadable(CONCEPT)
    return text, entity_key(text)


def _weight(metadata: bytes) -> float:
    """The weight in an assertion's JSON, 1 if it names none."""
    try:
        found = json.loads(metadata)
    except (ValueError, RecursionError):
        raise _Unreadable(WEIGHT) from None
    weight = found.get("weight", 1.0) if isinstance(found, dict) else None
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) < MAX_WEIGHT:
        raise _Unreadable(WEIGHT)
    return float(weight)


def _check(language: str, min_weight: float) -> None:
    if not _LANGUAGE.fullmatch(language):
        raise BadInput(f"{language!r} is no language code of ConceptNet.", "Use one such as en, de or zh.")
    if not math.isfinite(min_weight):
        raise BadInput(f"{min_weight} is no weight.", "Give a number such as 1; most assertions weigh 1.")
