"""The entity a text is about: a name the graph knows, the user's own things, a proper name, a pronoun, or the user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kgt.graph import GraphStore
from kgt.graph.names import OWN, words_of
from kgt.lm.encoder import SentenceEncoder, cosines
from kgt.reference import Mention, genders_differ, referred
from kgt.triple import clean, entity_key
from kgt.wording import is_unfinished, is_verb

LONGEST_NAME = 6
"""Most words in an entity's name that are looked up."""
MOST_WORDS = 300
"""Words of a text that are looked at, half from its beginning and half from its end."""
NEAR = 0.79
"""Least cosine of two nouns that name one thing of the user's ("my pup", "my dog"); cat and dog have 0.66."""
SCORES = {
    "possession": 1.0, "graph": 1.0, "alias": 0.95, "partial": 0.8, "typo": 0.75, "near": 0.7, "reference": 0.6,
    "name": 0.5, "user": 0.4, "base": 0.3,
}  # fmt: skip
"""How sure a link of each kind is."""

_WORD = re.compile(r"[^\s,.;:!?\"“”()\[\]]+")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]{2,}")
"""A run of a script that puts no spaces between words."""
_NOT_A_NAME = frozenset(
    (
        "a an the my our your his her its their this that these those is are was were am be been do does did have "
        "has had can could will would should may might must shall of in on at to for from by with about as and or "
        "but if so not no yes what which who whom whose where when why how it they he she we you i me us them "
        "there here actually tell suggest please give name show find let make old much many often long also never "
        "always eat like live know "
        "monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays "
        "saturdays sundays january february march april june july august september october november december christmas"
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
_WITHIN_NAME = frozenset("van von de der den del della di da dos du la le of bin al y the".split())
"""What stands uncapitalised between the words of a name."""
_KINDS_OF_NAME = frozenset(
    (
        "university college school institute academy church company records airlines airport station island islands "
        "mountain mount river lake sea bay park road street bridge county province district city town railway force "
        "service services party league club band orchestra album film museum theatre hospital bank"
    ).split()
)
"""A name with one of these is not called by its other words alone: Istanbul is not Istanbul University."""
_SENTENCE_END = re.compile(r"[.!?\n]\s*$")
_COPULAS = frozenset("is are was were has had can that which who whose".split())
_USER = re.compile(r"\b(?:I|me|my|myself|mine|our|we)\b", re.IGNORECASE)


class Link(NamedTuple):
    """The entity found.

    Attributes:
        why: a key of `SCORES`.
        owner: whose it is, if it is somebody's ("my sister" for "my sister's dog"), else "".
        score: how sure it is, in (0, 1].
        shown: what stands for it in the text, where that is not its name.
    """

    entity: str
    why: str
    owner: str = ""
    score: float = 1.0
    shown: str = ""


def link(
    store: GraphStore,
    user: str,
    text: str,
    *,
    recent: Sequence[Mention] = (),
    encoder: SentenceEncoder | None = None,
) -> Link | None:
    """The entity a text is about, or None: the first of `candidates`."""
    found = candidates(store, user, text, recent=recent, encoder=encoder)
    return found[0] if found else None


def candidates(
    store: GraphStore,
    user: str,
    text: str,
    *,
    recent: Sequence[Mention] = (),
    encoder: SentenceEncoder | None = None,
) -> list[Link]:
    """Entities a text may be about, best first.

    In this order: the user's things ("my sister's dog") unless the user's own facts have a longer name as
    subject; the longest such name; what one of them is called ("Rex"); a part of its name, or one
    misspelt by a letter; what is near one in meaning ("my pup"); whom a pronoun stands for; the longest
    proper name; the user themselves ("I", "my"); the longest name in the shared base.

    Args:
        recent: what the conversation has just spoken of, latest first.
    """
    look = _Look.at(store, user, clean(_shortened(text)))
    found = [*_own(look, encoder), *_called(look), *_alike(look)]
    pronoun = None if look.name or found else referred(look.text, recent)
    said_by_user = _USER.search(look.text)
    if pronoun and not (said_by_user and said_by_user.start() < look.text.find(pronoun[1])):
        found.append(_link(pronoun[0], "reference", shown=pronoun[1]))
    if look.name:
        found.append(_link(look.name, "name"))
    if said_by_user:
        found.append(_link("I", "user"))
    shared = [k for k in look.known if k not in look.own]
    if shared:
        found.append(_link(look.spans[max(shared, key=len)], "base"))
    best: dict[str, Link] = {}
    for one in sorted(found, key=lambda one: -one.score):
        best.setdefault(entity_key(one.entity), one)
    return list(best.values())


def asked_about(store: GraphStore, user: str, links: Sequence[Link]) -> Link | None:
    """The link whose facts a question asks for: the first, unless the user's graph has nothing about it.

    "In which city is my sister's home?" then asks about my sister, "What is my job?" about the user, and so
    may a text with a name that nobody taught.
    """
    if not links or _is_own(store, user, links[0].entity):
        return links[0] if links else None
    first = links[0]
    if first.why == "possession":
        others = [_link(first.owner, "possession")] if first.owner else [_link("I", "user")]
    else:
        others = [one for one in links[1:] if one.why == "user" and first.why == "name"]
    return next((one for one in others if _is_own(store, user, one.entity)), first)


def resolved(text: str, found: Link) -> str:
    """The text with the entity's name in the place of what stands for it.

    >>> resolved("Where does she live?", Link("my sister", "reference", shown="she"))
    'Where does my sister live?'
    """
    if not found.shown:
        return text
    places = list(re.finditer(rf"(?<!\w){re.escape(found.shown)}(?!\w)", text))
    if not places:
        return text
    place = places[0] if found.why == "reference" else places[-1]
    name = found.entity
    if found.why == "reference":
        pronoun = found.shown.casefold()
        owner = pronoun in ("his", "its", "their") or (pronoun == "her" and re.match(r"\s+\w", text[place.end() :]))
        name = f"{name}'s" if owner else f"in {name}" if pronoun == "there" else name
    return text[: place.start()] + name + text[place.end() :]


def ambiguous(links: Sequence[Link]) -> list[Link]:
    """The links among which the text leaves open which is meant: two or more alike in the lead, or none."""
    lead = [one for one in links if one.why == links[0].why]
    return lead if len(lead) > 1 and links[0].why in ("alias", "partial", "typo") else []


@dataclass(frozen=True, slots=True)
class _Look:
    """A text as the graph sees it.

    Attributes:
        spans: key → as written last, for every run of words that could be a name.
        known: the keys that the user's graph or the base has as subjects; `own`: of these the user's.
        name: the longest proper name, "" if there is none.
    """

    store: GraphStore
    user: str
    text: str
    spans: dict[str, str]
    known: set[str]
    own: list[str]
    name: str

    @classmethod
    def at(cls, store: GraphStore, user: str, text: str) -> _Look:
        words = list(_WORD.finditer(text))
        spans: dict[str, str] = {}
        for shown, key in _spans(text, words):
            if len(shown) >= len(spans.get(key, "")):  # "my boss", not "boss"; of two mentions the last
                spans[key] = shown
        known = store.mentions(user, spans.keys())
        own = [k for k in store.mentions(user, known, include_base=False) if k != "i"]
        return cls(store, user, text, spans, known, own, _proper_name(text, words) or "")

    def link_to(self, key: str, why: str, owner: str = "", shown: str = "") -> Link:
        """A link to an entity of the user's, named as the user wrote it."""
        return _link(self.store.facts(self.user, key, limit=1)[0].triple.subject, why, owner, shown)

    def is_own(self, key: str) -> bool:
        return _is_own(self.store, self.user, key)


def _own(look: _Look, encoder: SentenceEncoder | None) -> Iterable[Link]:
    """The user's things, as far as the graph knows their words, and the names that the user's graph has as subjects."""
    last = max((m.end() for m in re.finditer(r"[.!?]\s+(?=\S)", look.text)), default=0)
    longest = max(look.own, key=lambda k: (look.text.rfind(look.spans[k]) >= last, len(k)), default="")
    if longest and _only_a_part(look.text, look.spans[longest], look.name):
        longest = ""
    possession = _possession(look.text) or ""
    words = possession.split()
    parts = (" ".join(words[:end]) for end in range(len(words), 1, -1))
    possession = next((p for p in parts if entity_key(p) in look.own), possession)  # "my cat", not "my cat asleep"
    if possession and len(longest) <= len(entity_key(possession)):
        other = None if entity_key(possession) in look.own else _own_thing(look, possession, encoder)
        yield other or _link(re.sub(r"['’]s$", "", possession), "possession", possession.rpartition("'s ")[0])
    elif longest:
        yield _link(look.spans[longest], "graph")


def _own_thing(look: _Look, possession: str, encoder: SentenceEncoder | None) -> Link | None:
    """The thing of the user's that a possession unknown to the graph misspells, or is near in meaning to."""
    key = entity_key(possession)
    owners, head = key.split()[:-1], words_of(key)[-1:]
    if not head:
        return None
    owner = possession.rpartition("'s ")[0]
    for word, entity in look.store.misspelt(look.user, head[0]):
        if entity == " ".join([*owners, word]) and look.is_own(entity):
            return look.link_to(entity, "typo", owner, possession)
    if encoder is None:
        return None
    things = [k for k in look.store.named(look.user, [OWN]).get(OWN, []) if k.split()[:-1] == owners]
    if not things:
        return None
    near = cosines(encoder.embed([k.split()[-1] for k in things]), encoder.embed(head))[:, 0]
    cosine, nearest = max(zip(near.tolist(), things, strict=True))
    meant = cosine >= NEAR and not genders_differ(nearest, key) and look.is_own(nearest)
    return look.link_to(nearest, "near", owner, possession) if meant else None


def _called(look: _Look) -> Iterable[Link]:
    """Entities that a name in the text is another name of: "Rex", who is my dog."""
    capital = {key for key, shown in look.spans.items() if shown[:1].isupper() or not shown.isascii()}
    named = look.store.named(look.user, {word for key in capital for word in words_of(key)[:1]})
    entities = {key for keys in named.values() for key in keys} - set(look.own)
    for z in look.store.called(look.user, entities):
        if z.key[2] in capital:
            yield _link(z.subject, "alias", shown=look.spans[z.key[2]])


def _alike(look: _Look) -> Iterable[Link]:
    """Entities whose name has the words of a proper name in the text: other accents, more words, or a letter off."""
    words = words_of(look.name)
    if not words or entity_key(look.name) in look.own:
        return
    named = look.store.named(look.user, words)
    with_all = set.intersection(*(set(named.get(word, ())) for word in words))
    same = {e for e in with_all if words_of(e) == words}
    alike = same or {e for e in with_all if _is_called_by(words, words_of(e))}
    for entity in sorted(look.store.mentions(look.user, alike, include_base=False)):
        yield look.link_to(entity, "partial", shown=look.name)
    if with_all or entity_key(look.name) in look.known:  # a name that the base has is not misspelt
        return
    for i, word in enumerate(words):
        if not word.isalpha():
            continue  # the A350 is not the A380
        for other, entity in look.store.misspelt(look.user, word):
            if words_of(entity) == [*words[:i], other, *words[i + 1 :]] and look.is_own(entity):
                yield look.link_to(entity, "typo", shown=look.name)


def _is_called_by(words: list[str], whole: list[str]) -> bool:
    """Whether a name's words can stand for the whole name: a first or last name for a person's."""
    first_or_last = words in (whole[: len(words)], whole[-len(words) :])
    return first_or_last and len(whole) <= 3 and len(words[0]) > 2 and not _KINDS_OF_NAME & set(whole)


def _link(entity: str, why: str, owner: str = "", shown: str = "") -> Link:
    return Link(entity, why, owner, SCORES[why], shown)


def _is_own(store: GraphStore, user: str, entity: str) -> bool:
    return bool(store.mentions(user, [entity_key(entity)], include_base=False))


def _shortened(text: str) -> str:
    words, half = text.split(" "), MOST_WORDS // 2
    return text if len(words) <= MOST_WORDS else " ".join([*words[:half], ".", *words[-half:]])


def _only_a_part(text: str, shown: str, name: str) -> bool:
    """Whether a known name is part of a longer proper name ("London" in "London Bridge").

    A word that starts the sentence does not make a name longer ("Hi Ana"), nor does a heading without a
    full stop before a name of several words.
    """
    if shown == name or f" {shown} " not in f" {name} " or (" " in shown and name.endswith(shown)):
        return False
    at = text.rfind(name)
    starts_sentence = at == 0 or bool(_SENTENCE_END.search(text[:at]))
    return not (starts_sentence and name.partition(" ")[2] == shown)


def _spans(text: str, words: list[re.Match[str]]) -> Iterable[tuple[str, str]]:
    """(shown, key) of every run of at most LONGEST_NAME words that could be a name."""
    for start in range(len(words)):
        for end in range(start + 1, min(start + LONGEST_NAME, len(words)) + 1):
            shown = text[words[start].start() : words[end - 1].end()]
            key = entity_key(shown)
            if words[end - 1].group().casefold() in _NOT_A_NAME:
                continue
            yield re.sub(r"^(?:the|an?)\s+|['’]s?$", "", shown, flags=re.IGNORECASE), key
    for run in _UNSPACED.finditer(text):
        letters = run.group()[:40]
        for start in range(len(letters)):
            for end in range(start + 2, min(start + 8, len(letters)) + 1):
                yield letters[start:end], entity_key(letters[start:end])


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
    verb_follows = bool(re.search(r"\b(?:do|does|did)\s+$", text[: start.start()], re.IGNORECASE))
    attribute_asked = bool(re.match(r"(?:what|who|when)(?:\s+(?:is|are|was|were)|['’]s)\s", text, re.IGNORECASE))
    for word in _WORD.finditer(rest):
        bare = re.sub(r"['’]s?$", "", word.group())
        between = rest[: word.start()]
        verb = " " in name and not name.endswith("'s") and is_verb(bare)
        if verb or bare.casefold() in _ENDS_NAME or re.search(r"[,.;:!?]", between):
            verb_follows &= not verb and bare.casefold() in _NOT_A_NAME
            break
        name += " " + bare
        if bare != word.group():
            if attribute_asked:
                return name
            name += "'s"
    if verb_follows and name.count(" ") > 1:  # "does my shift begin this month": one word more is the verb
        name = name.rpartition(" ")[0]
    name = re.sub(r"['’]s$", "", name)
    if attribute_asked and rest.rstrip(" ?.!").casefold().endswith(name.partition(" ")[2].casefold()):
        return None
    return name if " " in name else None


def _proper_name(text: str, words: list[re.Match[str]]) -> str | None:
    """The longest run of capitalised words, with what stands between and numbers after them ("Gran Trak 10").

    A sentence's first word counts alone only where the sentence is about it ("Egypt, which …", "Rex is …").
    """
    leading = _leading_name(text)
    if leading:
        return leading
    best: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for word in words:
        bare = re.sub(r"['’]s?$", "", word.group())
        initial = bool(run) and len(run[-1].group()) == 1
        starts_sentence = word.start() == 0 or (not initial and bool(_SENTENCE_END.search(text[: word.start()])))
        gap = text[run[-1].end() : word.start()] if run else ""
        joined = bool(run) and not starts_sentence and (gap.isspace() or (initial and gap == ". "))
        if bare[:1].isupper() and bare.casefold() not in _NOT_A_NAME:
            run = [*run, word] if joined else [word]
        elif joined and (bare[:1].isupper() or bare.casefold() in _WITHIN_NAME or bare[:1].isdigit() or bare == "&"):
            run.append(word)
        else:
            run = [word] if starts_sentence and bare[:1].isdigit() else []
        name = _without_loose_end(run)
        if len(name) > len(best) or (len(name) == len(best) == 1 and best[0].start() == 0):
            best = name
        owns_a_name = bool(re.match(r"\s+[A-Z]", text[word.end() :]))  # "Donaldson's Hospital", not "Ana's dog"
        if bare != word.group() and not owns_a_name:
            run = []
    if not best:
        return None
    shown = re.sub(r"['’]s?$", "", text[best[0].start() : best[-1].end()])
    rest = text[best[0].end() :].lstrip()
    about_it = rest.startswith(("is ", "'s", "’s")) or is_unfinished(text)
    return None if len(best) == 1 and best[0].start() == 0 and shown.isalpha() and not about_it else shown


def _without_loose_end(run: list[re.Match[str]]) -> list[re.Match[str]]:
    """A run of words up to its last capitalised word or number: "von" alone ends no name."""
    end = len(run)
    while end and (run[end - 1].group().casefold() in _WITHIN_NAME | _NOT_A_NAME or run[end - 1].group() == "&"):
        end -= 1
    return run[:end]


def _leading_name(text: str) -> str | None:
    """The subject that an unfinished sentence begins with, up to its verb: "Venus de Milo was made in"."""
    begins = re.match(r"(?:the\s+)?(\w)", text, re.IGNORECASE)
    first = text.split(" ", 1)[0].casefold().strip(",")
    if not begins or not is_unfinished(text) or (first in _NOT_A_NAME and not begins.group(1).isupper()):
        return None
    if first in _NOT_A_NAME - {"the"}:
        return None
    for word in _WORD.finditer(text):
        own = re.search(r"['’]s?$", word.group()) if not re.match(r" [A-Z]", text[word.end() :]) else None
        comma = re.match(r",\s+[a-z]", text[word.end() :])
        verb = word.start() > 0 and word.group()[0].islower() and (word.group() in _COPULAS or is_verb(word.group()))
        if own or comma or verb:
            name = text[: word.start() if verb else word.start() + own.start() if own else word.end()].strip()
            short = len(name.split()) <= LONGEST_NAME + 2 and not re.search(r"[:\n]|\w\w[.!?]\s", name)
            return re.sub(r"^the\s+", "", name, flags=re.IGNORECASE) if short and name else None
    return None
