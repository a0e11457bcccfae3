"""The entity a text is about: a name the graph knows, the user's own things, a proper name, or the user.

A first, simple linker: exact matches on normalised names, no coreference, no spelling mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from kgt.graph import GraphStore
from kgt.triple import clean, entity_key

LONGEST_NAME = 6
"""Most words in an entity's name that are looked up."""

_WORD = re.compile(r"[^\s,.;:!?\"“”()\[\]]+")
_NOT_A_NAME = frozenset(
    (
        "a an the my our your his her its their this that these those is are was were am be been do does did have "
        "has had can could will would should may might must shall of in on at to for from by with about as and or "
        "but if so not no yes what which who whom whose where when why how it they he she we you i me us them "
        "there here actually tell suggest please give name show find let make old much many often long also never "
        "always eat like live know"
    ).split()
)
_ENDS_NAME = _NOT_A_NAME | frozenset(
    (
        "eats eat likes lives live works work sleeps sleep drinks drink plays play speaks speak wants want goes go "
        "comes come needs need feels feel called named born open opens close closes start starts end ends parked "
        "made cost costs moved loves love hates hate owns own studies study drives drive wakes wake called become "
        "became prefer prefers listen visit use uses cook cooks read reads watch"
    ).split()
)
_SENTENCE_END = re.compile(r"[.!?\n]\s*$")


class Link(NamedTuple):
    """The entity found.

    Attributes:
        why: "graph", "possession", "name", "user" or "base".
        owner: whose it is, if it is somebody's ("my sister" for "my sister's dog"), else "".
    """

    entity: str
    why: str
    owner: str = ""


def link(store: GraphStore, user: str, text: str) -> Link | None:
    """The entity a text is about, or None.

    In this order: the user's things ("my sister's dog") unless the user's own facts have a longer
    name as subject; the longest such name; the longest proper name; the user themselves ("I",
    "my"); the longest name in the shared base.
    """
    text = clean(text)
    words = list(_WORD.finditer(text))
    spans: dict[str, str] = {}
    for shown, key in _spans(text, words):
        spans.setdefault(key, shown)
    known = store.mentions(user, spans.keys())
    own = [k for k in known if k != "i" and any(f.source == "user" for f in store.about(user, k))]
    longest_own = max(own, key=len, default="")
    possession = _possession(text)
    if possession and len(longest_own) < len(entity_key(possession)):
        owner = possession.rpartition("'s ")[0]
        return Link(possession, "possession", owner)
    if longest_own:
        return Link(spans[longest_own], "graph")
    name = _proper_name(text, words)
    if name:
        return Link(name, "name")
    if re.search(r"\b(?:I|me|my|myself|mine|our|we)\b", text, re.IGNORECASE):
        return Link("I", "user")
    shared = [k for k in known if k not in own]
    if shared:
        return Link(spans[max(shared, key=len)], "base")
    return None


def _spans(text: str, words: list[re.Match[str]]) -> Iterable[tuple[str, str]]:
    """(shown, key) of every run of at most LONGEST_NAME words that could be a name."""
    for start in range(len(words)):
        for end in range(start + 1, min(start + LONGEST_NAME, len(words)) + 1):
            shown = text[words[start].start() : words[end - 1].end()]
            key = entity_key(shown)
            if words[end - 1].group().casefold() in _NOT_A_NAME:
                continue
            yield re.sub(r"^(?:the|an?)\s+|['’]s?$", "", shown, flags=re.IGNORECASE), key


def _possession(text: str) -> str | None:
    """What of the user's a text is about.

    "my sister's dog" in "What does my sister's dog eat?"; "my dog" in "What is my dog's name?";
    nothing in "What is my job?", which asks about the user.
    """
    start = re.search(r"\b(?:my|our)\s+", text, re.IGNORECASE)
    if not start:
        return None
    name = start.group().strip()
    rest = text[start.end() :]
    attribute_asked = bool(re.match(r"(?:what|who|when)(?:\s+(?:is|are|was|were)|['’]s)\s", text, re.IGNORECASE))
    for word in _WORD.finditer(rest):
        bare = re.sub(r"['’]s?$", "", word.group())
        between = rest[: word.start()]
        if bare.casefold() in _ENDS_NAME or re.search(r"[,.;:!?]", between):
            break
        name += " " + bare
        if bare != word.group():
            if attribute_asked:
                return name
            name += "'s"
    name = re.sub(r"['’]s$", "", name)
    if attribute_asked and rest.rstrip(" ?.!").casefold().endswith(name.partition(" ")[2].casefold()):
        return None
    return name if " " in name else None


def _proper_name(text: str, words: list[re.Match[str]]) -> str | None:
    """The longest run of capitalised words, a sentence's first word counting only within a longer run."""
    best: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for word in words:
        bare = re.sub(r"['’]s?$", "", word.group())
        starts_sentence = word.start() == 0 or bool(_SENTENCE_END.search(text[: word.start()]))
        capital = bare[:1].isupper() and bare.casefold() not in _NOT_A_NAME
        joined = run and text[run[-1].end() : word.start()].isspace() and not starts_sentence
        run = [*run, word] if capital and joined else [word] if capital else []
        if len(run) > len(best) or (len(run) == len(best) == 1 and best[0].start() == 0):
            best = run
        owns_a_name = bool(re.match(r"\s+[A-Z]", text[word.end() :]))  # "Donaldson's Hospital", not "Ana's dog"
        if bare != word.group() and not owns_a_name:
            run = []
    if not best:
        return None
    shown = re.sub(r"['’]s?$", "", text[best[0].start() : best[-1].end()])
    only_sentence_start = len(best) == 1 and best[0].start() == 0
    return (
        None
        if only_sentence_start
        and shown.isalpha()
        and not text[best[0].end() :].lstrip().startswith(("is ", "'s", "’s"))
        else shown
    )
