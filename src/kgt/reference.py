"""Coreference to the last turns of a conversation: whom or what "she", "it", "there", "that city" mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from kgt.triple import entity_key, relation_key

FEMALE = frozenset(
    (
        "mother mum mom mama sister daughter wife girlfriend grandmother grandma granny nan aunt auntie niece "
        "girl woman lady fiancée queen landlady stepmother"
    ).split()
)
MALE = frozenset(
    (
        "father dad papa brother son husband boyfriend grandfather grandpa granddad uncle nephew boy man fiancé king "
        "landlord stepfather"
    ).split()
)
PEOPLE = (
    FEMALE
    | MALE
    | frozenset(
        (
            "friend boss manager colleague coworker neighbour neighbor doctor dentist teacher student child kid baby "
            "partner spouse cousin sibling parent parents team therapist coach trainer roommate flatmate housemate"
        ).split()
    )
)
MANY = frozenset(
    "friend colleague coworker neighbour neighbor cousin student classmate teammate flatmate housemate roommate".split()
)
"""People of whom one has several: their name tells them apart."""
ANIMALS = frozenset("dog cat pup puppy kitten horse parrot rabbit hamster bird tortoise pony guinea pig".split())
"""Of them one says he, she or it."""

_PRONOUN = re.compile(
    r"\b(?:(?P<she>she|her|hers|herself)|(?P<he>he|him|his|himself)|(?P<they>they|them|their|theirs)"
    r"|(?P<it>it|its|itself)|(?P<there>there|(?:that|this) (?:city|town|place|country|village)))\b",
    re.IGNORECASE,
)
_THAT = re.compile(r"\b(?:that|this|the same) (\w+)\b", re.IGNORECASE)
_THERE_IS = re.compile(r"\bthere (?:is|are|was|were|'s)\b|\b(?:is|are|was|were) there\b", re.IGNORECASE)
_PLACE_RELATION = re.compile(
    r"\b(?:in|at|to|from)$|\b(?:city|town|country|capital|address|home|birthplace|place|continent|headquarters)\b"
)


class Mention(NamedTuple):
    """Something the conversation has just spoken of.

    Attributes:
        relation: the relation whose object it was ("lives in"), "" if it was spoken about itself.
    """

    entity: str
    relation: str = ""


def referred(text: str, recent: Sequence[Mention]) -> tuple[str, str] | None:
    """The entity that a pronoun of the text stands for, and the pronoun; None if there is none that fits.

    Args:
        recent: what was spoken of, latest first.
    """
    spoken = _THERE_IS.sub(lambda m: " " * len(m.group()), text)
    for found in _PRONOUN.finditer(spoken):
        for mention in recent:
            if _fits(str(found.lastgroup), mention):
                return mention.entity, found.group()
    for found in _THAT.finditer(spoken):
        for mention in recent:
            if found.group(1).casefold() in {
                *entity_key(mention.entity).split(),
                *relation_key(mention.relation).split(),
            }:
                return mention.entity, found.group()
    return None


def genders_differ(one: str, other: str) -> bool:
    """Whether two names of relatives cannot mean the same person: "my wife", "my husband"."""
    return {_gender(one), _gender(other)} == {"she", "he"}


def _fits(pronoun: str, mention: Mention) -> bool:
    key = entity_key(mention.entity)
    if key == "i":
        return False
    words = set(key.split()[-1:])
    place = bool(_PLACE_RELATION.search(relation_key(mention.relation))) if mention.relation else False
    if pronoun == "there":
        return place
    if words & ANIMALS:
        return pronoun != "they"
    if words & PEOPLE:
        return (pronoun != "it" and _gender(key) in ("", pronoun, "they")) or pronoun == "they"
    named = mention.entity[:1].isupper() and not place
    return pronoun == "it" if not named else True


def _gender(name: str) -> str:
    head = set(entity_key(name).split())
    return "she" if head & FEMALE else "he" if head & MALE else ""
