"""Which old facts a new one makes stale: "lives in Rome" replaces "lives in Oslo"; "likes coffee" joins "likes tea"."""

from __future__ import annotations

import re
from functools import lru_cache

from kgt.triple import Triple, relation_key

LISTED = frozenset(
    relation_key(r)
    for r in (
        "IsA HasA PartOf UsedFor AtLocation CapableOf Desires NotDesires HasProperty MadeOf Causes ReceivesAction "
        "HasPrerequisite MotivatedByGoal CreatedBy SymbolOf HasSubevent LocatedNear RelatedTo NotCapableOf"
    ).split()
) | frozenset(
    (
        "is|are|was|has|have|likes|like|loves|love|enjoys|enjoy|dislikes|dislike|hates|hate|wants|want|owns|own|"
        "speaks|speak|plays|play|eats|eat|drinks|drink|knows|know|uses|use|needs|need|reads|read|visits|visit|"
        "cooks|cook|does not eat|do not eat|is allergic to|am allergic to|allergic to|hobby|friend|colleague|pet|"
        "sister|brother|child|member of|is interested in|am interested in|has been to|is afraid of|am afraid of"
    ).split("|")
)
"""Relations that hold of many objects at once (normalised); every other relation holds of one at a time."""

SAME = (
    "lives in|live in|moved to|have moved to|has moved to|is based in|am based in|settled in|home town",
    "works at|work at|works for|work for|is employed by|am employed by|got a job at|employer|joined",
    "works as|work as|occupation|profession|job|became",
    "is called|are called|name|is named|am called",
    "is married to|am married to|married|spouse|husband|wife",
    "mother tongue|native language|first language",
)
"""Relations that say the same in other words."""
_FAMILY = {relation_key(name): names for names in SAME for name in names.split("|")}
ENDED = re.compile(
    r"^(?:no longer|stopped|quit|gave up|do(?:es)? not|don['’]?t|doesn['’]?t|never)\s+(?P<rest>.+)$", re.IGNORECASE
)
"""A relation that says that another does not hold: "no longer play", "don't like"."""


def ends(new: Triple, old: Triple) -> bool:
    """Whether the new fact denies the old: "no longer play tennis" ends "play tennis"."""
    denied = _denied(new.key[1])
    if not denied or new.key[0] != old.key[0] or new.key[2] != old.key[2] or _denied(old.key[1]):
        return False
    return denied[:4] == old.key[1][:4]


@lru_cache(maxsize=4096)
def _denied(relation: str) -> str:
    """What a relation says not to hold: "play" of "no longer play"; "" of most."""
    found = ENDED.match(relation)
    return found.group("rest") if found else ""


def contradicts(new: Triple, old: Triple, *, replaces: bool = False) -> bool:
    """Whether the new fact replaces the old: same subject and relation, another object, and room for only one.

    So does one that denies another ("no longer play", "play").

    Args:
        replaces: the user said that something changed, so that there is room for one in any relation.
    """
    if ends(new, old) or ends(old, new):
        return True
    subject, relation, object = old.key
    alike = relation == new.key[1] or _FAMILY.get(relation, relation) == _FAMILY.get(new.key[1], new.key[1])
    return alike and new.key[0] == subject and new.key[2] != object and (replaces or new.key[1] not in LISTED)
