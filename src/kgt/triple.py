"""A fact: subject, relation, object.

Text is kept as people wrote it; matching uses normalised keys, so "My dog", "the dog" and
"dog" are one entity, and "MotherTongue", "mother_tongue" and "mother tongue" one relation.
Keys are no longer than databases can index: a very long one ends in its hash.
"""

from __future__ import annotations

import builtins
import re
import unicodedata
from dataclasses import dataclass, field
from hashlib import sha256

from kgt.errors import BadInput

MAX_LENGTH = 1000
"""Longest subject, relation or object, in characters."""
MAX_KEY = 512
"""Longest key, in bytes of UTF-8: with a user's name, three of them still fit into an index of PostgreSQL."""

_LEADING = re.compile(r"^(?:(?:the|a|an|my|our|your)\s+)+(?=\S)")
_POSSESSIVE = re.compile(r"['’]s?$")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
PLAIN = re.compile(r"(?!(?:the|a|an|my|our|your) )[a-z0-9]+(?: [a-z0-9]+)*")
"""A name that is its own key, as nearly all of ConceptNet's are: no article to lose, and nothing at its edges."""
_SHORTENED = re.compile(r".*…[0-9a-f]{64}")
_EDGE_PUNCTUATION = ' \t\n.,;:!?"“”«»()[]'


def clean(text: str) -> str:
    """Text without control characters, with single spaces, in Unicode form NFC.

    Tabs and line breaks become spaces; NUL and other control characters go. Characters that
    join emoji or set the direction of writing stay.
    """
    if text.isascii() and text.isprintable():  # nothing to drop or compose: most names, in a tenth of the time
        return " ".join(text.split())
    kept = (" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs"))
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))


def entity_key(text: str) -> str:
    """The form two names of one entity share: NFKC, case folded, no article, possessive or edge punctuation."""
    if (len(text) <= MAX_KEY and PLAIN.fullmatch(text)) or _is_shortened(text):
        return text
    folded = _folded(text)
    key, before = folded.strip(_EDGE_PUNCTUATION), ""
    while key != before:
        before = key
        key = _LEADING.sub("", _POSSESSIVE.sub("", key)).strip(_EDGE_PUNCTUATION)
    return short_key(key or folded)


def relation_key(text: str) -> str:
    """The form two spellings of one relation share: "MotherTongue" = "mother_tongue" = "Mother tongue"."""
    if _is_shortened(text):
        return text
    folded = _folded(as_words(text))
    return short_key(folded.strip(_EDGE_PUNCTUATION) or folded or _folded(text))


def short_key(key: str) -> str:
    """A key of more than MAX_KEY bytes as its beginning and the SHA-256 of the whole."""
    encoded = key.encode()
    if len(encoded) <= MAX_KEY:
        return key
    end = f"…{sha256(encoded).hexdigest()}"
    return encoded[: MAX_KEY - len(end.encode())].decode(errors="ignore") + end


def _is_shortened(text: str) -> bool:
    """Whether it is a key already, as `short_key` makes them: a key's key is itself."""
    if "…" not in text or not _SHORTENED.fullmatch(text) or clean(text) != text:
        return False
    return MAX_KEY - 4 < len(text.encode()) <= MAX_KEY


def as_words(name: str) -> str:
    """A relation's name with spaces between its words: "UsedFor" → "Used For", "used_for" → "used for"."""
    return _CAMEL.sub(" ", name).replace("_", " ")


def _folded(text: str) -> str:
    """Cleaned, compatibility-composed and case folded; folding can undo composition, so it is done again after."""
    if text.isascii():
        return clean(text.lower())
    return clean(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()))


@dataclass(frozen=True, slots=True, eq=False)
class Triple:
    """(subject, relation, object); equal when its normalised `key` is equal.

    Raises:
        BadInput: a part is empty after cleaning, or longer than MAX_LENGTH characters.
    """

    subject: str
    relation: str
    object: str
    key: tuple[str, str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for part in ("subject", "relation", "object"):
            text = clean(getattr(self, part))
            if not text:
                raise BadInput(f"A triple's {part} is empty.", "Give all three: subject, relation, object.")
            if len(text) > MAX_LENGTH:
                raise BadInput(
                    f"A triple's {part} has {len(text):,} characters; the most is {MAX_LENGTH:,}.",
                    "Shorten it to the fact itself.",
                )
            builtins.object.__setattr__(self, part, text)
        key = (entity_key(self.subject), relation_key(self.relation), entity_key(self.object))
        builtins.object.__setattr__(self, "key", key)

    def __eq__(self, other: builtins.object) -> bool:
        return isinstance(other, Triple) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return f"({self.subject}, {self.relation}, {self.object})"
