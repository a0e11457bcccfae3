"""Which of a user's entities a word may mean: every word of their names, and what they are called.

The table only proposes: a row stays when the facts that made it are undone, so whoever looks up
a word asks the graph next whether the entity still has facts. Words are kept forwards and backwards,
because a word with one wrong letter has its first or its last half intact, and a half is a range of
the index: the cost of a look-up does not grow with the graph.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import Connection, select

from kgt.graph.connection import can_be_stored, insert
from kgt.graph.tables import names, overlay
from kgt.triple import Triple, relation_key

CALLED = frozenset(
    relation_key(r) for r in "name|nickname|names|is called|are called|is named|called|named|goes by|alias".split("|")
)
"""Relations whose object is another name of the subject (normalised)."""
OWN = "my"
"""The word under which the user's own things ("my dog") are found."""
SHORTEST_MISSPELT = 4
"""Letters a word must have to be recognised with one of them wrong."""
LONGEST_WORD = 100
"""Letters beyond which a word is not indexed."""
MOST = 200
"""Most rows read for a word, or for half of one."""

_BACKWARDS = "<"
_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a name as the index has them: case folded, without accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return _WORD.findall(plain)


def add(connection: Connection, user: str, triples: Iterable[Triple]) -> None:
    """Index what the facts' subjects are called."""
    rows = {
        (word, z.key[0])
        for z in triples
        for text in [z.key[0], *([z.object] if z.key[1] in CALLED else [])]
        for word in _indexed(text)
    }
    rows |= {(OWN, z.key[0]) for z in triples if z.subject.casefold().startswith(("my ", "our "))}
    if rows:
        found = [{"user": user, "word": word, "entity_key": key} for word, key in sorted(rows)]
        connection.execute(insert(connection, names, duplicates="keep"), found)


def fill(connection: Connection) -> None:
    """Index what the overlay of an older database holds."""
    columns = overlay.c.user, overlay.c.subject, overlay.c.relation, overlay.c.object
    by_user: dict[str, list[Triple]] = {}
    for user, *triple in connection.execute(select(*columns)):
        by_user.setdefault(user, []).append(Triple(*triple))
    for user, triples in by_user.items():
        add(connection, user, triples)


def with_words(connection: Connection, user: str, words: Collection[str]) -> dict[str, list[str]]:
    """Word → keys of the entities that have it in a name, at most MOST each."""
    found: dict[str, list[str]] = {}
    for word in filter(can_be_stored, words):
        query = select(names.c.entity_key).where(names.c.user == user, names.c.word == word).limit(MOST)
        keys = list(connection.scalars(query))
        if keys:
            found[word] = keys
    return found


def misspelt(connection: Connection, user: str, word: str) -> list[tuple[str, str]]:
    """(word, entity key) of the indexed words that one wrong, missing, extra or swapped letter tells from this one."""
    if len(word) < SHORTEST_MISSPELT or not can_be_stored(word):
        return []
    half = (len(word) - 1) // 2  # two swapped letters in the middle leave this much on either side
    found = set()
    for start, back in ((word[:half], False), (_BACKWARDS + word[::-1][:half], True)):
        query = select(names.c.word, names.c.entity_key).where(
            names.c.user == user, names.c.word >= start, names.c.word < start + "\U0010ffff"
        )
        for row in connection.execute(query.limit(MOST)):
            other = row.word[:0:-1] if back else row.word
            if len(other) >= SHORTEST_MISSPELT and one_edit_apart(word, other):
                found.add((other, row.entity_key))
    return sorted(found)


def one_edit_apart(a: str, b: str) -> bool:
    """Whether one letter replaced, added, left out or swapped with its neighbour makes one word the other."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return False
    i = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if len(a) != len(b):
        longer, shorter = sorted((a, b), key=len, reverse=True)
        return longer[i + 1 :] == shorter[i:]
    return a[i + 1 :] == b[i + 1 :] or (a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :])


def _indexed(text: str) -> Sequence[str]:
    words = [word for word in words_of(text) if len(word) <= LONGEST_WORD]
    return [*words, *(_BACKWARDS + w[::-1] for w in words if len(w) >= SHORTEST_MISSPELT)]
