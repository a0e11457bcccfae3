"""Which old facts a new one makes stale: "lives in Rome" replaces "lives in Oslo"; "likes coffee" joins "likes tea"."""

from __future__ import annotations

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


def contradicts(new: Triple, old: Triple, *, replaces: bool = False) -> bool:
    """Whether the new fact replaces the old: same subject and relation, another object, and room for only one.

    Args:
        replaces: the user said that something changed, so that there is room for one in any relation.
    """
    same = new.key[:2] == old.key[:2] and new.key[2] != old.key[2]
    return same and (replaces or new.key[1] not in LISTED)
